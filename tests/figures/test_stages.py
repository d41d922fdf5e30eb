"""Figures of the stages: the block's drawing, and what the tables say, read back from lines and texts."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from fer_lib.figures import stages as figures
from fer_lib.figures.style import PALETTE, QUIET, label_of

BASELINE = "resnet26v2"
# Ten networks, among them the longest label that a name can have.
NAMES = ("1", "2", "3", "4", "12", "34", "3-dot_product", "3-identity", "34-concatenation-before_last")
VARIANTS = [BASELINE, *(f"{BASELINE}-nl{name}" for name in NAMES)]


def summary():
    accuracy = 0.6 + 0.01 * np.arange(len(VARIANTS))
    table = pd.DataFrame({"variant": VARIANTS, "seeds": 3, "n": 1432, "accuracy": accuracy})
    return table.assign(ci_low=accuracy - 0.02, ci_high=accuracy + 0.03)


def by_run():
    parts = [summary().assign(seed=seed, accuracy=summary()["accuracy"] + 0.005 * (seed - 1)) for seed in range(3)]
    return pd.concat(parts, ignore_index=True)


def comparison():
    difference = np.linspace(-0.012, 0.02, len(VARIANTS) - 1)
    table = pd.DataFrame({"variant": VARIANTS[1:], "baseline": BASELINE, "difference": difference})
    table = table.assign(ci_low=difference - 0.015, ci_high=difference + 0.015, p_holm=np.linspace(0, 1, 9))
    return table.assign(simultaneous_low=difference - 0.021, simultaneous_high=difference + 0.021)


def runs():
    epochs = np.arange(1, 13)
    for seed in range(3):
        for index, variant in enumerate(VARIANTS):
            history = pd.DataFrame({"epoch": epochs, "val_accuracy": 0.03 * epochs + 0.01 * index + 0.02 * seed})
            yield SimpleNamespace(variant=variant, seed=seed, history=history)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def intervals(axes, linewidth):
    """(row, low, high) of horizontal lines of one width, by row."""
    lines = [line for line in axes.lines if line.get_linewidth() == pytest.approx(linewidth)]
    flat = [line for line in lines if len(line.get_xdata()) == 2 and np.ptp(line.get_ydata()) == 0]
    return sorted((line.get_ydata()[0], *line.get_xdata()) for line in flat)


def by_row(limits):
    return [(row, *pair) for row, pair in enumerate(np.asarray(limits))]


def test_the_network_has_its_bottlenecks_and_blocks_by_stage():
    sizes = pd.DataFrame({"stage": [1, 2, 3, 4], "bottlenecks": [3, 4, 6, 3], "side": [24, 12, 6, 3]})
    axes = figures.network_diagram(sizes.assign(channels=[256, 512, 1024, 2048]), 96, (1, 4)).axes[0]
    drawn = [(len(marks.get_offsets()), to_hex(marks.get_facecolor()[0])) for marks in axes.collections]
    orange = (3, PALETTE["orange"])
    assert drawn == [(3, QUIET), orange, (4, QUIET), (6, QUIET), (3, QUIET), orange]
    heights = [box.get_height() for box in axes.patches if isinstance(box, Rectangle)]
    assert heights == sorted(heights, reverse=True) and len(heights) == 4
    assert {"image\n96 × 96", "stage 3", "6 × 6 positions\n1024 channels"} <= set(texts(axes))


def test_curves_have_a_panel_per_variant_over_the_baseline():
    figure = figures.curves_by_variant(list(runs()), BASELINE)
    titles = [axes.get_title("left").replace("\n", " ") for axes in figure.axes]
    assert titles == [label_of(name) for name in VARIANTS[1:]]
    dashed, solid = figure.axes[1].lines
    assert dashed.get_linestyle() == "--" and solid.get_linestyle() == "-"
    assert dashed.get_ydata() == pytest.approx(0.03 * np.arange(1, 13) + 0.02)
    assert solid.get_ydata() == pytest.approx(0.03 * np.arange(1, 13) + 0.04)


def test_accuracy_by_variant_draws_the_intervals_of_the_table_and_the_seeds():
    axes = figures.accuracy_by_variant(summary(), by_run()).axes[0]
    np.testing.assert_allclose(intervals(axes, 7 / 3), by_row(summary()[["ci_low", "ci_high"]]))
    assert [label.get_text() for label in axes.get_yticklabels()] == [label_of(name) for name in VARIANTS]
    assert texts(axes)[:2] == ["60.0", "58.0 to 63.0"] and texts(axes)[-2:] == ["accuracy (%)", "95 % CI (%)"]
    dots = np.concatenate([dots.get_offsets() for dots in axes.collections])
    expected = by_run()["accuracy"].to_numpy()
    np.testing.assert_allclose(np.sort(dots[:, 0]), np.sort(expected))
    # A seed's dot is below its variant's row.
    np.testing.assert_allclose(np.sort(dots[:, 1]), np.repeat(np.arange(10) + 0.27, 3))

    one_seed = figures.accuracy_by_variant(summary().assign(seeds=1), by_run()).axes[0]
    assert not [dots for dots in one_seed.collections if len(dots.get_offsets())]


def test_forest_plot_draws_both_intervals_in_points():
    table = comparison()
    axes = figures.forest_plot(table).axes[0]
    np.testing.assert_allclose(intervals(axes, 3), by_row(100 * table[["ci_low", "ci_high"]]))
    simultaneous = 100 * table[["simultaneous_low", "simultaneous_high"]]
    np.testing.assert_allclose(intervals(axes, 1), by_row(simultaneous))
    assert axes.get_xlim()[0] == -axes.get_xlim()[1] < -np.abs(simultaneous.to_numpy()).max()
    assert texts(axes)[:3] == ["−1.2", "−2.7 to +0.3", "< 0.001"]
    # Of single runs it has no simultaneous interval, but is drawn.
    table = comparison().assign(simultaneous_low=np.nan, simultaneous_high=np.nan, p_holm=np.nan)
    axes = figures.forest_plot(table).axes[0]
    assert axes.get_xlim()[1] == pytest.approx(110 * 0.035) and texts(axes)[2] == "–"


def test_power_falls_with_seeds_and_names_this_study():
    power = pd.DataFrame({"seeds": [2, 3, 4, 12], "mde": [0.028, 0.021, 0.018, 0.009]})
    axes = figures.power_curve(power, 3).axes[0]
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([2.8, 2.1, 1.8, 0.9])
    assert texts(axes) == ["this study: 3 seeds, 2.1 pp", "1 pp"]
    assert [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == "--"] == [1]
