"""Errors written for the person who reads them: what, where, what was expected, what was found, what to do."""


class FerError(Exception):
    """Base of every error that a user can cause.

    Args:
        what: one sentence, what went wrong.
        where: the file, the key or the run concerned.
        expected: what would have been right.
        found: what stood there instead.
        advice: what to do about it.

    `str(error)` is one paragraph. `exit_status` is what the command line ends with.
    """

    exit_status = 1

    def __init__(self, what, where=None, expected=None, found=None, advice=None):
        self.what, self.where, self.expected, self.found, self.advice = what, where, expected, found, advice
        super().__init__(what)

    def __str__(self):
        parts = [_sentence(self.what)]
        for label, value in (("Where", self.where), ("Expected", self.expected), ("Found", self.found)):
            if value is not None:
                parts.append(_sentence(f"{label}: {value}"))
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


def _sentence(text):
    text = str(text).strip()
    return text if text.endswith((".", "!", "?", ":")) else text + "."
