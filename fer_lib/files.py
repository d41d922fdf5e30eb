"""Files of a study: found where a user may mean them, read with a limit and a schema, written in one step."""

import contextlib
import errno
import os
import secrets
import stat
import tempfile
from pathlib import Path

from pydantic import TypeAdapter

from fer_lib.errors import FerError, ParameterError, RunError

_TEMPORARY = ".tmp-"


def project():
    """Return the project's folder, with `notebooks/` and `params/`.

    It is the first from the working directory upwards, else the checkout that this file lies in, else the working
    directory: an installed package is never written to.
    """
    here = Path.cwd()
    for place in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (place / "notebooks").is_dir() and (place / "params").is_dir():
            return place
    return here


def find_file(path, what, folders=None, advice=None):
    """Return the absolute path that a user means: `~` is the home, a relative one is in the first of `folders`.

    `folders` are the working directory and the project's by default. ParameterError where it is in none; its
    message names `what` was looked for, such as "The data".
    """
    expanded = os.path.expanduser(path)
    folders = (Path(), project()) if folders is None else folders
    places = [Path(folder).absolute() / expanded for folder in folders if expanded.strip()]
    for place in places:
        if os.path.exists(place):
            return place
    tried = " or ".join(dict.fromkeys(map(os.path.normpath, places)))
    raise ParameterError(f"{what} cannot be found", where=tried or None, found=repr(str(path)), advice=advice)


def read_json(path, schema=dict):
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


def read_regular(path, limit):
    """Bytes of a regular file (see `open_regular`) of at most `limit` bytes; OSError for a larger one."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise OSError(errno.EFBIG, f"{size:,} bytes, more than {limit:,}")
        return file.read(limit)


@contextlib.contextmanager
def reading(path, expected):
    """Turn whatever a library raises on a damaged file into one RunError that names the file."""
    try:
        yield
    except FerError:
        raise
    except Exception as error:  # zlib, struct, zipfile, Pillow, nbformat and pydantic have exceptions of their own
        found = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        advice = "Delete it and run the study again: what is missing is made anew"
        raise RunError("A file is damaged", path, expected, found, advice) from error


def write_atomically(path, content):
    """Write `path`, and its parent folders, so that a reader sees the old file or the whole new one, never a part.

    `content`: text, bytes, or a callable that is given a temporary path with the same suffix and writes it.
    RunError where the folder cannot be written or the disk is full; the old file is then as it was.
    """
    path = Path(path)
    temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(str(temporary))
        else:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        advice = "Free space or choose another folder, then give the same command again: what is finished is kept"
        found = error.strerror or str(error)
        raise RunError("A file could not be written", path, found=found, advice=advice) from error
    finally:
        with contextlib.suppress(OSError):  # renamed, or never made
            temporary.unlink()


def sweep(folder):
    """Removes what killed processes left of `write_atomically` in a folder; call it under the folder's lock."""
    for path in Path(folder).glob(f"{_TEMPORARY}*"):
        path.unlink(missing_ok=True)


def require_writable(folder):
    """Makes a folder; ParameterError where it, or a file in it, cannot be made."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        what, advice = "The study's folder cannot be written", "Choose another with --output-root"
        raise ParameterError(what, folder, found=error.strerror, advice=advice) from error


def _flush_to_disk(path):
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
