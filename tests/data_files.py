"""Small copies of data sets, written with Pillow and `zipfile` by rules of their own; `face_set`; `refused`."""

import io
import itertools
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_lib.datasets import ImageSet
from fer_lib.errors import DataError, ParameterError

CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
# KDEF's codes in the order of the classes: angry, disgust, fear (afraid), happy, neutral, sad, surprise.
KDEF_CODES = ("AN", "DI", "AF", "HA", "NE", "SA", "SU")
USAGES = {"Training": "train", "PublicTest": "test", "PrivateTest": "test"}


def grey(seed, side=48):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8))


def face_set(labels, pixels, usage):
    """A `ImageSet` of grey images `(n, height, width)`, all of one usage."""
    return ImageSet(
        images=pixels[..., None].astype("uint8"),
        labels=labels.astype("int64"),
        ids=np.array([f"{usage}/{i:03d}" for i in range(len(labels))]),
        metadata=pd.DataFrame({"usage": [usage] * len(labels)}),
    )


def write_tree(folder, train=6, public=5, private=2):
    """FER-2013 with so many images a class; their names sort in an order that is not their numbers'."""
    seed = 0
    for label, name in enumerate(CLASSES):
        for (usage, part), count in zip(USAGES.items(), (train + label, public, private), strict=True):
            for number in range(count):
                seed += 1
                save(grey(seed), folder / part / name / f"{usage}_{8 + number * 7}.png")
    return folder


def jpeg(seed, size=(56, 76), mode="RGB"):
    """A picture of coarse noise, and so unlike any other seed's at every scale."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    return encoded(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode))


def encoded(image, quality=95):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def names_of(persons):
    parts = itertools.product("AB", persons, KDEF_CODES, ("FL", "HL", "S", "HR", "FR"))
    return ["".join(part) for part in parts]


def write_kdef(folder, persons):
    """KDEF's original tree of some persons, such as F01; each picture is unlike all others."""
    for seed, name in enumerate(names_of(persons)):
        path = folder / f"KDEF_and_AKDEF/KDEF/{name[:4]}/{name}.JPG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(seed))
    return folder


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def zip_of(folder, path, parent="", separator="/"):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            if file.is_file():
                # Windows' way: ZipInfo would put "/" in its place only where "\\" separates folders.
                name = (parent + file.relative_to(folder).as_posix()).replace("/", separator)
                archive.writestr(name, file.read_bytes())
    return path


def tar_of(folder, path, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        archive.add(folder, "./data")
    return path


def csv_row(emotion, image, usage):
    return f"{emotion},{' '.join(str(value) for value in np.asarray(image).ravel())},{usage}"


def csv_rows():
    """21 rows, one an emotion and usage."""
    return [csv_row(emotion, grey(emotion), usage) for usage in USAGES for emotion in range(7)]


def write_csv(path, rows=None):
    """`rows` replaces some of the 21 good rows; key 21 appends."""
    lines = csv_rows()
    for place, line in sorted((rows or {}).items()):
        lines[place : place + 1] = [line]
    path.write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    return path


def refused(load, *words):
    """The message of the error that `load()` raises: one short paragraph that has each of the words in it."""
    with pytest.raises((DataError, ParameterError)) as caught:
        load()
    message = str(caught.value)
    assert message.isprintable() and len(message) < 3000 and caught.value.exit_status == 2
    for word in words:
        assert word in message, message
    return message
