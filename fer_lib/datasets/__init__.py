"""Data sets of faces as `Splits` of `FaceSet`s: `load` takes a study's parameters, the loaders take paths."""

import dataclasses

from fer_lib.datasets.cache import default_cache_dir
from fer_lib.datasets.faces import CLASS_NAMES, FaceSet, Splits
from fer_lib.datasets.fer2013 import load_fer2013
from fer_lib.datasets.folders import load_folders
from fer_lib.datasets.kdef import load_kdef
from fer_lib.datasets.synthetic import make_synthetic
from fer_lib.errors import ParameterError

__all__ = [
    "CLASS_NAMES",
    "FaceSet",
    "Splits",
    "load",
    "load_fer2013",
    "load_folders",
    "load_kdef",
    "make_synthetic",
]


def load(parameters, data=None):
    """Return the `Splits` that a study asks for.

    Args:
        parameters: a `fer_lib.parameters.Parameters`; `dataset`, `data`, `protocol`, `generated_images`, `labels`,
            `train_limit` and, for KDEF and folders, `image_size`, `angles`, `colour` and `aspect` count here.
        data: the path of the data; `parameters.data` when None. Generated faces need none: they are drawn into
            the cache once, in the form of FER-2013's zip, and read by its loader.

    Raises:
        ParameterError: no path where one is needed, or one where none is.
        DataError: the data cannot be read, see the loaders.
    """
    dataset, path = parameters.dataset, data if data is not None else parameters.data
    if dataset == "synthetic" and path is not None:
        raise ParameterError(
            "Generated faces are drawn, not read",
            where="dataset: synthetic",
            found=f"data: {path}",
            advice="To read it, set dataset to fer2013, kdef or folders",
        )
    if dataset != "synthetic" and path is None:
        raise ParameterError(
            "The study needs data that are not part of this project",
            where=f"dataset: {dataset}",
            expected="their path in the parameter `data` or as --data",
        )
    splits = _LOADERS[dataset](parameters, path)
    return splits if parameters.train_limit is None else _limit_train(splits, parameters.train_limit)


def _load_fer2013(parameters, path):
    return load_fer2013(path, parameters.protocol, parameters.labels)


def _load_kdef(parameters, path):
    size, angles, colour = parameters.image_size, tuple(parameters.angles), parameters.colour
    return load_kdef(path, parameters.protocol, size, angles, colour, parameters.aspect)


def _load_folders(parameters, path):
    return load_folders(path, parameters.protocol, parameters.image_size, parameters.colour, parameters.aspect)


def _load_synthetic(parameters, _):
    per_class = max(1, round(parameters.generated_images / len(CLASS_NAMES)))
    target = default_cache_dir() / f"generated-{per_class}.zip"
    splits = load_fer2013(make_synthetic(target, "fer2013_zip", images_per_class=per_class), parameters.protocol)
    return dataclasses.replace(splits, dataset="synthetic")


_LOADERS = {"fer2013": _load_fer2013, "kdef": _load_kdef, "folders": _load_folders, "synthetic": _load_synthetic}


def _limit_train(splits, images):
    train = splits.train.limited_to(images)
    if len(train) == len(splits.train):
        return splits
    note = f"train_limit: {len(train):,} of the {len(splits.train):,} train images are used."
    # The fingerprint is of what is trained on, so it is computed anew.
    return dataclasses.replace(splits, train=train, notes=(*splits.notes, note), fingerprint="")
