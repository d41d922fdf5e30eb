"""Decoded images kept on disk, so that only the first load of a data set is slow.

An entry is an uncompressed .npz of the arrays of a `Splits` after its sha256, which is compared before anything is
parsed. Its name is a hash of the content of the source and of how it was read, so a moved archive is found again.
"""

import hashlib
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import PIL

from fer_lib.datasets.archive import list_folder, open_regular
from fer_lib.datasets.splits import ImageSet, Splits
from fer_lib.errors import RunError, shown
from fer_lib.files import write_atomically

# Raised whenever entries change, or what a loader makes of the same files: older ones are then not found any more.
FORMAT = 4
_DIGEST_BYTES = 32


def default_cache_dir():
    """`$FER_CACHE`, or `~/.cache/fer-study`."""
    return Path(os.path.expanduser(os.environ.get("FER_CACHE") or "~/.cache/fer-study"))


def cached_splits(source, how, make):
    """Return the `Splits` that `make()` reads from `source`: from the cache if an entry fits, else made and kept.

    `how` is a dict of JSON values, all else that the result depends on, such as `{"protocol": "paper"}`.
    A cache that cannot be read or written is a warning, for the result is right.
    """
    # Pillow brings its own JPEG decoder, and decoders differ in the last bit: another version, another entry.
    parts = [FORMAT, PIL.__version__, content_hash(source), how]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    entry = default_cache_dir() / f"faces-{key}.npz"
    splits = _read(entry)
    if splits is None:
        splits = make()
        try:
            write_atomically(entry, lambda path: _write(path, splits))
        except RunError as error:
            warnings.warn(f"The decoded images are not kept for the next time. {error}", stacklevel=3)
    return splits


def content_hash(source):
    """sha256 (hex) of a file's bytes, or of the names, sizes and modification times under a folder."""
    # To read 36,000 small files would take as long as to decode them.
    if not Path(source).is_dir():
        with open_regular(source) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for name, status in sorted(list_folder(source).items()):
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _write(path, splits):
    head = {name: getattr(splits, name) for name in ("dataset", "protocol", "notes", "fingerprint")}
    arrays = {}
    for name, faces in splits.items():
        head[name] = faces.class_names, faces.metadata.to_dict("list")
        arrays |= {f"{name}/{part}": getattr(faces, part) for part in ("images", "labels", "ids")}
    with open(path, "wb+") as file:
        file.write(bytes(_DIGEST_BYTES))
        np.savez(file, head=json.dumps(head), **arrays)
        file.seek(_DIGEST_BYTES)
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(0)
        file.write(digest)


def _read(entry):
    """The `Splits` of an entry, or None where there is none or it is damaged."""
    if not os.path.lexists(entry):
        return None
    try:
        with open_regular(entry, most=1 << 40) as file:
            if file.read(_DIGEST_BYTES) != hashlib.file_digest(file, "sha256").digest():
                raise ValueError("its checksum differs")
            file.seek(_DIGEST_BYTES)
            with np.load(file) as stored:
                head = json.loads(str(stored["head"]))
                parts = dict.fromkeys(("train", "validation", "test"))
                for name in parts.keys() & head.keys():
                    names, metadata = head.pop(name)
                    arrays = (stored[f"{name}/{part}"] for part in ("images", "labels", "ids"))
                    parts[name] = ImageSet(*arrays, tuple(names), pd.DataFrame(metadata))
                return Splits(**parts, **head | {"notes": tuple(head["notes"])})
    except Exception as error:  # whatever it is, the images are decoded again
        warnings.warn(f"The cache entry {entry} is damaged ({shown(error)}); it is made again.", stacklevel=4)
        return None
