"""BinaryAccuracy and calibration against scikit-learn, arithmetic by hand and the paper's own numbers."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score

from fer_lib.analysis import metrics
from fer_lib.display import binary_floor
from fer_lib.training.runs import Predictions


def as_predictions(probabilities, y_true):
    return Predictions(np.arange(len(y_true)).astype(str), np.asarray(y_true), np.asarray(probabilities))


@pytest.fixture
def predictions():
    """500 images, class 1 rare as disgust is."""
    rng = np.random.default_rng(0)
    y_true = rng.choice(7, size=500, p=[0.15, 0.015, 0.15, 0.25, 0.17, 0.165, 0.1])
    logits = rng.normal(size=(500, 7)) + 1.5 * np.eye(7)[y_true]
    probabilities = np.exp(2 * logits) / np.exp(2 * logits).sum(axis=1, keepdims=True)
    return as_predictions(probabilities.astype("float32"), y_true)


def test_binary_accuracy_is_the_accuracy_of_all_yes_no_decisions(predictions):
    value = metrics.correct_decisions(predictions).mean()
    wrong, unsure = metrics.wrong_and_unsure(predictions)
    decisions = accuracy_score(np.eye(7)[predictions.y_true].ravel(), (predictions.probabilities > 0.5).ravel())
    assert value == pytest.approx(decisions)
    assert value == pytest.approx(1 - (2 * wrong + unsure).mean() / 7)


def test_binary_accuracy_by_hand():
    three = [[0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.5, 0.3, 0.2]]  # right, wrong, unsure (0.5 is no yes)
    found = as_predictions(three, [0, 2, 0])
    wrong, unsure = metrics.wrong_and_unsure(found)
    assert wrong.tolist() == [False, True, False] and unsure.tolist() == [False, False, True]
    assert metrics.correct_decisions(found) == pytest.approx([1, 1 / 3, 2 / 3])
    all_negative = as_predictions(np.full((70, 7), 1 / 7), np.arange(70) % 7)
    assert metrics.correct_decisions(all_negative) == pytest.approx(binary_floor(7))


@pytest.mark.parametrize(("printed", "implied"), [(0.8921, 0.622), (0.9013, 0.655), (0.8982, 0.644)])
def test_accuracy_behind_the_papers_figures(printed, implied):
    assert metrics.accuracy_if_confident(printed) == pytest.approx(implied, abs=1e-3)


def test_reliability_agrees_with_scikit_learn_where_bins_are_filled(predictions):
    found = metrics.reliability(predictions, bins=10)
    right, confidence = calibration_curve(predictions.correct, predictions.probabilities.max(axis=1), n_bins=10)
    filled = found["n"] > 0
    assert found.loc[filled, "accuracy"].tolist() == pytest.approx(right)
    assert found.loc[filled, "confidence"].tolist() == pytest.approx(confidence)
    assert found["n"].sum() == 500
    empty = found.loc[~filled, ["accuracy", "confidence", "ci_low"]]
    assert empty.isna().all(axis=None) and not filled[0]  # the largest of 7 is at least 1/7


def test_expected_calibration_error_by_hand():
    four = as_predictions([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [1.0, 0.0]], [0, 1, 0, 0])
    # Two bins: all four fall into (0.5, 1]; mean confidence 0.85, three of four right. Five bins: (0.4, 0.6] holds
    # the third image (gap 0.4), (0.8, 1] the other three (confidence 2.8/3, accuracy 2/3).
    five = 0.25 * 0.4 + 0.75 * 0.8 / 3
    assert metrics.expected_calibration_error(four, bins=2) == pytest.approx(0.10)
    assert metrics.expected_calibration_error(four, bins=5) == pytest.approx(five)
    on_an_edge = as_predictions([[0.5, 0.5], [1.0, 0.0]], [0, 0])  # belongs to the bin below
    assert metrics.reliability(on_an_edge, bins=2)["n"].tolist() == [1, 1]


def test_a_calibrated_network_has_an_error_of_its_own():
    """With n predictions of one confidence p, that of a binomial share: sqrt(2 p (1 - p) / pi n)."""
    n, confidence = 4000, 0.7
    alike = as_predictions(np.tile([confidence, 1 - confidence], (n, 1)), np.zeros(n, int))
    expected = np.sqrt(2 * confidence * (1 - confidence) / (np.pi * n))
    assert metrics.calibrated_error(alike) == pytest.approx(expected, rel=0.15)
    assert metrics.calibrated_error(as_predictions(np.eye(3), np.arange(3))) == 0
