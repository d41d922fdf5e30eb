"""Errors written for the person who reads them: what, where, what was expected, what was found, what to do."""


class FerError(Exception):
    """Base of every error that a user can cause; `str` of it is one paragraph.

    `what` went wrong, in one sentence; `where`: file, key or run; what was `expected` and `found`; what to do.
    """

    exit_status = 1  # of the command line

    def __init__(self, what, where=None, expected=None, found=None, advice=None):
        self.what, self.where, self.expected, self.found, self.advice = what, where, expected, found, advice
        super().__init__(what)

    def __str__(self):
        quoted = {"Where": (self.where, 300), "Expected": (self.expected, 1000), "Found": (self.found, 200)}
        parts = [f"{name}: {shown(value, most)}" for name, (value, most) in quoted.items() if value is not None]
        sentences = [shown(part, 1000) for part in (self.what, *parts, self.advice) if part]
        return " ".join(text if text.endswith((".", "!", "?", ":")) else f"{text}." for text in sentences)


class DataError(FerError, ValueError):
    """The data cannot be read, or an honest study cannot be made of them."""

    exit_status = 2


class ParameterError(FerError, ValueError):
    """A parameters file, an override or an argument is wrong."""

    exit_status = 2


class RunError(FerError):
    """The work itself failed: a notebook, a training run, a file that cannot be written."""


def shown(value: object, most: int = 80) -> str:
    r"""Return a value as text for a message: on one line, printable, of at most `most` characters.

    Control characters, escape sequences and bytes that are no UTF-8 appear as `\x1b`; of a long text the middle
    is left out, since the beginning and the end of a path say most.
    """
    text = str(value)
    if len(text) > most:
        text = f"{text[: most * 2 // 3 - 1]} … {text[len(text) - most // 3 + 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text.split()))
