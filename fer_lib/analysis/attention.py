"""What non-local blocks attend to, from run folders: maps of chosen positions, distance, entropy, ablation.

`analysis.recorder` writes these files at the end of a run, so that figures and committed results need no weights.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer_lib.analysis.tables import by_variant
from fer_lib.files import reading
from fer_lib.training.runs import Run

# Where brow, eye and mouth lie in an aligned frontal face, as (row, column) in parts of the side, read off the
# mean face of FER-2013. Brow and eye are those on the left of the image.
POSITIONS = {"brow": (0.29, 0.32), "eye": (0.39, 0.32), "mouth": (0.77, 0.50)}
STATES = ("untrained", "trained")
TABLE, MAPS, ABLATION = "attention.csv", "attention.npz", "ablation.csv"
ALL, ONE_CLASS = "all images", "one class"
COLUMNS = [
    "state", "block", "stage", "of", "class", "images", "distance", "distance_sd", "entropy", "entropy_sd",
    "relative_update", "update_median", "dead", "uniform_distance",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Attention:
    """What the blocks of one run attend to, trained and, for comparison, with its initial weights.

    Attributes:
        images: a DataFrame, the images that there are maps of: class, id, correct (by this run).
        table: a DataFrame, one row per state, block and true class, and one over all images: state, block, stage,
            of (`ALL` or `ONE_CLASS`), class (NaN over all), images, means over them (distance, entropy,
            relative_update, and dead, the share of the queries that no key has a weight for), distance_sd,
            entropy_sd, update_median, and uniform_distance (pixels); NaN where an earlier run did not keep it.
        maps: dict of (state, block) to float32, (images, positions, key rows, key columns): the attention weights
            of each of `POSITIONS`, in order; each map sums to 1, or to 0 where a position attends to nothing.
        ablation: a DataFrame, the trained network with only its blocks changed: blocks (`"as trained"`; `"uniform
            attention"`, for the embedded Gaussian; `"ablated"`, the identity), n (images), accuracy, changed
            (share of the images whose predicted class changes).
    """

    variant: str
    seed: int
    images: pd.DataFrame
    table: pd.DataFrame
    maps: dict
    ablation: pd.DataFrame


def read(run: Run) -> Attention | None:
    """Return the `Attention` that a run's folder holds, or None where the run has none."""
    if not all((run.folder / name).is_file() for name in (TABLE, MAPS, ABLATION)):
        return None
    with reading(run.folder / MAPS, "attention maps, NPZ"), np.load(run.folder / MAPS) as file:
        maps = {tuple(name.split("/")): file[name] for name in file.files if "/" in name}
        ids = file["ids"]
    table = _read_table(run, TABLE)
    if "of" not in table:  # kept so before classes and all images had a column to tell them apart
        over_all = table["class"] == "all"
        table = table.assign(of=np.where(over_all, ALL, ONE_CLASS)).reindex(columns=COLUMNS)
        table["class"] = table["class"].mask(over_all)
    return Attention(run.variant, run.seed, describe(run, ids), table, maps, _read_table(run, ABLATION))


def _read_table(run, name):
    with reading(run.folder / name, "a table, CSV"):
        # A class may be called NA or nan: only an empty cell is missing.
        return pd.read_csv(run.folder / name, keep_default_na=False, na_values=[""])


def choose_images(run: Run) -> pd.DataFrame:
    """Return one image per class (class, id, correct): the first by id that is correct, else the first by id."""
    predictions = run.predictions()
    order = np.lexsort((predictions.ids, ~predictions.correct, predictions.y_true))
    first_of_class = np.unique(predictions.y_true[order], return_index=True)[1]
    return describe(run, predictions.ids[order[first_of_class]])


def describe(run: Run, ids: Iterable[str]) -> pd.DataFrame:
    """Return class, id and correct (by this run) of validation images, a DataFrame in the order of `ids`."""
    predictions = run.predictions()
    places = pd.Index(predictions.ids).get_indexer(ids)
    names = np.array(run.class_names)[predictions.y_true[places]]
    return pd.DataFrame({"class": names, "id": np.asarray(ids, dtype=str), "correct": predictions.correct[places]})


def removed_after_training(runs: list[Run], baseline: str) -> pd.DataFrame:
    """Return accuracy with the trained blocks and without them, against the baseline, one row per variant.

    Of the validation images, as each run measured at its end; a variant without such files is left out. Columns:
    variant, seeds, n, difference (accuracy as trained minus the baseline of the same seed, mean over seeds),
    ablated_difference (likewise, the blocks made the identity), changed (share of the images whose predicted class
    changes when the blocks are removed, median over seeds), changed_low, changed_high.
    """
    before = {run.seed: run.predictions().correct.mean() for run in runs if run.variant == baseline}
    measured = [run for run in runs if run.seed in before and (run.folder / ABLATION).is_file()]
    rows = []
    for variant, members in by_variant([run for run in measured if run.variant != baseline]).items():
        tables = [_read_table(run, ABLATION).assign(seed=run.seed) for run in members]
        states = pd.concat(tables).set_index(["blocks", "seed"])
        over = states["accuracy"] - pd.Series(before).rename_axis("seed")
        row = {"variant": variant, "seeds": len(members), "n": int(states["n"].iloc[0])}
        row |= {"difference": over["as trained"].mean(), "ablated_difference": over["ablated"].mean()}
        rows.append(row | _spread("changed", states.loc["ablated", "changed"]))
    columns = "variant seeds n difference ablated_difference changed changed_low changed_high"
    return pd.DataFrame(rows, columns=columns.split())


def by_block(observations: list[Attention]) -> pd.DataFrame:
    """Return one row per variant and trained block, over the seeds of a list of `Attention`.

    Columns: variant, stage, block, seeds; update, update_q1, update_q3, update_max (median, quartiles and maximum,
    over classes and seeds, of the relative update norm of a class: its median over images, else its mean);
    entropy, distance and dead (median over seeds; dead of the kept maps where a run did not keep it), each with
    its range, `_low` and `_high`; uniform_distance (pixels).
    """
    tables = []
    for one in observations:
        trained = one.table[one.table["state"] == "trained"].assign(variant=one.variant, seed=one.seed)
        of_maps = [(one.maps["trained", block] == 0).all(axis=(2, 3)).mean() for block in trained["block"]]
        trained["dead"] = trained["dead"].fillna(pd.Series(of_maps, trained.index))
        tables.append(trained.assign(update=trained["update_median"].fillna(trained["relative_update"])))
    if not tables:
        return pd.DataFrame()
    rows = []
    for (variant, stage, block), own in pd.concat(tables).groupby(["variant", "stage", "block"], sort=False):
        whole, classes = own[own["of"] == ALL], own.loc[own["of"] == ONE_CLASS, "update"]
        row = {"variant": variant, "stage": stage, "block": block, "seeds": whole["seed"].nunique()}
        quantiles = {"update": 0.5, "update_q1": 0.25, "update_q3": 0.75, "update_max": 1}
        row |= {name: classes.quantile(share) for name, share in quantiles.items()}
        for measure in ("entropy", "distance", "dead"):
            row |= _spread(measure, whole[measure])
        rows.append(row | {"uniform_distance": whole["uniform_distance"].iloc[0]})
    return pd.DataFrame(rows)


def _spread(name, values):
    return {name: values.median(), f"{name}_low": values.min(), f"{name}_high": values.max()}
