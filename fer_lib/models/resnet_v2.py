"""ResNetV2 (He et al. 2016) layer for layer as in `keras.applications`, with non-local blocks where asked for."""

from collections.abc import Iterable
from numbers import Integral, Real

import keras
from keras import layers

from fer_lib.models.non_local import NonLocal2D
from fer_lib.variants import PAIRWISE_FUNCTIONS, PLACEMENTS, STAGE_BLOCKS

# Filters of the 3 x 3 convolutions in stages 1 to 4; a bottleneck gives four times as many channels.
STAGE_FILTERS = (64, 128, 256, 512)
# Stages 1 to 3 halve the map in their LAST bottleneck, as Keras does and the paper of He et al. does not.
STAGE_STRIDES = (2, 2, 2, 1)
_EPSILON = 1.001e-5


def resnet_v2(
    depth=50,
    input_shape=(96, 96, 1),
    classes=7,
    non_local_stages=(),
    pairwise="embedded_gaussian",
    placement="every",
    subsample=False,
    width=1.0,
    stem="imagenet",
    pooling="max",
    dropout=0.2,
    weights=None,
    name=None,
):
    """A ResNetV2 classifier, with or without non-local blocks.

    Stage s is `conv{s+1}` in the names of `keras.applications`, whose layer names are kept:
    `conv4_block6_out` is the output of stage 3's last bottleneck, `conv4_block6_non_local` the block after it.

    ======  ==============  ===============  ==============================
    stage   channels out    bottlenecks, 50  map at 96 px (after its last)
    ======  ==============  ===============  ==============================
    1       256 * width     3                24 x 24 (12 x 12)
    2       512 * width     4                12 x 12 (6 x 6)
    3       1024 * width    6                6 x 6 (3 x 3)
    4       2048 * width    3                3 x 3
    ======  ==============  ===============  ==============================

    Args:
        depth: 50, 101 or 152; 26 and 14 are smaller ones of the same design for CPUs and tests.
        input_shape: (height, width, channels), or (channels, height, width) where Keras is set to
            `channels_first`; sides of `None` are allowed.
        classes: width of the softmax.
        non_local_stages: the stages, of 1 to 4, that get blocks.
        pairwise: the pairwise function of the blocks, see `NonLocal2D`.
        placement: `"every"`, a block after every bottleneck of the stages (the paper); `"before_last"`, one block
            before the stage's last bottleneck (Wang et al. 2018); or a list of pairs (stage, bottleneck), both
            counted from 1, with a block after each of these bottlenecks (then `non_local_stages` stays empty).
        subsample: max-pools the blocks' keys 2 x 2.
        width: multiplies all numbers of filters.
        stem: `"imagenet"`, 7 x 7 convolution and 3 x 3 max pooling, each of stride 2 (the paper);
            `"small"`, one 3 x 3 convolution of stride 2, for images of 48 px.
        pooling: `"max"` (the paper) or `"average"` over the last map.
        dropout: rate before the classifier.
        weights: path of an ImageNet weights file in Keras's own format for the backbone, or `None`.
        name: of the model. Default `None`: `resnet{depth}v2`.

    Returns:
        A `keras.Model` from images, (batch, height, width, channels), scaled to [0, 1], to probabilities,
        (batch, classes), float32.

    Raises:
        ValueError: a depth, stage, placement, stem or pooling that does not exist, a width that is not above 0,
            an input shape without its channels, or weights that do not fit.

    Reference:
        He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, ECCV 2016. Xue's paper, section 3.1.
    """
    _check_choice("depth", depth, STAGE_BLOCKS)
    _check_choice("pairwise", pairwise, PAIRWISE_FUNCTIONS)
    _check_choice("stem", stem, ("imagenet", "small"))
    _check_choice("pooling", pooling, ("max", "average"))
    _check_input_shape(input_shape)
    if not _is_number(width) or not width > 0:
        raise ValueError(f"`width` must be a number above 0. Received: width={width!r}")
    blocks_after = _blocks_after(STAGE_BLOCKS[depth], _stages(non_local_stages), placement)

    inputs = keras.Input(input_shape, name="images")
    x = _stem(inputs, _scaled(64, width), stem)
    for stage, count in enumerate(STAGE_BLOCKS[depth], start=1):
        filters = _scaled(STAGE_FILTERS[stage - 1], width)
        for index in range(1, count + 1):
            block = f"conv{stage + 1}_block{index}"
            stride = STAGE_STRIDES[stage - 1] if index == count else 1
            x = _bottleneck(x, filters, stride, convolve_shortcut=index == 1, name=block)
            if (stage, index) in blocks_after:
                x = NonLocal2D(pairwise, subsample=subsample, name=f"{block}_non_local")(x)
    x = _normalise(x, "post_bn")
    x = layers.Activation("relu", name="post_relu")(x)

    pool = layers.GlobalMaxPooling2D if pooling == "max" else layers.GlobalAveragePooling2D
    x = pool(name="max_pool" if pooling == "max" else "avg_pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    # The softmax stays in float32 under mixed precision: cross-entropy needs the small probabilities.
    outputs = layers.Dense(classes, activation="softmax", dtype="float32", name="predictions")(x)
    model = keras.Model(inputs, outputs, name=name or f"resnet{depth}v2")
    if weights is not None:
        from fer_lib.models.weights import load_backbone_weights

        load_backbone_weights(model, weights)
    return model


def _stem(x, filters, stem):
    if stem == "small":
        x = layers.ZeroPadding2D(1, name="conv1_pad")(x)
        return layers.Conv2D(filters, 3, strides=2, name="conv1_conv")(x)
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = layers.Conv2D(filters, 7, strides=2, name="conv1_conv")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _bottleneck(x, filters, stride, convolve_shortcut, name):
    """Pre-activation bottleneck: (batch, h, w, c) -> (batch, h / stride, w / stride, 4 * filters)."""
    preact = layers.Activation("relu", name=f"{name}_preact_relu")(_normalise(x, f"{name}_preact_bn"))
    if convolve_shortcut:
        shortcut = layers.Conv2D(4 * filters, 1, strides=stride, name=f"{name}_0_conv")(preact)
    elif stride > 1:
        shortcut = layers.MaxPooling2D(1, strides=stride, name=f"{name}_0_pool")(x)
    else:
        shortcut = x
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(preact)
    x = layers.Activation("relu", name=f"{name}_1_relu")(_normalise(x, f"{name}_1_bn"))
    x = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = layers.Conv2D(filters, 3, strides=stride, use_bias=False, name=f"{name}_2_conv")(x)
    x = layers.Activation("relu", name=f"{name}_2_relu")(_normalise(x, f"{name}_2_bn"))
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    return layers.Add(name=f"{name}_out")([shortcut, x])


def _normalise(x, name):
    axis = 1 if keras.config.image_data_format() == "channels_first" else -1
    return layers.BatchNormalization(axis=axis, epsilon=_EPSILON, name=name)(x)


def _scaled(filters, width):
    return max(1, round(filters * width))


def _blocks_after(counts, stages, placement):
    """The (stage, bottleneck) pairs, from 1, that a non-local block follows."""
    if isinstance(placement, str):
        _check_choice("placement", placement, PLACEMENTS)
        if placement == "every":
            return {(stage, index) for stage in stages for index in range(1, counts[stage - 1] + 1)}
        short = [stage for stage in stages if counts[stage - 1] < 2]
        if short:
            raise ValueError(
                "placement='before_last' needs stages of at least 2 bottlenecks. "
                f"Received: stage {short[0]} with {counts[short[0] - 1]}"
            )
        return {(stage, counts[stage - 1] - 1) for stage in stages}
    chosen = _pairs(placement)
    if stages:
        raise ValueError(f"A list as `placement` replaces `non_local_stages`. Received: both, stages {stages}")
    for stage, index in sorted(chosen):
        if stage not in (1, 2, 3, 4) or not 1 <= index <= counts[stage - 1]:
            raise ValueError(
                f"`placement` names a bottleneck that does not exist. Expected: stages 1 to 4 with {counts} "
                f"bottlenecks. Received: ({stage}, {index})"
            )
    return chosen


def _stages(given):
    """`non_local_stages` as a tuple."""
    stages = tuple(given) if isinstance(given, Iterable) else (None,)  # which is no stage
    if not all(_is_whole(stage) and 1 <= stage <= 4 for stage in stages) or len(set(stages)) != len(stages):
        raise ValueError(f"`non_local_stages` must be distinct stages of 1 to 4. Received: {given!r}")
    return stages


def _pairs(given):
    """A list as `placement`, as a set."""
    pairs = tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(_is_whole, pair)) for pair in pairs):
        raise ValueError(
            f"`placement` must be one of {PLACEMENTS} or a list of pairs (stage, bottleneck), such as [(3, 1)]. "
            f"Received: placement={given!r}"
        )
    return {tuple(pair) for pair in pairs}


def _check_input_shape(shape):
    if not isinstance(shape, (tuple, list)) or len(shape) != 3:
        raise ValueError(f"`input_shape` must be three numbers without the batch. Received: input_shape={shape!r}")
    if shape[0 if keras.config.image_data_format() == "channels_first" else 2] is None:
        raise ValueError(f"`input_shape` must say how many channels there are. Received: input_shape={shape!r}")


def _check_choice(name, value, allowed):
    if value not in tuple(allowed):
        raise ValueError(f"`{name}` must be one of {tuple(allowed)}. Received: {name}={value!r}")


def _is_whole(value):
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)
