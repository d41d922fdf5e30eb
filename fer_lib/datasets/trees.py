"""Images in a folder for each class: `<class>/<image>`, or that below a folder for each split.

Copies of FER-2013 and of people's own data name these folders in many ways: `Training`, `PublicTest`, `val`;
`Angry`, `happiness`, `0_angry`. One reading of them all, for `fer2013` and for `folders`.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from fer_lib.datasets.archive import check_kind, listed
from fer_lib.datasets.faces import CLASS_NAMES
from fer_lib.datasets.images import SUFFIXES
from fer_lib.errors import DataError, shown

SPLIT_NAMES = {
    "train": ("train", "training", "train_set"),
    "validation": ("validation", "val", "valid", "dev", "publictest", "public_test"),
    "test": ("test", "testing", "test_set", "privatetest", "private_test"),
}
_SPLITS = {name: split for split, names in SPLIT_NAMES.items() for name in names}
_CLASSES = {name: name for name in CLASS_NAMES} | {
    **dict.fromkeys(("anger", "angriness", "mad"), "angry"),
    **dict.fromkeys(("disgusted", "disgusting"), "disgust"),
    **dict.fromkeys(("fearful", "afraid", "scared"), "fear"),
    **dict.fromkeys(("happiness", "joy"), "happy"),
    **dict.fromkeys(("neutrality",), "neutral"),
    **dict.fromkeys(("sadness",), "sad"),
    **dict.fromkeys(("surprised",), "surprise"),
}
KDEF_NAME = re.compile(r"[AB][FM](0[1-9]|[12]\d|3[0-5])(AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR)", re.IGNORECASE)
FERPLUS_NAME = "fer2013new.csv"


@dataclass(frozen=True)
class TreeImage:
    """One image of a tree: `split` is train, validation, test, or "" where no folder says; `name` is its file."""

    split: str
    class_name: str
    file_name: str
    name: str


def class_of(folder):
    """Return the one of `CLASS_NAMES` that a folder name means (`Angry`, `0_angry`, `afraid`), or None."""
    return _CLASSES.get(re.sub(r"^\d+[ _.-]+", "", folder.strip().lower()))


def find_tree(files, with_splits):
    """Find the images and what their folders say.

    Args:
        files: an open folder or archive (`archive.open_files`); the tree may be under parent folders.
        with_splits: whether there must be a folder for each split.

    Returns:
        A list of `TreeImage`, with split folders by their canonical names and class folders as they are; and notes.

    Raises:
        DataError: there is no tree, more than one, or an image elsewhere.
    """
    images = [name for name in files.names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    with_splits = with_splits or any(_place(name, True) for name in images)
    places = {name: _place(name, with_splits) for name in images}
    roots = sorted({place[0] for place in places.values() if place})
    if not roots:
        raise nothing_found(
            files, "train/<class>/<image> and test/<class>/<image>" if with_splits else "<class>/<image>"
        )
    if len(roots) > 1:
        raise DataError(
            "There is more than one tree of images",
            where=files.path,
            expected="folders of splits or classes side by side, in one place",
            found=listed([root or "the top" for root in roots], 3),
            advice="Give the path of one of them",
        )
    if elsewhere := [name for name, place in places.items() if not place]:
        raise DataError(
            "Images do not belong to the tree",
            where=f"{files.path}: {elsewhere[0]}",
            expected=f"only {roots[0]}{'<split>/' if with_splits else ''}<class>/<image>",
            found=listed(elsewhere, 5),
            advice="Take them away, or give the path of a folder that holds the data set and nothing else",
        )
    tree = [TreeImage(*places[name][1:], PurePosixPath(name).name, name) for name in images]
    notes = [f"The tree is in {roots[0]}."] if roots[0] else []
    if others := [*files.clutter, *(name for name in files.names if name not in places)]:
        notes.append(f"Left out {len(others):,} files that are not images: {listed(others, 5)}.")
    return tree, notes


def _place(name, with_splits):
    """`(root, split, class folder)` of an image, or None where it is not in such folders."""
    *parents, folder = name.split("/")[:-1] or [""]
    if not folder:
        return None
    split = ""
    if with_splits:
        split = _SPLITS.get(parents[-1].lower(), "") if parents else ""
        # train/train/angry and test/test/angry, as archives of archives have it.
        while parents and _SPLITS.get(parents[-1].lower()) == split:
            parents.pop()
        if not split:
            return None
    return "".join(f"{parent}/" for parent in parents), split, folder


def require_classes(files, tree):
    """DataError unless each split of the tree has folders of the seven classes and no others."""
    folders = sorted({image.class_name for image in tree})
    if unknown := [folder for folder in folders if class_of(folder) is None]:
        near = {name: difflib.get_close_matches(name.lower(), _CLASSES, 1) for name in unknown}
        hints = [f"did you mean {_CLASSES[found[0]]} by {shown(name)}" for name, found in near.items() if found]
        advice = "`dataset: folders` reads images of any classes"
        if all(re.fullmatch("[0-6]", folder) for folder in unknown):
            advice = (
                "Numbers are ambiguous: fer2013.csv counts angry, disgust, fear, happy, sad, surprise, neutral, and "
                "alphabetical order has neutral before sad. Find out which one is meant and name the folders by it"
            )
        raise DataError(
            "Unknown class",
            where=files.path,
            expected=f"folders {', '.join(CLASS_NAMES)}",
            found=f"the folders {listed(unknown)}",
            advice=f"{'; '.join(hints).capitalize()}? {advice}" if hints else advice,
        )
    there = {(image.split, class_of(image.class_name)) for image in tree}
    splits = sorted({split for split, _ in there} | {"train"}, reverse=True)
    splits = splits if len(splits) > 1 else ["train", "test"]
    wanted = [(split, name) for split in splits for name in CLASS_NAMES]
    if missing := [f"{split}/{name}" for split, name in wanted if (split, name) not in there]:
        raise DataError(
            "A class folder is missing or empty",
            where=files.path,
            expected=f"images in folders {', '.join(CLASS_NAMES)} of each split",
            found=f"none in {listed(missing, 21)}",
        )


def nothing_found(files, expected, where_to_get_it=None):
    """The DataError where a data set is not there: what is there instead, as far as it is recognised."""
    names = files.names
    last = {PurePosixPath(name).name.lower() for name in names}
    folders = {PurePosixPath(name).parent.name for name in names}
    readable = [name for name in names if PurePosixPath(name).suffix.lower() in (".zip", ".tar", ".gz", ".csv")]
    advice = where_to_get_it
    if last == {FERPLUS_NAME}:
        advice = "These are the labels of FER+: put fer2013.csv beside them and set labels: ferplus"
    elif any(KDEF_NAME.fullmatch(PurePosixPath(name).stem) for name in names):
        advice = "This is KDEF: set dataset: kdef"
    elif {"fer2013.csv", "icml_face_data.csv"} & last or any(
        _place(n, True) and class_of(n.split("/")[-2]) for n in names
    ):
        advice = "This is FER-2013: set dataset: fer2013"
    elif any(class_of(folder) for folder in folders) and _SPLITS.get(files.path.resolve().name.lower()):
        advice = f"This is {files.path.resolve().name}/ itself: give its parent, which holds all splits"
    elif any(class_of(folder) for folder in folders):
        advice = "There are folders of classes, but none of splits: `dataset: folders` reads them"
    elif readable:
        advice = f"Give the path of the one to read, such as {files.path / readable[0]}"
    elif names:
        with files.open(names[0]) as stream:
            check_kind(stream.read(512), f"{files.path}: {names[0]}")
    found = f"{len(names):,} file{'s' * (len(names) > 1)}, such as {listed(names, 3)}" if names else "no file"
    return DataError("The data set is not there", files.path, expected, found, advice)
