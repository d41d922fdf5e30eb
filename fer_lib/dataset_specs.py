"""What parameters, tables and pages say of a data set, once for each; `datasets.load` has its loader."""

from typing import NamedTuple


class DatasetSpec(NamedTuple):
    """Its name on pages, its protocols, and the parameters that only some data sets have."""

    title: str
    protocols: tuple[str, ...]
    keys: tuple[str, ...] = ()


DATASETS = {
    "synthetic": DatasetSpec("generated faces", ("official", "paper", "whole_test"), ("generated_images",)),
    "fer2013": DatasetSpec("FER-2013", ("paper", "whole_test", "official"), ("labels",)),
    "ferplus": DatasetSpec("FER-2013 with the labels of FER+", ("official",)),
    "kdef": DatasetSpec("KDEF", ("random", "subject"), ("angles", "colour", "aspect")),
    "folders": DatasetSpec("own images", ("official", "random"), ("colour", "aspect", "group")),
}
