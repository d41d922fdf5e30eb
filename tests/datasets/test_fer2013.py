"""FER-2013 in every form that circulates and by both protocols, and every way in which a copy of it can be broken.

The small copies are written by hand-made rules (`data_files`). With `FER2013_ARCHIVE` set to the archive of
kaggle.com/datasets/msambare/fer2013, the real one is checked too.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from data_files import (
    CLASSES,
    USAGES,
    csv_row,
    csv_rows,
    grey,
    refused,
    save,
    tar_of,
    write_csv,
    write_tree,
    zip_of,
)
from PIL import Image

from fer_lib.datasets.checks import check, copies_of
from fer_lib.datasets.fer2013 import load_fer2013
from fer_lib.errors import ParameterError

# 0..6 of the CSV, from the challenge's page.
EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
REAL = os.environ.get("FER2013_ARCHIVE", "")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def whole_tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def tree(whole_tree, tmp_path):
    """A copy that a test may break."""
    return Path(shutil.copytree(whole_tree, tmp_path / "tree"))


def loading(path, protocol="official", labels="original"):
    return lambda: load_fer2013(path, protocol, labels)


# Protocols


def test_the_paper_protocol_is_what_keras_generators_give(whole_tree):
    image = pytest.importorskip("keras.src.legacy.preprocessing.image")
    generator = image.ImageDataGenerator(validation_split=0.2)
    splits = load_fer2013(whole_tree, "paper")
    assert splits.test is None
    for faces, part, subset in ((splits.train, "train", "training"), (splits.validation, "test", "validation")):
        flow = generator.flow_from_directory(whole_tree / part, subset=subset, color_mode="grayscale")
        assert faces.ids.tolist() == [f"{part}/{name}" for name in flow.filenames]
        assert faces.labels.tolist() == flow.classes.tolist()
        assert list(faces.class_names) == list(flow.class_indices)


def test_the_paper_protocol_by_hand(whole_tree):
    # angry has 6 files 8, 15, 22, 29, 36, 43: as strings 15 comes first, and int(0.2 * 6) = 1 is left out.
    train = load_fer2013(whole_tree, "paper").train
    angry = train.ids[train.labels == 0].tolist()
    assert angry == [f"train/angry/Training_{number}.png" for number in (22, 29, 36, 43, 8)]


def test_the_whole_test_folder_is_scored_by_networks_of_the_papers_training_images(whole_tree):
    splits, paper, official = (load_fer2013(whole_tree, name) for name in ("whole_test", "paper", "official"))
    assert splits.train.ids.tolist() == paper.train.ids.tolist()
    assert set(splits.test.ids) == {*official.validation.ids, *official.test.ids} > set(paper.validation.ids)
    # What is watched while it trains is scored by nobody.
    assert set(splits.validation.ids) == set(official.train.ids) - set(paper.train.ids)


def test_the_official_protocol(whole_tree):
    splits = load_fer2013(whole_tree, "official")
    assert splits.train.counts().tolist() == [6, 7, 8, 9, 10, 11, 12]
    assert splits.validation.counts().tolist() == [5] * 7
    assert splits.test.counts().tolist() == [2] * 7
    for (_, faces), usage in zip(splits.items(), USAGES, strict=True):
        assert set(faces.metadata["usage"]) == {usage}
        assert all(name.split("/")[2].startswith(usage) for name in faces.ids)


def test_pixels_labels_and_ids_belong_together(whole_tree):
    faces = load_fer2013(whole_tree, "official").test
    assert faces.images.dtype == np.uint8 and faces.images.shape[1:] == (48, 48, 1)
    for image, label, name in zip(faces.images, faces.labels, faces.ids, strict=True):
        assert np.array_equal(image[..., 0], np.asarray(Image.open(whole_tree / name)))
        assert name.split("/")[1] == CLASSES[label]


@pytest.mark.parametrize(("protocol", "labels"), [("random", "original"), ("official", "mine")])
def test_unknown_arguments(whole_tree, protocol, labels):
    with pytest.raises(ParameterError, match=r"paper|ferplus"):
        load_fer2013(whole_tree, protocol, labels)


def test_the_second_load_does_not_decode(tree, tmp_path, monkeypatch):
    archive = zip_of(tree, tmp_path / "a.zip")
    first = load_fer2013(archive, "paper")
    monkeypatch.setattr(Image, "open", None)
    assert load_fer2013(archive, "paper").fingerprint == first.fingerprint


# Forms of the tree: each gives the same data as the published one

ALIASES = ("Anger", "1_disgust", "afraid", "HAPPINESS", "4-neutral", "sadness", "Surprised")


def renamed(tree, name_of):
    """The tree with each `part/class/file` where `name_of` puts it."""
    new = tree.with_name("renamed")
    for file in tree.rglob("[!.]*.png"):
        place = new / name_of(*file.relative_to(tree).parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    return new


def by_usage(folders):
    """Part, class, file -> a place in the folder of the usage that the file's name says."""
    return lambda part, name, file: f"{dict(zip(USAGES, folders, strict=True))[file.split('_')[0]]}/{name}/{file}"


FORMS = {
    "zip": lambda tree: zip_of(tree, tree.with_name("a.zip")),
    "zip below folders": lambda tree: zip_of(tree, tree.with_name("a.zip"), "archive/fer 2013/"),
    "windows zip": lambda tree: zip_of(tree, tree.with_name("a.zip"), "archive/", separator="\\"),
    "tar.gz": lambda tree: tar_of(tree, tree.with_name("a.tar.gz")),
    "Train and Test": lambda tree: renamed(tree, lambda part, name, file: f"{part.title()}/{name}/{file}"),
    "train and validation": lambda tree: renamed(
        tree, lambda part, name, file: f"{part.replace('test', 'validation')}/{name}/{file}"
    ),
    "train/train": lambda tree: renamed(tree, lambda part, name, file: f"{part}/{part}/{name}/{file}"),
    "Training, PublicTest, PrivateTest": lambda tree: renamed(tree, by_usage(USAGES)),
    "train, val, test": lambda tree: renamed(tree, by_usage(["train", "val", "test"])),
    "train, validation, test": lambda tree: renamed(tree, by_usage(["train", "validation", "test"])),
    "aliases": lambda tree: renamed(
        tree, lambda part, name, file: f"{part}/{ALIASES[CLASSES.index(name)]}/{file}"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_tree_is_the_same_data(tree, form):
    for name in ("LICENSE", "README.md", ".gitattributes", "train/.DS_Store", "__MACOSX/train/angry/._x.png"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(b"x")
    path = FORMS[form](tree)
    for protocol in ("paper", "official"):
        splits = load_fer2013(path, protocol)
        assert splits.fingerprint == load_fer2013(tree, protocol).fingerprint
    notes = " ".join(splits.notes)
    assert ("The tree is in" in notes) == (form in ("zip below folders", "windows zip", "tar.gz"))
    assert ("Read as classes" in notes and "afraid as fear" in notes) == (form == "aliases")
    assert "Left out 5 files that are not images: " in " ".join(load_fer2013(tree, "paper").notes)


@pytest.mark.parametrize("folders", [list(USAGES), ["train", "val", "test"]])
def test_three_folders_say_the_usage_where_names_do_not(tree, folders):
    place = by_usage(folders)
    new = renamed(tree, lambda part, name, file: place(part, name, file).replace("_", "").replace("Private", ""))
    before, after = load_fer2013(tree, "official"), load_fer2013(new, "official")
    for (_, one), (_, other) in zip(before.items(), after.items(), strict=True):
        assert one.counts().tolist() == other.counts().tolist()
    assert np.array_equal(np.sort(before.test.images.sum((1, 2, 3))), np.sort(after.test.images.sum((1, 2, 3))))
    refused(loading(new, "paper"), "cannot give the protocol 'paper'", "other splits")


def test_two_folders_with_other_names_give_the_paper_protocol_alone(tree):
    new = renamed(tree, lambda part, name, file: f"{part}/{name}/im{file}")
    assert len(load_fer2013(new, "paper").train) == 63 - 10
    refused(loading(new), "protocol 'official'", "icml_face_data.csv")


def test_jpeg_and_links_are_read(tree, tmp_path):
    face = tree / "train" / "sad" / "Training_8.png"
    Image.open(face).save(face.with_suffix(".JPG"), "JPEG", quality=95)
    face.unlink()
    (tree / "train").rename(tmp_path / "elsewhere")
    (tree / "train").symlink_to(tmp_path / "elsewhere")
    assert "train/sad/Training_8.JPG" in load_fer2013(tree, "official").train.ids


# Broken trees


def change(kind):
    """A change to a tree, by name."""
    at = lambda tree, name: save(grey(0), tree / name)  # noqa: E731
    return {
        "missing class": lambda tree: (shutil.rmtree(tree / "train/disgust"), shutil.rmtree(tree / "test/sad")),
        "missing test": lambda tree: shutil.rmtree(tree / "test"),
        "no private sad": lambda tree: [file.unlink() for file in (tree / "test/sad").glob("Private*")],
        "unknown": lambda tree: (at(tree, "train/suprise/a.png"), at(tree, "test/contempt/a.png")),
        "numbers": lambda tree: [
            (tree / part / name).rename(tree / part / str(number))
            for part in ("train", "test")
            for number, name in enumerate(CLASSES)
        ],
        "text": lambda tree: (tree / "train/fear/Training_8.png").write_text("hello"),
        "pointer": lambda tree: (tree / "train/fear/Training_8.png").write_text(
            "version https://git-lfs.github.com"
        ),
        "half": lambda tree: os.truncate(tree / "train/fear/Training_8.png", 900),
        "small": lambda tree: save(grey(0).resize((47, 48)), tree / "test/happy/PublicTest_8.png"),
        "colour": lambda tree: save(grey(0).convert("RGB"), tree / "test/happy/PublicTest_8.png"),
        "palette": lambda tree: save(grey(0).convert("P"), tree / "test/happy/PublicTest_8.png"),
        "huge": lambda tree: save(Image.new("1", (8000, 8000)), tree / "test/happy/PublicTest_8.png"),
        "elsewhere": lambda tree: (at(tree, "train/x.png"), at(tree, "top.png"), at(tree, "train/sad/deep/y.png")),
        "mixed up": lambda tree: shutil.move(
            tree / "test/sad/PublicTest_8.png", tree / "train/sad/PublicTest_8.png"
        ),
        "same name": lambda tree: at(tree, "train/Happiness/Training_8.png"),
        "fifo": lambda tree: (
            (tree / "train/sad/Training_8.png").unlink(),
            os.mkfifo(tree / "train/sad/Training_8.png"),
        ),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing class", ["missing or empty", "none in test/sad, train/disgust"]),
        ("missing test", ["missing", "test/angry"]),
        ("no private sad", ["'test' is without", "none of sad"]),
        ("unknown", ["Unknown class", "contempt, suprise", "suprise is perhaps surprise", "dataset: folders"]),
        ("numbers", ["Unknown class", "0, 1, 2, 3, 4, 5, 6", "ambiguous", "neutral is before sad"]),
        ("text", ["no image", "train/fear/Training_8.png", "cannot be identified"]),
        ("pointer", ["Git LFS pointer", "train/fear/Training_8.png"]),
        ("half", ["damaged", "train/fear/Training_8.png"]),
        ("small", ["test/happy/PublicTest_8.png", "48 x 48", "47 x 48", "dataset: folders"]),
        ("colour", ["test/happy/PublicTest_8.png", "mode RGB"]),
        ("palette", ["test/happy/PublicTest_8.png", "mode P"]),
        ("huge", ["not as in FER-2013", "8000 x 8000"]),
        ("elsewhere", ["outside of the tree", "top.png, train/sad/deep/y.png, train/x.png"]),
        ("mixed up", ["mixed up", "train/sad/PublicTest_8.png"]),
        (
            "same name",
            ["Two images have one name", "train/Happiness/Training_8.png", "train/happy/Training_8.png"],
        ),
        ("fifo", ["not a regular file", "train/sad/Training_8.png"]),
    ],
)
def test_broken_trees(tree, tmp_path, kind, words):
    change(kind)(tree)
    refused(loading(tree), *words)
    if kind != "fifo":
        refused(loading(zip_of(tree, tmp_path / "a.zip")), *words)


# What is there instead


def test_what_is_there_instead_is_recognised(tree, tmp_path):
    def place(name, *files):
        for file in files:
            save(grey(0), tmp_path / name / file)
        return tmp_path / name

    write_votes(place("plus", "x.png") / "fer2013new.csv", {})
    (tmp_path / "plus" / "x.png").unlink()
    (place("packed", "x.png") / "archive.zip").write_bytes(b"PK")
    (place("empty", "x.png") / "x.png").unlink()
    (place("hugging", "x.png") / "train.parquet").write_bytes(b"PAR1...")
    (tmp_path / "hugging" / "x.png").unlink()
    shutil.copytree(tree, tmp_path / "both" / "a")
    shutil.copytree(tree, tmp_path / "both" / "b")
    for path, words in (
        (tree / "train", ["This is train/ itself: give its parent"]),
        (place("mine", "happy/a.png", "sad/b.png"), ["none of splits: `dataset: folders`"]),
        (place("KDEF", "AF01/AF01ANS.jpg"), ["This is KDEF: set dataset: kdef"]),
        (tmp_path / "plus", ["labels of FER+", "put fer2013.csv beside them"]),
        (tmp_path / "packed", ["Give the path of the one to read", "packed/archive.zip"]),
        (tmp_path / "hugging", ["Parquet"]),
        (tmp_path / "empty", ["Found: no file", "fetch"]),
        (tmp_path / "nowhere.zip", ["FER-2013 cannot be found", "nowhere.zip", "fetch"]),
        (tmp_path / "both", ["more than one tree", "a/, b/", "Give the path of one"]),
    ):
        refused(loading(path), *words)


# The table


def lines(path):
    return [line.split(",") for line in path.read_text().splitlines()[1:]]


def written(path, header, rows, encoding="utf-8", end="\n"):
    path.write_bytes(end.join([header, *rows, ""]).encode(encoding))


TABLES = {
    "icml": lambda path: written(
        path, "emotion, Usage, pixels", [f"{e},{u},{p}" for e, p, u in lines(path)], "utf-8-sig", "\r\n"
    ),
    "semicolons": lambda path: written(path, "emotion;pixels;Usage", [";".join(row) for row in lines(path)]),
    "tabs": lambda path: written(path, "emotion\tpixels\tUsage", ["\t".join(row) for row in lines(path)]),
    "utf-16": lambda path: written(path, "emotion,pixels,Usage", [",".join(row) for row in lines(path)], "utf-16"),
    "headers": lambda path: written(path, '"EMOTION","Pixels","usage"', [",".join(row) for row in lines(path)]),
    "quoted": lambda path: written(path, "emotion,pixels,Usage", [f'{e},"{p}",{u}' for e, p, u in lines(path)]),
    "labels 1.0": lambda path: written(
        path, "emotion,pixels,Usage", [f"{e}.0,{p},{u}" for e, p, u in lines(path)]
    ),
    "usages": lambda path: written(
        path,
        "emotion,pixels,Usage",
        [f"{e},{p},{dict(Training='train', PublicTest='Val', PrivateTest='TEST')[u]}" for e, p, u in lines(path)],
    ),
    "blank lines": lambda path: written(
        path, "emotion,pixels,Usage", [",".join(row) + "\n" for row in lines(path)]
    ),
}


@pytest.mark.parametrize("form", TABLES)
def test_every_form_of_the_table_is_the_same_data(tmp_path, form):
    expected = load_fer2013(write_csv(tmp_path / "fer2013.csv"), "official").fingerprint
    TABLES[form](tmp_path / "fer2013.csv")
    assert load_fer2013(tmp_path / "fer2013.csv", "official").fingerprint == expected


def test_labels_are_named_alphabetically(tmp_path):
    splits = load_fer2013(write_csv(tmp_path / "fer2013.csv"), "official")
    for usage, (_, faces) in zip(USAGES, splits.items(), strict=True):
        assert [CLASSES[label] for label in faces.labels] == EMOTIONS
        assert set(faces.metadata["usage"]) == {usage}
    assert splits.train.ids.tolist()[:2] == ["Training/000000", "Training/000001"]
    assert splits.test.ids[-1] == "PrivateTest/000020"
    assert np.array_equal(splits.test.images[3, :, :, 0], np.asarray(grey(3)))


def test_a_table_in_a_folder_and_in_archives(tmp_path):
    folder = tmp_path / "challenge"
    folder.mkdir()
    plain = load_fer2013(write_csv(tmp_path / "mine.csv"), "official").fingerprint
    write_csv(folder / "FER2013.CSV")
    (folder / "test.csv").write_text("pixels\n1 2 3\n")
    zipped = zip_of(folder, tmp_path / "challenge.zip", "deep/er/")
    for path in (folder, zipped, tar_of(folder, tmp_path / "fer2013.tar.gz")):
        splits = load_fer2013(path, "official")
        assert splits.fingerprint == plain and "test.csv" in splits.notes[0]
    write_csv(folder / "icml_face_data.csv")
    refused(loading(folder), "more than one CSV", "FER2013.CSV, icml_face_data.csv")


def test_the_paper_protocol_needs_file_names(tmp_path):
    refused(loading(write_csv(tmp_path / "fer2013.csv"), "paper"), "'paper'", "a CSV, which has no file names")


GOOD = csv_row(0, grey(0), "Training")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("pixels", ["columns emotion, pixels, usage", "Found: the columns pixels.", "test.csv"]),
        ("emotion,pixels", ["Found: the columns emotion, pixels.", "train.csv"]),
        ("a,b,c", ["Found: the columns a, b, c"]),
        ("", ["not the table of FER-2013", "empty first line"]),
        ("usage,image name,neutral,unknown,NF", ["labels of FER+", "put fer2013.csv beside them"]),
        ("<html>", ["web page"]),
    ],
)
def test_headers(tmp_path, header, words):
    refused(loading(write_csv(tmp_path / "fer2013.csv", header)), "fer2013.csv", *words)


@pytest.mark.parametrize("text", ["", "emotion,pixels,Usage\n", "\x00\x01\x02\n\n\xff"])
def test_no_table(tmp_path, text):
    (tmp_path / "fer2013.csv").write_text(text)
    refused(loading(tmp_path / "fer2013.csv"), "fer2013.csv", "table")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("3,1 2 3,Training", ["wrong number of pixels", "2304", "Found: 3"]),
        (GOOD.replace(" ", " 1 ", 1), ["wrong number of pixels", "Found: 2305"]),
        (GOOD.replace(",Training", ""), ["Unknown Usage", "Found: ''", "junk"]),
        (GOOD + ",extra", ["3 values in each line"]),
        ("junk", ["label", "'junk'"]),
        ("\x1b[2J" * 100, ["label", "\\x1b[2J"]),
        ("7" + GOOD[1:], ["label", "0..6", "'7'"]),
        ("-1" + GOOD[1:], ["label", "'-1'"]),
        ("1.5" + GOOD[1:], ["label", "'1.5'"]),
        (GOOD[1:], ["label", "''"]),
        (GOOD.replace("Training", "training set"), ["Unknown Usage", "'training set'", "PublicTest"]),
        ("0,256" + " 0" * 2303 + ",Training", ["0..255", "'256'"]),
        ("0,-1" + " 0" * 2303 + ",Training", ["0..255", "'-1'"]),
        ("0,0.5" + " 0" * 2303 + ",Training", ["integers", "'0.5'"]),
        ("0,nan" + " 0" * 2303 + ",Training", ["integers", "'nan'"]),
        ("0," + "9" * 9000 + " 0" * 2303 + ",Training", ["0..255", "9 …"]),
        ("0,,Training", ["number of pixels", "Found: 0"]),
        ('"0,1 2 3', ["EOF inside string"]),
    ],
)
@pytest.mark.parametrize("place", [4, 21])
def test_rows_are_refused_by_their_line(tmp_path, row, words, place):
    # The header is line 1, so the row at place 4 is line 6; 21 is one after the last good row.
    message = refused(loading(write_csv(tmp_path / "fer2013.csv", rows={place: row})), *words)
    assert f"line {place + 2}" in message or "row" in message


def test_a_first_row_with_too_many_values(tmp_path):
    refused(loading(write_csv(tmp_path / "fer2013.csv", rows={0: GOOD + ",1,2"})), "cannot be read", "3 values")


def test_a_split_without_a_class(tmp_path):
    rows = {20: csv_row(0, grey(0), "PrivateTest")}
    refused(loading(write_csv(tmp_path / "fer2013.csv", rows=rows)), "'test'", "neutral")


# FER+

VOTES = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]


def write_votes(path, winners):
    """A row for each row of `write_csv`; `winners` replaces some by the text of the votes."""
    own = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"] * 3
    rows = []
    for row, (line, name) in enumerate(zip(csv_rows(), own, strict=True)):
        votes = winners.get(row, ",".join("9" if column == name else "0" for column in VOTES))
        rows.append(f"{line.rsplit(',', 1)[1]},fer{row:07d}.png,{votes}")
    path.write_text("\n".join([f"Usage,Image name,{','.join(VOTES)}", *rows]) + "\n")


def test_ferplus_leaves_out_what_is_no_face_or_has_no_majority(tmp_path):
    rows = csv_rows()
    extra = [csv_row(1, grey(70 + number), "PrivateTest") for number in range(5)]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows, *extra]) + "\n")
    write_votes(tmp_path / "fer2013new.csv", {})
    votes = {
        "no majority": "5,5,0,0,0,0,0,0,0,0",
        "contempt": "1,0,0,0,0,0,0,9,0,0",
        "not a face": "0,0,0,0,0,0,0,0,0,10",
        "unknown": "0,0,0,0,0,0,0,0,8,0",
        "kept": "4,5,0,0,1,0,0,0,0,0",  # 5 of the 9 votes that are left where the single one is dropped
    }
    with open(tmp_path / "fer2013new.csv", "a") as file:
        file.writelines(f"PrivateTest,,{text}\n" for text in votes.values())
    splits = load_fer2013(tmp_path, "official", "ferplus")
    original = load_fer2013(tmp_path, "official")
    assert (len(splits.test), len(original.test)) == (8, 12)
    assert CLASSES[splits.test.labels[-1]] == "happy" and splits.test.ids[-1] == "PrivateTest/000025"
    assert splits.train.labels.tolist() == original.train.labels.tolist()
    assert splits.dataset == "ferplus" and splits.fingerprint != original.fingerprint
    assert "left out 4 images: 1 contempt, 1 no majority, 1 not a face, 1 unknown." in splits.notes[0]
    # Beside the CSV or an archive of it, and inside one; other votes are other data.
    archive = zip_of(tmp_path, tmp_path.parent / "with.zip")
    assert load_fer2013(archive, "official", "ferplus").fingerprint == splits.fingerprint
    assert load_fer2013(tmp_path / "fer2013.csv", "official", "ferplus").fingerprint == splits.fingerprint
    text = (tmp_path / "fer2013new.csv").read_text()
    (tmp_path / "fer2013new.csv").write_text(text.replace(votes["contempt"], votes["kept"]))
    assert len(load_fer2013(tmp_path / "fer2013.csv", "official", "ferplus").test) == 9


def test_where_ferplus_cannot_be_used(tree, tmp_path):
    table = write_csv(tmp_path / "csv.csv")
    refused(loading(tree, labels="ferplus"), "FER+", "a tree of images", "microsoft/FERPlus")
    refused(loading(table, labels="ferplus"), "no fer2013new.csv")
    write_votes(tmp_path / "fer2013new.csv", {})
    text = (tmp_path / "fer2013new.csv").read_text()
    for old, new, words in (
        ("PrivateTest,fer0000020.png", "Training,fer0000020.png", ["does not fit", "21 rows"]),
        (text.splitlines()[-1] + "\n", "", ["does not fit", "20 rows of votes for 21 images"]),
        ("9,", "many,", ["A vote is not a number", "line ", "'many'"]),
        (",NF", "", ["columns usage, neutral, unknown, nf"]),
    ):
        (tmp_path / "fer2013new.csv").write_text(text.replace(old, new))
        refused(loading(table, labels="ferplus"), *words)
    (tmp_path / "fer2013new.csv").unlink()
    os.mkfifo(tmp_path / "fer2013new.csv")
    refused(loading(table, labels="ferplus"), "not a regular file", "fer2013new.csv")


@pytest.mark.skipif(not os.path.isfile(REAL), reason="FER2013_ARCHIVE does not name the real archive")
class TestRealArchive:
    """Numbers published for FER-2013, and counts made of this archive by other means."""

    def test_paper(self):
        splits = load_fer2013(REAL, "paper")
        assert (len(splits.train), len(splits.validation), splits.test) == (22_968, 1_432, None)
        assert copies_of(splits.train, splits.validation).sum() == 108
        flaws = check(splits)
        # By brute force over all pairs of images, 18 more have a correlation above 0.97.
        assert not flaws.problems and flaws.totals["near"] == 18
        # What the committed study was trained on.
        assert splits.fingerprint == "4640f94b128a71222f802a3a9e2f2c56536511e74194dac89afd5536f0643650"

    def test_whole_test(self):
        splits = load_fer2013(REAL, "whole_test")
        assert [len(faces) for _, faces in splits.items()] == [22_968, 5_741, 7_178]
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
