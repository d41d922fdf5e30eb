"""Data sets of faces as `Splits` of `ImageSet`s: `load` takes a study's parameters, the loaders take paths."""

import dataclasses

from fer_lib.datasets.cache import default_cache_dir
from fer_lib.datasets.fer2013 import load_fer2013
from fer_lib.datasets.folders import load_folders
from fer_lib.datasets.kdef import load_kdef
from fer_lib.datasets.splits import CLASS_NAMES, ImageSet, Splits
from fer_lib.datasets.synthetic.forms import make_synthetic
from fer_lib.errors import ParameterError

__all__ = [
    "CLASS_NAMES", "ImageSet", "Splits", "load", "load_fer2013", "load_folders", "load_kdef", "make_synthetic",
]  # fmt: skip


def load(parameters, data=None):
    """Return the `Splits` that a study asks for.

    Args:
        parameters: `fer_lib.parameters.Parameters`; the keys of "The data" and `image_size` count here.
        data: the path of the data; `parameters.data` when None. Generated faces are drawn into the cache instead.
    """
    dataset, protocol = parameters.dataset, parameters.protocol
    path, where = data if data is not None else parameters.data, f"dataset: {dataset}"
    decoding = {"size": parameters.image_size, "colour": parameters.colour, "aspect": parameters.aspect}
    if dataset == "synthetic":
        if path is not None:
            advice = "To read it, set dataset to fer2013, kdef or folders"
            raise ParameterError("Generated faces are drawn, not read", where, None, f"data: {path}", advice)
        per_class = round(parameters.generated_images / len(CLASS_NAMES))
        path = make_synthetic(default_cache_dir() / f"generated-{per_class}.zip", images_per_class=per_class)
        splits = dataclasses.replace(load_fer2013(path, protocol), dataset="synthetic")
    elif path is None:
        expected = "their path in the parameter `data` or as --data"
        raise ParameterError("The study needs data that are not part of this project", where, expected)
    elif dataset == "fer2013":
        splits = load_fer2013(path, protocol, parameters.labels)
    elif dataset == "kdef":
        splits = load_kdef(path, protocol, angles=tuple(parameters.angles), **decoding)
    else:
        splits = load_folders(path, protocol, **decoding)
    if parameters.train_limit is None or parameters.train_limit >= len(splits.train):
        return splits
    train = splits.train.limited_to(parameters.train_limit)
    note = f"train_limit: {len(train):,} of the {len(splits.train):,} train images are used."
    # The fingerprint is of what is trained on, so it is computed anew.
    return dataclasses.replace(splits, train=train, notes=(*splits.notes, note), fingerprint="")
