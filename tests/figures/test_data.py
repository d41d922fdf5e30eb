"""Figures of the data: what is drawn is what the data hold."""

import numpy as np
import pandas as pd
import pytest

from fer_lib.datasets import CLASS_NAMES, ImageSet, Splits
from fer_lib.figures import data as figures
from fer_lib.figures.style import PALETTE


def noise(labels, prefix, seed=0):
    """A ImageSet of 8 x 6 noise."""
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 8, 6, 1)).astype("uint8")
    return ImageSet(images, np.array(labels), np.array([f"{prefix}/{index}" for index in range(len(labels))]))


@pytest.fixture(scope="module")
def splits():
    """Angry, happy and sad; fear and fear."""
    return Splits(noise([0, 3, 5], "train", seed=1), noise([2, 2], "val", seed=2), None, "synthetic", "paper")


def drawn(axes):
    return [np.asarray(place.images[0].get_array()) for place in axes if place.images]


def titles(figure):
    return [place.get_title() or place.get_title(loc="left") for place in figure.axes]


def test_bars_are_the_counts():
    counts = pd.DataFrame({"angry": [1300, 2], "happy": [2700, 8]}, index=["train", "validation"])
    figure = figures.class_counts(counts)
    assert titles(figure) == ["train, 4,000 images", "validation, 10 images"]
    for axes, (_, row) in zip(figure.axes, counts.iterrows(), strict=True):
        assert [bar.get_width() for bar in axes.patches] == [row["angry"], row["happy"]]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1,300 (32.5 %)", "2,700 (67.5 %)"]


def test_samples_are_of_their_class_without_repetition():
    faces = noise([label for label in range(7) for _ in range(5 if label else 2)], "train")
    grid = np.array(figures.samples(faces, per_class=4, seed=3).axes, object).reshape(7, 4)
    for label, row in enumerate(grid):
        shown = [image.tobytes() for image in drawn(row)]
        of_class = {faces.images[i, ..., 0].tobytes() for i in np.flatnonzero(faces.labels == label)}
        assert len(shown) == len(set(shown)) == (4 if label else 2)
        assert set(shown) <= of_class
        assert row[0].get_ylabel() == CLASS_NAMES[label]


def test_image_table_leaves_missing_places_empty():
    colour = np.full((8, 6, 3), (10, 200, 30), "uint8")
    figure = figures.image_table({("a", "S"): colour, ("b", "FL"): colour}, ["a", "b"], ["FL", "S"])
    assert [bool(place.images) for place in figure.axes] == [False, True, True, False]
    assert np.array_equal(figure.axes[1].images[0].get_array(), colour)
    assert titles(figure)[:2] == ["FL", "S"] and figure.axes[2].get_ylabel() == "b"


def test_gallery_finds_images_in_all_splits(splits):
    figure = figures.gallery(splits, ["val/1", "train/0", "train/2"], columns=2)
    assert titles(figure) == ["validation\nfear", "train\nangry", "train\nsad"]
    expected = [splits.validation.images[1], splits.train.images[0], splits.train.images[2]]
    assert all(np.array_equal(a, b[..., 0]) for a, b in zip(drawn(figure.axes), expected, strict=True))
    assert titles(figures.gallery(splits, ["train/1"], ["a word"])) == ["a word"]


def test_pairs_stand_below_each_other_and_another_class_is_dark_red(splits):
    figure = figures.image_pairs(splits, ["val/0", "val/1"], ["train/0", "val/0"])
    assert titles(figure) == ["validation\nfear"] * 2 + ["train\nangry", "validation\nfear"]
    assert figure.axes[2].title.get_color() == PALETTE["dark red"] != figure.axes[3].title.get_color()
    assert np.array_equal(drawn(figure.axes)[2], splits.train.images[0, ..., 0])


def test_a_limit_keeps_some_pairs_together(splits):
    ids = ["train/0", "train/1", "train/2"] * 4
    images = drawn(figures.image_pairs(splits, ids, ids).axes)
    assert len(images) == 16 and np.array_equal(images[:8], images[8:])


def test_mean_faces_show_where_classes_differ_whatever_their_brightness():
    # Angry is flat; happy has one pixel 48 grey values lighter than its surroundings, and is 60 lighter all over.
    images = np.full((3, 4, 4, 1), 100, "uint8")
    images[2] = 160
    images[2, 1, 2] = 208
    faces = ImageSet(images, np.array([0, 0, 3]), np.array(["a", "b", "c"]))
    figure = figures.mean_faces(faces)
    assert titles(figure)[:2] == ["angry\nn = 2", "happy\nn = 1"]
    angry, happy = (np.asarray(figure.axes[index].images[0].get_array()) for index in (2, 3))
    # The peak is 48 x 15/16 above its face's mean, and half of that above the mean of the two classes.
    assert happy[1, 2] == pytest.approx(24 * 15 / 16) and happy[0, 0] == pytest.approx(-24 / 16)
    assert np.allclose(angry, -happy)
    # The caption's words: what is darker is blue, what is lighter is red.
    shown = figure.axes[3].images[0]
    darker, lighter = shown.to_rgba(-10.0), shown.to_rgba(10.0)
    assert darker[2] > darker[0] and lighter[0] > lighter[2]


def test_mean_images_are_of_the_classes_that_have_images():
    images = np.zeros((3, 4, 4, 1), "uint8")
    images[1:] = [[[[100]]], [[[200]]]]
    means = figures.mean_images(ImageSet(images, np.array([0, 3, 3]), np.array(["a", "b", "c"])))
    assert {name: np.unique(mean).tolist() for name, mean in means.items()} == {"angry": [0], "happy": [255]}
    assert means["happy"].dtype == np.uint8 and means["happy"].shape == (4, 4, 1)
