"""Errors written for the person who reads them: what, where, what was expected, what was found, what to do."""

import re

# Characters of a quoted value: what stands in a damaged file may have millions.
_LONGEST = 240


class FerError(Exception):
    """Base of every error that a user can cause.

    Args:
        what: one sentence, what went wrong.
        where: the file, the key or the run concerned.
        expected: what would have been right.
        found: the value that was there instead.
        advice: what to do about it.

    `str(error)` is one paragraph. `exit_status` is what the command line ends with.
    """

    exit_status = 1

    def __init__(self, what, where=None, expected=None, found=None, advice=None):
        self.what, self.where, self.expected, self.found, self.advice = what, where, expected, found, advice
        super().__init__(what)

    def __str__(self):
        parts = [_sentence(self.what)]
        if self.where is not None:
            parts.append(_sentence(f"Where: {printable(self.where)}"))
        if self.expected is not None:
            parts.append(_sentence(f"Expected: {self.expected}"))
        if self.found is not None:
            parts.append(_sentence(f"Found: {printable(self.found)}"))
        if self.advice:
            parts.append(_sentence(self.advice))
        return " ".join(parts)


class DataError(FerError, ValueError):
    """The data cannot be read, or an honest study cannot be made of them."""

    exit_status = 2


class ParameterError(FerError, ValueError):
    """A parameters file, an override or an argument is wrong."""

    exit_status = 2


class RunError(FerError):
    """The work itself failed: a notebook, a training run, a file that cannot be written."""


class TimeLimitError(FerError):
    """The time that was given is over; what was trained is saved."""

    exit_status = 75  # as after SIGTERM: to be tried again

    def __init__(self):
        super().__init__(
            "The time limit is reached", advice="What was finished stays: the same command goes on from there"
        )
        self.args = ()  # with which pickle makes it again, on the way back from another machine


def printable(value, longest=_LONGEST):
    """A value on one line: control characters escaped, and the middle of a long one left out."""
    try:
        text = str(value)
    except ValueError:  # Python's limit on the digits of an integer
        return "a number of thousands of digits"
    if len(text) > longest:
        text = f"{text[: longest // 2]} … {text[-longest // 2 :]}"
    text = re.sub(r"\s*\n\s*", " ", text)
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _sentence(text):
    text = printable(text, longest=4 * _LONGEST).strip()
    return text if text.endswith((".", "!", "?", ":")) else text + "."
