"""Notebook 07: the paper's accuracies as another metric, what one run can detect, duplicates across splits."""

import numpy as np
import seaborn as sns

from fer_lib.figures.style import INK, PALETTE, QUIET, new_figure, percent_axis, styled
from fer_lib.formats import BINARY_FLOOR, DATASET_NAMES, count, percent

_COLOURS = {"fer2013": PALETTE["orange"], "kdef": PALETTE["navy"]}


@styled
def two_metrics(epochs, readings):
    """Draw 7-class accuracy against BinaryAccuracy: every epoch of the study, and the paper's six numbers.

    Args:
        epochs: DataFrame, a row a run and epoch: binary_accuracy, accuracy.
        readings: DataFrame, a row a number of the paper: dataset, reported, if_confident (7-class accuracy if it is
            the BinaryAccuracy of predictions that are all confident).
    """
    figure, axes = new_figure(4.8)
    line = np.array([5 / 7, 1.0])
    axes.plot(line, 1 - 3.5 * (1 - line), color=INK, linewidth=1.2)
    _note(axes, "every prediction confident", (0.965, 0.88), (-6, 0), INK, ha="right")
    axes.axvline(BINARY_FLOOR, color=QUIET, linestyle=":", linewidth=1.2)
    _note(
        axes, f"all-negative baseline: {percent(BINARY_FLOOR)}", (BINARY_FLOOR, 0.02), (-5, 0), QUIET, ha="right"
    )
    axes.axhline(1 / 7, color=QUIET, linestyle=":", linewidth=1.2)
    _note(axes, f"chance: {percent(1 / 7)}", (1, 1 / 7), (0, 4), QUIET, ha="right")
    sns.scatterplot(
        epochs, x="binary_accuracy", y="accuracy", color=PALETTE["green"], s=14, linewidth=0, ax=axes,
        label="epochs of this study, validation set",
    )  # fmt: skip
    for dataset, found in readings.groupby("dataset"):
        label = f"the paper's {DATASET_NAMES[dataset]} accuracies, read as BinaryAccuracy"
        colour = _COLOURS[dataset]
        axes.plot(found["reported"], found["if_confident"], "o", color=colour, markersize=6, label=label)
        axes.vlines(found["reported"], 0, found["if_confident"], color=colour, linewidth=0.8)
    axes.set(xlim=(5 / 7, 1), ylim=(0, 1), xlabel="BinaryAccuracy", ylabel="7-class accuracy")
    for axis in (axes.xaxis, axes.yaxis):
        percent_axis(axis)
    axes.legend(loc="upper left", frameon=True, facecolor="white", edgecolor="none", framealpha=1)
    return figure


@styled
def single_run_power(power, images, reported):
    """Draw the minimum detectable effect of one run each at 80 % power against the number of test images.

    Args:
        power: DataFrame: images, discordance (share of the images that exactly one of two networks classifies
            correctly), mde; fractions.
        images: the paper's test images.
        reported: dict of a label to a difference that the paper reports, a fraction.
    """
    figure, axes = new_figure(4.2)
    table = power.assign(mde=100 * power["mde"], label=power["discordance"].map(lambda share: percent(share, 0)))
    palette = list(PALETTE.values())[: table["label"].nunique()]
    sns.lineplot(table, x="images", y="mde", hue="label", style="label", palette=palette, ax=axes)
    axes.legend(loc="upper right", title="correct for exactly one network", alignment="left")
    axes.axvline(images, color=QUIET, linestyle=":", linewidth=1.2)
    _note(axes, f"{count(images)} images", (images, 0.94), (5, 0), QUIET, xycoords=axes.get_xaxis_transform())
    for words, difference in reported.items():
        axes.axhline(100 * difference, color=INK, linewidth=1)
        place = {"xycoords": axes.get_yaxis_transform(), "ha": "left", "va": "center"}
        _note(axes, f"{words}: {100 * difference:.2f} pp", (1.01, 100 * difference), (0, 0), INK, **place)
    axes.set(xscale="log", yscale="log", xlim=(power["images"].min(), power["images"].max()), xlabel="test images")
    axes.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    axes.yaxis.set_minor_formatter("")
    axes.set_ylabel("minimum detectable effect\nat 80 % power (pp)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y")
    return figure


def _note(axes, text, place, shift, colour, **settings):
    """Write at a place of the axes, shifted by so many points."""
    axes.annotate(text, place, xytext=shift, textcoords="offset points", color=colour, **settings)
