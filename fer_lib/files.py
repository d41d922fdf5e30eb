"""Files of a study: found where a user may mean them, read with a limit and a schema, written in one step."""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from fer_lib.errors import FerError, ParameterError, RunError

TEMPORARY = r"\.tmp-[0-9a-f]{16}(\.\w+)?"  # names that `temporary` makes


def project() -> Path:
    """Return the folder with `notebooks/` and `params/`: from the working directory upwards, else this checkout.

    It is the working directory where there is none: an installed package is never written to.
    """
    here = Path.cwd()
    places = (here, *here.parents, Path(__file__).resolve().parents[1])
    return next((at for at in places if (at / "notebooks").is_dir() and (at / "params").is_dir()), here)


def find_file(
    path: str | Path, what: str, folders: Iterable[Path] | None = None, advice: str | None = None
) -> Path:
    """Return the absolute path that a user means: `~` is the home, a relative one is in the first of `folders`.

    `folders` are the working directory and the project's by default. ParameterError where it is in none; `what`:
    what is looked for, such as "The data".
    """
    expanded = os.path.expanduser(path)
    places = [folder.absolute() / expanded for folder in folders or (Path(), project()) if expanded.strip()]
    if found := next(filter(os.path.exists, places), None):
        return found
    tried = " or ".join(dict.fromkeys(map(os.path.normpath, places)))
    raise ParameterError(f"{what} cannot be found", where=tried or None, found=repr(str(path)), advice=advice)


def read_json(path: Path, schema: Any = dict) -> Any:
    """Return a JSON file as `schema` (`dict` or a model), None where there is none; RunError if it is damaged."""
    if not os.path.lexists(path):
        return None
    with reading(path, f"JSON, {schema.__name__}"):
        return TypeAdapter(schema).validate_json(read_regular(path, 2**22))


def open_regular(path):
    """Open a regular file for reading; OSError for another: a pipe or a device has no end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return open(path, "rb")


def read_regular(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes; OSError for another, see `open_regular`."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise OSError(errno.EFBIG, f"{size:,} bytes, more than {limit:,}")
        return file.read(limit)


@contextlib.contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into one RunError that names the file."""
    try:
        yield
    except FerError:
        raise
    except Exception as error:  # zlib, struct, zipfile, Pillow, nbformat and pydantic have exceptions of their own
        found = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        advice = "Delete it and run the study again: what is missing is made anew"
        raise RunError("A file is damaged", path, expected, found, advice) from error


def write_atomically(path: str | Path, content: str | bytes | Callable[[str], object]) -> None:
    """Write `path`, and its parent folders, so that a reader sees the old file or the whole new one, never a part.

    `content`: text, bytes, or a callable that is given a temporary path with the same suffix and writes it.
    RunError where the folder cannot be written or the disk is full; the old file is then as it was.
    """
    beside = temporary(path := Path(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(str(beside))
        else:
            beside.write_bytes(content.encode() if isinstance(content, str) else content)
        _flush_to_disk(beside)
        os.replace(beside, path)
    except OSError as error:
        advice = "Free space or choose another folder, then give the same command again: what is finished is kept"
        found = error.strerror or str(error)
        raise RunError("A file could not be written", path, found=found, advice=advice) from error
    finally:
        with contextlib.suppress(OSError):  # renamed, or never made
            beside.unlink()


def temporary(path: Path) -> Path:
    """Return the path of a file beside `path`, of a name that only this program makes and `sweep` knows."""
    return path.with_name(f".tmp-{secrets.token_hex(8)}{path.suffix}")


def hold(folder: Path, busy: str | FerError) -> AbstractContextManager:
    """Hold a folder's lock in a `with`; where another process has it, raise `busy`, or print the text and wait."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        return lock.acquire(timeout=0.1)
    except Timeout as error:
        if isinstance(busy, FerError):
            raise busy from error
    print(busy, flush=True)
    return lock.acquire(poll_interval=0.5)  # between the polls a signal is heeded


def sweep(folder: Path) -> None:
    """Remove what killed processes left of files of `temporary` in a folder; call it under the folder's lock."""
    for path in Path(folder).glob(".tmp-*"):
        if re.fullmatch(TEMPORARY, path.name) and path.is_file():
            path.unlink(missing_ok=True)


def refuse_links(paths: Iterable[Path]) -> None:
    """Raise ParameterError where one of these results is a link, so that nothing outside is read or deleted."""
    for path in paths:
        if path.is_symlink():
            advice = "Put the file or folder itself there; --output-root puts whole studies elsewhere"
            raise ParameterError("There is a link among the results", path, advice=advice)


def _flush_to_disk(path):
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
