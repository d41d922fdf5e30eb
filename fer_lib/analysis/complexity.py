"""What a network costs: parameters, multiply-adds and bytes counted layer by layer, times measured."""

import math
import re
import statistics
import time

import keras
import numpy as np
import pandas as pd

from fer_lib.environment import leave_out_messages
from fer_lib.models import NonLocal2D, resnet_v2
from fer_lib.training.recipe import jit_setting

leave_out_messages()

FLOAT_BYTES = 4
STAGES = (1, 2, 3, 4)
COSTS = (
    "trainable_parameters",
    "parameters",
    "multiply_adds",
    "attention_multiply_adds",
    "activation_bytes",
    "attention_bytes",
)
# Layers without weights and without products.
_FREE = (
    keras.layers.InputLayer,
    keras.layers.ZeroPadding2D,
    keras.layers.MaxPooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Dropout,
)
# Layers whose backward pass reads their input, or their output.
_READS_INPUT = (
    keras.layers.Conv2D,
    keras.layers.Dense,
    keras.layers.BatchNormalization,
    keras.layers.MaxPooling2D,
    keras.layers.GlobalMaxPooling2D,
    NonLocal2D,
)
_READS_OUTPUT = (
    keras.layers.Activation,
    keras.layers.MaxPooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Dropout,
)


def count(model):
    """Counts the costs of one image, layer by layer.

    Args:
        model: a built functional `keras.Model` of the layers that `resnet_v2` uses, with a fixed input size.

    Returns:
        A DataFrame, one row a layer, in order:

        - `layer`, `type`: its name and class.
        - `stage`: 0 for the stem, 1 to 4, or `"head"`.
        - `output_shape`: without the batch.
        - `trainable_parameters`, `parameters`: numbers of weights; the second has moving averages too.
        - `multiply_adds`: one for each multiplication with its addition, in inference: convolutions, dense layers
          and the block's projections and products as `NonLocal2D` computes them, one an element for a
          normalisation. Biases, sums, maxima, divisions and exponentials count nothing.
        - `attention_multiply_adds`: those of them between positions, theta . phi and attention . g.
        - `activation_bytes`: float32 numbers that training holds from the forward pass for the backward pass. A
          tensor counts once, at the layer that makes it, where that layer or one that follows reads it: inputs
          of convolutions, dense layers, normalisations, maxima and blocks; outputs of activations, maxima and
          dropout; inside a block, what its products, pooling and normalisation read.
        - `attention_bytes`: the attention as a map, N x M float32 numbers; 0 for `"none"`. The dot product in
          its cheaper order does not make the map: its `activation_bytes` are without it.

    Raises:
        ValueError: an unknown layer type, or an input size that is not fixed.
    """
    kept = _kept_tensors(model)
    rows = []
    for layer in model.layers:
        shape = _shape(layer)
        row = {
            "layer": layer.name,
            "type": type(layer).__name__,
            "stage": stage_of(layer.name),
            "output_shape": shape,
            "trainable_parameters": _size(layer.trainable_weights),
            "parameters": _size(layer.weights),
            "multiply_adds": 0,
            "attention_multiply_adds": 0,
            "activation_bytes": math.prod(shape) * FLOAT_BYTES if id(_tensor(layer)) in kept else 0,
            "attention_bytes": 0,
        }
        if isinstance(layer, NonLocal2D):
            for key, cost in _non_local_costs(layer).items():
                row[key] += cost
        else:
            row["multiply_adds"] = _multiply_adds(layer, shape)
        rows.append(row)
    # Stages are numbers and a word: without `object`, pandas would refuse one of them.
    return pd.DataFrame(rows).astype({"stage": object})


def by_stage(table):
    """Sums a table of `count` over the layers of each stage: one row a stage, the stage as index, in order."""
    return table.groupby("stage", sort=False)[list(COSTS)].sum()


def cost_by_stage(depth=50, input_shape=(96, 96, 1), **arguments):
    """What blocks at each single stage add to the plain network, without any training.

    The paper makes two statements that sound alike. Its abstract says that the block costs more at lower stages,
    which holds for the attention: its products and its map grow with the square of the positions. Its discussion
    says that lower stages raise the complexity less, which holds for parameters: they grow with the square of
    the channels. Both are columns here.

    Args:
        depth, input_shape, **arguments: as `resnet_v2` takes them, `non_local_stages` left out.

    Returns:
        A DataFrame of five rows, index `variant` (`"plain"`, `"stage 1"` .. `"stage 4"`): `blocks`, the columns
        of `COSTS` for the whole network, and `added_*` for each, the difference from the plain network.
    """
    rows = []
    for stages in ((), *((stage,) for stage in STAGES)):
        table = count(resnet_v2(depth, input_shape, non_local_stages=stages, **arguments))
        rows.append(
            {
                "variant": f"stage {stages[0]}" if stages else "plain",
                "blocks": int((table["type"] == NonLocal2D.__name__).sum()),
                **table[list(COSTS)].sum(),
            }
        )
    table = pd.DataFrame(rows).set_index("variant")
    added = (table[list(COSTS)] - table.loc["plain", list(COSTS)]).add_prefix("added_")
    return table.join(added)


def measure(models, batch_size=64, rounds=3, repeats=5, warm_up=1, jit_compile=False, seed=0):
    """Times inference and training on random images; the models themselves stay as they are.

    In each round the models take turns, so that a slow spell of the machine does not fall on one of them alone.

    Args:
        models: dictionary of a name to a classifier with a fixed input size.
        batch_size: images a step.
        rounds: turns of every model.
        repeats: timed steps of each kind in a turn; the medians count, for other work on the machine only ever
            adds time.
        warm_up: steps before the first turn, in which the backend compiles.
        jit_compile: as in `keras.Model.compile`; on JAX always on.
        seed: of the random images and labels.

    Returns:
        A DataFrame, one row a round and model: round (from 1), variant (its name), inference_seconds and
        training_seconds (medians of a step).
    """
    steps = {name: _steps(model, batch_size, jit_compile, seed) for name, model in models.items()}
    for infer, train in steps.values():
        for _ in range(warm_up):
            infer()
            train()
    rows = [
        {
            "round": turn,
            "variant": name,
            "inference_seconds": _median_seconds(infer, repeats),
            "training_seconds": _median_seconds(train, repeats),
        }
        for turn in range(1, rounds + 1)
        for name, (infer, train) in steps.items()
    ]
    return pd.DataFrame(rows)


def _steps(model, batch_size, jit_compile, seed):
    """One step of inference and one of training, of a copy of the model, to be called."""
    rng = np.random.default_rng(seed)
    images = rng.random((batch_size, *model.input_shape[1:]), dtype="float32")
    labels = np.eye(model.output_shape[-1], dtype="float32")[rng.integers(model.output_shape[-1], size=batch_size)]
    timed = keras.models.clone_model(model)
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    timed.compile(optimizer, "categorical_crossentropy", jit_compile=jit_setting(jit_compile))
    return lambda: timed.predict_on_batch(images), lambda: timed.train_on_batch(images, labels)


def stage_of(name):
    """The stage of a layer by its name: `conv4_block6_out` is of stage 3, the stem of 0, all else of the head."""
    if name in ("images", "conv1_pad", "conv1_conv", "pool1_pad", "pool1_pool"):
        return 0
    found = re.match(r"conv([2-5])_block", name)
    return int(found[1]) - 1 if found else "head"


def _multiply_adds(layer, shape):
    if isinstance(layer, keras.layers.Conv2D):
        # Each number of the output is a product with one column of the kernel, (height, width, in, out).
        return math.prod(shape) * math.prod(layer.kernel.shape[:-1])
    if isinstance(layer, keras.layers.Dense):
        return math.prod(shape) * layer.kernel.shape[0]
    if isinstance(layer, keras.layers.BatchNormalization):
        return math.prod(shape)
    if isinstance(layer, _FREE):
        return 0
    raise ValueError(f"`count` does not know layers of type {type(layer).__name__}. Received: {layer.name!r}")


def _non_local_costs(layer):
    """Inside one block: all columns that its output and its weights do not give."""
    height, width, channels = _positions_and_channels(layer)
    queries = height * width  # N
    keys = (height // 2) * (width // 2) if layer.subsample else queries  # M
    inner = layer.g.units  # D
    compared = channels if layer.pairwise == "gaussian" else inner  # width of theta and phi

    projections = (1 if layer.pairwise == "gaussian" else 3) * queries * channels * inner
    back = queries * inner * channels + queries * channels  # w_z and its normalisation
    products, between = _products(layer.pairwise, queries, keys, compared, inner)

    held = queries * inner * (1 if layer.pairwise == "gaussian" else 3)  # theta, phi, g (x is another layer's)
    held += keys * (compared + inner) if layer.subsample else 0  # pooled phi (or x) and g
    held += between + queries * inner + queries * channels  # attention, y, w_z's output
    return {
        "multiply_adds": projections + products + back,
        "attention_multiply_adds": products,
        "activation_bytes": held * FLOAT_BYTES,
        "attention_bytes": 0 if layer.pairwise == "none" else queries * keys * FLOAT_BYTES,
    }


def _products(pairwise, queries, keys, compared, inner):
    """Step 3 and 4 as the layer computes them: (multiply-adds, numbers held between its two products)."""
    attention = queries * keys
    if pairwise == "none":
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
    """Identities of the symbolic tensors that some backward pass reads."""
    kept = set()
    for layer in model.layers:
        if isinstance(layer, _READS_INPUT):
            kept.update(id(tensor) for tensor in keras.tree.flatten(layer.input))
        # A dense layer's own activation, the softmax, reads its output too.
        softmax = isinstance(layer, keras.layers.Dense) and layer.activation is not keras.activations.linear
        if isinstance(layer, _READS_OUTPUT) or softmax:
            kept.add(id(_tensor(layer)))
    return kept


def _tensor(layer):
    """The layer's output; of a block that also returns its attention, the first."""
    return keras.tree.flatten(layer.output)[0]


def _shape(layer):
    shape = tuple(_tensor(layer).shape[1:])
    if None in shape:
        raise ValueError(f"`count` needs a fixed input size. Received: layer {layer.name!r} of shape {shape}")
    return shape


def _positions_and_channels(layer):
    shape = _shape(layer)
    return (*shape[1:], shape[0]) if layer.data_format == "channels_first" else shape


def _size(weights):
    return sum(math.prod(weight.shape) for weight in weights)


def _median_seconds(step, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
