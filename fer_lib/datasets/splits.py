"""Labelled images in memory: what every loader returns, and all that the study knows about the data."""

import hashlib
from dataclasses import dataclass, field

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
        metadata: a DataFrame of `n` rows in the order of the images. Column `usage`: the split that the
            publisher gave the image; KDEF adds `session`, `sex`, `subject`, `expression` and `angle`.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    class_names: tuple = CLASS_NAMES
    metadata: pd.DataFrame = None

    def __post_init__(self):
        if self.metadata is None:
            object.__setattr__(self, "metadata", pd.DataFrame({"usage": [""] * len(self.images)}))
        images, labels, last = self.images, self.labels, len(self.class_names) - 1
        found = [(part.dtype, part.shape) for part in (images, labels, self.ids)]
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"`images` must be uint8 (n, height, width, channels). Received: {found[0]}")
        if labels.dtype != np.int64 or labels.ndim != 1 or self.ids.dtype.kind != "U":
            raise ValueError(f"`labels` must be int64 (n,), and `ids` str (n,). Received: {found[1:]}")
        if not np.isin(labels, range(last + 1)).all():
            raise ValueError(f"`labels` must lie in 0..{last}. Received: {np.unique(labels)}")
        lengths = {name: len(getattr(self, name)) for name in ("images", "labels", "ids", "metadata")}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"All parts of a ImageSet must be of one length. Received: {lengths}")

    def __len__(self):
        return len(self.images)

    def subset(self, index):
        """Return the images at `index` (a bool mask `(n,)`, integer positions or a slice), in that order."""
        metadata = self.metadata.iloc[index].reset_index(drop=True)
        return ImageSet(self.images[index], self.labels[index], self.ids[index], self.class_names, metadata)

    def limited_to(self, images):
        """Return at most so many images, evenly spaced through each class: the classes keep their shares."""
        if len(self) <= images:
            return self
        by_class = np.argsort(self.labels, kind="stable")
        return self.subset(np.sort(by_class[np.arange(images) * len(self) // images]))

    def counts(self):
        """Count the images of each class: an int64 Series by class name, in label order, zeros included."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return pd.Series(counts, index=list(self.class_names), name="images", dtype="int64")


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set divided by one protocol.

    Args:
        train, validation, test: an `ImageSet` to learn from, one to choose by, and one to open once, at the end;
            the last two may be None.
        dataset: `"fer2013"`, `"ferplus"` (with the labels of FER+), `"kdef"`, `"synthetic"` or `"folders"`.
        protocol: the name of the division, such as `"paper"` or `"official"`.
        notes: sentences that say what was left out or mapped, and why.
        fingerprint: sha256 (hex) of the images, labels and ids of all splits; computed when not given.
    """

    train: ImageSet
    validation: ImageSet | None
    test: ImageSet | None
    dataset: str
    protocol: str
    notes: tuple = ()
    fingerprint: str = field(default="", repr=False)

    def __post_init__(self):
        if self.fingerprint:
            return
        digest = hashlib.sha256()
        for name, faces in self.items():
            digest.update(f"{name} {faces.images.shape} {' '.join(faces.class_names)}\n".encode())
            digest.update(np.ascontiguousarray(faces.images))
            # A fixed byte order and one id a line, so that the same data have one fingerprint on every machine.
            digest.update(np.ascontiguousarray(faces.labels, dtype="<i8"))
            digest.update("\n".join(faces.ids.tolist()).encode())
        object.__setattr__(self, "fingerprint", digest.hexdigest())

    @property
    def class_names(self):
        """The names of the classes, in label order."""
        return self.train.class_names

    def items(self):
        """Return `(name, ImageSet)` of the splits that are present, in the order train, validation, test."""
        parts = [(name, getattr(self, name)) for name in ("train", "validation", "test")]
        return [(name, faces) for name, faces in parts if faces is not None]


def require_one_of(name, value, known):
    """ParameterError unless an argument is one of the known values."""
    if value not in known:
        raise ParameterError(f"Unknown {name}", expected=" or ".join(map(repr, known)), found=repr(value))


def require_every_class(splits, path, advice=None):
    """DataError unless each split of a `Splits` has an image of each class."""
    for name, faces in splits.items():
        counts = faces.counts()
        if not counts.all():
            expected = f"images of all {len(counts)} classes in each split"
            found = f"none of {shown(', '.join(counts.index[counts == 0]))} among {len(faces):,}"
            raise DataError(f"The split '{name}' is without images of a class", path, expected, found, advice)


def fifth_of_each(names, groups):
    """Draw a fifth of the names of each group, rounded, but at least one of two: a bool mask `(n,)`."""
    # The order of hashes is as good as a random one, and depends neither on NumPy's version nor, but for a few
    # names, on which others are there.
    names, drawn = pd.Series(np.asarray(names)), set()
    for _, group in names.groupby(np.asarray(groups)):
        order = sorted(group.unique(), key=lambda name: hashlib.sha256(f"0 {name}".encode()).digest())
        drawn |= set(order[: max(round(0.2 * len(order)), int(len(order) > 1))])
    return names.isin(drawn).to_numpy()
