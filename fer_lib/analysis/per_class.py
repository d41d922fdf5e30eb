"""Class by class: precision, recall and F1 of a variant over its seeds, confusion, and what changed in it.

`evaluation` has the same for one run; here the seeds of a variant are taken together. Like there, only
saved predictions are read, scores are fractions, and intervals are 95 % unless told otherwise.
"""

import numpy as np
import pandas as pd

from fer_lib.analysis import inference as statistics
from fer_lib.datasets import CLASS_NAMES
from fer_lib.errors import DataError, ParameterError

SCORES = ("precision", "recall", "f1")


def scores_table(runs, split="validation", level=0.95):
    """Precision, recall and F1 of every class, each with an interval.

    Each score is a ratio of two sums over images: hits over the images that were named so (precision), that are so
    (recall), or over the mean of both counts (F1). With one seed the interval is Wilson's; F1's is that of
    J = hits / (hits + misses + false alarms), of which F1 = 2 J / (1 + J) is a rising function. With several seeds
    the ratio is linearised, as survey statistics do, and goes to `statistics.crossed_mean`: the interval is over
    both seeds and images, as in `comparison.summary_table`.

    Args:
        runs: `Run` objects of any variants and seeds.
        split: `"validation"` or `"test"`.
        level: confidence level.

    Returns:
        A DataFrame, one row a variant and class: variant, seeds, class, support (images), then precision,
        precision_low, precision_high and the same of recall and f1. 0 where a class is never named or has no
        images, with NaN limits.
    """
    rows = []
    for variant, members in _by_variant(runs).items():
        labels, said = _predictions(members, split)
        for index, name in enumerate(CLASS_NAMES):
            real, named = np.broadcast_to(labels == index, said.shape), said == index
            row = {"variant": variant, "seeds": len(members), "class": name, "support": int(real[0].sum())}
            for score in SCORES:
                found = _score(score, real, named, level)
                row |= {score: found.estimate, f"{score}_low": found.low, f"{score}_high": found.high}
            rows.append(row)
    return pd.DataFrame(rows)


def confusion_shares(runs, split="validation"):
    """Confusion matrices as fractions of each label's images, the mean over a variant's seeds.

    Returns:
        dict of variant -> DataFrame, rows the label, columns the prediction. NaN for a class without images.
    """
    shares = {}
    for variant, members in _by_variant(runs).items():
        labels, said = _predictions(members, split)
        rows = [_row_shares(said[:, labels == index]) for index in range(len(CLASS_NAMES))]
        shares[variant] = pd.DataFrame(
            rows, index=pd.Index(CLASS_NAMES, name="label"), columns=pd.Index(CLASS_NAMES, name="prediction")
        )
    return shares


def confusion_changes(runs, baseline, split="validation"):
    """Every cell of the confusion matrix against the baseline's, on the same images.

    The test is exact McNemar on "was this label's image given this class" with one seed, `crossed_mean` of the
    paired differences with several; only seeds that both have are used.

    Args:
        runs: `Run` objects, the baseline's among them.
        baseline: name of the variant to compare with.
        split: `"validation"` or `"test"`.

    Returns:
        A DataFrame, one row a variant, label and prediction: variant, seeds, label, prediction, n (images of the
        label), baseline_share, share, difference, p_value, p_holm (corrected for all rows of the table).

    Raises:
        DataError: the runs differ in ids or labels.
        ParameterError: the baseline is not among the runs, or shares no seed with a variant.
    """
    groups = _by_variant(runs)
    if baseline not in groups:
        raise ParameterError("The baseline is not among the runs", expected=", ".join(groups), found=baseline)
    before = {run.seed: run for run in groups.pop(baseline)}
    rows = []
    for variant, members in groups.items():
        members = [run for run in members if run.seed in before]
        if not members:
            raise ParameterError("A variant and the baseline share no seed", where=f"{variant} and {baseline}")
        labels, said = _predictions([before[run.seed] for run in members] + members, split)
        rows += [
            {"variant": variant, "seeds": len(members), **cell}
            for cell in _changed_cells(labels, said[: len(members)], said[len(members) :])
        ]
    table = pd.DataFrame(rows)
    table["p_holm"] = statistics.holm(table["p_value"]) if rows else []
    return table


def _score(score, real, named, level):
    """The `statistics.Interval` of one score of one class from two bool arrays (seeds, images)."""
    hits = (real & named).astype(float)
    # Numerator and denominator, image by image; all three scores are a sum of the first over one of the second.
    top, bottom = {"precision": (hits, named), "recall": (hits, real), "f1": (2 * hits, real * 1.0 + named)}[score]
    if not bottom.any():
        return statistics.Interval(0.0, np.nan, np.nan)
    ratio = top.sum() / bottom.sum()
    influence = ratio + (top - ratio * bottom) / bottom.mean()
    if len(real) > 1 and influence.std() > 1e-12:
        both = statistics.crossed_mean(influence, level)
        return statistics.Interval(both.estimate, max(both.low, 0.0), min(both.high, 1.0))
    return _score_of_one(score, real[0], named[0], level)


def _score_of_one(score, real, named, level):
    """As `_score` for one network, two bool arrays (images,)."""
    among = {"precision": named, "recall": real, "f1": real | named}[score]
    found = statistics.wilson_interval((real & named).sum(), among.sum(), level)
    if score != "f1":
        return found
    return statistics.Interval(*(2 * j / (1 + j) for j in (found.estimate, found.low, found.high)))


def _row_shares(said):
    """Share of each class among predictions of any shape, float (classes,)."""
    return np.bincount(said.ravel(), minlength=len(CLASS_NAMES)) / (said.size or np.nan)


def _changed_cells(labels, before, after):
    """A dict a cell from labels (images,) and predictions (seeds, images) of the baseline and a variant."""
    for label, label_name in enumerate(CLASS_NAMES):
        of_label = labels == label
        if of_label.sum() < 2:
            continue  # nothing to test
        for prediction, name in enumerate(CLASS_NAMES):
            first, second = before[:, of_label] == prediction, after[:, of_label] == prediction
            yield {
                "label": label_name,
                "prediction": name,
                "n": int(of_label.sum()),
                "baseline_share": first.mean(),
                "share": second.mean(),
                "difference": second.mean() - first.mean(),
                "p_value": _p_value(first, second),
            }


def _p_value(first, second):
    if len(first) == 1:
        return statistics.mcnemar(first[0], second[0]).p_value
    return statistics.crossed_mean(second.astype(int) - first).p_value


def _by_variant(runs):
    """Runs of each variant, variants in the order of their first run."""
    groups = {}
    for run in runs:
        groups.setdefault(run.variant, []).append(run)
    return groups


def _predictions(runs, split):
    """Labels (images,) and predicted classes (runs, images), images in the order of their ids."""
    said = []
    for run in runs:
        found = run.predictions(split)
        order = np.argsort(found.ids)
        if not said:
            ids, labels = found.ids[order], found.y_true[order]
        for part, first in (("ids", ids), ("y_true", labels)):
            if not np.array_equal(getattr(found, part)[order], first):
                raise DataError(
                    f"Runs can be taken together on the same images only, and these differ in their {part}",
                    where=f"{runs[0].variant}, seed {runs[0].seed}, and {run.variant}, seed {run.seed}",
                )
        said.append(found.y_pred[order])
    return labels, np.array(said)
