"""What non-local blocks attend to: maps over faces, and how far and how evenly they look.

Maps and tables come from `fer_lib.analysis.attention`. Bars are 95 % intervals of the mean over images (normal).
"""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.ticker import MaxNLocator

from fer_lib.datasets import CLASS_NAMES
from fer_lib.figures.dots import in_two_lines, small_multiples
from fer_lib.figures.style import (
    INK,
    PALETTE,
    QUIET,
    WIDTH,
    label_of,
    lighter,
    new_figure,
    show_image,
    styled,
    variant_colours,
)  # fmt: skip

MEASURES = {
    "distance": "Mean distance, pixels",
    "entropy": "Entropy, of the largest",
    "response": "What the block adds,\nof what it is given",
}
# The face shows through where a weight is even; orange covers it where more, blue where less is attended to.
_MORE_OR_LESS = LinearSegmentedColormap.from_list(
    "more or less",
    [
        (0.0, to_rgba(PALETTE["blue"], 0.55)),
        (0.5, to_rgba("white", 0.0)),
        (1.0, to_rgba(PALETTE["vermilion"], 0.8)),
    ],
)
_WIDEST = 4  # powers of two either way


@styled
def attention_maps(images, maps, positions, titles):
    """Where chosen positions look: a row a position, a column a face; a ring marks the position.

    Colour is the weight in multiples of an even one, on one logarithmic scale for all maps; it reaches a factor
    of 2 at least and of 16 at most.

    Args:
        images: uint8, (faces, height, width, 1 or 3).
        maps: float, (faces, positions, key rows, key columns), each summing to 1.
        positions: dict of a name to its (row, column) in parts of the side.
        titles: one word or two a face.
    """
    cells = maps.shape[2] * maps.shape[3]
    with np.errstate(divide="ignore"):  # a weight of 0 is as far below an even one as the scale reaches
        powers = np.log2(cells * maps)
    reach = float(np.clip(np.ceil(np.abs(powers[np.isfinite(powers)]).max(initial=1)), 1, _WIDEST))
    side = (WIDTH - 1.6) / len(images)
    figure, grid = new_figure(
        len(positions) * side + 0.6, len(positions), len(images), squeeze=False, sharex=True, sharey=True
    )
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    height, width = images.shape[1:3]
    for line, (name, (row, column)) in enumerate(positions.items()):
        for place, image, found, title in zip(grid[line], images, powers[:, line], titles, strict=True):
            show_image(place, image)
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            shown = place.imshow(found.clip(-reach, reach), _MORE_OR_LESS, vmin=-reach, vmax=reach, extent=extent)
            place.plot(column * width - 0.5, row * height - 0.5, "o", ms=7, mfc="none", mec="white", mew=2.4)
            place.plot(column * width - 0.5, row * height - 0.5, "o", ms=7, mfc="none", mec=INK, mew=1.2)
            if not line:
                place.set_title(title, loc="center", fontsize=10)
        grid[line, 0].set_ylabel(name, rotation=0, ha="right", va="center")
    bar = figure.colorbar(shown, ax=grid.ravel().tolist(), aspect=30, shrink=0.8)
    bar.set_label("weight, in multiples of an even one")
    ticks = np.arange(-reach, reach + 1)
    bar.set_ticks(ticks, labels=[f"{2**t:.0f}" if t >= 0 else f"1/{2**-t:.0f}" for t in ticks])
    bar.outline.set_visible(False)
    return figure


@styled
def reach_by_block(table):
    """Distance, entropy and response of every block, a row a block and a dot a seed; open: before training.

    Args:
        table: rows of class `"all"` of `attention.Attention.table`, with the columns variant and seed.
    """
    blocks = list(dict.fromkeys(zip(table["variant"], table["block"], strict=True)))
    colours = variant_colours(table["variant"].unique())
    figure, panels = new_figure(1.2 + 0.42 * len(blocks), columns=len(MEASURES), sharey=True)
    for found in table.to_dict("records"):
        row, colour = blocks.index((found["variant"], found["block"])), colours[found["variant"]]
        for axes, measure in zip(panels, MEASURES, strict=True):
            _draw_state(axes, row, found, measure, colour)
    for row, (_, block) in enumerate(blocks):
        even = table.loc[table["block"] == block, "uniform_distance"].iloc[0]
        panels[0].plot([even, even], [row - 0.35, row + 0.35], color=QUIET, linewidth=1.4)
    for axes, words in zip(panels, MEASURES.values(), strict=True):
        axes.set_xlabel(words)
        axes.set_xlim(0, 1.06 * axes.get_xlim()[1])
        axes.grid(axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(3))
    panels[0].set_yticks(range(len(blocks)), [_block_label(*block) for block in blocks])
    panels[0].set_ylim(len(blocks) - 0.5, -0.5)
    return figure


@styled
def reach_by_class(table, measure="distance"):
    """Distance or entropy by class, a panel a block, a row a class and a dot a seed; open: before training.

    Args:
        table: as for `reach_by_block`, rows of single classes.
        measure: `"distance"` or `"entropy"`.
    """
    blocks = list(dict.fromkeys(zip(table["variant"], table["block"], strict=True)))
    colours = variant_colours(table["variant"].unique())
    figure, panels = small_multiples(len(blocks), height=2.6)
    for axes, (variant, block) in zip(panels, blocks, strict=True):
        for found in table[(table["variant"] == variant) & (table["block"] == block)].to_dict("records"):
            _draw_state(axes, CLASS_NAMES.index(found["class"]), found, measure, colours[variant])
        axes.set_title(in_two_lines(_block_label(variant, block)))
        axes.grid(axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(3))
    panels[0].set_yticks(range(len(CLASS_NAMES)), CLASS_NAMES)
    panels[0].set_ylim(len(CLASS_NAMES) - 0.5, -0.5)
    figure.supxlabel(f"{MEASURES[measure]}; 95 % interval over images", fontsize=11)
    return figure


def _draw_state(axes, row, found, measure, colour):
    """One dot, shifted by its seed, with its interval where the table has a spread; open where untrained."""
    trained, value = found["state"] == "trained", found[measure]
    place = row + 0.12 * (found["seed"] % 5 - 1) * trained
    colour = colour if trained else lighter(colour, 0.45)
    if f"{measure}_sd" in found:
        reach = 1.96 * found[f"{measure}_sd"] / np.sqrt(found["images"])
        axes.plot([value - reach, value + reach], [place, place], color=colour, linewidth=1.6)
    face = colour if trained else "white"
    axes.plot(value, place, "o", color=colour, markersize=6, markerfacecolor=face, clip_on=False)


def _block_label(variant, block):
    """Words for a block: the variant's, and which bottleneck of the stage it follows."""
    stage, index = block.removeprefix("conv").split("_block")
    words = label_of(variant)
    place = f"block {index.split('_')[0]}"
    return f"{words}, {place}" if words.startswith("stage ") else f"{words}, stage {int(stage) - 1} {place}"
