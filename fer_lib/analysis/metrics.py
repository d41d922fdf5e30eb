"""What one set of predictions is worth: accuracy, macro averages, BinaryAccuracy, calibration."""

from dataclasses import dataclass

import numpy as np


def accuracy(labels, predictions, axis=-1):
    """Fraction of the predictions that are right.

    Args:
        labels, predictions: integer arrays of one shape; `axis` runs over the images.

    Returns:
        The inputs' shape without `axis`, float64. Like `macro_recall` and `macro_f1` it works on a stack of
        resamples at once, which is what makes a bootstrap of it quick.
    """
    return (np.asarray(labels) == np.asarray(predictions)).mean(axis)


def macro_recall(labels, predictions, axis=-1):
    """Mean recall over the classes that occur in `labels` (scikit-learn's `balanced_accuracy_score`).

    Arguments and return value as for `accuracy`.
    """
    hits, support, _ = _class_counts(labels, predictions, axis)
    return _mean_ratio(hits, support)


def macro_f1(labels, predictions, axis=-1):
    """Mean F1 over the classes that occur in `labels` or `predictions` (scikit-learn's `f1_score`, macro).

    Arguments and return value as for `accuracy`.
    """
    hits, support, predicted = _class_counts(labels, predictions, axis)
    return _mean_ratio(2 * hits, support + predicted)


def _class_counts(labels, predictions, axis):
    """Hits, labels and predictions of each class: three arrays, classes first."""
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    counts = []
    for name in np.union1d(labels, predictions):
        real, said = labels == name, predictions == name
        counts.append(((real & said).sum(axis), real.sum(axis), said.sum(axis)))
    return tuple(np.stack(part) for part in zip(*counts, strict=True))


def _mean_ratio(numerator, denominator):
    """Mean over the first axis of the ratios that exist: a resample may hold no image of a rare class."""
    exists = denominator > 0
    return np.divide(numerator, denominator, where=exists, out=np.zeros(exists.shape)).sum(0) / exists.sum(0)


@dataclass(frozen=True)
class BinaryAccuracy:
    """Keras' `BinaryAccuracy` over one-hot outputs, and what it is made of.

    Attributes:
        value: fraction of the n x classes yes/no decisions that are right, `1 - (2 wrong + unsure) / classes`.
        wrong: fraction of the images where a wrong class has a probability above 0.5 (two decisions lost).
        unsure: fraction of the images where no class has (one decision lost).
        floor: the value of a network that never says yes, `1 - 1 / classes`: 0.857 for seven classes.
    """

    value: float
    wrong: float
    unsure: float
    floor: float


def binary_accuracy(probabilities, labels):
    """The metric that explains the paper's 89 %: every class is a yes/no decision at threshold 0.5.

    Args:
        probabilities: float `(n, classes)`, rows summing to 1 (so at most one entry exceeds 0.5).
        labels: integers `(n,)`.

    Returns:
        A `BinaryAccuracy`.
    """
    probabilities, labels = _checked(probabilities, labels)
    classes = probabilities.shape[1]
    yes = probabilities > 0.5  # strictly, as Keras does
    right = yes == (np.arange(classes) == labels[:, None])
    unsure = ~yes.any(axis=1)
    wrong = ~unsure & (probabilities.argmax(axis=1) != labels)
    return BinaryAccuracy(float(right.mean()), float(wrong.mean()), float(unsure.mean()), 1 - 1 / classes)


def accuracy_if_confident(value, classes=7):
    """The accuracy behind a BinaryAccuracy of `value` if none were unsure: `1 - classes / 2 * (1 - value)`.

    With unsure predictions this is `1 - wrong - unsure / 2`, so the real accuracy is lower wherever more than half
    of the unsure ones are wrong, as they are in nets of 40 to 60 %. The floor `1 - 1 / classes` gives one half.
    """
    return 1 - classes / 2 * (1 - value)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy in bins of one width. Arrays of length `bins`; NaN where a bin is empty.

    Attributes:
        edges: `(bins + 1,)`; bin i holds confidences in (edges[i], edges[i + 1]].
        counts: images in each bin.
        confidence: mean probability of the predicted class.
        accuracy: fraction of them that are right.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def expected_calibration_error(self):
        """Mean gap between confidence and accuracy, each bin weighted by its images."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(gaps * self.counts) / self.counts.sum())


def reliability(probabilities, labels, bins=15):
    """Calibration of the predicted class (Guo et al. 2017, "On calibration of modern neural networks").

    Args:
        probabilities: float `(n, classes)`.
        labels: integers `(n,)`.
        bins: number of bins of equal width over 0..1; 15 is the paper's.

    Returns:
        A `Reliability`.
    """
    probabilities, labels = _checked(probabilities, labels)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    position = np.digitize(confidence, edges[1:-1], right=True)
    counts = np.bincount(position, minlength=bins)
    divisor = np.where(counts, counts, np.nan)
    return Reliability(
        edges=edges,
        counts=counts,
        confidence=np.bincount(position, weights=confidence, minlength=bins) / divisor,
        accuracy=np.bincount(position, weights=correct, minlength=bins) / divisor,
    )


def expected_calibration_error(probabilities, labels, bins=15):
    """`reliability(...).expected_calibration_error`, for those who want the number alone."""
    return reliability(probabilities, labels, bins).expected_calibration_error


def _checked(probabilities, labels):
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(
            "`probabilities` must be (n, classes) and `labels` (n,), with n at least 1. "
            f"Received: {probabilities.shape} and {labels.shape}"
        )
    return probabilities, labels
