"""The cost of a network: parameters, MACs (multiply-accumulates) and bytes counted by layer, times measured."""

import math
import re
import timeit
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers

from fer_lib.environment import leave_out_messages
from fer_lib.models import NonLocal2D, resnet_v2
from fer_lib.training.recipe import jit_setting

leave_out_messages()

FLOAT_BYTES = 4
STAGES = (1, 2, 3, 4)
COSTS = ("trainable_parameters", "parameters", "macs", "attention_macs", "activation_bytes", "attention_bytes")
# What the backward pass of each layer that can be counted reads.
_READS = {
    layers.Conv2D: "input", layers.Dense: "input", layers.BatchNormalization: "input", NonLocal2D: "input",
    layers.Activation: "output", layers.Dropout: "output", layers.MaxPooling2D: "input, output",
    layers.GlobalMaxPooling2D: "input, output", layers.GlobalAveragePooling2D: "", layers.Add: "",
    layers.ZeroPadding2D: "", layers.InputLayer: "",
}  # fmt: skip


def count_costs(model: keras.Model) -> pd.DataFrame:
    """Count the costs of one image, layer by layer.

    `model` is a built functional `keras.Model` of the layers that `resnet_v2` uses; ValueError for another type of
    layer, or an input size that is not fixed. One row a layer, in order: layer (name), type, stage (see
    `stage_of`), output_shape (without the batch), trainable_parameters, parameters (with moving averages), and

    - macs: of inference: convolutions, dense layers and the block's projections and products as `NonLocal2D`
      computes them, one an element for a normalisation; nothing for biases, sums, maxima, exponentials.
    - attention_macs: those of them between positions, theta . phi and attention . g.
    - activation_bytes: float32 numbers that training keeps from the forward pass for the backward pass. A tensor
      counts once, at the layer that makes it, if that layer or one that follows reads it; inside a block, what its
      products, pooling and normalisation read.
    - attention_bytes: the attention as a map, N x M float32 numbers; 0 for the controls. The dot product in its
      cheaper order does not make the map: its activation_bytes exclude it.
    """
    kept, rows = _kept_tensors(model), []
    for layer in model.layers:
        shape = _shape(layer)
        row = {"layer": layer.name, "type": type(layer).__name__, "stage": stage_of(layer.name)}
        costs = _non_local_costs(layer) if isinstance(layer, NonLocal2D) else (_macs(layer, shape), 0, 0, 0)
        trainable = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
        costs = dict(zip(COSTS, (trainable, layer.count_params(), *costs), strict=True))
        rows.append(row | {"output_shape": shape} | costs)
        if id(_tensor(layer)) in kept:
            rows[-1]["activation_bytes"] += math.prod(shape) * FLOAT_BYTES
    # Stages are numbers and a word: without `object`, pandas would refuse one of them.
    return pd.DataFrame(rows).astype({"stage": object})


def cost_by_stage(depth: int = 50, input_shape: tuple = (96, 96, 1), **arguments: Any) -> pd.DataFrame:
    """Return what blocks at each single stage add to the baseline, without any training.

    Arguments as for `resnet_v2`. Five rows, index `variant` (`"baseline"`, `"stage 1"` .. `"stage 4"`): `blocks`,
    the columns of `COSTS` for the whole network, and `added_*` for each, the difference from the baseline.
    """
    # One network with blocks at all stages: a block changes nothing of what is counted at other layers.
    table = count_costs(resnet_v2(depth, input_shape, non_local_stages=STAGES, **arguments))
    is_block = table["type"] == NonLocal2D.__name__
    baseline = table.loc[~is_block, list(COSTS)].sum()
    rows = [{"variant": "baseline", "blocks": 0, **baseline}]
    for stage in STAGES:
        own = table[is_block & (table["stage"] == stage)]
        rows.append({"variant": f"stage {stage}", "blocks": len(own), **(baseline + own[list(COSTS)].sum())})
    table = pd.DataFrame(rows).set_index("variant")
    return table.join((table[list(COSTS)] - baseline).add_prefix("added_"))


def measure(
    models: dict[str, keras.Model],
    batch_size: int = 64,
    rounds: int = 3,
    repeats: int = 5,
    jit_compile: bool = False,
) -> pd.DataFrame:
    """Time inference and training on random images; the models themselves stay as they are.

    `models` is a dict of a name to a classifier with a fixed input size. They alternate over `rounds` turns, so
    that a slow moment of the machine affects all of them; a turn times `repeats` steps of each kind. `jit_compile`
    is always on with JAX. Columns: round (from 1), variant, inference_seconds, training_seconds (medians).
    """
    steps = {name: _steps(model, batch_size, jit_compile) for name, model in models.items()}
    for step in (step for pair in steps.values() for step in pair):
        step()
    rows = []
    for turn in range(1, rounds + 1):
        for name, pair in steps.items():
            medians = (np.median(timeit.repeat(step, number=1, repeat=repeats)) for step in pair)
            rows.append((turn, name, *medians))
    return pd.DataFrame(rows, columns=["round", "variant", "inference_seconds", "training_seconds"])


def _steps(model, batch_size, jit_compile):
    """Return one step of inference and one of training, of a copy of the model, to be called."""
    rng = np.random.default_rng(0)
    images = rng.random((batch_size, *model.input_shape[1:]), dtype="float32")
    classes = model.output_shape[-1]
    y_true = np.eye(classes, dtype="float32")[rng.integers(classes, size=batch_size)]
    timed = keras.models.clone_model(model)
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    timed.compile(optimizer, "categorical_crossentropy", jit_compile=jit_setting(jit_compile))
    return lambda: timed.predict_on_batch(images), lambda: timed.train_on_batch(images, y_true)


def stage_of(name: str) -> int | str:
    """Return the stage of a layer by its name: 3 of `conv4_block6_out`, 0 of the stem, `"head"` of all else."""
    found = re.match(r"(?:conv|pool)([1-5])_", name)
    return int(found[1]) - 1 if found else 0 if name == "images" else "head"


def _macs(layer, shape):
    if isinstance(layer, (layers.Conv2D, layers.Dense)):
        # Each number of the output is a product with one column of the kernel, ([height, width,] in, out).
        return math.prod(shape) * math.prod(layer.kernel.shape[:-1])
    return math.prod(shape) if isinstance(layer, layers.BatchNormalization) else 0


def _non_local_costs(layer):
    """Return macs, attention_macs, activation_bytes without z, and attention_bytes of one block."""
    shape = _shape(layer)
    height, width, channels = (*shape[1:], shape[0]) if layer.data_format == "channels_first" else shape
    queries = height * width  # N
    keys = (height // 2) * (width // 2) if layer.subsample else queries  # M
    inner = layer.g.units  # D
    projected = 3 if layer.compares_embeddings else 1  # g alone, or theta, phi and g
    compared = channels if projected == 1 else inner  # width of theta and phi
    products, between = _products(layer.pairwise, queries, keys, compared, inner)
    macs = products + projected * queries * channels * inner
    macs += queries * inner * channels + queries * channels  # w_z and its normalisation
    if layer.normalize_input:
        macs += queries * channels
    numbers = projected * queries * inner + layer.normalize_input * queries * channels  # x is another layer's
    numbers += keys * (compared + inner) if layer.subsample else 0  # pooled phi (or x) and g
    numbers += between + queries * inner + queries * channels  # attention, y, w_z's output
    attention_bytes = 0 if layer.pairwise in ("identity", "uniform") else queries * keys * FLOAT_BYTES
    return macs, products, numbers * FLOAT_BYTES, attention_bytes


def _products(pairwise, queries, keys, compared, inner):
    """Return (MACs of the two products as the layer computes them, numbers kept between them)."""
    attention = queries * keys
    if pairwise == "uniform":
        return keys * inner, 0  # the mean of g
    if pairwise == "identity":
        return 2 * queries * inner, queries
    if pairwise == "concatenation":
        return (queries + keys) * inner + attention * inner, attention
    if pairwise == "dot_product":
        # The layer takes the cheaper order: by the map N x M, or by phi^T g, D x D.
        by_channels = (queries + keys) * inner * inner
        by_positions = 2 * attention * inner
        return (by_channels, inner * inner) if by_channels < by_positions else (by_positions, attention)
    return attention * (compared + inner), attention


def _kept_tensors(model):
    """Return the ids of the symbolic tensors that some backward pass reads."""
    kept = set()
    for layer in model.layers:
        reads = next((_READS[kind] for kind in type(layer).__mro__ if kind in _READS), None)
        if reads is None:
            kind = type(layer).__name__
            raise ValueError(f"`count` does not know layers of type {kind}. Received: {layer.name!r}")
        if "input" in reads:
            kept.update(id(tensor) for tensor in keras.tree.flatten(layer.input))
        # A dense layer's own activation, the softmax, reads its output too.
        softmax = isinstance(layer, layers.Dense) and layer.activation is not keras.activations.linear
        if "output" in reads or softmax:
            kept.add(id(_tensor(layer)))
    return kept


def _tensor(layer):
    """Return the layer's output; of a block that also returns its attention, the first."""
    return keras.tree.flatten(layer.output)[0]


def _shape(layer):
    shape = tuple(_tensor(layer).shape[1:])
    if None in shape:
        raise ValueError(f"`count` needs a fixed input size. Received: layer {layer.name!r} of shape {shape}")
    return shape
