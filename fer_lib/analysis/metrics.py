"""Metrics that scikit-learn lacks: BinaryAccuracy, the likely metric of the paper's tables, and calibration."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fer_lib.analysis.inference import wilson_interval


@dataclass(frozen=True)
class BinaryAccuracy:
    """Keras' `BinaryAccuracy` over one-hot outputs, and what it is made of."""

    value: float  # share of the n x classes binary decisions that are correct, 1 - (2 wrong + unsure) / classes
    wrong: float  # share of the images for which a wrong class has a probability above 0.5, two wrong decisions
    unsure: float  # share of the images for which no class has, one wrong decision


def binary_accuracy(probabilities: ArrayLike, y_true: ArrayLike) -> BinaryAccuracy:
    """Return the `BinaryAccuracy` at threshold 0.5; the all-negative baseline is `display.binary_floor`.

    `probabilities` are float `(n, classes)`, rows summing to 1, `y_true` are integers `(n,)`.
    """
    probabilities, y_true = np.asarray(probabilities), np.asarray(y_true)
    unsure = ~(probabilities > 0.5).any(axis=1)
    wrong = ~unsure & (probabilities.argmax(axis=1) != y_true)
    correct = correct_decisions(probabilities, y_true)
    return BinaryAccuracy(float(correct.mean()), float(wrong.mean()), float(unsure.mean()))


def correct_decisions(probabilities: ArrayLike, y_true: ArrayLike) -> np.ndarray:
    """Return the share of each image's binary decisions that are correct, float `(n,)`; arguments as above."""
    positive = np.asarray(probabilities) > 0.5  # strictly, as Keras does
    return (positive == (np.arange(positive.shape[1]) == np.asarray(y_true)[:, None])).mean(axis=1)


def accuracy_if_confident(value: float, classes: int = 7) -> float:
    """Return the accuracy behind a BinaryAccuracy if no prediction were unsure: `1 - classes / 2 * (1 - value)`.

    The accuracy is lower if more than half of the unsure predictions are wrong.
    """
    return 1 - classes / 2 * (1 - value)


def reliability(probabilities: ArrayLike, y_true: ArrayLike, bins: int = 15) -> pd.DataFrame:
    """Return confidence against accuracy of the predicted class (Guo et al. 2017, arXiv:1706.04599).

    Arguments as above; the bins have equal width over 0..1 and hold confidences in (from, to]. One row a bin:
    from, to, n, confidence (mean probability of the predicted class), accuracy, ci_low, ci_high (Wilson's 95 % CI
    of the accuracy); NaN in an empty bin.
    """
    probabilities, y_true = np.asarray(probabilities), np.asarray(y_true)
    edges = np.linspace(0, 1, bins + 1)
    images = pd.DataFrame({"n": 1, "confidence": probabilities.max(axis=1).astype(float)})
    images["n_correct"] = probabilities.argmax(axis=1) == y_true
    of_bin = np.digitize(images["confidence"], edges[1:-1], right=True)
    sums = images.groupby(of_bin).sum().reindex(range(bins), fill_value=0)
    table = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "n": sums["n"]})
    table["confidence"] = sums["confidence"] / sums["n"]
    limits = (wilson_interval(*row).columns("accuracy") for row in zip(sums["n_correct"], sums["n"], strict=True))
    return table.join(pd.DataFrame(limits))


def expected_calibration_error(probabilities: ArrayLike, y_true: ArrayLike, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy, each bin of `reliability` weighted by its images."""
    table = reliability(probabilities, y_true, bins)
    return float(((table["accuracy"] - table["confidence"]).abs() * table["n"]).sum() / table["n"].sum())


def calibrated_error(probabilities: ArrayLike, bins: int = 15, draws: int = 200) -> float:
    """Return the mean `expected_calibration_error` of a calibrated network with these probabilities: its noise.

    Arguments as above. Whether each of the n predictions is correct is drawn with its own confidence as
    probability, `draws` times from a fixed seed; a finite sample never has an error of 0.
    """
    confidence = np.asarray(probabilities).max(axis=1).astype(float)
    of_bin = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    gaps = (np.random.default_rng(0).random((draws, len(confidence))) < confidence) - confidence
    sums = gaps @ np.eye(bins)[of_bin]  # (draws, bins)
    return float(np.abs(sums).sum(axis=1).mean() / len(confidence))
