"""Images in a folder for each class: `<class>/<image>`, or that below a folder for each split.

`load_folders` reads images of one's own, of any classes and sizes. The rest finds such trees among the files of a
data set; copies name the folders in many ways: `Training`, `PublicTest`, `val`; `Angry`, `happiness`, `0_angry`.
"""

import dataclasses
import difflib
import re
from collections import namedtuple
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from fer_lib.datasets.archive import ASPECTS, SUFFIXES, check_kind, data_path, decode, listed, open_files
from fer_lib.datasets.cache import cached_splits
from fer_lib.datasets.splits import (
    CLASS_NAMES,
    ImageSet,
    Splits,
    fifth_of_each,
    require_every_class,
    require_one_of,
)
from fer_lib.errors import DataError, shown

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev", "publictest", "public_test"), "validation"),
    **dict.fromkeys(("test", "testing", "privatetest", "private_test"), "test"),
}
_CLASSES = {name: name for name in CLASS_NAMES} | {
    **{"anger": "angry", "disgusted": "disgust", "fearful": "fear", "afraid": "fear", "scared": "fear"},
    **{"happiness": "happy", "joy": "happy", "sadness": "sad", "surprised": "surprise"},
}
KDEF_NAME = re.compile(r"[AB][FM](0[1-9]|[12]\d|3[0-5])(AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR)", re.IGNORECASE)
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
FERPLUS_NAME = "fer2013new.csv"
FERPLUS_ADVICE = "These are the labels of FER+: put fer2013.csv beside them and set labels: ferplus"
# The path of an image and its parts; `split` is train, validation, test, or "" where no folder says, `class_name`
# the folder's name.
TreeImage = namedtuple("TreeImage", ("root", "split", "class_name", "file_name", "path"))


def load_folders(path, protocol="official", size=96, colour=False, aspect="crop"):
    """Read images of any classes and divide them by a protocol.

    Args:
        path: a folder or an archive with a folder for each of 2 to 1,000 classes, in one or in each of the folders
            train, validation and test (or Training, val, ...), at any depth.
        protocol: `"official"`: the split folders as they are; there must be train and one other. Where there is no
            validation folder, a fifth of the training images of each class is drawn for it.
            `"random"`: no split folders; a fifth of each class is drawn for validation, there is no test split.
        size, colour, aspect: see `archive.decode`.

    Returns:
        `Splits` whose `class_names` are the sorted names of the folders; the ids are paths in the tree.
    """
    require_one_of("protocol", protocol, ("official", "random"))
    require_one_of("aspect", aspect, ASPECTS)
    path = data_path(path)
    how = {"dataset": "folders", "size": size, "colour": colour, "aspect": aspect}
    # Undivided, so that both protocols share one entry of the cache.
    whole = cached_splits(path, how, lambda: _read(path, size, colour, aspect))
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
        images, results = decode(files, [image.path for image in rows.values()], size, colour, aspect)
    if errors := [result for result in results if isinstance(result, DataError)]:
        what = f"{len(errors):,} of the {len(rows):,} files cannot be read. The first: {errors[0].what}"
        raise DataError(what, listed([error.where for error in errors], 3), None, errors[0].found, "Remove them")
    labels = np.array([class_names.index(image.class_name) for image in rows.values()], np.int64)
    metadata = pd.DataFrame({"usage": [image.split for image in rows.values()]})
    faces = ImageSet(images, labels, np.array(list(rows)), tuple(class_names), metadata)
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


def class_of(folder):
    """Return the one of `CLASS_NAMES` that a folder name means (`Angry`, `0_angry`, `afraid`), or None."""
    return _CLASSES.get(re.sub(r"^\d+[ _.-]+", "", folder.strip().lower()))


def find_tree(files, with_splits):
    """Find the images of an open folder or archive, in folders of classes, `with_splits` in such of splits above.

    Returns a list of `TreeImage`, and notes; DataError where there is no tree, or more than images of one tree.
    """
    names = [name for name in files.names if name.lower().endswith(SUFFIXES)]
    with_splits = with_splits or any(_place(name, True) for name in names)
    expected = "train/<class>/<image> and test/<class>/<image>" if with_splits else "<class>/<image>"
    tree = [_place(name, with_splits) for name in names]
    roots = sorted({image.root for image in tree if image})
    if not roots:
        raise nothing_found(files, expected)
    if len(roots) > 1:
        found = listed([root or "the top" for root in roots], 3)
        raise DataError("There is more than one tree of images", files.path, None, found, "Give the path of one")
    if elsewhere := [name for name, image in zip(names, tree, strict=True) if not image]:
        expected = f"only images such as {roots[0]}{expected}"
        raise DataError("Images outside of the tree", files.path, expected, listed(elsewhere, 5), "Remove them")
    notes = [f"The tree is in {roots[0]}."] if roots[0] else []
    if others := [*files.clutter, *sorted(set(files.names) - set(names))]:
        notes.append(f"Left out {len(others):,} files that are not images: {listed(others, 5)}.")
    return tree, notes


def _place(name, with_splits):
    *parents, folder = name.split("/")[:-1] or [""]
    split = SPLITS.get(parents[-1].lower(), "") if with_splits and parents else ""
    if not folder or (with_splits and not split):
        return None
    # train/train/angry and test/test/angry, as archives of archives have it.
    while parents and SPLITS.get(parents[-1].lower()) == split:
        parents.pop()
    return TreeImage("".join(f"{parent}/" for parent in parents), split, folder, PurePosixPath(name).name, name)


def by_id(files, tree, id_of):
    """Return a dict of `id_of(image)` -> `TreeImage`, sorted by id; DataError where two images have one id."""
    rows = {}
    for image in tree:
        other = rows.setdefault(id_of(image), image)
        if other is not image:
            raise DataError("Two images have one name", files.path, found=f"{other.path} and {image.path}")
    return dict(sorted(rows.items()))


def require_classes(files, tree):
    """Return a sorted dict of folder -> class; DataError unless each split has the seven classes and no others."""
    classes = {folder: class_of(folder) for folder in sorted({image.class_name for image in tree})}
    expected = f"folders {', '.join(CLASS_NAMES)}"
    if unknown := [folder for folder, name in classes.items() if name is None]:
        near = {folder: difflib.get_close_matches(folder.lower(), _CLASSES, 1) for folder in unknown}
        hints = [f"{shown(folder)} is perhaps {_CLASSES[found[0]]}" for folder, found in near.items() if found]
        if all(folder.isdecimal() for folder in unknown):
            order = "fer2013.csv has neutral last, in the alphabet neutral is before sad"
            hints = [f"Numbers are ambiguous: {order}. Name the classes"]
        advice = ". ".join([*hints, "`dataset: folders` reads any classes"])
        raise DataError("Unknown class", files.path, expected, f"the folders {listed(unknown)}", advice)
    there = {f"{image.split}/{classes[image.class_name]}" for image in tree}
    splits = {"train"} | ({image.split for image in tree} - {"train"} or {"test"})
    wanted = {f"{split}/{name}" for split in splits for name in CLASS_NAMES}
    if missing := sorted(wanted - there):
        expected = f"images in {expected} of each split"
        raise DataError("Class folders are missing or empty", files.path, expected, f"none in {listed(missing)}")
    return classes


def nothing_found(files, expected, where_to_get_it=None):
    """The DataError where a data set is not there: what is there instead, as far as it is recognised."""
    names, here = files.names, shown(files.path.resolve().name)
    archives = [name for name in names if name.lower().endswith((".zip", ".tar", ".gz", ".csv"))]
    with_class = [name for name in names if class_of(PurePosixPath(name).parent.name)]
    advice = where_to_get_it
    if files.named(FERPLUS_NAME) and len(archives) == 1:
        advice = FERPLUS_ADVICE
    elif any(KDEF_NAME.fullmatch(PurePosixPath(name).stem) for name in names):
        advice = "This is KDEF: set dataset: kdef"
    elif files.named(*CSV_NAMES) or any(_place(name, True) for name in with_class):
        advice = "This is FER-2013: set dataset: fer2013"
    elif with_class and SPLITS.get(here.lower()):
        advice = f"This is {here}/ itself: give its parent, which holds all splits"
    elif with_class:
        advice = "There are folders of classes, but none of splits: `dataset: folders` reads them"
    elif names and all(name.lower().endswith(SUFFIXES) for name in names):
        advice = "There are images, but no folders of classes: give the folder that holds them all"
    elif archives and files.path.is_dir():
        advice = f"Give the path of the one to read, such as {files.path / archives[0]}"
    elif names:
        with files.open(names[0]) as stream:
            check_kind(stream.read(512), files.where(names[0]))
    found = f"{len(names):,} file{'s' * (len(names) > 1)}, such as {listed(names, 3)}" if names else "no file"
    return DataError("The data set is not there", files.path, expected, found, advice)
