"""Notebook 02: the block, and accuracy by variant: curves, intervals, differences to the baseline, power."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from fer_lib.display import percent
from fer_lib.figures import style
from fer_lib.figures.baseline import OVER_SEEDS
from fer_lib.figures.style import INK, PALETTE, QUIET, new_figure, styled, variant_style
from fer_lib.training.runs import Run

_ROW = 0.36  # inches per row
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
def block_diagram() -> Figure:
    """Draw the non-local block: what it computes, in order, and the shape of each result."""
    figure, axes = new_figure(3.3)
    axes.set(xlim=(0, 10.7), ylim=(-0.1, 3.35))
    axes.set_axis_off()
    boxes, centred = {}, {"ha": "center", "va": "center", "parse_math": True}
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
def network_diagram(sizes: pd.DataFrame, image_size: int, stages: tuple[int, ...]) -> Figure:
    """Draw ResNetV2 with blocks in `stages`; `sizes`: stage, bottlenecks, side (of maps), channels."""
    figure, axes = new_figure(2.6)
    axes.set(xlim=(-0.2, 12.4), ylim=(-1.75, 1.6))
    axes.set_axis_off()
    words = {"ha": "center", "va": "center", "fontsize": 10}
    for place, text in ((0.35, f"image\n{image_size} × {image_size}"), (1.7, "stem"), (11.5, "pooling,\nclasses")):
        axes.text(place, 0, text, bbox={"boxstyle": "round", "pad": 0.45, "fc": "white", "ec": QUIET}, **words)
    for row in sizes.itertuples():
        left, height = 2.5 + 2.1 * (row.stage - 1), 0.35 + 0.17 * np.log2(row.side)
        has_blocks = row.stage in stages
        axes.add_patch(Rectangle((left, -height), 1.7, 2 * height, fc="white", ec=PALETTE["navy"], linewidth=1.6))
        step = 1.7 / row.bottlenecks
        centres = left + step * (np.arange(row.bottlenecks) + 0.5)
        axes.scatter(centres - 0.12 * has_blocks, 0 * centres, 90, QUIET, marker="s", linewidths=0)
        if has_blocks:
            axes.scatter(centres + 0.12, 0 * centres, 60, PALETTE["orange"], marker="D", linewidths=0)
        axes.text(left + 0.85, 1.45, f"stage {row.stage}", color=PALETTE["navy"], **words)
        axes.text(left + 0.85, -1.5, f"{row.side} × {row.side} positions\n{row.channels} channels", **words)
    for end in (1.38, 2.5, 4.6, 6.7, 8.8, 10.92):
        axes.annotate("", (end, 0), (end - 0.42, 0), arrowprops={"arrowstyle": "-|>", "color": INK})
    return figure


@styled
def curves_by_variant(runs: list[Run], baseline: str) -> Figure:
    """Draw validation accuracy over the epochs, mean and range of the seeds, each variant over the baseline."""
    history = pd.concat([run.history.assign(variant=run.variant) for run in runs])
    variants = [name for name in history["variant"].unique() if name != baseline]
    figure, panels = style.small_multiples(len(variants), height=2.3)
    for axes, variant in zip(panels, variants, strict=True):
        for name, line in ((baseline, {"linestyle": "--", "linewidth": 1.2}), (variant, {"marker": "o"})):
            rows, line = history[history["variant"] == name], OVER_SEEDS | line
            sns.lineplot(rows, x="epoch", y="val_accuracy", color=variant_style(name)["color"], ax=axes, **line)
        axes.set(xlabel="", ylabel="")
        axes.set_title(style.label_of(variant).replace(", ", ",\n", 1))
        axes.locator_params(axis="x", nbins=4, integer=True)
    figure.supxlabel("epoch (dashed: baseline)")
    style.percent_axis(panels[0].yaxis)
    return figure


@styled
def accuracy_by_variant(summary: pd.DataFrame, by_run: pd.DataFrame) -> Figure:
    """Draw accuracies with 95 % CIs, and each seed's, from `tables.accuracy_by_variant` and `accuracy_by_run`."""
    figure, axes = new_figure(0.9 + _ROW * len(summary))
    rows, values = pd.RangeIndex(len(summary)), ["accuracy", "ci_low", "ci_high"]
    axes.axvline(summary["accuracy"].iloc[0], color=QUIET, linewidth=1, zorder=0)
    places = summary.assign(row=rows)[["variant", "seeds", "row"]]
    several = by_run[["variant", "accuracy"]].merge(places).query("seeds > 1")
    colours = [variant_style(name)["color"] for name in several["variant"]]
    axes.scatter(several["accuracy"], several["row"] + 0.27, s=16, color=colours)
    style.draw_intervals(axes, rows, summary, values)
    style.write_beside(axes, summary[values], {"accuracy (%)": 84, "95 % CI (%)": 180})
    style.name_rows(axes, summary["variant"], "accuracy, 95 % CI")
    style.percent_axis(axes.xaxis)
    return figure


@styled
def forest_plot(comparison: pd.DataFrame) -> Figure:
    """Draw differences in pp from `tables.comparison` or `tables.against_control`, with both CIs."""
    figure, axes = new_figure(1.5 + _ROW * len(comparison))
    axes.axvline(0, color=INK, linewidth=1)
    columns = ["difference", "ci_low", "ci_high", "simultaneous_low", "simultaneous_high"]
    in_points, rows = comparison.assign(**(100 * comparison[columns])), range(len(comparison))
    style.draw_intervals(axes, rows, in_points, ["difference", *columns[3:]], size=3)
    style.draw_intervals(axes, rows, in_points, columns[:3], size=9)
    edges = {"pp": 46, "95 % CI": 144, "p (Holm-adjusted)": 264}
    style.write_beside(axes, comparison[["difference", "ci_low", "ci_high", "p_holm"]], edges)
    words = f"accuracy minus that of '{style.label_of(comparison['baseline'].iloc[0])}', percentage points (pp)"
    style.name_rows(axes, comparison["variant"], words)
    # As wide on both sides, so that better and worse are seen on one scale.
    reach = 110 * comparison[columns].abs().max(axis=None)
    axes.set_xlim(-reach, reach)
    lines = [Line2D([], [], color=QUIET, linewidth=width) for width in (3, 1)]
    figure.legend(lines, ["95 % CI", "simultaneous 95 % CI"], loc="outside lower left", ncols=2)
    return figure


@styled
def power_curve(power: pd.DataFrame, seeds: int) -> Figure:
    """Draw the minimum detectable effect at 80 % power (mde) against seeds; lines: 1 pp, this study."""
    figure, axes = new_figure(3.4)
    sns.lineplot(power, x="seeds", y=100 * power["mde"], color=PALETTE["navy"], marker="o", ax=axes)
    axes.axvline(seeds, color=QUIET, linestyle=":")
    axes.axhline(1, color=PALETTE["orange"], linestyle="--")
    mde = power.set_index("seeds")["mde"].get(seeds)
    axes.annotate(f"this study: {seeds} seeds, {percent(mde).replace('%', 'pp')}", (seeds + 0.5, 110 * mde))
    axes.annotate("1 pp", (1.01, 1), xycoords=axes.get_yaxis_transform(), va="center")
    axes.set(xlabel="seeds of each network", ylabel="minimum detectable effect\nat 80 % power (pp)")
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)
    return figure
