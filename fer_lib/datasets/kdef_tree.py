"""KDEF as files: which file is which picture, in the original tree and in its seven-class reorganisation.

The name of a file says what it shows, wherever it stands; its folder (`AF01`, or `angry`) can only contradict it.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath

from fer_lib.datasets.faces import CLASS_NAMES
from fer_lib.datasets.kdef_names import MISNAMED, parse_name
from fer_lib.errors import DataError

SUFFIXES = (".jpg", ".jpeg")
# The averaged faces that the publisher's archive holds beside KDEF; they show nobody.
AVERAGES = "akdef"
CONTRADICTING = "in a folder that contradicts the name"
UNGRAMMATICAL = "a name that breaks KDEF's grammar (session, sex, person, expression, angle, such as AF01ANHL)"
# Of files that may cost a picture, so many are named: someone has to look at them. Of others, ten.
MOST_NAMED = 50
WHERE_TO_GET_IT = "KDEF is given to researchers on request, see kdef.se"


@dataclass(frozen=True)
class Tree:
    """What was found.

    Args:
        files: `KdefName` -> name of the file to read, sorted by `KdefName`.
        faults: `KdefName` -> why none of the files of that name can be read as such.
        notes: sentences on what was mapped or left out.
    """

    files: dict
    faults: dict
    notes: tuple


def find_pictures(files):
    """Finds KDEF's pictures among files.

    Args:
        files: an open folder or zip (`archive.open_files`); the tree may stand under parent folders.

    Returns:
        A `Tree`. Of a picture that is there more than once, the file in the original tree is read, else the first.

    Raises:
        DataError: no file is a picture of KDEF.
    """
    candidates, left_out = _candidates(files.names)
    contradicting = {file for found in candidates.values() for file in found if _contradicts(file)}
    chosen, copies = {}, []
    for name, found in sorted(candidates.items()):
        usable = sorted((file for file in found if file not in contradicting), key=_preference)
        if usable:
            chosen[name] = usable[0]
            copies += usable[1:]
    if not chosen:
        raise _nothing_found(files, contradicting)
    left_out |= {
        CONTRADICTING: sorted(contradicting),
        "a second file of a picture": sorted(copies),
        "what operating systems and editors leave behind": files.clutter,
    }
    notes = [*_form_notes(chosen.values(), copies), *_mapped_notes(chosen)]
    for reason, names in left_out.items():
        if names:
            most = MOST_NAMED if reason in (CONTRADICTING, UNGRAMMATICAL) else 10
            notes.append(left_out_note(reason, names, most))
    return Tree(chosen, dict.fromkeys(candidates.keys() - chosen.keys(), CONTRADICTING), tuple(notes))


def left_out_note(reason, names, most=MOST_NAMED):
    """`Left out (14), blank: a, b, c and 11 more.`"""
    return f"Left out ({len(names):,}), {reason}: {listed(names, most)}."


def listed(names, most=10):
    """Names for a sentence: `a, b, c and 4 more`."""
    more = len(names) - most
    return ", ".join(map(str, names[:most])) + (f" and {more:,} more" if more > 0 else "")


def _candidates(names):
    """`KdefName` -> the files that bear it; and reason -> the files that bear none."""
    candidates, left_out = defaultdict(list), defaultdict(list)
    for file in names:
        path = PurePosixPath(file)
        if path.suffix.lower() not in SUFFIXES:
            left_out["no JPEG by the suffix"].append(file)
        elif (name := _name_of(file)) is not None:
            candidates[name].append(file)
        elif AVERAGES in (part.lower() for part in path.parts[:-1]):
            left_out["the average of several persons (AKDEF)"].append(file)
        else:
            left_out[UNGRAMMATICAL].append(file)
    return candidates, left_out


def _name_of(file):
    stem = PurePosixPath(file).stem.upper()
    return parse_name(MISNAMED.get(stem, stem))


def _is_misnamed(file):
    return PurePosixPath(file).stem.upper() in MISNAMED


def _form(file):
    """`original` (a folder such as AF01), `reorganised` (a folder such as angry) or `other`."""
    folder = PurePosixPath(file).parent.name
    if re.fullmatch(r"[AB][FM]\d\d", folder.upper()):
        return "original"
    return "reorganised" if folder.lower() in CLASS_NAMES else "other"


def _contradicts(file):
    name, folder = _name_of(file), PurePosixPath(file).parent.name
    expected = {"original": name.folder, "reorganised": name.class_name}.get(_form(file), folder)
    return folder.lower() != expected.lower()


def _preference(file):
    return _is_misnamed(file), ("original", "reorganised", "other").index(_form(file)), file


def _form_notes(chosen, copies):
    forms = {_form(file) for file in (*chosen, *copies)}
    if {"original", "reorganised"} <= forms:
        yield (
            "The original tree and a reorganisation by class stand side by side: each picture is read once, from "
            "the original tree where it is there."
        )
    if others := sorted(file for file in chosen if _form(file) == "other"):
        yield (
            f"Read by their names alone ({len(others):,}), for their folders are named neither after a person "
            f"(AF01) nor after a class (angry): {listed(others, 3)}."
        )


def _mapped_notes(chosen):
    for name, file in chosen.items():
        if _is_misnamed(file):
            yield f"{file} has a name that breaks KDEF's grammar; it is known to be {name} and read as such."


def _nothing_found(files, contradicting):
    number = len(files.names)
    found = f"{number:,} file{'s' * (number > 1)}, such as {listed(files.names, 3)}" if number else "no file"
    if contradicting:
        found = f"only pictures {CONTRADICTING}, such as {listed(sorted(contradicting), 3)}"
    return DataError(
        "KDEF is not there",
        where=files.path,
        expected="JPEG files such as AF01/AF01ANHL.JPG or angry/AF01ANHL.JPG, in a folder or a zip, at any depth",
        found=found,
        advice=WHERE_TO_GET_IT,
    )
