"""Images of one's own: any classes, sizes and colours, in the folders of classes alone or of splits above them."""

import itertools
import shutil
import tracemalloc
import unicodedata
import zipfile

import numpy as np
import pytest
from data_files import grey, refused, save, tar_of, write_csv, zip_of
from PIL import Image

from fer_lib.datasets import load, load_folders
from fer_lib.datasets.checks import check
from fer_lib.parameters import Parameters

COLOURS = {"cat": (200, 30, 30), "dog": (30, 200, 30), "émeu": (30, 30, 200)}


def write(folder, splits=("",), number=10, size=(40, 30)):
    """So many images a class and split, of the colour of their class, with a white bar at the left."""
    for split in splits:
        for name, colour in COLOURS.items():
            for index in range(number):
                image = Image.new("RGB", size, colour)
                image.paste((255, 255, 255), (0, 0, 4, size[1]))
                image.putpixel((10, 10), (index * 9, len(split), 0))
                save(image, folder / split / name / f"{split}{index}.png")
    return folder


def images_by_id(splits):
    pairs = (zip(part.ids.tolist(), part.images, strict=True) for _, part in splits.items())
    return dict(itertools.chain(*pairs))


def zip_with_folders(folder, path):
    """A zip that has entries for folders, too, as most have."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


def test_classes_are_the_folders_and_a_fifth_of_each_is_for_validation(tmp_path):
    splits = load_folders(write(tmp_path / "zoo"), "random", size=16, colour=True)
    assert splits.class_names == splits.validation.class_names == ("cat", "dog", "émeu")
    assert splits.train.counts().tolist() == [8] * 3 and splits.validation.counts().tolist() == [2] * 3
    assert (splits.test, splits.dataset, splits.protocol) == (None, "folders", "random")
    assert splits.train.images.shape == (24, 16, 16, 3)
    for image, label, name in zip(splits.train.images, splits.train.labels, splits.train.ids, strict=True):
        assert np.abs(image[8, 14].astype(int) - list(COLOURS.values())[label]).max() < 3
        assert name.split("/")[0] == splits.class_names[label]
    # The crop is the middle 30 of 40 columns, without the white bar of four.
    assert splits.train.images[:, 8, 0].min(axis=-1).max() < 60
    assert check(splits).problems == ()


@pytest.mark.parametrize(
    ("folders", "there"),
    [
        (["train", "validation", "test"], [10, 10, 10]),
        (["Training", "VAL", "Test"], [10, 10, 10]),
        (["train", "val"], [10, 10, None]),
        (["train", "test"], [8, 2, 10]),
    ],
)
def test_split_folders_are_used_as_they_are(tmp_path, folders, there):
    splits = load_folders(write(tmp_path / "zoo", folders), "official", size=16)
    parts = (splits.train, splits.validation, splits.test)
    assert [part and part.counts().tolist() for part in parts] == [n and [n] * 3 for n in there]
    assert splits.train.images.shape[1:] == (16, 16, 1)
    assert set(splits.validation.metadata["usage"]) == {"validation" if "test" not in folders[1] else "train"}
    refused(lambda: load_folders(tmp_path / "zoo", "random"), "splits of their own", "Use protocol: official")


def test_archives_and_other_top_folders_are_the_same_data(tmp_path):
    folder = write(tmp_path / "zoo")
    (folder / "LICENSE").write_text("free")
    expected = load_folders(folder, "random", size=16)
    for path in (zip_of(folder, tmp_path / "a.zip", "top/"), tar_of(folder, tmp_path / "a.tgz"), tmp_path / "zoo"):
        assert load_folders(path, "random", size=16).fingerprint == expected.fingerprint
    assert "Left out 1 files that are not images: LICENSE." in expected.notes


def test_any_size_mode_format_and_orientation(tmp_path):
    folder = write(tmp_path / "zoo")
    for number, (mode, suffix) in enumerate(
        (("L", "jpg"), ("RGBA", "png"), ("P", "gif"), ("CMYK", "tif"), ("1", "bmp"))
    ):
        save(grey(number, 20 + number).convert(mode), folder / "cat" / f"z{number}.{suffix}")
    turned = Image.new("RGB", (40, 20))
    turned.paste((255, 255, 255), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned by 90 degrees clockwise: the left becomes the top
    turned.save(folder / "dog" / "turned.jpg", exif=exif, quality=95)
    splits = load_folders(folder, "random", size=16, aspect="squash")
    images = images_by_id(splits)
    assert len(images) == 36
    assert images["dog/turned.jpg"][:7].min() > 230 and images["dog/turned.jpg"][9:].max() < 25


def test_a_study_leads_here(tmp_path):
    write(tmp_path / "zoo")
    parameters = Parameters(dataset="folders", protocol="random", colour=True, image_size=24, aspect="pad")
    splits = load(parameters, tmp_path / "zoo")
    assert splits.fingerprint == load_folders(tmp_path / "zoo", "random", 24, True, "pad").fingerprint
    assert len(splits.class_names) == 3


def test_what_cannot_be_read_is_listed_whole(tmp_path):
    folder = write(tmp_path / "zoo")
    for name in ("cat/0.png", "dog/3.png"):
        (folder / name).write_bytes(b"not an image")
    words = [
        "2 of the 30 images cannot be read",
        "cat/0.png",
        "dog/3.png",
        "Convert it to JPEG or PNG, or get it again",
    ]
    refused(lambda: load_folders(folder, "random"), *words)


def test_deep_and_heic_images_are_to_be_converted_not_removed(tmp_path):
    folder = write(tmp_path / "zoo")
    deep, heic = folder / "dog" / "deep.png", folder / "cat" / "IMG_1.HEIC"
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(deep)
    message = refused(lambda: load_folders(folder, "random"), "8 bits", "I;16", "dog/deep.png", "Convert it")
    assert "emove" not in message
    deep.unlink()
    heic.write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    message = refused(
        lambda: load_folders(folder, "random"), "ftypheic", "cat/IMG_1.HEIC", "Convert it to JPEG or PNG"
    )
    assert "emove" not in message


def test_transparent_pixels_are_white_and_told(tmp_path):
    folder = write(tmp_path / "zoo")
    for number, alpha in enumerate((0, 255)):
        save(Image.new("RGBA", (20, 20), (200, 0, 0, alpha)), folder / "cat" / f"z{number}.png")
    splits = load_folders(folder, "random", size=16, colour=True)
    images = images_by_id(splits)
    assert (images["cat/z0.png"] == 255).all() and (images["cat/z1.png"] == (200, 0, 0)).all()
    assert "1 images have transparent pixels, which were laid on white." in splits.notes


def test_class_names_are_text_and_those_that_look_alike_are_one_class(tmp_path):
    folder = write(tmp_path / "zoo", ["train", "test"])
    nfd = unicodedata.normalize("NFD", "émeu")
    (folder / "test" / "émeu").rename(folder / "test" / nfd)
    (folder / "test" / "dog").rename(folder / "test" / "Dog")
    for split in ("train", "test"):
        (folder / split / "cat").rename(folder / split / "nan")
    splits = load_folders(folder, size=16)
    assert splits.class_names == ("Dog", "nan", "émeu") and splits.test.counts().tolist() == [10] * 3
    assert {"test/émeu/test0.png", "test/Dog/test0.png", "train/dog/train1.png"} <= images_by_id(splits).keys()
    assert {"Read as one class: 'Dog', 'dog'.", r"Read as one class: 'e\u0301meu', '\xe9meu'."} <= {*splits.notes}
    assert check(splits).counts.loc["nan", "train"] == 8


def test_a_class_folder_without_images_is_named(tmp_path):
    folder = write(tmp_path / "zoo")
    (folder / "horse").mkdir()
    (folder / "films").mkdir()
    (folder / "films" / "a.mp4").write_bytes(b"film")
    for path in (folder, zip_with_folders(folder, tmp_path / "a.zip")):
        refused(lambda path=path: load_folders(path, "random"), "films (holds films/a.mp4), horse (holds nothing)")
    for name in ("@eaDir", ".Trash-1000", "$RECYCLE.BIN"):
        save(grey(0), folder / name / "x.png")
    shutil.rmtree(folder / "horse")
    shutil.rmtree(folder / "films")
    assert load_folders(folder, "random").class_names == ("cat", "dog", "émeu")


# Subjects


def write_subjects(folder):
    """10 subjects, each with three images of both classes."""
    for subject in range(10):
        for number, name in enumerate(("sad", "happy")):
            for shot in range(3):
                save(grey(subject * 100 + number * 10 + shot, 16), folder / name / f"p{subject}" / f"{shot}.png")
    return folder


def test_no_subject_is_in_two_splits(tmp_path):
    write_subjects(tmp_path / "nested")
    for file in (tmp_path / "nested").rglob("*.png"):
        save(Image.open(file), tmp_path / "flat" / file.parts[-3] / f"{file.parts[-2]}_{file.name}")
    nested = load_folders(tmp_path / "nested", "random", size=16, group="parent")
    flat = load_folders(tmp_path / "flat", "random", size=16, group=r"^(p\d+)_")
    for splits in (nested, flat):
        train, held_out = (set(part.metadata["subject"]) for part in (splits.train, splits.validation))
        assert len(held_out) == 2 and train | held_out == {f"p{n}" for n in range(10)} and not train & held_out
        assert splits.validation.counts().tolist() == [6, 6] and check(splits).problems == ()
    assert set(nested.validation.metadata["subject"]) == set(flat.validation.metadata["subject"])
    assert nested.train.ids[0].startswith("happy/p") and nested.train.ids[0].count("/") == 2
    ungrouped = load_folders(tmp_path / "flat", "random", size=16)
    assert ungrouped.fingerprint != flat.fingerprint and "subject" not in ungrouped.train.metadata
    parameters = Parameters(dataset="folders", protocol="random", image_size=16, group="parent")
    assert load(parameters, tmp_path / "nested").fingerprint == nested.fingerprint


def test_subjects_of_one_class_each_are_drawn_from_every_class(tmp_path):
    for name in ("cat", "dog"):
        for subject in range(5):
            for shot in range(2):
                save(grey(subject + shot, 16), tmp_path / "pets" / name / f"{name}{subject}" / f"{shot}.png")
    splits = load_folders(tmp_path / "pets", "random", size=16, group="parent")
    assert splits.validation.counts().tolist() == [2, 2] and splits.train.counts().tolist() == [8, 8]


def test_shared_subjects_of_given_splits_are_told(tmp_path):
    for split, subjects in (("train", "abc"), ("val", "cd"), ("test", "e")):
        for name in ("x", "y"):
            for subject in subjects:
                save(grey(ord(subject), 16), tmp_path / "set" / split / name / subject / "0.png")
    flaws = check(load_folders(tmp_path / "set", size=16, group="parent"))
    assert any("1 subjects are in both train and validation, the first is c" in text for text in flaws.warnings)


def test_where_subjects_cannot_be_told(tmp_path):
    write_subjects(tmp_path / "nested")
    refused(lambda: load_folders(tmp_path / "nested", "random"), "more than one tree", "set group: parent")
    refused(lambda: load_folders(tmp_path / "nested", "random", group=r"^x"), "more than one tree")
    folder = write(tmp_path / "zoo")
    refused(lambda: load_folders(folder, "random", group=r"^(p)"), "no subject in a file name", "cat/0.png")
    refused(lambda: load_folders(folder, "random", group="parent"), "No images in folders of classes found")
    refused(lambda: load_folders(folder, "random", group=r"\.png"), "is without images of a class", "two subjects")


def test_where_no_study_is_possible(tmp_path):
    folder = write(tmp_path / "zoo")
    refused(lambda: load_folders(folder), "A split is missing", "folders of classes alone", "Use protocol: random")
    refused(lambda: load_folders(folder / "cat", "random"), "No images in folders", "Give the folder")
    refused(lambda: load_folders(folder, "paper"), "official")
    refused(lambda: load_folders(folder, "random", aspect="stretch"), "Unknown aspect")
    for file in [*(folder / "dog").iterdir()][1:]:
        file.unlink()
    refused(lambda: load_folders(folder, "random"), "'validation' is without", "none of dog")
    for name in ("dog", "émeu"):
        shutil.rmtree(folder / name)
    refused(lambda: load_folders(folder, "random"), "number of classes", "2 to 1,000", "1: cat")
    save(grey(0), folder / "loose.png")
    refused(lambda: load_folders(folder, "random"), "outside of the tree", "loose.png")
    write_csv(tmp_path / "fer2013.csv")
    refused(lambda: load_folders(tmp_path / "fer2013.csv", "random"), "set `dataset` to fer2013")
    for place in ("train/cat", "train/dog", "val/cat", "val/dog", "Validation/cat"):
        save(grey(0), tmp_path / "twice" / place / "a.png")
    words = ["Two images have one name", "Validation/cat/a.png", "val/cat/a.png"]
    refused(lambda: load_folders(tmp_path / "twice"), *words)


def test_loading_needs_two_copies_of_the_images_at_most_and_keeps_one(tmp_path):
    folder = write(tmp_path / "zoo", number=40)
    load_folders(folder, "random", size=64)  # what Pillow and pandas need once
    tracemalloc.start()
    splits = load_folders(folder, "random", size=1024)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    images = sum(part.images.nbytes for _, part in splits.items())
    assert images == 120 * 1024 * 1024 and kept < 1.2 * images and peak < 2.6 * images
