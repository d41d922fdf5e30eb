"""The non-local block of Wang et al. (2018) as a Keras layer."""

from numbers import Integral

import keras
from keras import ops

from fer_lib.variants import PAIRWISE_FUNCTIONS

_GAUSSIANS = ("embedded_gaussian", "gaussian")


@keras.saving.register_keras_serializable(package="fer_lib")
class NonLocal2D(keras.layers.Layer):
    """Non-local block: every position of a feature map is answered by a weighted sum over all positions.

    With N = height * width positions of C channels, and M key positions (M = N, or about N / 4 where `subsample`):

    1. `theta`, `phi`, `g`: 1 x 1 convolutions with bias to `inner_channels` = D channels,
       theta (batch, N, D), phi and g (batch, M, D). `gaussian` has no theta and no phi: it compares x itself.
    2. `subsample`: 2 x 2 max pooling of phi and g.
    3. The pairwise function and its normalisation give the attention (batch, N, M):
       - `embedded_gaussian`: softmax over j of theta_i . phi_j (eq. 4; unscaled, see `scale`),
       - `gaussian`: softmax over j of x_i . x_j (eq. 3),
       - `dot_product`: theta_i . phi_j / M (eq. 5),
       - `concatenation`: ReLU(w_f . [theta_i, phi_j]) / M (eq. 6),
       - `none`: 1 where i = j, else 0: the control with the same weights that mixes no positions, y_i = g(x_i).
         It is the embedded Gaussian over the position itself alone, so theta and phi get gradients of zero.
    4. y = attention . g, (batch, N, D) (eq. 1).
    5. `w_z`: a 1 x 1 convolution without bias back to C channels, then batch normalisation.
    6. z = w_z(y) + x (eq. 7).

    Where the attention is not asked for, the cheapest equal computation is used: the dot product in the order
    theta . (phi^T . g) where that has fewer multiply-adds, the concatenation as a sum of two projections (the
    N x M x 2D tensor is never made), the Gaussians through the backend's fused attention where it has one.

    Args:
        pairwise: `"embedded_gaussian"` (default), `"gaussian"`, `"dot_product"`, `"concatenation"` or `"none"`.
        inner_channels: D. Default `None`: half of the input's channels.
        subsample: pools phi and g 2 x 2. Default `False`. Not with `"none"`.
        zero_init: starts the normalisation's gamma at 0, so that the block is the identity. Default `True`.
        scale: divides the Gaussians' logits by the square root of their width, as transformers do and Wang et
            al. do not. Default `False`.
        kernel_initializer: of all projections. Default `None`: normal, standard deviation 0.01 (Wang et al.).
        momentum: of the batch normalisation's moving averages. Default 0.99.
        epsilon: of the batch normalisation. Default 1.001e-5, as in `keras.applications`' ResNetV2.
        data_format: `"channels_last"` or `"channels_first"`. Default `None`: Keras's own setting.

    Call arguments:
        inputs: (batch, height, width, C), or (batch, C, height, width) with `channels_first`.
        training: whether the batch normalisation uses the batch's statistics.
        return_attention: also returns the attention.

    Output shape:
        That of the input; with `return_attention=True` the pair (z, attention) with attention
        (batch, N, M), rows and columns in row-major order of the positions, in at least float32.

    Raises:
        ValueError: an unknown function or format, a width below 1, an input that is not of rank 4, pooling of a
            map smaller than 2 x 2.

    Example:

    >>> x = keras.random.normal((2, 12, 12, 64))
    >>> z, attention = NonLocal2D()(x, return_attention=True)
    >>> z.shape, attention.shape
    ((2, 12, 12, 64), (2, 144, 144))

    Reference:
        Wang, Girshick, Gupta, He: Non-local Neural Networks, CVPR 2018. Equation numbers are those of Xue's paper
        on facial expressions, which restates them.
    """

    def __init__(
        self,
        pairwise="embedded_gaussian",
        inner_channels=None,
        subsample=False,
        zero_init=True,
        scale=False,
        kernel_initializer=None,
        momentum=0.99,
        epsilon=1.001e-5,
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if pairwise not in PAIRWISE_FUNCTIONS:
            raise ValueError(f"`pairwise` must be one of {PAIRWISE_FUNCTIONS}. Received: pairwise={pairwise!r}")
        whole = isinstance(inner_channels, Integral) and not isinstance(inner_channels, bool)
        if inner_channels is not None and (not whole or inner_channels < 1):
            raise ValueError(
                f"`inner_channels` must be a positive integer or None. Received: inner_channels={inner_channels!r}"
            )
        if subsample and pairwise == "none":
            raise ValueError("`subsample` pools key positions, and pairwise='none' has only one. Received: True")
        if data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(
                f"`data_format` must be 'channels_last', 'channels_first' or None. Received: {data_format!r}"
            )
        self.pairwise = pairwise
        self.inner_channels = None if inner_channels is None else int(inner_channels)
        self.subsample = subsample
        self.zero_init = zero_init
        self.scale = scale
        self.kernel_initializer = keras.initializers.get(
            keras.initializers.RandomNormal(stddev=0.01) if kernel_initializer is None else kernel_initializer
        )
        self.momentum = momentum
        self.epsilon = epsilon
        self.data_format = data_format or keras.config.image_data_format()

    def build(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(f"NonLocal2D expects an input of rank 4. Received: shape={tuple(input_shape)}")
        axis = 1 if self.data_format == "channels_first" else 3
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(f"NonLocal2D needs the number of channels. Received: shape={tuple(input_shape)}")
        if self.inner_channels is None and channels < 2:
            raise ValueError(
                f"NonLocal2D halves the channels and needs at least 2, or `inner_channels`. Received: {channels}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={axis: channels})
        inner = self.inner_channels or channels // 2
        if self.pairwise != "gaussian":
            self.theta = self._projection(inner, "theta")
            self.phi = self._projection(inner, "phi")
        self.g = self._projection(inner, "g")
        self.w_z = self._projection(channels, "w_z", use_bias=False, dtype=self._response_dtype())
        self.normalization = keras.layers.BatchNormalization(
            momentum=self.momentum,
            epsilon=self.epsilon,
            gamma_initializer="zeros" if self.zero_init else "ones",
            dtype=self._response_dtype(),
            name="normalization",
        )
        for layer in self._projections():
            layer.build((None, None, None, channels))
        self.w_z.build((None, None, None, inner))
        self.normalization.build((None, None, None, channels))
        if self.pairwise == "concatenation":
            self.w_f = self.add_weight(name="w_f", shape=(2 * inner,), initializer=_clone(self.kernel_initializer))
        super().build(input_shape)

    def call(self, inputs, training=None, return_attention=False):
        # From here on positions come before channels, whatever the data format: (batch, h, w, C).
        x = ops.transpose(inputs, (0, 2, 3, 1)) if self.data_format == "channels_first" else inputs
        height, width = ops.shape(x)[1:3]
        if self.subsample and (x.shape[1] == 1 or x.shape[2] == 1):
            raise ValueError(f"`subsample` needs a map of at least 2 x 2. Received: {x.shape[1]} x {x.shape[2]}")

        if self.pairwise == "gaussian":
            theta, phi = x, self._pool(x)
        else:
            theta, phi = self.theta(x, training=training), self._pool(self.phi(x, training=training))
        g = self._pool(self.g(x, training=training))
        theta, phi, g = _flatten(theta), _flatten(phi), _flatten(g)  # (batch, N, D), twice (batch, M, D)
        theta, phi, g = self._with_range(theta), self._with_range(phi), self._with_range(g)

        if return_attention:
            attention = self._attention(theta, phi)
            y = ops.matmul(ops.cast(attention, g.dtype), g)
        else:
            y = self._respond(theta, phi, g)

        y = self.w_z(ops.reshape(y, (-1, height, width, g.shape[-1])), training=training)
        y = self.normalization(y, training=training)
        if self.data_format == "channels_first":
            y = ops.transpose(y, (0, 3, 1, 2))
        z = ops.cast(y, self.compute_dtype) + inputs
        return (z, attention) if return_attention else z

    def get_config(self):
        return {
            **super().get_config(),
            "pairwise": self.pairwise,
            "inner_channels": self.inner_channels,
            "subsample": self.subsample,
            "zero_init": self.zero_init,
            "scale": self.scale,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "data_format": self.data_format,
        }

    def _projection(self, units, name, use_bias=True, dtype=None):
        return _Projection(
            units,
            use_bias=use_bias,
            kernel_initializer=_clone(self.kernel_initializer),
            dtype=dtype or self.dtype_policy,
            name=name,
        )

    def _projections(self):
        return [self.g] if self.pairwise == "gaussian" else [self.theta, self.phi, self.g]

    def _pool(self, x):
        if not self.subsample:
            return x
        return ops.max_pool(x, pool_size=2, strides=2, padding="valid", data_format="channels_last")

    def _response_dtype(self):
        # The dot product's and the concatenation's responses are products of activations: they too can leave
        # float16's range, until the normalisation brings them back.
        return "float32" if self.compute_dtype == "float16" else self.dtype_policy

    def _with_range(self, x):
        # Sums over channels leave float16's range (65,504) at ordinary activations.
        return ops.cast(x, "float32") if keras.backend.standardize_dtype(x.dtype) == "float16" else x

    def _scaled(self, theta):
        return theta / theta.shape[-1] ** 0.5 if self.scale and self.pairwise in _GAUSSIANS else theta

    def _attention(self, theta, phi):
        """Step 3 written out: (batch, N, M), at least float32."""
        theta, phi = (ops.cast(x, keras.backend.result_type(x.dtype, "float32")) for x in (theta, phi))
        if self.pairwise == "none":
            return self._own_weight(theta, phi) * ops.eye(ops.shape(theta)[1], dtype=theta.dtype)
        if self.pairwise == "concatenation":
            return self._concatenation(theta, phi)
        logits = ops.matmul(self._scaled(theta), ops.transpose(phi, (0, 2, 1)))
        if self.pairwise in _GAUSSIANS:
            return ops.softmax(logits, axis=-1)
        return logits / ops.cast(ops.shape(phi)[1], logits.dtype)

    def _respond(self, theta, phi, g):
        """Steps 3 and 4 by the cheapest equal computation: (batch, N, D)."""
        if self.pairwise == "none":
            return ops.cast(self._own_weight(theta, phi), g.dtype) * g
        if self.pairwise == "concatenation":
            return ops.matmul(ops.cast(self._concatenation(theta, phi), g.dtype), g)
        if self.pairwise == "dot_product":
            return self._dot_product(theta, phi, g)
        # TensorFlow has no fused attention, JAX none for values of another width than the keys'.
        if keras.config.backend() != "tensorflow" and theta.shape[-1] == g.shape[-1]:
            return self._fused_gaussian(theta, phi, g)
        return ops.matmul(ops.cast(self._attention(theta, phi), g.dtype), g)

    def _own_weight(self, theta, phi):
        # The softmax over one position, exp(l - max l), is 1 exactly and its gradient 0; written out, so that the
        # control runs through the same weights as the block it controls for.
        logit = ops.sum(theta * phi, axis=-1, keepdims=True)  # (batch, N, 1)
        return ops.exp(logit - logit)

    def _concatenation(self, theta, phi):
        # w_f . [theta_i, phi_j] = w_theta . theta_i + w_phi . phi_j: two vectors instead of N x M x 2D.
        inner = theta.shape[-1]
        w_f = ops.cast(self.w_f, theta.dtype)
        from_theta = ops.matmul(theta, w_f[:inner, None])  # (batch, N, 1)
        from_phi = ops.transpose(ops.matmul(phi, w_f[inner:, None]), (0, 2, 1))  # (batch, 1, M)
        # The division is made on the short vectors: ReLU(a / M) = ReLU(a) / M.
        keys = ops.cast(ops.shape(phi)[1], theta.dtype)
        return ops.relu(from_theta / keys + from_phi / keys)

    def _dot_product(self, theta, phi, g):
        queries, keys, inner = theta.shape[1], phi.shape[1], theta.shape[2]
        # Where the sizes are not known, the numbers of positions are None, or symbols that do not compare.
        phi = phi / ops.cast(ops.shape(phi)[1], phi.dtype)
        channels_first_product = isinstance(queries, int) and inner * (queries + keys) < 2 * queries * keys
        if channels_first_product:
            return ops.matmul(theta, ops.matmul(ops.transpose(phi, (0, 2, 1)), g))
        return ops.matmul(ops.matmul(theta, ops.transpose(phi, (0, 2, 1))), g)

    def _fused_gaussian(self, theta, phi, g):
        # One head of width D: (batch, positions, 1, D).
        heads = [ops.expand_dims(x, 2) for x in (theta, phi, g)]
        scale = theta.shape[-1] ** -0.5 if self.scale else 1.0
        return ops.squeeze(ops.dot_product_attention(*heads, scale=scale), 2)


class _Projection(keras.layers.Dense):
    """A 1 x 1 convolution, (batch, height, width, C) -> (batch, height, width, units), as a layer over channels.

    In this form it needs no channels_last convolution, which not every backend has on a CPU.
    """

    def call(self, inputs, training=None):
        if training or keras.config.backend() != "tensorflow":
            return super().call(inputs)
        # On a CPU TensorFlow's convolution is faster forward, the product of matrices backward.
        y = ops.conv(inputs, self.kernel[None, None], data_format="channels_last")
        return y if self.bias is None else y + self.bias


def _flatten(x):
    """(batch, h, w, channels) -> (batch, h * w, channels)."""
    _, height, width, channels = ops.shape(x)
    return ops.reshape(x, (-1, height * width, channels))


def _clone(initializer):
    # One initialiser object drawn from twice gives the same numbers twice.
    return initializer.__class__.from_config(initializer.get_config())
