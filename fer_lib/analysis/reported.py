"""What the paper's reported accuracies can mean: as another metric, and against chance.

Tables I and II give six numbers from one run each. `reading_table` asks which metric they are, `noise_table` which
differences between them one run each could have shown.
"""

import numpy as np
import pandas as pd
from scipy import stats

from fer_lib.analysis import inference as statistics
from fer_lib.analysis import metrics
from fer_lib.analysis.audit import ACCURACIES, IMAGES
from fer_lib.errors import DataError
from fer_lib.variants import Variant

FLOOR = 1 - 1 / 7  # BinaryAccuracy of seven one-hot outputs none of which exceeds one half
NEAR = 0.005  # BinaryAccuracies of an epoch and of the paper that count as equal


def epochs_table(runs):
    """Both accuracies of the same validation predictions, one row a run and epoch.

    Returns:
        A DataFrame: variant, seed, epoch, binary_accuracy, accuracy (fractions, of the validation images).
    """
    columns = {"val_binary_accuracy": "binary_accuracy", "val_accuracy": "accuracy"}
    parts = [
        run.history.rename(columns={"accuracy": "train_accuracy", "binary_accuracy": "train_binary_accuracy"})
        .rename(columns=columns)
        .assign(variant=run.variant, seed=run.seed)
        for run in runs
    ]
    return pd.concat(parts, ignore_index=True)[["variant", "seed", "epoch", *columns.values()]]


def reading_table(epochs):
    """The paper's six numbers, read as BinaryAccuracy.

    Args:
        epochs: `epochs_table`.

    Returns:
        A DataFrame, one row a number: dataset, stages (tuple), network (words), reported, above_floor (reported
        minus 6/7), if_confident (accuracy, were every prediction confident, see `metrics.accuracy_if_confident`),
        epochs (of `epochs`, within half a point of the number), seen, seen_low, seen_high (their median, lowest
        and highest accuracy; NaN where there are none).
    """
    rows = []
    for dataset, numbers in ACCURACIES.items():
        for stages, reported in numbers.items():
            near = epochs.loc[(epochs["binary_accuracy"] - reported).abs() <= NEAR, "accuracy"]
            rows.append(
                {
                    "dataset": dataset,
                    "stages": stages,
                    "network": Variant(50, stages).label,
                    "reported": reported,
                    "above_floor": reported - FLOOR,
                    "if_confident": metrics.accuracy_if_confident(reported),
                    "epochs": len(near),
                    "seen": near.median(),
                    "seen_low": near.min(),
                    "seen_high": near.max(),
                }
            )
    return pd.DataFrame(rows)


def noise_table(runs, baseline, images=IMAGES["validation"], split="validation"):
    """What the differences of Table I are worth, from one run of each network on so many images.

    How often two networks disagree is taken from the study: every variant against the plain network of the same
    seed, mean over the pairs. Chance in the choice of images is all that counts here; another seed adds to it.

    Args:
        runs: `Run` objects, the baseline's among them.
        baseline: name of the plain variant.
        images: in the paper's test set.
        split: `"validation"` or `"test"`.

    Returns:
        A DataFrame, one row a difference and reading (`"7-class accuracy"`, `"BinaryAccuracy"`): network, reading,
        difference (the paper's), standard_error, z (their ratio), p_value (two-sided, normal), detectable (true
        difference found four times in five), images_needed (to find the paper's as surely, about). All fractions;
        NaN where the networks do not differ on any image, as BinaryAccuracy where none is ever confident.

    Raises:
        DataError: no variant shares a seed with the plain network.
    """
    detect, spread = _spreads(runs, baseline, images, split)
    rows = []
    plain = ACCURACIES["fer2013"][()]
    for stages, reported in ACCURACIES["fer2013"].items():
        for reading in spread if stages else ():
            difference, error = reported - plain, spread[reading] / np.sqrt(images)
            z = difference / error if error else np.nan
            rows.append(
                {
                    "network": Variant(50, stages).label,
                    "reading": reading,
                    "difference": difference,
                    "standard_error": error,
                    "z": z,
                    "p_value": 2 * stats.norm.sf(z),
                    "detectable": detect[reading],
                    "images_needed": images * (detect[reading] / difference) ** 2,
                }
            )
    return pd.DataFrame(rows)


def discordance(runs, baseline, split="validation"):
    """Share of the images that exactly one of plain network and variant has right, mean over pairs of a seed."""
    return float(np.mean([first.correct != second.correct for first, second in _pairs(runs, baseline, split)]))


def _spreads(runs, baseline, images, split):
    """By reading: the detectable difference, and the standard deviation over images of a paired difference."""
    pairs = _pairs(runs, baseline, split)
    disagree = discordance(runs, baseline, split)
    binary = np.mean([np.var(_decisions(second) - _decisions(first), ddof=1) for first, second in pairs])
    spread = {"7-class accuracy": np.sqrt(disagree), "BinaryAccuracy": np.sqrt(binary)}
    error = spread["BinaryAccuracy"] / np.sqrt(images)
    detect = {
        "7-class accuracy": statistics.smallest_detectable_difference(images, disagree),
        "BinaryAccuracy": statistics.detectable_difference(error, images - 1),
    }
    return detect, spread


def _decisions(predictions):
    """Share of an image's seven yes/no decisions that are right, float (n,)."""
    yes = predictions.probabilities > 0.5
    return (yes == (np.arange(yes.shape[1]) == predictions.y_true[:, None])).mean(axis=1)


def _pairs(runs, baseline, split):
    """(plain, variant) predictions of every variant's run whose seed the plain network has, images alike."""
    plain = {run.seed: run.predictions(split) for run in runs if run.variant == baseline}
    others = [run for run in runs if run.variant != baseline and run.seed in plain]
    if not others:
        raise DataError("No variant shares a seed with the plain network", expected=baseline)
    pairs = [(plain[run.seed], run.predictions(split)) for run in others]
    for first, second in pairs:
        if not np.array_equal(first.ids, second.ids):
            raise DataError("Runs can be compared on the same images in the same order only")
    return pairs
