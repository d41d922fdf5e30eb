"""Files and folders that are written once: complete or absent, and found again by what they were made from."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from fer_lib.errors import DataError, RunError
from fer_lib.files import write_atomically


def write_once(target, arguments, write):
    """Writes `target` unless it stands there already, made from the same arguments.

    Args:
        target: the file or folder to write; missing parent folders are made.
        arguments: what it is made from, a dictionary that JSON can hold.
        write: a callable that is given a path that does not exist yet, and writes the file or folder there.

    Returns:
        `target` as a Path.

    Raises:
        DataError: something stands there that was not written here, or was changed since. It is left alone.
        RunError: the disk is full or the place cannot be written.
    """
    target = Path(target).expanduser()
    marker = target.parent / f".{target.name}.synthetic.json"
    recorded = _recorded(marker)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        if recorded.get("contents") != _contents(target):
            raise DataError(
                "Something else stands where generated faces are to be written",
                where=target,
                expected="nothing, an empty folder, or generated faces as they were written",
                advice="Choose another place, or take away what stands there",
            )
        if recorded.get("arguments") == arguments:
            return target
    try:
        _write_beside(target, marker, arguments, write)
    except OSError as error:
        raise RunError(
            "The generated faces could not be written",
            where=target,
            found=error.strerror or str(error),
            advice="Free space or choose a folder that can be written, then give the same command again",
        ) from error
    return target


def _write_beside(target, marker, arguments, write):
    target.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        new = workplace / "new"
        write(new)
        if target.exists():
            os.replace(target, workplace / "old")
        # The marker goes first: without its target it means nothing, but a target without it would be a stranger.
        write_atomically(marker, json.dumps({"arguments": arguments, "contents": _contents(new)}, indent=1))
        os.replace(new, target)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _recorded(marker):
    try:
        return json.loads(marker.read_text())
    except (OSError, ValueError):
        return {}


def _contents(path):
    """How many files there are and their bytes: enough to tell a target that was cut short or added to."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}
