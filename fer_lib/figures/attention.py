"""Notebook 06: attention over the image, and how far and how evenly blocks attend."""

import numpy as np
import seaborn as sns
from matplotlib.colors import LinearSegmentedColormap, to_rgba

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
    """Draw the attention of chosen positions over the images: a row a position, a column an image.

    Args:
        images: uint8, (images, height, width, 1 or 3), with a word or two each in `titles`.
        maps: float, (images, positions, key rows, key columns), each summing to 1.
        positions: dict of a name to its (row, column) in parts of the side; a ring marks it.
    """
    side = min((style.WIDTH - 1.6) / len(images), 3.2)
    shape = len(positions), len(images)
    figure, grid = new_figure(shape[0] * side + 0.6, *shape, width=shape[1] * side + 1.6, squeeze=False)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for line, (name, position) in enumerate(positions.items()):
        for axes, image, weights in zip(grid[line], images, maps[:, line], strict=True):
            shown = _draw_overlay(axes, image, weights, position)
        grid[line, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, loc="center", fontsize=10)
    words = "attention weight relative to uniform"
    bar = figure.colorbar(shown, ax=[*grid.flat], aspect=30, shrink=0.8, label=words)
    bar.set_ticks(range(-_WIDEST, _WIDEST + 1), labels=["≤ 1/4", "1/2", "1", "2", "≥ 4"])
    bar.outline.set_visible(False)
    return figure


@styled
def attention_by_block(table):
    """Draw distance, entropy and update norm of every block with 95 % CIs; a marker a seed, open: untrained.

    `table`: rows of class `"all"` of `attention.Attention.table`, with the columns variant and seed.
    """
    labels = _block_labels(table)
    rows = {label: row for row, label in enumerate(labels.unique())}
    figure, panels = new_figure(1.2 + 0.42 * len(rows), columns=len(MEASURES), sharey=True)
    for axes, (measure, words) in zip(panels, MEASURES.items(), strict=True):
        for label, found in zip(labels, table.to_dict("records"), strict=True):
            is_trained, value = found["state"] == "trained", found[measure]
            reach = 1.96 * found.get(f"{measure}_sd", np.nan) / np.sqrt(found["images"])
            look = style.variant_style(found["variant"])
            look["markerfacecolor"] = look["color"] if is_trained else "white"
            row = rows[label] + 0.12 * (found["seed"] % 5 - 1) * is_trained
            style.draw_interval(axes, row, value, value - reach, value + reach, look, size=6)
            if measure == "distance":
                axes.vlines(found["uniform_distance"], rows[label] - 0.4, rows[label] + 0.4, color=QUIET)
        style.name_rows(axes, rows, words, bins=3)
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


def _draw_overlay(axes, image, weights, position):
    """An image, its attention (key rows, key columns) smoothly over it, a ring at the query; returns the map."""
    height, width = image.shape[:2]
    show_image(axes, image, "bicubic")
    powers = np.log2(np.clip(weights.size * weights, 2.0**-_WIDEST, 2.0**_WIDEST))
    smooth = {"interpolation": "bicubic", "extent": (-0.5, width - 0.5, height - 0.5, -0.5)}
    shown = axes.imshow(powers, _LESS_OR_MORE, vmin=-_WIDEST, vmax=_WIDEST, **smooth)
    for colour, thickness in (("white", 3), (INK, 1.4)):
        ring = {"markersize": 8, "mfc": "none", "mec": colour, "mew": thickness}
        axes.plot(position[1] * width - 0.5, position[0] * height - 0.5, "o", **ring)
    return shown


def _block_labels(table):
    """A Series: the variant's label, and which bottleneck of which stage the block follows."""
    parts = table["block"].str.extract(r"conv(\d)_block(\d+)").astype(int)
    words, block = table["variant"].map(style.label_of), "block " + parts[1].astype(str)
    stage = "stage " + (parts[0] - 1).astype(str) + " "
    return words + ", " + block.where(words.str.startswith("stage "), stage + block)
