"""Figures of one variant: what they draw, read back from lines and texts and compared with the tables."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fer_lib.figures import baseline as figures

EPOCHS = np.arange(1, 7)


def run_of(seed):
    curve = 0.5 + 0.05 * EPOCHS + 0.02 * seed
    columns = {"epoch": EPOCHS, "accuracy": curve, "loss": 2 - curve, "val_loss": 2.1 - curve}
    columns |= {"val_accuracy": curve - 0.1, "val_binary_accuracy": 0.86 + curve / 20}
    history = pd.DataFrame(columns)
    return SimpleNamespace(variant="resnet14v2", seed=seed, history=history, class_names=("a", "b", "c", "d"))


RUNS = [run_of(seed) for seed in (0, 1, 5)]


def scores():
    names, support = ["angry", "disgust", "happy"], [40, 5, 75]
    table = pd.DataFrame({"variant": "resnet14v2", "seeds": 1, "class": names, "support": support})
    for score, value in (("precision", 0.6), ("recall", 0.5), ("f1", 0.55)):
        table[score] = value + 0.01 * table.index
        table[f"{score}_low"], table[f"{score}_high"] = table[score] - 0.1, table[score] + 0.2
    return table


def test_training_curves_are_means_and_ranges_over_seeds():
    accuracy, loss = figures.training_curves(RUNS).axes
    training, validation = accuracy.lines[:2]
    assert training.get_ydata() == pytest.approx(0.5 + 0.05 * EPOCHS + 0.04)
    assert validation.get_ydata() == pytest.approx(0.4 + 0.05 * EPOCHS + 0.04)
    band = accuracy.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0.55, 0.9))  # seed 0 at first, seed 5 at last
    assert [text.get_text() for text in accuracy.get_legend().get_texts()] == ["training set", "validation set"]
    assert loss.lines[1].get_ydata() == pytest.approx(1.6 - 0.05 * EPOCHS - 0.04)


def test_two_accuracies_have_the_all_negative_baseline_of_the_runs_classes():
    axes = figures.two_accuracies(RUNS[:1]).axes[0]
    assert axes.lines[0].get_ydata() == pytest.approx(RUNS[0].history["val_binary_accuracy"])
    assert axes.lines[1].get_ydata() == pytest.approx(RUNS[0].history["val_accuracy"])
    assert axes.lines[-1].get_ydata()[0] == pytest.approx(3 / 4)
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names[1:] == ["4-class accuracy", "BinaryAccuracy of the all-negative baseline: 75.0 %"]


def test_class_scores_draw_recall_filled_and_precision_open_of_the_commonest_class_first():
    axes = figures.class_scores(scores()).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["happy (75)", "angry (40)", "disgust (5)"]
    interval, marker, precision, opened = (*axes.lines[:2], *axes.lines[6:8])  # of happy, the first of three rows
    assert list(interval.get_xdata()) == pytest.approx([0.42, 0.72])
    assert marker.get_xdata()[0] == pytest.approx(0.52) and marker.get_markerfacecolor() != "white"
    assert list(precision.get_xdata()) == pytest.approx([0.52, 0.82]) and opened.get_markerfacecolor() == "white"
    faces = [handle.get_markerfacecolor() for handle in axes.get_legend().legend_handles]
    assert faces[1] == "white" != faces[0]


def test_reliability_leaves_out_bins_below_ten_images_and_counts_them_below():
    table = pd.DataFrame({"from": [0, 0.5], "to": [0.5, 1], "n": [9, 30], "confidence": [0.4, 0.8]})
    table = table.assign(accuracy=[0.3, 0.7], ci_low=[0.1, 0.6], ci_high=[0.5, 0.85])
    axes, counts = figures.reliability({"seed 0": table, "seed 1": table}).axes
    line, _, (bars,) = axes.containers[0]
    assert line.get_xydata().tolist() == [[0.8, 0.7]]
    assert bars.get_segments()[0][:, 1] == pytest.approx([0.6, 0.85])
    assert counts.patches[0].get_data().values.tolist() == [9, 30]
    assert counts.patches[0].get_data().edges.tolist() == [0, 0.5, 1]
