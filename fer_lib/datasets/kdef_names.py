"""The names of KDEF's pictures: `AF01ANHL` is session A, female, person 01, angry, half left profile."""

import itertools
import re
from typing import NamedTuple

from fer_lib.datasets.faces import CLASS_NAMES

SESSIONS = ("A", "B")
SEXES = ("F", "M")
NUMBERS = tuple(f"{number:02d}" for number in range(1, 36))
# AF is "afraid" where it is the expression, and session A, female, where it begins the name.
EXPRESSIONS = {
    "AF": "fear",
    "AN": "angry",
    "DI": "disgust",
    "HA": "happy",
    "NE": "neutral",
    "SA": "sad",
    "SU": "surprise",
}
# Full left profile, half left, straight (one letter), half right, full right.
ANGLES = ("FL", "HL", "S", "HR", "FR")
# Two pictures of the published data have names cut short. What they show, and which of their folder's names is
# not there, tell what they are.
MISNAMED = {"AF31V": "AF31SAHL", "AM31H": "AM31SUHR"}

_PATTERN = re.compile(
    f"([{''.join(SESSIONS)}])([{''.join(SEXES)}])({'|'.join(NUMBERS)})({'|'.join(EXPRESSIONS)})({'|'.join(ANGLES)})"
)


class KdefName(NamedTuple):
    """What a picture's name says. `str()` is the name as KDEF writes it, without the suffix."""

    session: str
    sex: str
    number: str
    expression: str
    angle: str

    @property
    def person(self):
        """Such as `F01`: the same person in session A (`AF01...`) and in session B (`BF01...`)."""
        return self.sex + self.number

    @property
    def folder(self):
        """The folder of the picture in the original tree, such as `AF01`."""
        return self.session + self.person

    @property
    def class_name(self):
        """The expression as one of `CLASS_NAMES`."""
        return EXPRESSIONS[self.expression]

    @property
    def label(self):
        """The expression as a position in `CLASS_NAMES`."""
        return CLASS_NAMES.index(self.class_name)

    def __str__(self):
        return "".join(self)


def parse_name(stem):
    """The `KdefName` of a file name without its suffix, upper or lower case; None where it breaks the grammar."""
    match = _PATTERN.fullmatch(stem.upper())
    return KdefName(*match.groups()) if match else None


def all_names(angles=ANGLES):
    """The names that a whole KDEF has at these angles, sorted: 980 an angle."""
    return sorted(itertools.starmap(KdefName, itertools.product(SESSIONS, SEXES, NUMBERS, EXPRESSIONS, angles)))
