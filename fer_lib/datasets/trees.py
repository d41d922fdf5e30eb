"""Images in a folder for each class: `<class>/<image>`, or that below a folder for each split.

Copies name these folders in many ways: `Training`, `PublicTest`, `val`; `Angry`, `happiness`, `0_angry`.
"""

import difflib
import re
from collections import namedtuple
from pathlib import PurePosixPath

from fer_lib.datasets.archive import check_kind, listed
from fer_lib.datasets.faces import CLASS_NAMES
from fer_lib.datasets.images import SUFFIXES
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
# One image: `split` is train, validation, test, or "" where no folder says; `class_name` is the folder's name;
# `name` is the path of the file, `file_name` its end.
TreeImage = namedtuple("TreeImage", ("split", "class_name", "file_name", "name"))


def class_of(folder):
    """Return the one of `CLASS_NAMES` that a folder name means (`Angry`, `0_angry`, `afraid`), or None."""
    return _CLASSES.get(re.sub(r"^\d+[ _.-]+", "", folder.strip().lower()))


def find_tree(files, with_splits):
    """Find the images of an open folder or archive, in folders of classes, `with_splits` in such of splits above.

    Returns a list of `TreeImage`, and notes; DataError where there is no tree, or more than images of one tree.
    """
    images = [name for name in files.names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    with_splits = with_splits or any(_place(name, True) for name in images)
    expected = "train/<class>/<image> and test/<class>/<image>" if with_splits else "<class>/<image>"
    places = {name: _place(name, with_splits) for name in images}
    roots = sorted({place[0] for place in places.values() if place})
    if not roots:
        raise nothing_found(files, expected)
    if len(roots) > 1:
        found = listed([root or "the top" for root in roots], 3)
        raise DataError("There is more than one tree of images", files.path, None, found, "Give the path of one")
    if elsewhere := [name for name, place in places.items() if not place]:
        expected = f"only images such as {roots[0]}{expected}"
        raise DataError("Images outside of the tree", files.path, expected, listed(elsewhere, 5), "Remove them")
    tree = [TreeImage(*places[name][1:], PurePosixPath(name).name, name) for name in images]
    notes = [f"The tree is in {roots[0]}."] if roots[0] else []
    if others := [*files.clutter, *(name for name in files.names if name not in places)]:
        notes.append(f"Left out {len(others):,} files that are not images: {listed(others, 5)}.")
    return tree, notes


def by_id(files, tree, id_of):
    """Return a dict of `id_of(image)` -> `TreeImage`, sorted by id; DataError where two images have one id."""
    rows = {}
    for image in tree:
        other = rows.setdefault(id_of(image), image)
        if other is not image:
            raise DataError("Two images have one name", files.path, found=f"{other.name} and {image.name}")
    return dict(sorted(rows.items()))


def _place(name, with_splits):
    """`(root, split, class folder)` of an image, or None where it is not in such folders."""
    *parents, folder = name.split("/")[:-1] or [""]
    split = SPLITS.get(parents[-1].lower(), "") if with_splits and parents else ""
    if not folder or (with_splits and not split):
        return None
    # train/train/angry and test/test/angry, as archives of archives have it.
    while parents and SPLITS.get(parents[-1].lower()) == split:
        parents.pop()
    return "".join(f"{parent}/" for parent in parents), split, folder


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
    last = {PurePosixPath(name).name.lower() for name in names}
    archives = [name for name in names if name.lower().endswith((".zip", ".tar", ".gz", ".csv"))]
    with_class = [name for name in names if class_of(PurePosixPath(name).parent.name)]
    advice = where_to_get_it
    if FERPLUS_NAME in last and len(archives) == 1:
        advice = FERPLUS_ADVICE
    elif any(KDEF_NAME.fullmatch(PurePosixPath(name).stem) for name in names):
        advice = "This is KDEF: set dataset: kdef"
    elif last & set(CSV_NAMES) or any(_place(name, True) for name in with_class):
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
