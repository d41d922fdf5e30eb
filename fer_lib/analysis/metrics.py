"""Metrics that scikit-learn lacks: BinaryAccuracy, the likely metric of the paper's tables, and calibration."""

import numpy as np
import pandas as pd

from fer_lib.analysis.inference import wilson_interval
from fer_lib.training.runs import Predictions

BINS = 15


def correct_decisions(predictions: Predictions) -> np.ndarray:
    """Return each image's share of correct binary decisions, float `(n,)`; their mean is `BinaryAccuracy`."""
    positive = predictions.probabilities > 0.5  # strictly, as Keras does
    return (positive == (np.arange(positive.shape[1]) == predictions.y_true[:, None])).mean(axis=1)


def wrong_and_unsure(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return whether a wrong class has a probability above 0.5, and whether no class has, both bool `(n,)`.

    The first is two wrong decisions, the second one: BinaryAccuracy is 1 - (2 wrong + unsure) / classes.
    """
    unsure = np.logical_not((predictions.probabilities > 0.5).any(axis=1))
    return ~unsure & ~predictions.correct, unsure


def accuracy_if_confident(value: float, classes: int = 7) -> float:
    """Return the accuracy behind a BinaryAccuracy if no prediction were unsure.

    It is lower if more than half of the unsure predictions are wrong.
    """
    return 1 - classes / 2 * (1 - value)


def reliability(predictions: Predictions, bins: int = BINS) -> pd.DataFrame:
    """Return confidence against accuracy of the predicted class (Guo et al. 2017, arXiv:1706.04599).

    The bins have equal width over 0..1 and hold confidences in (from, to]. One row a bin: from, to, n, confidence
    (mean probability of the predicted class), accuracy, ci_low, ci_high (Wilson's 95 % CI); NaN in an empty bin.
    """
    edges = np.linspace(0, 1, bins + 1)
    images = pd.DataFrame({"n": 1, "confidence": _confidence(predictions), "n_correct": predictions.correct})
    of_bin = np.digitize(images["confidence"], edges[1:-1], right=True)
    sums = images.groupby(of_bin).sum().reindex(range(bins), fill_value=0)
    table = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "n": sums["n"]})
    table["confidence"] = sums["confidence"] / sums["n"]
    limits = (wilson_interval(*row).columns("accuracy") for row in zip(sums["n_correct"], sums["n"], strict=True))
    return table.join(pd.DataFrame(limits))


def expected_calibration_error(predictions: Predictions, bins: int = BINS) -> float:
    """Return the mean gap between confidence and accuracy, each bin of `reliability` weighted by its images."""
    table = reliability(predictions, bins)
    return float(((table["accuracy"] - table["confidence"]).abs() * table["n"]).sum() / table["n"].sum())


def calibrated_error(predictions: Predictions) -> float:
    """Return the mean `expected_calibration_error` of a calibrated network with these probabilities: its noise.

    Whether each of the n predictions is correct is drawn with its own confidence as probability, 200 times from a
    fixed seed; a finite sample never has an error of 0.
    """
    confidence = _confidence(predictions)
    of_bin = np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    gaps = (np.random.default_rng(0).random((200, len(confidence))) < confidence) - confidence
    sums = gaps @ np.eye(BINS)[of_bin]  # (draws, bins)
    return float(np.abs(sums).sum(axis=1).mean() / len(confidence))


def _confidence(predictions):
    return predictions.probabilities.max(axis=1).astype(float)
