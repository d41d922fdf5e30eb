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

# 0..6 of the CSV, from the challenge's page.
EMOTIONS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
REAL = os.environ.get("FER2013_ARCHIVE", "")


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


def test_unknown_arguments(whole_tree):
    refused(loading(whole_tree, "random"), "Unknown protocol", "'paper'", "'random'")
    refused(loading(whole_tree, labels="mine"), "Unknown labels", "'ferplus'", "'mine'")


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


def in_folders(name_of):
    """`name_of(part)` in place of the folder of each part."""
    return lambda tree: renamed(tree, lambda part, name, file: f"{name_of(part)}/{name}/{file}")


def with_aliases(part, name, file):
    return f"{part}/{ALIASES[CLASSES.index(name)]}/{file}"


FORMS = {
    "zip": lambda tree: zip_of(tree, tree.with_name("a.zip")),
    "windows zip": lambda tree: zip_of(tree, tree.with_name("a.zip"), "archive/fer 2013/", separator="\\"),
    "tar.gz": lambda tree: tar_of(tree, tree.with_name("a.tar.gz")),
    "Train and Test": in_folders(str.title),
    "train and validation": in_folders(lambda part: part.replace("test", "validation")),
    "train/train": in_folders(lambda part: f"{part}/{part}"),
    "Training, PublicTest, PrivateTest": lambda tree: renamed(tree, by_usage(USAGES)),
    "train, val, test": lambda tree: renamed(tree, by_usage(["train", "val", "test"])),
    "aliases": lambda tree: renamed(tree, with_aliases),
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
    assert ("The tree is in" in notes) == (form in ("windows zip", "tar.gz"))
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
    refused(loading(new), "protocol 'official'", "fer2013.csv")


def test_links_are_read(tree, tmp_path):
    (tree / "train").rename(tmp_path / "elsewhere")
    (tree / "train").symlink_to(tmp_path / "elsewhere")
    assert len(load_fer2013(tree, "official").train) == 63


# Broken trees


FEAR, HAPPY = "train/fear/Training_8.png", "test/happy/PublicTest_8.png"
HUGE = Image.new("1", (8000, 8000))


def number_classes(tree):
    for part in ("train", "test"):
        for number, name in enumerate(CLASSES):
            (tree / part / name).rename(tree / part / str(number))


def replace_by_fifo(tree):
    (tree / FEAR).unlink()
    os.mkfifo(tree / FEAR)


def saved(name, image=grey(0)):  # noqa: B008
    return lambda tree: save(image, tree / name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tree: shutil.rmtree(tree / "train/disgust"), ["'train' is without", "none of disgust"]),
        (lambda tree: shutil.rmtree(tree / "test"), ["'validation' is without", "among 0"]),
        (saved("train/suprise/a.png"), ["Unknown class", "folders suprise", "dataset: folders"]),
        (number_classes, ["Unknown class", "0, 1, 2, 3, 4, 5, 6"]),
        (lambda tree: (tree / FEAR).write_text("hello"), ["no image", FEAR, "hello"]),
        (lambda tree: os.truncate(tree / FEAR, 900), ["damaged", FEAR]),
        (saved(HAPPY, grey(0).resize((47, 48))), [HAPPY, "48 x 48", "47 x 48", "dataset: folders"]),
        (saved(HAPPY, grey(0).convert("RGB")), [HAPPY, "mode RGB"]),
        (saved(HAPPY, HUGE), ["not as in FER-2013", "8000 x 8000"]),
        (saved("train/sad/deep/y.png"), ["outside of the tree", "train/sad/deep/y.png"]),
        (saved("train/sad/PublicTest_8.png"), ["mixed up", "train/sad/PublicTest_8.png"]),
        (saved("train/Happiness/Training_8.png"), ["Two images have one name", "train/happy/Training_8.png"]),
        (replace_by_fifo, ["not a regular file", FEAR]),
    ],
)
def test_broken_trees(tree, change, words):
    change(tree)
    refused(loading(tree), *words)


# What is there instead


def test_what_is_there_instead_is_named(tree, tmp_path):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "archive.zip").write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    save(grey(0), tmp_path / "KDEF/AF01/AF01ANS.jpg")
    shutil.copytree(tree, tmp_path / "both" / "a")
    shutil.copytree(tree, tmp_path / "both" / "b")
    for path, words in (
        (tree / "train", ["train/<class>/<image> and test/<class>/<image>", "angry/Training_15.png"]),
        (tmp_path / "KDEF", ["Give the folder or archive that holds all of it, and set `dataset`", "AF01ANS.jpg"]),
        (tmp_path / "packed", ["archive.zip", "Give the folder or archive"]),
        (tmp_path / "empty", ["Found: no file"]),
        (tmp_path / "nowhere.zip", ["FER-2013 cannot be found", "nowhere.zip", "kaggle.com"]),
        (tmp_path / "both", ["more than one tree", "a/, b/", "Give the path of one"]),
    ):
        refused(loading(path), *words)


# The table


# Header, what separates rows, encoding, and the row of an emotion, pixels and usage.
USAGE_ALIASES = {"Training": "train", "PublicTest": "Val", "PrivateTest": "TEST"}
TABLES = {
    "icml": ("emotion, Usage, pixels", "\r\n", "utf-8-sig", lambda e, p, u: f"{e},{u},{p}"),
    "headers": ('"EMOTION","Pixels","usage"', "\n", "utf-8", lambda e, p, u: f"{e},{p},{u}"),
    "quoted": ("emotion,pixels,Usage", "\n", "utf-8", lambda e, p, u: f'{e},"{p}",{u}'),
    "labels 1.0": ("emotion,pixels,Usage", "\n", "utf-8", lambda e, p, u: f"{e}.0,{p},{u}"),
    "usages": ("emotion,pixels,Usage", "\n", "utf-8", lambda e, p, u: f"{e},{p},{USAGE_ALIASES[u]}"),
    "blank lines": ("emotion,pixels,Usage", "\n\n", "utf-8", lambda e, p, u: f"{e},{p},{u}"),
}


@pytest.mark.parametrize("form", TABLES)
def test_every_form_of_the_table_is_the_same_data(tmp_path, form):
    expected = load_fer2013(write_csv(tmp_path / "fer2013.csv"), "official")
    header, end, encoding, row = TABLES[form]
    text = end.join([header, *(row(*line.split(",")) for line in csv_rows()), ""])
    (tmp_path / "fer2013.csv").write_bytes(text.encode(encoding))
    splits = load_fer2013(tmp_path / "fer2013.csv", "official")
    assert splits.fingerprint == expected.fingerprint
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


def test_what_a_table_cannot_give(tmp_path):
    refused(loading(write_csv(tmp_path / "fer2013.csv"), "paper"), "'paper'", "a CSV, which has no file names")
    rows = {20: csv_row(0, grey(0), "PrivateTest")}
    refused(loading(write_csv(tmp_path / "fer2013.csv", rows=rows)), "'test'", "neutral")
    for text in ("", "emotion,pixels,Usage\n", "\x00\x01\x02\n\n\xff"):
        (tmp_path / "fer2013.csv").write_text(text)
        refused(loading(tmp_path / "fer2013.csv"), "fer2013.csv", "table")


GOOD = csv_row(0, grey(0), "Training")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("pixels", ["columns emotion, pixels, usage", "Found: the columns pixels."]),
        ("a,b,c", ["Found: the columns a, b, c"]),
        ("", ["not the table of FER-2013"]),
        ("<html>", ["Found: the columns <html>"]),
    ],
)
def test_headers(tmp_path, header, words):
    (tmp_path / "fer2013.csv").write_text(f"{header}\n0{',0' * header.count(',')}\n")
    refused(loading(tmp_path / "fer2013.csv"), "fer2013.csv", *words)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("3,1 2 3,Training", ["48 x 48 pixels", "2304", "size 3"]),
        (GOOD.replace(" ", " 1 ", 1), ["48 x 48 pixels", "size 2305"]),
        (GOOD.replace(",Training", ""), ["Unknown Usage", "Found: ''", "junk"]),
        ("junk", ["label", "'junk'"]),
        ("\x1b[2J" * 100, ["label", "\\x1b[2J"]),
        ("7" + GOOD[1:], ["label", "0..6", "'7'"]),
        ("1.5" + GOOD[1:], ["label", "'1.5'"]),
        (GOOD[1:], ["label", "''"]),
        (GOOD.replace("Training", "training set"), ["Unknown Usage", "'training set'", "PublicTest"]),
        ("0,256" + " 0" * 2303 + ",Training", ["0..255", "'256'"]),
        ("0,0.5" + " 0" * 2303 + ",Training", ["integers", "'0.5'"]),
        ("0,1_0" + " 0" * 2303 + ",Training", ["integers", "'1_0'"]),
        ("0," + "9" * 9000 + " 0" * 2303 + ",Training", ["0..255", "9 …"]),
        ("0,,Training", ["48 x 48 pixels", "size 0"]),
        ('"0,1 2 3', ["EOF inside string"]),
    ],
)
@pytest.mark.parametrize("place", [0, 4, 21])
def test_rows_are_refused_by_their_line(tmp_path, row, words, place):
    # The header is line 1, so the row at place 4 is line 6; 21 is one after the last good row.
    message = refused(loading(write_csv(tmp_path / "fer2013.csv", rows={place: row})), *words)
    assert f"line {place + 2}" in message or "EOF" in message


def test_a_row_with_more_values_than_the_header_is_refused(tmp_path):
    rows = {4: GOOD + ",extra"}
    refused(loading(write_csv(tmp_path / "fer2013.csv", rows=rows)), "as many values in each line")


# FER+

VOTES = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]


def write_votes(path):
    """A row for each row of `write_csv`, of its own class."""
    own = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"] * 3
    rows = []
    for row, (line, name) in enumerate(zip(csv_rows(), own, strict=True)):
        votes = ",".join("9" if column == name else "0" for column in VOTES)
        rows.append(f"{line.rsplit(',', 1)[1]},fer{row:07d}.png,{votes}")
    path.write_text("\n".join([f"Usage,Image name,{','.join(VOTES)}", *rows]) + "\n")


def test_ferplus_leaves_out_what_is_no_face_or_has_no_majority(tmp_path):
    rows = csv_rows()
    extra = [csv_row(1, grey(70 + number), "PrivateTest") for number in range(5)]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows, *extra]) + "\n")
    write_votes(tmp_path / "fer2013new.csv")
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
    assert splits.dataset == "ferplus" and splits.fingerprint != original.fingerprint
    assert "left out 4 images: 1 contempt, 1 no majority, 1 not a face, 1 unknown." in splits.notes[0]
    # In a folder with the CSV, or beside it or its archive; other votes are other data.
    zip_of(tmp_path, tmp_path / "a.zip")
    assert load_fer2013(tmp_path / "a.zip", "official", "ferplus").fingerprint == splits.fingerprint
    assert load_fer2013(tmp_path / "fer2013.csv", "official", "ferplus").fingerprint == splits.fingerprint
    text = (tmp_path / "fer2013new.csv").read_text()
    (tmp_path / "fer2013new.csv").write_text(text.replace(votes["contempt"], votes["kept"]))
    assert len(load_fer2013(tmp_path / "fer2013.csv", "official", "ferplus").test) == 9


def test_where_ferplus_cannot_be_used(tree, tmp_path):
    table = write_csv(tmp_path / "csv.csv")
    refused(loading(table, labels="ferplus"), "fer2013new.csv of github.com/microsoft/FERPlus cannot be found")
    write_votes(tmp_path / "fer2013new.csv")
    write_votes(tree / "fer2013new.csv")
    refused(loading(tree, labels="ferplus"), "FER+ does not fit", "fer2013.csv")
    text = (tmp_path / "fer2013new.csv").read_text()
    for old, new, words in (
        ("PrivateTest,fer0000020.png", "Training,fer0000020.png", ["does not fit", "21 rows"]),
        (text.splitlines()[-1] + "\n", "", ["does not fit", "20 rows of votes for 21 images"]),
        ("9,", "many,", ["A vote is not a number", "line ", "'many'"]),
        (",NF", ",none", ["columns usage, neutral, unknown, nf"]),
    ):
        (tmp_path / "fer2013new.csv").write_text(text.replace(old, new))
        refused(loading(table, labels="ferplus"), *words)


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
