"""What a run keeps of its attention when its training ends; `analysis.attention` reads it without Keras."""

import io
import math
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import ops
from numpy.typing import ArrayLike

from fer_lib.analysis import attention as kept
from fer_lib.analysis.complexity import stage_of
from fer_lib.datasets import ImageSet
from fer_lib.models import NonLocal2D
from fer_lib.parameters import Parameters
from fer_lib.training.batches import identity_transforms, with_images
from fer_lib.training.recipe import build_classifier
from fer_lib.training.runs import Run


def record_attention(
    parameters: Parameters, run: Run, classifier: keras.Model, faces: ImageSet
) -> dict[str, bytes]:
    """Return the files that a run keeps of its attention on the validation images: dict of name -> bytes.

    Empty without blocks. `classifier` is the trained network of `run`; its blocks are ablated afterwards.
    """
    if not _blocks(classifier):
        return {}
    chosen = kept.choose_images(run)["id"].to_numpy(dtype=str)
    tables, arrays = [], {"ids": chosen, "positions": np.array(list(kept.POSITIONS.values()))}
    # In float32 whatever it was trained in: in half precision, a small update is lost in rounding.
    exact = parameters.model_copy(update={"precision": "float32"})
    for state in kept.STATES:
        network = build_classifier(exact, run.variant, run.seed, len(run.class_names))
        if state == "trained":
            network.set_weights(classifier.get_weights())
        seen = _over_images(observer(network, exact.image_size), faces.images, exact.image_size)
        for block in _blocks(network):
            tables.append(_by_class(block, seen[block.name], faces, exact.image_size).assign(state=state))
            weights = seen[block.name]["shares"][pd.Index(faces.ids).get_indexer(chosen)]
            maps = weights.reshape(-1, len(kept.POSITIONS), *grids(block)[1]).astype("float32")
            arrays[f"{state}/{block.name}"] = maps
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    written = {kept.TABLE: pd.concat(tables)[kept.COLUMNS], kept.ABLATION: ablate(parameters, classifier, faces)}
    files = {name: table.to_csv(index=False).encode() for name, table in written.items()}
    return files | {kept.MAPS: buffer.getvalue()}


def _by_class(block, seen, faces, image_size):
    """Return the rows of `Attention.table` of one block in one state, from its outputs of `observer`."""
    queries, keys = grids(block)
    uniform = np.ones((1, math.prod(queries), math.prod(keys)), "float32")
    places = centres(queries, image_size), centres(keys, image_size, queries)
    values = pd.DataFrame({name: seen[name] for name in ("distance", "entropy", "relative_update", "dead")})
    groups = [(kept.ONE_CLASS, name, values[faces.labels == n]) for n, name in enumerate(faces.class_names)]
    rows = []
    for of, name, members in (*groups, (kept.ALL, None, values)):
        if len(members):
            row = {"of": of, "class": name, "images": len(members)} | members.mean().to_dict()
            row |= members[["distance", "entropy"]].std().add_suffix("_sd").to_dict()
            rows.append(row | {"update_median": members["relative_update"].median()})
    distance = float(summarise(uniform, *places)["distance"][0])
    constant = {"block": block.name, "stage": stage_of(block.name), "uniform_distance": distance}
    return pd.DataFrame(rows).assign(**constant)


def observer(classifier: keras.Model, image_size: int) -> keras.Model:
    """Return a `keras.Model` that shows what every non-local block of a network does with its present weights.

    Its outputs are a dict of a block's name to a dict: what `summarise` returns, in pixels; `relative_update`,
    (batch,), ||z - x|| / ||x||; `shares`, (batch, positions, M), the attention weights of each of `POSITIONS`.
    """
    outputs = {}
    for block in _blocks(classifier):
        z, attention = _observed(block)
        queries, keys = grids(block)
        chosen = ops.convert_to_tensor([cell_of(place, queries) for place in kept.POSITIONS.values()], "int32")
        outputs[block.name] = {
            **summarise(attention, centres(queries, image_size), centres(keys, image_size, queries)),
            "relative_update": _root_mean_square(z - block.input) / _root_mean_square(block.input),
            "shares": shares(ops.take(attention, chosen, axis=1)),
        }
    return keras.Model(classifier.input, outputs, name=f"{classifier.name}_observed")


def all_maps(classifier: keras.Model, images: np.ndarray, image_size: int) -> dict:
    """Return a dict of a block's name to (`grids`, shares of the attention weights, (images, N, M)).

    `images` are uint8, (images, height, width, channels); `image_size` is the side that the classifier takes.
    """
    blocks = _blocks(classifier)
    model = keras.Model(classifier.input, {block.name: shares(_observed(block)[1]) for block in blocks})
    weights = _over_images(model, images, image_size)
    return {block.name: (grids(block), weights[block.name]) for block in blocks}


def _observed(block):
    """Return (z, attention) of a copy: Keras takes the number of outputs of a layer's first call for all calls."""
    copy = NonLocal2D.from_config(block.get_config() | {"name": f"{block.name}_observed"})
    outputs = copy(block.input, return_attention=True)
    copy.set_weights(block.get_weights())
    return outputs


def grids(block: NonLocal2D) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (rows, columns) of a block's queries and of its keys, of which pooling leaves fewer."""
    shape, step = block.input.shape, 2 if block.subsample else 1
    rows, columns = shape[2:] if block.data_format == "channels_first" else shape[1:3]
    return (rows, columns), (rows // step, columns // step)


def centres(grid: tuple[int, int], image_size: float, queries: tuple[int, int] | None = None) -> np.ndarray:
    """Return the centres of a grid's cells in pixels, float32 (cells, 2), (row, column), row-major.

    2 x 2 pooling of `queries` may have made the grid, without an odd last row; both are (rows, columns).
    """
    sizes = zip(grid, queries or grid, strict=True)
    steps = [image_size / whole * (2 if cells < whole else 1) for cells, whole in sizes]
    return ((np.indices(grid).reshape(2, -1).T + 0.5) * steps).astype("float32")


def cell_of(position: tuple[float, float], grid: tuple[int, int]) -> int:
    """Return the row-major number of the cell of `grid` that a (row, column) in parts of the side lies in."""
    row, column = (int(part * cells) for part, cells in zip(position, grid, strict=True))
    return row * grid[1] + column


def shares(attention: ArrayLike) -> Any:
    """Return attention weights as shares of each query's sum of absolute values, (batch, N, M), or 0."""
    sizes = ops.abs(ops.cast(attention, "float32"))
    total = ops.sum(sizes, axis=-1, keepdims=True)
    return sizes / ops.where(total > 0, total, 1.0)


def summarise(attention: ArrayLike, queries: np.ndarray, keys: np.ndarray) -> dict:
    """Return distance, entropy and dead of attention weights, (batch, N, M); each is (batch,).

    `distance` is the mean over queries of sum_j share_ij |p_i - p_j|, with places `queries` (N, 2) and `keys`
    (M, 2); `entropy` that of the shares' entropy over log M: 0 is one key, 1 uniform, NaN if M is 1. Queries that
    attend to nothing do not count; `dead` is their share.
    """
    share, attends = shares(attention), ops.cast(ops.any(attention != 0, axis=-1), "float32")
    gaps = np.linalg.norm(queries[:, None] - keys[None], axis=-1).astype("float32")  # (N, M)
    entropy = -ops.sum(share * ops.log(ops.where(share > 0, share, 1.0)), axis=-1)
    of_queries = {"distance": ops.sum(share * gaps, axis=-1)}
    of_queries["entropy"] = entropy / (math.log(len(keys)) if len(keys) > 1 else math.nan)
    counted = ops.sum(attends, axis=-1)
    means = {name: ops.sum(values * attends, axis=-1) / counted for name, values in of_queries.items()}
    return means | {"dead": 1 - ops.mean(attends, axis=-1)}


def _root_mean_square(x):
    return ops.sqrt(ops.mean(ops.square(ops.cast(x, "float32")), axis=(1, 2, 3)))


def ablate(parameters: Parameters, classifier: keras.Model, faces: ImageSet) -> pd.DataFrame:
    """Return the table `Attention.ablation`; the network's blocks are the identity afterwards."""
    blocks, size = _blocks(classifier), parameters.image_size
    y_pred = {"as trained": _over_images(classifier, faces.images, size).argmax(axis=1)}
    off = {"ablated": [w for block in blocks for w in (block.normalization.gamma, block.normalization.beta)]}
    if all(block.pairwise == "embedded_gaussian" for block in blocks):
        # theta = phi = 0 makes all logits 0, whose softmax is uniform.
        uniform = [weight for block in blocks for weight in block.theta.weights + block.phi.weights]
        off = {"uniform attention": uniform} | off
    for name, weights in off.items():
        for weight in weights:
            weight.assign(np.zeros(weight.shape))
        y_pred[name] = _over_images(classifier, faces.images, size).argmax(axis=1)
    table = pd.DataFrame({"blocks": list(y_pred), "n": len(faces)})
    table["accuracy"] = [(found == faces.labels).mean() for found in y_pred.values()]
    return table.assign(changed=[(found != y_pred["as trained"]).mean() for found in y_pred.values()])


def _blocks(classifier):
    return [layer for layer in classifier.layers if isinstance(layer, NonLocal2D)]


def _over_images(model, images, image_size, batch_size=64):
    """Return a model's outputs for all images, NumPy arrays; not compiled, as a model sees the faces only once."""
    shown, transforms = with_images(model, images, image_size), identity_transforms(len(images))
    parts = []
    for start in range(0, len(images), batch_size):
        rows = np.arange(start, min(start + batch_size, len(images)), dtype="int32")
        outputs = shown({"row": rows, "transform": transforms[rows]}, training=False)
        parts.append(keras.tree.map_structure(ops.convert_to_numpy, outputs))
    return keras.tree.map_structure(lambda *values: np.concatenate(values), *parts)
