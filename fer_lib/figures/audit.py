"""Notebook 07: the paper's accuracies, read as another metric, beside what this study's epochs reach."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from fer_lib.display import DATASET_NAMES, binary_floor, percent
from fer_lib.figures.style import INK, PALETTE, QUIET, new_figure, percent_axis, styled

_COLOURS = {"fer2013": PALETTE["orange"], "kdef": PALETTE["navy"]}


@styled
def two_metrics(epochs: pd.DataFrame, readings: pd.DataFrame) -> Figure:
    """Draw 7-class accuracy against BinaryAccuracy: `claims.epochs_table` and the paper's in `claims.readings`."""
    figure, axes = new_figure(4.8)
    floor, chance, quiet = binary_floor(7), 1 / 7, {"color": QUIET, "linestyle": ":", "linewidth": 1.2}
    axes.plot([5 / 7, 1], [0, 1], color=INK, linewidth=1.2)  # 1 - (2 / 7) (1 - accuracy), of the paper's 7 classes
    axes.annotate("every prediction confident", (0.96, 0.88), ha="right")
    axes.axvline(floor, **quiet)
    axes.annotate(f"all-negative baseline: {percent(floor)}", (floor - 0.002, 0.02), color=QUIET, ha="right")
    axes.axhline(chance, **quiet)
    axes.annotate(f"chance: {percent(chance)}", (1, chance + 0.01), color=QUIET, ha="right")
    dots = {"color": PALETTE["green"], "s": 14, "linewidth": 0, "label": "epochs of this study, validation set"}
    sns.scatterplot(epochs, x="binary_accuracy", y="accuracy", ax=axes, **dots)
    for dataset, rows in readings.groupby("dataset"):
        label = f"the paper's {DATASET_NAMES[dataset]} accuracies, read as BinaryAccuracy"
        look = {"color": _COLOURS[dataset], "markersize": 6, "label": label}
        axes.plot(rows["reported"], rows["if_confident"], "o", **look)
        axes.vlines(rows["reported"], 0, rows["if_confident"], color=_COLOURS[dataset], linewidth=0.8)
    axes.set(xlim=(5 / 7, 1), ylim=(0, 1), xlabel="BinaryAccuracy", ylabel="7-class accuracy")
    percent_axis(axes.xaxis, axes.yaxis)
    axes.legend(loc="upper left", frameon=True, facecolor="white", edgecolor="none", framealpha=1)
    return figure
