"""Images of one's own: any classes, sizes and colours, in the folders of classes alone or of splits above them."""

import numpy as np
import pytest
from data_files import grey, refused, save, tar_of, zip_of
from PIL import Image

from fer_lib.datasets import load, load_folders
from fer_lib.datasets.checks import check
from fer_lib.errors import ParameterError
from fer_lib.parameters import Parameters

COLOURS = {"cat": (200, 30, 30), "dog": (30, 200, 30), "émeu": (30, 30, 200)}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))


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
    images = dict(
        zip(
            (*splits.train.ids, *splits.validation.ids),
            (*splits.train.images, *splits.validation.images),
            strict=True,
        )
    )
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
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(folder / "dog" / "deep.png")
    refused(
        lambda: load_folders(folder, "random"),
        "3 of the 31 files cannot be read", "cat/0.png", "dog/3.png", "dog/deep.png",
    )  # fmt: skip


def test_where_no_study_is_possible(tmp_path):
    folder = write(tmp_path / "zoo")
    refused(lambda: load_folders(folder), "A split is missing", "folders of classes alone", "Use protocol: random")
    refused(lambda: load_folders(folder / "cat", "random"), "not there", "no folders of classes")
    with pytest.raises(ParameterError, match="official"):
        load_folders(folder, "paper")
    with pytest.raises(ParameterError, match="Unknown aspect"):
        load_folders(folder, "random", aspect="stretch")
    for file in [*(folder / "dog").iterdir()][1:]:
        file.unlink()
    refused(lambda: load_folders(folder, "random"), "'validation' is without", "none of dog")
    for name in ("dog", "émeu"):
        for file in (folder / name).iterdir():
            file.unlink()
    refused(lambda: load_folders(folder, "random"), "number of classes", "2 to 1,000", "1: cat")
    save(grey(0), folder / "loose.png")
    refused(lambda: load_folders(folder, "random"), "outside of the tree", "loose.png")
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "fer2013.csv").write_text("emotion,pixels,Usage\n")
    refused(lambda: load_folders(tmp_path / "table", "random"), "This is FER-2013: set dataset: fer2013")
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            save(grey(0), tmp_path / "twice" / split / name / "a.png")
    save(grey(0), tmp_path / "twice" / "Validation" / "cat" / "a.png")
    refused(
        lambda: load_folders(tmp_path / "twice"),
        "Two images have one name",
        "Validation/cat/a.png",
        "val/cat/a.png",
    )


def test_a_thousand_classes(tmp_path):
    for number in range(1001):
        for index in range(2):
            save(grey(number + index, 8), tmp_path / "many" / f"c{number:04d}" / f"{index}.png")
    refused(lambda: load_folders(tmp_path / "many", "random", size=8), "number of classes", "1,001")
    for index in range(2):
        (tmp_path / "many" / "c1000" / f"{index}.png").unlink()
    splits = load_folders(tmp_path / "many", "random", size=8)
    assert len(splits.class_names) == 1000 and splits.train.counts().tolist() == [1] * 1000
