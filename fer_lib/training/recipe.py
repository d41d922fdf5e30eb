"""How a network is trained: which network a variant is, loss, metrics, optimizer and schedule."""

import dataclasses
import zlib
from typing import Any

import keras
import numpy as np
from keras import ops

from fer_lib.models import resnet_v2
from fer_lib.parameters import Parameters
from fer_lib.training.batches import with_images
from fer_lib.variants import Variant


class CrossEntropy(keras.losses.CategoricalCrossentropy):
    """Cross-entropy with smoothed labels, of classes as integers, (batch,): one-hot in the compiled step alone."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return super().call(_one_hot(y_true, y_pred), y_pred)


class BinaryAccuracy(keras.metrics.BinaryAccuracy):
    """Keras' `BinaryAccuracy` over the one-hot outputs, from classes as integers, (batch,)."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(_one_hot(y_true, y_pred), y_pred, sample_weight)


def _one_hot(y_true: Any, y_pred: Any) -> Any:
    return ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)


def fix_keras_settings() -> None:
    """Set what `~/.keras/keras.json` may set otherwise and a run's numbers depend on."""
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


def build_classifier(parameters: Parameters, variant: str, seed: int, classes: int = 7) -> keras.Model:
    """Return the network of a variant with fresh weights: images in [0, 1] -> (batch, classes) probabilities.

    `seed` fixes initial weights, those of the backbone whatever blocks it has, and dropout.
    """
    fix_keras_settings()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(parameters.precision)
    try:
        network = Variant.from_name(variant)
        shape = (parameters.image_size, parameters.image_size, parameters.channels)
        own = parameters.model_dump(include={"width", "stem", "pooling", "dropout", "norm_momentum"})
        blocks = dataclasses.asdict(network)
        stages = blocks.pop("stages")
        classifier = resnet_v2(
            input_shape=shape, classes=classes, name=network.name, non_local_stages=stages, **blocks, **own
        )
        for layer in classifier.layers:
            if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
                # By (seed, name): each backbone kernel is the same whatever blocks stand before it.
                initializer = keras.initializers.GlorotUniform(zlib.crc32(f"{seed} {layer.name}".encode()))
                layer.kernel.assign(initializer(layer.kernel.shape))
        return classifier
    finally:
        keras.config.set_dtype_policy("float32")


def build_trainer(
    parameters: Parameters, classifier: keras.Model, images: np.ndarray, steps_per_epoch: int
) -> keras.Model:
    """Return the classifier with its images on the device, compiled.

    `images`: uint8, (n, height, width, channels), every image of the study; `steps_per_epoch`: for the schedule.
    """
    fix_keras_settings()
    trainer = with_images(classifier, images, parameters.image_size)
    trainer.compile(
        optimizer=_optimizer(parameters, steps_per_epoch),
        loss=CrossEntropy(label_smoothing=parameters.label_smoothing),
        # Reported is that of the most probable class; beside it, over one-hot outputs, the paper's likely metric.
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy"), BinaryAccuracy("binary_accuracy")],
        jit_compile=jit_setting(parameters.jit_compile),
        # Keras refuses several steps a call on PyTorch; one at a time gives the same numbers.
        steps_per_execution=1 if keras.config.backend() == "torch" else parameters.steps_per_execution,
    )
    return trainer


def jit_setting(jit_compile: bool) -> bool:
    """Return `jit_compile` for `keras.Model.compile`: always `True` on JAX, which Keras else runs op by op."""
    return keras.config.backend() == "jax" or jit_compile


def _optimizer(parameters, steps_per_epoch):
    rate, decay = parameters.learning_rate, parameters.weight_decay or None
    if parameters.schedule == "cosine":
        warmup = round(parameters.warmup_epochs * steps_per_epoch)
        rise = {"warmup_target": rate, "warmup_steps": warmup} if warmup else {}
        steps = parameters.epochs * steps_per_epoch - warmup
        rate = keras.optimizers.schedules.CosineDecay(0.0 if warmup else rate, steps, **rise)
    if parameters.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, parameters.momentum, nesterov=True, weight_decay=decay)
    else:
        optimizer = keras.optimizers.Adam(rate, weight_decay=decay)
    if decay:
        # Decay is for the kernels: it would pull the normalisations' scales, and the blocks' gammas, to nothing.
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer
