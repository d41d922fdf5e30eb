"""Weights files written as `keras.applications` distributes them, from its own networks."""

import h5py
import keras
import numpy as np
import pytest

from fer_lib.errors import ParameterError
from fer_lib.models import NonLocal2D, resnet_v2
from fer_lib.models.weights import load_backbone_weights

SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def imagenet():
    """ResNet50V2 with statistics that are not those of the start, so that each array shows."""
    model = keras.applications.ResNet50V2(include_top=False, weights=None, input_shape=SHAPE, pooling="max")
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.2, 0.5, weight.shape) for weight in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def distributed(imagenet, tmp_path_factory):
    """The layout of resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5."""
    path = tmp_path_factory.mktemp("weights") / "notop.h5"
    write(path, imagenet.layers)
    return path


def write(path, layers, change=None):
    """Layer by layer as Keras 2 wrote it; `change` maps (layer name, arrays) to the arrays written."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        file.attrs["backend"] = b"tensorflow"
        for layer in layers:
            group = file.create_group(layer.name)
            arrays = layer.get_weights()
            arrays = change(layer.name, arrays) if change else arrays
            names = [f"{layer.name}_1/weight_{index}:0" for index in range(len(arrays))]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays, strict=True):
                group[name] = array


def features(model, images):
    return keras.Model(model.inputs, model.get_layer("max_pool").output).predict(images, verbose=0)


@pytest.fixture
def images():
    return np.random.default_rng(1).random((3, *SHAPE), dtype="float32")


def test_colour_features_are_those_of_keras_applications(imagenet, distributed, images):
    model = resnet_v2(50, SHAPE, weights=distributed)
    expected = imagenet.predict(images, verbose=0)
    np.testing.assert_allclose(features(model, images), expected, atol=1e-5)
    assert expected.std() > 0.01


def test_grey_features_are_those_of_three_equal_channels(imagenet, distributed, images):
    grey = images[..., :1]
    model = resnet_v2(50, (32, 32, 1), weights=str(distributed))
    expected = imagenet.predict(np.repeat(grey, 3, axis=3), verbose=0)
    np.testing.assert_allclose(features(model, grey), expected, atol=1e-4)


def test_blocks_and_classifier_keep_their_own_weights(imagenet, distributed, images):
    model = resnet_v2(50, SHAPE, non_local_stages=(3, 4))
    own = [layer for layer in model.layers if isinstance(layer, NonLocal2D) or layer.name == "predictions"]
    before = [layer.get_weights() for layer in own]
    load_backbone_weights(model, distributed)
    for layer, arrays in zip(own, before, strict=True):
        for old, new in zip(arrays, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
    np.testing.assert_allclose(features(model, images), imagenet.predict(images, verbose=0), atol=1e-5)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_whole_model_with_its_classifier(imagenet, tmp_path, images):
    whole = keras.applications.ResNet50V2(weights=None, input_shape=SHAPE, pooling="max", classes=10)
    for layer in imagenet.layers:
        if layer.weights:
            whole.get_layer(layer.name).set_weights(layer.get_weights())
    whole.save(tmp_path / "whole.h5")
    model = resnet_v2(50, SHAPE, weights=tmp_path / "whole.h5")
    np.testing.assert_allclose(features(model, images), imagenet.predict(images, verbose=0), atol=1e-5)


# ---- what does not fit ----


def refused(path, **arguments):
    with pytest.raises(ParameterError) as caught:
        resnet_v2(**{"depth": 50, "input_shape": SHAPE, **arguments}, weights=path)
    assert isinstance(caught.value, ValueError)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_another_depth(distributed):
    message = refused(distributed, depth=101)
    assert "of another network" in message
    assert (
        "Expected: conv4_block10_1_bn [(256,), (256,), (256,), (256,)]. Found: conv4_block10_1_bn none." in message
    )
    assert "Expected: conv2_block3_1_bn none. Found: conv2_block3_1_bn [(64,)" in refused(distributed, depth=26)


def test_another_version(tmp_path):
    # ResNet50, not V2, has names in common, and layers of its own.
    first = keras.applications.ResNet50(include_top=False, weights=None, input_shape=SHAPE)
    write(tmp_path / "resnet50.h5", first.layers)
    message = refused(tmp_path / "resnet50.h5")
    assert "Expected: conv1_bn none. Found: conv1_bn [(64,)" in message


def test_another_width_or_stem(distributed):
    message = refused(distributed, width=0.5)
    assert "Expected: conv1_conv [(7, 7, 3, 32), (32,)]. Found: conv1_conv [(7, 7, 3, 64), (64,)]." in message
    assert "Expected: conv1_conv [(3, 3, 3, 64)" in refused(distributed, stem="small")
    assert "Expected: conv1_conv [(7, 7, 4, 64)" in refused(distributed, input_shape=(32, 32, 4))


def test_a_file_of_another_kind(tmp_path, imagenet):
    text = tmp_path / "weights.h5"
    text.write_text("<html>404</html>")
    assert "cannot be read" in refused(text) and "file signature not found" in refused(text)
    assert "No such file" in refused(tmp_path / "nowhere.h5")
    imagenet.save_weights(tmp_path / "new.weights.h5")
    assert "is loaded with `model.load_weights`" in refused(tmp_path / "new.weights.h5")


def test_a_damaged_file(tmp_path, distributed):
    content = distributed.read_bytes()
    (tmp_path / "half.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(ParameterError, match=r"cannot be read\. Where: .*half\.h5\. .*Found: .*truncated"):
        load_backbone_weights(keras.Sequential(), tmp_path / "half.h5")
    for name, names in {"empty": [b"conv1_conv"], "scalar": "conv1_conv"}.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.attrs["layer_names"] = names
        with pytest.raises(ParameterError, match=rf"cannot be read\. Where: .*{name}\.h5"):
            load_backbone_weights(keras.Sequential(), tmp_path / f"{name}.h5")


def test_a_file_that_does_not_fit_changes_nothing(tmp_path, imagenet):
    def drop_a_bias(name, arrays):
        return arrays[:1] if name == "conv5_block3_3_conv" else arrays

    write(tmp_path / "short.h5", imagenet.layers, drop_a_bias)
    model = resnet_v2(50, SHAPE)
    before = model.get_weights()
    with pytest.raises(ParameterError, match=r"Expected: conv5_block3_3_conv \[\(1, 1, 512, 2048\), \(2048,\)\]"):
        load_backbone_weights(model, tmp_path / "short.h5")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
