"""Images in a folder for each class: `<class>/<image>`, or that below a folder for each split.

`load_folders` reads images of one's own, of any classes and sizes. The rest finds such trees among the files of a
data set; copies name the folders in many ways: `Training`, `PublicTest`, `val`; `Angry`, `happiness`, `0_angry`.
"""

import dataclasses
import re
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fer_lib.datasets.archive import ASPECTS, Files, Header, decode, listed, open_files
from fer_lib.datasets.cache import cached_images
from fer_lib.datasets.splits import CLASS_NAMES, ImageSet, Splits, divided, fifth_of_each, require_one_of
from fer_lib.errors import DataError
from fer_lib.files import find_file

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev", "publictest", "public_test"), "validation"),
    **dict.fromkeys(("test", "testing", "privatetest", "private_test"), "test"),
}
_CLASSES = {name: name for name in CLASS_NAMES} | {
    **{"anger": "angry", "disgusted": "disgust", "fearful": "fear", "afraid": "fear", "scared": "fear"},
    **{"happiness": "happy", "joy": "happy", "sadness": "sad", "surprised": "surprise"},
}
_NO_IDS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class TreeImage(NamedTuple):
    """The path of an image and its parts: `name` is the file's, after the subject's folder if there is one."""

    root: str
    split: str  # train, validation, test, or "" where no folder says
    class_name: str  # the folder's
    name: str
    path: str


def load_folders(
    path: str | Path, protocol: str = "official", size: int = 96, colour: bool = False, aspect: str = "crop",
    group: str | None = None,
) -> Splits:  # fmt: skip
    """Read images of any classes and divide them by a protocol.

    Args:
        path: a folder or an archive with a folder for each of 2 to 1,000 classes, in one or in each of the folders
            train, validation and test (or Training, val, ...), at any depth.
        protocol: `"official"`: the split folders as they are; there must be train and one other. Where there is no
            validation folder, a fifth of the training images of each class is drawn for it.
            `"random"`: no split folders; a fifth of each class is drawn for validation, there is no test split.
        size, colour, aspect: see `archive.decode`.
        group: what a fifth is drawn of, so that no subject is in both parts. None: of images. `"parent"`: of the
            folders in `<class>/<subject>/<image>`. Else of what this regular expression, or its first group, finds
            in the file names: `"^([^_]+)_"`. Subjects are drawn by their most frequent class.

    Returns `Splits` whose `class_names` are the sorted names of the folders, in Unicode's form NFC; names that
    differ in case alone are one. The ids are paths in the tree. With `group`, `metadata` has `subject`.
    """
    require_one_of("protocol", protocol, ("official", "random"))
    require_one_of("aspect", aspect, ASPECTS)
    source, nested = find_file(path, "The data"), group == "parent"
    how = {"dataset": "folders", "size": size, "colour": colour, "aspect": aspect, "nested": nested}
    images, notes = cached_images(source, how, lambda: _read(source, size, colour, aspect, nested))
    advice = ""
    if group is not None:
        subjects = _subjects(images.ids.tolist(), group, source)
        images = dataclasses.replace(images, metadata=images.metadata.assign(subject=subjects))
        advice = "Each class needs images of two subjects or more"
    return divided(_divide(images, protocol, source), "folders", protocol, notes, source, advice)


def _read(path: Path, size: int, colour: bool, aspect: str, nested: bool) -> tuple[ImageSet, list[str]]:
    with open_files(path) as files:
        tree, notes = find_tree(files, with_splits=False, nested=nested)
        classes, merged = _classes(tree)
        class_names = tuple(sorted(set(classes.values())))
        if not 2 <= len(class_names) <= 1000:
            found = f"{len(class_names):,}: {listed(class_names, 3)}"
            raise DataError("The number of classes is out of range", path, "2 to 1,000 folders", found)
        _require_images(files, tree, nested)
        rows = {image: f"{image.split}/{image.class_name}/{image.name}".lstrip("/") for image in tree}
        images, headers = read_tree(files, rows, classes, class_names, size, colour, aspect)
    if transparent := sum(header.transparent for header in headers.values()):
        notes.append(f"{transparent:,} images have transparent pixels, which were laid on white.")
    metadata = pd.DataFrame({"usage": [image.split for image in headers]})
    return dataclasses.replace(images, metadata=metadata), [*notes, *merged]


def read_tree(
    files: Files, ids: dict[TreeImage, str], classes: dict[str, str], class_names: tuple[str, ...],
    size: int, colour: bool, aspect: str,
) -> tuple[ImageSet, dict[TreeImage, Header]]:  # fmt: skip
    """Read the images of a tree, each with its id; `classes` are those of the folders.

    Returns an `ImageSet` without metadata, sorted by id, in Unicode's form NFC; and the headers in its order.
    """
    rows: dict[str, TreeImage] = {}
    for image, name in ids.items():
        if _NO_IDS.search(image.path):
            raise DataError("Invalid file name", files.path, "no control characters", image.path, "Rename it")
        other = rows.setdefault(unicodedata.normalize("NFC", name), image)
        if other is not image:
            raise DataError("Two images have one name", files.path, found=f"{other.path} and {image.path}")
    rows = dict(sorted(rows.items()))
    pixels, results = decode(files, [image.path for image in rows.values()], size, colour, aspect)
    headers = [result for result in results if isinstance(result, Header)]
    pairs = zip(rows.values(), results, strict=True)
    if errors := {image.path: result for image, result in pairs if isinstance(result, DataError)}:
        first = next(iter(errors.values()))
        what = f"{len(errors):,} of the {len(rows):,} images cannot be read. The first: {first.what}"
        raise DataError(what, files.where(listed(errors, 3)), first.expected, first.found, first.advice)
    positions = {name: label for label, name in enumerate(class_names)}
    labels = np.array([positions[classes[image.class_name]] for image in rows.values()], np.int64)
    whole = ImageSet(pixels, labels, np.array(list(rows)), class_names)
    return whole, dict(zip(rows.values(), headers, strict=True))


def _classes(tree: list[TreeImage]) -> tuple[dict[str, str], list[str]]:
    """A dict of folder -> class, and notes: names that look alike are one class."""
    alike = defaultdict(list)
    for name in sorted({image.class_name for image in tree}):
        alike[" ".join(unicodedata.normalize("NFC", name).casefold().split())].append(name)
    classes = {name: unicodedata.normalize("NFC", names[0]) for names in alike.values() for name in names}
    notes = [f"Read as one class: {', '.join(map(ascii, names))}." for names in alike.values() if len(names) > 1]
    return classes, notes


def _require_images(files: Files, tree: list[TreeImage], nested: bool) -> None:
    """DataError where a folder beside those of classes holds no image: an empty one, or one of other files."""
    classes = {image.path.rsplit("/", 2 if nested else 1)[0] for image in tree}
    parents = {folder.rpartition("/")[0] for folder in classes}
    if empty := [name for name in files.folders if name.rpartition("/")[0] in parents and name not in classes]:
        there = {folder: [name for name in files.names if name.startswith(f"{folder}/")] for folder in empty}
        found = listed([f"{folder} (holds {listed(names, 2) or 'nothing'})" for folder, names in there.items()], 5)
        advice = "Add images, convert what it holds to JPEG or PNG, or remove the folder"
        raise DataError("A class folder holds no image", files.path, "images in each", found, advice)


def _subjects(ids: list[str], group: str, path: Path) -> list[str]:
    """The subject of each image, by the folder above it or by a pattern of the file's name."""
    if group == "parent":
        return [name.split("/")[-2] for name in ids]
    matches = [re.search(group, name.rpartition("/")[2]) for name in ids]
    if unknown := [name for name, match in zip(ids, matches, strict=True) if not match]:
        raise DataError("`group` finds no subject in a file name", path, repr(group), listed(unknown, 3))
    return [match[1 if match.re.groups else 0] or "" for match in matches if match]


def _divide(images: ImageSet, protocol: str, path: Path) -> dict[str, ImageSet]:
    usage = images.metadata["usage"]
    there = [split for split in ("train", "validation", "test") if (usage == split).any()]
    found = listed(there) or "folders of classes alone"
    if protocol == "random" and there:
        raise DataError("The data have splits of their own", path, None, found, "Use protocol: official")
    if protocol == "official" and ("train" not in there or len(there) < 2):
        expected = "train/ and validation/ or test/"
        raise DataError("A split is missing", path, expected, found, "Use protocol: random for classes alone")
    parts = {split: images.subset((usage == split).to_numpy()) for split in there} or {"train": images}
    if "validation" not in there:
        train = parts["train"]
        names, groups = train.metadata.get("subject", train.ids), pd.Series(train.labels)
        if "subject" in train.metadata:  # by its most frequent class
            groups = groups.groupby(names).transform(lambda of_subject: of_subject.mode()[0])
        held_out = fifth_of_each(names, groups)
        parts |= {"train": train.subset(~held_out), "validation": train.subset(held_out)}
    return parts


def class_of(folder: str) -> str | None:
    """Return the one of `CLASS_NAMES` that a folder name means (`Angry`, `0_angry`, `afraid`), or None."""
    return _CLASSES.get(re.sub(r"^\d+[ _.-]+", "", folder.strip().lower()))


def find_tree(files: Files, with_splits: bool, nested: bool = False) -> tuple[list[TreeImage], list[str]]:
    """Find the images of an open folder or archive, in folders of classes, `with_splits` in such of splits above.

    With `nested`, each subject of a class has a folder of its own. Returns a list of `TreeImage`, and notes;
    DataError where there is no tree, or more than images of one tree.
    """
    with_splits = with_splits or any(_place(name, True, nested) for name in files.images)
    below = "<class>/<subject>/<image>" if nested else "<class>/<image>"
    expected = f"train/{below} and test/{below}" if with_splits else below
    places = [_place(name, with_splits, nested) for name in files.images]
    tree = [image for image in places if image]
    roots = sorted({image.root for image in tree})
    if not roots:
        raise nothing_found(files, "FER-2013 images" if with_splits else "images in folders of classes", expected)
    if len(roots) > 1:
        found = listed([root or "the top" for root in roots], 3)
        advice = "Give the path of one; for <class>/<subject>/<image> set group: parent"
        raise DataError("There is more than one tree of images", files.path, None, found, advice)
    if elsewhere := [name for name, image in zip(files.images, places, strict=True) if not image]:
        expected = f"only images such as {roots[0]}{expected}"
        raise DataError("Images outside of the tree", files.path, expected, listed(elsewhere, 5), "Remove them")
    notes = [f"The tree is in {roots[0]}."] if roots[0] else []
    if others := [*files.clutter, *sorted(set(files.names) - set(files.images))]:
        notes.append(f"Left out {len(others):,} files that are not images: {listed(others, 5)}.")
    return tree, notes


def _place(path: str, with_splits: bool, nested: bool = False) -> TreeImage | None:
    *parents, name = path.split("/")
    if nested and parents:
        name = f"{parents.pop()}/{name}"
    folder = parents.pop() if parents else ""
    split = SPLITS.get(parents[-1].lower(), "") if with_splits and parents else ""
    if not folder or (with_splits and not split):
        return None
    # train/train/angry and test/test/angry, as archives of archives have it.
    while parents and SPLITS.get(parents[-1].lower()) == split:
        parents.pop()
    return TreeImage("".join(f"{parent}/" for parent in parents), split, folder, name, path)


def nothing_found(files: Files, what: str, expected: str) -> DataError:
    """The DataError where a data set is not there, with what is there instead."""
    found = f"{len(files.names):,} files, such as {listed(files.names, 3)}" if files.names else "no file"
    advice = "Give the folder or archive that holds all of it, and set `dataset` to fer2013, kdef or folders"
    return DataError(f"No {what} found", files.path, expected, found, advice)
