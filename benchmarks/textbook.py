"""The non-local block as textbooks and most public code write it: everything it names is made in memory."""

import keras
from keras import ops

from fer_lib.models import NonLocal2D


class TextbookNonLocal2D(keras.layers.Layer):
    """The same block as `NonLocal2D`, with the same weights, its equations taken at their word.

    1 x 1 convolutions; the logits (batch, N, N) first, for every function; for the concatenation the tensor
    (batch, N, N, 2D) of all pairs; the normalisation on the whole map.
    """

    def __init__(self, pairwise="embedded_gaussian", **kwargs):
        super().__init__(**kwargs)
        self.pairwise = pairwise

    def build(self, input_shape):
        channels = input_shape[-1]
        inner = channels // 2
        names = ("g",) if self.pairwise == "gaussian" else ("theta", "phi", "g")
        for name in names:
            setattr(self, name, keras.layers.Conv2D(inner, 1, name=name))
            getattr(self, name).build(input_shape)
        self.w_z = keras.layers.Conv2D(channels, 1, use_bias=False, name="w_z")
        self.w_z.build((*input_shape[:-1], inner))
        self.normalization = keras.layers.BatchNormalization(epsilon=1.001e-5, name="normalization")
        self.normalization.build(input_shape)
        if self.pairwise == "concatenation":
            self.w_f = self.add_weight(name="w_f", shape=(2 * inner, 1))
        super().build(input_shape)

    def call(self, x, training=None):
        _, height, width, channels = x.shape
        positions = height * width
        theta, phi = (x, x) if self.pairwise == "gaussian" else (self.theta(x), self.phi(x))
        theta = ops.reshape(theta, (-1, positions, theta.shape[-1]))
        phi = ops.reshape(phi, (-1, positions, phi.shape[-1]))
        g = ops.reshape(self.g(x), (-1, positions, channels // 2))
        if self.pairwise == "concatenation":
            queries = ops.repeat(ops.expand_dims(theta, 2), positions, axis=2)  # (batch, N, N, D)
            keys = ops.repeat(ops.expand_dims(phi, 1), positions, axis=1)
            pairs = ops.concatenate([queries, keys], axis=3)  # (batch, N, N, 2D)
            attention = ops.relu(ops.squeeze(ops.matmul(pairs, self.w_f), 3)) / positions
        else:
            logits = ops.matmul(theta, ops.transpose(phi, (0, 2, 1)))  # (batch, N, N)
            attention = logits / positions if self.pairwise == "dot_product" else ops.softmax(logits, axis=-1)
        y = ops.reshape(ops.matmul(attention, g), (-1, height, width, channels // 2))
        return x + self.normalization(self.w_z(y), training=training)


def copy_weights(textbook, layer):
    """Gives a built `NonLocal2D` the weights of a built textbook block."""
    for name in ("theta", "phi", "g", "w_z"):
        if hasattr(textbook, name):
            kernel, *bias = getattr(textbook, name).get_weights()
            getattr(layer, name).set_weights([kernel[0, 0], *bias])
    if layer.pairwise == "concatenation":
        layer.w_f.assign(ops.reshape(textbook.w_f, (-1,)))
    layer.normalization.set_weights(textbook.normalization.get_weights())


def built_pair(pairwise, height, width, channels):
    """(textbook block, `NonLocal2D`) with the same weights."""
    shape = (None, height, width, channels)
    textbook, layer = TextbookNonLocal2D(pairwise, name="textbook"), NonLocal2D(pairwise, zero_init=False)
    textbook.build(shape)
    layer.build(shape)
    copy_weights(textbook, layer)
    return textbook, layer
