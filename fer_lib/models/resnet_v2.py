"""ResNetV2 (He et al. 2016) layer for layer as in `keras.applications`, with non-local blocks where asked for."""

from collections.abc import Collection
from typing import Any

import keras
from keras import layers

from fer_lib.models.layers import BatchNormalization, Conv2D, MaxPooling2D
from fer_lib.models.non_local import NonLocal2D, check_choice
from fer_lib.variants import STAGE_BLOCKS, STAGE_STRIDES, Variant

# Filters of the 3 x 3 convolutions in stages 1 to 4; a bottleneck gives four times as many channels.
STAGE_FILTERS = (64, 128, 256, 512)


def resnet_v2(
    depth: int = 50, input_shape: tuple[int | None, ...] = (96, 96, 1), classes: int = 7,
    non_local_stages: Collection[int] = (), pairwise: str = "embedded_gaussian", placement: str = "every",
    subsample: str | None = None, pre: bool = False, scaled: bool = False, width: float = 1.0,
    stem: str = "imagenet", pooling: str = "max", dropout: float = 0.2, norm_momentum: float = 0.99,
    name: str | None = None,
) -> keras.Model:  # fmt: skip
    """Return a ResNetV2 classifier, with or without non-local blocks.

    Stage s is `conv{s+1}` in the names of `keras.applications`, whose layer names are kept:
    `conv4_block6_out` is the output of stage 3's last bottleneck, `conv4_block6_non_local` the block after it.

    Args:
        depth: 50, 101 or 152; 26 and 14 are smaller networks of the same design for CPUs and tests.
        input_shape: (height, width, channels), or (channels, height, width) where Keras is set to
            `channels_first`; height and width may be `None`.
        classes: Integer, width of the softmax.
        non_local_stages: Any collection of stages, 1 to 4, that get blocks.
        pairwise, subsample: Of the blocks, see `NonLocal2D`; so are `pre`, its `normalize_input`, and `scaled`,
            its `scale`.
        placement: `"every"`, a block after every bottleneck of the stages (the paper), or `"before_last"`, one
            block before the stage's last bottleneck (Wang et al. 2018).
        width: Float, multiplies all numbers of filters.
        stem: `"imagenet"`, 7 x 7 convolution and 3 x 3 max pooling, each of stride 2 (the paper), or
            `"small"`, one 3 x 3 convolution of stride 2, for images of 48 px.
        pooling: `"max"` (the paper) or `"average"` over the last map.
        dropout: Float, rate before the classifier.
        norm_momentum: Float, of the moving averages of all batch normalisations.
        name: Name of the model. `None` is `resnet{depth}v2`.

    Returns:
        A `keras.Model` from images, (batch, height, width, channels), scaled to [0, 1], to probabilities,
        (batch, classes), float32.

    Raises:
        ValueError: A depth, stage, function, placement, stem or pooling that does not exist, or a width that is
            not above 0.

    Reference:
        He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, ECCV 2016. Xue's paper, section 3.1.
    """
    stages = Variant(depth, tuple(sorted(non_local_stages)), pairwise, placement, pre, scaled).stages
    check_choice("stem", stem, ("imagenet", "small"))
    check_choice("pooling", pooling, ("max", "average"))
    if not width > 0:
        raise ValueError(f"`width` must be above 0. Received: {width=}")
    counts, filters = STAGE_BLOCKS[depth], [max(1, round(number * width)) for number in STAGE_FILTERS]
    block: dict[str, Any] = {"pairwise": pairwise, "subsample": subsample, "normalize_input": pre, "scale": scaled}

    inputs = keras.Input(input_shape, name="images")
    x = _stem(inputs, filters[0], stem)
    for stage, count in enumerate(counts, start=1):
        for index in range(1, count + 1):
            bottleneck = f"conv{stage + 1}_block{index}"
            stride = STAGE_STRIDES[stage - 1] if index == count else 1
            x = _bottleneck(x, filters[stage - 1], stride, index == 1, norm_momentum, name=bottleneck)
            if stage in stages and (placement == "every" or index == count - 1):
                x = NonLocal2D(**block, momentum=norm_momentum, name=f"{bottleneck}_non_local")(x)
    x = _normalise(x, norm_momentum, "post")

    pool = layers.GlobalMaxPooling2D if pooling == "max" else layers.GlobalAveragePooling2D
    x = pool(name="max_pool" if pooling == "max" else "avg_pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    # The softmax stays in float32 under mixed precision: cross-entropy needs the small probabilities.
    outputs = layers.Dense(classes, activation="softmax", dtype="float32", name="predictions")(x)
    return keras.Model(inputs, outputs, name=name or f"resnet{depth}v2")


def _stem(x, filters, stem):
    size = 3 if stem == "small" else 7
    x = layers.ZeroPadding2D(size // 2, name="conv1_pad")(x)
    x = Conv2D(filters, size, strides=2, name="conv1_conv")(x)
    if stem == "small":
        return x
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _bottleneck(x, filters, stride, convolve_shortcut, momentum, name):
    """Pre-activation bottleneck: (batch, h, w, c) -> (batch, h / stride, w / stride, 4 * filters)."""
    preact = _normalise(x, momentum, f"{name}_preact")
    if convolve_shortcut:
        shortcut = Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(preact)
    elif stride > 1:
        shortcut = MaxPooling2D(1, strides=stride, name=f"{name}_0_pool")(x)
    else:
        shortcut = x
    x = Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(preact)
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(_normalise(x, momentum, f"{name}_1"))
    x = Conv2D(filters, 3, strides=stride, use_bias=False, name=f"{name}_2_conv")(x)
    x = Conv2D(4 * filters, 1, name=f"{name}_3_conv")(_normalise(x, momentum, f"{name}_2"))
    return layers.Add(name=f"{name}_out")([shortcut, x])


def _normalise(x, momentum, name):
    """Batch normalisation, then ReLU."""
    axis = 1 if keras.config.image_data_format() == "channels_first" else -1
    x = BatchNormalization(axis=axis, momentum=momentum, epsilon=1.001e-5, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)
