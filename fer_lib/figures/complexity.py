"""Notebook 03: what blocks cost by stage."""

import pandas as pd
from matplotlib.figure import Figure

from fer_lib.display import percent
from fer_lib.figures import style
from fer_lib.figures.style import PALETTE, QUIET, STAGE_COLOURS, new_figure, styled

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
def added_by_stage(costs: pd.DataFrame) -> Figure:
    """Draw what blocks at a stage add, from `complexity.cost_by_stage`; filled: the MACs between positions."""
    figure, panels = new_figure(3.0, 1, 4, sharey=True)
    colours = [STAGE_COLOURS[(stage,)] for stage in range(1, len(costs))]
    for axes, (measure, title) in zip(panels, _COSTS.items(), strict=True):
        added, of_baseline = costs[f"added_{measure}"].iloc[1:], costs[measure].iloc[0]
        rises = [f" (+{percent(number / of_baseline, 0)})" if of_baseline else "" for number in added]
        words = [style.amount(number, measure) + rise for number, rise in zip(added, rises, strict=True)]
        faces = "white" if measure == "macs" else colours
        style.draw_bars(axes, added.index, added, words, title, room=2.4, color=faces, edgecolor=colours)
        if measure == "macs":
            between = costs["added_attention_macs"].iloc[1:]
            axes.barh(range(len(between)), between, 0.7, color=colours, linewidth=0)
    return figure


@styled
def block_scaling(blocks: pd.DataFrame) -> Figure:
    """Draw one block's costs relative to stage 1; `blocks`: one row per stage: stage and the costs."""
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
