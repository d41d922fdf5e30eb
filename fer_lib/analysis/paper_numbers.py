"""What the paper's accuracies and differences can mean: two readings of their units, and their noise."""

import numpy as np
import pandas as pd
from scipy import stats

from fer_lib import paper
from fer_lib.analysis import inference, metrics, tables
from fer_lib.display import binary_floor
from fer_lib.parameters import Parameters
from fer_lib.training.runs import Run
from fer_lib.variants import Variant

SEVEN, BINARY, CONFIDENT = "7-class accuracy", "BinaryAccuracy", "BinaryAccuracy, all confident"
READINGS = [
    "dataset", "stages", "network", "reported", "above_floor", "if_confident", "accuracy", "ci_low", "ci_high",
    "binary_accuracy", "binary_low", "binary_high", "sharpened_low", "sharpened_high",
]  # fmt: skip


def epochs_table(runs: list[Run]) -> pd.DataFrame:
    """Return epoch, binary_accuracy, accuracy (both of validation), variant, seed: one row per run and epoch."""
    columns = {"val_binary_accuracy": "binary_accuracy", "val_accuracy": "accuracy"}
    parts = [run.history[["epoch", *columns]].assign(variant=run.variant, seed=run.seed) for run in runs]
    return pd.concat(parts, ignore_index=True).rename(columns=columns)


def readings(runs: list[Run], parameters: Parameters, split: str = "validation") -> pd.DataFrame:
    """Return the paper's six accuracies beside what they mean as BinaryAccuracy and what this study has.

    Columns: dataset, stages (tuple), network (label), reported, above_floor (reported minus 6/7), if_confident
    (`metrics.accuracy_if_confident`); accuracy, ci_low, ci_high, binary_accuracy, binary_low, binary_high (95 %
    CIs) of this study's network with blocks in these stages, NaN outside of the paper's setup; sharpened_low and
    sharpened_high, the range over all runs on these data of BinaryAccuracy if each prediction is made one-hot.
    """
    groups, accuracy = tables.by_variant(runs), tables.accuracy_by_variant(runs, split).set_index("variant")
    predictions, rows = [run.predictions(split) for run in runs], []
    # One-hot, each wrong class is two wrong decisions.
    sharpened = [1 - 2 / one.probabilities.shape[1] * (1 - one.correct.mean()) for one in predictions]
    for (dataset, stages), reported in paper.ACCURACIES.items():
        network = Variant(50, stages)
        row = {"dataset": dataset, "stages": stages, "network": network.label, "reported": reported}
        row |= {"above_floor": reported - binary_floor(7), "if_confident": metrics.accuracy_if_confident(reported)}
        if paper.is_setup(parameters, dataset) and network.name in groups:
            row |= accuracy.loc[network.name, ["accuracy", "ci_low", "ci_high"]].to_dict()
            one_by_one = (run.predictions(split) for run in groups[network.name])
            own = [metrics.correct_decisions(one)[np.argsort(one.ids)] for one in one_by_one]
            test = inference.crossed_mean(own) if len(own) > 1 else inference.mean_test(own[0])
            row |= test.columns("binary_accuracy", "binary")
        if parameters.dataset == dataset:
            row |= {"sharpened_low": min(sharpened), "sharpened_high": max(sharpened)}
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=READINGS)


def unsure_and_wrong(runs: list[Run], split: str = "validation") -> tuple[float, float]:
    """Return the share of predictions without a probability above 0.5, and the share of these that are wrong."""
    predictions = [run.predictions(split) for run in runs]
    unsure = np.concatenate([metrics.wrong_and_unsure(one)[1] for one in predictions])
    wrong = ~np.concatenate([one.correct for one in predictions])
    return float(unsure.mean()), float(wrong[unsure].mean()) if unsure.any() else np.nan


def noise_table(runs: list[Run], baseline: str, split: str = "validation") -> pd.DataFrame:
    """Return what the paper's differences to its baseline are worth, if each is of one run of each network.

    One row per difference and reading (`SEVEN`; `BINARY`, of this study's probabilities; `CONFIDENT`, if every
    prediction were one-hot). Columns: dataset, network, reading, difference (the paper's), n (its images), noise
    ("seeds and images", from the pooled analysis of this study; "images" with one seed), standard_error, z,
    p_value (two-sided, t), mde (minimum detectable effect at 80 % power). NaN where nothing varies. That the best
    of 50 epochs may have been reported is not in it.
    """
    correct = tables.scores(runs, baseline, split)[1]
    binary = tables.scores(runs, baseline, split, metrics.correct_decisions)[1]
    values = {SEVEN: correct, BINARY: binary, CONFIDENT: 2 / 7 * correct}
    noise = "seeds and images" if correct.ndim > 1 and correct.shape[1] > 1 else "images"
    sizes, rows = {"fer2013": paper.IMAGES["validation"], "kdef": paper.KDEF_TEST_IMAGES}, []
    for dataset, stages in [key for key in paper.ACCURACIES if key[1]]:
        difference, images = paper.gain(stages, dataset), sizes[dataset]
        # KDEF's accuracies are below the floor of BinaryAccuracy.
        for reading in values if dataset == "fer2013" else [SEVEN]:
            row: dict = {"dataset": dataset, "network": Variant(50, stages).label, "reading": reading}
            row |= {"difference": difference, "n": images, "noise": noise}
            error, df = _one_run_error(values[reading], images)
            z = difference / error if error else np.nan
            row |= {"standard_error": error, "z": z, "p_value": 2 * stats.t.sf(z, df)}
            rows.append(row | {"mde": inference.minimum_detectable_effect(error, df)})
    return pd.DataFrame(rows)


def _one_run_error(values, images):
    """Return (standard error, degrees of freedom) of a difference of one run each on so many images."""
    if len(values) < 2:  # nothing to compare, as where the baseline did not learn
        return np.nan, np.nan
    if values.shape[1] > 1:
        return inference.obuchowski_rockette(values).of_one_run(values.shape[2] / images)
    paired = np.var(values[1:, 0] - values[:1, 0], axis=1, ddof=1).mean()
    return float(np.sqrt(paired / images)), values.shape[2] - 1
