"""Notebook 07: the paper's accuracies read as another metric, and what one run of each network can detect."""

import seaborn as sns

from fer_lib.display import BINARY_FLOOR, DATASET_NAMES, count, percent
from fer_lib.figures.style import INK, PALETTE, QUIET, new_figure, percent_axis, styled

_COLOURS = {"fer2013": PALETTE["orange"], "kdef": PALETTE["navy"]}


@styled
def two_metrics(epochs, readings):
    """Draw 7-class accuracy against BinaryAccuracy: `claims.epochs_table` and the paper's in `claims.readings`."""
    figure, axes = new_figure(4.8)
    axes.plot([5 / 7, 1], [0, 1], color=INK, linewidth=1.2)  # 1 - (2 / 7) (1 - accuracy)
    axes.annotate("every prediction confident", (0.96, 0.88), ha="right")
    axes.axvline(BINARY_FLOOR, color=QUIET, linestyle=":", linewidth=1.2)
    words = f"all-negative baseline: {percent(BINARY_FLOOR)}"
    axes.annotate(words, (BINARY_FLOOR - 0.002, 0.02), color=QUIET, ha="right")
    axes.axhline(1 / 7, color=QUIET, linestyle=":", linewidth=1.2)
    axes.annotate(f"chance: {percent(1 / 7)}", (1, 1 / 7 + 0.01), color=QUIET, ha="right")
    dots = {"color": PALETTE["green"], "s": 14, "linewidth": 0, "label": "epochs of this study, validation set"}
    sns.scatterplot(epochs, x="binary_accuracy", y="accuracy", ax=axes, **dots)
    for dataset, found in readings.groupby("dataset"):
        label = f"the paper's {DATASET_NAMES[dataset]} accuracies, read as BinaryAccuracy"
        colour = _COLOURS[dataset]
        axes.plot(found["reported"], found["if_confident"], "o", color=colour, markersize=6, label=label)
        axes.vlines(found["reported"], 0, found["if_confident"], color=colour, linewidth=0.8)
    axes.set(xlim=(5 / 7, 1), ylim=(0, 1), xlabel="BinaryAccuracy", ylabel="7-class accuracy")
    percent_axis(axes.xaxis, axes.yaxis)
    axes.legend(loc="upper left", frameon=True, facecolor="white", edgecolor="none", framealpha=1)
    return figure


@styled
def single_run_power(power, images, reported):
    """Draw `claims.power_of_one_run`, the paper's number of images and its `reported` differences by label."""
    figure, axes = new_figure(4)
    labels = power["discordance"].map(lambda share: f"{percent(share, 0)} of the images")
    sns.lineplot(x=power["images"], y=100 * power["mde"], hue=labels, style=labels, ax=axes)
    axes.legend(title="correct for exactly one network")
    axes.axvline(images, color=QUIET, linestyle=":", label="")
    axes.text(1.03 * images, 10, f"{count(images)} images", color=QUIET)
    last = power["images"].max()
    for words, difference in reported.items():
        axes.axhline(100 * difference, color=INK, linewidth=1)
        axes.text(1.05 * last, 100 * difference, f"{words}: {100 * difference:.2f} pp", va="center")
    axes.set(xscale="log", yscale="log", yticks=[0.5, 1, 2, 5, 10], xlim=(power["images"].min(), last))
    axes.set(xlabel="test images", ylabel="minimum detectable effect\nat 80 % power (pp)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set(major_formatter="{x:g}", minor_formatter="")
    return figure
