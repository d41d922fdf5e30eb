"""Notebook 03: what blocks cost by stage, block, image size, pairwise function and layer, counted and measured."""

import numpy as np
import seaborn as sns
from matplotlib.colors import LogNorm

from fer_lib.display import percent
from fer_lib.figures import style
from fer_lib.figures.style import PALETTE, QUIET, STAGE_COLOURS, new_figure, styled
from fer_lib.variants import PAIRWISE_LABELS

# What one block costs: that which grows with the stage, that which stays, and those which shrink.
_SCALING = {
    "trainable_parameters": ("parameters", PALETTE["orange"]),
    "projection_macs": ("MACs of the projections", QUIET),
    "attention_macs": ("MACs between positions", PALETTE["navy"]),
    "attention_bytes": ("attention map", PALETTE["blue"]),
}
_COSTS = {
    "trainable_parameters": "parameters", "macs": "MACs", "attention_bytes": "attention maps",
    "activation_bytes": "activation memory",
}  # fmt: skip


@styled
def added_by_stage(costs):
    """Draw what blocks at a stage add, from `complexity.cost_by_stage`; filled: the MACs between positions."""
    figure, panels = new_figure(3.0, 1, 4, sharey=True)
    colours = [STAGE_COLOURS[(stage,)] for stage in range(1, len(costs))]
    for axes, (measure, title) in zip(panels, _COSTS.items(), strict=True):
        added, of_baseline = costs[f"added_{measure}"].iloc[1:], costs[measure].iloc[0]
        rises = [f" (+{percent(number / of_baseline, 0)})" if of_baseline else "" for number in added]
        words = [amount(number, measure) + rise for number, rise in zip(added, rises, strict=True)]
        faces = "white" if measure == "macs" else colours
        bars = axes.barh(added.index, added, 0.7, color=faces, edgecolor=colours)
        axes.bar_label(bars, words, padding=4, fontsize=10)
        if measure == "macs":
            axes.barh(added.index, costs["added_attention_macs"].iloc[1:], 0.7, color=colours, linewidth=0)
        axes.set(title=title, xticks=[], xlim=(0, 2.4 * added.max()), ylim=(len(added) - 0.5, -0.5))
        axes.spines[["bottom", "left"]].set_visible(False)
        axes.tick_params(left=False, grid_linewidth=0)
    return figure


@styled
def block_scaling(blocks):
    """Draw one block's costs relative to stage 1; `blocks`: DataFrame, a row a stage: stage and the costs."""
    figure, axes = new_figure(3.6)
    for measure, (label, colour) in _SCALING.items():
        relative = blocks[measure] / blocks[measure].iloc[0]
        last = relative.iloc[-1]
        axes.plot(blocks["stage"], relative, "o-", color=colour)
        factor = f"× {last:,.0f}" if last >= 0.95 else f"÷ {1 / last:,.0f}"
        axes.text(blocks["stage"].iloc[-1] + 0.07, last, f"{label} ({factor})", color=colour, va="center")
    axes.set(yscale="log", xlabel="stage", ylabel="cost of one block, stage 1 = 1", xticks=blocks["stage"])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    return figure


@styled
def attention_against_size(blocks, batch_size):
    """Draw the share of a block's MACs that is between positions, and the memory of a batch's attention maps.

    `blocks`: DataFrame, a row an image size and stage: `image_size`, `stage` and the costs for one image.
    """
    measures = {
        "share of a block's MACs between positions": blocks["attention_macs"] / blocks["macs"],
        f"attention maps, {batch_size} images (MiB)": batch_size * blocks["attention_bytes"] / 2**20,
    }
    palette = {stage: STAGE_COLOURS[(stage,)] for stage in blocks["stage"].unique()}
    lines = {"x": "image_size", "hue": "stage", "palette": palette, "marker": "o", "markeredgewidth": 0}
    figure, panels = new_figure(3.4, 1, 2)
    for axes, (title, values) in zip(panels, measures.items(), strict=True):
        sns.lineplot(blocks, y=values, ax=axes, **lines)
        axes.set(xscale="log", xlabel="side of the image (pixels)", ylabel="", title=title)
        axes.set_xticks(blocks["image_size"].unique(), blocks["image_size"].unique())
    style.percent_axis(panels[0].yaxis)
    panels[1].get_legend().remove()
    panels[1].set_yscale("log")
    panels[1].yaxis.set_major_formatter("{x:,g}")
    for axes in panels:
        axes.minorticks_off()
    return figure


@styled
def pairwise_costs(blocks, measure):
    """Draw one block's cost `measure` by function and stage; `blocks` has the columns stage and pairwise, too."""
    costs = blocks.pivot(index="pairwise", columns="stage", values=measure).reindex(list(PAIRWISE_LABELS))
    costs = costs.rename(PAIRWISE_LABELS).add_prefix("stage ")
    words = costs.map(lambda number: amount(number, measure))
    figure, axes = new_figure(2.6, width=7)
    norm = LogNorm(costs.min(axis=None) / 2, costs.max(axis=None))
    sns.heatmap(costs, annot=words, fmt="", cmap="Blues", norm=norm, cbar=False, linewidths=2, ax=axes)
    axes.set(xlabel="", ylabel="")
    axes.tick_params(length=0, rotation=0)
    return figure


@styled
def layer_profile(table):
    """Draw MACs and activation memory of every layer in order from `complexity.count_costs`; blocks are orange."""
    figure, panels = new_figure(4.2, 2, 1, sharex=True)
    scales = {"macs": ("million MACs", 1e6), "activation_bytes": ("activation memory (MiB)", 2**20)}
    colours = np.where(table["type"] == "NonLocal2D", PALETTE["orange"], QUIET)
    stages = table["stage"].to_numpy()
    firsts = np.flatnonzero(stages[1:] != stages[:-1]) + 1  # the stem has no name, for want of room
    for axes, (measure, (label, unit)) in zip(panels, scales.items(), strict=True):
        axes.bar(range(len(table)), table[measure] / unit, 1, color=colours, linewidth=0)
        axes.vlines(firsts - 0.5, 0, table[measure].max() / unit, color=QUIET, linewidth=0.8)
        axes.set_ylabel(label)
        axes.margins(x=0.01)
    panels[0].set_title("layer by layer; non-local blocks are orange")
    names = [f"stage {stage}".replace("stage head", "") for stage in stages[firsts]]
    panels[1].set_xticks(firsts, names, ha="left")
    return figure


@styled
def measured_times(times):
    """Draw milliseconds an image, median and range over rounds; `times`: variant, inference_ms, training_ms."""
    names = {"inference_ms": "inference", "training_ms": "training"}
    table = times[["variant", *names]].rename(columns=names).melt("variant", var_name="step")
    figure, axes = new_figure(1 + 0.4 * times["variant"].nunique())
    look = {"palette": [PALETTE["navy"], PALETTE["orange"]], "markers": ["o", "s"], "linestyle": "none"}
    look |= {"estimator": "median", "errorbar": ("pi", 100)}
    sns.pointplot(table, x="value", y="variant", hue="step", ax=axes, **look)
    style.name_rows(axes, map(style.label_of, times["variant"].unique()), "milliseconds an image")
    axes.legend(title=None)
    axes.set_xlim(left=0)
    return figure


def amount(number, measure):
    """Return a number in words that fit a bar: `12.6 M`, or `2.6 MiB` where `measure` ends in bytes."""
    step, units = (1024, "B KiB MiB GiB") if measure.endswith("bytes") else (1000, " k M G")
    power = int(np.log(max(number, 1)) / np.log(step) + 1e-9)
    number /= step**power
    return f"{number:,.{1 if power and number < 100 else 0}f} {units.split(' ')[power]}".strip()
