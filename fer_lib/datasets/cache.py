"""Decoded images kept on disk, so that only the first load of a data set is slow.

An entry is an uncompressed .npz of the arrays of a `Splits`; zip's checksum of each array is compared while it is
read. Its name is a hash of where the source lies, of the state of each of its files, and of how it was read.
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
from fer_lib.datasets.splits import ImageSet, Splits
from fer_lib.errors import RunError, shown
from fer_lib.files import open_regular, write_atomically

# Raised whenever entries change, or what a loader makes of the same files: older ones are then not found any more.
FORMAT = 5


def default_cache_dir() -> Path:
    """`$FER_CACHE`, or `~/.cache/fer-study`."""
    return Path(os.path.expanduser(os.environ.get("FER_CACHE") or "~/.cache/fer-study"))


def cached_splits(source: Path, how: dict[str, Any], make: Callable[[], Splits]) -> Splits:
    """Return the `Splits` that `make()` reads from `source`: from the cache if an entry fits, else made and kept.

    `how` is a dict of JSON values, all else that the result depends on, such as `{"protocol": "paper"}`.
    A cache that cannot be read or written is a warning, for the result is right.
    """
    # Pillow brings its own JPEG decoder, and decoders differ in the last bit: another version, another entry.
    parts = [FORMAT, PIL.__version__, state_hash(source), how]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    entry = default_cache_dir() / f"images-{key}.npz"
    splits = _read(entry)
    if splits is None:
        splits = make()
        try:
            write_atomically(entry, lambda path: _write(path, splits))
        except RunError as error:
            warnings.warn(f"The decoded images are not kept for the next time. {error}", stacklevel=3)
    return splits


def state_hash(source: Path) -> str:
    """sha256 (hex) of the place, inode, size and times of a file, or of all files in a folder.

    Whoever changes a file changes its ctime, which only the system sets, and copies have other inodes. To read
    each byte would take longer than to read the entry.
    """
    files = list_folder(source)[0] if source.is_dir() else {"": os.stat(source)}
    digest = hashlib.sha256(os.fsencode(source.resolve()))
    for name, status in sorted(files.items()):
        state = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        digest.update(f"{name}\0{state}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _write(path: str, splits: Splits) -> None:
    head: dict[str, Any] = {
        name: getattr(splits, name) for name in ("dataset", "protocol", "notes", "fingerprint")
    }
    arrays: dict[str, Any] = {}
    for name, images in splits.items():
        head[name] = images.class_names, images.metadata.to_dict("list")
        arrays |= {f"{name}/{part}": getattr(images, part) for part in ("images", "labels", "ids")}
    np.savez(path, head=json.dumps(head), **arrays)


def _read(entry: Path) -> Splits | None:
    """The `Splits` of an entry, or None where there is none or it is damaged."""
    if not os.path.lexists(entry):
        return None
    try:
        with open_regular(entry) as file, np.load(file, allow_pickle=False) as stored:
            head = json.loads(str(stored["head"]))
            parts: dict[str, Any] = dict.fromkeys(("train", "validation", "test"))
            for name in parts.keys() & head.keys():
                names, metadata = head.pop(name)
                images, labels, ids = (stored[f"{name}/{part}"] for part in ("images", "labels", "ids"))
                parts[name] = ImageSet(images, labels, ids, tuple(names), pd.DataFrame(metadata))
            return Splits(**parts, **head | {"notes": tuple(head["notes"])})
    except Exception as error:  # whatever it is, the images are decoded again
        warnings.warn(f"The cache entry {entry} is damaged ({shown(error)}); it is made again.", stacklevel=4)
        return None
