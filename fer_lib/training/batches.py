"""From uint8 faces to scaled, augmented batches, on the device.

All faces lie on the device as one uint8 table. A batch is a few numbers a face, its row in the table and its
transform, drawn on the host by (seed, epoch) alone; gathering, resizing, shifting, flipping and scaling happen in
the compiled step. The same faces in the same order with the same transforms therefore reach every backend.
"""

import math

import keras
import numpy as np
from keras import ops


class FaceTable(keras.layers.Layer):
    """All faces of a study on the device; called with rows and transforms it gives batches for a network.

    The transform is the one that `ImageDataGenerator(width_shift_range, height_shift_range, horizontal_flip,
    rescale=1/255)` makes (the paper, section 3.2.3): first the face at the size asked for, then a translation by
    parts of a pixel with linear interpolation and the edge repeated, then the flip. All of it is linear and
    separable, so it is two matrix products a face: rows . face . columns^T.

    Args:
        images: uint8, (n, height, width, channels).
        size: side of the faces given out, in pixels; the resizing is bilinear with half-pixel centres, with
            antialiasing where it shrinks (Pillow's BILINEAR, without rounding).

    Call arguments:
        inputs: dictionary of `row`, int32, (batch,), and `transform`, float32, (batch, 3), see `draw_transforms`.

    Output shape:
        (batch, size, size, channels), float32, in [0, 1].
    """

    def __init__(self, images, size, **kwargs):
        super().__init__(trainable=False, **kwargs)
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"`images` must be uint8 of rank 4. Received: {images.dtype}, shape {images.shape}")
        self.size = size
        self.table = self.add_weight(
            name="table",
            shape=images.shape,
            dtype="uint8",
            trainable=False,
            initializer=lambda shape, dtype: images,
        )
        self.resize_rows = resize_matrix(images.shape[1], size)
        self.resize_columns = resize_matrix(images.shape[2], size)

    def call(self, inputs):
        faces = ops.cast(ops.take(self.table, inputs["row"], axis=0), "float32")
        down, right, flip = (inputs["transform"][:, index] for index in range(3))
        rows = ops.matmul(translation_matrix(down, self.size), self.resize_rows)  # (batch, size, height)
        columns = translation_matrix(right, self.size)
        columns = ops.where(flip[:, None, None] > 0.5, ops.flip(columns, axis=1), columns)
        columns = ops.matmul(columns, self.resize_columns)  # (batch, size, width)
        # Channels first, so that each channel is a matrix: (batch, c, h, w) -> (batch, c, size, size).
        faces = ops.transpose(faces, (0, 3, 1, 2))
        faces = ops.matmul(ops.matmul(rows[:, None], faces), ops.transpose(columns, (0, 2, 1))[:, None])
        if keras.config.image_data_format() == "channels_last":
            faces = ops.transpose(faces, (0, 2, 3, 1))
        return faces / 255.0


def translation_matrix(shift, size):
    """Matrices that translate a line of `size` pixels, linear between pixels, the edge pixel repeated outside.

    Args:
        shift: float32, (batch,), in parts of `size`; output pixel i shows input coordinate i + shift * size.
        size: pixels.

    Returns:
        float32, (batch, size, size); each row sums to 1.
    """
    pixels = ops.arange(size, dtype="float32")
    seen = ops.clip(pixels[None] + shift[:, None] * size, 0.0, size - 1.0)  # (batch, size)
    return ops.maximum(0.0, 1.0 - ops.abs(seen[:, :, None] - pixels))


def resize_matrix(source, target):
    """The matrix, float32, (target, source), that resizes a line bilinearly as Pillow does, without rounding."""
    ratio = source / target
    centres = (np.arange(target)[:, None] + 0.5) * ratio - 0.5
    # Shrinking widens the triangle to the target's pixels (antialiasing); enlarging keeps it at one pixel.
    weights = np.maximum(0.0, 1.0 - np.abs(centres - np.arange(source)) / max(ratio, 1.0))
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")


def draw_order(count, seed, epoch):
    """Order of the training faces in an epoch: a permutation, int32, (count,), by (seed, epoch) alone."""
    return _generator(seed, epoch, "order").permutation(count).astype("int32")


def draw_transforms(count, seed, epoch, shift=0.1, flip=True):
    """One random transform a face for an epoch, by (seed, epoch) alone.

    Args:
        count: number of faces, in the order of the epoch's steps.
        seed, epoch: whole numbers from 0.
        shift: the largest translation down and right, drawn independently and uniformly from [-shift, shift], in
            parts of the side.
        flip: mirrors half of the faces.

    Returns:
        float32, (count, 3): down, right, mirrored (0 or 1).
    """
    generator = _generator(seed, epoch, "transforms")
    transforms = np.zeros((count, 3), "float32")
    transforms[:, :2] = generator.uniform(-shift, shift, (count, 2))
    if flip:
        transforms[:, 2] = generator.random(count) < 0.5
    return transforms


def identity_transforms(count):
    """Transforms, float32, (count, 3), that leave every face as it is: validation and test."""
    return np.zeros((count, 3), "float32")


class FaceBatches(keras.utils.PyDataset):
    """Rows, transforms and labels in batches of their order, for `predict` and `fit(shuffle=False)`.

    Args:
        inputs: dictionary of arrays, as the model of `with_faces` takes them.
        labels: array of as many rows. Default `None`: for `predict`.
        batch_size: rows a batch; the last batch may have fewer.
    """

    def __init__(self, inputs, labels=None, batch_size=64):
        # With two workers Keras reads ahead itself, and on TensorFlow does without tf.data's tuner: else the end
        # of each `fit` and `predict` waits for the tuner's thread, often for as long again as it took (TensorFlow
        # 2.21). The other backends look at the first batch before they start, and the workers would go on from
        # the second.
        super().__init__(workers=2 if keras.config.backend() == "tensorflow" else 1)
        self.inputs, self.labels, self.batch_size = inputs, labels, batch_size

    def __len__(self):
        return math.ceil(len(self.inputs["row"]) / self.batch_size)

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        inputs = {name: array[rows] for name, array in self.inputs.items()}
        return inputs if self.labels is None else (inputs, self.labels[rows])


def with_faces(classifier, images, size):
    """A model from rows and transforms to the classifier's probabilities, the faces inside.

    Args:
        classifier: a `keras.Model` on images of `size` pixels.
        images: uint8, (n, height, width, channels), all faces that will be asked for.
        size: side in pixels that the classifier takes.

    Returns:
        A `keras.Model` with inputs `row` and `transform`. Its weights but for the table are the classifier's own.
    """
    inputs = {
        "row": keras.Input((), dtype="int32", name="row"),
        "transform": keras.Input((3,), dtype="float32", name="transform"),
    }
    faces = FaceTable(images, size, dtype="float32", name="faces")(inputs)
    return keras.Model(inputs, classifier(faces), name=f"{classifier.name}_with_faces")


def _generator(seed, epoch, purpose):
    # Separate streams, so that drawing more of one never moves the other.
    return np.random.default_rng([seed, epoch, {"order": 0, "transforms": 1}[purpose]])
