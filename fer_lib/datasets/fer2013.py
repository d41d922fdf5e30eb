"""FER-2013 (Goodfellow et al., 2013): 35,887 grey faces of 48 x 48 pixels, in each form that circulates.

==============  ========================================================================
classes         7: angry, disgust, fear, happy, neutral, sad, surprise
images          28,709 Training, 3,589 PublicTest, 3,589 PrivateTest
image           uint8, 48 x 48, 1 channel
folder, zip,    `train/` and `test/` (Public and Private together), or a folder for each
tar             of the three splits; below, a folder for each class
CSV             `fer2013.csv` or `icml_face_data.csv`, alone, in a folder or an archive
FER+            `fer2013new.csv` (Barsoum et al., 2016): other labels for the CSV's rows
==============  ========================================================================
"""

import dataclasses
import os
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from tqdm import tqdm

from fer_lib.datasets.archive import data_path, listed, open_files, open_regular
from fer_lib.datasets.cache import cached_splits, content_hash
from fer_lib.datasets.faces import CLASS_NAMES, FaceSet, Splits, require_every_class
from fer_lib.datasets.images import opened
from fer_lib.datasets.tables import read_images, read_votes
from fer_lib.datasets.trees import CSV_NAMES, FERPLUS_NAME, class_of, find_tree, nothing_found, require_classes
from fer_lib.errors import DataError, ParameterError, shown

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
WHERE_TO_GET_IT = "`fer-study fetch fer2013` downloads it, or see kaggle.com/datasets/msambare/fer2013"


def load_fer2013(path, protocol="paper", labels="original", cache_dir=None):
    """Read FER-2013 and divide it by a protocol.

    Args:
        path: a folder or an archive that holds a tree of images or a CSV, at any depth; or the CSV itself.
        protocol: `"paper"`, what `ImageDataGenerator(validation_split=0.2)` gives when its `training` subset is
            taken from `train/` and its `validation` subset from `test/`: per class, of the files sorted by name,
            all but the first `int(0.2 * n)` of `train/` (22,968 images) and the first `int(0.2 * n)` of `test/`
            (1,432); no test split. Only the tree with `train/` and `test/` can give it.
            `"official"`, the splits of the challenge: Training (28,709), PublicTest (3,589), PrivateTest (3,589).
        labels: `"original"`; or `"ferplus"`, the majority of FER+'s ten votes, which need a CSV and `fer2013new.csv`
            beside it. Images without a majority for one of the seven classes are left out.
        cache_dir: where decoded images are kept; `$FER_CACHE` or `~/.cache/fer-study` when None.

    Returns:
        `Splits` with images uint8 `(n, 48, 48, 1)`. The ids are `train/angry/Training_3908.jpg`, the path inside
        the tree, or `Training/000123`, usage and position (from 0) of the row in the CSV.

    Raises:
        DataError: the data are missing, damaged, of another kind, or cannot give this protocol or these labels.
        ParameterError: unknown protocol or labels.
    """
    for name, value, known in (
        ("protocol", protocol, ("paper", "official")),
        ("labels", labels, ("original", "ferplus")),
    ):
        if value not in known:
            raise ParameterError(f"Unknown {name}", expected=" or ".join(map(repr, known)), found=repr(value))
    path = data_path(path, WHERE_TO_GET_IT)
    votes = _votes_beside(path) if labels == "ferplus" else None
    how = {"dataset": "fer2013", "protocol": protocol, "labels": labels, "votes": votes and content_hash(votes)}
    return cached_splits(path, how, lambda: _read_splits(path, protocol, labels, votes), cache_dir)


def published_counts(protocol):
    """Images of each class that a whole FER-2013 gives: a dict of split -> list of 7 int, as CLASS_NAMES."""
    if protocol == "official":
        return {split: list(PUBLISHED[usage]) for split, usage in OFFICIAL_USAGES.items()}
    test = np.add(PUBLISHED["PublicTest"], PUBLISHED["PrivateTest"]).tolist()
    return {
        "train": [n - int(PAPER_VALIDATION_SHARE * n) for n in PUBLISHED["Training"]],
        "validation": [int(PAPER_VALIDATION_SHARE * n) for n in test],
    }


def _read_splits(path, protocol, labels, votes):
    with open_files(path) as files:
        tables = [name for name in files.names if _base_name(name) in CSV_NAMES]
        if not tables and len(files.names) == 1 and _base_name(files.names[0]).endswith((".csv", ".tsv")):
            tables = files.names
        faces, notes = _read_table(files, tables) if tables else _read_tree(files)
        if labels == "ferplus":
            faces, note = _with_votes(faces, files, votes)
            notes.append(note)
    parts = _divide_paper(faces, path) if protocol == "paper" else _divide_official(faces, path)
    if unused := len(faces) - sum(len(part) for part in parts.values() if part is not None):
        notes.append(f"{unused:,} of the {len(faces):,} images are used by no split of this protocol.")
    dataset = "ferplus" if labels == "ferplus" else "fer2013"
    splits = Splits(**parts, dataset=dataset, protocol=protocol, notes=tuple(notes))
    require_every_class(splits, path)
    return splits


def _base_name(name):
    return PurePosixPath(name).name.lower()


def _read_table(files, tables):
    if len(tables) > 1:
        advice = "Give the path of the one to read"
        raise DataError("There is more than one CSV of FER-2013", files.path, "one", listed(tables, 3), advice)
    with files.open(tables[0]) as stream:
        faces = read_images(stream, files.where(tables[0]))
    others = [name for name in files.names if name != tables[0] and _base_name(name) != FERPLUS_NAME]
    return faces, [f"Read {tables[0]}; left out {listed(others, 5)}."] if others else []


def _read_tree(files):
    """All images of a tree as a FaceSet, sorted by id, with `usage` and `folder` in its metadata; and notes."""
    if not any("/" in name for name in files.names):
        raise nothing_found(files, f"folders train/ and test/, or {' or '.join(CSV_NAMES)}", WHERE_TO_GET_IT)
    tree, notes = find_tree(files, with_splits=True)
    require_classes(files, tree)
    splits = {image.split for image in tree}
    rows = {}
    for image in tree:
        usage, folder = _usage(files, image, splits)
        name = f"{folder}/{class_of(image.class_name)}/{image.file_name}"
        if name in rows:
            raise DataError("Two images have one name", files.path, found=f"{image.name} and {rows[name][0]}")
        rows[name] = (image.name, usage, folder)
    if renamed := sorted({folder for image in tree if class_of(folder := image.class_name) != folder}):
        notes.append(
            f"Read as classes: {', '.join(f'{shown(folder)} as {class_of(folder)}' for folder in renamed)}."
        )
    ids = sorted(rows)
    images = np.empty((len(ids), 48, 48, 1), np.uint8)
    # disable=None: no bar where stderr is a log file or a notebook that is being executed.
    for index, name in enumerate(tqdm(ids, desc="Decoding FER-2013", unit=" images", disable=None)):
        images[index, :, :, 0] = _decode(files, rows[name][0])
    labels = np.array([CLASS_NAMES.index(name.split("/")[1]) for name in ids], np.int64)
    metadata = pd.DataFrame([rows[name][1:] for name in ids], columns=["usage", "folder"])
    return FaceSet(images, labels, np.array(ids), metadata=metadata), notes


def _usage(files, image, splits):
    """The usage of an image, "" where nothing says it, and its folder in the ids: train or test, as published."""
    usage = image.file_name.partition("_")[0]
    folder = "train" if image.split == "train" else "test"
    if usage not in PUBLISHED:
        # Public and Private are told apart by their folders where there are both, and else by names alone.
        return (OFFICIAL_USAGES[image.split], image.split) if len(splits) == 3 else ("", folder)
    if (usage == "Training") != (folder == "train") or (
        len(splits) == 3 and usage != OFFICIAL_USAGES[image.split]
    ):
        raise DataError(
            "Training and test images are mixed up",
            where=files.where(image.name),
            expected=f"no image of {usage} in a folder of {image.split} images",
            advice="Get the data from another place: what is measured on such files is not FER-2013",
        )
    return usage, folder


def _decode(files, name):
    """The pixels `(48, 48)` uint8 of an image file."""
    with opened(files, name, ("JPEG", "PNG")) as image:
        # Before decoding, so that a large image costs nothing.
        if image.size == (48, 48) and image.mode == "L":
            return np.asarray(image)
        expected = "48 x 48 pixels of 8-bit grey (Pillow's mode L)"
        found = f"{image.width} x {image.height} pixels of mode {image.mode}"
        advice = "`dataset: folders` reads images of any size, grey or colour"
        raise DataError("An image is not as in FER-2013", files.where(name), expected, found, advice)


def _votes_beside(path):
    """The path of fer2013new.csv beside a CSV or an archive, or None."""
    names = [] if path.is_dir() else os.listdir(path.parent)
    return next((path.parent / name for name in sorted(names) if name.lower() == FERPLUS_NAME), None)


def _with_votes(faces, files, beside):
    """The images that FER+ gives one of the seven classes, with these labels; and a note."""
    inside = [name for name in files.names if _base_name(name) == FERPLUS_NAME]
    is_tree = faces.metadata["folder"].any()
    if is_tree or not (inside or beside):
        raise DataError(
            "The labels of FER+ cannot be used with these data",
            where=files.path,
            expected=f"fer2013.csv, whose rows FER+ numbers, and {FERPLUS_NAME} beside it",
            found="a tree of images" if is_tree else f"no {FERPLUS_NAME}",
            advice="FER+ is at github.com/microsoft/FERPlus",
        )
    with open_regular(beside) if beside else files.open(inside[0]) as stream:
        votes = read_votes(stream, beside or files.where(inside[0]))
    if votes["usage"].tolist() != faces.metadata["usage"].tolist():
        found = f"{len(votes):,} rows of votes for {len(faces):,} images, or another order"
        raise DataError("FER+ does not fit the CSV", files.path, "a row for each row, of the same Usage", found)
    keep = votes["class_name"].isin(CLASS_NAMES).to_numpy()
    left_out = votes["class_name"][~keep].replace({"nf": "not a face"}).value_counts().sort_index()
    labels = votes["class_name"][keep].map(CLASS_NAMES.index).to_numpy(np.int64)
    parts = ", ".join(f"{number:,} {name}" for name, number in left_out.items())
    note = f"Labels of FER+, majority of ten votes; left out {(~keep).sum():,} images: {parts or 'none'}."
    return dataclasses.replace(faces.subset(keep), labels=labels), note


def _divide_paper(faces, path):
    if set(faces.metadata["folder"]) != {"train", "test"}:
        raise DataError(
            "This form of FER-2013 cannot give the protocol 'paper'",
            where=path,
            expected="an archive or folder with train/ and test/, whose file names decide the split",
            found="a CSV, which has no file names" if not faces.metadata["folder"].any() else "other splits",
            advice="Give the archive of kaggle.com/datasets/msambare/fer2013, or use protocol 'official'",
        )
    first = _among_first(faces, PAPER_VALIDATION_SHARE)
    in_train = (faces.metadata["folder"] == "train").to_numpy()
    return {"train": faces.subset(in_train & ~first), "validation": faces.subset(~in_train & first), "test": None}


def _among_first(faces, share):
    """A bool mask: among the first `int(share * n)` of a class folder's n files, sorted by name.

    Plain string order, the file names of a folder being compared by code point, as Keras' directory iterator does.
    """
    folders = pd.Series(faces.ids.tolist()).str.rpartition("/")[0]  # the ids are sorted
    groups = folders.groupby(folders)
    return (groups.cumcount() < (share * groups.transform("size")).astype(int)).to_numpy()


def _divide_official(faces, path):
    usage = faces.metadata["usage"].to_numpy()
    known = np.isin(usage, list(OFFICIAL_USAGES.values()))
    if not known.all():
        raise DataError(
            "These files cannot give the protocol 'official'",
            where=f"{path}: {faces.ids[~known][0]}",
            expected="file names that begin with Training_, PublicTest_ or PrivateTest_, or a folder for each",
            found=f"{np.count_nonzero(~known):,} names that do not",
            advice="fer2013.csv and icml_face_data.csv can; protocol 'paper' needs no such names",
        )
    return {split: faces.subset(usage == name) for split, name in OFFICIAL_USAGES.items()}
