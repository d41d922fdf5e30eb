"""Write generated faces in the forms in which FER-2013 and KDEF circulate, with the flaws of the real data.

A fresh machine and the tests read them with the loaders that read the real data. What a network scores on them
shows that a study runs, and says nothing about people.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from fer_lib.datasets.cache import default_cache_dir
from fer_lib.datasets.fer2013 import CSV_CLASS_NAMES, load_fer2013
from fer_lib.datasets.kdef import EXPRESSIONS, MISNAMED, NAMES
from fer_lib.datasets.splits import Splits
from fer_lib.datasets.synthetic.face import draw_face, random_expression, random_subject, random_view
from fer_lib.errors import DataError, ParameterError, RunError
from fer_lib.files import write_atomically

VERSION = 2  # raised with any change to what is drawn or written: older faces are then drawn again
# Images of a class, of the mean over the classes: by the square root of FER-2013's, so that some are of disgust.
SHARES = {
    "angry": 1.03, "disgust": 0.34, "fear": 1.04, "happy": 1.38, "neutral": 1.15, "sad": 1.14, "surprise": 0.92,
}  # fmt: skip
# Usage -> its folder, its share of the images, and the fewest of a class: the paper's fifth is then not empty.
USAGES = {"Training": ("train", 0.8, 5), "PublicTest": ("test", 0.1, 3), "PrivateTest": ("test", 0.1, 3)}
# Usage, class and place of a FER-2013 image -> those of the Training image that replaces it; None: a black one.
FLAWS = {
    ("PublicTest", "happy", 0): ("Training", "happy", 0), ("PublicTest", "sad", 0): ("Training", "sad", 0),
    ("PrivateTest", "happy", 0): ("Training", "happy", 1), ("PrivateTest", "sad", 0): ("Training", "sad", 1),
    ("Training", "sad", 2): ("Training", "neutral", 0), ("Training", "happy", 2): None,
}  # fmt: skip
KDEF_YAWS = {"FL": -90, "HL": -45, "S": 0, "HR": 45, "FR": 90}  # full left: the nose points to the image's left
KDEF_BLACK = (
    "AF01SUFR", "AF10AFFR", "AF11NEHL", "AF20DIHL", "AM25DIFL", "AM34DIFR", "BF13NEHR", "BM21DIFL", "BM22DIHL",
    "BM24DIFL",
)  # fmt: skip


def load_synthetic(protocol: str = "official", generated_images: int = 840) -> Splits:
    """Draw about so many faces into the cache, and divide them as FER-2013 is by this protocol."""
    per_class = round(generated_images / len(SHARES))
    path = make_synthetic(default_cache_dir() / f"generated-{per_class}.zip", images_per_class=per_class)
    return dataclasses.replace(load_fer2013(path, protocol), dataset="synthetic")


def make_synthetic(
    target, form="fer2013_zip", images_per_class=100, people=35, seed=0, size=(562, 762), flaws=True
):
    """Draw faces and write them in a real form, unless `target` holds just these; returns `target` as a Path.

    The same arguments give the same bytes.

    Args:
        target: the file, or for `fer2013_folder` and `kdef` the folder, to write.
        form: one of `FORMS`. The four of FER-2013 hold the same grey faces, each of another subject; `kdef` is the
            tree `KDEF_and_AKDEF/KDEF/AF01/AF01AFFL.JPG` of colour JPEGs.
        images_per_class: of FER-2013, the mean over the classes, all three splits together; see `SHARES`.
        people, size: of KDEF, subjects of each sex, 1 to 35, and (width, height) of the images in pixels.
        seed: a whole number from 0.
        flaws: whether to build in the known flaws: `FLAWS`, or KDEF's misnamed and black images.

    Raises:
        ParameterError: an unknown form, or a number out of range.
        DataError: something else stands at `target` and is left alone (in the cache: is damaged and drawn again).
        RunError: the files cannot be written; no half-written target stays behind.
    """
    if form not in FORMS:
        raise ParameterError("Unknown form of generated faces", expected=" or ".join(FORMS), found=repr(form))
    width, height = size
    for name, value, least, most in (
        ("images_per_class", images_per_class, 1, 10_000), ("people", people, 1, 35), ("seed", seed, 0, 2**32),
        ("width", width, 24, 5_000), ("height", height, 24, 5_000),
    ):  # fmt: skip
        if type(value) is not int or not least <= value <= most:
            expected = f"a whole number from {least:,} to {most:,}"
            raise ParameterError("A number is out of range", name, expected, repr(value))
    kdef, fer2013 = {"people": people, "size": [width, height]}, {"images_per_class": images_per_class}
    drawn = {"seed": seed, "flaws": flaws} | (kdef if form == "kdef" else fer2013)
    made_from = {"version": VERSION, "form": form, **drawn}
    images = (_kdef_images if form == "kdef" else _fer2013_images)(**drawn)
    # The target is written beside its place and moved there; a marker beside it holds the arguments and its hash.
    target = Path(target).expanduser()
    marker = target.with_name(f".{target.name}.synthetic.json")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if _is_whole(target, marker, made_from):
                return target
            for leftover in target.parent.glob(f".{target.name}.new-*"):  # of a process that was killed
                shutil.rmtree(leftover)
            with tempfile.TemporaryDirectory(prefix=f".{target.name}.new-", dir=target.parent) as folder:
                new = Path(folder) / "new"
                FORMS[form](new, images)
                if target.exists():
                    os.replace(target, Path(folder) / "old")
                # The marker goes first: without its target it means nothing.
                write_atomically(marker, json.dumps({"made_from": made_from, "sha256": _sha256(new)}))
                os.replace(new, target)
    except OSError as error:
        what, found = "The generated faces could not be written", error.strerror or error
        advice = "Free space or choose a folder that can be written, then give the same command again"
        raise RunError(what, target, None, found, advice) from error
    return target


def _is_whole(target, marker, made_from):
    """True where the target holds just these faces; False where they are to be drawn."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no marker, or a damaged one
        found = json.loads(marker.read_bytes())
        if found["sha256"] == _sha256(target):
            return found["made_from"] == made_from
    if default_cache_dir() in target.parents:
        return False
    what = "Something else stands where generated faces are to be written"
    expected = "nothing, an empty folder, or generated faces as they were written"
    raise DataError(what, target, expected, advice="Choose another place, or take away what stands there")


def _sha256(path):
    """The hash of a file, or of the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(f"{file.relative_to(path)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _jpeg(pixels, mode):
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def draw_fer2013(seed, index, expression):
    """JPEG bytes of FER-2013 image number `index`: 48 x 48 pixels, grey."""
    rng = np.random.default_rng((seed, 1, index))
    # A weak showing is what a network, as a person, takes for a neutral face.
    units = random_expression(rng, expression, intensity=0.5 + 0.5 * rng.beta(2.2, 1.4))
    subject, view, background = random_subject(rng), random_view(rng, "web"), rng.integers(50, 225, 3)
    return _jpeg(draw_face(subject, units, view, (48, 48), background.tolist(), rng), "L")


def draw_kdef(seed, size, name):
    """JPEG bytes of one KDEF image; the five angles of a session show the same expression of the same subject."""
    session, sex, number, code, angle = name[0], name[1], int(name[2:4]), name[4:6], name[6:]
    subject = seed, "FM".index(sex), number
    sitting = *subject, "AB".index(session), list(EXPRESSIONS).index(code)
    of_subject, of_sitting = np.random.default_rng((2, *subject)), np.random.default_rng((3, *sitting))
    units = random_expression(of_sitting, EXPRESSIONS[code], intensity=of_sitting.uniform(0.7, 1.0))
    rng = np.random.default_rng((4, *sitting, list(KDEF_YAWS).index(angle)))
    view = random_view(rng, "studio", KDEF_YAWS[angle])
    return _jpeg(draw_face(random_subject(of_subject, sex), units, view, size, (190, 190, 186), rng), "RGB")


# Both yield (name of the file, its bytes).


def _fer2013_images(images_per_class, seed, flaws):
    """Usages in the CSV's order, classes mixed within each."""
    rng = np.random.default_rng((seed, 0))
    places = []
    for usage, (_, share, fewest) in USAGES.items():
        counts = {name: max(fewest, round(share * images_per_class * SHARES[name])) for name in SHARES}
        of_usage = [(usage, name, place) for name in SHARES for place in range(counts[name])]
        places += [of_usage[index] for index in rng.permutation(len(of_usage))]
    numbers = 10_000_000 + rng.choice(90_000_000, len(places), replace=False)
    jpegs = {place: draw_fer2013(seed, index, place[1]) for index, place in enumerate(places)}
    if flaws:
        black = _jpeg(np.zeros((48, 48), np.uint8), "L")
        jpegs |= {place: jpegs[source] if source else black for place, source in FLAWS.items()}
    for (usage, name, place), number in zip(places, numbers, strict=True):
        yield f"{USAGES[usage][0]}/{name}/{usage}_{number}.jpg", jpegs[usage, name, place]


def _kdef_images(people, size, seed, flaws):
    black = _jpeg(np.zeros((*size[::-1], 3), np.uint8), "RGB")
    misnamed = {name: stem for stem, name in MISNAMED.items() if flaws}
    for name in (name for name in NAMES if int(name[2:4]) <= people):
        jpeg = black if flaws and name in KDEF_BLACK else draw_kdef(seed, tuple(size), name)
        yield f"KDEF_and_AKDEF/KDEF/{name[:4]}/{misnamed.get(name, name)}.JPG", jpeg


def _write_zip(path, images):
    with zipfile.ZipFile(path, "w") as archive:
        for name, jpeg in sorted(images):
            # A fixed date: the same bytes again.
            archive.writestr(zipfile.ZipInfo(name, (2013, 7, 1, 0, 0, 0)), jpeg)


def _write_folder(path, images):
    for name, jpeg in images:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(jpeg)


def _write_csv(path, images, header="emotion,pixels,Usage"):
    lines = [header]
    for name, jpeg in images:
        _, class_name, file_name = name.split("/")
        row = {"emotion": str(CSV_CLASS_NAMES.index(class_name)), "Usage": file_name.partition("_")[0]}
        row["pixels"] = " ".join(map(str, np.asarray(Image.open(io.BytesIO(jpeg))).ravel().tolist()))
        lines.append(",".join(row[column.strip()] for column in header.split(",")))
    path.write_text("\n".join([*lines, ""]), newline="")


FORMS = {
    "fer2013_zip": _write_zip, "fer2013_folder": _write_folder, "kdef": _write_folder, "fer2013_csv": _write_csv,
    "icml_csv": partial(_write_csv, header="emotion, Usage, pixels"),  # with blanks, as circulates
}  # fmt: skip
