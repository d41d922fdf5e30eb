"""Decoded images kept on disk, so that only the first load of a data set is slow.

An entry is an .npz, whose checksums are compared while it is read, named by a hash of all that it depends on.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL

from fer_lib.datasets.archive import list_folder
from fer_lib.datasets.splits import ImageSet
from fer_lib.errors import RunError, shown
from fer_lib.files import write_atomically

# Raised whenever entries change, or what a loader makes of the same files: older ones are then not found any more.
FORMAT = 6
Images = tuple[ImageSet, list[str]]  # and notes


def default_cache_dir() -> Path:
    """`$FER_CACHE`, or `~/.cache/fer-study`."""
    return Path(os.path.expanduser(os.environ.get("FER_CACHE") or "~/.cache/fer-study"))


def cached_images(source: Path, how: dict[str, Any], make: Callable[[], Images]) -> Images:
    """Return the images and notes that `make()` reads from `source`, from the cache if an entry fits.

    `how` is a dict of JSON values, all else that the result depends on, such as `{"size": 96}`.
    """
    # Pillow brings its own JPEG decoder, and decoders differ in the last bit: another version, another entry.
    parts = [FORMAT, PIL.__version__, state_hash(source), how]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    entry = default_cache_dir() / f"images-{key}.npz"
    if entry.exists():
        try:
            return _read(entry)
        except Exception as error:  # whatever it is, the images are decoded again
            warnings.warn(f"The cache entry {entry} is damaged ({shown(error)}); it is made again.", stacklevel=3)
    images, notes = make()
    try:
        write_atomically(entry, lambda path: _write(path, images, notes))
    except RunError as error:
        warnings.warn(f"The decoded images are not kept for the next time. {error}", stacklevel=3)
    return images, notes


def state_hash(source: Path) -> str:
    """sha256 (hex) of the place, inode, size and times of a file, or of all files in a folder.

    Whoever changes a file changes its ctime, and copies have other inodes. To read each byte would take longer.
    """
    files = list_folder(source) if source.is_dir() else {"": os.stat(source)}
    digest = hashlib.sha256(os.fsencode(source.resolve()))
    for name, status in sorted(files.items()):
        state = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        digest.update(f"{name}\0{state}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _write(path: str, images: ImageSet, notes: list[str]) -> None:
    head = json.dumps([notes, images.class_names, images.metadata.to_dict("list")])
    np.savez(path, head=np.array(head), images=images.images, labels=images.labels, ids=images.ids)


def _read(entry: Path) -> Images:
    with np.load(entry, allow_pickle=False) as stored:
        notes, class_names, metadata = json.loads(str(stored["head"]))
        images, labels, ids = (stored[part] for part in ("images", "labels", "ids"))
    return ImageSet(images, labels, ids, tuple(class_names), pd.DataFrame(metadata)), notes
