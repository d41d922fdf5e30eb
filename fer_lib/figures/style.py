"""One style for all figures: a seaborn theme, colours with a contrast of at least 3:1 on white, shared parts."""

import functools

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fer_lib.variants import Variant

# Notebooks show a figure at 72 pixels an inch: 9.6 inches fill a column of 700 pixels, and a point is a pixel.
WIDTH = 9.6
INK, QUIET = "#262626", "#767676"
# Found by a search for the largest colour difference, with normal vision and with three colour blindnesses.
PALETTE = {
    "blue": "#1481dd", "navy": "#03428c", "orange": "#ce800c", "dark red": "#96290a", "green": "#05773e",
    "purple": "#b878ad",
}  # fmt: skip
BASELINE_COLOUR, OTHER_STAGES = "#404040", "#8c613c"
STAGE_COLOURS = dict(zip([(1,), (2,), (3,), (4,), (1, 2), (3, 4)], PALETTE.values(), strict=True))
MARKERS = {"embedded_gaussian": "o", "gaussian": "s", "dot_product": "D", "concatenation": "^", "none": "X"}
SPLIT_COLOURS = {"train": BASELINE_COLOUR, "validation": PALETTE["blue"], "test": PALETTE["orange"]}
RC = {
    "axes.titlelocation": "left", "axes.edgecolor": QUIET, "axes.spines.top": False, "axes.spines.right": False,
    "grid.color": "#e2e2e2", "legend.frameon": False, "lines.linewidth": 1.8, "image.cmap": "gray",
}  # fmt: skip


def styled(draw):
    """Draw the `Figure` that the decorated function returns in the theme, whatever a notebook has set."""

    @functools.wraps(draw)
    def draw_styled(*args, **kwargs):
        with mpl.rc_context():
            mpl.rcdefaults()
            sns.set_theme("notebook", "ticks", PALETTE.values(), "DejaVu Sans", 0.94, color_codes=False, rc=RC)
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()  # ticks are made when drawn, with the settings of that moment
        return figure

    return draw_styled


def new_figure(height, rows=1, columns=1, width=WIDTH, **subplots):
    """Return a `Figure` of so many inches that pyplot does not know, and its axes; `subplots` as matplotlib's."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **subplots)


def small_multiples(number, height, columns=4, width=WIDTH):
    """Return a figure of `number` axes that share their scales, `height` inches each, and the axes as a list."""
    columns = min(number, columns)
    rows = -(-number // columns)
    figure, grid = new_figure(height * rows, rows, columns, width, sharex=True, sharey=True, squeeze=False)
    for spare in grid.flat[number:]:
        spare.remove()
    for axes in grid.flat[max(number - columns, 0) : number]:
        axes.tick_params(labelbottom=True)  # the last of its column, though not of the grid
    return figure, list(grid.flat[:number])


def label_of(name, comma=", "):
    """Return a variant's label, such as `stages 3-4, dot product`, with another `comma` where it is to break."""
    return Variant.from_name(name).label.replace(", ", comma, 1)


def variant_style(name):
    """Return a variant's colour (its stages'; the control's grey) and marker (its function's; one block: open)."""
    variant = Variant.from_name(name)
    colour = STAGE_COLOURS.get(variant.stages, OTHER_STAGES) if variant.stages else BASELINE_COLOUR
    colour = QUIET if variant.pairwise == "none" else colour
    face = colour if variant.placement == "every" else "white"
    return {"color": colour, "marker": MARKERS[variant.pairwise], "markerfacecolor": face}


def percent_axis(*axes):
    """Label each axis of fractions in percent, with as many digits as its ticks need."""
    for axis in axes:
        axis.set_major_formatter(lambda fraction, _: f"{round(100 * fraction, 6):g} %".replace("-", "−"))


def show_image(axes, image, interpolation="nearest"):
    """Draw an image `(height, width, 1 or 3)` of 0, black, to 255, white, without ticks or frame."""
    pixels = np.asarray(image).round().astype(np.uint8)
    axes.imshow(pixels.squeeze(), vmin=0, vmax=255, interpolation=interpolation)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def draw_interval(axes, row, value, low, high, look, size=7):
    """Draw a marker and its horizontal interval in a row; `look` as of `variant_style`, `size` in points."""
    axes.plot([low, high], [row, row], color=look["color"], linewidth=size / 3, solid_capstyle="butt", zorder=2)
    axes.plot(value, row, linestyle="", markersize=size, zorder=3, **look)


def name_rows(axes, names, label="", bins=5):
    """Name the rows 0, 1, ... of axes, the first at the top; the values get a label, a grid and few ticks."""
    names = list(names)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(bins, steps=[1, 2, 2.5, 5, 10]))
    axes.spines["left"].set_visible(False)
    axes.set(xlabel=label, ylabel="")


def write_beside(axes, row, texts, color=INK):
    """Write at the right of a row, outside the axes; `texts`: right edge in points from the axes -> text."""
    settings = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "annotation_clip": False}
    for edge, text in texts.items():
        axes.annotate(text, (1, row), (edge, 0), ha="right", va="center", color=color, **settings)
