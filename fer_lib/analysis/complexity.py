"""The cost of a network: parameters, MACs (multiply-accumulates) and bytes counted by layer, times measured."""

import itertools
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
    """Count the costs of one image, layer by layer: one row per layer, in order.

    `model` is a built functional `keras.Model` of the layers that `resnet_v2` uses; ValueError for another type of
    layer, or an input size that is not fixed. Columns: layer (name), type, stage (see `stage_of`), output_shape
    (without the batch), trainable_parameters, parameters (with moving averages), and

    - macs: of inference: convolutions, dense layers and the block's projections and products as `NonLocal2D`
      computes them, one per element for a normalisation; nothing for biases, sums, maxima, exponentials.
    - attention_macs: those of them between positions, theta . phi and attention . g.
    - activation_bytes: float32 numbers that training keeps for the backward pass. A tensor counts once, at the
      layer that makes it, if a layer reads it; inside a block, what its products, pooling and normalisation read.
    - attention_bytes: the attention as a map, N x M float32 numbers; 0 for the controls. The dot product in its
      cheaper order does not make the map: its activation_bytes exclude it.
    """
    kept, rows = _kept_tensors(model), []
    for layer in model.layers:
        tensor = _tensor(layer)
        shape = tuple(tensor.shape[1:])
        if None in shape:
            raise ValueError(f"`count_costs` needs a fixed input size. Received: {layer.name!r} of shape {shape}")
        costs = _non_local_costs(layer, shape) if isinstance(layer, NonLocal2D) else (_macs(layer, shape), 0, 0, 0)
        macs, between, numbers, positions = costs
        numbers += math.prod(shape) if id(tensor) in kept else 0
        trainable = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
        row = [layer.name, type(layer).__name__, stage_of(layer.name), shape, trainable, layer.count_params()]
        rows.append([*row, macs, between, FLOAT_BYTES * numbers, FLOAT_BYTES * positions])
    # Stages are numbers and a word: without `object`, pandas would refuse one of them.
    table = pd.DataFrame(rows, columns=["layer", "type", "stage", "output_shape", *COSTS])
    return table.astype({"stage": object})


def cost_by_stage(depth: int = 50, input_shape: tuple = (96, 96, 1), **arguments: Any) -> pd.DataFrame:
    """Return what blocks at each single stage add to the baseline, without any training.

    Arguments as for `resnet_v2`. Five rows, index `variant` (`"baseline"`, `"stage 1"` .. `"stage 4"`): `blocks`,
    the columns of `COSTS` for the whole network, and `added_*` for each, the difference from the baseline.
    """
    # One network with blocks at all stages: a block changes nothing of what is counted at other layers.
    table = count_costs(resnet_v2(depth, input_shape, non_local_stages=STAGES, **arguments))
    is_block = table["type"] == NonLocal2D.__name__
    blocks = table[is_block].groupby("stage")[list(COSTS)]
    names = pd.Index(["baseline", *(f"stage {stage}" for stage in STAGES)], name="variant")
    added = blocks.sum().reindex([0, *STAGES], fill_value=0).set_index(names)
    whole = added + table.loc[~is_block, list(COSTS)].sum()
    counts = blocks.size().reindex([0, *STAGES], fill_value=0).to_numpy()
    return whole.assign(blocks=counts)[["blocks", *COSTS]].join(added.add_prefix("added_"))


def measure(
    models: dict[str, keras.Model], batch_size: int = 64, rounds: int = 3, jit_compile: bool = False
) -> pd.DataFrame:
    """Time a step of inference and one of training on random images; the models themselves stay as they are.

    `models` is a dict of a name to a classifier with a fixed input size. They alternate over `rounds`, so that a
    slow moment of the machine affects all of them. `jit_compile` is always on with JAX. Columns: round (from 1),
    variant, inference_seconds, training_seconds.
    """
    steps, rows = {name: _steps(model, batch_size, jit_compile) for name, model in models.items()}, []
    for turn, (name, pair) in itertools.product(range(rounds + 1), steps.items()):
        rows.append((turn, name, *(timeit.timeit(step, number=1) for step in pair)))
    columns = ["round", "variant", "inference_seconds", "training_seconds"]
    return pd.DataFrame(rows[len(steps) :], columns=columns)  # without the first round, which compiles


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


def _non_local_costs(layer, shape):
    """Return macs, attention_macs, numbers kept but for z, and weights of the attention of one block."""
    _, (_, queries, keys) = layer.compute_output_shape(layer.input.shape, return_attention=True)  # N, M
    inner, channels = layer.g.units, math.prod(shape) // queries  # D, C
    sources = keys if layer.subsample == "input" else queries  # of phi and g
    projected = queries + 2 * sources if layer.compares_embeddings else sources
    # Width of theta and phi; the uniform control has neither.
    compared = inner if layer.compares_embeddings else channels * (layer.pairwise == "gaussian")
    products, between = _products(layer.pairwise, queries, keys, compared, inner)
    macs = products + projected * channels * inner
    macs += queries * inner * channels + queries * channels * (1 + layer.normalize_input)  # w_z, normalisations
    pooled = {None: 0, "keys": compared + inner, "input": channels}[layer.subsample]  # phi (or x) and g; x
    numbers = projected * inner + layer.normalize_input * queries * channels  # x is another layer's
    numbers += keys * pooled + between + queries * inner + queries * channels  # attention, y, w_z's output
    return macs, products, numbers, 0 if layer.pairwise in ("identity", "uniform") else queries * keys


def _products(pairwise, queries, keys, compared, inner):
    """Return (MACs of the two products as the layer computes them, numbers kept between them)."""
    attention = queries * keys
    if pairwise == "uniform":
        return keys * inner, 0  # the mean of g
    if pairwise == "identity":
        return 2 * queries * inner, queries
    if pairwise == "concatenation":
        return (queries + keys) * inner + attention * inner, attention
    by_positions = attention * (compared + inner), attention
    if pairwise == "dot_product":  # the layer takes the cheaper order, by the map or by phi^T g
        by_channels = (queries + keys) * inner * inner, inner * inner
        return min(by_positions, by_channels, key=lambda order: order[0])
    return by_positions


def _kept_tensors(model):
    """Return the ids of the symbolic tensors that some backward pass reads."""
    kept = set()
    for layer in model.layers:
        reads = next((_READS[kind] for kind in type(layer).__mro__ if kind in _READS), None)
        if reads is None:
            kind = type(layer).__name__
            raise ValueError(f"`count_costs` does not know layers of type {kind}. Received: {layer.name!r}")
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
