"""Images of one's own: `<class>/<image>`, or that below `train`, `validation` and `test`; any classes, size, colour."""

import numpy as np
import pandas as pd

from fer_lib.datasets.archive import data_path, listed, open_files
from fer_lib.datasets.cache import cached_splits
from fer_lib.datasets.faces import FaceSet, Splits, fifth_of_each_class, require_every_class
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
            `"random"`: no split folders; a fifth of each class is drawn for validation, and there is no test split.
        size: side of the square images in pixels.
        colour: 3 channels (RGB) or 1 (luminance).
        aspect: `"crop"`, `"pad"` or `"squash"`, see `images.decode`.
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
    splits = Splits(
        **_divide(whole.train, protocol, path), dataset="folders", protocol=protocol, notes=whole.notes
    )
    require_every_class(splits, path)
    return splits


def _read(path, size, colour, aspect):
    with open_files(path) as files:
        tree, notes = find_tree(files, with_splits=False)
        class_names = sorted({image.class_name for image in tree})
        if not 2 <= len(class_names) <= MAX_CLASSES:
            found = f"{len(class_names):,}: {listed(class_names, 3)}"
            raise DataError("The number of classes is out of range", path, f"2 to {MAX_CLASSES:,} folders", found)
        tree = sorted(tree, key=lambda image: (image.split, image.class_name, image.file_name))
        images, results = decode(files, [image.name for image in tree], size, colour, aspect)
    if damaged := [
        image.name for image, result in zip(tree, results, strict=True) if isinstance(result, DataError)
    ]:
        first = next(result for result in results if isinstance(result, DataError))
        raise DataError(
            f"{len(damaged):,} of the {len(tree):,} files are not images, or damaged ones",
            where=path,
            found=f"{listed(damaged, 5)}; the first: {first.found or first.what}",
            advice="Remove or replace them",
        )
    ids = np.array(["/".join(filter(None, (image.split, image.class_name, image.file_name))) for image in tree])
    labels = np.array([class_names.index(image.class_name) for image in tree], np.int64)
    metadata = pd.DataFrame({"usage": [image.split for image in tree]})
    return Splits(
        FaceSet(images, labels, ids, tuple(class_names), metadata), None, None, "folders", "", tuple(notes)
    )


def _divide(faces, protocol, path):
    usage = faces.metadata["usage"].to_numpy()
    parts = {
        split: faces.subset(usage == split) if split in usage else None
        for split in ("train", "validation", "test")
    }
    if protocol == "random":
        if usage.any():
            found = listed([split for split, part in parts.items() if part is not None])
            raise DataError(
                "The data have splits of their own",
                path,
                "only folders of classes",
                found,
                "Use protocol: official",
            )
        parts["train"] = faces
    elif parts["train"] is None or not (parts["validation"] or parts["test"]):
        found = listed([split for split, part in parts.items() if part is not None]) or "folders of classes alone"
        raise DataError(
            "The data have no splits", path, "train/ and validation/ or test/", found, "Use protocol: random"
        )
    if parts["validation"] is None:
        held_out = fifth_of_each_class(parts["train"])
        parts["train"], parts["validation"] = parts["train"].subset(~held_out), parts["train"].subset(held_out)
    return parts
