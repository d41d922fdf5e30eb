"""Batches against Keras's own generator, Pillow and scipy."""

import keras
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from keras import ops
from PIL import Image

from fer_lib.training.batches import (
    ImageTable,
    batches,
    draw_order,
    draw_transforms,
    identity_transforms,
    joined,
    with_images,
)  # fmt: skip


@pytest.fixture(scope="module")
def faces():
    return np.random.default_rng(7).integers(0, 256, (6, 48, 48, 1), dtype=np.uint8)


def given(faces, size, transforms):
    rows = np.arange(len(faces), dtype="int32")
    return ops.convert_to_numpy(ImageTable(faces, size)({"row": rows, "transform": transforms}))


def test_shift_and_flip_are_those_of_the_papers_generator(faces):
    image = pytest.importorskip("keras.src.legacy.preprocessing.image", reason="Keras dropped ImageDataGenerator")
    generator = image.ImageDataGenerator(fill_mode="nearest")
    transforms = draw_transforms(len(faces), seed=3, epoch=5)
    assert set(transforms[:, 2]) == {0.0, 1.0}, "the draw should flip some images and leave some"
    found = given(faces, 48, transforms)
    for face, (down, right, flip), shown in zip(faces, transforms, found, strict=True):
        # The generator swaps its axes inside: its `tx` moves columns.
        how = {"tx": right * 48, "ty": down * 48, "flip_horizontal": bool(flip)}
        expected = generator.apply_transform(face.astype("float32"), how) / 255
        np.testing.assert_allclose(shown, expected, atol=1e-5)


@pytest.mark.parametrize("down, right", [(0.1, -0.1), (-0.037, 0.0), (0.0, 0.99 / 48)])
def test_translation_repeats_the_edge_and_interpolates_linearly(faces, down, right):
    transforms = np.array([[down, right, 0.0]], "float32")
    expected = scipy.ndimage.shift(
        faces[0, ..., 0].astype("float64"), (-down * 48, -right * 48), order=1, mode="nearest"
    )
    np.testing.assert_allclose(given(faces[:1], 48, transforms)[0, ..., 0], expected / 255, atol=1e-5)


@pytest.mark.parametrize("size", [96, 64, 48, 20])
def test_resizing_is_pillows_bilinear(faces, size):
    expected = Image.fromarray(faces[0, ..., 0].astype("float32")).resize((size, size), Image.Resampling.BILINEAR)
    found = given(faces[:1], size, identity_transforms(1))[0, ..., 0]
    np.testing.assert_allclose(found, np.asarray(expected) / 255, atol=1e-6)


def test_colour_channels_stay_apart():
    faces = np.random.default_rng(1).integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
    transforms = draw_transforms(2, seed=0, epoch=0)
    together = given(faces, 32, transforms)
    for channel in range(3):
        alone = given(np.ascontiguousarray(faces[..., channel : channel + 1]), 32, transforms)
        np.testing.assert_allclose(together[..., channel], alone[..., 0], atol=1e-6)


def test_order_is_a_permutation_by_seed_and_epoch_alone():
    order = draw_order(1000, seed=1, epoch=2)
    assert sorted(order) == list(range(1000))
    np.testing.assert_array_equal(order, draw_order(1000, seed=1, epoch=2))
    assert (order != draw_order(1000, seed=1, epoch=3)).mean() > 0.9
    assert (order != draw_order(1000, seed=2, epoch=2)).mean() > 0.9


def test_transforms_are_uniform_and_independent():
    down, right, flip = draw_transforms(20_000, seed=0, epoch=0, shift=0.1).T
    for shift in (down, right):
        assert -0.1 <= shift.min() < -0.099 and 0.099 < shift.max() < 0.1
        # Kolmogorov-Smirnov at a level that a fixed seed passes or fails for good.
        assert scipy.stats.kstest(shift, scipy.stats.uniform(-0.1, 0.2).cdf).pvalue > 0.001
    assert abs(flip.mean() - 0.5) < 4 * 0.5 / 20_000**0.5
    assert np.abs(np.corrcoef([down, right, flip]) - np.eye(3)).max() < 0.03
    assert not draw_transforms(100, 0, 0, shift=0.0, flip=False).any()


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="other backends copy once")
def test_the_table_keeps_no_second_copy_of_joined_images(faces):
    images = joined(faces[:2], faces[2:])
    np.testing.assert_array_equal(images, faces)
    table = ImageTable(images, 48)
    images[...] = 0  # seen by the table only if the memory is the same
    given = {"row": np.arange(3, dtype="int32"), "transform": identity_transforms(3)}
    assert not ops.convert_to_numpy(table(given)).any()


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_training_sees_every_batch_once_in_order(steps_per_execution):
    if keras.config.backend() == "torch":
        steps_per_execution = 1  # Keras has no other there
    # One weight that follows the labels' means: where it ends depends on every batch and on their order.
    inputs = {"row": keras.Input((), dtype="int32", name="row")}
    output = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(inputs["row"][:, None] * 0 + 1)
    model = keras.Model(inputs, output)
    model.compile(keras.optimizers.SGD(0.25), "mse", metrics=["mae"], steps_per_execution=steps_per_execution)
    labels = np.random.default_rng(0).random((11, 1)).astype("float32")
    expected = 0.0
    for order in (np.arange(11), np.arange(11)[::-1]):
        rows = {"row": order.astype("int32")}
        validation = batches(rows, labels, 4)
        model.fit(batches(rows, labels[order], 3), shuffle=False, validation_data=validation, verbose=0)
        for start in (0, 3, 6, 9):
            expected -= 0.25 * 2 * (expected - labels[order][start : start + 3].mean())
        np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-5)
    predicted = model.predict(batches(rows, batch_size=4), verbose=0)
    np.testing.assert_allclose(predicted, np.full((11, 1), expected), rtol=1e-5)


def test_model_with_images_sees_what_the_table_gives(faces):
    inputs = keras.Input((96, 96, 1))
    classifier = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    transforms = draw_transforms(3, 0, 0)
    rows = np.array([4, 0, 4], "int32")
    model = with_images(classifier, faces, 96)
    found = model.predict({"row": rows, "transform": transforms}, verbose=0)
    table = ImageTable(faces, 96)({"row": rows, "transform": transforms})
    np.testing.assert_allclose(found[:, 0], ops.convert_to_numpy(table).mean(axis=(1, 2, 3)), atol=1e-5)
    assert not model.trainable_weights, "the faces must not be trained"
