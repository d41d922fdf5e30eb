"""Generated faces, read with the standard library and Pillow alone: what the real loaders will find."""

import csv
import hashlib
import io
import re
import zipfile
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from fer_lib.datasets import make_synthetic
from fer_lib.datasets.synthetic import face, forms
from fer_lib.errors import DataError, ParameterError, RunError

CLASSES = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
CSV_CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
SMALL = {"images_per_class": 12, "seed": 3}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("synthetic")


@pytest.fixture(scope="module")
def archive(place):
    return make_synthetic(place / "fer.zip", **SMALL)


@pytest.fixture(scope="module")
def kdef(place):
    return make_synthetic(place / "kdef", form="kdef", people=2, size=(56, 76), seed=1)


def read_zip(path):
    """name -> pixels of every entry."""
    with zipfile.ZipFile(path) as archive:
        return {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}


def read_csv(path):
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    return rows[0], rows[1:]


def pixels_of(text):
    return np.array([int(value) for value in text.split(" ")], np.uint8).reshape(48, 48)


def files_below(folder):
    return {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}


# The forms of FER-2013


def test_the_zip_is_laid_out_as_the_real_archive(archive):
    images = read_zip(archive)
    classes = "|".join(CLASSES)
    grammar = rf"(train/({classes})/Training|test/({classes})/(PublicTest|PrivateTest))_[1-9]\d{{7}}\.jpg"
    assert all(re.fullmatch(grammar, name) for name in images)
    assert list(images) == sorted(images)
    assert {pixels.shape for pixels in images.values()} == {(48, 48)}
    assert {pixels.dtype for pixels in images.values()} == {np.dtype(np.uint8)}
    with zipfile.ZipFile(archive) as opened:
        picture = Image.open(io.BytesIO(opened.read(next(iter(images)))))
    assert (picture.format, picture.mode) == ("JPEG", "L")


def test_splits_are_eight_to_one_to_one_and_disgust_is_rare_but_present(place):
    path = make_synthetic(place / "counts.zip", images_per_class=60)
    with zipfile.ZipFile(path) as opened:
        names = opened.namelist()
    usages = Counter(name.split("/")[2].partition("_")[0] for name in names)
    assert len(names) == pytest.approx(7 * 60, abs=7)
    assert usages["Training"] / len(names) == pytest.approx(0.8, abs=0.02)
    assert usages["PublicTest"] == usages["PrivateTest"]
    classes = Counter(name.split("/")[1] for name in names)
    assert min(classes, key=classes.get) == "disgust" and max(classes, key=classes.get) == "happy"
    cells = Counter((name.split("/")[1], name.split("/")[2].partition("_")[0]) for name in names)
    assert len(cells) == 21 and min(cells.values()) >= 3


def test_the_folder_holds_the_same_files_as_the_zip(place, archive):
    folder = make_synthetic(place / "folder", form="fer2013_folder", **SMALL)
    with zipfile.ZipFile(archive) as opened:
        entries = {name: opened.read(name) for name in opened.namelist()}
    assert {name: file.read_bytes() for name, file in files_below(folder).items()} == entries


def test_csv_integers_name_the_same_faces_as_the_folders(place):
    # Without copies every face is unique, so a row's face has one folder.
    path = make_synthetic(place / "unique.zip", flaws=False, **SMALL)
    folders = {pixels.tobytes(): name.split("/")[1:] for name, pixels in read_zip(path).items()}
    header, rows = read_csv(make_synthetic(place / "fer2013.csv", form="fer2013_csv", flaws=False, **SMALL))
    assert header == ["emotion", "pixels", "Usage"]
    assert len(rows) == len(folders)
    for emotion, pixels, usage in rows:
        class_name, file = folders[pixels_of(pixels).tobytes()]
        assert CSV_CLASSES[int(emotion)] == class_name
        assert file.startswith(usage + "_")
    usages = [row[2] for row in rows]
    assert usages == sorted(usages, key=["Training", "PublicTest", "PrivateTest"].index)


def test_icml_csv_has_blanks_in_its_header_and_the_same_rows(place):
    header, rows = read_csv(make_synthetic(place / "icml_face_data.csv", form="icml_csv", flaws=False, **SMALL))
    _, others = read_csv(make_synthetic(place / "again.csv", form="fer2013_csv", flaws=False, **SMALL))
    assert header == ["emotion", " Usage", " pixels"]
    assert [(emotion, pixels, usage) for emotion, usage, pixels in rows] == [tuple(row) for row in others]


def test_flaws_are_as_many_as_stated(place, archive):
    def flaws(path):
        groups, constant = {}, 0
        for name, pixels in read_zip(path).items():
            groups.setdefault(pixels.tobytes(), []).append(name.split("/")[1:])
            constant += pixels.min() == pixels.max()
        pairs = [sorted(members, key=lambda member: member[1]) for members in groups.values() if len(members) > 1]
        across = Counter(first[1].partition("_")[0] for first, last in pairs if last[1][:5] != first[1][:5])
        contradicting = sum(first[0] != last[0] for first, last in pairs)
        return dict(across), len(pairs), contradicting, constant

    assert flaws(archive) == ({"PublicTest": 2, "PrivateTest": 2}, 5, 1, 1)
    assert flaws(place / "unique.zip") == ({}, 0, 0, 0)


# Determinism, and targets that are complete or absent


def test_same_arguments_give_the_same_bytes(place, archive):
    again = make_synthetic(place / "again.zip", **SMALL)
    other = make_synthetic(place / "other.zip", **{**SMALL, "seed": 4})
    assert again.read_bytes() == archive.read_bytes()
    assert other.read_bytes() != archive.read_bytes()


def test_a_finished_target_is_found_again_and_not_drawn(tmp_path, monkeypatch):
    path = make_synthetic(tmp_path / "a.zip", images_per_class=1)
    before = path.stat()
    monkeypatch.setattr(forms, "draw_fer2013", lambda *image: pytest.fail("drawn again"))
    assert make_synthetic(path, images_per_class=1) == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_other_arguments_replace_what_was_generated(tmp_path):
    path = make_synthetic(tmp_path / "kdef", form="kdef", people=1, size=(24, 32))
    first = hashlib.sha256((path / "KDEF_and_AKDEF/KDEF/AF01/AF01HAS.JPG").read_bytes()).digest()
    make_synthetic(path, form="kdef", people=1, size=(24, 32), seed=9)
    second = hashlib.sha256((path / "KDEF_and_AKDEF/KDEF/AF01/AF01HAS.JPG").read_bytes()).digest()
    assert first != second
    assert sorted(file.name for file in tmp_path.iterdir()) == [".kdef.lock", ".kdef.synthetic.json", "kdef"]


def test_what_others_put_there_is_never_touched(tmp_path):
    theirs = tmp_path / "archive.zip"
    theirs.write_bytes(b"the real one")
    with pytest.raises(DataError, match="Something else stands"):
        make_synthetic(theirs, images_per_class=1)
    assert theirs.read_bytes() == b"the real one"


def test_a_changed_target_is_refused(tmp_path):
    path = make_synthetic(tmp_path / "folder", form="fer2013_folder", images_per_class=1)
    (path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="Something else stands"):
        make_synthetic(path, form="fer2013_folder", images_per_class=1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, marker: path.write_bytes(path.read_bytes()[:-100]),
        lambda path, marker: path.write_bytes(path.read_bytes().replace(b"JFIF", b"JFIG", 1)),
        lambda path, marker: path.unlink(),
        lambda path, marker: marker.unlink(),
        lambda path, marker: marker.write_bytes(b"\xff{"),
        lambda path, marker: marker.write_text("[]"),
    ],
    ids=["cut short", "bit flip", "missing", "marker missing", "marker garbage", "marker of another type"],
)
def test_what_is_damaged_in_the_cache_is_drawn_again(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("FER_CACHE", str(tmp_path))
    path = make_synthetic(tmp_path / "generated.zip", images_per_class=1)
    whole = path.read_bytes()
    damage(path, tmp_path / ".generated.zip.synthetic.json")
    assert make_synthetic(path, images_per_class=1).read_bytes() == whole


def test_an_interrupted_target_does_not_exist(tmp_path, monkeypatch):
    drawn = []

    def draw(*image):
        drawn.append(image)
        if len(drawn) == 20:
            raise KeyboardInterrupt
        return b"image"

    monkeypatch.setattr(forms, "draw_kdef", draw)
    with pytest.raises(KeyboardInterrupt):
        make_synthetic(tmp_path / "kdef", form="kdef", people=1)
    assert [file.name for file in tmp_path.iterdir()] == [".kdef.lock"]


def test_what_a_killed_process_left_is_swept(tmp_path):
    (tmp_path / ".a.zip.new-x1y2" / "new").mkdir(parents=True)
    make_synthetic(tmp_path / "a.zip", images_per_class=1)
    assert not list(tmp_path.glob(".a.zip.new-*"))


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/fer\.zip"):
        make_synthetic(tmp_path / "file" / "fer.zip", images_per_class=1)


# KDEF


def test_the_full_tree_has_kdefs_names_and_flaws(tmp_path, monkeypatch):
    monkeypatch.setattr(forms, "draw_kdef", lambda *image: b"image")
    path = make_synthetic(tmp_path / "kdef", form="kdef")
    files = files_below(path)
    assert len(files) == 4900
    assert len({name.rpartition("/")[0] for name in files}) == 140
    grammar = re.compile(
        r"KDEF_and_AKDEF/KDEF/([AB][FM](0[1-9]|[12]\d|3[0-5]))/\1(AF|AN|DI|HA|NE|SA|SU)(FL|HL|S|HR|FR)\.JPG"
    )
    misnamed = {name.rpartition("/")[2] for name in files if not grammar.fullmatch(name)}
    assert misnamed == {"AF31V.JPG", "AM31H.JPG"}
    missing = {"AF31/AF31SAHL.JPG", "AM31/AM31SUHR.JPG"}
    assert not missing & {name.removeprefix("KDEF_and_AKDEF/KDEF/") for name in files}
    black = {name[-12:-4] for name, file in files.items() if file.read_bytes() != b"image"}
    assert len(black) == 10 and {"AF01SUFR", "BM24DIFL", "AF10AFFR"} <= black


def test_a_small_tree_is_colour_of_the_size_asked_for_and_black_where_known(kdef):
    files = files_below(kdef)
    assert len(files) == 2 * 2 * 2 * 35
    black = set()
    for name, file in files.items():
        picture = Image.open(file)
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (56, 76))
        if np.asarray(picture).std() < 1:
            black.add(name.rpartition("/")[2])
    assert black == {"AF01SUFR.JPG"}


def test_kdef_is_562_by_762_by_default_and_can_be_without_flaws(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(forms, "draw_kdef", lambda seed, size, *image: sizes.append(size) or b"")
    make_synthetic(tmp_path / "default", form="kdef", people=1)
    assert set(sizes) == {(562, 762)}
    monkeypatch.setattr(forms, "draw_kdef", lambda *image: b"image")
    path = make_synthetic(tmp_path / "kdef", form="kdef", people=31, flaws=False)
    assert {file.read_bytes() for file in files_below(path).values()} == {b"image"}
    assert (path / "KDEF_and_AKDEF/KDEF/AF31/AF31SAHL.JPG").is_file()


def test_a_person_is_recognised_in_the_other_session(kdef):
    def portrait_of(person):
        file = kdef / f"KDEF_and_AKDEF/KDEF/{person}/{person}NES.JPG"
        return np.asarray(Image.open(file).reduce(4), float)

    everybody = ["F01", "F02", "M01", "M02"]
    for person in everybody:
        differences = {
            other: np.abs(portrait_of("A" + person) - portrait_of("B" + other)).mean() for other in everybody
        }
        assert min(differences, key=differences.get) == person


# The drawing


def test_every_expression_contracts_its_own_muscles():
    # The prototypes, from the literature rather than from the module: what each variant must have.
    core = {
        "angry": {4, 7},
        "disgust": {9, 10},
        "fear": {1, 2, 4, 5, 20},
        "happy": {6, 12},
        "neutral": set(),
        "sad": {1, 4, 15},
        "surprise": {1, 2, 5},
    }
    assert list(face.EXPRESSIONS) == CLASSES
    for name, variants in face.EXPRESSIONS.items():
        assert all(core[name] <= variant.keys() <= face.ACTION_UNITS.keys() for variant in variants)
    assert all(variant.keys() & {26, 27} for variant in face.EXPRESSIONS["surprise"])
    assert face.EXPRESSIONS["neutral"] == ({},)


def view(**changes):
    """A frontal view in even light without noise, but for the changes; it frames as a studio's portraits."""
    frontal = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "shift": (0.0, 0.0), "span": 2.75, "zoom": 1.0}
    return SimpleNamespace(**frontal | {"side": 0.0, "gain": 1.0, "noise": 0.0} | changes)


def someone(**changes):
    return SimpleNamespace(**vars(face.random_subject(np.random.default_rng(5), "M")) | changes)


def drawn(view, units=None, subject=None):
    rng = np.random.default_rng(0)
    return face.draw_face(subject or someone(), units or {}, view, (96, 96), (190, 190, 186), rng).astype(float)


def frontal_faces(count, seed):
    """Frontal faces without noise: `count` of each class, 16 x 16, standardised."""
    rng = np.random.default_rng(seed)
    images, labels = [], []
    for label, name in enumerate(CLASSES * count):
        units = face.random_expression(rng, name, rng.uniform(0.7, 1.0))
        image = face.draw_face(face.random_subject(rng), units, view(span=2.1), (48, 48), (128, 128, 128), rng)
        image = np.asarray(Image.fromarray(image).convert("L").reduce(3), float)
        images.append((image - image.mean()) / image.std())
        labels.append(label % 7)
    return np.array(images), np.array(labels)


def test_expressions_differ_by_geometry():
    images, labels = frontal_faces(40, seed=0)
    unseen, truth = frontal_faces(15, seed=1)
    model = LogisticRegression(C=0.01, max_iter=500).fit(images.reshape(len(images), -1), labels)
    assert model.score(unseen.reshape(len(unseen), -1), truth) > 0.6  # chance: 0.14


def test_a_smile_raises_the_corners_of_the_mouth_and_a_dropped_jaw_opens_it():
    strength = np.ones((2, 1))

    def mouth(units):
        head = face.Head(someone(), view(), 0.0, np.array([96, 96]))
        return [(u, v) for u, v, *_ in face._mouth(head, face.displacements(units))]

    def corner_height(units):
        u, v = mouth(units)[0]
        return v[u.argmax()] - v[len(v) // 4]  # below the lips' middle

    assert corner_height({12: strength}) < corner_height({}) < corner_height({15: strength})
    heights = [max(v.max() for _, v in mouth(units)) for units in ({}, {25: strength}, {27: strength})]
    assert heights == sorted(heights) and heights[2] - heights[0] > 0.3


def test_a_turned_head_foreshortens_and_hides_its_far_side():
    def eyes_and_nose(yaw):
        head = face.Head(someone(), view(yaw=np.radians(yaw)), 0.0, np.array([96, 96]))
        x, _, seen = head.place(np.array([0.0, 0.0, 0.33]), u=np.array([-0.4, 0.4, 0.0]))
        return x, seen.tolist()

    frontal, seen = eyes_and_nose(0)
    assert seen == [True, True, True] and frontal == pytest.approx([-0.4, 0.4, 0], abs=1e-4)
    half, seen = eyes_and_nose(45)
    assert seen[0] and half[2] > 0.6  # the nose to the image's right
    assert 0.6 * 0.8 < half[1] - half[0] < 0.8 * 0.8  # the eyes closer by about cos 45 degrees
    left, seen = eyes_and_nose(-89)
    assert left[2] < -1 and seen == [False, True, True]  # the nose to the left, the subject's left cheek to us


def test_a_turned_face_is_the_mirror_image_of_one_turned_the_other_way():
    smile = {12: np.ones((2, 1)), 6: np.ones((2, 1))}

    def turned(yaw):
        return drawn(view(yaw=np.radians(yaw)), smile, someone(parting=0.0))

    mirrored = turned(-45)[:, ::-1]
    assert np.abs(turned(45) - mirrored).mean() < 3 < 10 < np.abs(turned(45) - turned(-45)).mean()


def test_light_comes_from_one_side_and_noise_is_added():
    left, right = drawn(view(side=1.0))[40:60, 36:60], drawn(view(side=-1.0))[40:60, 36:60]
    assert left[:, :8].mean() > right[:, :8].mean() + 10 and left[:, -8:].mean() < right[:, -8:].mean() - 10
    noise = (drawn(view(noise=5)) - drawn(view()))[:20, :20].mean(axis=2)  # on the background: nothing is clipped
    assert noise.std() == pytest.approx(5, rel=0.15) and abs(noise.mean()) < 1
    assert drawn(view(gain=0.5))[0, 0] == pytest.approx([95, 95, 93])


# Bad arguments


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"form": "fer2013"}, "fer2013_zip or"),
        ({"images_per_class": 0}, "images_per_class"),
        ({"images_per_class": 2.5}, "images_per_class"),
        ({"seed": -1}, "seed"),
        ({"images_per_class": 10**8}, "images_per_class"),
        ({"form": "kdef", "people": 36}, "1 to 35"),
        ({"form": "kdef", "size": (24, 10)}, "height"),
    ],
)
def test_impossible_arguments_are_refused(tmp_path, arguments, named):
    with pytest.raises(ParameterError, match=named):
        make_synthetic(tmp_path / "target", **arguments)
    assert list(tmp_path.iterdir()) == []
