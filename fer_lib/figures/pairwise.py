"""Notebook 05: the four pairwise functions and the control, accuracy against cost, one block or all."""

import numpy as np
import seaborn as sns

from fer_lib.analysis.tables import pareto_front
from fer_lib.figures import style
from fer_lib.figures.style import INK, PALETTE, QUIET, new_figure, styled
from fer_lib.variants import PAIRWISE_LABELS, Variant

_COSTS = {
    "trainable_parameters": ("parameters, millions", 1e6), "macs": ("MACs, millions", 1e6),
    "activation_bytes": ("activation memory, MiB an image", 2**20),
}  # fmt: skip
# Here hue is the function's, for all blocks are at one stage.
_HUES = [*list(PALETTE.values())[:3], PALETTE["purple"], QUIET, PALETTE["green"]]
_COLOURS = dict(zip(style.MARKERS, _HUES, strict=True))
# What meets: the names of the vectors of query and key, their cells, the gap between them, formula, normalisation.
_MEETINGS = {
    "gaussian": ("xᵢ", "xⱼ", 5, 0.9, "exp( xᵢᵀ xⱼ )", "softmax over j"),
    "embedded_gaussian": ("θ(xᵢ)", "φ(xⱼ)", 3, 0.9, "exp( θ(xᵢ)ᵀ φ(xⱼ) )", "softmax over j"),
    "dot_product": ("θ(xᵢ)", "φ(xⱼ)", 3, 0.9, "θ(xᵢ)ᵀ φ(xⱼ)", "divided by N"),
    "concatenation": ("θ(xᵢ)", "φ(xⱼ)", 3, 0.0, "ReLU( wᵀ [θ(xᵢ), φ(xⱼ)] )", "divided by N"),
    "identity": ("", "", 0, 0.0, "1 if j = i, else 0", "no other position"),
    "uniform": ("", "", 0, 0.0, "1 for every j", "divided by N"),
}


@styled
def pairwise_diagram():
    """Draw the four functions and the control, a panel each: which positions meet, and what makes the weight."""
    figure, panels = new_figure(3.2, 1, len(_MEETINGS))
    rows, columns = np.indices((4, 4)).reshape(2, 16)
    x, y, asking = 1.65 + 0.9 * columns, 8.5 - 0.9 * rows, 5  # a map of positions, and the place of the query
    for axes, (name, (query, key, cells, gap, formula, normalised)) in zip(panels, _MEETINGS.items(), strict=True):
        axes.set(xlim=(0, 6), ylim=(0.4, 9.2), aspect="equal")
        axes.set_axis_off()
        axes.set_title(PAIRWISE_LABELS[name].replace(" (", "\n("), loc="center")
        met = "white" if name == "identity" else PALETTE["blue"]
        colours = np.where(np.arange(16) == asking, PALETTE["orange"], met)
        axes.scatter(x, y, 280, colours, marker="s", edgecolors=QUIET, linewidths=0.8)
        if name != "identity":
            lines = [np.full(16, x[asking]), x], [np.full(16, y[asking]), y]
            axes.plot(*lines, color=INK, linewidth=0.7, marker=".", markersize=3)
        apart = 0.22 * cells + gap / 2
        for place, words, colour in ((3 - apart, query, PALETTE["orange"]), (3 + apart, key, PALETTE["blue"])):
            axes.text(place, 3, f"{words}\n{'■' * cells}", ha="center", fontsize=10, color=colour)
        axes.text(3, 3.05, "·" if gap else "", ha="center", fontsize=14)
        axes.text(3, 1.8, formula, ha="center", fontsize=10)
        axes.text(3, 0.7, normalised, ha="center", fontsize=10, color=QUIET)
    return figure


@styled
def accuracy_against_cost(table):
    """Draw accuracy with its 95 % CI over each cost; the steps join the Pareto front.

    `table`: `tables.accuracy_by_variant` of networks with blocks at one stage, joined with the costs of each.
    """
    markers = {"baseline": "p"} | {PAIRWISE_LABELS[key]: marker for key, marker in style.MARKERS.items()}
    palette = {"baseline": style.BASELINE_COLOUR} | {PAIRWISE_LABELS[key]: hue for key, hue in _COLOURS.items()}
    variants = [Variant.from_name(name) for name in table["variant"]]
    names = [PAIRWISE_LABELS[variant.pairwise] if variant.stages else "baseline" for variant in variants]
    figure, panels = new_figure(4.2, columns=len(_COSTS), sharey=True)
    for axes, (column, (words, unit)) in zip(panels, _COSTS.items(), strict=True):
        points = table.assign(cost=table[column] / unit, network=names)
        apart = 0.03 * np.ptp(points["cost"]) or 1  # so that the intervals of equal costs are beside each other
        points["cost"] += apart * points.groupby((points["cost"] / apart).round()).cumcount()
        front = points[pareto_front(table[column], table["accuracy"])].sort_values("cost")
        axes.step(front["cost"], front["accuracy"], where="post", color=QUIET, linewidth=1, zorder=0)
        colours = points["network"].map(palette)
        axes.vlines(points["cost"], points["ci_low"], points["ci_high"], colors=colours, linewidth=1.6)
        dots = {"hue": "network", "style": "network", "palette": palette, "markers": markers, "s": 70, "zorder": 3}
        sns.scatterplot(points, x="cost", y="accuracy", legend=axes is panels[0], ax=axes, **dots)
        axes.set(xlabel=words, ylabel="7-class accuracy, 95 % CI")
        axes.locator_params(axis="x", nbins=5)
        axes.margins(x=0.12)
    style.percent_axis(panels[0].yaxis)
    panels[0].get_legend().remove()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure
