"""Images of one's own: `<class>/<image>`, or that below `train`, `validation` and `test`; any classes and sizes."""

import numpy as np
import pandas as pd

from fer_lib.datasets.archive import data_path, listed, open_files
from fer_lib.datasets.cache import cached_splits
from fer_lib.datasets.faces import FaceSet, Splits, fifth_of_each, require_every_class
from fer_lib.datasets.images import decode
from fer_lib.datasets.trees import find_tree
from fer_lib.errors import DataError, ParameterError

PROTOCOLS = ("official", "random")
MAX_CLASSES = 1000


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

    Raises:
        DataError: there is no such tree, an image cannot be read, or a split is without a class.
        ParameterError: an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ParameterError("Unknown protocol", expected=" or ".join(map(repr, PROTOCOLS)), found=repr(protocol))
    path = data_path(path)
    how = {"dataset": "folders", "size": size, "colour": colour, "aspect": aspect}
    # Undivided, so that both protocols share one entry of the cache.
    whole = cached_splits(path, how, lambda: _read(path, size, colour, aspect), cache_dir)
    parts = _divide(whole.train, protocol, path)
    splits = Splits(**parts, dataset="folders", protocol=protocol, notes=whole.notes)
    require_every_class(splits, path)
    return splits


def _read(path, size, colour, aspect):
    with open_files(path) as files:
        tree, notes = find_tree(files, with_splits=False)
        class_names = sorted({image.class_name for image in tree})
        if not 2 <= len(class_names) <= MAX_CLASSES:
            found = f"{len(class_names):,}: {listed(class_names, 3)}"
            raise DataError("The number of classes is out of range", path, f"2 to {MAX_CLASSES:,} folders", found)
        rows = {"/".join(filter(None, (image.split, image.class_name, image.file_name))): image for image in tree}
        ids = sorted(rows)
        images, results = decode(files, [rows[name].name for name in ids], size, colour, aspect)
    if errors := [result for result in results if isinstance(result, DataError)]:
        what = f"{len(errors):,} of the {len(ids):,} files cannot be read. The first: {errors[0].what}"
        raise DataError(
            what, listed([error.where for error in errors], 3), found=errors[0].found, advice="Remove them"
        )
    labels = np.array([class_names.index(rows[name].class_name) for name in ids], np.int64)
    metadata = pd.DataFrame({"usage": [rows[name].split for name in ids]})
    faces = FaceSet(images, labels, np.array(ids), tuple(class_names), metadata)
    return Splits(faces, None, None, "folders", "undivided", tuple(notes))


def _divide(faces, protocol, path):
    usage = faces.metadata["usage"]
    there = [split for split in ("train", "validation", "test") if (usage == split).any()]
    if protocol == "random" and there:
        advice = "Use protocol: official"
        raise DataError(
            "The data have splits of their own", path, "folders of classes alone", listed(there), advice
        )
    if protocol == "official" and ("train" not in there or len(there) < 2):
        found = listed(there) or "folders of classes alone"
        raise DataError(
            "A split is missing", path, "train/ and validation/ or test/", found, "Use protocol: random"
        )
    usage = usage.replace("", "train").to_numpy()
    if "validation" not in there:
        in_train = np.flatnonzero(usage == "train")
        held_out = fifth_of_each(faces.ids[in_train], faces.labels[in_train])
        usage = usage.copy()
        usage[in_train[held_out]] = "validation"
    test = faces.subset(usage == "test") if "test" in there else None
    return {
        "train": faces.subset(usage == "train"),
        "validation": faces.subset(usage == "validation"),
        "test": test,
    }
