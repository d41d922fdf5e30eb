"""KDEF, the Karolinska Directed Emotional Faces (Lundqvist, Flykt and Ohman, 1998), by two protocols.

    images          4,900: 70 subjects (35 female, 35 male), 2 sessions, 7 expressions, 5 angles
    image           JPEG, colour, 562 wide, 762 high; here uint8, square, 3 channels or 1
    original tree   140 folders, a subject's session each: `AF01/AF01ANHL.JPG`
    reorganised     7 folders, a class each: `angry/AF01ANHL.JPG`

Ten of the published images are black. The name of a file says what it shows, wherever it is: `AF01ANHL` is session
A, female, subject 01, angry, half left. Its folder can only contradict it.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from fer_lib.datasets.archive import ASPECTS, Files, Header, decode, listed, open_files
from fer_lib.datasets.cache import cached_images
from fer_lib.datasets.folders import class_of, nothing_found
from fer_lib.datasets.splits import CLASS_NAMES, ImageSet, Splits, divided, fifth_of_each, require_one_of
from fer_lib.errors import DataError, ParameterError
from fer_lib.files import find_file

# AF is "afraid" where it is the expression, and session A, female, where it begins the name.
EXPRESSIONS = {
    "AF": "fear", "AN": "angry", "DI": "disgust", "HA": "happy", "NE": "neutral", "SA": "sad", "SU": "surprise",
}  # fmt: skip
# Full left profile, half left, straight (one letter), half right, full right.
ANGLES = ("FL", "HL", "S", "HR", "FR")
# All 4,900: session, sex, number of the subject, expression, angle.
_PARTS = ("AB", "FM", [f"{number:02d}" for number in range(1, 36)], EXPRESSIONS, ANGLES)
NAMES = ["".join(parts) for parts in itertools.product(*_PARTS)]
# Names cut short in the published data: what the images show, and which name their folder lacks, tell them.
MISNAMED = {"AF31V": "AF31SAHL", "AM31H": "AM31SUHR"}
# The largest standard deviation of a colour channel, 0..255; portraits have 20 and more, noise on black far less.
BLANK_DEVIATION = 5.0
_NAME = re.compile(r"[AB][FM](0[1-9]|[12]\d|3[0-5])(AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR)", re.IGNORECASE)
_SITTING = re.compile(r"[AB][FM]\d\d", re.IGNORECASE)
WHERE_TO_GET_IT = "KDEF is given to researchers on request, see kdef.se"


def load_kdef(
    path: str | Path, protocol: str = "random", size: int = 96, angles: Sequence[str] = ANGLES,
    colour: bool = True, aspect: str = "crop",
) -> Splits:  # fmt: skip
    """Read KDEF and divide it by a protocol into train (80 %) and validation (20 %); there is no test split.

    Args:
        path: the original tree or its reorganisation by class, at any depth in a folder or an archive.
        protocol: `"random"`: one image in five of each class is for validation. It is what the paper and most
            others do, and it leaks: nearly every subject, in the same session and with the same expression from
            another angle, is in the training set too. `"subject"`: one subject in five of each sex (7 of 35).
        angles: those of `ANGLES` to use.
        size, colour, aspect: see `archive.decode`.

    Returns `Splits` whose ids are KDEF's names, such as `AF01ANHL`. `metadata`: `session` (A, B), `sex` (F, M),
    `subject` (F01, in both sessions), `expression` (AF), `angle`. `notes` say what is missing or left out.
    """
    require_one_of("protocol", protocol, ("random", "subject"))
    require_one_of("aspect", aspect, ASPECTS)
    if isinstance(angles, str) or not angles or not set(angles) <= set(ANGLES):
        raise ParameterError("Unknown angles", expected=f"some of {', '.join(ANGLES)}", found=repr(angles))
    # In KDEF's order, so that the same angles in another order are the same data.
    angles = tuple(angle for angle in ANGLES if angle in angles)
    source = find_file(path, "KDEF", advice=WHERE_TO_GET_IT)
    how = {"dataset": "kdef", "size": size, "angles": angles, "colour": bool(colour), "aspect": aspect}
    images, notes = cached_images(source, how, lambda: _read(source, size, angles, colour, aspect))
    return _divide(images, notes, protocol, source)


def find_images(files: Files) -> tuple[dict[str, str], list[str]]:
    """Find KDEF's images among the files of an open folder or archive, under whatever parent folders.

    Returns a sorted dict of name -> file (of several the one in the original tree, else the first), and notes.
    """
    candidates, left_out = defaultdict(list), defaultdict(list)
    for file in files.names:
        path = PurePosixPath(file)
        stem, folder = path.stem.upper(), path.parent.name
        name, of_class, of_sitting = MISNAMED.get(stem, stem), class_of(folder), _SITTING.fullmatch(folder)
        if path.suffix.lower() not in (".jpg", ".jpeg"):
            left_out["not a JPEG by the suffix"].append(file)
        elif not _NAME.fullmatch(name):
            left_out["invalid file name, unlike AF01ANHL"].append(file)
        elif (folder.upper() != name[:4]) if of_sitting else of_class not in (None, EXPRESSIONS[name[4:6]]):
            left_out["in a folder that contradicts the name"].append(file)
        else:
            candidates[name].append((stem in MISNAMED, not of_sitting, file))
    if not candidates:
        expected = "JPEG files such as AF01/AF01ANHL.JPG or angry/AF01ANHL.JPG"
        raise nothing_found(files, "KDEF images", expected)
    chosen = {name: min(candidates[name]) for name in sorted(candidates)}
    left_out["a second file of an image"] = [file for name in chosen for *_, file in sorted(candidates[name])[1:]]
    misnamed = {name: file for name, (is_misnamed, _, file) in chosen.items() if is_misnamed}
    notes = [f"{file} has an invalid name; it is known to be {name}." for name, file in misnamed.items()]
    notes += [_left_out(reason, names) for reason, names in left_out.items() if names]
    return {name: file for name, (*_, file) in chosen.items()}, notes


def _left_out(reason: str, names: list[str]) -> str:
    return f"Left out ({len(names):,}), {reason}: {listed(names, 50)}."


def _read(path: Path, size: int, angles: Sequence[str], colour: bool, aspect: str) -> tuple[ImageSet, list[str]]:
    """All usable images, and notes: what the cache keeps."""
    with open_files(path) as files:
        chosen, notes = find_images(files)
        names = [name for name in chosen if name[6:] in angles]
        images, results = decode(files, [chosen[name] for name in names], size, colour, aspect)
    faults = np.array([_fault(*each) for each in zip(images, results, strict=True)], dtype=str)
    for fault in sorted(set(faults) - {""}):
        notes.append(_left_out(fault, [chosen[names[index]] for index in np.flatnonzero(faults == fault)]))
    rows = [("", name[0], name[1], name[1:4], name[4:6], name[6:]) for name in names]
    metadata = pd.DataFrame(rows, columns=["usage", "session", "sex", "subject", "expression", "angle"])
    labels = metadata["expression"].map(EXPRESSIONS).map(CLASS_NAMES.index).to_numpy(np.int64)
    usable = ImageSet(images, labels, np.array(names, dtype=str), metadata=metadata).subset(faults == "")
    if missing := sorted({name for name in NAMES if name[6:] in angles} - set(names)):
        notes.append(f"Missing ({len(missing):,}): {listed(missing, 50)}.")
    return usable, notes


def _fault(pixels: np.ndarray, header: Header | DataError) -> str:
    if isinstance(header, DataError):
        return "damaged or not an image"
    return "blank" if pixels.std(axis=(0, 1)).max() < BLANK_DEVIATION else ""


def _divide(images: ImageSet, notes: Sequence[str], protocol: str, path: Path) -> Splits:
    about = images.metadata
    fifth = (images.ids, about["expression"]) if protocol == "random" else (about["subject"], about["sex"])
    held_out = fifth_of_each(*fifth)
    train, validation = images.subset(~held_out), images.subset(held_out)
    subjects, known = (set(part.metadata["subject"]) for part in (validation, train))
    leak = "The random split leaks: " if protocol == "random" else ""
    note = f"{leak}{len(subjects & known)} of {len(subjects)} validation subjects are also in train."
    two_subjects = "Protocol 'subject' needs at least two subjects of one sex. " if protocol == "subject" else ""
    parts, advice = {"train": train, "validation": validation}, two_subjects + " ".join(notes)
    return divided(parts, "kdef", protocol, [*notes, note], path, advice)
