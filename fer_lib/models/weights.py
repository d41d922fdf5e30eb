"""ImageNet weights, as Keras distributes them, for the backbone of `resnet_v2`."""

import h5py
import numpy as np

from fer_lib.errors import ParameterError
from fer_lib.models.non_local import NonLocal2D

# Of today's Keras, and of the version that wrote the distributed files.
_CLASSIFIERS = ("predictions", "probs")
_STEM = "conv1_conv"


def load_backbone_weights(model, path):
    """Set every layer of the backbone to the weights that a file holds under the layer's name.

    The file is one that `keras.applications` distributes for ResNet50V2, 101V2 or 152V2, with or without its
    classifier, or a whole model saved as `.h5`. The classifier and the non-local blocks keep their own weights.
    Where the model takes grey images, the stem's kernel is summed over its three colours: on a grey image in three
    equal channels the sums are the same. The distributed weights were trained on images scaled to [-1, 1];
    `resnet_v2` takes [0, 1].

    Raises:
        ParameterError: (a ValueError) the file cannot be read or does not fit: the model is then unchanged.
    """
    stored = _read(path)
    backbone = [layer for layer in model.layers if not isinstance(layer, NonLocal2D)]
    layers = {layer.name: layer for layer in backbone if layer.weights and layer.name not in _CLASSIFIERS}
    expected = {name: [tuple(weight.shape) for weight in layer.weights] for name, layer in layers.items()}
    kernel, *_ = stored.get(_STEM, [np.empty(0)])
    if kernel.shape[2:3] == (3,) and _STEM in layers and layers[_STEM].kernel.shape[2] == 1:
        stored[_STEM][0] = kernel.sum(axis=2, keepdims=True)
    found = {name: [value.shape for value in values] for name, values in stored.items()}
    if found != expected:
        name = min(name for name in found | expected if found.get(name) != expected.get(name))
        expected, found = (f"{name} {shapes.get(name, 'none')}" for shapes in (expected, found))
        advice = "Depth and version must be the file's, width 1.0, stem 'imagenet', and image channels 1 or 3."
        raise ParameterError("The weights file is of another network", path, expected, found, advice)
    for name, layer in layers.items():
        layer.set_weights(stored[name])


def _read(path):
    """Return {layer: arrays} of the layers that have weights, without the classifier."""
    weights = {}
    try:
        with h5py.File(path) as file:
            group = file.get("model_weights", file)  # a whole model keeps its weights one level down
            for name in group.attrs["layer_names"].astype(str):
                weights[name] = [group[name][key][()] for key in group[name].attrs["weight_names"]]
    except (AttributeError, KeyError, OSError, TypeError) as error:  # no file, truncated, or of another layout
        expected = "an HDF5 file with the layout of those that keras.applications distributes"
        advice = "Nothing is downloaded. A `.weights.h5` file of Keras 3 is loaded with `model.load_weights`."
        raise ParameterError("The weights cannot be read", path, expected, error, advice) from error
    return {name: arrays for name, arrays in weights.items() if arrays and name not in _CLASSIFIERS}
