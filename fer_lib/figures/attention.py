"""Notebook 06: attention over the image, and how far and how evenly blocks attend.

Tables and maps come from `fer_lib.analysis.attention`. Intervals are 95 % CIs of the mean over images (normal).
"""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgba

from fer_lib.datasets import CLASS_NAMES
from fer_lib.figures import style
from fer_lib.figures.style import INK, PALETTE, QUIET, new_figure, show_image, styled, variant_style

MEASURES = {
    "distance": "mean distance (pixels)",
    "entropy": "normalised entropy",
    "response": "relative update norm\n‖z − x‖ / ‖x‖",
}
# The face is seen where a weight is uniform; orange covers it where the weight is more, blue where it is less.
_MORE_OR_LESS = LinearSegmentedColormap.from_list(
    "more or less",
    [(0, to_rgba(PALETTE["navy"], 0.6)), (0.5, to_rgba("white", 0.0)), (1, to_rgba("#ff8c00", 0.75))],
)
_WIDEST = 2  # powers of two either way, the same in all figures


@styled
def attention_maps(images, maps, positions, titles):
    """Draw the attention of chosen positions over the images: a row a position, a column an image.

    Colour is the attention weight relative to uniform on one logarithmic scale, from 1/4 to 4, for all figures.

    Args:
        images: uint8, (images, height, width, 1 or 3).
        maps: float, (images, positions, key rows, key columns), each summing to 1.
        positions: dict of a name to its (row, column) in parts of the side; a ring marks it.
        titles: one word or two an image.
    """
    side = min((style.WIDTH - 1.6) / len(images), 3.2)
    size = {"height": len(positions) * side + 0.6, "width": len(images) * side + 1.8}
    figure, grid = new_figure(
        rows=len(positions), columns=len(images), squeeze=False, sharex=True, sharey=True, **size
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for line, (name, position) in enumerate(positions.items()):
        for axes, image, weights, title in zip(grid[line], images, maps[:, line], titles, strict=True):
            shown = _overlay(axes, image, weights, position)
            if not line:
                axes.set_title(title, loc="center", fontsize=10)
        grid[line, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    bar = figure.colorbar(shown, ax=grid.ravel().tolist(), aspect=30, shrink=0.8, extend="both")
    bar.set_label("attention weight relative to uniform")
    bar.set_ticks(range(-_WIDEST, _WIDEST + 1), labels=["1/4", "1/2", "1", "2", "4"])
    bar.outline.set_visible(False)
    return figure


@styled
def attention_by_block(table):
    """Draw distance, entropy and update norm of every block, a row a block and a marker a seed; open: untrained.

    Args:
        table: rows of class `"all"` of `attention.Attention.table`, with the columns variant and seed.
    """
    blocks = list(dict.fromkeys(zip(table["variant"], table["block"], strict=True)))
    figure, panels = new_figure(1.2 + 0.42 * len(blocks), columns=len(MEASURES), sharey=True)
    for axes, (measure, words) in zip(panels, MEASURES.items(), strict=True):
        for found in table.to_dict("records"):
            _draw_state(axes, blocks.index((found["variant"], found["block"])), found, measure)
        style.value_axis(axes, words, bins=3)
        axes.set_xlim(0, 1.06 * axes.get_xlim()[1])
    for row, (_, block) in enumerate(blocks):
        uniform = table.loc[table["block"] == block, "uniform_distance"].iloc[0]
        panels[0].plot([uniform, uniform], [row - 0.35, row + 0.35], color=QUIET, linewidth=1.4)
    style.name_rows(panels[0], [_block_label(*block) for block in blocks])
    return figure


@styled
def attention_by_class(table, measure="distance"):
    """Draw one measure by true class, a panel a block, a row a class and a marker a seed; open: untrained.

    Args:
        table: as for `attention_by_block`, rows of single classes.
        measure: `"distance"` or `"entropy"`.
    """
    blocks = list(dict.fromkeys(zip(table["variant"], table["block"], strict=True)))
    figure, panels = style.small_multiples(len(blocks), height=2.6)
    for axes, (variant, block) in zip(panels, blocks, strict=True):
        for found in table[(table["variant"] == variant) & (table["block"] == block)].to_dict("records"):
            _draw_state(axes, CLASS_NAMES.index(found["class"]), found, measure)
        axes.set_title(_block_label(variant, block).replace(", ", ",\n", 1))
        style.value_axis(axes, bins=3)
    style.name_rows(panels[0], CLASS_NAMES)
    figure.supxlabel(f"{MEASURES[measure]}, 95 % CI over images", fontsize=11)
    return figure


def _overlay(axes, image, weights, position):
    """An image, its attention (key rows, key columns) smoothly over it, and a ring at the query; returns the map."""
    height, width = image.shape[:2]
    with np.errstate(divide="ignore"):  # a weight of 0 is at the end of the scale
        powers = np.log2(weights.size * weights).clip(-_WIDEST, _WIDEST)
    show_image(axes, image)
    shown = axes.imshow(
        powers, _MORE_OR_LESS, vmin=-_WIDEST, vmax=_WIDEST, interpolation="bicubic",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )  # fmt: skip
    for colour, thickness in (("white", 3), (INK, 1.4)):
        ring = {
            "markersize": 8,
            "markerfacecolor": "none",
            "markeredgecolor": colour,
            "markeredgewidth": thickness,
        }
        axes.plot(position[1] * width - 0.5, position[0] * height - 0.5, "o", **ring)
    return shown


def _draw_state(axes, row, found, measure):
    """A marker, shifted by its seed, with its CI where the table has a spread; open where untrained."""
    trained, value = found["state"] == "trained", found[measure]
    reach = 1.96 * found.get(f"{measure}_sd", np.nan) / np.sqrt(found["images"])
    look = variant_style(found["variant"]) | ({} if trained else {"markerfacecolor": "white"})
    row += 0.12 * (found["seed"] % 5 - 1) * trained
    style.draw_interval(axes, row, value, value - reach, value + reach, look, size=6)


def _block_label(variant, block):
    """The variant's label, and which bottleneck of the stage the block follows."""
    stage, index = block.removeprefix("conv").split("_block")
    words, place = style.label_of(variant), f"block {index.split('_')[0]}"
    return f"{words}, {place}" if words.startswith("stage ") else f"{words}, stage {int(stage) - 1} {place}"
