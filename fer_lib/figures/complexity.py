"""What blocks cost: by stage, block, image size, pairwise function and layer, counted and measured."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from fer_lib.figures.style import (
    INK,
    PAIRWISE_COLOURS,
    PALETTE,
    QUIET,
    STAGE_COLOURS,
    label_of,
    lighter,
    new_figure,
    styled,
    variant_colours,
)

# Costs that grow with the stage, that stay, and that shrink, each named at the end of its line.
_SCALING = {
    "trainable_parameters": ("parameters", PALETTE["vermilion"]),
    "projection_multiply_adds": ("multiply-adds of the projections", QUIET),
    "attention_multiply_adds": ("multiply-adds between positions", PALETTE["blue"]),
    "attention_bytes": ("attention map", PALETTE["sky"]),
}


@styled
def added_by_stage(costs):
    """What blocks at each single stage add to the plain network, in four measures; in brackets the rise.

    Multiply-adds between positions, which is what non-local means, are the dark part of their bars.

    Args:
        costs: DataFrame, index `variant` (`plain`, then one row a stage), with `added_trainable_parameters`,
            `added_multiply_adds`, `added_attention_multiply_adds`, `added_attention_bytes`,
            `added_activation_bytes`, and the plain network's own numbers under the same names without `added_`.
    """
    figure, panels = new_figure(3.0, 1, 4, sharey=True)
    names = list(costs.index[1:])
    colours = [STAGE_COLOURS[(stage,)] for stage in range(1, len(names) + 1)]
    measures = {
        "trainable_parameters": "parameters",
        "multiply_adds": "multiply-adds",
        "attention_bytes": "attention maps",
        "activation_bytes": "held for training",
    }
    for axes, (measure, title) in zip(panels, measures.items(), strict=True):
        added, plain = costs[f"added_{measure}"].iloc[1:], costs[measure].iloc[0]
        pale = [lighter(colour, 0.55) for colour in colours] if measure == "multiply_adds" else colours
        axes.barh(names, added, color=pale, height=0.66)
        if measure == "multiply_adds":
            axes.barh(names, costs["added_attention_multiply_adds"].iloc[1:], color=colours, height=0.66)
        for row, number in enumerate(added):
            rise = f" (+{number / plain:.0%})" if plain else ""
            axes.text(number, row, f" {amount(number, measure)}{rise}", va="center", fontsize=10)
        _bars_only(axes, title, 2.1 * added.max())
    panels[0].invert_yaxis()
    return figure


@styled
def block_scaling(blocks):
    """How the costs of ONE block change from stage to stage, stage 1 being 1; both axes' steps are factors.

    Args:
        blocks: DataFrame, a row a stage in order: `stage` and the columns of `_SCALING`.
    """
    figure, axes = new_figure(3.6)
    stages = blocks["stage"].to_numpy()
    for measure, (label, colour) in _SCALING.items():
        relative = blocks[measure].to_numpy() / blocks[measure].iloc[0]
        axes.plot(stages, relative, "o-", color=colour)
        factor = f"× {relative[-1]:,.0f}" if relative[-1] >= 0.95 else f"÷ {1 / relative[-1]:,.0f}"
        axes.text(stages[-1] + 0.08, relative[-1], f"{label} ({factor})", color=colour, va="center")
    axes.set(yscale="log", xlabel="stage", ylabel="one block's cost, stage 1 = 1", xticks=stages)
    axes.set_xlim(stages[0] - 0.15, stages[-1] + 2.3)
    axes.spines["bottom"].set_bounds(stages[0], stages[-1])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y")
    return figure


@styled
def attention_against_size(blocks, batch_size):
    """The part of one block's arithmetic that lies between positions, and its attention maps, by image size.

    Args:
        blocks: DataFrame, a row an image size and stage: `image_size`, `stage`, `multiply_adds`,
            `attention_multiply_adds`, `attention_bytes` (of one image).
        batch_size: images whose maps are held at once.
    """
    figure, (share, memory) = new_figure(3.4, 1, 2)
    for stage, rows in blocks.groupby("stage"):
        colour = STAGE_COLOURS[(stage,)]
        sizes = rows["image_size"]
        share.plot(sizes, rows["attention_multiply_adds"] / rows["multiply_adds"], "o-", color=colour)
        memory.plot(sizes, batch_size * rows["attention_bytes"] / 2**20, "o-", color=colour)
        last = batch_size * rows["attention_bytes"].iloc[-1] / 2**20
        memory.annotate(f"stage {stage}", (sizes.iloc[-1], last), (6, 0), color=colour, **_BESIDE)
    for axes in (share, memory):
        axes.set(xscale="log", xlabel="side of the image (pixels)")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y")
    share.set_title("share of a block's multiply-adds between positions")
    share.yaxis.set_major_formatter("{x:.0%}")
    memory.set(yscale="log", title=f"attention maps of a block, {batch_size} images (MiB)")
    memory.yaxis.set_major_formatter("{x:,g}")
    return figure


@styled
def pairwise_costs(blocks, measure, title):
    """One block's cost for each pairwise function, a panel a stage, all on one scale.

    Args:
        blocks: DataFrame, a row a stage and function: `stage`, `pairwise` and `measure`.
        measure: name of a column.
        title: words for it.
    """
    stages = sorted(blocks["stage"].unique())
    figure, panels = new_figure(2.8, 1, len(stages), sharey=True, squeeze=False)
    for axes, stage in zip(panels[0], stages, strict=True):
        rows = blocks[blocks["stage"] == stage]
        labels = rows["pairwise"].str.replace("_", " ").replace("none", "no mixing")
        axes.barh(labels, rows[measure], color=rows["pairwise"].map(PAIRWISE_COLOURS), height=0.66)
        for row, number in enumerate(rows[measure]):
            axes.text(number, row, f" {amount(number, measure)}", va="center", fontsize=10)
        _bars_only(axes, f"stage {stage}", 1.7 * blocks[measure].max())
    panels[0, 0].invert_yaxis()
    figure.suptitle(title, x=0.01, ha="left", fontsize=11.5)
    return figure


@styled
def layer_profile(table):
    """Multiply-adds and held activations along the network, a bar a layer; non-local blocks stand out.

    Args:
        table: DataFrame, a row a layer in order: `type`, `stage`, `multiply_adds`, `activation_bytes`.
    """
    figure, panels = new_figure(4.2, 2, 1, sharex=True)
    blocks = (table["type"] == "NonLocal2D").to_numpy()
    colours = np.where(blocks, PALETTE["vermilion"], lighter(QUIET, 0.2))
    for axes, measure, unit in zip(
        panels,
        ("multiply_adds", "activation_bytes"),
        ("million multiply-adds", "held for training (MiB)"),
        strict=True,
    ):
        scale = 1e6 if measure == "multiply_adds" else 2**20
        axes.bar(np.arange(len(table)), table[measure] / scale, color=colours, width=1.0)
        axes.set_ylabel(unit)
        axes.margins(x=0.01)
        axes.grid(axis="y")
    _mark_stages(panels, table["stage"].to_numpy())
    handles = [Line2D([], [], marker="s", linestyle="", color=colour) for colour in (PALETTE["vermilion"], QUIET)]
    words = ["non-local block", "any other layer"]
    panels[0].legend(handles, words, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


@styled
def measured_times(times):
    """Milliseconds an image in inference and in training: each round a dot, the median of rounds a line.

    Args:
        times: DataFrame, a row a variant and round: `variant`, `inference_ms`, `training_ms`.
    """
    variants = list(dict.fromkeys(times["variant"]))
    colours = variant_colours(variants)
    figure, panels = new_figure(0.9 + 0.42 * len(variants), 1, 2, sharey=True)
    for axes, measure in zip(panels, ("inference_ms", "training_ms"), strict=True):
        for row, variant in enumerate(variants):
            values = times.loc[times["variant"] == variant, measure]
            median = values.median()
            axes.plot(values, np.full(len(values), row), "o", color=colours[variant], alpha=0.55, markersize=6)
            axes.plot([median, median], [row - 0.3, row + 0.3], color=colours[variant], linewidth=2.5)
            axes.annotate(f"{median:,.2f}", (times[measure].max(), row), (14, 0), color=INK, **_BESIDE)
        axes.set(xlabel=f"{measure.removesuffix('_ms')}, milliseconds an image")
        axes.set_xlim(left=0)
        axes.grid(axis="x")
    panels[0].set_yticks(range(len(variants)), [label_of(variant) for variant in variants])
    panels[0].set_ylim(len(variants) - 0.5, -0.5)
    return figure


def amount(number, measure):
    """A number in words that fit a bar: `12.6 M` or, where `measure` ends in bytes, `2.6 MiB`."""
    step, units = (1024, ["B", "KiB", "MiB", "GiB"]) if measure.endswith("bytes") else (1000, ["", "k", "M", "G"])
    power = 0
    while abs(number) >= step and power < len(units) - 1:
        number, power = number / step, power + 1
    digits = 0 if power == 0 or number >= 100 else 1
    return f"{number:,.{digits}f} {units[power]}".strip()


def _mark_stages(panels, stages):
    """Lines between the stages, and under the last panel their names where there is room (not for the stem)."""
    firsts = np.flatnonzero(np.append(True, stages[1:] != stages[:-1]))
    lengths = np.diff(np.append(firsts, len(stages)))
    for axes in panels:
        for first in firsts[1:]:
            axes.axvline(first - 0.5, color=QUIET, linewidth=0.8)
    named = [
        (first + (length - 1) / 2, f"stage {stages[first]}")
        for first, length in zip(firsts, lengths, strict=True)
        if stages[first] not in (0, "head")
    ]
    panels[-1].set_xticks(*zip(*named, strict=True))
    panels[-1].tick_params(bottom=False)


_BESIDE = {"textcoords": "offset points", "va": "center", "annotation_clip": False}


def _bars_only(axes, title, limit):
    """No axis under bars that bear their numbers."""
    axes.set(title=title, xticks=[])
    axes.set_xlim(0, limit or 1)
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.tick_params(left=False)
