"""Tables from finished runs: accuracy, per-class scores, confusion, calibration, groups of images.

Every function reads saved predictions through `run.predictions(split)` and nothing else, so that a table can be
made again from the files alone. Accuracies are fractions; intervals are 95 % unless told otherwise. The tables
that need several runs at once live in `fer_lib.analysis.comparison` and are named here too.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from fer_lib.analysis import inference as statistics
from fer_lib.analysis import metrics
from fer_lib.analysis.comparison import clustered_table, comparison_table, pooled_comparison_table, summary_table
from fer_lib.datasets import CLASS_NAMES
from fer_lib.errors import DataError, ParameterError

__all__ = [
    "accuracy_table",
    "accuracy_without",
    "by_group",
    "clustered_table",
    "comparison_table",
    "confusion_table",
    "per_class_table",
    "pooled_comparison_table",
    "reliability_table",
    "summary_table",
]


def accuracy_table(runs, split="validation", level=0.95):
    """One row a run.

    Args:
        runs: `fer_lib.training.runs.Run` objects.
        split: `"validation"` or `"test"`.
        level: confidence level of Wilson's interval.

    Returns:
        A DataFrame: variant, seed, n, correct, accuracy, low, high, binary_accuracy, macro_recall, macro_f1, ece.
    """
    rows = []
    for run in runs:
        found = run.predictions(split)
        rows.append(
            {
                "variant": run.variant,
                "seed": run.seed,
                **_accuracy(found.correct, level),
                "binary_accuracy": metrics.binary_accuracy(found.probabilities, found.y_true).value,
                "macro_recall": float(metrics.macro_recall(found.y_true, found.y_pred)),
                "macro_f1": float(metrics.macro_f1(found.y_true, found.y_pred)),
                "ece": metrics.expected_calibration_error(found.probabilities, found.y_true),
            }
        )
    return pd.DataFrame(rows)


def per_class_table(run, split="validation", level=0.95):
    """One row a class: precision, recall, f1, support (images), and recall's Wilson interval as low and high.

    A class that is never predicted has precision 0; one without images has recall 0 and NaN limits.
    """
    found = run.predictions(split)
    precision, recall, f1, support = precision_recall_fscore_support(
        found.y_true, found.y_pred, labels=np.arange(len(CLASS_NAMES)), zero_division=0
    )
    hits = np.bincount(found.y_true[found.correct], minlength=len(CLASS_NAMES))
    limits = [statistics.wilson_interval(h, n, level) for h, n in zip(hits, support, strict=True)]
    return pd.DataFrame(
        {
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "support": support,
            "low": [limit.low for limit in limits],
            "high": [limit.high for limit in limits],
        },
        index=pd.Index(CLASS_NAMES, name="class"),
    )


def confusion_table(run, split="validation", normalise=None):
    """Confusion matrix: rows the label, columns the prediction.

    Args:
        run: a `Run`.
        split: `"validation"` or `"test"`.
        normalise: None for counts, `"true"` for fractions of each row.

    Returns:
        A DataFrame, classes by classes.
    """
    found = run.predictions(split)
    counts = confusion_matrix(
        found.y_true,
        found.y_pred,
        labels=np.arange(len(CLASS_NAMES)),
        normalize=normalise,
    )
    return pd.DataFrame(
        counts, index=pd.Index(CLASS_NAMES, name="label"), columns=pd.Index(CLASS_NAMES, name="prediction")
    )


def reliability_table(run, split="validation", bins=15, level=0.95):
    """One row a confidence bin: from, to, n, confidence, accuracy, and accuracy's Wilson interval as low, high."""
    found = run.predictions(split)
    curve = metrics.reliability(found.probabilities, found.y_true, bins)
    right = np.nan_to_num(curve.accuracy * curve.counts).round()
    limits = [statistics.wilson_interval(k, n, level) for k, n in zip(right, curve.counts, strict=True)]
    return pd.DataFrame(
        {
            "from": curve.edges[:-1],
            "to": curve.edges[1:],
            "n": curve.counts,
            "confidence": curve.confidence,
            "accuracy": curve.accuracy,
            "low": [limit.low for limit in limits],
            "high": [limit.high for limit in limits],
        }
    )


def accuracy_without(run, ids, split="validation", level=0.95):
    """Accuracy with and without some images, such as validation images that also stand in the training set.

    Args:
        run: a `Run`.
        ids: ids of the images to leave out, all of them in the split.
        split: `"validation"` or `"test"`.
        level: confidence level of Wilson's interval.

    Returns:
        A DataFrame of three rows (images: all, without, only): n, correct, accuracy, low, high.

    Raises:
        DataError: an id is not in the split, which would leave the accuracy silently unchanged.
    """
    found = run.predictions(split)
    strange = np.setdiff1d(ids, found.ids)
    if strange.size:
        raise DataError(
            f"{strange.size} of the images to leave out are not in the run's {split} split",
            where=f"{run.variant}, seed {run.seed}",
            expected=f"ids such as {found.ids[0]}",
            found=str(strange[0]),
        )
    correct, left_out = found.correct, np.isin(found.ids, ids)
    parts = {"all": correct, "without": correct[~left_out], "only": correct[left_out]}
    return pd.DataFrame([{"images": name, **_accuracy(part, level)} for name, part in parts.items()])


def by_group(run, metadata, column, split="validation", level=0.95):
    """Accuracy in each group of images, such as each angle, sex or person.

    The interval takes images for independent; where a person has many, it is too narrow (see `clustered_table`).

    Args:
        run: a `Run`.
        metadata: a DataFrame whose index holds image ids: `faces.metadata.set_index(faces.ids)`.
        column: the column to group by.
        split: `"validation"` or `"test"`.
        level: confidence level of Wilson's interval.

    Returns:
        A DataFrame, one row a group in sorted order: `column`, n, correct, accuracy, low, high.

    Raises:
        DataError: an image of the split has no metadata.
        ParameterError: there is no such column.
    """
    if column not in metadata.columns:
        raise ParameterError(
            "There is no such column to group by",
            expected=", ".join(map(str, metadata.columns)),
            found=column,
        )
    found = run.predictions(split)
    strange = np.setdiff1d(found.ids, metadata.index)
    if strange.size:
        raise DataError(
            f"{strange.size} images of the {split} split have no metadata",
            where=f"{run.variant}, seed {run.seed}",
            expected="metadata indexed by image id, as metadata.set_index(ids) makes them",
            found=f"no row for {strange[0]}",
        )
    correct = pd.Series(found.correct)
    groups = correct.groupby(metadata.loc[found.ids, column].to_numpy())
    return pd.DataFrame([{column: name, **_accuracy(part, level)} for name, part in groups])


def _accuracy(correct, level):
    """The columns n, correct, accuracy, low, high from a bool array over images."""
    interval = statistics.wilson_interval(correct.sum(), len(correct), level)
    return {
        "n": len(correct),
        "correct": int(correct.sum()),
        "accuracy": interval.estimate,
        "low": interval.low,
        "high": interval.high,
    }
