"""The non-local block of Wang et al. (2018) as a Keras layer."""

import warnings
import zlib
from numbers import Integral
from typing import Any

import keras
from keras import ops

from fer_lib.models.layers import BatchNormalization
from fer_lib.variants import PAIRWISE_FUNCTIONS


@keras.saving.register_keras_serializable(package="fer_lib")
class NonLocal2D(keras.layers.Layer):
    """Non-local block: the response at each position is a weighted sum of the features at all positions.

    `NonLocal2D()(x)` returns z, `NonLocal2D()(x, return_attention=True)` the pair (z, attention). x and z are
    (batch, height, width, C), or (batch, C, height, width) with `channels_first`. The attention is (batch, N, M),
    float32 (float64 where the layer is): of each of N = height * width positions, row by row, to M (N, or about
    N / 4 with `subsample`). `theta`, `phi` and `g` are 1 x 1 convolutions of x with bias to D channels, `w_z` one
    without bias back to C channels and batch normalisation, with `training=True` by the statistics of the batch.

    z = w_z(y) + x (eq. 7), y = attention . g (eq. 1), and the attention is, by the pairwise function:

    - `embedded_gaussian`: softmax over j of theta_i . phi_j (eq. 4),
    - `gaussian`: softmax over j of x_i . x_j (eq. 3), without theta and phi,
    - `dot_product`: theta_i . phi_j / M (eq. 5),
    - `concatenation`: ReLU(w_f . [theta_i, phi_j]) / M (eq. 6),
    - `identity`, a control that mixes no positions: 1 where i = j, else 0; theta and phi get no gradient,
    - `uniform`, a control that mixes all positions alike: 1 / M, without theta and phi.

    Args:
        pairwise: One of these functions. Defaults to `"embedded_gaussian"`.
        inner_channels: Integer, D. Defaults to `None`, half of the input's channels.
        subsample: What to pool 2 x 2: `None`; `"keys"`, phi and g (the paper of Wang et al.); or `"input"`, what
            they read (their released code). Not with `"identity"`. Defaults to `None`.
        zero_init: Boolean, whether gamma starts at 0, and the block as the identity. Defaults to `True`.
        scale: Boolean, whether to divide the logits of the two Gaussians by the square root of their width, as the
            released code does and the paper does not. Defaults to `False`.
        kernel_initializer: Initialiser of all projections; a seeded one gets another seed for each, derived from
            its own. Defaults to `None`, normal with standard deviation 0.01 (Wang et al.).
        momentum: Float, of the batch normalisation's moving averages; the released code has 0.9. Defaults to 0.99.
        epsilon: Float, of the batch normalisation. Defaults to 1.001e-5, as in `keras.applications`' ResNetV2.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `None`, Keras's own setting.
        normalize_input: Boolean, whether theta, phi and g read ReLU(batch normalisation(x)), as the branches of a
            pre-activation ResNet do. Defaults to `False`.

    Raises:
        ValueError: An unknown option, `inner_channels` below 1, an input that is not of rank 4, `subsample` of a
            map smaller than 2 x 2. A map that `subsample` pools to one key position gives a warning.

    Example:
        >>> z, attention = NonLocal2D()(keras.random.normal((2, 12, 12, 64)), return_attention=True)
        >>> tuple(z.shape), tuple(attention.shape)
        ((2, 12, 12, 64), (2, 144, 144))

    Reference:
        Wang, Girshick, Gupta, He: Non-local Neural Networks, CVPR 2018. Equations are numbered as in Xue's paper.
    """

    def __init__(
        self, pairwise: str = "embedded_gaussian", inner_channels: int | None = None, subsample: str | None = None,
        zero_init: bool = True, scale: bool = False, kernel_initializer: Any = None, momentum: float = 0.99,
        epsilon: float = 1.001e-5, data_format: str | None = None, normalize_input: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        check_choice("pairwise", pairwise, PAIRWISE_FUNCTIONS)
        check_choice("data_format", data_format, (None, "channels_last", "channels_first"))
        check_choice("subsample", subsample, (None, "keys", "input"))
        whole = isinstance(inner_channels, Integral) and not isinstance(inner_channels, bool)
        if inner_channels is not None and (not whole or inner_channels < 1):
            raise ValueError(f"`inner_channels` must be a positive integer or None. Received: {inner_channels=}")
        if subsample and pairwise == "identity":
            raise ValueError(f"`subsample` pools keys, of which 'identity' has one. Received: {subsample=}")
        # Python's own types, whatever NumPy types came in: the configuration is JSON.
        self.pairwise = str(pairwise)
        self.inner_channels = None if inner_channels is None else int(inner_channels)
        self.subsample = None if subsample is None else str(subsample)
        self.normalize_input, self.zero_init, self.scale = bool(normalize_input), bool(zero_init), bool(scale)
        normal = keras.initializers.RandomNormal(stddev=0.01)
        self.kernel_initializer = keras.initializers.get(kernel_initializer or normal)
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.data_format = str(data_format or keras.config.image_data_format())
        self._channels_first = self.data_format == "channels_first"

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for maps of this shape; height and width may be `None`."""
        height, width, channels = self._sizes(input_shape)
        if channels is None or (self.inner_channels is None and channels < 2):
            needs = "NonLocal2D needs to know the number of channels, and at least 2 without `inner_channels`"
            raise ValueError(f"{needs}. Received: shape={tuple(input_shape)}")
        if self.subsample and (height, width) in ((2, 2), (2, 3), (3, 2), (3, 3)):
            what = f"{self.name}: `subsample` leaves one key position of a {height} x {width} map, so every"
            warnings.warn(
                f"{what} position gets the same response; use a larger map or subsample=None.", stacklevel=2
            )
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={1 if self._channels_first else 3: channels})
        inner = self.inner_channels or channels // 2
        if self.compares_embeddings:
            self.theta = self._projection("theta", channels, inner)
            self.phi = self._projection("phi", channels, inner)
        self.g = self._projection("g", channels, inner)
        # Products of activations (dot product, concatenation) can leave float16's range until they are normalised.
        policy = "float32" if self.compute_dtype == "float16" else self.dtype_policy
        self.w_z = self._projection("w_z", inner, channels, use_bias=False, dtype=policy)
        gamma = "zeros" if self.zero_init else "ones"
        self.normalization = self._normalization("normalization", channels, gamma_initializer=gamma, dtype=policy)
        if self.normalize_input:
            self.input_normalization = self._normalization("input_normalization", channels)
        if self.pairwise == "concatenation":
            self.w_f = self.add_weight(name="w_f", shape=(2 * inner,), initializer=self._initializer("w_f"))
        super().build(input_shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...], return_attention: bool = False) -> tuple:
        """Return the shape of z, or with `return_attention` those of z and of the attention."""
        height, width, _ = self._sizes(input_shape)
        step = 2 if self.subsample else 1
        queries, keys = (None if None in (height, width) else (height // by) * (width // by) for by in (1, step))
        shape = tuple(input_shape)
        return (shape, (shape[0], queries, keys)) if return_attention else shape

    def compute_output_spec(
        self, inputs: Any, training: bool | None = None, return_attention: bool = False
    ) -> Any:
        """Return what `call` returns, as symbolic tensors."""
        z_shape, attention_shape = self.compute_output_shape(inputs.shape, return_attention=True)
        z = keras.KerasTensor(z_shape, self.compute_dtype)
        at_least_float32 = keras.backend.result_type(self.compute_dtype, "float32")
        return (z, keras.KerasTensor(attention_shape, at_least_float32)) if return_attention else z

    def call(self, inputs: Any, training: bool | None = None, return_attention: bool = False) -> Any:
        """Return z, or (z, attention), see the class."""
        self._sizes(inputs.shape)  # known only here where the layer was built for maps of any size
        x = ops.transpose(inputs, (0, 2, 3, 1)) if self._channels_first else inputs
        height, width = ops.shape(x)[1:3]  # x: (batch, height, width, C) from here on
        if self.normalize_input:
            x = ops.relu(self.input_normalization(x, training=training))
        source = self._pooled(x, "input")
        theta, phi = x, source
        if self.compares_embeddings:
            theta, phi = self.theta(x, training=training), self.phi(source, training=training)
        phi = self._pooled(phi, "keys")
        g = self._pooled(self.g(source, training=training), "keys")
        theta, phi, g = _flatten(theta), _flatten(phi), _flatten(g)  # (batch, N, D), twice (batch, M, D)

        if return_attention:
            attention = self._attention(theta, phi)
            y = ops.matmul(ops.cast(attention, g.dtype), g)
        else:
            y = self._respond(theta, phi, g)

        y = self.w_z(ops.reshape(y, (-1, height, width, g.shape[-1])), training=training)
        y = self.normalization(y, training=training)
        if self._channels_first:
            y = ops.transpose(y, (0, 3, 1, 2))
        z = ops.cast(y, self.compute_dtype) + inputs
        return (z, attention) if return_attention else z

    def get_config(self) -> dict:
        """Return the arguments of the constructor, as JSON can hold them."""
        names = ("pairwise", "inner_channels", "subsample", "zero_init", "scale", "momentum", "epsilon")
        config = {name: getattr(self, name) for name in (*names, "data_format", "normalize_input")}
        config["kernel_initializer"] = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), **config}

    @property
    def compares_embeddings(self) -> bool:
        """Whether the block has theta and phi."""
        return self.pairwise not in ("gaussian", "uniform")

    def _sizes(self, input_shape):
        """(height, width, C) of an input's shape, where known; ValueError where the layer takes none such."""
        if len(input_shape) != 4:
            raise ValueError(f"NonLocal2D expects an input of rank 4. Received: shape={tuple(input_shape)}")
        channels, height, width = input_shape[1:] if self._channels_first else (input_shape[3], *input_shape[1:3])
        if self.subsample and any(isinstance(side, int) and side < 2 for side in (height, width)):
            raise ValueError(f"`subsample` needs a map of at least 2 x 2. Received: {height} x {width}")
        return height, width, channels

    def _projection(self, name, channels, units, **arguments):
        arguments = {"dtype": self.dtype_policy, "kernel_initializer": self._initializer(name), **arguments}
        return _built(_Projection(units, name=name, **arguments), channels)

    def _normalization(self, name, channels, **arguments):
        arguments = {"dtype": self.dtype_policy, **arguments}
        return _built(BatchNormalization(-1, self.momentum, self.epsilon, name=name, **arguments), channels)

    def _initializer(self, name):
        """The initialiser of one weight, of whose numbers no other weight has the same."""
        initializer = self.kernel_initializer
        config = initializer.get_config() if isinstance(initializer, keras.initializers.Initializer) else {}
        if not isinstance(config.get("seed", ""), (int, type(None))):
            # Functions and constants give what was asked for, a `SeedGenerator` other numbers at every call.
            return initializer
        if config["seed"] is not None:
            config["seed"] = zlib.crc32(f"{config['seed']} {name}".encode())
        return initializer.__class__.from_config(config)

    def _pooled(self, x, place):
        if self.subsample != place:
            return x
        return ops.max_pool(x, pool_size=2, strides=2, padding="valid", data_format="channels_last")

    def _attention(self, theta, phi):
        """The attention written out: (batch, N, M), at least float32."""
        theta, phi = (ops.cast(x, keras.backend.result_type(x.dtype, "float32")) for x in (theta, phi))
        (batch, queries, width), keys = ops.shape(theta), ops.shape(phi)[1]
        if self.pairwise == "identity":
            return self._own_weight(theta, phi) * ops.eye(queries, dtype=theta.dtype)
        if self.pairwise == "uniform":
            return ops.ones((batch, queries, keys), theta.dtype) / ops.cast(keys, theta.dtype)
        if self.pairwise == "concatenation":
            return self._concatenation(theta, phi)
        if self.scale and self.pairwise != "dot_product":
            theta = theta / width**0.5
        logits = ops.matmul(theta, ops.transpose(phi, (0, 2, 1)))
        if self.pairwise == "dot_product":
            return logits / ops.cast(keys, logits.dtype)
        return ops.softmax(logits, axis=-1)

    def _respond(self, theta, phi, g):
        """The response by the cheapest equal computation: (batch, N, D)."""
        if self.pairwise == "identity":
            return self._own_weight(theta, phi) * g
        if self.pairwise == "uniform":
            # The mean of bfloat16 is taken in float32, as the products of the other functions are.
            mean = ops.mean(ops.cast(g, keras.backend.result_type(g.dtype, "float32")), axis=1, keepdims=True)
            return ops.broadcast_to(ops.cast(mean, g.dtype), (*ops.shape(theta)[:2], g.shape[-1]))
        if self.pairwise == "concatenation":
            return ops.matmul(self._concatenation(theta, phi), g)
        if self.pairwise == "dot_product":
            return self._dot_product(theta, phi, g)
        # TensorFlow has no fused attention, JAX none for values of another width than the keys'.
        if keras.config.backend() != "tensorflow" and theta.shape[-1] == g.shape[-1]:
            heads = [ops.expand_dims(x, 2) for x in (theta, phi, g)]  # one of width D: (batch, positions, 1, D)
            scale = theta.shape[-1] ** -0.5 if self.scale else 1.0
            return ops.squeeze(ops.dot_product_attention(*heads, scale=scale), 2)
        return ops.matmul(ops.cast(self._attention(theta, phi), g.dtype), g)

    def _own_weight(self, theta, phi):
        # The softmax over one position, exp(l - max l): 1 exactly and gradient 0, from theta and phi.
        logit = ops.sum(theta * phi, axis=-1, keepdims=True)  # (batch, N, 1)
        return ops.exp(logit - logit)

    def _concatenation(self, theta, phi):
        # w_f . [theta_i, phi_j] = w_theta . theta_i + w_phi . phi_j: two vectors instead of N x M x 2D.
        # tensordot multiplies at rank 2: TensorFlow 2.21 with oneDNN corrupts the heap now and then when it trains
        # the product with w_f broadcast over the batch.
        inner = theta.shape[-1]
        w_f = ops.cast(self.w_f, theta.dtype)
        from_theta = ops.tensordot(theta, w_f[:inner], axes=1)[:, :, None]  # (batch, N, 1)
        from_phi = ops.tensordot(phi, w_f[inner:], axes=1)[:, None]  # (batch, 1, M)
        keys = ops.cast(ops.shape(phi)[1], theta.dtype)  # divides the short vectors: ReLU(a / M) = ReLU(a) / M
        return ops.relu(from_theta / keys + from_phi / keys)

    def _dot_product(self, theta, phi, g):
        (_, queries, inner), keys = ops.shape(theta), ops.shape(phi)[1]
        phi = ops.transpose(phi / ops.cast(keys, phi.dtype), (0, 2, 1))  # (batch, D, M)

        def linear():  # D^2 * (N + M) MACs per image
            return ops.matmul(theta, ops.matmul(phi, g))

        def quadratic():  # 2 * D * N * M
            return ops.matmul(ops.matmul(theta, phi), g)

        if isinstance(queries, int) and isinstance(keys, int):
            return linear() if inner * (queries + keys) < 2 * queries * keys else quadratic()
        if keras.config.backend() == "tensorflow":
            return ops.cond(inner * (queries + keys) < 2 * queries * keys, linear, quadratic)
        # JAX and PyTorch, exporting a dynamic size: the order whose memory does not grow with N * M.
        return linear()


class _Projection(keras.layers.Dense):
    """A 1 x 1 convolution in a form that needs no channels_last convolution, which some backends lack on a CPU."""

    def call(self, inputs, training=None):
        if training or keras.config.backend() != "tensorflow":
            return super().call(inputs)
        # On a CPU TensorFlow's convolution is faster forward, the product of matrices backward.
        y = ops.conv(inputs, self.kernel[None, None], data_format="channels_last")
        return y if self.bias is None else y + self.bias


def _built(layer, channels):
    layer.build((None, None, None, channels))
    return layer


def _flatten(x):
    """(batch, h, w, channels) -> (batch, h * w, channels), in float32 in place of float16."""
    batch, height, width, channels = ops.shape(x)
    # Sums over channels leave float16's range (65,504) at ordinary activations.
    x = ops.cast(x, "float32") if keras.backend.standardize_dtype(x.dtype) == "float16" else x
    return ops.reshape(x, (batch, height * width, channels))


def check_choice(name, value, allowed):
    """ValueError where an option is none of those allowed."""
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {allowed}. Received: {name}={value!r}")
