"""Images of one's own: `<class>/<image>`, or that below train, validation and test; any classes and sizes."""

import dataclasses

import numpy as np
import pandas as pd

from fer_lib.datasets.archive import data_path, listed, open_files
from fer_lib.datasets.cache import cached_splits
from fer_lib.datasets.faces import FaceSet, Splits, fifth_of_each, require_every_class, require_one_of
from fer_lib.datasets.images import ASPECTS, decode
from fer_lib.datasets.trees import by_id, find_tree
from fer_lib.errors import DataError


def load_folders(path, protocol="official", size=96, colour=False, aspect="crop", cache_dir=None):
    """Read images of any classes and divide them by a protocol.

    Args:
        path: a folder or an archive with a folder for each of 2 to 1,000 classes, in one or in each of the folders
            train, validation and test (or Training, val, ...), at any depth.
        protocol: `"official"`: the split folders as they are; there must be train and one other. Where there is no
            validation folder, a fifth of the training images of each class is drawn for it.
            `"random"`: no split folders; a fifth of each class is drawn for validation, there is no test split.
        size, colour, aspect: see `images.decode`.
        cache_dir: where decoded images are kept; `$FER_CACHE` or `~/.cache/fer-study` when None.

    Returns:
        `Splits` whose `class_names` are the sorted names of the folders; the ids are paths in the tree.
    """
    require_one_of("protocol", protocol, ("official", "random"))
    require_one_of("aspect", aspect, ASPECTS)
    path = data_path(path)
    how = {"dataset": "folders", "size": size, "colour": colour, "aspect": aspect}
    # Undivided, so that both protocols share one entry of the cache.
    whole = cached_splits(path, how, lambda: _read(path, size, colour, aspect), cache_dir)
    splits = dataclasses.replace(whole, **_divide(whole.train, protocol, path), protocol=protocol, fingerprint="")
    require_every_class(splits, path)
    return splits


def _read(path, size, colour, aspect):
    with open_files(path) as files:
        tree, notes = find_tree(files, with_splits=False)
        class_names = sorted({image.class_name for image in tree})
        if not 2 <= len(class_names) <= 1000:
            found = f"{len(class_names):,}: {listed(class_names, 3)}"
            raise DataError("The number of classes is out of range", path, "2 to 1,000 folders", found)
        rows = by_id(files, tree, lambda image: f"{image.split}/{image.class_name}/{image.file_name}".lstrip("/"))
        images, results = decode(files, [image.name for image in rows.values()], size, colour, aspect)
    if errors := [result for result in results if isinstance(result, DataError)]:
        what = f"{len(errors):,} of the {len(rows):,} files cannot be read. The first: {errors[0].what}"
        raise DataError(what, listed([error.where for error in errors], 3), None, errors[0].found, "Remove them")
    labels = np.array([class_names.index(image.class_name) for image in rows.values()], np.int64)
    metadata = pd.DataFrame({"usage": [image.split for image in rows.values()]})
    faces = FaceSet(images, labels, np.array(list(rows)), tuple(class_names), metadata)
    return Splits(faces, None, None, "folders", "undivided", tuple(notes))


def _divide(faces, protocol, path):
    usage = faces.metadata["usage"]
    there = [split for split in ("train", "validation", "test") if (usage == split).any()]
    found = listed(there) or "folders of classes alone"
    if protocol == "random" and there:
        raise DataError("The data have splits of their own", path, None, found, "Use protocol: official")
    if protocol == "official" and ("train" not in there or len(there) < 2):
        expected = "train/ and validation/ or test/"
        raise DataError("A split is missing", path, expected, found, "Use protocol: random for classes alone")
    parts = {split: faces.subset((usage == split).to_numpy()) for split in there} or {"train": faces}
    if "validation" not in there:
        train, held_out = parts["train"], fifth_of_each(parts["train"].ids, parts["train"].labels)
        parts |= {"train": train.subset(~held_out), "validation": train.subset(held_out)}
    return parts
