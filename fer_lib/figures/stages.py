"""Notebook 02: the block, and accuracy by variant: curves, intervals, differences to the baseline, power."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fer_lib.figures import style
from fer_lib.figures.baseline import OVER_SEEDS
from fer_lib.figures.style import INK, PALETTE, QUIET, new_figure, styled, variant_style
from fer_lib.formats import interval, p_value, percent, points

_ROW = 0.36  # inches a row
# Steps of the block: place, operation, shape of its output. H x W positions, N = H W, C channels.
_STEPS = {
    "x": (0.45, 1.5, "x", "H × W × C"),
    "theta": (2.0, 2.5, "θ: 1 × 1 conv", "N × C/2"),
    "phi": (2.0, 1.5, "φ: 1 × 1 conv", "N × C/2"),
    "g": (2.0, 0.5, "g: 1 × 1 conv", "N × C/2"),
    "pairwise": (3.85, 2.0, "pairwise function\nθ(xᵢ)ᵀ φ(xⱼ)", "f, N × N"),
    "softmax": (5.65, 2.0, "softmax\nover j", "a, N × N"),
    "sum": (7.0, 1.0, "weighted sum\nΣⱼ aᵢⱼ g(xⱼ)", "y, N × C/2"),
    "out": (8.65, 1.0, "$W_z$: 1 × 1 conv\nBN (γ = 0)", "H × W × C"),
    "z": (10.1, 1.5, "+", "z, H × W × C"),
}
_ARROWS = "x-theta x-phi x-g theta-pairwise phi-pairwise pairwise-softmax softmax-sum g-sum sum-out out-z x-z"


@styled
def block_diagram():
    """Draw the non-local block: what it computes, in order, and the shape of each result."""
    figure, axes = new_figure(3.3)
    axes.set(xlim=(0, 10.7), ylim=(-0.1, 3.35))
    axes.set_axis_off()
    boxes, centred = {}, {"ha": "center", "va": "center"}
    for name, (column, row, words, shape) in _STEPS.items():
        colour = PALETTE["orange"] if name in ("pairwise", "softmax") else PALETTE["navy"]
        box = {"boxstyle": "circle" if name in "xz" else "round", "pad": 0.45, "fc": "white", "ec": colour}
        boxes[name] = axes.text(column, row, words, fontsize=10, bbox=box, **centred)
        axes.text(column, row - (0.46 if "\n" in words else 0.36), shape, fontsize=9, color=QUIET, **centred)
    figure.draw_without_rendering()  # arrows end at the boxes, whose sizes are known once drawn
    residual = {"connectionstyle": "bar,fraction=-0.16", "color": PALETTE["green"]}
    for arrow in _ARROWS.split():
        start, end = (boxes[name] for name in arrow.split("-"))
        look = {"arrowstyle": "-|>", "color": INK, "lw": 1.2, "shrinkA": 2, "shrinkB": 2}
        look |= {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()}
        look |= residual if arrow == "x-z" else {}
        axes.annotate("", end.get_position(), start.get_position(), arrowprops=look)
    axes.text(5.3, 3.2, "residual connection: z = BN($W_z$ y) + x", fontsize=10, color=PALETTE["green"], **centred)
    return figure


@styled
def curves_by_variant(runs, baseline):
    """Draw validation accuracy over the epochs, mean and range of the seeds, each variant over the baseline."""
    history = pd.concat([run.history.assign(variant=run.variant) for run in runs])
    variants = [name for name in history["variant"].unique() if name != baseline]
    figure, panels = style.small_multiples(len(variants), height=2.3)
    for axes, variant in zip(panels, variants, strict=True):
        for name, line in ((baseline, {"linestyle": "--", "linewidth": 1.2}), (variant, {"marker": "o"})):
            rows, line = history[history["variant"] == name], OVER_SEEDS | line
            sns.lineplot(rows, x="epoch", y="val_accuracy", color=variant_style(name)["color"], ax=axes, **line)
        axes.set(xlabel="", ylabel="")
        axes.set_title(style.label_of(variant, ",\n"))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(axis="y")
    figure.supxlabel("epoch (dashed: baseline)", fontsize=11)
    style.percent_axis(panels[0].yaxis)
    return figure


@styled
def accuracy_by_variant(summary, by_run):
    """Draw accuracies with 95 % CIs, and each seed's, from `tables.accuracy_by_variant` and `accuracy_by_run`."""
    figure, axes = new_figure(0.9 + _ROW * len(summary))
    rows = {name: row for row, name in enumerate(summary["variant"])}
    axes.axvline(summary["accuracy"].iloc[0], color=QUIET, linewidth=1, zorder=0)
    palette = {name: variant_style(name)["color"] for name in rows}
    dots = {"hue": "variant", "palette": palette, "jitter": False, "native_scale": True, "orient": "h", "size": 4}
    several = by_run[by_run["variant"].map(summary.set_index("variant")["seeds"]) > 1]
    heights = several["variant"].map(rows) + 0.27
    sns.stripplot(several, x="accuracy", y=heights, legend=False, ax=axes, **dots)
    for row, found in enumerate(summary.to_dict("records")):
        limits = found["ci_low"], found["ci_high"]
        style.draw_interval(axes, row, found["accuracy"], *limits, variant_style(found["variant"]))
        style.write_beside(axes, row, {54: percent(found["accuracy"]), 190: interval(*limits, percent)})
    style.write_beside(axes, -0.9, {54: "accuracy", 190: "95 % CI"}, color=QUIET)
    style.name_rows(axes, map(style.label_of, rows), "7-class accuracy, 95 % CI")
    style.percent_axis(axes.xaxis)
    return figure


@styled
def forest_plot(comparison):
    """Draw differences in pp from `tables.comparison` or `tables.against_control`, with both CIs."""
    figure, axes = new_figure(1.5 + _ROW * len(comparison))
    axes.axvline(0, color=INK, linewidth=1)
    columns = ["difference", "ci_low", "ci_high", "simultaneous_low", "simultaneous_high"]
    for row, found in enumerate(comparison.to_dict("records")):
        look, values = variant_style(found["variant"]), [100 * found[name] for name in columns]
        axes.plot(values[3:], [row, row], color=look["color"], linewidth=1)
        style.draw_interval(axes, row, *values[:3], look, size=9)
        limits, p = interval(found["ci_low"], found["ci_high"]), p_value(found["p_holm"])
        style.write_beside(axes, row, {46: points(found["difference"]), 144: limits, 264: p})
    style.write_beside(axes, -0.9, {46: "pp", 144: "95 % CI", 264: "p (Holm-adjusted)"}, color=QUIET)
    words = f"accuracy minus that of '{style.label_of(comparison['baseline'].iloc[0])}', percentage points (pp)"
    style.name_rows(axes, map(style.label_of, comparison["variant"]), words)
    # As wide on both sides, so that better and worse are seen on one scale.
    reach = 110 * np.nanmax(comparison[columns].abs().to_numpy())
    axes.set_xlim(-reach, reach)
    lines = [Line2D([], [], color=QUIET, linewidth=width) for width in (3, 1)]
    figure.legend(lines, ["95 % CI", "simultaneous 95 % CI"], loc="outside lower left", ncols=2)
    return figure


@styled
def power_curve(power, seeds, effect=0.01):
    """Draw the minimum detectable effect at 80 % power against seeds, with a line at an effect to be found.

    `power`: DataFrame: seeds (of each network), mde (a fraction); `seeds`: of this study; `effect`: a fraction.
    """
    figure, axes = new_figure(3.4)
    sns.lineplot(power, x="seeds", y=100 * power["mde"], color=PALETTE["navy"], marker="o", ax=axes)
    axes.axvline(seeds, color=QUIET, linestyle=":")
    axes.axhline(100 * effect, color=PALETTE["orange"], linestyle="--")
    mde = power.set_index("seeds")["mde"].get(seeds)
    axes.annotate(f"this study: {seeds} seeds, {percent(mde).replace('%', 'pp')}", (seeds + 0.5, 110 * mde))
    axes.annotate(f"{100 * effect:g} pp", (1.01, 100 * effect), xycoords=axes.get_yaxis_transform(), va="center")
    axes.set(xlabel="seeds of each network", ylabel="minimum detectable effect\nat 80 % power (pp)")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    return figure
