"""From uint8 images to scaled, augmented batches, on the device.

All images are on the device as one uint8 table. A batch holds a few numbers per image, its row in the table and
its transform, drawn on the host by (seed, epoch) alone, so that every backend gets the same; the rest happens in
the compiled step.
"""

import math

import keras
import numpy as np
from keras import ops

# Separate random streams, so that drawing more of one never moves the other.
_ORDER, _TRANSFORMS = 0, 1
_ALIGNMENT = 64


class ImageTable(keras.layers.Layer):
    """All images of a study on the device; called with rows and transforms it gives batches for a network.

    The transform is that of `ImageDataGenerator(width_shift_range, height_shift_range, horizontal_flip,
    rescale=1/255)` (the paper, section 3.2.3): the image is resized, translated with linear interpolation and the
    edge repeated, then flipped. All of it is two matrix products per image, rows . image . columns^T.

    Args:
        images: uint8, (n, height, width, channels), as an `ImageSet` has them.
        size: side of the returned images, in pixels, resized as by Pillow's BILINEAR, without rounding.

    A dictionary of `row`, int32, (batch,), and `transform`, float32, (batch, 3), see `draw_transforms`, becomes
    (batch, size, size, channels), float32, in [0, 1].
    """

    def __init__(self, images, size, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.size = size
        self.table = self.add_weight(
            images.shape, lambda shape, dtype: _shared(images), dtype="uint8", trainable=False, name="table"
        )
        self.resize_rows = resize_matrix(images.shape[1], size)
        self.resize_columns = resize_matrix(images.shape[2], size)

    def call(self, inputs):
        images = ops.cast(ops.take(self.table, inputs["row"], axis=0), "float32")
        down, right, flip = (inputs["transform"][:, index] for index in range(3))
        rows = ops.matmul(translation_matrix(down, self.size), self.resize_rows)  # (batch, size, height)
        columns = translation_matrix(right, self.size)
        columns = ops.where(flip[:, None, None] > 0.5, ops.flip(columns, axis=1), columns)
        columns = ops.matmul(columns, self.resize_columns)  # (batch, size, width)
        # Channels first, so that each channel is a matrix: (batch, c, h, w) -> (batch, c, size, size).
        images = ops.transpose(images, (0, 3, 1, 2))
        images = ops.matmul(ops.matmul(rows[:, None], images), ops.transpose(columns, (0, 2, 1))[:, None])
        return ops.transpose(images, (0, 2, 3, 1)) / 255.0


def joined(*parts):
    """Concatenate arrays of uint8 images; the memory starts as `_shared` needs it."""
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    memory = np.empty(math.prod(shape) + _ALIGNMENT, "uint8")
    start = -memory.ctypes.data % _ALIGNMENT
    return np.concatenate(parts, out=memory[start : start + math.prod(shape)].reshape(shape))


def _shared(images):
    """Return the images for a variable: on TensorFlow a tensor of the same memory, where it would copy them twice.

    It takes only memory that starts at a multiple of 64 bytes; JAX and PyTorch copy once.
    """
    if keras.config.backend() == "tensorflow" and images.ctypes.data % _ALIGNMENT == 0:
        from tensorflow.experimental import dlpack

        return dlpack.from_dlpack(images.__dlpack__())
    return images


def translation_matrix(shift, size):
    """Return matrices, float32, (batch, size, size), by which pixel i shows i + shift * size, edges repeated."""
    pixels = ops.arange(size, dtype="float32")
    sources = ops.clip(pixels[None] + shift[:, None] * size, 0.0, size - 1.0)  # (batch, size)
    return ops.maximum(0.0, 1.0 - ops.abs(sources[:, :, None] - pixels))


def resize_matrix(source, target):
    """Return the matrix, float32, (target, source), that resizes a line as Pillow's BILINEAR, without rounding."""
    ratio = source / target
    centres = (np.arange(target)[:, None] + 0.5) * ratio - 0.5
    # Shrinking widens the triangle to the target's pixels (antialiasing); enlarging keeps it at one pixel.
    weights = np.maximum(0.0, 1.0 - np.abs(centres - np.arange(source)) / max(ratio, 1.0))
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")


def draw_order(count, seed, epoch):
    """Draw the order of an epoch's images, a permutation, int32, (count,), by (seed, epoch) alone."""
    return np.random.default_rng([seed, epoch, _ORDER]).permutation(count).astype("int32")


def draw_transforms(count, seed, epoch, shift=0.1, flip=True):
    """Draw a transform, float32, (count, 3), for each image of an epoch, in order, by (seed, epoch) alone.

    Down and right, uniform in [-shift, shift] as shares of the side, and flipped (0 or 1), half of them if `flip`.
    """
    generator = np.random.default_rng([seed, epoch, _TRANSFORMS])
    transforms = np.zeros((count, 3), "float32")
    transforms[:, :2] = generator.uniform(-shift, shift, (count, 2))
    if flip:
        transforms[:, 2] = generator.random(count) < 0.5
    return transforms


def identity_transforms(count):
    """Return transforms, float32, (count, 3), that leave every image as it is: validation and test."""
    return np.zeros((count, 3), "float32")


def batches(inputs, labels=None, batch_size=64):
    """Return an `ImageTable`'s inputs in batches of their order for `fit(shuffle=False)` or, alone, `predict`."""
    arrays = inputs if labels is None else (inputs, labels)
    if keras.config.backend() != "tensorflow":
        return _ArrayBatches(arrays, len(inputs["row"]), batch_size)
    # TensorFlow's own pipeline is the fastest feed, without its tuner: the end of each `fit` and `predict` would
    # wait for the tuner's thread, often for as long again as the work took (TensorFlow 2.21).
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    return tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size).with_options(options)


class _ArrayBatches(keras.utils.PyDataset):
    def __init__(self, arrays, count, batch_size):
        super().__init__()
        self.arrays, self.count, self.batch_size = arrays, count, batch_size

    def __len__(self):
        return math.ceil(self.count / self.batch_size)

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return keras.tree.map_structure(lambda array: array[rows], self.arrays)


def with_images(classifier, images, size):
    """Return a model from the inputs of an `ImageTable` to the probabilities of `classifier`, weights shared."""
    inputs = {"row": keras.Input((), dtype="int32", name="row")}
    inputs["transform"] = keras.Input((3,), dtype="float32", name="transform")
    shown = ImageTable(images, size, dtype="float32", name="images")(inputs)
    return keras.Model(inputs, classifier(shown), name=f"{classifier.name}_with_images")
