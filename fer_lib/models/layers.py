"""Two layers of Keras with the same numbers in less time: batch normalisation and convolution.

Their weights, names and configuration are those of Keras' layers, whose class names they keep: a weights file is
laid out by class names. Wherever the faster computation does not apply, they are Keras' own.
"""

import functools
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="fer_lib")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation in one fused operation where the backend has one; Keras composes it of many passes.

    Fused are maps (batch, height, width, C) without a mask, in at most 32 bits, on TensorFlow. The moving variance
    is that of Keras, of the biased variance of the batch.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the normalised maps, of the inputs' shape, and update the moving statistics in training."""
        if not self._is_fusable(inputs, training, mask):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        of_the_batch = bool(training and self.trainable)
        gamma, beta, *moving = (
            tf.cast(weight, tf.float32)
            for weight in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        mean, variance = ([], []) if of_the_batch else moving
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=of_the_batch,
        )
        if of_the_batch:
            count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
            biased = variance * tf.maximum(count - 1, 1) / count
            for weight, earlier, new in zip(
                (self.moving_mean, self.moving_variance), moving, (mean, biased), strict=True
            ):
                weight.assign(earlier * self.momentum + new * (1 - self.momentum))
        return outputs

    def _is_fusable(self, inputs: Any, training: Any, mask: Any) -> bool:
        as_published = self.scale and self.center and not self.renorm and not self.synchronized
        return (
            keras.config.backend() == "tensorflow"
            and as_published
            and mask is None
            and (training is None or isinstance(training, bool))
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and keras.backend.standardize_dtype(inputs.dtype) == self.compute_dtype
            and self.compute_dtype in ("float32", "bfloat16", "float16")
        )


@keras.saving.register_keras_serializable(package="fer_lib")
class Conv2D(keras.layers.Conv2D):
    """Convolution whose gradient of a 1 x 1 or 3 x 3 kernel is computed as products of matrices where that wins.

    It wins in bfloat16 on a CPU under TensorFlow, whose library (oneDNN) multiplies matrices many times faster
    than it computes that gradient; in float32 it does not.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Return the convolution, (batch, height, width, filters), without bias."""
        size, stride = self.kernel_size[0], self.strides[0]
        square = self.kernel_size in ((1, 1), (3, 3)) and self.strides == (stride, stride)
        plain = self.groups == 1 and self.dilation_rate == (1, 1) and self.data_format == "channels_last"
        if not (square and plain and (size == 1 or stride == 1) and self._products_win()):
            return super().convolution_op(inputs, kernel)
        return _convolve(inputs[:, ::stride, ::stride], keras.ops.convert_to_tensor(kernel), self.padding)

    def _products_win(self) -> bool:
        return self.compute_dtype == "bfloat16" and keras.config.backend() == "tensorflow" and _on_a_cpu()


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
            _, height, width, _ = keras.ops.shape(dy)
            columns = tf.reshape(dy, (-1, filters))
            products = []
            for row in range(size):
                for column in range(size):
                    view = padded[:, row : row + height, column : column + width]
                    products.append(tf.matmul(tf.reshape(view, (-1, channels)), columns, transpose_a=True))
            return dx, tf.reshape(tf.stack(products), w.shape)

        return tf.nn.conv2d(x, w, strides=1, padding=padding.upper()), gradients

    return convolve(inputs, kernel)
