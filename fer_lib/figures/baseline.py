"""Notebook 01: training curves, the two accuracies, scores by class and calibration of one variant."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from fer_lib.figures.style import (
    INK,
    PALETTE,
    QUIET,
    draw_interval,
    name_rows,
    new_figure,
    percent_axis,
    styled,
    value_axis,
    variant_style,
)
from fer_lib.formats import BINARY_FLOOR, count, percent

# The mean over seeds is a line, their range a band.
OVER_SEEDS = {"estimator": "mean", "errorbar": ("pi", 100), "marker": "o", "markersize": 3.5, "markeredgewidth": 0}
_SEED_COLOURS = (INK, PALETTE["blue"], PALETTE["orange"], PALETTE["purple"], PALETTE["green"])
_FEW = 10  # images below which a bin of the reliability diagram is noise


@styled
def training_curves(runs):
    """Draw accuracy and loss of the training and the validation set over the epochs: mean and range of the seeds.

    Args:
        runs: `Run` objects of one variant.
    """
    figure, panels = new_figure(3.6, columns=2)
    for axes, metric in zip(panels, ("accuracy", "loss"), strict=True):
        names = {metric: "training set", f"val_{metric}": "validation set"}
        _draw_curves(axes, runs, names, [PALETTE["orange"], PALETTE["navy"]])
        axes.set(title=metric.capitalize(), xlabel="epoch", ylabel="")
    percent_axis(panels[0].yaxis)
    panels[1].get_legend().remove()
    return figure


@styled
def two_accuracies(runs):
    """Draw 7-class accuracy and BinaryAccuracy of the same validation predictions over the epochs, as above.

    Args:
        runs: `Run` objects of one variant.
    """
    figure, axes = new_figure(3.6)
    names = {"val_binary_accuracy": "BinaryAccuracy", "val_accuracy": "7-class accuracy"}
    _draw_curves(axes, runs, names, [PALETTE["purple"], PALETTE["navy"]])
    axes.axhline(BINARY_FLOOR, color=QUIET, linewidth=1, linestyle=":")
    words = f"BinaryAccuracy of the all-negative baseline: {percent(BINARY_FLOOR)}"
    # At the right: there the curves have settled, one well above the line and one well below.
    axes.annotate(
        words, (0.99, BINARY_FLOOR), xycoords=axes.get_yaxis_transform(), xytext=(0, -5), color=QUIET,
        textcoords="offset points", ha="right", va="top",
    )  # fmt: skip
    sns.move_legend(axes, "lower right", title=None)
    axes.set(ylim=(0, 1), xlabel="epoch", ylabel="")
    percent_axis(axes.yaxis)
    return figure


@styled
def class_scores(scores):
    """Draw recall (filled) and precision (open) of every class with their 95 % CIs, the commonest class first.

    Args:
        scores: rows of one variant of `tables.class_scores`.
    """
    scores = scores.sort_values("support", ascending=False)
    style = variant_style(scores["variant"].iloc[0])
    figure, axes = new_figure(0.9 + 0.5 * len(scores))
    for row, found in enumerate(scores.to_dict("records")):
        for score, shift, face in (("recall", -0.14, style["color"]), ("precision", 0.14, "white")):
            limits = found[f"{score}_low"], found[f"{score}_high"]
            draw_interval(axes, row + shift, found[score], *limits, style | {"markerfacecolor": face}, size=6)
    name_rows(axes, [f"{one['class']} ({count(one['support'])})" for one in scores.to_dict("records")])
    value_axis(axes, "score and 95 % CI; in brackets the images of the class")
    axes.set_xlim(-0.02, 1.02)
    percent_axis(axes.xaxis)
    axes.legend(axes.lines[1:4:2], ["recall", "precision"], loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def reliability(tables):
    """Draw accuracy against confidence with 95 % CIs and, below, how many predictions have that confidence.

    Bins of fewer than 10 images are only in the lower panel.

    Args:
        tables: dict of a name (such as `seed 0`) to a `tables.reliability_by_run`, all of one variant.
    """
    figure, (axes, counts) = new_figure(5.6, rows=2, width=6.4, sharex=True, height_ratios=[3, 1])
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":")
    axes.annotate("perfect calibration", (0.06, 0.08), rotation=34, rotation_mode="anchor", color=QUIET)
    for (name, table), colour in zip(tables.items(), _SEED_COLOURS, strict=False):
        found = table[table["n"] >= _FEW]
        error = np.abs(found[["ci_low", "ci_high"]].to_numpy().T - found["accuracy"].to_numpy())
        axes.errorbar(
            found["confidence"], found["accuracy"], error, fmt="o-", ms=4, lw=1.2, color=colour, label=name
        )
        bins = [*table["from"], table["to"].iloc[-1]]
        settings = {"element": "step", "fill": False, "color": colour, "linewidth": 1.2}
        sns.histplot(x=table["from"] + np.diff(bins) / 2, weights=table["n"], bins=bins, ax=counts, **settings)
    if len(tables) > 1:
        axes.legend(loc="upper left")
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy, 95 % CI")
    counts.set(xlabel="confidence: probability of the predicted class", ylabel="images")
    for axis in (axes.xaxis, axes.yaxis):
        percent_axis(axis)
    return figure


def _draw_curves(axes, runs, names, palette):
    """Lines over the epochs; `names`: column of `run.history` -> its name in the legend."""
    history = pd.concat([run.history[["epoch", *names]] for run in runs]).rename(columns=names)
    curves = history.melt("epoch", var_name="curve")
    sns.lineplot(
        curves, x="epoch", y="value", hue="curve", style="curve", dashes=False, palette=palette,
        markers=["o", "s"], ax=axes, **{name: OVER_SEEDS[name] for name in OVER_SEEDS if name != "marker"},
    )  # fmt: skip
    axes.legend(title=None)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y")
