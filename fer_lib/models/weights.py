"""ImageNet weights, as Keras distributes them, for the backbone of `resnet_v2`."""

from pathlib import Path

import h5py
import numpy as np

from fer_lib.errors import ParameterError
from fer_lib.models.non_local import NonLocal2D

# Of today's Keras, and of the version that wrote the distributed files.
CLASSIFIERS = ("predictions", "probs")


def load_backbone_weights(model, path):
    """Set every layer of the backbone to the weights that a file holds under the layer's name.

    The file is one that `keras.applications` distributes for ResNet50V2, 101V2 or 152V2, with or without its
    classifier (`resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5`), or a whole model saved as `.h5`. The
    classifier and the non-local blocks keep their own weights. Where the model takes grey images, the stem's
    kernel is summed over its three colours: on a grey image in three equal channels the sums are the same.

    The distributed weights were trained on images scaled to [-1, 1]; `resnet_v2` takes [0, 1].

    Args:
        model: a model of `resnet_v2` of the file's depth, with `width=1.0` and `stem="imagenet"`.
        path: the HDF5 file.

    Raises:
        ParameterError: (a ValueError) the file does not exist, is no HDF5 file, damaged, not of this layout, or
            does not fit. The model is then unchanged.
    """
    path = Path(path)
    if not path.is_file():
        advice = "Give the path of a file that keras.applications distributes; nothing is downloaded."
        raise ParameterError("The weights file does not exist", path, advice=advice)
    if not h5py.is_hdf5(path):
        raise ParameterError("The weights are not an HDF5 file", path, advice="Give Keras's own .h5 file.")
    try:
        with h5py.File(path) as file:
            stored = _stored(file, path)
    except (KeyError, OSError) as error:  # h5py's, for a truncated file and for names that lead nowhere
        found, advice = error.args[0], "Fetch it again."
        raise ParameterError("The weights file is damaged", path, found=found, advice=advice) from error
    backbone = [layer for layer in model.layers if layer.weights and not isinstance(layer, NonLocal2D)]
    layers = {layer.name: layer for layer in backbone if layer.name not in CLASSIFIERS}
    missing, surplus = sorted(set(layers) - set(stored)), sorted(set(stored) - set(layers))
    if missing or surplus:
        expected = f"{len(layers)} layers with weights; missing: {', '.join(missing[:3]) or 'none'}"
        found = f"{len(stored)}; not in the model: {', '.join(surplus[:3]) or 'none'}"
        advice = "Depth and version of the file's ResNet must be those of the model."
        raise ParameterError("The weights file is of another network", path, expected, found, advice)
    fitted = {name: _fitted(layer, stored[name], path) for name, layer in layers.items()}
    for name, layer in layers.items():
        layer.set_weights(fitted[name])


def _stored(file, path):
    """{layer: arrays} of the layers that have weights, without the classifier."""
    group = file.get("model_weights", file)  # a whole model keeps its weights one level down
    if "layer_names" not in group.attrs:
        expected = "the layout of keras.applications' files, with the attribute `layer_names`"
        found = f"groups {', '.join(sorted(group)[:5]) or 'none'}"
        advice = "A `.weights.h5` file of Keras 3 is of another layout: load it with `model.load_weights`."
        raise ParameterError("The HDF5 file holds no weights by layer name", path, expected, found, advice)
    names = {name: _text(group[name].attrs["weight_names"]) for name in _text(group.attrs["layer_names"])}
    return {
        layer: [np.asarray(group[layer][name]) for name in weights]
        for layer, weights in names.items()
        if weights and layer not in CLASSIFIERS
    }


def _fitted(layer, values, path):
    """The stored arrays in the layer's shapes; the stem's summed over colours where the model is grey."""
    expected = [tuple(weight.shape) for weight in layer.weights]
    if layer.name == "conv1_conv" and values[0].ndim == 4 and (values[0].shape[2], expected[0][2]) == (3, 1):
        values = [values[0].sum(axis=2, keepdims=True), *values[1:]]
    found = [value.shape for value in values]
    if found != expected:
        expected, found = (f"shapes {', '.join(map(str, shapes))}" for shapes in (expected, found))
        advice = "Distributed weights need width=1.0, stem='imagenet' and 1 or 3 image channels."
        raise ParameterError(f"The weights of layer {layer.name} do not fit", path, expected, found, advice)
    return values


def _text(names):
    return [name.decode("utf8") if isinstance(name, bytes) else str(name) for name in names]
