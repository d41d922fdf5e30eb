"""Notebook 03: what blocks cost by stage, block, image size, pairwise function and layer, counted and measured."""

import numpy as np
import seaborn as sns
from matplotlib.ticker import NullLocator

from fer_lib.figures import style
from fer_lib.figures.style import INK, PALETTE, QUIET, STAGE_COLOURS, new_figure, styled
from fer_lib.formats import percent
from fer_lib.variants import PAIRWISE_LABELS

# What one block costs: that which grows with the stage, that which stays, and that which shrinks.
_SCALING = {
    "trainable_parameters": ("parameters", PALETTE["orange"]),
    "projection_multiply_adds": ("MACs of the projections", QUIET),
    "attention_multiply_adds": ("MACs between positions", PALETTE["navy"]),
    "attention_bytes": ("attention map", PALETTE["blue"]),
}
_ADDED = {
    "trainable_parameters": "parameters",
    "multiply_adds": "MACs",
    "attention_bytes": "attention maps",
    "activation_bytes": "activation memory",
}
_BESIDE = {"textcoords": "offset points", "va": "center", "annotation_clip": False}


@styled
def added_by_stage(costs):
    """Draw what blocks at each single stage add to the baseline, in four measures; in brackets the rise.

    The filled part of the MACs is between positions, the open part in the projections.

    Args:
        costs: `complexity.cost_by_stage`: the baseline, then a row a stage.
    """
    figure, panels = new_figure(3.0, 1, 4, sharey=True)
    colours = [STAGE_COLOURS[(stage,)] for stage in range(1, len(costs))]
    for axes, (measure, title) in zip(panels, _ADDED.items(), strict=True):
        added, of_baseline = costs[f"added_{measure}"].iloc[1:], costs[measure].iloc[0]
        rises = [f" (+{percent(number / of_baseline, 0)})" if of_baseline else "" for number in added]
        words = [amount(number, measure) + rise for number, rise in zip(added, rises, strict=True)]
        _draw_bars(axes, added, colours, words, title, 2.4 * added.max(), filled=measure != "multiply_adds")
        if measure == "multiply_adds":
            axes.barh(added.index, costs["added_attention_multiply_adds"].iloc[1:], color=colours, height=0.7)
    return figure


@styled
def block_scaling(blocks):
    """Draw how the costs of one block change from stage to stage, relative to stage 1, on a logarithmic axis.

    Args:
        blocks: DataFrame, a row a stage in order: `stage` and the four costs of `complexity.count`.
    """
    figure, axes = new_figure(3.6)
    stages = blocks["stage"].to_numpy()
    for measure, (label, colour) in _SCALING.items():
        relative = blocks[measure].to_numpy() / blocks[measure].iloc[0]
        axes.plot(stages, relative, "o-", color=colour)
        factor = f"× {relative[-1]:,.0f}" if relative[-1] >= 0.95 else f"÷ {1 / relative[-1]:,.0f}"
        axes.annotate(f"{label} ({factor})", (stages[-1], relative[-1]), (8, 0), color=colour, **_BESIDE)
    axes.set(yscale="log", xlabel="stage", ylabel="cost of one block, stage 1 = 1", xticks=stages)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y")
    return figure


@styled
def attention_against_size(blocks, batch_size):
    """Draw the share of one block's MACs that is between positions, and its attention maps, by image size.

    Args:
        blocks: DataFrame, a row an image size and stage: `image_size`, `stage`, `multiply_adds`,
            `attention_multiply_adds`, `attention_bytes` (of one image).
        batch_size: images whose maps are in memory at once.
    """
    table = blocks.assign(
        share=blocks["attention_multiply_adds"] / blocks["multiply_adds"],
        memory=batch_size * blocks["attention_bytes"] / 2**20,
        stage="stage " + blocks["stage"].astype(str),
    )
    palette = {f"stage {stages[0]}": colour for stages, colour in STAGE_COLOURS.items() if len(stages) == 1}
    figure, panels = new_figure(3.4, 1, 2)
    for axes, measure in zip(panels, ("share", "memory"), strict=True):
        sns.lineplot(
            table, x="image_size", y=measure, hue="stage", palette=palette, marker="o", markeredgewidth=0, ax=axes
        )
        sizes = sorted(table["image_size"].unique())
        axes.set(xscale="log", xlabel="side of the image (pixels)", ylabel="")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y")
    panels[0].legend(title=None)
    panels[0].set_title("share of a block's MACs between positions")
    style.percent_axis(panels[0].yaxis)
    panels[1].get_legend().remove()
    panels[1].set(yscale="log", title=f"attention maps of a block, {batch_size} images (MiB)")
    panels[1].yaxis.set_major_formatter("{x:,g}")
    return figure


@styled
def pairwise_costs(blocks, measure, title):
    """Draw one block's cost for each pairwise function, a panel a stage, all on one scale.

    Args:
        blocks: DataFrame, a row a stage and function: `stage`, `pairwise` and `measure`.
        measure: name of a column.
        title: words for it.
    """
    stages = sorted(blocks["stage"].unique())
    figure, panels = new_figure(2.8, 1, len(stages), sharey=True, squeeze=False)
    for axes, stage in zip(panels[0], stages, strict=True):
        rows = blocks[blocks["stage"] == stage]
        costs = rows.set_index(rows["pairwise"].map(PAIRWISE_LABELS))[measure]
        words = [amount(number, measure) for number in costs]
        _draw_bars(axes, costs, STAGE_COLOURS[(stage,)], words, f"stage {stage}", 1.7 * blocks[measure].max())
    figure.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    return figure


@styled
def layer_profile(table):
    """Draw MACs and activation memory along the network, a bar a layer; non-local blocks are orange.

    Args:
        table: `complexity.count`.
    """
    figure, panels = new_figure(4.2, 2, 1, sharex=True)
    kinds = {"other layer": (table["type"] != "NonLocal2D", QUIET)}
    kinds |= {"non-local block": (table["type"] == "NonLocal2D", PALETTE["orange"])}
    scales = {"multiply_adds": ("million MACs", 1e6), "activation_bytes": ("activation memory (MiB)", 2**20)}
    for axes, (measure, (label, unit)) in zip(panels, scales.items(), strict=True):
        for name, (chosen, colour) in kinds.items():
            places = np.flatnonzero(chosen)
            axes.bar(places, table[measure].to_numpy()[places] / unit, 1.0, color=colour, label=name, linewidth=0)
        axes.set_ylabel(label)
        axes.margins(x=0.01)
        axes.grid(axis="y")
    panels[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    places = table.reset_index().groupby("stage")["index"].agg(["min", "mean"]).drop(["head"], errors="ignore")
    for axes in panels:
        for first in places["min"].drop(0, errors="ignore"):
            axes.axvline(first - 0.5, color=QUIET, linewidth=0.8)
    named = places["mean"].drop(0, errors="ignore")
    panels[1].set_xticks(named, [f"stage {stage}" for stage in named.index])
    panels[1].tick_params(bottom=False)
    return figure


@styled
def measured_times(times):
    """Draw milliseconds an image in inference and in training: a dot a round, a line at their median.

    Args:
        times: DataFrame, a row a variant and round: `variant`, `inference_ms`, `training_ms`.
    """
    variants = list(dict.fromkeys(times["variant"]))
    palette = {name: style.variant_style(name)["color"] for name in variants}
    figure, panels = new_figure(0.9 + 0.42 * len(variants), 1, 2, sharey=True)
    for axes, measure in zip(panels, ("inference_ms", "training_ms"), strict=True):
        sns.stripplot(times, x=measure, y="variant", hue="variant", palette=palette, jitter=False, size=6, ax=axes)
        for row, median in enumerate(times.groupby("variant", sort=False)[measure].median()):
            axes.plot([median, median], [row - 0.3, row + 0.3], color=palette[variants[row]], linewidth=2.5)
            axes.annotate(f"{median:,.2f}", (times[measure].max(), row), (14, 0), color=INK, **_BESIDE)
        style.value_axis(axes, f"{measure.removesuffix('_ms')}, milliseconds an image")
        axes.set_xlim(left=0)
    style.name_rows(panels[0], [style.label_of(name) for name in variants])
    panels[0].set_ylabel("")
    return figure


def amount(number, measure):
    """A number in words that fit a bar: `12.6 M` or, where `measure` ends in bytes, `2.6 MiB`."""
    step, units = (1024, ["B", "KiB", "MiB", "GiB"]) if measure.endswith("bytes") else (1000, ["", "k", "M", "G"])
    power = 0
    while abs(number) >= step and power < len(units) - 1:
        number, power = number / step, power + 1
    digits = 0 if power == 0 or number >= 100 else 1
    return f"{number:,.{digits}f} {units[power]}".strip()


def _draw_bars(axes, values, colours, words, title, limit, filled=True):
    """Horizontal bars of a Series with words beside them and no axis."""
    bars = axes.barh(values.index, values, color=colours if filled else "white", edgecolor=colours, height=0.7)
    axes.bar_label(bars, words, padding=4, fontsize=10)
    axes.set(title=title, xticks=[], xlim=(0, limit or 1), ylim=(len(values) - 0.5, -0.5))
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.tick_params(left=False)
