"""FER-2013 as a tree of image files: `train/<class>/Training_*.jpg`, `test/<class>/PublicTest_*.jpg` and so on."""

import difflib
import io

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from fer_lib.datasets.faces import CLASS_NAMES, FaceSet
from fer_lib.errors import DataError

FOLDERS = ("train", "test")
SIZE = (48, 48)
# Which prefix of a file name belongs in which folder.
USAGE_FOLDERS = {"Training": "train", "PublicTest": "test", "PrivateTest": "test"}


def has_tree(names):
    """True where one of the file names has a folder `train` or `test` in it."""
    return any(not set(FOLDERS).isdisjoint(name.split("/")[:-1]) for name in names)


def read_tree(files):
    """Decodes every image of the tree.

    Args:
        files: an open folder or zip (`archive.open_files`); the tree may stand under parent folders.

    Returns:
        A `FaceSet` of images uint8 `(n, 48, 48, 1)` sorted by id, with `usage` (from the file name; `""` where it
        does not tell) and `folder` (`train` or `test`) in its metadata; and notes on what was left out.

    Raises:
        DataError: a class is missing, empty or unknown, or a file is not a grey image of 48 x 48 pixels.
    """
    root, ids = _strip_parents(files)
    labels = np.array([_label(files, root, name) for name in ids], dtype=np.int64)
    _check_classes(files, root, ids)
    usages = [_usage(files, root, name) for name in ids]
    images = np.empty((len(ids), *SIZE, 1), np.uint8)
    # disable=None: no bar where stderr is a log file or a notebook that is being executed.
    for index, name in enumerate(tqdm(ids, desc="Decoding FER-2013", unit=" images", disable=None)):
        with files.open(root + name) as stream:
            images[index, :, :, 0] = _decode(stream, f"{files.path}: {root}{name}")
    metadata = pd.DataFrame({"usage": usages, "folder": [name.partition("/")[0] for name in ids]})
    return FaceSet(images, labels, np.array(ids), metadata=metadata), _notes(files, root)


def _strip_parents(files):
    """`("archive/", ["train/angry/...", ...])` for files that all stand under `archive/`."""
    roots = {_root(name) for name in files.names} - {None}
    if len(roots) > 1:
        raise DataError(
            "There is more than one tree of images",
            where=files.path,
            expected="one folder train/ and one folder test/, side by side",
            found=" and ".join(f"{root}train or {root}test" for root in sorted(roots)[:3]),
            advice="Give the path of one of them",
        )
    root = roots.pop()
    for name in files.names:
        if _root(name) != root or len(name.removeprefix(root).split("/")) != 3:
            raise DataError(
                "A file does not belong to the tree",
                where=f"{files.path}: {name}",
                expected=f"only {root}train/<class>/<image> and {root}test/<class>/<image>",
                advice="Take it away, or give the path of a folder that holds FER-2013 and nothing else",
            )
    return root, sorted(name.removeprefix(root) for name in files.names)


def _root(name):
    folders = name.split("/")[:-1]
    place = next((place for place, folder in enumerate(folders) if folder in FOLDERS), None)
    return None if place is None else "".join(f"{folder}/" for folder in folders[:place])


def _label(files, root, name):
    class_name = name.split("/")[1]
    if class_name in CLASS_NAMES:
        return CLASS_NAMES.index(class_name)
    near = difflib.get_close_matches(class_name.lower(), CLASS_NAMES, n=1)
    raise DataError(
        "Unknown class",
        where=f"{files.path}: {root}{name}",
        expected=f"one of {', '.join(CLASS_NAMES)}",
        found=f"the folder {class_name!r}",
        advice=f"Did you mean {near[0]!r}?" if near else None,
    )


def _check_classes(files, root, ids):
    filled = {name.rpartition("/")[0] for name in ids}
    for folder in (f"{part}/{name}" for part in FOLDERS for name in CLASS_NAMES):
        if folder not in filled:
            raise DataError(
                "A class folder is empty" if root + folder in files.folders else "A class folder is missing",
                where=f"{files.path}: {root}{folder}",
                expected=f"folders {', '.join(CLASS_NAMES)} in both train/ and test/, with images in each",
            )


def _usage(files, root, name):
    folder, _, file_name = name.split("/")
    prefix = file_name.partition("_")[0]
    if prefix not in USAGE_FOLDERS:
        return ""
    if USAGE_FOLDERS[prefix] != folder:
        raise DataError(
            "train/ and test/ are mixed up",
            where=f"{files.path}: {root}{name}",
            expected=f"files named {prefix}_* in {USAGE_FOLDERS[prefix]}/",
            advice="Get the archive from another place: what is measured on such files is not FER-2013",
        )
    return prefix


def _decode(stream, where):
    """The pixels `(48, 48)` uint8 of an encoded image."""
    try:
        with Image.open(io.BytesIO(stream.read()), formats=("JPEG", "PNG")) as image:
            # Before decoding, so that an image of absurd size costs nothing.
            _check_header(image, where)
            return np.asarray(image)
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            "A file is no image, or a damaged one",
            where=where,
            expected="a JPEG or PNG",
            found="a file that cannot be identified" if "cannot identify" in str(error) else str(error),
        ) from error


def _check_header(image, where):
    if image.size != SIZE:
        raise DataError(
            "An image has the wrong size",
            where=where,
            expected="48 x 48 pixels",
            found=f"{image.width} x {image.height}",
        )
    if image.mode != "L":
        raise DataError(
            "An image is not grey",
            where=where,
            expected="8-bit grey (Pillow's mode L)",
            found=f"mode {image.mode}",
            advice="These are not the files of FER-2013, or were saved again by another programme",
        )


def _notes(files, root):
    notes = []
    if root:
        notes.append(f"The tree stands under {root}.")
    if files.clutter:
        listed = ", ".join(files.clutter[:5]) + (" ..." if len(files.clutter) > 5 else "")
        notes.append(f"Left out {len(files.clutter):,} files that are no part of the data: {listed}.")
    return tuple(notes)
