"""Notebook 06: attention over the image, and how far and how evenly blocks attend."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.patheffects import withStroke

from fer_lib.figures import style
from fer_lib.figures.style import INK, PALETTE, QUIET, new_figure, show_image, styled

MEASURES = {
    "distance": "mean distance (pixels)", "entropy": "normalised entropy",
    "relative_update": "relative update norm\n‖z − x‖ / ‖x‖",
}  # fmt: skip
# The face is seen where a weight is uniform; orange covers it where the weight is more, blue where it is less.
_COLOURS = [(0, to_rgba(PALETTE["navy"], 0.5)), (0.5, to_rgba("white", 0)), (1, to_rgba("#f27900", 0.8))]
_LESS_OR_MORE = LinearSegmentedColormap.from_list("less or more", _COLOURS)
_WIDEST = 2  # powers of two either way, the same in all figures


@styled
def attention_maps(images, maps, positions, titles):
    """Draw the attention of chosen positions smoothly over the images: a row a position, a column an image.

    Args:
        images: uint8, (images, height, width, 1 or 3), with a word or two each in `titles`.
        maps: float, (images, positions, key rows, key columns), each summing to 1.
        positions: dict of a name to its (row, column) in parts of the side; a ring marks it.
    """
    figure, grid = style.image_grid(positions, titles, min((style.WIDTH - 2) / len(images), 3.2), beside=2)
    for line, position in enumerate(positions.values()):
        for axes, image, weights in zip(grid[line], images, maps[:, line], strict=True):
            height, width = image.shape[:2]
            show_image(axes, image, "bicubic")
            powers = np.log2(np.clip(weights.size * weights, 2.0**-_WIDEST, 2.0**_WIDEST))
            smooth = {"interpolation": "bicubic", "extent": (-0.5, width - 0.5, height - 0.5, -0.5)}
            shown = axes.imshow(powers, _LESS_OR_MORE, vmin=-_WIDEST, vmax=_WIDEST, **smooth)
            place = position[1] * width - 0.5, position[0] * height - 0.5
            halo = [withStroke(linewidth=3, foreground="white")]
            axes.plot(*place, "o", markersize=8, mfc="none", mec=INK, mew=1.4, path_effects=halo)
    words = "attention weight relative to uniform"
    bar = figure.colorbar(shown, ax=[*grid.flat], aspect=30, shrink=0.8, label=words)
    bar.set_ticks(range(-_WIDEST, _WIDEST + 1), labels=["≤ 1/4", "1/2", "1", "2", "≥ 4"])
    return figure


@styled
def attention_by_block(table):
    """Draw distance, entropy and update norm of every block with 95 % CIs; a marker a seed, open: untrained.

    `table`: rows of class `"all"` of `attention.Attention.table`, with the columns variant and seed.
    """
    rows, labels = pd.factorize(_block_labels(table))
    figure, panels = new_figure(1.2 + 0.42 * len(labels), columns=len(MEASURES), sharey=True)
    panels[0].vlines(table["uniform_distance"], rows - 0.4, rows + 0.4, color=QUIET)
    for axes, (measure, words) in zip(panels, MEASURES.items(), strict=True):
        reach = 1.96 * table.get(f"{measure}_sd", np.nan) / np.sqrt(table["images"])
        limits = table.assign(row=rows, low=table[measure] - reach, high=table[measure] + reach)
        for state, found in limits.groupby("state", sort=False):
            heights = found["row"] + 0.12 * (found["seed"] % 5 - 1) * (state == "trained")
            style.draw_intervals(axes, heights, found, [measure, "low", "high"], 6, filled=state == "trained")
        style.name_rows(axes, labels, words, bins=3)
        axes.set_xlim(left=0)
    if table["relative_update"].max() > 10:  # without a bound: the dot product's is not normalised
        panels[-1].set_xscale("symlog", linthresh=1)
    return figure


@styled
def attention_by_class(table, measure="distance"):
    """Draw a measure of the trained networks by block and true class, mean over seeds, as a heat map.

    `table` is as for `attention_by_block`, rows of single classes; `measure` is `"distance"` or `"entropy"`.
    """
    trained = table.assign(block=_block_labels(table))[table["state"] == "trained"]
    values = trained.pivot_table(measure, "block", "class", sort=False)
    figure, axes = new_figure(1.4 + 0.36 * len(values))
    pattern = ".1f" if measure == "distance" else ".2f"
    sns.heatmap(values, annot=True, fmt=pattern, cmap="Blues", cbar_kws={"label": MEASURES[measure]}, ax=axes)
    axes.set(xlabel="true class", ylabel="")
    axes.tick_params(length=0, rotation=0)
    return figure


def _block_labels(table):
    """A Series: the variant's label, and which bottleneck of which stage the block follows."""
    parts = table["block"].str.extract(r"conv(\d)_block(\d+)").astype(int)
    words, block = table["variant"].map(style.label_of), "block " + parts[1].astype(str)
    stage = "stage " + (parts[0] - 1).astype(str) + " "
    return words + ", " + block.where(words.str.startswith("stage "), stage + block)
