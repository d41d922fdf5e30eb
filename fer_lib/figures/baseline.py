"""Notebook 01: training curves, the two accuracies, scores by class and calibration of one variant."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from fer_lib.display import binary_floor, count, percent
from fer_lib.figures import style
from fer_lib.figures.style import PALETTE, QUIET, new_figure, percent_axis, styled
from fer_lib.training.runs import Run

# The mean over seeds is a line, their range a band.
OVER_SEEDS = {"errorbar": ("pi", 100), "markersize": 4, "markeredgewidth": 0}


@styled
def training_curves(runs: list[Run]) -> Figure:
    """Draw accuracy and loss of one variant's runs over the epochs: mean and range of the seeds."""
    figure, panels = new_figure(3.6, columns=2)
    for axes, metric in zip(panels, ("accuracy", "loss"), strict=True):
        names = {metric: "training set", f"val_{metric}": "validation set"}
        _draw_curves(axes, runs, names, [PALETTE["orange"], PALETTE["navy"]])
        axes.set_title(metric)
    percent_axis(panels[0].yaxis)
    panels[1].get_legend().remove()
    return figure


@styled
def two_accuracies(runs: list[Run]) -> Figure:
    """Draw accuracy and BinaryAccuracy of the same validation predictions, as `training_curves` does."""
    figure, axes = new_figure(3.6)
    classes = len(runs[0].class_names)
    floor = binary_floor(classes)
    names = {"val_binary_accuracy": "BinaryAccuracy", "val_accuracy": f"{classes}-class accuracy"}
    _draw_curves(axes, runs, names, [PALETTE["purple"], PALETTE["navy"]])
    label = f"BinaryAccuracy of the all-negative baseline: {percent(floor)}"
    axes.axhline(floor, color=QUIET, linewidth=1, linestyle=":", label=label)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=3)
    axes.set_ylim(0, 1)
    percent_axis(axes.yaxis)
    return figure


@styled
def class_scores(scores: pd.DataFrame) -> Figure:
    """Draw recall (filled) and precision (open) with their 95 % CIs from one variant's `tables.class_scores`."""
    table = scores.sort_values("support", ascending=False)
    figure, axes = new_figure(0.9 + 0.5 * len(table))
    for score, shift in (("recall", -0.14), ("precision", 0.14)):
        values = [score, f"{score}_low", f"{score}_high"]
        style.draw_intervals(axes, np.arange(len(table)) + shift, table, values, 6, filled=score == "recall")
    names = table["class"] + " (" + table["support"].map(count) + ")"
    style.name_rows(axes, names, "score and 95 % CI; in brackets the images of the class")
    axes.set_xlim(-0.02, 1.02)
    percent_axis(axes.xaxis)
    markers = axes.lines[1], axes.lines[-1]
    axes.legend(markers, ["recall", "precision"], loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def reliability(tables: dict[str, pd.DataFrame]) -> Figure:
    """Draw accuracy (bins of 10 images or more) and the number of images against confidence.

    `tables`: a name, such as `seed 0`, to a `metrics.reliability`, all of one variant.
    """
    figure, (axes, counts) = new_figure(5.6, rows=2, width=6.4, sharex=True, height_ratios=[3, 1])
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":", label="perfect calibration")
    for (name, table), colour in zip(tables.items(), PALETTE.values(), strict=False):
        enough = table[table["n"] >= 10]  # fewer are noise
        error = np.abs(enough[["ci_low", "ci_high"]].to_numpy().T - enough["accuracy"].to_numpy())
        line = {"fmt": "o-", "markersize": 4, "linewidth": 1.2, "color": colour, "label": name}
        axes.errorbar(enough["confidence"], enough["accuracy"], error, **line)
        counts.stairs(table["n"], [*table["from"], 1], color=colour, linewidth=1.2)
    axes.legend(loc="upper left")
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy, 95 % CI")
    counts.set(xlabel="confidence: probability of the predicted class", ylabel="images")
    percent_axis(axes.xaxis, axes.yaxis)
    return figure


def _draw_curves(axes, runs, names, palette):
    """Draw lines over the epochs; `names`: column of `run.history` -> its name in the legend."""
    history = pd.concat([run.history[["epoch", *names]] for run in runs]).rename(columns=names)
    lines = {"hue": "curve", "style": "curve", "dashes": False, "markers": ["o", "s"], "palette": palette}
    sns.lineplot(history.melt("epoch", var_name="curve"), x="epoch", y="value", ax=axes, **lines, **OVER_SEEDS)
    axes.legend(title=None)
    axes.set_ylabel("")
    axes.locator_params(axis="x", nbins=4, integer=True)
