"""Notebook 05: what the pairwise functions and the controls compare, and accuracy beside cost."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_lib.figures import style
from fer_lib.figures.style import INK, PALETTE, QUIET, new_figure, styled
from fer_lib.variants import PAIRWISE_LABELS

_COSTS = {"trainable_parameters": "parameters", "macs": "MACs", "activation_bytes": "activation memory"}
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
def pairwise_diagram() -> Figure:
    """Draw the four functions and the two controls: which positions meet, and what makes the weight."""
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
def accuracy_and_cost(table: pd.DataFrame) -> Figure:
    """Draw one row per network of `tables.accuracy_by_variant` joined with costs: accuracy and three costs.

    A name is bold where no other network has a higher accuracy for as few MACs (the Pareto front).
    """
    figure, panels = new_figure(1.1 + 0.36 * len(table), columns=1 + len(_COSTS), width_ratios=[1.6, 1, 1, 1])
    rows, cheapest_first = np.arange(len(table)), table.sort_values(["macs", "accuracy"], ascending=[True, False])
    before = cheapest_first["accuracy"].cummax().shift(fill_value=0)  # of those with as few MACs or fewer
    best = (cheapest_first["accuracy"] > before).loc[table.index]
    for axes, (column, title) in zip(panels[1:], _COSTS.items(), strict=True):
        words = [style.amount(number, column) for number in table[column]]
        style.draw_bars(axes, rows, table[column], words, title, color=QUIET)
        axes.set_yticks([])
    style.draw_intervals(panels[0], rows, table, ["accuracy", "ci_low", "ci_high"])
    style.name_rows(panels[0], table["variant"], "accuracy, 95 % CI", bins=3)
    style.percent_axis(panels[0].xaxis)
    for label, is_best in zip(panels[0].get_yticklabels(), best, strict=True):
        label.set_fontweight("bold" if is_best else "normal")
    return figure
