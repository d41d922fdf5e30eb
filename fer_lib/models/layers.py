"""Three layers of Keras with the same numbers in less time: batch normalisation, convolution and pooling.

Their weights, configuration and class names, by which a weights file is laid out, are those of Keras' layers, and
so is the computation wherever the faster one does not apply.
"""

import functools
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="fer_lib")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation in one fused operation on TensorFlow and PyTorch; Keras composes it of many passes.

    Fused are maps (batch, height, width, C) in at most 32 bits. The moving variance is of the batch's biased
    variance, as in Keras.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        backend = keras.config.backend()
        is_map = mask is None and len(inputs.shape) == 4 and self.axis in (-1, 3) and self.scale and self.center
        if backend == "jax" or not is_map or self.compute_dtype not in ("float32", "bfloat16", "float16"):
            return super().call(inputs, training=training, mask=mask)
        fused: Any = _fused_on_torch if backend == "torch" else _fused_on_tensorflow
        weights = [self.gamma, self.beta, self.moving_mean, self.moving_variance]
        gamma, beta, *moving = (ops.cast(weight, "float32") for weight in weights)
        if not (training and self.trainable):
            return fused(inputs, gamma, beta, *moving, self.epsilon)[0]
        outputs, *statistics = fused(inputs, gamma, beta, None, None, self.epsilon)
        for weight, earlier, new in zip(weights[2:], moving, statistics, strict=True):
            weight.assign(earlier * self.momentum + new * (1 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable(package="fer_lib")
class Conv2D(keras.layers.Conv2D):
    """Convolution whose gradient of a 1 x 1 or 3 x 3 kernel is computed as products of matrices where that wins.

    It wins in bfloat16 on a CPU under TensorFlow, whose library (oneDNN) multiplies matrices many times faster
    than it computes that gradient; in float32 it does not. On JAX and PyTorch a 1 x 1 convolution is one product.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        size, stride = self.kernel_size[0], self.strides[0]
        square = self.kernel_size == (size, size) and self.strides == (stride, stride)
        if not square or self.groups > 1 or self.dilation_rate != (1, 1):
            return super().convolution_op(inputs, kernel)
        if self.data_format == "channels_last" and size == 1 and keras.config.backend() != "tensorflow":
            # On a CPU, XLA computes that gradient of the convolution many times slower than of the product; of
            # a product of maps, (batch, h, w, c), still up to three times slower than of (positions, c). Keras'
            # convolution on PyTorch copies the maps twice.
            x = inputs[:, ::stride, ::stride]
            y = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), kernel[0, 0])
            return ops.reshape(y, (-1, *x.shape[1:3], self.filters))
        if (size == 1 or (size == 3 and stride == 1)) and self._products_win():
            return _convolve(inputs[:, ::stride, ::stride], ops.convert_to_tensor(kernel), self.padding)
        return super().convolution_op(inputs, kernel)

    def _products_win(self) -> bool:
        on_tensorflow = keras.config.backend() == "tensorflow" and self.data_format == "channels_last"
        return on_tensorflow and self.compute_dtype == "bfloat16" and _on_a_cpu()


@keras.saving.register_keras_serializable(package="fer_lib")
class MaxPooling2D(keras.layers.MaxPooling2D):
    """Max pooling, of which that of single positions is a slice on JAX and PyTorch.

    They compute its gradient by the general and slow rule; on TensorFlow the pooling is faster.
    """

    def call(self, inputs: Any) -> Any:
        single = self.pool_size == (1, 1) and self.data_format == "channels_last"
        if not single or keras.config.backend() == "tensorflow":
            return super().call(inputs)
        return inputs[:, :: self.strides[0], :: self.strides[1]]


def _fused_on_tensorflow(inputs: Any, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float) -> tuple:
    """Return the normalised maps, mean and biased variance; those of the batch where none are given."""
    import tensorflow as tf

    own: dict[str, Any] = {"mean": [], "variance": []} if mean is None else {"mean": mean, "variance": variance}
    outputs, new_mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=gamma, offset=beta, epsilon=epsilon, is_training=mean is None, **own
    )
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
    return outputs, new_mean, unbiased * tf.maximum(count - 1, 1) / count


def _fused_on_torch(inputs: Any, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float) -> tuple:
    """Return what `_fused_on_tensorflow` returns."""
    import torch

    view = inputs.permute(0, 3, 1, 2)  # PyTorch's order of axes, the numbers where they are
    outputs, new_mean, deviation = torch.native_batch_norm(
        view, gamma, beta, mean, variance, mean is None, 0.0, epsilon
    )
    return outputs.permute(0, 2, 3, 1), new_mean, deviation**-2 - epsilon  # `deviation` is its inverse


@functools.cache
def _on_a_cpu() -> bool:
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def _convolve(inputs: Any, kernel: Any, padding: str) -> Any:
    """Convolve with stride 1, (batch, h, w, c) with (k, k, c, d): the kernel's gradient is k * k products."""
    import tensorflow as tf

    size, _, channels, filters = kernel.shape

    @tf.custom_gradient
    def convolve(x, w):
        def gradients(dy):
            dx = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=w, out_backprop=dy, strides=[1, 1, 1, 1], padding=padding.upper()
            )
            edge = size // 2 if padding == "same" else 0
            padded = tf.pad(x, [[0, 0], [edge, edge], [edge, edge], [0, 0]]) if edge else x
            _, height, width, _ = ops.shape(dy)
            places = [(row, column) for row in range(size) for column in range(size)]
            views = [padded[:, row : row + height, column : column + width] for row, column in places]
            flat, columns = [tf.reshape(view, (-1, channels)) for view in views], tf.reshape(dy, (-1, filters))
            products = [tf.matmul(view, columns, transpose_a=True) for view in flat]
            return dx, tf.reshape(tf.stack(products), w.shape)

        return tf.nn.conv2d(x, w, strides=1, padding=padding.upper()), gradients

    return convolve(inputs, kernel)
