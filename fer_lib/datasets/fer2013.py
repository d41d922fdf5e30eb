"""FER-2013 (Goodfellow et al., 2013): 35,887 grey faces of 48 x 48 pixels, in each form that circulates.

images        28,709 Training, 3,589 PublicTest, 3,589 PrivateTest; uint8, 48 x 48, 1 channel
folder, zip,  `train/` and `test/` (Public and Private together), or a folder for each of the three splits;
tar           below, a folder for each of 7 classes
CSV           `fer2013.csv` or `icml_face_data.csv`, alone, in a folder or an archive: one row per image, its
              emotion as 0..6, 48 * 48 grey values between blanks, usage
FER+          `fer2013new.csv` (Barsoum et al., 2016): other labels for the CSV's rows
"""

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from fer_lib.datasets import folders
from fer_lib.datasets.archive import Files, Header, listed, open_files
from fer_lib.datasets.cache import cached_images, state_hash
from fer_lib.datasets.splits import CLASS_NAMES, ImageSet, Splits, divided, require_one_of
from fer_lib.errors import DataError, shown
from fer_lib.files import find_file

CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
FERPLUS_NAME = "fer2013new.csv"
OFFICIAL_USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
PAPER_VALIDATION_SHARE = 0.2
# Images of each class, in the order of CLASS_NAMES. The folder form's test/ is Public and Private together.
PUBLISHED = {
    "Training": (3995, 436, 4097, 7215, 4965, 4830, 3171),
    "PublicTest": (467, 56, 496, 895, 607, 653, 415),
    "PrivateTest": (491, 55, 528, 879, 626, 594, 416),
}
# The median of `checks.sharpness` over the images of the Kaggle archive, in grey values squared.
PUBLISHED_SHARPNESS = 2030
# The integers of the column `emotion`, in their order, which is NOT the alphabetical one: neutral is last.
CSV_CLASS_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_GREY_VALUES = {str(value): value for value in range(256)}
_JUNK = "Copies with junk at the end circulate: remove that line, or download the file again"
WHERE_TO_GET_IT = "FER-2013 is at kaggle.com/datasets/msambare/fer2013"


def load_fer2013(path: str | Path, protocol: str = "paper", labels: str = "original") -> Splits:
    """Read FER-2013 and divide it by a protocol.

    Args:
        path: a folder or an archive that holds a tree of images or a CSV, at any depth; or the CSV itself.
        protocol: `"paper"`, what `ImageDataGenerator(validation_split=0.2)` gives when its `training` subset is
            taken from `train/` and its `validation` subset from `test/`: per class, of the files sorted by name,
            all but the first `int(0.2 * n)` of `train/` (22,968 images) and the first `int(0.2 * n)` of `test/`
            (1,432); no test split. Only the tree with `train/` and `test/` can give it.
            `"whole_test"`, the paper's training images, scored on all of `test/` (7,178); validation is the fifth
            of `train/` that the paper leaves out (5,741). The same tree.
            `"official"`, the splits of the challenge: Training (28,709), PublicTest (3,589), PrivateTest (3,589).
        labels: `"original"`; or `"ferplus"`, the majority of FER+'s ten votes: `fer2013new.csv` in the folder, or
            beside the CSV or archive. Images without a majority for one of the seven classes are left out.

    Returns `Splits` with images uint8 `(n, 48, 48, 1)`. The ids are `train/angry/Training_3908.jpg`, the path
    inside the tree, or `Training/000123`, usage and position (from 0) of the row in the CSV.
    """
    require_one_of("protocol", protocol, ("paper", "whole_test", "official"))
    require_one_of("labels", labels, ("original", "ferplus"))
    source = find_file(path, "FER-2013", advice=WHERE_TO_GET_IT)
    votes = None
    if labels == "ferplus":
        folder = source if source.is_dir() else source.parent
        votes = find_file(folder / FERPLUS_NAME, f"{FERPLUS_NAME} of github.com/microsoft/FERPlus")
    how = {"dataset": "fer2013", "votes": votes and state_hash(votes)}
    images, notes = cached_images(source, how, lambda: _read(source, votes))
    parts = _divide(images, protocol, source)
    if unused := len(images) - sum(map(len, parts.values())):
        notes.append(f"{unused:,} of the {len(images):,} images are used by no split of this protocol.")
    return divided(parts, "ferplus" if labels == "ferplus" else "fer2013", protocol, notes, source)


def published_counts(protocol: str) -> dict[str, list[int]]:
    """Images of each class that a whole FER-2013 gives: a dict of split -> list of 7 int, as CLASS_NAMES."""
    train, public, private = (np.array(counts) for counts in PUBLISHED.values())
    left_out, first = ((PAPER_VALIDATION_SHARE * counts).astype(int) for counts in (train, public + private))
    splits = {
        "official": {"train": train, "validation": public, "test": private},
        "whole_test": {"train": train - left_out, "validation": left_out, "test": public + private},
        "paper": {"train": train - left_out, "validation": first},
    }
    return {split: counts.tolist() for split, counts in splits[protocol].items()}


def _read(path: Path, votes: Path | None) -> tuple[ImageSet, list[str]]:
    with open_files(path) as files:
        tables = files.named(*CSV_NAMES)
        if not tables and len(files.names) == 1 and files.names[0].lower().endswith(".csv"):
            tables = files.names
        images, notes = _read_table(files, tables[0]) if tables else _read_tree(files)
    if votes:
        images, note = _with_votes(images, votes)
        notes.append(note)
    return images, notes


def _read_table(files: Files, name: str) -> tuple[ImageSet, list[str]]:
    """Every row of a CSV as an ImageSet in the order of the rows; and notes."""
    where = files.where(name)
    with files.open(name) as stream:
        table = _parse(stream, where, ("emotion", "pixels", "usage"))
    emotions = table["emotion"].str.strip()
    _require(emotions.str.fullmatch(r"[0-6](\.0*)?"), emotions, "A label is out of range", where, "0..6")
    usages = _usages(table, where)
    images = np.stack([_pixels(text, f"{where}: line {line}") for line, text in table["pixels"].items()])
    labels = np.array([CLASS_NAMES.index(CSV_CLASS_NAMES[int(text[0])]) for text in emotions], np.int64)
    ids = np.array([f"{usage}/{row:06d}" for row, usage in enumerate(usages)])
    whole = ImageSet(images, labels, ids, metadata=pd.DataFrame({"usage": usages.to_list(), "folder": ""}))
    others = sorted(set(files.names) - {name, *files.named(FERPLUS_NAME)})
    return whole, [f"Read {name}; left out {listed(others, 5)}."] if others else []


def _read_tree(files: Files) -> tuple[ImageSet, list[str]]:
    """All images of a tree as an ImageSet, sorted by id, with `usage` and `folder` in its metadata; and notes."""
    tree, notes = folders.find_tree(files, with_splits=True)
    names = {folder: folders.class_of(folder) for folder in sorted({image.class_name for image in tree})}
    classes = {folder: name for folder, name in names.items() if name}
    if unknown := sorted(names.keys() - classes.keys()):
        expected, advice = ", ".join(CLASS_NAMES), "`dataset: folders` reads any classes"
        raise DataError("Unknown class", files.path, expected, f"folders {listed(unknown)}", advice)
    if renamed := [f"{folder} as {name}" for folder, name in classes.items() if name != folder]:
        notes.append(f"Read as classes: {listed(renamed, 21)}.")
    three = len({image.split for image in tree}) == 3
    usages = {image: _usage(files, image, three) for image in tree}
    ids = {image: f"{folder}/{classes[image.class_name]}/{image.name}" for image, (_, folder) in usages.items()}
    images, headers = folders.read_tree(files, ids, classes, CLASS_NAMES, 48, False, "squash")
    for image, header in headers.items():
        if header != Header(48, 48, "L", False):
            expected = "48 x 48 pixels of 8-bit grey (Pillow's mode L)"
            found = f"{header.width} x {header.height} pixels of mode {header.mode}"
            advice = "`dataset: folders` reads images of any size, grey or colour"
            raise DataError("An image is not as in FER-2013", files.where(image.path), expected, found, advice)
    metadata = pd.DataFrame([usages[image] for image in headers], columns=["usage", "folder"])
    return dataclasses.replace(images, metadata=metadata), notes


def _usage(files: Files, image: folders.TreeImage, three: bool) -> tuple[str, str]:
    """The usage of an image, by its name or one of `three` folders, else ""; and its folder in the ids."""
    usage, by_folder = image.name.partition("_")[0], OFFICIAL_USAGES[image.split]
    folder = "train" if image.split == "train" else "test"
    if usage not in PUBLISHED:
        return (by_folder, image.split) if three else ("", folder)
    if (usage == "Training") != (folder == "train") or (three and usage != by_folder):
        expected = f"no image of {usage} in a folder of {image.split} images"
        advice = "Get the data from another place: what is measured on such files is not FER-2013"
        raise DataError("Training and test images are mixed up", files.where(image.path), expected, advice=advice)
    return usage, folder


def _read_votes(stream: IO[bytes], where: object) -> pd.DataFrame:
    """Read FER+'s votes: `usage`, and `class_name`: a class, "contempt", "unknown", "nf" or "no majority"."""
    table = _parse(stream, where, ("usage", "neutral", "unknown", "nf"))
    texts = table.drop(columns=["usage", "image name"], errors="ignore")
    for column in texts:
        _require(texts[column].str.fullmatch(r"\d{1,3}"), texts[column], "A vote is not a number", where, "0..10")
    # As in the authors' code: single votes are dropped, and a class must have more than half of what is left.
    votes = texts.astype(int)
    votes = votes.where(votes > 1, 0)
    winners = votes.idxmax(axis=1).map({name: folders.class_of(name) or name for name in votes})
    winners[votes.max(axis=1) <= votes.sum(axis=1) / 2] = "no majority"
    return pd.DataFrame({"usage": _usages(table, where), "class_name": winners}).reset_index(drop=True)


def _parse(stream: IO[bytes], where: object, needed: Sequence[str]) -> pd.DataFrame:
    """All rows as text, by the number of their line; column names in lower case."""
    try:
        # pandas warns, and drops values, where the first row is longer than the header.
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            table = pd.read_csv(
                stream, index_col=False, dtype=str, keep_default_na=False, skip_blank_lines=False,
                encoding="utf-8-sig", encoding_errors="replace",
            )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise DataError("The table cannot be read", where, "as many values in each line", error, _JUNK) from error
    table.columns = [name.strip().lower() for name in table]
    if not set(needed) <= set(table):
        expected, found = f"columns {', '.join(needed)}", f"the columns {shown(', '.join(table))}"
        raise DataError("This is not the table of FER-2013", where, expected, found)
    table.index += 2  # the header is line 1
    table = table.fillna("")
    if table.empty:
        raise DataError("The table has no rows", where=where)
    return table[table.ne("").any(axis=1)]


def _require(good: pd.Series, values: pd.Series, what: str, where: object, expected: str) -> None:
    """DataError that names the first line whose value is not good."""
    if not good.all():
        line = good.index[~good.to_numpy(bool)][0]
        raise DataError(what, f"{where}: line {line}", expected, shown(repr(values[line])), _JUNK)


def _usages(table: pd.DataFrame, where: object) -> pd.Series:
    usages = table["usage"].str.strip().str.lower().map(folders.SPLITS).map(OFFICIAL_USAGES)
    _require(usages.notna(), table["usage"], "Unknown Usage", where, "Training, PublicTest or PrivateTest")
    return usages


def _pixels(text: str, where: str) -> np.ndarray:
    """`(48, 48, 1)` uint8 of the values between blanks."""
    try:
        values = bytes(map(_GREY_VALUES.__getitem__, text.split()))
        return np.frombuffer(values, np.uint8).reshape(48, 48, 1)
    except (KeyError, ValueError) as error:
        raise DataError("A row does not hold 48 x 48 pixels", where, "2304 integers 0..255", error) from None


def _with_votes(images: ImageSet, path: Path) -> tuple[ImageSet, str]:
    """The images that FER+ gives one of the seven classes, with these labels; and a note."""
    with open_files(path) as files, files.open(FERPLUS_NAME) as stream:
        votes = _read_votes(stream, path)
    if votes["usage"].tolist() != images.metadata["usage"].tolist() or images.metadata["folder"].any():
        found = f"{len(votes):,} rows of votes for {len(images):,} images, or another order"
        expected = "fer2013.csv, and a row of votes for each of its rows, of the same Usage"
        raise DataError("FER+ does not fit the images", path, expected, found)
    keep = votes["class_name"].isin(CLASS_NAMES).to_numpy()
    left_out = votes["class_name"][~keep].replace({"nf": "not a face"}).value_counts().sort_index()
    labels = votes["class_name"][keep].map(CLASS_NAMES.index).to_numpy(np.int64)
    parts = ", ".join(f"{number:,} {name}" for name, number in left_out.items())
    note = f"Labels of FER+, majority of ten votes; left out {(~keep).sum():,} images: {parts or 'none'}."
    return dataclasses.replace(images.subset(keep), labels=labels), note


def _divide(images: ImageSet, protocol: str, path: Path) -> dict[str, ImageSet]:
    usage, folder = images.metadata["usage"].to_numpy(), images.metadata["folder"].to_numpy()
    if protocol == "official":
        known = np.isin(usage, list(OFFICIAL_USAGES.values()))
        if not known.all():
            expected = "file names that begin with Training_, PublicTest_ or PrivateTest_, or a folder for each"
            found, advice = images.ids[~known][0], "fer2013.csv can give it; protocol 'paper' needs no such names"
            raise DataError("These files cannot give the protocol 'official'", path, expected, found, advice)
        return {split: images.subset(usage == name) for split, name in OFFICIAL_USAGES.items()}
    if set(folder) != {"train", "test"}:
        found = "other splits" if folder.any() else "a CSV, which has no file names"
        expected = "train/ and test/, such as in the archive of kaggle.com/datasets/msambare/fer2013"
        raise DataError(f"These data cannot give the protocol '{protocol}'", path, expected, found, "Use official")
    # The first int(0.2 n) of a class folder's n files. The ids are sorted by code point, as Keras' iterator does.
    of_class = pd.Series(images.ids.tolist()).str.rpartition("/")[0]
    groups = of_class.groupby(of_class)
    first = (groups.cumcount() < (PAPER_VALIDATION_SHARE * groups.transform("size")).astype(int)).to_numpy()
    in_train, train = folder == "train", images.subset((folder == "train") & ~first)
    if protocol == "whole_test":
        return {"train": train, "validation": images.subset(in_train & first), "test": images.subset(~in_train)}
    return {"train": train, "validation": images.subset(~in_train & first)}
