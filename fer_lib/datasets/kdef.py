"""KDEF, the Karolinska Directed Emotional Faces (Lundqvist, Flykt and Ohman, 1998), by two protocols.

==============  ==============================================================================
classes         7: angry, disgust, fear, happy, neutral, sad, surprise
pictures        4,900: 70 persons (35 female, 35 male), 2 sessions, 7 expressions, 5 angles
picture         JPEG, colour, 562 wide, 762 high; here uint8, square, 3 channels or 1
original tree   140 folders, a person's session each: `AF01/AF01ANHL.JPG`
reorganised     7 folders, a class each: `angry/AF01ANHL.JPG` (`reorganise_kdef`)
==============  ==============================================================================

Ten of the published pictures are black; so at most 4,890 can be used.
"""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lib.datasets.archive import open_files
from fer_lib.datasets.cache import cached_splits
from fer_lib.datasets.faces import FaceSet, Splits
from fer_lib.datasets.kdef_names import ANGLES, all_names
from fer_lib.datasets.kdef_pictures import decode_pictures
from fer_lib.datasets.kdef_protocols import PROTOCOLS, cut, shared_persons
from fer_lib.datasets.kdef_tree import MOST_NAMED, WHERE_TO_GET_IT, find_pictures, left_out_note, listed
from fer_lib.errors import DataError, ParameterError

__all__ = ["load_kdef", "shared_persons"]

ASPECTS = ("crop", "pad", "squash")
SIZE = (562, 762)


def load_kdef(path, protocol="random", size=96, angles=ANGLES, colour=True, aspect="crop", seed=0, cache_dir=None):
    """Reads KDEF and cuts it by a protocol into train (80 %) and validation (20 %); there is no test split.

    Args:
        path: the original tree or its reorganisation by class, at any depth in a folder or a zip.
        protocol: `"random"`: one picture in five of each class, drawn at random, is for validation. It is what the
            paper and most others do, and it leaks: nearly every person, in the same session and with the same
            expression from another angle, stands in train too.
            `"subject"`: one person in five of each sex (7 of 35), with both sessions, is for validation, so that
            no person is in both splits. Both protocols train on the same share, so that the difference between
            their accuracies is what knowing the faces is worth. Neither has a test split, with 14 persons too few
            to halve: validation must then choose nothing, and results be those of the last epoch.
        size: side of the square pictures in pixels, 8 to 1024; or None, the pictures as they are, 562 x 762,
            for which `aspect` does not count. All 4,900 in colour are 0.14 GB at 96 pixels, 0.74 GB at 224, 4.6 GB
            at 562 (the square of `aspect="crop"`, pixel for pixel), 6.3 GB at None and 8.5 GB at 762 (the whole
            picture of `aspect="pad"`, pixel for pixel): in the cache, in memory, and twice that while they are
            loaded. 762 has 63 times the pixels of 96, and so costs a convolution about 63 times the work, and a
            non-local block 63 squared.
        angles: those of `FL`, `HL`, `S`, `HR`, `FR` to use.
        colour: 3 channels (RGB) or 1 (luminance).
        aspect: `"crop"`, the square in the middle (rows 100 to 662); `"pad"`, the whole picture, its outermost
            columns repeated beside it; `"squash"`, the whole picture stretched to a square.
        seed: what the random cut depends on, together with the names of the pictures or persons.
        cache_dir: where decoded pictures are kept; `$FER_CACHE` or `~/.cache/fer-study` when None. Both protocols
            and all seeds share an entry.

    Returns:
        `Splits` whose ids are KDEF's names, such as `AF01ANHL`, the same for both forms of the tree. `metadata`:
        `session` (A, B), `sex` (F, M), `person` (F01, in both sessions), `expression` (KDEF's code, such as AF),
        `angle`, and `usage`, empty, for the publisher makes no splits. `notes` account for all 4,900 pictures.

    Raises:
        DataError: nothing of KDEF is there, or a split would be without a class.
        ParameterError: an argument is out of range.
    """
    _check_arguments(protocol, size, angles, aspect, seed)
    # In KDEF's order, so that the same angles in another order are the same data.
    angles = tuple(angle for angle in ANGLES if angle in angles)
    path = Path(path).expanduser()
    _check_readable(path)
    how = {"dataset": "kdef", "size": size, "angles": angles, "colour": bool(colour), "aspect": aspect}
    # Uncut, so that all cuts of the same pictures share one entry of the cache.
    whole = cached_splits(path, how, lambda: _read(path, size, angles, colour, aspect), cache_dir)
    return cut(whole.train, whole.notes, protocol, seed, path)


def _check_readable(path):
    if not path.exists():
        raise DataError("The data do not exist", where=path, advice=WHERE_TO_GET_IT)
    if not (path.is_file() or path.is_dir()) or not os.access(path, os.R_OK):
        raise DataError("The data cannot be read", where=path, expected="a file or folder that this user may read")


def _check_arguments(protocol, size, angles, aspect, seed):
    if protocol not in PROTOCOLS:
        raise ParameterError("Unknown protocol", expected="'random' or 'subject'", found=repr(protocol))
    if aspect not in ASPECTS:
        raise ParameterError("Unknown aspect", expected="'crop', 'pad' or 'squash'", found=repr(aspect))
    if isinstance(angles, str) or not angles or not set(angles) <= set(ANGLES):
        raise ParameterError("Unknown angles", expected=f"some of {', '.join(ANGLES)}", found=repr(angles))
    if size is not None and not (isinstance(size, int) and 8 <= size <= 1024):
        raise ParameterError("Impossible size", expected="None or 8 to 1024 pixels", found=repr(size))
    if not (isinstance(seed, int) and seed >= 0):
        raise ParameterError("Impossible seed", expected="an integer from 0", found=repr(seed))


def _read(path, size, angles, colour, aspect):
    """All usable pictures, uncut, as the train split of a `Splits`: what the cache keeps."""
    with open_files(path) as files:
        tree = find_pictures(files)
        names = [name for name in tree.files if name.angle in angles]
        encoded = [tree.files[name] for name in names]
        images, faults, common = decode_pictures(files, encoded, size, colour, aspect)
    faulty = {names[position]: fault for position, fault in faults.items()}
    notes = (
        *tree.notes,
        *_fault_notes(faulty, tree.files),
        *_header_notes(common, size, colour),
        *_account(tree, faulty, angles),
    )
    keep = np.array([name not in faulty for name in names], bool)
    if not keep.any():
        there = [angle for angle in ANGLES if angle in {name.angle for name in tree.files} - set(angles)]
        raise DataError(
            "None of KDEF's pictures can be used",
            where=path,
            found=" ".join(notes),
            advice=f"There are pictures at other `angles`: {listed(there)}" if there else None,
        )
    faces = _face_set(images, names).subset(keep)
    return Splits(faces, None, None, "kdef", "uncut", notes=notes)


def _face_set(images, names):
    metadata = pd.DataFrame(
        {
            "usage": "",
            "session": [name.session for name in names],
            "sex": [name.sex for name in names],
            "person": [name.person for name in names],
            "expression": [name.expression for name in names],
            "angle": [name.angle for name in names],
        }
    )
    labels = np.array([name.label for name in names], np.int64)
    return FaceSet(images, labels, np.array([str(name) for name in names], dtype=str), metadata=metadata)


def _fault_notes(faulty, files):
    for fault in sorted(set(faulty.values())):
        yield left_out_note(fault, [files[name] for name, other in faulty.items() if other == fault])


def _header_notes(common, size, colour):
    """Notes where most pictures are not as published."""
    if common is None:
        return
    if common[:2] != SIZE:
        text = f"The pictures are {common.width} x {common.height} pixels, KDEF's are 562 x 762: not as published."
        yield text + (" They are enlarged." if size is not None and min(common[:2]) < size else "")
    if colour and common.mode == "L":
        yield "The pictures are grey, KDEF's are in colour: not as published."


def _account(tree, faulty, angles):
    """A sentence whose numbers add up to what a whole KDEF has, and one that names what is missing."""
    expected = all_names(angles)
    faults = {**tree.faults, **faulty}
    missing = [name for name in expected if name not in tree.files and name not in faults]
    counts = Counter(faults[name] for name in expected if name in faults)
    counts["missing"] = len(missing)
    used = len(expected) - counts.total()
    parts = [f"{used:,} used", *(f"{number:,} {fault}" for fault, number in sorted(counts.items()) if number)]
    yield f"Of the {len(expected):,} pictures of KDEF at {listed(angles)}: {', '.join(parts)}."
    if missing:
        yield f"Missing: {_missing(expected, missing)}."


def _missing(expected, missing):
    """Whole persons, angles, expressions and sessions by their name, then single pictures."""
    texts, rest = [], set(missing)
    for what, key in (
        ("the person", lambda name: name.person),
        ("the angle", lambda name: name.angle),
        ("the expression", lambda name: name.class_name),
        ("the folder", lambda name: name.folder),
    ):
        there, gone = Counter(map(key, expected)), Counter(map(key, missing))
        whole = [group for group in sorted(gone) if gone[group] == there[group]]
        # A folder of a missing person is not told a second time.
        if told := [group for group in whole if any(key(name) == group for name in rest)]:
            texts.append(f"{what}{'s' * (len(told) > 1)} {listed(_in_runs(told), MOST_NAMED)}")
        rest -= {name for name in rest if key(name) in whole}
    return "; ".join([*texts, *([listed(sorted(rest), MOST_NAMED)] if rest else [])])


def _in_runs(names):
    """Names, those whose numbers follow each other told by the first and the last: F02, F06 to F35, M01."""
    runs = []
    for name in names:
        if runs and name == _next(runs[-1][-1]):
            runs[-1].append(name)
        else:
            runs.append([name])
    return [text for run in runs for text in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else run)]


def _next(name):
    """The person or folder after this one: F09 -> F10; None after an angle."""
    return f"{name[:-2]}{int(name[-2:]) + 1:02d}" if name[-2:].isdigit() else None
