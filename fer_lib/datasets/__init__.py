"""Data sets of faces as `Splits` of `ImageSet`s: `load` takes a study's parameters, the loaders take paths."""

from pathlib import Path
from typing import Any

from fer_lib.dataset_specs import DATASETS
from fer_lib.datasets.fer2013 import load_fer2013
from fer_lib.datasets.folders import load_folders
from fer_lib.datasets.kdef import load_kdef
from fer_lib.datasets.splits import CLASS_NAMES, ImageSet, Splits
from fer_lib.datasets.synthetic import load_synthetic, make_synthetic
from fer_lib.errors import ParameterError
from fer_lib.parameters import Parameters

__all__ = [
    "CLASS_NAMES", "ImageSet", "Splits", "load", "load_fer2013", "load_folders", "load_kdef", "make_synthetic",
]  # fmt: skip


def load(parameters: Parameters, data: str | Path | None = None) -> Splits:
    """Return the `Splits` that a study asks for; `data` is their path, `parameters.data` when None."""
    dataset, path, where = parameters.dataset, data or parameters.data, f"dataset: {parameters.dataset}"
    options = {key: getattr(parameters, key) for key in DATASETS[dataset].keys}
    if dataset == "synthetic":
        if path is not None:
            advice = "To read it, set dataset to fer2013, kdef or folders"
            raise ParameterError("Generated faces are drawn, not read", where, None, f"data: {path}", advice)
        return load_synthetic(parameters.protocol, **options)
    if path is None:
        expected = "their path in the parameter `data` or as --data"
        raise ParameterError("The study needs data that are not part of this project", where, expected)
    if dataset == "fer2013":  # its images have one size
        return load_fer2013(path, parameters.protocol, **options)
    load_images: Any = {"kdef": load_kdef, "folders": load_folders}[dataset]
    return load_images(path, parameters.protocol, parameters.image_size, **options)
