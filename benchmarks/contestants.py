"""Other people's blocks that do the work of a non-local block, as Keras models and PyTorch modules."""

import importlib.util


def contestants(pairwise, height, width, channels):
    """{column: block} of those installed that compute the pairwise function.

    Args:
        pairwise: a pairwise function of `NonLocal2D`.
        height, width, channels: of the map.

    Returns:
        Dictionary with any of `"MHA"` (`keras.layers.MultiHeadAttention`, one head, then batch normalisation and
        the residual), `"mmcv"` (its `NonLocal2d`, unscaled) and `"SDPA"` (PyTorch's
        `scaled_dot_product_attention` between 1 x 1 convolutions). The first is a `keras.Model`, the others
        are modules of PyTorch for (batch, channels, height, width). mmcv's concatenation is left out: its
        backward pass fails under PyTorch 2.
    """
    found = {}
    if pairwise == "embedded_gaussian":
        found["MHA"] = keras_attention(height, width, channels)
    if importlib.util.find_spec("torch"):
        if importlib.util.find_spec("mmcv") and pairwise != "concatenation":
            from mmcv.cnn import NonLocal2d

            found["mmcv"] = NonLocal2d(channels, use_scale=False, mode=pairwise, norm_cfg={"type": "BN"})
        if pairwise == "embedded_gaussian":
            found["SDPA"] = torch_attention(channels)
    return found


def keras_attention(height, width, channels):
    import keras

    inputs = keras.Input((height, width, channels))
    x = keras.layers.Reshape((height * width, channels))(inputs)
    inner = channels // 2
    x = keras.layers.MultiHeadAttention(1, inner, value_dim=inner, output_shape=channels)(x, x)
    x = keras.layers.BatchNormalization()(keras.layers.Reshape((height, width, channels))(x))
    return keras.Model(inputs, keras.layers.Add()([inputs, x]))


def torch_attention(channels):
    import torch

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.projections = torch.nn.ModuleList(torch.nn.Conv2d(channels, channels // 2, 1) for _ in range(3))
            self.w_z = torch.nn.Conv2d(channels // 2, channels, 1, bias=False)
            self.normalization = torch.nn.BatchNorm2d(channels)

        def forward(self, x):
            # Three times (batch, D, height, width) -> (batch, one head, N, D).
            heads = [layer(x).flatten(2).transpose(1, 2).unsqueeze(1) for layer in self.projections]
            y = torch.nn.functional.scaled_dot_product_attention(*heads, scale=1.0)
            y = y.squeeze(1).transpose(1, 2).reshape(len(x), -1, *x.shape[2:])
            return x + self.normalization(self.w_z(y))

    return Attention()


def module_step(module, images):
    """Forward and backward of a PyTorch module on images (batch, height, width, channels), as a function."""
    import torch

    x = torch.tensor(images.transpose(0, 3, 1, 2).copy(), requires_grad=True)

    def step():
        module.zero_grad()
        x.grad = None
        (module(x) ** 2).sum().backward()

    return step
