"""Figures of confusion and of groups: what is drawn is what the tables say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from fer_lib.datasets import CLASS_NAMES
from fer_lib.figures import confusion as figures

BASELINE, OTHER = "resnet14v2", "resnet14v2-nl3"


def shares():
    values = np.full((7, 7), 0.05) + 0.65 * np.eye(7)
    values[0, 1] = 0.004
    index, columns = pd.Index(CLASS_NAMES, name="true class"), pd.Index(CLASS_NAMES, name="predicted class")
    return {name: pd.DataFrame(values, index, columns) for name in (BASELINE, OTHER)}


def changes():
    cells = pd.MultiIndex.from_product(
        [[OTHER, f"{OTHER}-identity"], CLASS_NAMES[::-1], CLASS_NAMES[::-1]],
        names=["variant", "true_class", "predicted_class"],
    )
    table = pd.DataFrame({"difference": 0.0, "p_holm": 1.0}, cells)
    table.loc[(OTHER, "happy", "sad")] = -0.034, 0.01
    return table.reset_index()


def limits_of(axes):
    """(low, high) of the intervals, by row."""
    lines = [line for line in axes.lines if len(line.get_xdata()) == 2 and np.ptp(line.get_ydata()) == 0]
    return [tuple(line.get_xdata()) for line in sorted(lines, key=lambda line: line.get_ydata()[0])]


def test_confusion_matrices_print_percent_and_leave_small_shares_empty():
    figure = figures.confusion_matrices(shares())
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.collections[0].get_array(), 100 * shares()[BASELINE])
    words = [text.get_text() for text in axes.texts]
    assert words[:3] == ["70", "", "5"]
    assert [figure.axes[i].get_title("left") for i in (0, 1)] == ["baseline", "stage 3"]


def test_confusion_changes_are_points_and_frame_what_is_significant():
    first, second, _ = figures.confusion_changes(changes()).axes
    frames = [patch for patch in first.patches if isinstance(patch, Rectangle)]
    assert [frame.get_xy() for frame in frames] == [(5, 3)]  # column sad, row happy
    assert first.texts[3 * 7 + 5].get_text() == "−3" and not second.patches
    values = np.asarray(first.collections[0].get_array()).reshape(7, 7)
    assert values[3, 5] == pytest.approx(-3.4) and np.count_nonzero(values) == 1
    less, more = first.collections[0].to_rgba([-3.4, 3.4])
    assert less[1] > max(less[0], less[2]) and more[1] < min(more[0], more[2])  # green less, purple more


def test_class_recall_has_a_panel_a_class_and_a_line_at_the_baseline():
    rows = [
        {"variant": name, "seeds": seeds, "class": one, "support": 5 * index, "recall": 0.5 + 0.1 * (seeds == 2)}
        for name, seeds in ((BASELINE, 3), (OTHER, 2)) for index, one in enumerate(CLASS_NAMES)
    ]  # fmt: skip
    table = pd.DataFrame(rows).assign(
        recall_low=lambda t: t["recall"] - 0.1, recall_high=lambda t: t["recall"] + 0.2
    )
    figure = figures.group_scores(table, "class", "recall", BASELINE)
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["angry (0)", "disgust (5)"]
    assert limits_of(figure.axes[6]) == [pytest.approx((0.4, 0.7)), pytest.approx((0.5, 0.8))]
    assert figure.axes[6].lines[0].get_xdata()[0] == 0.5
    assert figure.get_supxlabel().startswith("recall")


def test_groups_are_ordered_from_side_to_side_and_seeds_below_each_other():
    rows = [
        {"variant": name, "seed": seed, "angle": angle, "n": 1000, "accuracy": 0.5 + 0.01 * seed}
        for name in (BASELINE, OTHER) for seed in (0, 1, 2) for angle in ("FL", "FR", "HL", "HR", "S")
    ]  # fmt: skip
    table = pd.DataFrame(rows).assign(ci_low=0.4, ci_high=lambda t: t["accuracy"] + 0.1)
    figure = figures.group_scores(table, "angle")
    assert [axes.get_title("left").split()[0] for axes in figure.axes] == ["FL", "HL", "S", "HR", "FR"]
    assert limits_of(figure.axes[1])[:3] == [pytest.approx((0.4, 0.6 + 0.01 * seed)) for seed in (0, 1, 2)]
