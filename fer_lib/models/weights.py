"""ImageNet weights, as Keras distributes them, for the backbone of `resnet_v2`."""

import os
from pathlib import Path

import h5py
import numpy as np

from fer_lib.errors import ParameterError
from fer_lib.models.non_local import NonLocal2D

STEM = "conv1_conv"
# Of today's Keras, and of the version that wrote the distributed files.
CLASSIFIERS = ("predictions", "probs")


def load_backbone_weights(model, path):
    """Sets every layer of the backbone to the weights that a file holds under the layer's name.

    The file is one that `keras.applications` distributes for ResNet50V2, 101V2 or 152V2, with or without its
    classifier (`resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5`), or a whole model saved as `.h5`. The
    classifier and the non-local blocks keep their own weights. Where the model takes grey images, the stem's
    kernel is summed over its three colours: on a grey image in three equal channels the sums are the same.

    The distributed weights were trained on images scaled to [-1, 1]; `resnet_v2` takes [0, 1].

    Args:
        model: a model of `resnet_v2` of the file's depth, with `width=1.0` and `stem="imagenet"`.
        path: the HDF5 file.

    Raises:
        ParameterError: (a ValueError) it is no path, or the file does not exist, is no HDF5 file, damaged, not of
            this layout, or does not fit. The model is then unchanged.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ParameterError("The weights are no file's path", expected="None or a path", found=repr(path))
    path = Path(path)
    if not path.is_file():
        raise ParameterError(
            "The weights file does not exist",
            where=path,
            advice="Give the path of a file that keras.applications distributes; nothing is downloaded.",
        )
    if not h5py.is_hdf5(path):
        raise ParameterError("The weights are not an HDF5 file", where=path, advice="Give Keras's own .h5 file.")
    layers = {
        layer.name: layer
        for layer in model.layers
        if layer.weights and layer.name not in CLASSIFIERS and not isinstance(layer, NonLocal2D)
    }
    try:
        with h5py.File(path) as file:
            group = _weights_group(file, path)
            _check_names(layers, group, path)
            fitted = {name: _fitted(layer, _stored(group[name]), path) for name, layer in layers.items()}
    except (KeyError, OSError) as error:  # h5py's, for a truncated file and for names that lead nowhere
        raise ParameterError(
            "The weights file is damaged", where=path, found=error.args[0], advice="Fetch it again."
        ) from error
    for name, layer in layers.items():
        layer.set_weights(fitted[name])


def _weights_group(file, path):
    # A whole model keeps its weights one level down.
    group = file.get("model_weights", file)
    if "layer_names" not in group.attrs:
        raise ParameterError(
            "The HDF5 file holds no weights by layer name",
            where=path,
            expected="the layout of keras.applications' files, with the attribute `layer_names`",
            found=f"groups {', '.join(sorted(group)[:5]) or 'none'}",
            advice="A `.weights.h5` file of Keras 3 is of another layout: load it with `model.load_weights`.",
        )
    return group


def _check_names(layers, group, path):
    """Another network, or another depth, has other layers."""
    names = set(_text(group.attrs["layer_names"])) - set(CLASSIFIERS)
    stored = {name for name in names if len(group[name].attrs["weight_names"])}
    missing, surplus = sorted(set(layers) - stored), sorted(stored - set(layers))
    if missing or surplus:
        raise ParameterError(
            "The weights file is of another network",
            where=path,
            expected=f"{len(layers)} layers with weights" + _some("; missing: ", missing),
            found=f"{len(stored)}" + _some("; not in the model: ", surplus),
            advice="Depth and version of the file's ResNet must be those of the model.",
        )


def _fitted(layer, values, path):
    """The stored arrays in the layer's shapes; the stem's summed over colours where the model is grey."""
    expected = [tuple(weight.shape) for weight in layer.weights]
    if layer.name == STEM and values[0].ndim == 4 and (values[0].shape[2], expected[0][2]) == (3, 1):
        values = [values[0].sum(axis=2, keepdims=True), *values[1:]]
    found = [value.shape for value in values]
    if found != expected:
        raise ParameterError(
            f"The weights of layer {layer.name} do not fit",
            where=path,
            expected=f"shapes {', '.join(map(str, expected))}",
            found=f"shapes {', '.join(map(str, found))}",
            advice="Distributed weights need width=1.0, stem='imagenet' and 1 or 3 image channels.",
        )
    return values


def _stored(group):
    return [np.asarray(group[name]) for name in _text(group.attrs["weight_names"])]


def _text(names):
    return [name.decode("utf8") if isinstance(name, bytes) else str(name) for name in names]


def _some(label, names):
    if not names:
        return ""
    return label + ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
