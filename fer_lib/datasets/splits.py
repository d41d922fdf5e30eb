"""Labelled images in memory: what every loader returns."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lib.errors import DataError, ParameterError, shown

CLASS_NAMES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The labelled images of one split; ValueError where the arrays do not fit together.

    Args:
        images: uint8 `(n, height, width, channels)`, 0 black to 255 white; 1 channel (grey) or 3 (RGB).
        labels: int64 `(n,)`, positions in `class_names`.
        ids: str `(n,)`, the stable name of each image in the files it came from, unique within the set.
        class_names: in the order of the labels.
        metadata: a row per image. `usage`: the split that the publisher gave it; KDEF adds `session`, `sex`,
            `subject`, `expression` and `angle`, grouped folders `subject`.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    class_names: tuple[str, ...] = CLASS_NAMES
    metadata: pd.DataFrame = None  # type: ignore[assignment]  # set below where it is not given

    def __post_init__(self) -> None:
        if self.metadata is None:
            object.__setattr__(self, "metadata", pd.DataFrame({"usage": [""] * len(self.images)}))
        received = [(part.dtype.kind, part.dtype.itemsize, part.ndim) for part in (self.images, self.labels)]
        lengths = {len(part) for part in (self.images, self.labels, self.ids, self.metadata)}
        if received != [("u", 1, 4), ("i", 8, 1)] or self.ids.dtype.kind != "U" or len(lengths) > 1:
            form = "images uint8 (n, height, width, channels), labels int64 (n,), ids str (n,), n rows of metadata"
            raise ValueError(f"An ImageSet needs {form}")
        if not np.isin(self.labels, range(len(self.class_names))).all():
            raise ValueError(f"Labels must be positions in {self.class_names}")

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, index: np.ndarray | slice) -> "ImageSet":
        """Return the images at `index` (a bool mask `(n,)`, integer positions or a slice), in that order."""
        metadata = self.metadata.iloc[index].reset_index(drop=True)
        return ImageSet(self.images[index], self.labels[index], self.ids[index], self.class_names, metadata)

    def counts(self) -> pd.Series:
        """Count the images of each class: an int64 Series by class name, in label order, zeros included."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return pd.Series(counts, index=list(self.class_names), name="images", dtype="int64")


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set divided by one protocol.

    Args:
        train, validation, test: an `ImageSet` to learn from, one to choose by, and one to open once, at the end;
            the last two may be None.
        dataset, protocol: a key of `DATASETS`, and the name of the division.
        notes: sentences that say what was left out or mapped, and why.
        fingerprint: sha256 (hex) of the images, labels and ids of all splits; computed when not given.
    """

    train: ImageSet
    validation: ImageSet | None
    test: ImageSet | None
    dataset: str
    protocol: str
    notes: tuple[str, ...] = ()
    fingerprint: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.fingerprint:
            return
        digest = hashlib.sha256()
        for name, part in self.items():
            digest.update(f"{name} {part.images.shape} {' '.join(part.class_names)}\n".encode())
            digest.update(np.ascontiguousarray(part.images).data)
            # A fixed byte order and one id a line, so that the same data have one fingerprint on every machine.
            digest.update(np.ascontiguousarray(part.labels, dtype="<i8").data)
            digest.update("\n".join(part.ids.tolist()).encode())
        object.__setattr__(self, "fingerprint", digest.hexdigest())

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in label order."""
        return self.train.class_names

    def items(self) -> list[tuple[str, ImageSet]]:
        """Return `(name, ImageSet)` of the splits that are present, in the order train, validation, test."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return [(name, part) for name, part in parts.items() if part is not None]


def require_one_of(name: str, value: str, known: Iterable[str]) -> None:
    """ParameterError unless an argument is one of the known values."""
    if value not in known:
        raise ParameterError(f"Unknown {name}", expected=" or ".join(map(repr, known)), found=repr(value))


def divided(
    parts: dict[str, ImageSet], dataset: str, protocol: str, notes: Iterable[str], path: Path, advice: str = ""
) -> Splits:
    """Return the `Splits` of a dict of split -> `ImageSet`; DataError unless each has an image of each class."""
    splits = Splits(parts["train"], parts.get("validation"), parts.get("test"), dataset, protocol, tuple(notes))
    for name, part in splits.items():
        counts = part.counts()
        if not counts.all():
            expected = f"images of all {len(counts)} classes in each split"
            found = f"none of {shown(', '.join(counts.index[counts == 0]))} among {len(part):,}"
            raise DataError(f"The split '{name}' is without images of a class", path, expected, found, advice)
    return splits


def fifth_of_each(names: Iterable, groups: Iterable) -> np.ndarray:
    """Draw a fifth of the names of each group, rounded, but at least one of two: a bool mask `(n,)`."""
    # The order of hashes is as good as a random one, and hardly depends on which other names are there.
    series = pd.Series(np.asarray(names))
    drawn: set = set()
    for _, group in series.groupby(np.asarray(groups)):
        order = sorted(group.unique(), key=lambda name: hashlib.sha256(f"0 {name}".encode()).digest())
        drawn |= set(order[: max(round(0.2 * len(order)), int(len(order) > 1))])
    return series.isin(drawn).to_numpy()
