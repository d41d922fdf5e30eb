"""The pairwise functions at one place: accuracy against cost, differences to the control, placement.

Bars are 95 % intervals. Hue is the function's here, not the stage's.
"""

import numpy as np
from matplotlib.ticker import MaxNLocator

from fer_lib.analysis.tables import pareto_front
from fer_lib.figures.dots import ROW, draw_interval, name_rows
from fer_lib.figures.style import (
    INK,
    PAIRWISE_COLOURS,
    QUIET,
    STAGE_COLOURS,
    in_percent,
    label_of,
    lighter,
    new_figure,
    styled,
)
from fer_lib.variants import Variant

COSTS = {
    "trainable_parameters": ("Parameters, millions", 1e6),
    "multiply_adds": ("Multiply-adds, millions", 1e6),
    "activation_bytes": ("Activations held, MB an image", 1e6),
}


@styled
def accuracy_against_cost(table):
    """Accuracy over each cost, a dot a network, with the line of those that no other beats in both.

    Args:
        table: a DataFrame, one row a variant: variant, mean, low, high (of the accuracy) and the costs
            `trainable_parameters`, `multiply_adds` and `activation_bytes`.
    """
    figure, panels = new_figure(4.2, columns=len(COSTS), sharey=True)
    for axes, (column, (words, unit)) in zip(panels, COSTS.items(), strict=True):
        costs = table[column].to_numpy() / unit
        places, means = _apart(costs), table["mean"].to_numpy()
        front = np.flatnonzero(pareto_front(costs, means))
        front = front[np.argsort(places[front])]
        axes.step(places[front], means[front], where="post", color=lighter(QUIET, 0.4), zorder=0)
        for place, row in zip(places, table.to_dict("records"), strict=True):
            colour = pairwise_colour(row["variant"])
            axes.plot([place, place], [row["low"], row["high"]], color=colour, linewidth=1.6)
            axes.plot(place, row["mean"], "o", color=colour, markersize=8, label=_function(row["variant"]))
        axes.set(xlabel=words)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y")
        axes.margins(x=0.12)
    panels[0].set_ylabel("7-class accuracy, 95 % interval")
    panels[0].yaxis.set_major_formatter(in_percent())
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


@styled
def differences(comparison):
    """Accuracy minus that of one network, a row a variant, with its interval.

    Args:
        comparison: `evaluation.pooled_comparison_table`.
    """
    figure, axes = new_figure(1.2 + ROW * len(comparison))
    axes.axvline(0, color=INK, linewidth=1)
    for row, found in enumerate(comparison.to_dict("records")):
        values = [100 * found[name] for name in ("difference", "low", "high")]
        draw_interval(axes, row, *values, pairwise_colour(found["variant"]))
    name_rows(axes, comparison["variant"])
    reach = 1.1 * np.abs(100 * comparison[["low", "high"]].to_numpy()).max()
    words = label_of(comparison["baseline"].iloc[0])
    axes.set(xlim=(-reach, reach), xlabel=f"Accuracy minus that of '{words}', points, 95 % interval")
    return figure


@styled
def placements(table):
    """Accuracy of one block a stage against one after every bottleneck, a row a network.

    Args:
        table: `evaluation.summary_table` of such networks, pairs beside each other.
    """
    figure, axes = new_figure(1.0 + ROW * len(table))
    for row, found in enumerate(table.to_dict("records")):
        variant = Variant.from_name(found["variant"])
        colour = lighter(pairwise_colour(found["variant"]), 0 if variant.placement == "every" else 0.45)
        draw_interval(axes, row, found["mean"], found["low"], found["high"], colour)
    name_rows(axes, table["variant"])
    axes.set_xlabel("7-class accuracy, 95 % interval")
    axes.xaxis.set_major_formatter(in_percent())
    return figure


def pairwise_colour(name):
    """The colour of a variant's function; the plain network's is its own."""
    variant = Variant.from_name(name)
    return PAIRWISE_COLOURS[variant.pairwise] if variant.stages else STAGE_COLOURS[()]


def _function(name):
    variant = Variant.from_name(name)
    if not variant.stages:
        return "plain network"
    if variant.pairwise == "none":
        return "no mixing (control)"
    return variant.pairwise.replace("_", " ").replace("gaussian", "Gaussian")


def _apart(costs):
    """Places of dots beside each other where their costs are too close to tell their bars apart."""
    places, width = costs.astype(float).copy(), (np.ptp(costs) or costs.max()) * 0.04
    order = np.argsort(costs, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(costs[order]) > width / 2) + 1)
    for group in groups:
        places[group] += width * (np.arange(len(group)) - (len(group) - 1) / 2)
    return places
