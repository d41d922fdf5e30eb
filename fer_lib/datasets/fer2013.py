"""FER-2013 (Goodfellow et al., 2013): 35,887 grey faces of 48 x 48 pixels, in each form that circulates.

==============  ========================================================================
classes         7: angry, disgust, fear, happy, neutral, sad, surprise
images          28,709 Training, 3,589 PublicTest, 3,589 PrivateTest
image           uint8, 48 x 48, 1 channel
folder or zip   `train/` and `test/` (Public and Private together), a folder a class
CSV             `fer2013.csv` or `icml_face_data.csv`, alone, in a folder or in a zip
==============  ========================================================================
"""

import os
from pathlib import Path, PurePosixPath

import numpy as np

from fer_lib.datasets import fer2013_csv, fer2013_tree
from fer_lib.datasets.archive import is_zip, open_files
from fer_lib.datasets.cache import cached_splits
from fer_lib.datasets.faces import Splits
from fer_lib.errors import DataError, ParameterError

OFFICIAL_USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
PAPER_VALIDATION_SHARE = 0.2
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
# Images of each class, in the order of CLASS_NAMES. The folder form's test/ is Public and Private together.
PUBLISHED = {
    "Training": (3995, 436, 4097, 7215, 4965, 4830, 3171),
    "PublicTest": (467, 56, 496, 895, 607, 653, 415),
    "PrivateTest": (491, 55, 528, 879, 626, 594, 416),
}
# The median of `pixels.sharpness` over the images of the Kaggle archive, in grey values squared.
PUBLISHED_SHARPNESS = 2030
WHERE_TO_GET_IT = "`fer-study fetch fer2013` downloads it, or see kaggle.com/datasets/msambare/fer2013"


def load_fer2013(path, protocol="paper", cache_dir=None):
    """Reads FER-2013 and cuts it by a protocol.

    Args:
        path: a zip, which is read in place, or a folder that holds `train/` and `test/`, at any depth; or
            `fer2013.csv` or `icml_face_data.csv`, or a folder or zip that holds one of them.
        protocol: `"paper"`, what `ImageDataGenerator(validation_split=0.2)` gives when its `training` subset is
            taken from `train/` and its `validation` subset from `test/`: per class, of the files sorted by name,
            all but the first `int(0.2 * n)` of `train/` (22,968 images) and the first `int(0.2 * n)` of `test/`
            (1,432); no test split. Only the folder and zip forms can give it.
            `"official"`, the cut of the challenge: Training (28,709), PublicTest (3,589), PrivateTest (3,589).
        cache_dir: where decoded images are kept; `$FER_CACHE` or `~/.cache/fer-study` when None.

    Returns:
        `Splits` with images uint8 `(n, 48, 48, 1)`. The ids are `train/angry/Training_3908.jpg`, the path inside
        the tree, or `Training/000123`, usage and position (from 0) of the row in the CSV.

    Raises:
        DataError: the data are missing, damaged, of another kind, or cannot give this protocol.
        ParameterError: an unknown protocol.
    """
    if protocol not in ("paper", "official"):
        raise ParameterError("Unknown protocol", expected="'paper' or 'official'", found=repr(protocol))
    path = Path(path).expanduser()
    _check_readable(path)
    return cached_splits(
        path, {"dataset": "fer2013", "protocol": protocol}, lambda: _read_splits(path, protocol), cache_dir
    )


def published_counts(protocol):
    """Images of each class that a whole FER-2013 gives: a dict of split -> list of 7 int, as CLASS_NAMES."""
    if protocol == "official":
        return {split: list(PUBLISHED[usage]) for split, usage in OFFICIAL_USAGES.items()}
    test = [
        public + private for public, private in zip(PUBLISHED["PublicTest"], PUBLISHED["PrivateTest"], strict=True)
    ]
    return {
        "train": [n - int(PAPER_VALIDATION_SHARE * n) for n in PUBLISHED["Training"]],
        "validation": [int(PAPER_VALIDATION_SHARE * n) for n in test],
    }


def _check_readable(path):
    if not path.exists():
        raise DataError("The data do not exist", where=path, advice=WHERE_TO_GET_IT)
    if not (path.is_file() or path.is_dir()) or not os.access(path, os.R_OK):
        raise DataError("The data cannot be read", where=path, expected="a file or folder that this user may read")


def _read_splits(path, protocol):
    faces, notes = _read(path)
    splits = _cut_paper(faces, path) if protocol == "paper" else _cut_official(faces, path)
    _require_every_class(splits, path)
    if left_out := len(faces) - sum(len(part) for part in splits.values() if part is not None):
        notes = (*notes, f"{left_out:,} of the {len(faces):,} images are used by no split of this protocol.")
    return Splits(**splits, dataset="fer2013", protocol=protocol, notes=notes)


def _read(path):
    """All images of `path` as one FaceSet, and notes. `metadata.folder` is `""` where there was no tree."""
    if path.is_file() and path.suffix.lower() == ".csv" and not is_zip(path):
        with open(path, "rb") as lines:
            return fer2013_csv.read_rows(lines, path), ()
    with open_files(path) as files:
        if fer2013_tree.has_tree(files.names):
            return fer2013_tree.read_tree(files)
        name = _csv_among(files)
        with files.open(name) as lines:
            faces = fer2013_csv.read_rows(lines, f"{path}: {name}")
        others = [other for other in files.names if other != name]
        return faces, (f"Read {name}; left out {', '.join(others[:5])}.",) if others else ()


def _csv_among(files):
    names = [name for name in files.names if PurePosixPath(name).name in CSV_NAMES]
    if len(names) == 1:
        return names[0]
    listed = names or files.names
    raise DataError(
        "FER-2013 is not there" if not names else "There is more than one CSV of FER-2013",
        where=files.path,
        expected=f"folders train/ and test/ with a folder a class in each, or {' or '.join(CSV_NAMES)}",
        found=", ".join(listed[:3]) + (f" and {len(listed) - 3:,} more" if len(listed) > 3 else "") or "no file",
        advice="Give the path of the one to read" if listed else WHERE_TO_GET_IT,
    )


def _cut_paper(faces, path):
    if not faces.metadata["folder"].any():
        raise DataError(
            "This form of FER-2013 cannot give the protocol 'paper'",
            where=path,
            expected="the zip or folder with train/ and test/, whose file names decide the cut",
            found="a CSV, which has no file names",
            advice="Give the archive of kaggle.com/datasets/msambare/fer2013, or use protocol 'official'",
        )
    first = _among_first(faces, PAPER_VALIDATION_SHARE)
    in_train = (faces.metadata["folder"] == "train").to_numpy()
    return {
        "train": faces.subset(in_train & ~first),
        "validation": faces.subset(~in_train & first),
        "test": None,
    }


def _among_first(faces, share):
    """A bool mask: among the first `int(share * n)` of a class folder's n files, sorted by name.

    Plain string order, the file names of a folder being compared by code point, as Keras' directory iterator does.
    """
    mask = np.zeros(len(faces), bool)
    folders = [name.rpartition("/")[0] for name in faces.ids.tolist()]
    for folder in sorted(set(folders)):
        members = np.flatnonzero(np.array(folders) == folder)
        members = members[np.argsort(faces.ids[members], kind="stable")]
        mask[members[: int(share * len(members))]] = True
    return mask


def _cut_official(faces, path):
    usage = faces.metadata["usage"].to_numpy()
    known = np.isin(usage, list(OFFICIAL_USAGES.values()))
    if not known.all():
        raise DataError(
            "These files cannot give the protocol 'official'",
            where=f"{path}: {faces.ids[~known][0]}",
            expected="file names that begin with Training_, PublicTest_ or PrivateTest_",
            found=f"{np.count_nonzero(~known):,} names that do not",
            advice="fer2013.csv, icml_face_data.csv and the archive of kaggle.com/datasets/msambare/fer2013 can; "
            "protocol 'paper' needs no such names",
        )
    return {split: faces.subset(usage == name) for split, name in OFFICIAL_USAGES.items()}


def _require_every_class(splits, path):
    for name, faces in splits.items():
        if faces is None:
            continue
        counts = faces.counts()
        if not counts.all():
            raise DataError(
                f"The split '{name}' is without images of a class",
                where=path,
                expected="images of all seven classes in each split",
                found=f"none of {', '.join(counts.index[counts == 0])} among {len(faces):,}",
            )
