"""Notebook 06: attention over the image, and how far and how evenly blocks attend."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from fer_lib.figures import style
from fer_lib.figures.style import INK, PALETTE, QUIET, new_figure, show_image, styled

MEASURES = {
    "mean distance (pixels)": ["distance", "distance_low", "distance_high"],
    "normalised entropy": ["entropy", "entropy_low", "entropy_high"],
    "relative update norm\n‖z − x‖ / ‖x‖": ["update", "update_q1", "update_q3"],
}
# The face is seen where a weight is uniform; orange covers it where the weight is more, blue where it is less.
_COLOURS = [(0, to_rgba(PALETTE["navy"], 0.5)), (0.5, to_rgba("white", 0)), (1, to_rgba("#f27900", 0.8))]
_LESS_OR_MORE = LinearSegmentedColormap.from_list("less or more", _COLOURS)
WIDEST = 2  # powers of two either way, the same in all figures


@styled
def attention_maps(images: np.ndarray, maps: np.ndarray, positions: Mapping, titles: Sequence[str]) -> Figure:
    """Draw the attention of chosen positions smoothly over images: one row per position, one column per image.

    Args:
        images: uint8, (images, height, width, 1 or 3), with a word or two each in `titles`.
        maps: float, (images, positions, key rows, key columns), each summing to 1.
        positions: dict of a name to its (row, column) in parts of the side; a ring marks it.
    """
    figure, grid = style.image_grid(positions, titles, min((style.WIDTH - 2) / len(images), 3.2), beside=2)
    for line, position in enumerate(positions.values()):
        for axes, image, powers in zip(grid[line], images, powers_of_two(maps[:, line]), strict=True):
            height, width = image.shape[:2]
            show_image(axes, image, "bicubic")
            smooth = {"interpolation": "bicubic", "extent": (-0.5, width - 0.5, height - 0.5, -0.5)}
            shown = axes.imshow(powers, _LESS_OR_MORE, vmin=-WIDEST, vmax=WIDEST, **smooth)
            place = position[1] * width - 0.5, position[0] * height - 0.5
            halo = [withStroke(linewidth=3, foreground="white")]
            axes.plot(*place, "o", markersize=8, mfc="none", mec=INK, mew=1.4, path_effects=halo)
    words = "attention weight relative to uniform"
    bar = figure.colorbar(shown, ax=[*grid.flat], aspect=30, shrink=0.8, label=words)
    bar.set_ticks(range(-WIDEST, WIDEST + 1), labels=["≤ 1/4", "1/2", "1", "2", "≥ 4"])
    return figure


@styled
def attention_by_block(table: pd.DataFrame) -> Figure:
    """Draw `attention.by_block`: distance (grey: of uniform attention) and entropy, update norm with quartiles."""
    figure, panels = new_figure(1.2 + 0.36 * len(table), columns=len(MEASURES), sharey=True)
    rows, labels = np.arange(len(table)), []
    for words, block in zip(map(style.label_of, table["variant"]), map(block_label, table["block"]), strict=True):
        labels.append(f"{words}, {block.split(', ')[1] if words.startswith('stage ') else block}")
    panels[0].vlines(table["uniform_distance"], rows - 0.4, rows + 0.4, color=QUIET)
    for axes, (words, columns) in zip(panels, MEASURES.items(), strict=True):
        style.draw_intervals(axes, rows, table, columns, 6)
        style.name_rows(axes, labels, words, bins=3)
        axes.set_xlim(left=-0.02 * table[columns[2]].max())
    panels[-1].set_xscale("log", nonpositive="mask")
    panels[-1].autoscale(axis="x")
    style.percent_axis(panels[-1].xaxis)
    return figure


def powers_of_two(maps: np.ndarray) -> np.ndarray:
    """Return log2 of attention weights (..., rows, columns) relative to uniform, float, within ± `WIDEST`."""
    return np.log2(np.clip(maps * np.prod(maps.shape[-2:]), 2.0**-WIDEST, 2.0**WIDEST))


def block_label(name: str) -> str:
    """Return words for a block's name: `conv4_block2_non_local` is `stage 3, block 2`."""
    [(stage, block)] = re.findall(r"^conv(\d)_block(\d+)", name)
    return f"stage {int(stage) - 1}, block {block}"
