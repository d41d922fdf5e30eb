"""Notebook 02: the block, and accuracy by variant: curves, intervals, differences to the baseline, power."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fer_lib.figures.baseline import OVER_SEEDS
from fer_lib.figures.style import (
    BASELINE_COLOUR,
    INK,
    PALETTE,
    QUIET,
    draw_interval,
    label_of,
    name_rows,
    new_figure,
    percent_axis,
    small_multiples,
    styled,
    two_lines,
    value_axis,
    variant_style,
    write_beside,
)
from fer_lib.formats import interval, p_value, percent, points

ROW = 0.36  # inches a row
# Steps of the block: place, operation, shape of its output. H x W positions, N = H W, C channels.
_STEPS = {
    "x": (0.45, 1.5, "x", "H × W × C"),
    "theta": (2.0, 2.5, "θ: 1 × 1 conv", "N × C/2"),
    "phi": (2.0, 1.5, "φ: 1 × 1 conv", "N × C/2"),
    "g": (2.0, 0.5, "g: 1 × 1 conv", "N × C/2"),
    "pairwise": (3.85, 2.0, "pairwise function\nθ(xᵢ)ᵀ φ(xⱼ)", "f, N × N"),
    "softmax": (5.65, 2.0, "softmax\nover j", "a, N × N"),
    "sum": (7.0, 1.0, "weighted sum\nΣⱼ aᵢⱼ g(xⱼ)", "y, N × C/2"),
    "out": (8.65, 1.0, "W_z: 1 × 1 conv\nBN (γ = 0)", "H × W × C"),
    "z": (10.1, 1.5, "+", "z, H × W × C"),
}
_ARROWS = [
    ("x", "theta"), ("x", "phi"), ("x", "g"), ("theta", "pairwise"), ("phi", "pairwise"), ("pairwise", "softmax"),
    ("softmax", "sum"), ("g", "sum"), ("sum", "out"), ("out", "z"),
]  # fmt: skip


@styled
def block_diagram():
    """Draw the non-local block: what it computes, in order, and the shape of each result."""
    figure, axes = new_figure(3.3)
    axes.set(xlim=(0, 10.7), ylim=(-0.1, 3.35))
    axes.set_axis_off()
    boxes = {}
    for name, (column, row, words, shape) in _STEPS.items():
        colour = PALETTE["orange"] if name in ("pairwise", "softmax") else PALETTE["navy"]
        box = {"boxstyle": "circle" if name in "xz" else "round", "facecolor": "white", "edgecolor": colour}
        boxes[name] = axes.text(
            column, row, words, ha="center", va="center", fontsize=10, bbox=box | {"pad": 0.45}
        )
        below = row - (0.36 if "\n" not in words else 0.46)
        axes.text(column, below, shape, ha="center", va="center", fontsize=9, color=QUIET)
    figure.draw_without_rendering()  # arrows end at the boxes, whose sizes are known once drawn
    for start, end in _ARROWS:
        _arrow(axes, boxes[start], boxes[end])
    _arrow(axes, boxes["x"], boxes["z"], connectionstyle="bar,fraction=-0.16", color=PALETTE["green"])
    axes.text(5.3, 3.2, "residual connection: z = W_z y + x", ha="center", fontsize=10, color=PALETTE["green"])
    return figure


@styled
def curves_by_variant(runs, baseline):
    """Draw validation accuracy over the epochs, mean and range of the seeds, a panel a variant over the baseline.

    Args:
        runs: `Run` objects, the baseline's among them.
        baseline: name of the variant that is dashed in every panel.
    """
    columns = {"epoch": "epoch", "val_accuracy": "accuracy"}
    history = pd.concat(
        [run.history[[*columns]].rename(columns=columns).assign(variant=run.variant) for run in runs]
    )
    variants = [name for name in history["variant"].unique() if name != baseline]
    figure, panels = small_multiples(len(variants), height=2.3)
    for axes, variant in zip(panels, variants, strict=True):
        for name in (baseline, variant):
            rows, look = history[history["variant"] == name], {"color": variant_style(name)["color"]}
            look |= {"linestyle": "--", "linewidth": 1.2, "markersize": 0} if name == baseline else {}
            sns.lineplot(rows, x="epoch", y="accuracy", ax=axes, **OVER_SEEDS | look)
        axes.set(xlabel="", ylabel="")
        axes.set_title(two_lines(variant))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(axis="y")
    figure.supxlabel("epoch (dashed: baseline)", fontsize=11)
    percent_axis(panels[0].yaxis)
    return figure


@styled
def accuracy_by_variant(summary, by_run):
    """Draw the mean accuracy of every variant with its 95 % CI, and each seed's as a small dot below.

    Args:
        summary: `tables.accuracy_by_variant`; the first row's accuracy is a line.
        by_run: `tables.accuracy_by_run` of the same runs.
    """
    figure, axes = new_figure(0.9 + ROW * len(summary))
    rows = {name: row for row, name in enumerate(summary["variant"])}
    axes.axvline(summary["accuracy"].iloc[0], color=QUIET, linewidth=1, zorder=0)
    several = by_run[by_run["variant"].map(summary.set_index("variant")["seeds"]) > 1]
    sns.stripplot(
        several, x="accuracy", y=several["variant"].map(rows) + 0.27, hue="variant", jitter=False, native_scale=True,
        palette={name: variant_style(name)["color"] for name in rows}, orient="h", size=4, legend=False, ax=axes,
    )  # fmt: skip
    for row, found in enumerate(summary.to_dict("records")):
        limits = found["ci_low"], found["ci_high"]
        draw_interval(axes, row, found["accuracy"], *limits, variant_style(found["variant"]))
        write_beside(axes, row, {54: percent(found["accuracy"]), 190: interval(*limits, percent)})
    write_beside(axes, -0.9, {54: "accuracy", 190: "95 % CI"}, color=QUIET)
    name_rows(axes, [label_of(name) for name in rows])
    value_axis(axes, "7-class accuracy, 95 % CI")
    axes.set_ylabel("")
    percent_axis(axes.xaxis)
    return figure


@styled
def forest_plot(comparison):
    """Draw the difference to the baseline in percentage points: thick the 95 % CI, thin the simultaneous one.

    Args:
        comparison: `tables.comparison` or `tables.against_control`.
    """
    figure, axes = new_figure(1.5 + ROW * len(comparison))
    axes.axvline(0, color=INK, linewidth=1)
    for row, found in enumerate(comparison.to_dict("records")):
        style = variant_style(found["variant"])
        limits = [100 * found[name] for name in ("simultaneous_low", "simultaneous_high")]
        axes.plot(limits, [row, row], color=style["color"], linewidth=1)
        low, high = found["ci_low"], found["ci_high"]
        draw_interval(axes, row, 100 * found["difference"], 100 * low, 100 * high, style, size=9)
        texts = {46: points(found["difference"]), 144: interval(low, high), 264: p_value(found["p_holm"])}
        write_beside(axes, row, texts)
    write_beside(axes, -0.9, {46: "pp", 144: "95 % CI", 264: "p (Holm-adjusted)"}, color=QUIET)
    name_rows(axes, [label_of(name) for name in comparison["variant"]])
    value_axis(
        axes, f"accuracy minus that of '{label_of(comparison['baseline'].iloc[0])}', percentage points (pp)"
    )
    # As wide on both sides, so that better and worse are seen on one scale.
    limits = comparison[["ci_low", "ci_high", "simultaneous_low", "simultaneous_high"]]
    reach = 110 * np.nanmax(limits.abs().to_numpy())
    axes.set_xlim(-reach, reach)
    lines = [Line2D([], [], color=QUIET, linewidth=width) for width in (3, 1)]
    figure.legend(lines, ["95 % CI", "simultaneous 95 % CI"], loc="outside lower left", ncols=2)
    return figure


@styled
def power_curve(power, seeds):
    """Draw the minimum detectable effect at 80 % power against the number of seeds, and where it reaches 1 pp.

    Args:
        power: DataFrame: seeds, mde (a fraction), by rising seeds.
        seeds: of this study.
    """
    figure, axes = new_figure(3.4)
    points_of = power.assign(mde=100 * power["mde"])
    sns.lineplot(points_of, x="seeds", y="mde", color=PALETTE["navy"], marker="o", markeredgewidth=0, ax=axes)
    axes.axhline(1, color=PALETTE["orange"], linewidth=1.4, linestyle="--")
    axes.annotate("1 pp", (1.01, 1), xycoords=axes.get_yaxis_transform(), va="center", color=PALETTE["orange"])
    here = points_of[points_of["seeds"] == seeds]
    enough = points_of[points_of["mde"] <= 1].head(1)
    for rows, words in ((here, "this study, {} seeds: {:.1f} pp"), (enough, "{} seeds: {:.1f} pp")):
        for found in rows.itertuples():
            axes.plot(found.seeds, found.mde, "o", color=BASELINE_COLOUR, markersize=9)
            text = words.format(found.seeds, found.mde)
            axes.annotate(text, (found.seeds, found.mde), (8, 8), textcoords="offset points")
    axes.set(xlabel="seeds of each network", ylabel="minimum detectable effect\nat 80 % power (pp)")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y")
    return figure


def _arrow(axes, start, end, color=INK, **settings):
    """An arrow between two boxes of text, cut off at their edges."""
    ends = {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch(), "shrinkA": 2, "shrinkB": 2}
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.2} | ends | settings
    axes.annotate("", end.get_position(), start.get_position(), arrowprops=arrow)
