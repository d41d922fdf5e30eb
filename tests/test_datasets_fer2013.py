"""FER-2013 in every form and by both protocols, and every way in which a copy of it can be broken.

The small copies are written here, by hand-made rules of their own. With `FER2013_ARCHIVE` set to the archive of
kaggle.com/datasets/msambare/fer2013, the real one is checked too.
"""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_lib.datasets.checks import check, copies_of
from fer_lib.datasets.faces import CLASS_NAMES
from fer_lib.datasets.fer2013 import load_fer2013
from fer_lib.errors import DataError, ParameterError

# 0..6 of the CSV, from the challenge's page.
EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
REAL = os.environ.get("FER2013_ARCHIVE", "")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))


def grey(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 48), dtype=np.uint8))


def write_tree(folder, train=6, public=5, private=2):
    """So many images a class; their names sort in an order that is not their numbers'."""
    seed = 0
    for label, name in enumerate(CLASS_NAMES):
        for usage, part, count in (
            ("Training", "train", train + label),
            ("PublicTest", "test", public),
            ("PrivateTest", "test", private),
        ):
            for number in range(count):
                path = folder / part / name / f"{usage}_{8 + number * 7}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                seed += 1
                grey(seed).save(path)
    return folder


def zip_of(folder, path, parent=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, parent + file.relative_to(folder).as_posix())
    return path


def csv_row(emotion, image, usage):
    return f"{emotion},{' '.join(str(value) for value in np.asarray(image).ravel())},{usage}"


def write_csv(path, header="emotion,pixels,Usage", rows=None):
    """`rows` replaces some of the 21 good rows, one an emotion and usage; key 21 and above appends."""
    usages = ("Training", "PublicTest", "PrivateTest")
    lines = [csv_row(emotion, grey(emotion), usage) for usage in usages for emotion in range(7)]
    for place, line in sorted((rows or {}).items()):
        lines[place : place + 1] = [line]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def whole_tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def tree(whole_tree, tmp_path):
    """A copy that a test may break."""
    return Path(shutil.copytree(whole_tree, tmp_path / "tree"))


def refused(path, *words, protocol="official"):
    """The message of the DataError; it is one paragraph and has each of the words in it."""
    with pytest.raises(DataError) as caught:
        load_fer2013(path, protocol)
    message = str(caught.value)
    assert "\n" not in message and caught.value.exit_status == 2
    for word in words:
        assert word in message, message
    return message


class TestTree:
    def test_the_paper_protocol_is_what_keras_generators_give(self, whole_tree):
        image = pytest.importorskip("keras.src.legacy.preprocessing.image")
        generator = image.ImageDataGenerator(validation_split=0.2)
        splits = load_fer2013(whole_tree, "paper")
        assert splits.test is None
        for faces, part, subset in (
            (splits.train, "train", "training"),
            (splits.validation, "test", "validation"),
        ):
            flow = generator.flow_from_directory(whole_tree / part, subset=subset, color_mode="grayscale")
            assert faces.ids.tolist() == [f"{part}/{name}" for name in flow.filenames]
            assert faces.labels.tolist() == flow.classes.tolist()
            assert list(faces.class_names) == list(flow.class_indices)

    def test_the_paper_protocol_by_hand(self, whole_tree):
        # angry has 6 files 8, 15, 22, 29, 36, 43: as strings 15 comes first, and int(0.2 * 6) = 1 is left out.
        train = load_fer2013(whole_tree, "paper").train
        angry = train.ids[train.labels == 0].tolist()
        assert angry == [f"train/angry/Training_{number}.png" for number in (22, 29, 36, 43, 8)]

    def test_the_official_protocol(self, whole_tree):
        splits = load_fer2013(whole_tree, "official")
        assert splits.train.counts().tolist() == [6, 7, 8, 9, 10, 11, 12]
        assert splits.validation.counts().tolist() == [5] * 7
        assert splits.test.counts().tolist() == [2] * 7
        for faces, usage in zip(
            (f for _, f in splits.items()), ("Training", "PublicTest", "PrivateTest"), strict=True
        ):
            assert set(faces.metadata["usage"]) == {usage}
            assert all(name.split("/")[2].startswith(usage) for name in faces.ids)

    def test_pixels_labels_and_ids_belong_together(self, whole_tree):
        faces = load_fer2013(whole_tree, "official").test
        assert faces.images.dtype == np.uint8 and faces.images.shape[1:] == (48, 48, 1)
        for image, label, name in zip(faces.images, faces.labels, faces.ids, strict=True):
            assert np.array_equal(image[..., 0], np.asarray(Image.open(whole_tree / name)))
            assert name.split("/")[1] == CLASS_NAMES[label]

    @pytest.mark.parametrize("protocol", ["paper", "official"])
    def test_a_zip_is_the_same_data_as_its_folder(self, whole_tree, tmp_path, protocol):
        plain = load_fer2013(zip_of(whole_tree, tmp_path / "a.zip"), protocol)
        nested = load_fer2013(zip_of(whole_tree, tmp_path / "b.zip", "archive/fer 2013/"), protocol)
        assert load_fer2013(whole_tree, protocol).fingerprint == plain.fingerprint == nested.fingerprint
        assert "The tree stands under archive/fer 2013/." in nested.notes

    def test_a_folder_under_parents(self, whole_tree):
        assert len(load_fer2013(whole_tree.parent / whole_tree.name, "official").test) == 14

    def test_what_systems_leave_behind_is_left_out_and_told(self, tree, tmp_path):
        whole = load_fer2013(tree, "paper").fingerprint
        for name in ("__MACOSX/train/angry/._Training_8.png", "train/.DS_Store", "train/fear/Thumbs.db"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(b"x")
        for path in (tree, zip_of(tree, tmp_path / "a.zip")):
            splits = load_fer2013(path, "paper")
            assert splits.fingerprint == whole
            assert any("Left out 3 files" in note and "Thumbs.db" in note for note in splits.notes)

    def test_jpeg_and_links_are_read(self, tree, tmp_path):
        face = tree / "train" / "sad" / "Training_8.png"
        Image.open(face).save(face.with_suffix(".jpg"), quality=95)
        face.unlink()
        (tree / "train").rename(tmp_path / "elsewhere")
        (tree / "train").symlink_to(tmp_path / "elsewhere")
        assert "train/sad/Training_8.jpg" in load_fer2013(tree, "official").train.ids

    def test_renamed_files_give_the_paper_protocol_alone(self, tree):
        for name in CLASS_NAMES:
            folder = tree / "train" / name
            for number, file in enumerate(sorted(folder.iterdir())):
                file.rename(folder / f"im{number}.png")
        assert len(load_fer2013(tree, "paper").train) == 63 - 10
        refused(tree, "official", "icml_face_data.csv")

    def test_the_second_load_does_not_decode(self, tree, tmp_path, monkeypatch):
        archive = zip_of(tree, tmp_path / "a.zip")
        first = load_fer2013(archive, "paper")
        monkeypatch.setattr(Image, "open", None)
        assert load_fer2013(archive, "paper").fingerprint == first.fingerprint


class TestBrokenTree:
    def test_missing_path(self, tmp_path):
        refused(tmp_path / "nowhere.zip", "nowhere.zip", "do not exist", "fetch")

    def test_not_a_zip(self, tmp_path):
        (tmp_path / "a.zip").write_bytes(b"<html>not found</html>")
        refused(tmp_path / "a.zip", "not a zip", "<html>")

    @pytest.mark.parametrize("share", [0.001, 0.5, 0.99])
    def test_truncated_zip(self, whole_tree, tmp_path, share):
        data = zip_of(whole_tree, tmp_path / "a.zip").read_bytes()
        (tmp_path / "a.zip").write_bytes(data[: int(share * len(data))])
        refused(tmp_path / "a.zip", "truncated", "Download it again")

    def test_a_damaged_entry_is_named(self, whole_tree, tmp_path):
        archive = zip_of(whole_tree, tmp_path / "a.zip")
        data = bytearray(archive.read_bytes())
        start = data.index(b"train/fear/Training_8.png")
        data[start + 1000] ^= 1
        archive.write_bytes(data)
        refused(archive, "damaged", "train/fear/Training_8.png")

    def test_encrypted_zip(self, whole_tree, tmp_path):
        archive = zip_of(whole_tree, tmp_path / "a.zip")
        data = bytearray(archive.read_bytes())
        # Bit 0 of the flags, 8 bytes into each entry of the central directory.
        start = data.index(b"PK\x01\x02")
        while start >= 0:
            data[start + 8] |= 1
            start = data.find(b"PK\x01\x02", start + 4)
        archive.write_bytes(data)
        refused(archive, "encrypted")

    @pytest.mark.parametrize(
        "name", ["../train/angry/x.png", "/train/angry/x.png", "a/../../x", "C:/x.png", "train\\angry\\x.png"]
    )
    def test_entries_that_lead_out(self, whole_tree, tmp_path, name):
        archive = zip_of(whole_tree, tmp_path / "a.zip")
        with zipfile.ZipFile(archive, "a") as file:
            file.writestr(name, b"x")
        refused(archive, "leads out", repr(name))

    def test_absurdly_large_entry(self, whole_tree, tmp_path, monkeypatch):
        archive = zip_of(whole_tree, tmp_path / "a.zip")
        with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
            file.writestr("train/angry/Training_1.png", bytes(5_000_000))
        monkeypatch.setattr("fer_lib.datasets.archive.MAX_FILE_BYTES", 4_000_000)
        refused(archive, "absurdly large", "train/angry/Training_1.png", "5,000,000")
        monkeypatch.setattr("fer_lib.datasets.archive.MAX_FILE_BYTES", 6_000_000)
        monkeypatch.setattr("fer_lib.datasets.archive.MAX_TOTAL_BYTES", 4_000_000)
        refused(archive, "absurdly large together")

    def test_far_too_many_files(self, tree, tmp_path, monkeypatch):
        monkeypatch.setattr("fer_lib.datasets.archive.MAX_FILES", 50)
        refused(tree, "too many files")
        refused(zip_of(tree, tmp_path / "a.zip"), "too many files")

    def test_two_entries_of_one_name(self, whole_tree, tmp_path):
        archive = zip_of(whole_tree, tmp_path / "a.zip")
        with zipfile.ZipFile(archive, "a") as file, pytest.warns(UserWarning):
            file.writestr("train/angry/Training_8.png", b"x")
        refused(archive, "two entries", "train/angry/Training_8.png")

    @pytest.mark.parametrize("part", ["train", "test"])
    def test_missing_class(self, tree, tmp_path, part):
        shutil.rmtree(tree / part / "disgust")
        refused(tree, "missing", f"{part}/disgust")
        refused(zip_of(tree, tmp_path / "a.zip"), "missing", f"{part}/disgust")

    def test_empty_class(self, tree, tmp_path):
        for file in (tree / "test" / "disgust").iterdir():
            file.unlink()
        refused(tree, "empty", "test/disgust")
        refused(zip_of(tree, tmp_path / "a.zip"), "empty", "test/disgust")

    def test_missing_test_folder(self, tree):
        shutil.rmtree(tree / "test")
        refused(tree, "missing", "test/angry")

    def test_a_class_without_private_images(self, tree):
        for file in (tree / "test" / "sad").glob("Private*"):
            file.unlink()
        refused(tree, "sad", "'test'")

    @pytest.mark.parametrize(
        "name, near", [("Angry", "'angry'"), ("suprise", "'surprise'"), ("contempt", "contempt")]
    )
    def test_unknown_class(self, tree, name, near):
        (tree / "train" / name).mkdir()
        grey(0).save(tree / "train" / name / "Training_1.png")
        refused(tree, "Unknown class", name, near)

    def test_not_an_image(self, tree, tmp_path):
        (tree / "train" / "fear" / "Training_8.png").write_text("hello")
        refused(tree, "no image", "train/fear/Training_8.png")
        refused(zip_of(tree, tmp_path / "a.zip"), "no image", "train/fear/Training_8.png")

    def test_half_an_image(self, tree):
        face = tree / "train" / "fear" / "Training_8.png"
        face.write_bytes(face.read_bytes()[:900])
        refused(tree, "damaged", "train/fear/Training_8.png")

    @pytest.mark.parametrize("size", [(47, 48), (224, 224)])
    def test_wrong_size(self, tree, size):
        grey(0).resize(size).save(tree / "test" / "happy" / "PublicTest_8.png")
        refused(tree, "wrong size", "test/happy/PublicTest_8.png", "48 x 48", f"{size[0]} x {size[1]}")

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "1", "I;16"])
    def test_not_grey(self, tree, mode):
        grey(0).convert(mode).save(tree / "test" / "happy" / "PublicTest_8.png")
        refused(tree, "not grey", "test/happy/PublicTest_8.png", mode[0])

    @pytest.mark.parametrize(
        "name", ["validation/angry/x.png", "readme.txt", "train/x.png", "train/angry/deep/x.png"]
    )
    def test_files_outside_the_tree(self, tree, tmp_path, name):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        grey(0).save(tree / name, format="PNG")
        refused(tree, "does not belong", name)
        refused(zip_of(tree, tmp_path / "a.zip"), "does not belong", name)

    def test_two_trees(self, tree, tmp_path):
        shutil.copytree(tree, tmp_path / "both" / "a")
        shutil.copytree(tree, tmp_path / "both" / "b")
        refused(tmp_path / "both", "more than one tree", "a/train", "b/train")

    def test_train_and_test_mixed_up(self, tree):
        (tree / "test" / "sad" / "PublicTest_8.png").rename(tree / "train" / "sad" / "PublicTest_8.png")
        refused(tree, "mixed up", "train/sad/PublicTest_8.png")

    def test_a_folder_of_something_else(self, tmp_path):
        folder = tmp_path / "other"
        folder.mkdir()
        refused(folder, "Found: no file")
        (folder / "archive.zip").write_bytes(b"PK")
        refused(folder, "archive.zip", "Give the path")

    def test_unknown_protocol(self, whole_tree):
        with pytest.raises(ParameterError, match="paper"):
            load_fer2013(whole_tree, "random")


class TestTable:
    def test_labels_are_named_alphabetically(self, tmp_path):
        splits = load_fer2013(write_csv(tmp_path / "fer2013.csv"), "official")
        for usage, (_, faces) in zip(("Training", "PublicTest", "PrivateTest"), splits.items(), strict=True):
            assert [CLASS_NAMES[label] for label in faces.labels] == EMOTIONS
            assert set(faces.metadata["usage"]) == {usage}
        assert splits.train.ids.tolist()[:2] == ["Training/000000", "Training/000001"]
        assert splits.test.ids[-1] == "PrivateTest/000020"
        assert np.array_equal(splits.test.images[3, :, :, 0], np.asarray(grey(3)))

    def test_headers_with_blanks_in_another_order(self, tmp_path):
        write_csv(tmp_path / "fer2013.csv")
        rows = [line.split(",") for line in (tmp_path / "fer2013.csv").read_text().splitlines()[1:]]
        lines = [
            "emotion, Usage, pixels",
            *(f"{emotion},{usage},{pixels}" for emotion, pixels, usage in rows),
        ]
        (tmp_path / "icml_face_data.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n\r\n")
        one = load_fer2013(tmp_path / "fer2013.csv", "official")
        assert load_fer2013(tmp_path / "icml_face_data.csv", "official").fingerprint == one.fingerprint

    def test_in_a_zip_and_in_a_folder(self, tmp_path):
        plain = load_fer2013(write_csv(tmp_path / "fer2013.csv"), "official")
        folder = tmp_path / "challenge"
        folder.mkdir()
        write_csv(folder / "icml_face_data.csv")
        (folder / "test.csv").write_text("pixels\n1 2 3\n")
        archive = zip_of(folder, tmp_path / "challenge.zip", "deep/er/")
        for path in (folder, archive):
            splits = load_fer2013(path, "official")
            assert splits.fingerprint == plain.fingerprint
            assert "test.csv" in splits.notes[0]

    def test_the_paper_protocol_needs_file_names(self, tmp_path):
        refused(write_csv(tmp_path / "fer2013.csv"), "'paper'", "zip or folder", protocol="paper")


GOOD = csv_row(0, grey(0), "Training")


class TestBrokenTable:
    @pytest.mark.parametrize(
        "header, words",
        [
            ("pixels", ["no labels", "test.csv"]),
            ("emotion,pixels", ["Usage", "train.csv"]),
            ("a,b,c", ["a, b, c", "emotion, pixels and Usage"]),
            ("", ["not FER-2013's table"]),
        ],
    )
    def test_headers(self, tmp_path, header, words):
        refused(write_csv(tmp_path / "fer2013.csv", header), *words)

    @pytest.mark.parametrize("text", ["", "emotion,pixels,Usage\n", "\x00\x01\x02\n\n\xff"])
    def test_no_table(self, tmp_path, text):
        (tmp_path / "fer2013.csv").write_text(text)
        refused(tmp_path / "fer2013.csv", "fer2013.csv", "able")

    @pytest.mark.parametrize(
        "row, words",
        [
            ("3,1 2 3,Training", ["wrong number of pixels", "2304", "Found: 3"]),
            (GOOD.replace(" ", " 1 ", 1), ["wrong number of pixels", "Found: 2305"]),
            (GOOD.replace(",Training", ""), ["not a row", "Found: 2"]),
            (GOOD + ",extra", ["not a row", "Found: 4"]),
            ("junk", ["not a row", "junk"]),
            ("7" + GOOD[1:], ["label", "0..6", "'7'"]),
            ("-1" + GOOD[1:], ["label", "'-1'"]),
            ("angry" + GOOD[1:], ["label", "'angry'"]),
            (GOOD[1:], ["label", "''"]),
            (GOOD.replace("Training", "training set"), ["Unknown Usage", "'training set'", "PublicTest"]),
            ("0,256" + " 0" * 2303 + ",Training", ["0..255", "Found: 256"]),
            ("0,-1" + " 0" * 2303 + ",Training", ["0..255", "Found: -1"]),
            ("0,0.5" + " 0" * 2303 + ",Training", ["no integer", "'0.5'"]),
            ("0,nan" + " 0" * 2303 + ",Training", ["no integer", "'nan'"]),
            ("0,99999999999999999999" + " 0" * 2303 + ",Training", ["pixel"]),
            ("0,,Training", ["pixel"]),
        ],
    )
    @pytest.mark.parametrize("place", [4, 21])
    def test_rows_are_refused_by_their_line(self, tmp_path, row, words, place):
        # The header is line 1, so the row at place 4 is line 6; 21 is one after the last good row.
        refused(write_csv(tmp_path / "fer2013.csv", rows={place: row}), f"line {place + 2}.", *words)

    def test_an_open_quotation_mark_does_not_swallow_the_file(self, tmp_path):
        refused(write_csv(tmp_path / "fer2013.csv", rows={2: '"0,1 2 3'}), "line")

    def test_junk_bytes_at_the_end(self, tmp_path):
        path = write_csv(tmp_path / "fer2013.csv")
        path.write_bytes(path.read_bytes() + b"\xff\xfe\x00junk")
        refused(path, "line 23", "not a row")

    def test_a_split_without_a_class(self, tmp_path):
        rows = {20: csv_row(0, grey(0), "PrivateTest")}
        refused(write_csv(tmp_path / "fer2013.csv", rows=rows), "'test'", "neutral")

    def test_two_tables(self, tmp_path):
        folder = tmp_path / "both"
        folder.mkdir()
        write_csv(folder / "fer2013.csv")
        write_csv(folder / "icml_face_data.csv")
        refused(folder, "more than one CSV", "fer2013.csv")


@pytest.mark.skipif(not os.path.isfile(REAL), reason="FER2013_ARCHIVE does not name the real archive")
class TestRealArchive:
    """Numbers published for FER-2013, and counts made of this archive by other means."""

    def test_paper(self):
        splits = load_fer2013(REAL, "paper")
        assert (len(splits.train), len(splits.validation), splits.test) == (22_968, 1_432, None)
        assert copies_of(splits.train, splits.validation).sum() == 108
        assert not check(splits).problems

    def test_official(self):
        splits = load_fer2013(REAL, "official")
        assert [len(faces) for _, faces in splits.items()] == [28_709, 3_589, 3_589]
        assert splits.train.counts().tolist() == [3995, 436, 4097, 7215, 4965, 4830, 3171]
        flaws = check(splits)
        assert not flaws.problems
        assert flaws.totals[["distinct", "copies", "groups", "contradicting", "constant"]].tolist() == [
            34_034, 1_853, 1_516, 57, 12,
        ]  # fmt: skip
        assert flaws.leaks["split"].value_counts().to_dict() == {"test": 288, "validation": 280}
