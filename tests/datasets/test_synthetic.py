"""Generated faces, read with the standard library and Pillow alone: what the real loader will find."""

import io
import re
import zipfile
from collections import Counter

import numpy as np
import pytest
from data_files import CLASSES
from PIL import Image
from sklearn.linear_model import LogisticRegression

from fer_lib.datasets import make_synthetic, synthetic
from fer_lib.errors import ParameterError, RunError

SMALL = {"images_per_class": 12, "seed": 3}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_synthetic(tmp_path_factory.mktemp("synthetic") / "fer.zip", **SMALL)


def read_zip(path):
    """name -> Pillow's image of every entry."""
    with zipfile.ZipFile(path) as archive:
        return {name: Image.open(io.BytesIO(archive.read(name))) for name in archive.namelist()}


def test_the_zip_is_laid_out_as_the_real_archive(archive):
    images = read_zip(archive)
    classes = "|".join(CLASSES)
    grammar = rf"(train/({classes})/Training|test/({classes})/(PublicTest|PrivateTest))_[1-9]\d{{7}}\.jpg"
    assert all(re.fullmatch(grammar, name) for name in images) and list(images) == sorted(images)
    assert {(image.format, image.mode, image.size) for image in images.values()} == {("JPEG", "L", (48, 48))}


def test_splits_are_eight_to_one_to_one_and_disgust_is_rare_but_present(tmp_path):
    names = list(read_zip(make_synthetic(tmp_path / "counts.zip", images_per_class=60)))
    parts = [(name.split("/")[1], name.split("/")[2].partition("_")[0]) for name in names]
    usages, classes = (Counter(part[place] for part in parts) for place in (1, 0))
    assert len(names) == pytest.approx(7 * 60, abs=7)
    assert usages["Training"] / len(names) == pytest.approx(0.8, abs=0.02)
    assert usages["PublicTest"] == usages["PrivateTest"]
    assert min(classes, key=classes.get) == "disgust" and max(classes, key=classes.get) == "happy"
    assert len(set(parts)) == 21 and min(Counter(parts).values()) >= 3


def test_flaws_are_as_many_as_stated(archive):
    groups, constant = {}, 0
    for name, image in read_zip(archive).items():
        pixels = np.asarray(image)
        groups.setdefault(pixels.tobytes(), []).append(name.split("/")[1:])
        constant += pixels.min() == pixels.max()
    pairs = [sorted(members, key=lambda member: member[1]) for members in groups.values() if len(members) > 1]
    across = Counter(first[1].partition("_")[0] for first, last in pairs if last[1][:5] != first[1][:5])
    assert across == {"PublicTest": 2, "PrivateTest": 2} and constant == 1
    assert (len(pairs), sum(first[0] != last[0] for first, last in pairs)) == (5, 1)


def test_the_same_arguments_give_the_same_bytes(archive, tmp_path):
    assert make_synthetic(tmp_path / "again.zip", **SMALL).read_bytes() == archive.read_bytes()
    assert make_synthetic(tmp_path / "other.zip", 12, seed=4).read_bytes() != archive.read_bytes()


def test_what_others_put_there_is_never_touched(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"the real one")
    with pytest.raises(ParameterError, match="Something else is"):
        make_synthetic(tmp_path / "a.zip", images_per_class=1)
    assert (tmp_path / "a.zip").read_bytes() == b"the real one"


def test_an_interrupted_target_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "draw_face", lambda seed, index, name: [][index])
    with pytest.raises(IndexError):
        make_synthetic(tmp_path / "a.zip", images_per_class=1)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/fer\.zip"):
        make_synthetic(tmp_path / "file" / "fer.zip", images_per_class=1)


# The drawing


def test_every_expression_contracts_its_own_muscles():
    # The prototypes, from the literature rather than from the module: what each variant must have.
    core = {
        "angry": {4, 7}, "disgust": {9, 10}, "fear": {1, 2, 4, 5, 20}, "happy": {6, 12}, "neutral": set(),
        "sad": {1, 4, 15}, "surprise": {1, 2, 5},
    }  # fmt: skip
    assert tuple(synthetic.EXPRESSIONS) == CLASSES
    for name, variants in synthetic.EXPRESSIONS.items():
        assert all(core[name] <= variant.keys() <= synthetic.ACTION_UNITS.keys() for variant in variants)
    assert all(variant.keys() & {26, 27} for variant in synthetic.EXPRESSIONS["surprise"])
    assert synthetic.EXPRESSIONS["neutral"] == ({},)


def test_expressions_differ_by_geometry(monkeypatch):
    frontal = dict.fromkeys(("turn", "roll", "shift_x", "shift_y", "side", "noise"), (0, 0))
    monkeypatch.setattr(synthetic, "VIEW", synthetic.VIEW | frontal)

    def faces(seed, count):
        labels = np.arange(7 * count) % 7
        images = np.stack([synthetic.draw_face(seed, index, CLASSES[label]) for index, label in enumerate(labels)])
        small = images.reshape(-1, 16, 3, 16, 3).mean(axis=(2, 4)).reshape(len(images), -1)
        return (small - small.mean(axis=1, keepdims=True)) / small.std(axis=1, keepdims=True), labels

    model = LogisticRegression(C=0.01, max_iter=500).fit(*faces(0, 60))
    assert model.score(*faces(1, 20)) > 0.6  # chance: 0.14


def test_faces_differ_in_light_and_subject_and_halves_differ():
    faces = np.stack([synthetic.draw_face(0, index, "neutral").astype(float) for index in range(200)])
    halves = faces[:, 16:40, 8:20].mean(axis=(1, 2)) - faces[:, 16:40, 28:40].mean(axis=(1, 2))
    assert (halves > 10).sum() > 40 and (halves < -10).sum() > 40  # light from either side
    assert faces.mean(axis=(1, 2)).std() > 20
    left, right = synthetic.random_expression(np.random.default_rng(0), "happy")
    assert left["corner_up"] != right["corner_up"] == pytest.approx(left["corner_up"], rel=0.3)
