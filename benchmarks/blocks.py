"""The blocks that `NonLocal2D` is measured against: the textbook's, with the same weights, and other people's."""

import importlib.util

import keras
from keras import ops

from fer_lib.models import NonLocal2D


class TextbookNonLocal2D(keras.layers.Layer):
    """The same block as `NonLocal2D`, its equations taken at their word, as most public code has it.

    1 x 1 convolutions; the logits (batch, N, N) first, for every function; for the concatenation the tensor
    (batch, N, N, 2D) of all pairs; the normalisation on the whole map.
    """

    def __init__(self, pairwise="embedded_gaussian", **kwargs):
        super().__init__(**kwargs)
        self.pairwise = pairwise

    def build(self, input_shape):
        channels = input_shape[-1]
        inner = channels // 2
        for name in ("g",) if self.pairwise == "gaussian" else ("theta", "phi", "g"):
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


def build_pair(pairwise, shape):
    """Return (textbook block, `NonLocal2D`) of the same weights for maps of `shape`, (height, width, channels)."""
    textbook, layer = TextbookNonLocal2D(pairwise, name="textbook"), NonLocal2D(pairwise, zero_init=False)
    for block in (textbook, layer):
        block.build((None, *shape))
    for name in ("theta", "phi", "g", "w_z"):
        if hasattr(textbook, name):
            kernel, *bias = getattr(textbook, name).get_weights()
            getattr(layer, name).set_weights([kernel[0, 0], *bias])
    if pairwise == "concatenation":
        layer.w_f.assign(ops.reshape(textbook.w_f, (-1,)))
    layer.normalization.set_weights(textbook.normalization.get_weights())
    return textbook, layer


def build_others(pairwise, shape):
    """Return {column: block} of those installed that compute the pairwise function.

    `"MHA"`: `keras.layers.MultiHeadAttention`, one head, then normalisation and the residual, a `keras.Model`.
    `"mmcv"`: its `NonLocal2d`, unscaled; not the concatenation, whose backward pass fails under PyTorch 2.
    `"SDPA"`: PyTorch's `scaled_dot_product_attention` between 1 x 1 convolutions. The last two are modules of
    PyTorch for (batch, channels, height, width).
    """
    others = {}
    embedded = pairwise == "embedded_gaussian"
    if embedded:
        others["MHA"] = _keras_attention(shape)
    if importlib.util.find_spec("torch"):
        if importlib.util.find_spec("mmcv") and pairwise != "concatenation":
            from mmcv.cnn import NonLocal2d

            others["mmcv"] = NonLocal2d(shape[-1], use_scale=False, mode=pairwise, norm_cfg={"type": "BN"})
        if embedded:
            others["SDPA"] = _torch_attention(shape[-1])
    return others


def _keras_attention(shape):
    inputs = keras.Input(shape)
    inner = shape[-1] // 2
    x = keras.layers.Reshape((shape[0] * shape[1], shape[2]))(inputs)
    x = keras.layers.MultiHeadAttention(1, inner, value_dim=inner, output_shape=shape[-1])(x, x)
    x = keras.layers.BatchNormalization()(keras.layers.Reshape(shape)(x))
    return keras.Model(inputs, keras.layers.Add()([inputs, x]))


def _torch_attention(channels):
    from torch import nn
    from torch.nn.functional import scaled_dot_product_attention

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.projections = nn.ModuleList(nn.Conv2d(channels, channels // 2, 1) for _ in range(3))
            self.w_z = nn.Conv2d(channels // 2, channels, 1, bias=False)
            self.normalization = nn.BatchNorm2d(channels)

        def forward(self, x):
            # Three times (batch, D, height, width) -> (batch, one head, N, D).
            heads = [layer(x).flatten(2).transpose(1, 2).unsqueeze(1) for layer in self.projections]
            y = scaled_dot_product_attention(*heads, scale=1.0)
            y = y.squeeze(1).transpose(1, 2).reshape(len(x), -1, *x.shape[2:])
            return x + self.normalization(self.w_z(y))

    return Attention()
