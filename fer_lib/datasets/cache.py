"""Decoded images kept on disk by joblib, so that only the first load of a data set is slow."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL
from joblib import Memory

from fer_lib.datasets.archive import list_folder
from fer_lib.datasets.splits import ImageSet

# Raised whenever a loader makes something else of the same files: older entries are then not found any more.
FORMAT = 7
Images = tuple[ImageSet, list[str]]  # and notes


def default_cache_dir() -> Path:
    """`$FER_CACHE`, or `~/.cache/fer-study`."""
    return Path(os.path.expanduser(os.environ.get("FER_CACHE") or "~/.cache/fer-study"))


def cached_images(source: Path, how: dict[str, Any], make: Callable[[], Images]) -> Images:
    """Return the images and notes that `make()` reads from `source`, from the cache if an entry fits.

    `how`: all else that the result depends on, such as `{"size": 96}`.
    """
    # Pillow brings its own JPEG decoder, and decoders differ in the last bit: another version, another entry.
    key = [FORMAT, PIL.__version__, state_hash(source), how]
    return Memory(default_cache_dir(), verbose=0).cache(_made, ignore=["make"])(key, make)


def _made(key: list, make: Callable[[], Images]) -> Images:
    return make()


def state_hash(source: Path) -> str:
    """sha256 (hex) of the place, inode, size and times of a file, or of all files in a folder.

    Whoever changes a file changes its ctime, and copies have other inodes. To read each byte would take longer.
    """
    files = list_folder(source) if source.is_dir() else {"": os.stat(source)}
    states = [(name, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for name, at in sorted(files.items())]
    return hashlib.sha256(repr([str(source.resolve()), states]).encode()).hexdigest()
