"""Files that others read: written beside their place first, then moved there in one step."""

import contextlib
import os
import tempfile
from pathlib import Path

from fer_lib.errors import RunError


def write_atomically(path, content):
    """Writes `path` so that a reader sees the old file or the whole new one, never a part.

    Args:
        path: the file to write; missing parent folders are made.
        content: text, bytes, or a callable that is given a temporary path with the same suffix and writes it.

    Raises:
        RunError: the folder cannot be written or the disk is full; the old file is as it was.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        if callable(content):
            content(temporary)
        else:
            Path(temporary).write_bytes(content.encode() if isinstance(content, str) else content)
        _flush_to_disk(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(
            "A file could not be written",
            where=path,
            found=error.strerror or str(error),
            advice="Free space or choose a folder that can be written, then give the same command again: "
            "what is finished is kept",
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _flush_to_disk(path):
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _umask():
    # The only way to read the mask is to set it; mkstemp's private 0600 would hide outputs from a group.
    mask = os.umask(0)
    os.umask(mask)
    return mask
