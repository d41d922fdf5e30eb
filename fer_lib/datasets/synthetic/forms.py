"""Write generated faces in the forms in which FER-2013 and KDEF circulate, with the flaws of the real data."""

import hashlib
import io
import itertools
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from fer_lib.datasets.cache import default_cache_dir
from fer_lib.datasets.fer2013 import CSV_CLASS_NAMES
from fer_lib.datasets.kdef import EXPRESSIONS, MISNAMED
from fer_lib.datasets.synthetic.expressions import random_expression
from fer_lib.datasets.synthetic.face import draw_face, random_subject, random_view
from fer_lib.errors import DataError, ParameterError, RunError
from fer_lib.files import write_atomically

VERSION = 2  # raised with any change to what is drawn or written: older faces are then drawn again
# Images of a class, of the mean over the classes: by the square root of FER-2013's, so that some are of disgust.
SHARES = {
    "angry": 1.03, "disgust": 0.34, "fear": 1.04, "happy": 1.38, "neutral": 1.15, "sad": 1.14, "surprise": 0.92,
}  # fmt: skip
FOLDERS = {"Training": "train", "PublicTest": "test", "PrivateTest": "test"}  # of each usage
# Usage, class and place of a FER-2013 image -> those of the Training image that replaces it; None: a black one.
FLAWS = {
    ("PublicTest", "happy", 0): ("Training", "happy", 0), ("PublicTest", "sad", 0): ("Training", "sad", 0),
    ("PrivateTest", "happy", 0): ("Training", "happy", 1), ("PrivateTest", "sad", 0): ("Training", "sad", 1),
    ("Training", "sad", 2): ("Training", "neutral", 0), ("Training", "happy", 2): None,
}  # fmt: skip
KDEF_YAWS = {"FL": -90, "HL": -45, "S": 0, "HR": 45, "FR": 90}  # full left: the nose points to the image's left
KDEF_BLACK = (
    *("AF01SUFR", "AF10AFFR", "AF11NEHL", "AF20DIHL", "AM25DIFL"),
    *("AM34DIFR", "BF13NEHR", "BM21DIFL", "BM22DIHL", "BM24DIFL"),
)


def make_synthetic(
    target, form="fer2013_zip", images_per_class=100, people=35, seed=0, size=(562, 762), flaws=True
):
    """Draw faces and write them in a real form, unless `target` already holds just these.

    Args:
        target: the file (`fer2013_zip`, `fer2013_csv`, `icml_csv`) or folder (`fer2013_folder`, `kdef`) to write.
        form: one of `FORMS`. The four of FER-2013 hold the same 48 x 48 grey faces, each of another subject,
            pixel for pixel; `kdef` is the tree `KDEF_and_AKDEF/KDEF/AF01/AF01AFFL.JPG` of colour JPEGs.
        images_per_class: of FER-2013, the mean over the classes, all three splits together; see `SHARES`.
        people, size: of KDEF, subjects of each sex, 1 to 35, and (width, height) of the images in pixels.
        seed: a whole number from 0.
        flaws: whether to build in the known flaws: `FLAWS`, or KDEF's misnamed and black images.

    Returns:
        `target` as a Path: what `load_fer2013` or `load_kdef` is given. The same arguments give the same bytes.

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
    # The target is written beside its place and moved there; a marker beside it holds the arguments and its hash.
    made_from = {"version": VERSION, "form": form, "seed": seed, "flaws": flaws}
    kdef, fer2013 = {"people": people, "size": [width, height]}, {"images_per_class": images_per_class}
    made_from |= kdef if form == "kdef" else fer2013
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
                FORMS[form](new, made_from)
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
    try:
        found = json.loads(marker.read_bytes())
        if found["sha256"] == _sha256(target):
            return found["made_from"] == made_from
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no marker, or a damaged one
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
    return _jpeg(draw_face(subject, units, view, (48, 48), tuple(background.tolist()), rng), "L")


def draw_kdef(seed, size, session, sex, number, code, angle):
    """JPEG bytes of one KDEF image; the five angles of a session show the same expression of the same subject."""
    subject = seed, "FM".index(sex), number
    sitting = *subject, "AB".index(session), list(EXPRESSIONS).index(code)
    of_subject, of_sitting = np.random.default_rng((2, *subject)), np.random.default_rng((3, *sitting))
    units = random_expression(of_sitting, EXPRESSIONS[code], intensity=of_sitting.uniform(0.7, 1.0))
    rng = np.random.default_rng((4, *sitting, list(KDEF_YAWS).index(angle)))
    view = random_view(rng, "studio", KDEF_YAWS[angle])
    return _jpeg(draw_face(random_subject(of_subject, sex), units, view, size, (190, 190, 186), rng), "RGB")


def _fer2013_images(images_per_class, seed, flaws, **_):
    """(usage, class, file name, JPEG) of every image: usages in the CSV's order, classes mixed within each."""
    rng = np.random.default_rng((seed, 0))
    places = []
    for usage, share in zip(FOLDERS, (0.8, 0.1, 0.1), strict=True):
        # At least five of a class in Training and three in either test split: the paper's fifth is then not empty.
        fewest = 5 if usage == "Training" else 3
        counts = {name: max(fewest, round(share * images_per_class * SHARES[name])) for name in SHARES}
        of_usage = [(usage, name, place) for name in SHARES for place in range(counts[name])]
        places += [of_usage[index] for index in rng.permutation(len(of_usage))]
    numbers = 10_000_000 + rng.choice(90_000_000, len(places), replace=False)
    jpegs = {place: draw_fer2013(seed, index, place[1]) for index, place in enumerate(places)}
    if flaws:
        black = _jpeg(np.zeros((48, 48), np.uint8), "L")
        jpegs |= {place: jpegs[source] if source else black for place, source in FLAWS.items()}
    for (usage, name, place), number in zip(places, numbers, strict=True):
        yield usage, name, f"{FOLDERS[usage]}/{name}/{usage}_{number}.jpg", jpegs[usage, name, place]


def _write_zip(path, made_from):
    with zipfile.ZipFile(path, "w") as archive:
        for *_, name, jpeg in sorted(_fer2013_images(**made_from), key=lambda image: image[2]):
            # A fixed date: the same bytes again.
            archive.writestr(zipfile.ZipInfo(name, (2013, 7, 1, 0, 0, 0)), jpeg)


def _write_folder(path, made_from):
    for *_, name, jpeg in _fer2013_images(**made_from):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(jpeg)


def _write_csv(path, made_from):
    """`fer2013.csv`, or `icml_face_data.csv` with another order of columns and blanks in its header."""
    icml = made_from["form"] == "icml_csv"
    lines = ["emotion, Usage, pixels" if icml else "emotion,pixels,Usage"]
    for usage, class_name, _, jpeg in _fer2013_images(**made_from):
        pixels = " ".join(map(str, np.asarray(Image.open(io.BytesIO(jpeg))).ravel().tolist()))
        row = (usage, pixels) if icml else (pixels, usage)
        lines.append(",".join((str(CSV_CLASS_NAMES.index(class_name)), *row)))
    path.write_text("\n".join([*lines, ""]), newline="")


def _write_kdef(path, made_from):
    seed, size, flaws = made_from["seed"], tuple(made_from["size"]), made_from["flaws"]
    numbers = range(1, made_from["people"] + 1)
    misnamed = {name: stem for stem, name in MISNAMED.items() if flaws}
    for session, sex, number, code, angle in itertools.product("AB", "FM", numbers, EXPRESSIONS, KDEF_YAWS):
        folder = path / "KDEF_and_AKDEF" / "KDEF" / f"{session}{sex}{number:02d}"
        name = f"{folder.name}{code}{angle}"
        jpeg = draw_kdef(seed, size, session, sex, number, code, angle)
        if flaws and name in KDEF_BLACK:
            jpeg = _jpeg(np.zeros((*size[::-1], 3), np.uint8), "RGB")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{misnamed.get(name, name)}.JPG").write_bytes(jpeg)


FORMS = {
    "fer2013_zip": _write_zip, "fer2013_folder": _write_folder, "fer2013_csv": _write_csv, "icml_csv": _write_csv,
    "kdef": _write_kdef,
}  # fmt: skip
