"""`resnet_v2` against `keras.applications`, and its blocks where they were asked for."""

import keras
import numpy as np
import pytest

from fer_lib.models import NonLocal2D, resnet_v2
from fer_lib.variants import PAIRWISE_FUNCTIONS


def small(depth=14, **arguments):
    return resnet_v2(depth, input_shape=(48, 48, 1), width=0.125, **arguments)


def blocks(model):
    return [layer.name for layer in model.layers if isinstance(layer, NonLocal2D)]


def images(channels=1, side=48, count=2):
    return np.random.default_rng(0).random((count, side, side, channels), dtype="float32")


def randomise_normalisation(model, rng):
    """Fresh statistics are 0 and 1, which would hide a wrong epsilon or a wrong order."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            beta, mean = rng.normal(0, 0.1, (2, *shape))
            layer.set_weights([rng.uniform(0.2, 0.5, shape), beta, mean, rng.uniform(0.5, 1.5, shape)])


def pairs_of_layers(depth):
    """The networks of `keras.applications` and of ours, and their layers, each with its counterpart."""
    application = getattr(keras.applications, f"ResNet{depth}V2")
    theirs = application(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="max")
    ours = resnet_v2(depth, input_shape=(32, 32, 3))
    pairs = list(zip(theirs.layers[1:], ours.layers[1:-2], strict=True))
    for their, our in pairs:
        # Keras leaves the pooled shortcuts unnamed.
        assert their.name == our.name or their.name.startswith("max_pooling2d")
        assert type(their).__name__ == type(our).__name__ and their.output.shape == our.output.shape
        assert [weight.shape for weight in their.weights] == [weight.shape for weight in our.weights]
    return theirs, ours, pairs


@pytest.mark.parametrize("depth", [101, 152])
def test_deep_networks_have_the_layers_of_keras_applications(depth):
    pairs_of_layers(depth)  # what the layers compute: depth 50


def test_agrees_with_keras_applications_layer_for_layer():
    theirs, ours, pairs = pairs_of_layers(50)
    randomise_normalisation(theirs, np.random.default_rng(1))
    for their, our in pairs:
        our.set_weights(their.get_weights())
    x = images(channels=3, side=32)
    expected = keras.Model(theirs.inputs, [their.output for their, _ in pairs]).predict(x, verbose=0)
    actual = keras.Model(ours.inputs, [our.output for _, our in pairs]).predict(x, verbose=0)
    for (_, our), a, e in zip(pairs, keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
        assert a.shape == e.shape
        assert np.abs(a - e).max() <= 1e-5, our.name
    assert np.abs(keras.tree.flatten(expected)[-1]).max() > 0.1


@pytest.mark.parametrize(("depth", "stages", "placement", "names"), [
    (50, (4,), "every", ["5_block1", "5_block2", "5_block3"]),
    (26, (3, 1), "every", ["2_block1", "2_block2", "4_block1", "4_block2"]),
    (50, (2, 3), "before_last", ["3_block3", "4_block5"]),
    *((26, stages, "every", ["2_block1", "2_block2"]) for stages in ([1], {1}, np.array([1]))),
])  # fmt: skip
def test_blocks_stand_where_they_were_asked_for(depth, stages, placement, names):
    model = small(depth, non_local_stages=stages, placement=placement)
    assert blocks(model) == [f"conv{name}_non_local" for name in names]


@pytest.mark.parametrize("pairwise", PAIRWISE_FUNCTIONS)
def test_blocks_change_nothing_at_the_start(pairwise):
    plain, with_blocks = small(), small(non_local_stages=(1, 2, 3, 4), pairwise=pairwise)
    assert {layer.pairwise for layer in with_blocks.layers if isinstance(layer, NonLocal2D)} == {pairwise}
    for layer in plain.layers:
        with_blocks.get_layer(layer.name).set_weights(layer.get_weights())
    x = images()
    np.testing.assert_array_equal(with_blocks.predict(x, verbose=0), plain.predict(x, verbose=0))


def test_options_reach_the_blocks():
    options = {"subsample": "keys", "pre": True, "scaled": True, "norm_momentum": 0.7}
    model = small(26, non_local_stages=(1,), **options)
    for layer in model.layers:
        if isinstance(layer, NonLocal2D):
            assert (layer.subsample, layer.normalize_input, layer.scale) == ("keys", True, True)
            assert layer.normalization.momentum == layer.input_normalization.momentum == 0.7
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.momentum == 0.7


def test_probabilities_are_float32_and_sum_to_one():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small(non_local_stages=(3,))
    finally:
        keras.config.set_dtype_policy("float32")
    probabilities = model.predict(images(), verbose=0)
    assert model.get_layer("conv4_block1_non_local").compute_dtype == "bfloat16"
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (2, 7)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_width_stem_pooling_dropout_and_classes():
    model = small(stem="small", pooling="average", dropout=0.5, classes=3)
    assert model.get_layer("conv1_conv").kernel.shape == (3, 3, 1, 8)
    assert model.get_layer("conv2_block1_out").output.shape == (None, 12, 12, 32)
    assert isinstance(model.get_layer("avg_pool"), keras.layers.GlobalAveragePooling2D)
    assert model.get_layer("dropout").rate == 0.5
    assert model.output.shape == (None, 3)
    imagenet = small()
    assert imagenet.get_layer("conv1_conv").kernel.shape == (7, 7, 1, 8)
    # The ImageNet stem halves twice, stage 1 (one bottleneck here) once more.
    assert imagenet.get_layer("conv2_block1_out").output.shape == (None, 6, 6, 32)
    assert imagenet.name == "resnet14v2"


def test_sides_may_be_unknown():
    model = resnet_v2(14, (None, None, 1), width=0.125, non_local_stages=(2, 3))
    for side in (48, 64):
        assert model.predict(images(side=side), verbose=0).shape == (2, 7)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"depth": 34}, r"depth is unknown. Expected: one of 14, 26, 50, 101, 152. Found: 34"),
    ({"non_local_stages": (3, 3)}, "stages .* Found: nl33"),
    ({"non_local_stages": "34"}, "stages .* Found: nl34"),
    ({"stem": "big"}, r"`stem` must be one of \('imagenet', 'small'\)\. Received: stem='big'"),
    ({"pooling": "sum"}, "`pooling` must be one of .* Received: pooling='sum'"),
    ({"width": 0}, "`width` must be above 0. Received: width=0"),
    ({"width": float("nan")}, "`width` must be above 0. Received: width=nan"),
])  # fmt: skip
def test_what_cannot_be_built_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        resnet_v2(**arguments)
