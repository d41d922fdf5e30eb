"""The study's networks and their training step by hand, without Keras: what PyTorch and JAX themselves allow.

`logits` is the network, written once, with the names of `resnet_v2`; `TorchOperations` and `JaxOperations` are
what it is made of. `TorchStep` and `JaxStep` train it on images that lie on the device, resized and flipped there.
"""

from fer_lib.models.resnet_v2 import STAGE_STRIDES
from fer_lib.variants import STAGE_BLOCKS, Variant

EPSILON = 1.001e-5


def logits(do, images, parameters, variant):
    """Return the logits (batch, classes) of images in [0, 1], in the layout of the operations `do`.

    Raises:
        ValueError: Another block than the paper's own: embedded Gaussian, after every bottleneck, as published.
    """
    known = Variant.from_name(variant)
    if known != Variant(known.depth, known.stages):
        raise ValueError(f"Only the paper's own block is written by hand. Received: {variant}")
    x = do.conv(images, "conv1_conv", 2)
    if parameters.stem == "imagenet":
        x = do.stem_pool(x)
    for stage, count in enumerate(STAGE_BLOCKS[known.depth], start=1):
        for index in range(1, count + 1):
            block = f"conv{stage + 1}_block{index}"
            stride = STAGE_STRIDES[stage - 1] if index == count else 1
            preact = do.relu(do.norm(x, f"{block}_preact_bn"))
            shortcut = do.conv(preact, f"{block}_0_conv", stride) if index == 1 else do.every(x, stride)
            y = do.relu(do.norm(do.conv(preact, f"{block}_1_conv"), f"{block}_1_bn"))
            y = do.relu(do.norm(do.conv(y, f"{block}_2_conv", stride), f"{block}_2_bn"))
            x = shortcut + do.conv(y, f"{block}_3_conv")
            if stage in known.stages:
                name = f"{block}_non_local"
                theta, phi, g = (do.conv(x, f"{name}/{part}") for part in ("theta", "phi", "g"))
                x = x + do.norm(do.conv(do.attend(theta, phi, g), f"{name}/w_z"), f"{name}/normalization")
    x = do.over_map(do.relu(do.norm(x, "post_bn")), parameters.pooling)
    return do.dense(do.dropout(x, parameters.dropout), "predictions")


def weights_of(classifier):
    """Return the weights of a Keras classifier by path, NumPy; each 1 x 1 kernel as (1, 1, in, out)."""
    import keras

    weights = {weight.path: keras.ops.convert_to_numpy(weight) for weight in classifier.weights}
    return {
        path: value[None, None] if "non_local" in path and value.ndim == 2 else value
        for path, value in weights.items()
        if "seed" not in path
    }


class TorchOperations:
    """Operations on (batch, channels, height, width), channels last in memory, with `weights_of` a classifier."""

    def __init__(self, weights, training=True, momentum=0.99, device="cpu"):
        import torch
        from torch.nn import functional

        self.torch, self.functional, self.training, self.momentum = torch, functional, training, momentum
        self.relu, self.pool = torch.relu, lambda x: functional.max_pool2d(x, 2)
        self.weights = {}
        for path, value in weights.items():
            tensor = torch.tensor(value, device=device)
            if tensor.ndim == 4:  # (height, width, in, out) -> (out, in, height, width)
                tensor = tensor.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
            self.weights[path] = tensor.requires_grad_("moving" not in path)

    def conv(self, x, name, stride=1):
        kernel, bias = self.weights[f"{name}/kernel"], self.weights.get(f"{name}/bias")
        return self.functional.conv2d(x, kernel, bias, stride, kernel.shape[-1] // 2)

    def norm(self, x, name):
        names = ("moving_mean", "moving_variance", "gamma", "beta")
        mean, variance, gamma, beta = (self.weights[f"{name}/{part}"] for part in names)
        # Keras's momentum is the share of the old average, PyTorch's that of the new value.
        momentum = 1 - self.momentum
        return self.functional.batch_norm(x, mean, variance, gamma, beta, self.training, momentum, EPSILON)

    def stem_pool(self, x):
        # Zeros around the map, as in Keras; a padding of the pooling's own would be of minus infinity.
        return self.functional.max_pool2d(self.functional.pad(x, (1, 1, 1, 1)), 3, 2)

    def every(self, x, stride):
        return x[:, :, ::stride, ::stride]

    def attend(self, theta, phi, g):
        # (batch, D, h, w) -> (batch, 1 head, positions, D)
        heads = (part.flatten(2).transpose(1, 2)[:, None] for part in (theta, phi, g))
        y = self.functional.scaled_dot_product_attention(*heads, scale=1.0)
        return y[:, 0].transpose(1, 2).reshape(theta.shape)

    def over_map(self, x, pooling):
        return x.amax((2, 3)) if pooling == "max" else x.mean((2, 3))

    def dropout(self, x, rate):
        return self.functional.dropout(x, rate, self.training)

    def dense(self, x, name):
        kernel = self.weights[f"{name}/kernel"]
        return x.to(kernel.dtype) @ kernel + self.weights[f"{name}/bias"]


class Step:
    """Training by SGD with Nesterov momentum, from a Keras classifier's weights.

    `variant`: see `logits`; `images`: uint8, (n, height, width, channels); `labels`: int64, (n,).
    """

    def __init__(self, classifier, parameters, variant, images, labels):
        self.parameters, self.variant = parameters, variant
        self.mixed = parameters.precision == "mixed_bfloat16"
        self.prepare(weights_of(classifier), images, labels)

    def train(self, rows, flips):
        """Train on rows, int32 (n,), flipped where `flips` (n,) is 1; return when the device is done."""
        for start in range(0, len(rows), self.parameters.batch_size):
            batch = slice(start, start + self.parameters.batch_size)
            self.step(rows[batch], flips[batch])
        self.wait()


class TorchStep(Step):
    """On a GPU through `torch.compile`, products in TensorFloat-32 as the others have it."""

    def prepare(self, weights, images, labels):
        import torch

        self.torch, self.device = torch, "cuda" if torch.cuda.is_available() else "cpu"
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        self.do = TorchOperations(weights, True, self.parameters.norm_momentum, self.device)
        self.images = torch.as_tensor(images.transpose(0, 3, 1, 2).copy(), device=self.device)
        self.labels = torch.as_tensor(labels, device=self.device)
        trainable = [tensor for tensor in self.do.weights.values() if tensor.requires_grad]
        settings = {"momentum": self.parameters.momentum, "nesterov": True, "fused": self.device == "cuda"}
        self.optimizer = torch.optim.SGD(trainable, self.parameters.learning_rate, **settings)
        self.loss = torch.compile(self._loss) if self.device == "cuda" else self._loss

    def step(self, rows, flips):
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(*(self.torch.as_tensor(part, device=self.device) for part in (rows, flips))).backward()
        self.optimizer.step()

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def _loss(self, rows, flips):
        functional, size = self.do.functional, self.parameters.image_size
        images = functional.interpolate(self.images[rows] / 255, (size, size), mode="bilinear")
        images = self.torch.where(flips[:, None, None, None] > 0.5, images.flip(3), images)
        images = images.contiguous(memory_format=self.torch.channels_last)
        with self.torch.autocast(self.device, dtype=self.torch.bfloat16, enabled=self.mixed):
            outputs = logits(self.do, images, self.parameters, self.variant)
        return functional.cross_entropy(outputs.float(), self.labels[rows])


class JaxOperations:
    """Operations of the baseline on (batch, height, width, channels); `moved` gets the new moving statistics."""

    def __init__(self, weights, momentum=0.99):
        import jax

        self.jax, self.weights, self.momentum, self.moved = jax, weights, momentum, {}
        self.relu = jax.nn.relu

    def conv(self, x, name, stride=1):
        kernel = self.weights[f"{name}/kernel"].astype(x.dtype)
        pads, layout = [(kernel.shape[0] // 2,) * 2] * 2, ("NHWC", "HWIO", "NHWC")
        x = self.jax.lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=layout)
        bias = self.weights.get(f"{name}/bias")
        return x if bias is None else x + bias.astype(x.dtype)

    def norm(self, x, name):
        mean, variance = (of(x.astype("float32"), (0, 1, 2)) for of in (self.jax.numpy.mean, self.jax.numpy.var))
        for part, value in (("moving_mean", mean), ("moving_variance", variance)):
            path = f"{name}/{part}"
            self.moved[path] = self.momentum * self.weights[path] + (1 - self.momentum) * value
        scale = self.weights[f"{name}/gamma"] * self.jax.lax.rsqrt(variance + EPSILON)
        return (x * scale + (self.weights[f"{name}/beta"] - mean * scale)).astype(x.dtype)

    def stem_pool(self, x):
        padded = self.jax.numpy.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = ((1, 3, 3, 1), (1, 2, 2, 1), "VALID")
        return self.jax.lax.reduce_window(padded, -self.jax.numpy.inf, self.jax.lax.max, *windows)

    def every(self, x, stride):
        return x[:, ::stride, ::stride]

    def over_map(self, x, pooling):
        return x.max((1, 2)) if pooling == "max" else x.mean((1, 2))

    def dropout(self, x, rate):
        return x  # of one vector per image: no time to speak of

    def dense(self, x, name):
        return x.astype("float32") @ self.weights[f"{name}/kernel"] + self.weights[f"{name}/bias"]


class JaxStep(Step):
    """Compiled, the weights updated in place."""

    def prepare(self, weights, images, labels):
        import jax

        self.jax, self.weights = jax, jax.tree.map(jax.numpy.asarray, weights)
        self.velocity = jax.tree.map(jax.numpy.zeros_like, self.weights)
        self.images, self.labels = jax.numpy.asarray(images), jax.numpy.asarray(labels)
        self.compiled = jax.jit(self._step, donate_argnums=(0, 1))

    def step(self, rows, flips):
        self.weights, self.velocity = self.compiled(self.weights, self.velocity, rows, flips)

    def wait(self):
        self.jax.block_until_ready(self.weights)

    def _step(self, weights, velocity, rows, flips):
        images, size = self.images[rows] / 255, self.parameters.image_size
        images = self.jax.numpy.where(flips[:, None, None, None] > 0.5, images[:, :, ::-1], images)
        images = self.jax.image.resize(images, (len(rows), size, size, images.shape[3]), "linear")
        images = images.astype("bfloat16" if self.mixed else "float32")

        def loss(weights):
            do = JaxOperations(weights, self.parameters.norm_momentum)
            logarithms = self.jax.nn.log_softmax(logits(do, images, self.parameters, self.variant))
            return -self.jax.numpy.take_along_axis(logarithms, self.labels[rows][:, None], 1).mean(), do.moved

        gradients, moved = self.jax.grad(loss, has_aux=True)(weights)
        rate, momentum = self.parameters.learning_rate, self.parameters.momentum
        for path, gradient in gradients.items():
            velocity[path] = momentum * velocity[path] - rate * gradient
            weights[path] = weights[path] + momentum * velocity[path] - rate * gradient
        return weights | moved, velocity
