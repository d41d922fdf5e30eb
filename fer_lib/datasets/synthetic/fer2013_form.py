"""Generated faces in the four forms of FER-2013: zip, folder, `fer2013.csv` and `icml_face_data.csv`."""

import io
import zipfile
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from fer_lib.datasets.synthetic.drawing import as_jpeg, draw_all
from fer_lib.datasets.synthetic.expressions import random_expression
from fer_lib.datasets.synthetic.people import random_person, web_light, web_pose
from fer_lib.datasets.synthetic.portrait import draw_face, expose

SIZE = (48, 48)
# Images of each class in FER-2013. Generated classes go by the square root: a small set has some disgust, too.
REAL_COUNTS = {
    "angry": 4953,
    "disgust": 547,
    "fear": 5121,
    "happy": 8989,
    "neutral": 6198,
    "sad": 6077,
    "surprise": 4002,
}
# The CSV forms' integers: neutral is last, unlike in the alphabetical order of the folders.
CSV_INTEGERS = {"angry": 0, "disgust": 1, "fear": 2, "happy": 3, "sad": 4, "surprise": 5, "neutral": 6}
USAGES = {"Training": "train", "PublicTest": "test", "PrivateTest": "test"}  # -> folder
# At least this many of a class; with 3 + 3 a class in test/, the paper's 20 % of each class is not empty.
FEWEST = {"Training": 5, "PublicTest": 3, "PrivateTest": 3}
# (usage, class, place) of a picture -> that of the Training picture which replaces it; None: a black one.
FLAWS = {
    ("PublicTest", "happy", 0): ("Training", "happy", 0),
    ("PublicTest", "sad", 0): ("Training", "sad", 0),
    ("PrivateTest", "happy", 0): ("Training", "happy", 1),
    ("PrivateTest", "sad", 0): ("Training", "sad", 1),
    ("Training", "sad", 2): ("Training", "neutral", 0),
    ("Training", "happy", 2): None,
}


@dataclass(frozen=True)
class Picture:
    """One picture of the set: where it stands, and the JPEG once it is drawn."""

    usage: str
    class_name: str
    place: int  # among those of its usage and class
    number: int  # in its file name
    jpeg: bytes = b""

    @property
    def path(self):
        return f"{USAGES[self.usage]}/{self.class_name}/{self.usage}_{self.number}.jpg"

    def pixels(self):
        return np.asarray(Image.open(io.BytesIO(self.jpeg)))


def write_zip(path, arguments, processes):
    """Writes a zip with `train/` and `test/`; entries sorted by name, as in the real archive."""
    pictures = sorted(_draw(arguments, processes), key=lambda picture: picture.path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for picture in pictures:
            # A fixed date: the same arguments are to give the same bytes.
            entry = zipfile.ZipInfo(picture.path, (2013, 7, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, picture.jpeg, zipfile.ZIP_DEFLATED)


def write_folder(path, arguments, processes):
    """Writes a folder with `train/` and `test/`."""
    for picture in _draw(arguments, processes):
        file = path / picture.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture.jpeg)


def write_fer2013_csv(path, arguments, processes):
    """Writes `fer2013.csv`: emotion, pixels, Usage."""
    with open(path, "w", newline="") as file:
        file.write("emotion,pixels,Usage\n")
        for picture in _draw(arguments, processes):
            file.write(f"{CSV_INTEGERS[picture.class_name]},{_text(picture)},{picture.usage}\n")


def write_icml_csv(path, arguments, processes):
    """Writes `icml_face_data.csv`: another order of columns, and blanks in the header."""
    with open(path, "w", newline="") as file:
        file.write("emotion, Usage, pixels\n")
        for picture in _draw(arguments, processes):
            file.write(f"{CSV_INTEGERS[picture.class_name]},{picture.usage},{_text(picture)}\n")


WRITERS = {
    "fer2013_zip": write_zip,
    "fer2013_folder": write_folder,
    "fer2013_csv": write_fer2013_csv,
    "icml_csv": write_icml_csv,
}


def _text(picture):
    """The pixels between blanks. They are what the JPEG decodes to: every form holds the same faces."""
    return " ".join(map(str, picture.pixels().ravel().tolist()))


def class_counts(images_per_class):
    """Images of each class and usage, `{class: {usage: n}}`: Training, PublicTest, PrivateTest as 8 to 1 to 1."""
    roots = {name: count**0.5 for name, count in REAL_COUNTS.items()}
    counts = {}
    for name, root in roots.items():
        images = round(7 * images_per_class * root / sum(roots.values()))
        tests = {usage: max(FEWEST[usage], round(images / 10)) for usage in ("PublicTest", "PrivateTest")}
        counts[name] = {"Training": max(FEWEST["Training"], images - sum(tests.values())), **tests}
    return counts


def _plan(arguments):
    """Every picture of the set, not drawn yet: usages in the CSV's order, classes mixed within each."""
    counts = class_counts(arguments["images_per_class"])
    rng = np.random.default_rng((arguments["seed"], 0))
    total = sum(sum(of_class.values()) for of_class in counts.values())
    numbers = iter((10_000_000 + rng.choice(90_000_000, total, replace=False)).tolist())
    pictures = []
    for usage in USAGES:
        places = [(name, place) for name, of_class in counts.items() for place in range(of_class[usage])]
        pictures += [Picture(usage, *places[index], next(numbers)) for index in rng.permutation(len(places))]
    return pictures


def _draw(arguments, processes):
    pictures = _plan(arguments)
    seed, people = arguments["seed"], arguments["people"]
    jobs = [(seed, people, index, picture.class_name) for index, picture in enumerate(pictures)]
    jpegs = draw_all(draw_jpeg, jobs, processes)
    pictures = [replace(picture, jpeg=jpeg) for picture, jpeg in zip(pictures, jpegs, strict=True)]
    return _with_flaws(pictures) if arguments["flaws"] else pictures


def _with_flaws(pictures):
    jpegs = {(picture.usage, picture.class_name, picture.place): picture.jpeg for picture in pictures}
    black = as_jpeg(np.zeros(SIZE, np.uint8))
    flaws = {place: black if source is None else jpegs[source] for place, source in FLAWS.items()}
    jpegs |= flaws
    return [replace(picture, jpeg=jpegs[picture.usage, picture.class_name, picture.place]) for picture in pictures]


def draw_jpeg(job):
    """JPEG bytes of one face; `job` is (seed, people or None, index of the picture, class)."""
    seed, people, index, class_name = job
    rng = np.random.default_rng((seed, 1, index))
    someone = index if people is None else int(rng.integers(people))
    person = random_person(np.random.default_rng((seed, 2, someone)))
    # Weak showings are the ones that a network, as a person, takes for a neutral face.
    units = random_expression(rng, class_name, intensity=0.35 + 0.65 * rng.beta(2.2, 1.4))
    background = tuple(rng.integers(50, 225, 3).tolist())
    image = draw_face(person, units, web_pose(rng), SIZE, "web", background, side_light=rng.uniform(-1, 1))
    return as_jpeg(expose(image.convert("L"), web_light(rng), rng))
