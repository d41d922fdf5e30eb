"""KDEF, the Karolinska Directed Emotional Faces (Lundqvist, Flykt and Ohman, 1998), by two protocols.

==============  ==============================================================================
classes         7: angry, disgust, fear, happy, neutral, sad, surprise
images          4,900: 70 subjects (35 female, 35 male), 2 sessions, 7 expressions, 5 angles
image           JPEG, colour, 562 wide, 762 high; here uint8, square, 3 channels or 1
original tree   140 folders, a subject's session each: `AF01/AF01ANHL.JPG`
reorganised     7 folders, a class each: `angry/AF01ANHL.JPG` (`reorganise_kdef`)
==============  ==============================================================================

Ten of the published images are black; so at most 4,890 can be used. The name of a file says what it shows, wherever
it is: `AF01ANHL` is session A, female, subject 01, angry, half left profile. Its folder can only contradict it.
"""

import dataclasses
import itertools
import re
from collections import Counter, defaultdict
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from fer_lib.datasets.archive import data_path, listed, open_files
from fer_lib.datasets.cache import cached_splits
from fer_lib.datasets.faces import (
    CLASS_NAMES,
    FaceSet,
    Splits,
    draw_fifth,
    fifth_of_each_class,
    require_every_class,
)
from fer_lib.datasets.images import decode
from fer_lib.datasets.trees import KDEF_NAME, class_of, nothing_found
from fer_lib.errors import DataError, ParameterError

SESSIONS = ("A", "B")
SEXES = ("F", "M")
NUMBERS = tuple(f"{number:02d}" for number in range(1, 36))
# AF is "afraid" where it is the expression, and session A, female, where it begins the name.
EXPRESSIONS = {
    **{"AF": "fear", "AN": "angry", "DI": "disgust", "HA": "happy"},
    **{"NE": "neutral", "SA": "sad", "SU": "surprise"},
}
# Full left profile, half left, straight (one letter), half right, full right.
ANGLES = ("FL", "HL", "S", "HR", "FR")
# Two images of the published data have names cut short. What they show, and which of their folder's names is
# not there, tell what they are.
MISNAMED = {"AF31V": "AF31SAHL", "AM31H": "AM31SUHR"}
ASPECTS = ("crop", "pad", "squash")
SIZE = (562, 762)
# The largest standard deviation of a colour channel, 0..255. Generated portraits, 4,890 of them, have 20 and more;
# noise on a black frame is far below it, and averaged away by resizing.
BLANK_DEVIATION = 5.0
CONTRADICTING = "in a folder that contradicts the name"
INVALID = "invalid file name (expected session, sex, subject, expression, angle, such as AF01ANHL)"
WHERE_TO_GET_IT = "KDEF is given to researchers on request, see kdef.se"


class KdefName(NamedTuple):
    """What an image's name says. `str()` is the name as KDEF writes it, without the suffix."""

    session: str
    sex: str
    number: str
    expression: str
    angle: str

    @property
    def subject(self):
        """Such as `F01`: the same subject in session A (`AF01...`) and in session B (`BF01...`)."""
        return self.sex + self.number

    @property
    def class_name(self):
        """The expression as one of `CLASS_NAMES`."""
        return EXPRESSIONS[self.expression]

    def __str__(self):
        return "".join(self)


def parse_name(stem):
    """The `KdefName` of a file name without its suffix, upper or lower case; None where it is invalid."""
    stem = stem.upper()
    return KdefName(stem[0], stem[1], stem[2:4], stem[4:6], stem[6:]) if KDEF_NAME.fullmatch(stem) else None


def all_names(angles=ANGLES):
    """The names that a whole KDEF has at these angles, sorted: 980 an angle."""
    return sorted(itertools.starmap(KdefName, itertools.product(SESSIONS, SEXES, NUMBERS, EXPRESSIONS, angles)))


def load_kdef(path, protocol="random", size=96, angles=ANGLES, colour=True, aspect="crop", cache_dir=None):
    """Read KDEF and divide it by a protocol into train (80 %) and validation (20 %); there is no test split.

    Args:
        path: the original tree or its reorganisation by class, at any depth in a folder or an archive.
        protocol: `"random"`: one image in five of each class, drawn at random, is for validation. It is what the
            paper and most others do, and it leaks: nearly every subject, in the same session and with the same
            expression from another angle, is in the training set too.
            `"subject"`: one subject in five of each sex (7 of 35), with both sessions, is for validation, so that
            no subject is in both splits. Both protocols train on the same share, so that the difference between
            their accuracies is what knowing the faces is worth. Neither has a test split, with 14 subjects too few
            to halve: validation must then choose nothing, and results be those of the last epoch.
        size: side of the square images in pixels, 8 to 1024. All 4,900 in colour are 0.14 GB at 96 pixels, 0.74 GB
            at 224, 4.6 GB at 562 (the square of `aspect="crop"`, pixel for pixel) and 8.5 GB at 762 (the whole
            image of `aspect="pad"`, pixel for pixel): in the cache, in memory, and twice that while they are loaded.
        angles: those of `FL`, `HL`, `S`, `HR`, `FR` to use.
        colour: 3 channels (RGB) or 1 (luminance).
        aspect: `"crop"`, `"pad"` or `"squash"`, see `images.decode`.
        cache_dir: where decoded images are kept; `$FER_CACHE` or `~/.cache/fer-study` when None. Both protocols
            share an entry.

    Returns:
        `Splits` whose ids are KDEF's names, such as `AF01ANHL`, the same for both forms of the tree. `metadata`:
        `session` (A, B), `sex` (F, M), `subject` (F01, in both sessions), `expression` (KDEF's code, such as AF),
        `angle`, and `usage`, empty, for the publisher makes no splits. `notes` account for all 4,900 images.

    Raises:
        DataError: nothing of KDEF is there, or a split would be without a class.
        ParameterError: an argument is out of range.
    """
    if protocol not in PROTOCOLS:
        raise ParameterError("Unknown protocol", expected="'random' or 'subject'", found=repr(protocol))
    if aspect not in ASPECTS:
        raise ParameterError("Unknown aspect", expected="'crop', 'pad' or 'squash'", found=repr(aspect))
    if isinstance(angles, str) or not angles or not set(angles) <= set(ANGLES):
        raise ParameterError("Unknown angles", expected=f"some of {', '.join(ANGLES)}", found=repr(angles))
    if not (isinstance(size, int) and 8 <= size <= 1024):
        raise ParameterError("Size out of range", expected="8 to 1024 pixels", found=repr(size))
    # In KDEF's order, so that the same angles in another order are the same data.
    angles = tuple(angle for angle in ANGLES if angle in angles)
    path = data_path(path, WHERE_TO_GET_IT)
    how = {"dataset": "kdef", "size": size, "angles": angles, "colour": bool(colour), "aspect": aspect}
    # Undivided, so that both protocols share one entry of the cache.
    whole = cached_splits(path, how, lambda: _read(path, size, angles, colour, aspect), cache_dir)
    return _divide(whole.train, whole.notes, protocol, path)


def find_images(files):
    """Find KDEF's images among files.

    Args:
        files: an open folder or archive (`archive.open_files`); the tree may be under parent folders.

    Returns:
        A dict of `KdefName` -> the file to read, sorted by name: of an image that is there more than once, the file in
        the original tree, else the first; and sentences on what was mapped or left out.

    Raises:
        DataError: no file is an image of KDEF.
    """
    candidates, left_out = defaultdict(list), defaultdict(list)
    for file in files.names:
        path = PurePosixPath(file)
        name = parse_name(MISNAMED.get(path.stem.upper(), path.stem))
        if path.suffix.lower() not in (".jpg", ".jpeg"):
            left_out["not a JPEG by the suffix"].append(file)
        elif name is None:
            averaged = "akdef" in (part.lower() for part in path.parts[:-1])
            left_out["the average of several subjects (AKDEF)" if averaged else INVALID].append(file)
        elif _contradicts(path.parent.name, name):
            left_out[CONTRADICTING].append(file)
        else:
            candidates[name].append(file)
    if not candidates:
        error = nothing_found(files, "JPEG files such as AF01/AF01ANHL.JPG or angry/AF01ANHL.JPG", WHERE_TO_GET_IT)
        if contradicting := left_out[CONTRADICTING]:
            error.found = f"only images {CONTRADICTING}, such as {listed(contradicting, 3)}"
        raise error
    ordered = {name: sorted(candidates[name], key=_preference) for name in sorted(candidates)}
    left_out["a second file of an image"] = [
        file for files_of_one in ordered.values() for file in files_of_one[1:]
    ]
    left_out["what operating systems and editors leave behind"] = files.clutter
    chosen = {name: files_of_one[0] for name, files_of_one in ordered.items()}
    misnamed = {name: file for name, file in chosen.items() if _is_misnamed(file)}
    notes = [f"{file} has an invalid name; it is known to be {name}." for name, file in misnamed.items()]
    if others := [file for file in chosen.values() if _preference(file)[1] == 2]:
        folders = "for their folders are named neither after a subject (AF01) nor after a class (angry)"
        notes.append(f"Read by their names alone ({len(others):,}), {folders}: {listed(others, 3)}.")
    return chosen, notes + [_left_out(reason, names) for reason, names in left_out.items() if names]


def shared_subjects(splits):
    """The subjects who are in train and also in validation: a sorted list, empty where nothing leaks."""
    return sorted(set(splits.train.metadata["subject"]) & set(splits.validation.metadata["subject"]))


def known_to_train(splits, protocol):
    """What train would know of each validation image, were all images of `splits` divided by `protocol`.

    Returns:
        A DataFrame, a row a validation image: `id`; `subject_known`, whether train has the subject; and
        `known_by`, the id of the train image of the same subject, session and expression from the nearest angle,
        "" where there is none.
    """
    parts = [faces for _, faces in splits.items()]
    ids = np.concatenate([faces.ids for faces in parts])
    metadata = pd.concat([faces.metadata for faces in parts], ignore_index=True)
    labels = np.concatenate([faces.labels for faces in parts])
    # One pixel each: the protocols depend on names alone.
    whole = FaceSet(np.zeros((len(ids), 1, 1, 1), np.uint8), labels, ids, metadata=metadata)
    held_out = PROTOCOLS[protocol](whole)
    images = metadata.assign(id=ids, place=metadata["angle"].map(ANGLES.index))
    train, validation = images[~held_out], images[held_out].sort_values("id")
    sittings = dict(list(train.groupby(["subject", "session", "expression"])))
    known_by = []
    for row in validation.itertuples():
        siblings = sittings.get((row.subject, row.session, row.expression))
        nearest = None if siblings is None else (siblings["place"] - row.place).abs().idxmin()
        known_by.append("" if nearest is None else siblings.loc[nearest, "id"])
    known = validation["subject"].isin(train["subject"]).to_numpy()
    return pd.DataFrame({"id": validation["id"].to_numpy(), "subject_known": known, "known_by": known_by})


def _is_misnamed(file):
    return PurePosixPath(file).stem.upper() in MISNAMED


def _contradicts(folder, name):
    if _is_sitting(folder):
        return folder.upper() != name.session + name.subject
    return class_of(folder) not in (None, name.class_name)


def _is_sitting(folder):
    return re.fullmatch(r"[AB][FM]\d\d", folder.upper()) is not None


def _preference(file):
    folder = PurePosixPath(file).parent.name
    return _is_misnamed(file), 0 if _is_sitting(folder) else 1 if class_of(folder) else 2, file


def _left_out(reason, names):
    return f"Left out ({len(names):,}), {reason}: {listed(names, 50)}."


def _read(path, size, angles, colour, aspect):
    """All usable images, undivided, as the train split of a `Splits`: what the cache keeps."""
    with open_files(path) as files:
        chosen, notes = find_images(files)
        names = [name for name in chosen if name.angle in angles]
        images, results = decode(files, [chosen[name] for name in names], size, colour, aspect, ("JPEG",))
    headers = Counter(result for result in results if not isinstance(result, DataError))
    # By number, then by size, so that the answer does not depend on the order of the files.
    common = max(headers, key=lambda header: (headers[header], header), default=None)
    faults = {
        name: fault
        for name, image, header in zip(names, images, results, strict=True)
        if (fault := _fault(image, header, common))
    }
    for fault in sorted(set(faults.values())):
        notes.append(_left_out(fault, [chosen[name] for name in faults if faults[name] == fault]))
    notes += [*_header_notes(common, size, colour), *_account(names, faults, angles)]
    keep = np.array([name not in faults for name in names], bool)
    if not keep.any():
        others = listed([angle for angle in ANGLES if angle not in angles and angle in {n.angle for n in chosen}])
        advice = f"{' '.join(notes)}{f' There are images at other `angles`: {others}' if others else ''}"
        raise DataError("None of KDEF's images can be used", where=path, advice=advice)
    metadata = pd.DataFrame(
        [("", name.session, name.sex, name.subject, name.expression, name.angle) for name in names],
        columns=["usage", "session", "sex", "subject", "expression", "angle"],
    )
    labels = np.array([CLASS_NAMES.index(name.class_name) for name in names], np.int64)
    faces = FaceSet(images, labels, np.array([str(name) for name in names]), metadata=metadata).subset(keep)
    return Splits(faces, None, None, "kdef", "undivided", notes=tuple(notes))


def _fault(pixels, header, common):
    """Why an image cannot be used, or None."""
    if isinstance(header, DataError):
        return "damaged or not an image"
    if header[:2] != common[:2]:
        return "of another size than the rest"
    return "blank" if pixels.std(axis=(0, 1)).max() < BLANK_DEVIATION else None


def _header_notes(common, size, colour):
    """Sentences where most images are not as published."""
    if common is not None and common[:2] != SIZE:
        enlarged = " They are enlarged." if min(common[:2]) < size else ""
        yield f"The images are {common.width} x {common.height} pixels, not 562 x 762 as published.{enlarged}"
    if common is not None and colour and common.mode == "L":
        yield "The images are grey, not in colour as published."


def _account(names, faults, angles):
    """A sentence whose numbers add up to what a whole KDEF has, and one that names what is missing."""
    expected = all_names(angles)
    missing = sorted(set(expected) - set(names))
    counts = Counter(faults.values())
    counts["missing"] = len(missing)
    used = len(expected) - counts.total()
    parts = [f"{used:,} used", *(f"{number:,} {fault}" for fault, number in sorted(counts.items()) if number)]
    yield f"Of the {len(expected):,} images of KDEF at {listed(angles)}: {', '.join(parts)}."
    if missing:
        subjects = Counter(name.subject for name in missing)
        whole = sorted(name for name in subjects if subjects[name] == len(expected) // 70)
        rest = [name for name in missing if name.subject not in whole]
        yield f"Missing: {listed([*(f'subject {name}' for name in whole), *rest], 50)}."


def _fifth_of_subjects(faces):
    """A bool mask `(n,)`: all images of a fifth of the subjects of each sex."""
    subjects, drawn = faces.metadata["subject"], set()
    for _, group in subjects.groupby(faces.metadata["sex"]):
        drawn |= draw_fifth(group.unique().tolist())
    return subjects.isin(drawn).to_numpy()


PROTOCOLS = {"random": fifth_of_each_class, "subject": _fifth_of_subjects}


def _divide(faces, notes, protocol, path):
    held_out = PROTOCOLS[protocol](faces)
    splits = Splits(faces.subset(~held_out), faces.subset(held_out), None, "kdef", protocol)
    two_subjects = "Protocol 'subject' needs at least two subjects of one sex. " if protocol == "subject" else ""
    require_every_class(splits, path, advice=two_subjects + " ".join(notes))
    subjects = splits.validation.metadata.groupby("subject").size()
    if protocol == "random":
        known = subjects[subjects.index.isin(shared_subjects(splits))]
        note = (
            f"The random split leaks: {len(known)} of the {len(subjects)} subjects in validation "
            f"({known.sum():,} of its {subjects.sum():,} images) are also in train."
        )
    else:
        sexes = {name: part.metadata.groupby("sex")["subject"].nunique() for name, part in splits.items()}
        texts = [f"{name} has {n.get('F', 0)} female and {n.get('M', 0)} male" for name, n in sexes.items()]
        note = f"No subject is in two splits: {', '.join(texts)}."
    return dataclasses.replace(splits, notes=(*notes, note))
