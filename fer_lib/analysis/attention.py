"""What trained non-local blocks attend to: maps for chosen positions, and distance and entropy over many faces.

What is worked out from a run's weights is kept in its folder, `attention.csv`, `attention_switched.csv` and
`attention.npz`, so that figures and committed results need the weights no more.
"""

import math
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from keras import ops

from fer_lib.analysis.complexity import stage_of
from fer_lib.datasets import CLASS_NAMES
from fer_lib.files import write_atomically
from fer_lib.models import NonLocal2D
from fer_lib.training.batches import identity_transforms, with_images
from fer_lib.training.loop import restore_classifier
from fer_lib.training.recipe import build_classifier

# Where brow, eye and mouth lie in an aligned frontal face, as (row, column) in parts of the side, read off the
# mean face of FER-2013. Brow and eye are those on the left of the picture.
POSITIONS = {"brow": (0.29, 0.32), "eye": (0.39, 0.32), "mouth": (0.77, 0.50)}
STATES = ("untrained", "trained")

_TABLE, _MAPS, _SWITCHED = "attention.csv", "attention.npz", "attention_switched.csv"


@dataclass(frozen=True, eq=False)
class Attention:
    """What the blocks of one run attend to, trained and, for comparison, with the weights that it started from.

    Attributes:
        variant, seed: the run.
        ids: str, (faces,), of the faces that there are maps of.
        table: a DataFrame, one row a state, block and class, and `"all"` for all classes together: state, block,
            stage, class, images, distance and distance_sd (pixels; mean and standard deviation over images),
            entropy and entropy_sd (parts of the largest possible), response (see `observer`), and
            uniform_distance, the distance of a block that attends to everything alike.
        maps: dictionary of (state, block) to float32, (faces, positions, key rows, key columns): the weights of
            each of `POSITIONS`, in order, over the map; each sums to 1, or to 0 where nothing is attended to.
        switched: a DataFrame, what the trained network does with its blocks changed and nothing else: blocks
            (`"as trained"`; `"even weights"`, every position attends to all alike, for the embedded Gaussian;
            `"off"`, the identity), n (images), accuracy, changed (share of the images that are then named
            otherwise than as trained).
    """

    variant: str
    seed: int
    ids: np.ndarray
    table: pd.DataFrame
    maps: dict
    switched: pd.DataFrame


def choose_faces(run, split="validation"):
    """One face a class by rule: of those that the run names rightly, the first by id; else the first of the class.

    Returns:
        A DataFrame, one row a class that has images: class, id, right.
    """
    found = run.predictions(split)
    order = np.argsort(found.ids)
    rows = []
    for label, name in enumerate(CLASS_NAMES):
        members = order[found.y_true[order] == label]
        if members.size:
            first = members[np.argmax(found.correct[members])]  # the first True, or the first of all
            rows.append({"class": name, "id": str(found.ids[first]), "right": bool(found.correct[first])})
    return pd.DataFrame(rows)


def is_available(run, ids):
    """Whether `attend` can answer: from what is kept in the run's folder, or from its weights."""
    return _is_kept(run, ids) or (run.folder / "last.weights.h5").is_file()


def attend(parameters, run, faces, ids):
    """The `Attention` of a run: read where it is kept for these faces, else worked out and kept.

    Args:
        parameters: the `Parameters` that it was trained with.
        run: a `Run` of a network with non-local blocks.
        faces: the `FaceSet` to average over, such as `splits.validation`.
        ids: str, of the faces among them to give maps of.

    Raises:
        RunError: nothing is kept and the weights are missing.
        ValueError: an id is not among the faces, or the network has no blocks.
    """
    if not _is_kept(run, ids):
        _keep(run, ids, *_observe_states(parameters, run, faces, ids))
    with np.load(run.folder / _MAPS) as file:
        names = [name for name in file.files if "/" in name]
        maps = {tuple(name.split("/")): file[name] for name in names}
        kept = file["ids"]
    table, switched = (pd.read_csv(run.folder / name) for name in (_TABLE, _SWITCHED))
    return Attention(run.variant, run.seed, kept, table, maps, switched)


def observer(classifier, image_size):
    """A model that shows what every non-local block of a network does.

    Args:
        classifier: a `keras.Model` from `build_classifier`. Later changes of its weights do not reach the blocks.
        image_size: side of its images in pixels.

    Returns:
        A `keras.Model`, images -> dictionary of a block's name to a dictionary: `distance`, `entropy`, (batch,),
        see `mean_distance` and `mean_entropy`; `response`, (batch,), root mean square of what the block adds over
        that of what it is given: 0 is a block that does nothing; `shares`, (batch, positions, M), the weights of
        each of `POSITIONS`.
    """
    blocks = [layer for layer in classifier.layers if isinstance(layer, NonLocal2D)]
    if not blocks:
        raise ValueError(f"`observer` needs a network with non-local blocks. Received: {classifier.name!r}")
    outputs = {}
    for block in blocks:
        x = block.input
        # A copy: Keras takes the number of outputs of a layer's first call for that of all of its calls.
        copy = NonLocal2D.from_config(block.get_config() | {"name": f"{block.name}_observed"})
        z, attention = copy(x, return_attention=True)
        copy.set_weights(block.get_weights())
        queries, keys = grids(block)
        chosen = [cell_of(position, queries) for position in POSITIONS.values()]
        outputs[block.name] = {
            "distance": mean_distance(attention, centres(queries, image_size), centres(keys, image_size, queries)),
            "entropy": mean_entropy(attention),
            "response": _rms(z - x) / _rms(x),
            "shares": shares(ops.take(attention, ops.convert_to_tensor(chosen, "int32"), axis=1)),
        }
    return keras.Model(classifier.input, outputs, name=f"{classifier.name}_observed")


def grids(block):
    """(rows, columns) of a block's queries and of its keys, which pooling makes fewer."""
    shape = block.input.shape
    rows, columns = shape[2:] if block.data_format == "channels_first" else shape[1:3]
    return (rows, columns), (rows // 2, columns // 2) if block.subsample else (rows, columns)


def centres(grid, image_size, queries=None):
    """Centres of a grid's cells in pixels of the image, float32, (cells, 2), rows first, in row-major order.

    They are nominal: each cell answers for its part of the image, though its receptive field reaches beyond.

    Args:
        grid: (rows, columns) of the cells.
        image_size: side of the image in pixels.
        queries: (rows, columns) before 2 x 2 pooling made `grid` of it. Default `None`: `grid` covers the image.
            Pooling leaves out an odd last row, so that its cells cover somewhat less.
    """
    lines = []
    for cells, whole in zip(grid, queries or grid, strict=True):
        step = image_size / whole * (2 if cells < whole else 1)
        lines.append((np.arange(cells) + 0.5) * step)
    rows, columns = np.meshgrid(*lines, indexing="ij")
    return np.stack([rows.ravel(), columns.ravel()], axis=1).astype("float32")


def cell_of(position, grid):
    """Row-major number of the cell of `grid` (rows, columns) that a (row, column) in parts of the side lies in."""
    row, column = (int(part * cells) for part, cells in zip(position, grid, strict=True))
    return row * grid[1] + column


def shares(attention):
    """Weights as shares of each query's sum, (batch, N, M): of their sizes, for the dot product's can be negative.

    A query whose weights are all 0, as the concatenation's ReLU can leave them, has shares of 0.
    """
    sizes = ops.abs(ops.cast(attention, "float32"))
    total = ops.sum(sizes, axis=-1, keepdims=True)
    return sizes / ops.where(total > 0, total, 1.0)


def mean_distance(attention, queries, keys):
    """How far a position looks: mean over queries of sum_j share_ij |p_i - p_j|, (batch,), in the unit of p.

    Args:
        attention: (batch, N, M), as `NonLocal2D` returns it.
        queries, keys: float, (N, 2) and (M, 2), their places.

    Returns:
        (batch,). Queries that attend to nothing do not count; NaN where all do.
    """
    gaps = np.linalg.norm(queries[:, None] - keys[None], axis=-1).astype("float32")  # (N, M)
    return _over_queries(attention, ops.sum(shares(attention) * gaps, axis=-1))


def mean_entropy(attention):
    """How evenly a position looks: mean over queries of the shares' entropy, in parts of that of M even shares.

    0 is all weight on one key, 1 is all keys alike. Arguments and return value as for `mean_distance`; NaN for
    M = 1, where the two are one.
    """
    share = shares(attention)
    entropy = -ops.sum(share * ops.log(ops.where(share > 0, share, 1.0)), axis=-1)
    keys = share.shape[-1]
    return _over_queries(attention, entropy / (math.log(keys) if keys > 1 else math.nan))


def _over_queries(attention, values):
    """Mean of (batch, N) over the queries that attend to anything."""
    attends = ops.cast(ops.any(attention != 0, axis=-1), "float32")
    return ops.sum(values * attends, axis=-1) / ops.sum(attends, axis=-1)


def _rms(x):
    return ops.sqrt(ops.mean(ops.square(ops.cast(x, "float32")), axis=(1, 2, 3)))


def _observe_states(parameters, run, faces, ids):
    """The table and the maps of a run before and after its training, and what switching its blocks does."""
    places = pd.Index(faces.ids).get_indexer(ids)
    if (places < 0).any():
        raise ValueError(f"`ids` must be among the faces. Received: {ids[int(np.argmin(places))]!r}")
    # In float32 whatever it was trained in: in half of it, a small response is lost in rounding.
    exact = parameters.model_copy(update={"precision": "float32"})
    trained = restore_classifier(exact, run)  # first, for it may be missing
    networks = {"untrained": build_classifier(exact, run.variant, run.seed), "trained": trained}
    tables, maps = [], {}
    for state, classifier in networks.items():
        seen = _over_faces(observer(classifier, parameters.image_size), faces, parameters.image_size)
        for block in (layer for layer in classifier.layers if isinstance(layer, NonLocal2D)):
            queries, keys = grids(block)
            found = seen[block.name]
            uniform = np.full((1, math.prod(queries), math.prod(keys)), 1.0, "float32")
            places_of = centres(queries, parameters.image_size), centres(keys, parameters.image_size, queries)
            table = _by_class(found, faces.labels)
            table.insert(0, "state", state)
            table.insert(1, "block", block.name)
            table.insert(2, "stage", stage_of(block.name))
            table["uniform_distance"] = float(mean_distance(uniform, *places_of)[0])
            tables.append(table)
            maps[state, block.name] = found["shares"][places].reshape(len(places), len(POSITIONS), *keys)
    # Its answers are those of the precision that it was trained in, as in its predictions.
    answering = trained if parameters.precision == exact.precision else restore_classifier(parameters, run)
    switched = _switch(parameters, answering, faces)
    keras.utils.clear_session()
    return pd.concat(tables, ignore_index=True), maps, switched


def _switch(parameters, classifier, faces):
    """The table `switched` of `Attention`; the network's blocks are off afterwards."""
    blocks = [layer for layer in classifier.layers if isinstance(layer, NonLocal2D)]
    said = {"as trained": _classes(parameters, classifier, faces)}
    if all(block.pairwise == "embedded_gaussian" for block in blocks):
        # theta = phi = 0 makes all logits 0, and the softmax of equal logits is even.
        _set_to_zero([weight for block in blocks for weight in block.theta.weights + block.phi.weights])
        said["even weights"] = _classes(parameters, classifier, faces)
    _set_to_zero([w for block in blocks for w in (block.normalization.gamma, block.normalization.beta)])
    said["off"] = _classes(parameters, classifier, faces)
    rows = [
        {
            "blocks": name,
            "n": len(faces),
            "accuracy": (found == faces.labels).mean(),
            "changed": (found != said["as trained"]).mean(),
        }
        for name, found in said.items()
    ]
    return pd.DataFrame(rows)


def _classes(parameters, classifier, faces):
    return _over_faces(classifier, faces, parameters.image_size).argmax(axis=1)


def _set_to_zero(weights):
    for weight in weights:
        weight.assign(ops.zeros(weight.shape, weight.dtype))


def _over_faces(model, faces, image_size, batch_size=64):
    """A model's outputs for all faces, NumPy arrays; not compiled, for a model goes over the faces just once."""
    shown, transforms = with_images(model, faces.images, image_size), identity_transforms(len(faces))
    parts = []
    for start in range(0, len(faces), batch_size):
        rows = np.arange(start, min(start + batch_size, len(faces)), dtype="int32")
        outputs = shown({"row": rows, "transform": transforms[rows]}, training=False)
        parts.append(keras.tree.map_structure(ops.convert_to_numpy, outputs))
    return keras.tree.map_structure(lambda *values: np.concatenate(values), *parts)


def _by_class(found, labels):
    values = pd.DataFrame({name: found[name] for name in ("distance", "entropy", "response")})
    groups = {name: values[labels == label] for label, name in enumerate(CLASS_NAMES)}
    rows = []
    for name, members in {**groups, "all": values}.items():
        if len(members):
            mean, sd = members.mean(), members.std()
            row = {"class": name, "images": len(members)}
            for measure in ("distance", "entropy"):
                row |= {measure: mean[measure], f"{measure}_sd": sd[measure]}
            rows.append(row | {"response": mean["response"]})
    return pd.DataFrame(rows)


def _is_kept(run, ids):
    if not all((run.folder / name).is_file() for name in (_TABLE, _MAPS, _SWITCHED)):
        return False
    with np.load(run.folder / _MAPS) as file:
        same_places = np.array_equal(file["positions"], list(POSITIONS.values()))
        return same_places and np.array_equal(file["ids"], np.asarray(ids, dtype=str))


def _keep(run, ids, table, maps, switched):
    arrays = {"/".join(key): values.astype("float32") for key, values in maps.items()}
    arrays |= {"ids": np.asarray(ids, dtype=str), "positions": np.array(list(POSITIONS.values()))}
    write_atomically(run.folder / _TABLE, table.to_csv(index=False))
    write_atomically(run.folder / _SWITCHED, switched.to_csv(index=False))
    write_atomically(run.folder / _MAPS, lambda path: np.savez_compressed(path, **arrays))
