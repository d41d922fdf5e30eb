"""The data check finds planted flaws and is silent about sound data."""

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
import scipy.ndimage
from PIL import Image, ImageFilter

from fer_lib.datasets import checks
from fer_lib.datasets.checks import check, copies_of, near_copies, pixel_hashes, sharpness
from fer_lib.datasets.splits import CLASS_NAMES, ImageSet, Splits


def faces(count, seed, prefix, channels=1):
    """Smooth random pictures, all distinct, of classes 0..6 in turn."""
    noise = np.random.default_rng(seed).normal(size=(count, 48, 48, channels))
    smooth = scipy.ndimage.gaussian_filter(noise, (0, 2, 2, 0))
    images = np.clip(128 + 300 * smooth, 0, 255).astype(np.uint8)
    ids = np.array([f"{prefix}/{number}" for number in range(count)])
    return ImageSet(images, np.arange(count) % 7, ids)


def cut(train, validation, test=None, dataset="synthetic", protocol="paper"):
    return Splits(train, validation, test, dataset, protocol)


def with_images(face_set, images):
    return dataclasses.replace(face_set, images=images)


def filtered(face_set, image_filter):
    images = [np.asarray(Image.fromarray(image[..., 0]).filter(image_filter)) for image in face_set.images]
    return with_images(face_set, np.stack(images)[..., None])


@pytest.fixture(scope="module")
def train():
    return faces(420, 1, "train")


@pytest.fixture(scope="module")
def validation():
    return faces(210, 2, "validation")


def test_sound_data_have_no_flaws(train, validation):
    flaws = check(cut(train, validation, faces(70, 3, "test")))
    assert (flaws.problems, flaws.warnings) == ((), ())
    zero = dict.fromkeys(("copies", "groups", "contradicting", "constant", "leaked", "near"), 0)
    assert flaws.totals.to_dict() == {"images": 700, "distinct": 700, **zero}
    assert flaws.counts["validation"].tolist() == [30] * 7
    assert len(flaws.duplicates) == len(flaws.leaks) == len(flaws.constant) == 0
    assert "train" in str(flaws) and "PROBLEM" not in str(flaws)


def test_planted_copies_are_found(train, validation):
    images, held_out = train.images.copy(), validation.images.copy()
    images[7] = images[0]  # the same class, for both are multiples of 7
    images[1] = images[0]  # another class: labels contradict
    images[14] = images[35]  # a group of one class
    images[20] = images[30]
    held_out[5] = images[30]
    held_out[6] = images[0]
    held_out[8] = held_out[9]
    train, validation = with_images(train, images), with_images(validation, held_out)
    flaws = check(cut(train, validation))
    columns = ["images", "distinct", "copies", "groups", "contradicting"]
    assert flaws.totals[columns].tolist() == [630, 623, 7, 4, 3]
    assert flaws.duplicates.groupby("group")["id"].apply(sorted).tolist() == [
        ["train/0", "train/1", "train/7", "validation/6"],
        ["train/14", "train/35"],
        ["train/20", "train/30", "validation/5"],
        ["validation/8", "validation/9"],
    ]
    assert flaws.leaks.to_numpy().tolist() == [
        ["validation", "validation/5", CLASS_NAMES[5], "train/20", CLASS_NAMES[20 % 7]],
        ["validation", "validation/6", CLASS_NAMES[6], "train/0", CLASS_NAMES[0]],
    ]
    assert flaws.problems == ()
    assert any("2 of the 210 validation images (1.0 %)" in text for text in flaws.warnings)
    assert np.flatnonzero(copies_of(train, validation)).tolist() == [5, 6]


def test_a_single_grey_value_of_difference_is_no_copy():
    one = faces(3, 5, "a", channels=3)
    images = one.images.copy()
    images[1, 47, 47, 2] ^= 1
    assert copies_of(one, with_images(one, images)).tolist() == [True, False, True]


def test_hashes_agree_with_comparing_every_pair():
    images = np.random.default_rng(0).integers(0, 2, (60, 2, 2, 1), dtype=np.uint8)
    hashes = pixel_hashes(images)
    pairs = (images[:, None] == images[None]).all(axis=(2, 3, 4))
    assert np.array_equal(hashes[:, None] == hashes[None], pairs) and pairs.sum() > 60
    assert pixel_hashes(images.reshape(60, 4, 1, 1))[0] != hashes[0]


@pytest.fixture(scope="module")
def portraits():
    """Smooth pictures under noise, as photographs are; `frame` is another one of the same scene."""
    rng = np.random.default_rng(4)
    scenes = np.clip(128 + 600 * scipy.ndimage.gaussian_filter(rng.normal(size=(300, 50, 50)), (0, 3, 3)), 0, 255)

    def frame(index, moved=0):
        picture = np.roll(scenes[index], moved, axis=1) + rng.normal(0, 3, (50, 50))
        return np.clip(picture, 0, 255).astype(np.uint8)

    return np.stack([frame(index) for index in range(300)])[..., None], frame


def recoded(pixels, quality):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def test_near_copies_are_found_and_others_are_not(portraits):
    images, frame = portraits
    others = np.stack([frame(index) for index in range(100, 104)])[..., None]
    others[0] = recoded(images[7, ..., 0], 50)[..., None]
    others[1] = images[270, :, ::-1]
    others[2] = np.clip(images[8] * 0.8 + 30, 0, 255)  # a paler print
    near = near_copies(images[:100], others)
    assert near[["other", "image", "mirrored"]].to_numpy().tolist() == [[0, 7, False], [2, 8, False]]
    near = near_copies(images, others)
    assert near["image"].tolist() == [7, 270, 8, 103] and near["mirrored"].tolist() == [False, True, False, False]
    expected = np.corrcoef(images[7].ravel(), others[0].ravel())[0, 1]
    assert near["correlation"][0] == pytest.approx(expected, abs=1e-4) and expected < 1
    # By brute force, of all pairs; colour and a side that 8 does not divide are as good.
    rows = np.stack([image.ravel() for image in (*images, *others)]).astype(float)
    assert (np.corrcoef(rows)[:300, 300:].max(axis=0) > 0.97).tolist() == [True, False, True, True]
    colour = near_copies(images.repeat(3, axis=-1), others.repeat(3, axis=-1))
    pd.testing.assert_frame_equal(colour, near, rtol=1e-4)


def test_the_limit_of_near_copies_has_two_sides(portraits):
    images, _ = portraits
    rng = np.random.default_rng(0)
    for noise, is_near in ((0.9, True), (1.1, False)):
        image = images[5, ..., 0].astype(float)
        # Correlation 1 / sqrt(1 + (noise / signal) ** 2), 0.97 at 0.2506 of the signal.
        sigma = noise * 0.2506 * image.std()
        other = np.clip(0.5 * image + 64 + 0.5 * rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)
        assert len(near_copies(images, other[None, ..., None])) == is_near


def test_near_copies_are_a_note_beyond_the_exact_ones(portraits):
    images, frame = portraits
    ids = np.array([f"{number:03}" for number in range(300)])
    train = ImageSet(images[:200], np.arange(200) % 7, ids[:200])
    held_out = images[200:].copy()
    held_out[0], held_out[1] = images[3], images[4, :, ::-1]
    held_out[2] = frame(5)[..., None]
    flaws = check(cut(train, ImageSet(held_out, np.arange(100) % 7, ids[200:])))
    assert flaws.leaks["id"].tolist() == ["200"] and flaws.totals["near"] == 2
    assert flaws.near[["id", "train_id", "train_class", "mirrored"]].to_numpy().tolist() == [
        ["201", "004", CLASS_NAMES[4], True], ["202", "005", CLASS_NAMES[5], False],
    ]  # fmt: skip
    expected = "2 of the 100 validation images (2.0 %) have a near copy in train, beyond exact ones"
    assert any(text.startswith(expected) and "1 mirrored" in text for text in flaws.warnings)
    assert flaws.problems == ()


def with_sharpness(images, level):
    """Images that differ by a constant factor around their mean, so that their sharpness has the ratio `level`."""
    return with_images(images, np.rint(128 + np.sqrt(level) * (images.images * 0.5 - 64.0)).astype(np.uint8))


@pytest.mark.parametrize(("level", "is_bad"), [(1.45, False), (1.56, True), (1 / 1.45, False), (1 / 1.56, True)])
def test_the_limits_of_sharpness_have_two_sides(train, validation, level, is_bad, monkeypatch):
    problems = check(cut(with_sharpness(train, level), with_sharpness(validation, 1.0))).problems
    assert bool(problems) == is_bad
    # The same factor holds against FER-2013 as published.
    published = np.median(sharpness(with_sharpness(train, 1.0).images))
    monkeypatch.setattr(checks, "PUBLISHED_SHARPNESS", published)
    found = check(cut(with_sharpness(train, level), validation, dataset="fer2013")).warnings
    assert any(text.startswith("The train images are") for text in found) == is_bad


def test_a_quarter_of_copies_and_a_hundredth_of_blank_images_are_the_limits(train, validation):
    for copies, is_bad in ((50, False), (51, True)):
        held_out = validation.subset(slice(0, 200))
        images = held_out.images.copy()
        images[:copies] = train.images[:copies]
        assert bool(check(cut(train, with_images(held_out, images))).problems) == is_bad
    for blank, is_bad in ((6, False), (7, True)):
        images = train.images.copy()
        images[:blank] = np.arange(blank)[:, None, None, None]
        assert bool(check(cut(with_images(train, images), validation)).problems) == is_bad


def test_sharpness_is_the_variance_of_the_laplacian_without_borders():
    def by_hand(grey):
        neighbours = grey[1:-1, :-2] + grey[1:-1, 2:] + grey[:-2, 1:-1] + grey[2:, 1:-1]
        return (neighbours - 4 * grey[1:-1, 1:-1]).var()

    images = faces(5, 3, "a", channels=3).images
    expected = [by_hand(image) for image in images.astype(float).mean(axis=-1)]
    np.testing.assert_allclose(sharpness(images), expected, rtol=1e-4)
    np.testing.assert_allclose(sharpness(images[..., :1])[0], by_hand(images[0, ..., 0].astype(float)))
    assert sharpness(images[:0]).shape == (0,)


@pytest.mark.parametrize(
    "image_filter, word",
    [(ImageFilter.GaussianBlur(1.5), "blurred"), (ImageFilter.UnsharpMask(2, 150, 0), "sharpened")],
)
def test_an_altered_train_split_is_refused_from_200_images_on(train, validation, image_filter, word):
    altered = filtered(train, image_filter)
    (problem,) = check(cut(altered, validation)).problems
    assert f"train was {word}" in problem
    assert check(cut(altered, filtered(validation, image_filter))).problems == ()
    for images, others, is_bad in ((420, 200, True), (420, 199, False), (200, 210, True), (199, 210, False)):
        splits = cut(altered.subset(slice(0, images)), validation.subset(slice(0, others)))
        assert bool(check(splits).problems) == is_bad


def test_constant_images(train, validation):
    images = train.images.copy()
    images[3], images[4] = 0, 255
    flaws = check(cut(with_images(train, images), validation))
    assert flaws.constant[["id", "value"]].to_numpy().tolist() == [["train/3", 0], ["train/4", 255]]
    assert flaws.problems == () and "Blank images (one single grey value): 2." in flaws.warnings
    images[:50] = 0
    (problem,) = check(cut(with_images(train, images), validation)).problems
    assert problem == "50 of 630 images are blank (one single grey value)."


def test_a_split_that_is_train_again_is_refused(train, validation):
    again = dataclasses.replace(train.subset(slice(0, 70)), ids=np.array([f"b/{n}" for n in range(70)]))
    (problem,) = check(cut(train, validation, again)).problems
    assert "70 of the 70 test images (100%)" in problem


class TestAgainstPublished:
    def test_a_multiplied_class_is_refused(self, validation):
        labels = np.repeat(np.arange(7), [10, 350, 10, 10, 10, 10, 10])
        train = dataclasses.replace(faces(410, 9, "train"), labels=labels)
        (problem,) = check(cut(train, validation, dataset="fer2013")).problems[:1]
        assert "disgust (350 instead of 349)" in problem and "angry" not in problem

    def test_a_part_is_a_warning(self, train, validation):
        few = validation.subset(slice(0, 70))
        flaws = check(cut(train, few, dataset="fer2013"))
        assert flaws.problems == ()
        assert any("train has 420 of the 22,968" in text for text in flaws.warnings)
        # These pictures are smoother than faces, and said to be.
        assert any("train images are 0." in text and "times as sharp" in text for text in flaws.warnings)
