"""Metrics against scikit-learn, arithmetic by hand and the paper's own numbers."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from fer_lib.analysis import metrics


@pytest.fixture
def predictions():
    """Labels, predictions and probabilities of 500 images, class 1 rare as disgust is."""
    rng = np.random.default_rng(0)
    labels = rng.choice(7, size=500, p=[0.15, 0.015, 0.15, 0.25, 0.17, 0.165, 0.1])
    logits = rng.normal(size=(500, 7)) + 1.5 * np.eye(7)[labels]
    probabilities = np.exp(2 * logits) / np.exp(2 * logits).sum(axis=1, keepdims=True)
    return labels, probabilities.argmax(axis=1), probabilities.astype("float32")


def test_accuracy_and_macro_averages_agree_with_scikit_learn(predictions):
    labels, said, _ = predictions
    assert metrics.accuracy(labels, said) == pytest.approx(accuracy_score(labels, said))
    assert metrics.macro_recall(labels, said) == pytest.approx(balanced_accuracy_score(labels, said))
    assert metrics.macro_f1(labels, said) == pytest.approx(f1_score(labels, said, average="macro"))


def test_a_class_without_images_counts_as_scikit_learn_counts_it():
    labels, said = np.array([0, 0, 2, 2]), np.array([0, 1, 2, 2])  # class 1 is predicted, never right
    assert metrics.macro_recall(labels, said) == pytest.approx((0.5 + 1) / 2)
    assert metrics.macro_f1(labels, said) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert metrics.macro_f1(labels, said) == pytest.approx(f1_score(labels, said, average="macro"))


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.macro_recall, metrics.macro_f1])
def test_a_stack_of_resamples_gives_what_one_by_one_gives(metric, predictions):
    labels, said, _ = predictions
    positions = np.random.default_rng(1).integers(0, 60, size=(20, 60))  # few images: the rare class drops out
    stacked = metric(labels[positions], said[positions])
    assert stacked == pytest.approx([metric(labels[row], said[row]) for row in positions])


def test_binary_accuracy_is_the_accuracy_of_all_yes_no_decisions(predictions):
    labels, said, probabilities = predictions
    found = metrics.binary_accuracy(probabilities, labels)
    decisions = accuracy_score(np.eye(7)[labels].ravel(), (probabilities > 0.5).ravel())
    assert found.value == pytest.approx(decisions)
    assert found.value == pytest.approx(1 - (2 * found.wrong + found.unsure) / 7)
    assert found.wrong == np.mean((probabilities.max(axis=1) > 0.5) & (said != labels))
    assert found.floor == pytest.approx(6 / 7)


def test_binary_accuracy_by_hand():
    probabilities = [[0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.5, 0.3, 0.2]]  # right, wrong, unsure (0.5 is no yes)
    found = metrics.binary_accuracy(probabilities, [0, 2, 0])
    assert (found.wrong, found.unsure) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert found.value == pytest.approx((3 + 1 + 2) / 9)


def test_a_network_that_knows_nothing_has_the_floor():
    found = metrics.binary_accuracy(np.full((70, 7), 1 / 7), np.arange(70) % 7)
    assert found.value == pytest.approx(found.floor) == pytest.approx(0.857, abs=5e-4)
    assert found.unsure == 1


@pytest.mark.parametrize(("printed", "implied"), [(0.8921, 0.622), (0.9013, 0.655), (0.8982, 0.644)])
def test_accuracy_behind_the_papers_figures(printed, implied):
    assert metrics.accuracy_if_confident(printed) == pytest.approx(implied, abs=1e-3)


def test_accuracy_if_confident_undoes_confident_predictions():
    labels = np.arange(70) % 7
    said = np.where(np.arange(70) < 20, (labels + 1) % 7, labels)
    value = metrics.binary_accuracy(np.eye(7)[said], labels).value
    assert metrics.accuracy_if_confident(value) == pytest.approx(50 / 70)


def test_reliability_agrees_with_scikit_learn_where_bins_are_filled(predictions):
    labels, said, probabilities = predictions
    found = metrics.reliability(probabilities, labels, bins=10)
    right, confidence = calibration_curve(said == labels, probabilities.max(axis=1), n_bins=10)
    filled = found.counts > 0
    assert found.accuracy[filled] == pytest.approx(right)
    assert found.confidence[filled] == pytest.approx(confidence)
    assert found.counts.sum() == 500
    assert np.isnan(found.accuracy[~filled]).all() and not filled[0]  # the largest of 7 is at least 1/7


def test_expected_calibration_error_by_hand():
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [1.0, 0.0]]
    labels = [0, 1, 0, 0]
    # Two bins: all four fall into (0.5, 1]; mean confidence 0.85, three of four right. Five bins: (0.4, 0.6] holds
    # the third image (gap 0.4), (0.8, 1] the other three (confidence 2.8/3, accuracy 2/3).
    assert metrics.expected_calibration_error(probabilities, labels, bins=2) == pytest.approx(0.10)
    assert metrics.expected_calibration_error(probabilities, labels, bins=5) == pytest.approx(
        0.25 * 0.4 + 0.75 * 0.8 / 3
    )


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    assert metrics.reliability([[0.5, 0.5], [1.0, 0.0]], [0, 0], bins=2).counts.tolist() == [1, 1]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"Received: \(3, 7\) and \(4,\)"):
        metrics.binary_accuracy(np.zeros((3, 7)), np.zeros(4, int))
