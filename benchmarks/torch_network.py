"""The networks of the paper's study as PyTorch users write them: native layers, nothing of Keras in the step."""

import keras
import torch
from torch import nn
from torch.nn import functional

from fer_lib.variants import STAGE_BLOCKS, Variant

CLASSES = 7
STAGE_FILTERS = (64, 128, 256, 512)
STAGE_STRIDES = (2, 2, 2, 1)


class TorchResNetV2(nn.Module):
    """`resnet_v2` again: (batch, channels, size, size) in [0, 1] -> logits (batch, 7).

    Args:
        parameters: `Parameters`; width, stem, pooling, dropout, subsample and channels are used.
        variant: name of a plain network, or of one with embedded Gaussian blocks after every bottleneck.

    Raises:
        ValueError: another pairwise function or placement.
    """

    def __init__(self, parameters, variant):
        super().__init__()
        described = Variant.from_name(variant)
        if (described.pairwise, described.placement) != ("embedded_gaussian", "every"):
            raise ValueError(f"Only the paper's own block is written in PyTorch. Received: {variant}")
        self.pooling = parameters.pooling
        channels = round(64 * parameters.width)
        self.stem = _stem(parameters.channels, channels, parameters.stem)
        stages = []
        for stage, count in enumerate(STAGE_BLOCKS[described.depth], start=1):
            filters = round(STAGE_FILTERS[stage - 1] * parameters.width)
            blocks = []
            for index in range(1, count + 1):
                stride = STAGE_STRIDES[stage - 1] if index == count else 1
                blocks.append(Bottleneck(channels, filters, stride, project=index == 1))
                channels = 4 * filters
                if stage in described.stages:
                    blocks.append(NonLocal(channels, parameters.subsample))
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.post_bn = _normalisation(channels)
        self.dropout = nn.Dropout(parameters.dropout)
        self.predictions = nn.Linear(channels, CLASSES)

    def forward(self, images):
        x = functional.relu(self.post_bn(self.stages(self.stem(images))))
        x = x.amax((2, 3)) if self.pooling == "max" else x.mean((2, 3))
        return self.predictions(self.dropout(x))


class Bottleneck(nn.Module):
    """Pre-activation bottleneck: (batch, c, h, w) -> (batch, 4 * filters, h / stride, w / stride)."""

    def __init__(self, channels, filters, stride, project):
        super().__init__()
        self.stride = stride
        self.preact_bn = _normalisation(channels)
        self.projection = nn.Conv2d(channels, 4 * filters, 1, stride) if project else None
        self.conv1 = nn.Conv2d(channels, filters, 1, bias=False)
        self.bn1 = _normalisation(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, stride, padding=1, bias=False)
        self.bn2 = _normalisation(filters)
        self.conv3 = nn.Conv2d(filters, 4 * filters, 1)

    def forward(self, x):
        preact = functional.relu(self.preact_bn(x))
        shortcut = x[:, :, :: self.stride, :: self.stride] if self.projection is None else self.projection(preact)
        x = functional.relu(self.bn1(self.conv1(preact)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return shortcut + self.conv3(x)


class NonLocal(nn.Module):
    """The embedded Gaussian block through PyTorch's fused attention, one head, unscaled."""

    def __init__(self, channels, subsample):
        super().__init__()
        inner = channels // 2
        self.subsample = subsample
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.w_z = nn.Conv2d(inner, channels, 1, bias=False)
        self.normalization = _normalisation(channels)
        nn.init.zeros_(self.normalization.weight)

    def forward(self, x):
        batch, _, height, width = x.shape
        theta, phi, g = self.theta(x), self.phi(x), self.g(x)
        if self.subsample:
            phi, g = functional.max_pool2d(phi, 2), functional.max_pool2d(g, 2)
        # (batch, D, h, w) -> (batch, 1 head, positions, D)
        theta, phi, g = (part.flatten(2).transpose(1, 2)[:, None] for part in (theta, phi, g))
        y = functional.scaled_dot_product_attention(theta, phi, g, scale=1.0)
        y = y[:, 0].transpose(1, 2).reshape(batch, -1, height, width)
        return x + self.normalization(self.w_z(y))


class TorchLoop:
    """Training of a `TorchResNetV2` on the device, its faces there too: what the project's own step does.

    Args:
        parameters: `Parameters`.
        variant: name, see `TorchResNetV2`.
        images: uint8, (n, height, width, channels).
        labels: int64, (n,).
        compiled: whether by `torch.compile`.
    """

    def __init__(self, parameters, variant, images, labels, compiled):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        # Products in TensorFloat-32, as TensorFlow and JAX make them on a GPU unasked.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        self.parameters = parameters
        network = TorchResNetV2(parameters, variant)
        self.network = network.to(self.device, memory_format=torch.channels_last).train()
        self.images = torch.as_tensor(images.transpose(0, 3, 1, 2).copy(), device=self.device)
        self.labels = torch.as_tensor(labels, device=self.device)
        self.optimizer = self._optimizer()
        self.loss = torch.compile(self._loss) if compiled else self._loss

    def train(self, order, transforms):
        """One pass over the faces of `order`; returns when the device is done.

        Args:
            order: int32, (n,), rows of `images`.
            transforms: float32, (n, 3), see `fer_lib.training.batches.draw_transforms`.
        """
        order, transforms = (torch.as_tensor(part, device=self.device) for part in (order, transforms))
        for rows, moved in zip(
            order.split(self.parameters.batch_size), transforms.split(self.parameters.batch_size), strict=True
        ):
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(rows, moved).backward()
            self.optimizer.step()
        if self.device == "cuda":
            torch.cuda.synchronize()

    def _loss(self, rows, transforms):
        faces = moved_faces(self.images[rows], transforms, self.parameters.image_size)
        faces = faces.contiguous(memory_format=torch.channels_last)
        mixed = self.parameters.precision == "mixed_bfloat16"
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=mixed):
            logits = self.network(faces)
        return functional.cross_entropy(
            logits.float(), self.labels[rows], label_smoothing=self.parameters.label_smoothing
        )

    def _optimizer(self):
        settings = {"lr": self.parameters.learning_rate, "fused": self.device == "cuda"}
        if self.parameters.optimizer == "sgd":
            momentum = self.parameters.momentum
            return torch.optim.SGD(self.network.parameters(), momentum=momentum, nesterov=True, **settings)
        return torch.optim.Adam(self.network.parameters(), **settings)


def moved_faces(faces, transforms, size):
    """Faces, uint8, resized, shifted, flipped and scaled in one bilinear sampling.

    Args:
        faces: uint8, (batch, channels, height, width).
        transforms: float32, (batch, 3), see `fer_lib.training.batches.draw_transforms`.
        size: side in pixels.

    Returns:
        float32, (batch, channels, size, size), in [0, 1].
    """
    down, right, flip = transforms.unbind(1)
    # Coordinates run from -1 to 1: a shift by the whole side is 2. The picture is shifted first, then mirrored.
    affine = torch.zeros(len(faces), 2, 3, device=faces.device)
    affine[:, 0, 0] = 1 - 2 * flip
    affine[:, 1, 1] = 1
    affine[:, 0, 2] = 2 * right
    affine[:, 1, 2] = 2 * down
    grid = functional.affine_grid(affine, (*faces.shape[:2], size, size), align_corners=False)
    return functional.grid_sample(faces.float() / 255, grid, padding_mode="border", align_corners=False)


def copy_weights(classifier, network):
    """Gives a `TorchResNetV2` the weights of the Keras classifier of the same variant."""
    for layer in classifier.layers:
        if layer.weights:
            _copy(layer, _counterpart(layer.name, network))


def _stem(channels, filters, stem):
    if stem == "small":
        return nn.Conv2d(channels, filters, 3, 2, padding=1)
    # Zeros around the map, as in Keras; a padding of the pooling's own would be of minus infinity.
    return nn.Sequential(nn.Conv2d(channels, filters, 7, 2, padding=3), nn.ZeroPad2d(1), nn.MaxPool2d(3, 2))


def _normalisation(channels):
    # Keras's momentum 0.99 is the share of the old average, PyTorch's 0.01 that of the new value.
    return nn.BatchNorm2d(channels, eps=1.001e-5, momentum=0.01)


def _counterpart(name, network):
    """The module that a Keras layer of the network's corresponds to."""
    if name == "conv1_conv":
        return network.stem[0] if isinstance(network.stem, nn.Sequential) else network.stem
    if name in ("post_bn", "predictions"):
        return getattr(network, name)
    stage, index, part = name.removeprefix("conv").replace("_block", "_").split("_", 2)
    blocks = [block for block in network.stages[int(stage) - 2] if isinstance(block, Bottleneck)]
    if part == "non_local":
        others = [block for block in network.stages[int(stage) - 2] if isinstance(block, NonLocal)]
        return others[int(index) - 1]
    modules = {"0_conv": "projection", "1_conv": "conv1", "2_conv": "conv2", "3_conv": "conv3"}
    modules |= {"preact_bn": "preact_bn", "1_bn": "bn1", "2_bn": "bn2"}
    return getattr(blocks[int(index) - 1], modules[part])


@torch.no_grad()
def _copy(layer, module):
    if isinstance(module, NonLocal):
        for part in ("theta", "phi", "g", "w_z", "normalization"):
            _copy(getattr(layer, part), getattr(module, part))
        return
    names = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}
    names |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    for weight in layer.weights:
        name, value = weight.name, torch.as_tensor(keras.ops.convert_to_numpy(weight))
        target = getattr(module, names[name])
        if name == "kernel" and target.ndim == 4:
            # (height, width, in, out), or (in, out) of a dense layer -> (out, in, height, width)
            value = value.reshape(*target.shape[2:], *value.shape[-2:]).permute(3, 2, 0, 1)
        elif name == "kernel":
            value = value.T
        target.copy_(value)
