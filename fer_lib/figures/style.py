"""One style for all figures: a seaborn theme, colours with a contrast of at least 3:1 on white, shared parts."""

import functools

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fer_lib.variants import Variant

# Notebooks show a figure at 72 pixels an inch: 9.6 inches fill a column of 700 pixels, and a point is a pixel.
WIDTH = 9.6
INK, QUIET, GRID = "#262626", "#767676", "#e2e2e2"

# Chosen by search for the largest colour difference (CIELAB) under normal vision and three colour blindnesses,
# each with a contrast of at least 3:1 on white.
PALETTE = {
    "blue": "#1481dd",
    "navy": "#03428c",
    "orange": "#ce800c",
    "dark red": "#96290a",
    "green": "#05773e",
    "purple": "#b878ad",
}
BASELINE_COLOUR, OTHER_STAGES = "#404040", "#8c613c"
# A variant's colour is that of its stages, its marker that of its pairwise function.
STAGE_COLOURS = dict(zip([(1,), (2,), (3,), (4,), (1, 2), (3, 4)], PALETTE.values(), strict=True))
MARKERS = {"embedded_gaussian": "o", "gaussian": "s", "dot_product": "D", "concatenation": "^", "none": "X"}
SPLIT_COLOURS = {"train": BASELINE_COLOUR, "validation": PALETTE["blue"], "test": PALETTE["orange"]}

RC = {
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.fontsize": 10.5,
    "legend.title_fontsize": 10.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "image.cmap": "gray",
}


def styled(draw):
    """Draw what the decorated function returns, a `Figure`, in the theme, whatever the notebook has set."""

    @functools.wraps(draw)
    def draw_styled(*args, **kwargs):
        with mpl.rc_context():
            mpl.rcdefaults()
            sns.set_theme(style="ticks", font="DejaVu Sans", color_codes=False, rc=RC)
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()  # ticks are made when drawn, with the settings of that moment
        return figure

    return draw_styled


def new_figure(height, rows=1, columns=1, width=WIDTH, **subplots):
    """Return a `Figure` that pyplot does not know, `width` by `height` inches, and its axes.

    Args:
        height, width: inches.
        rows, columns: of the grid of axes.
        **subplots: arguments of `Figure.subplots`, such as `sharey=True` or `squeeze=False`.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **subplots)


def small_multiples(number, height, columns=4):
    """Return a figure of `number` axes that share their scales, `height` inches each, and the axes as a list."""
    columns = min(number, columns)
    rows = -(-number // columns)
    figure, grid = new_figure(height * rows, rows, columns, sharex=True, sharey=True, squeeze=False)
    for spare in grid.flat[number:]:
        spare.remove()
    for axes in grid.flat[max(number - columns, 0) : number]:
        axes.tick_params(labelbottom=True)  # the last of its column, though not of the grid
    return figure, list(grid.flat[:number])


def label_of(name):
    """Return a variant's label on an axis: `baseline`, `stage 3`, `stages 3-4, dot product`."""
    return Variant.from_name(name).label


def two_lines(name):
    """Return a variant's label in two lines where it has a comma."""
    return label_of(name).replace(", ", ",\n", 1)


def variant_style(name):
    """Return a variant's marker settings, the same in every figure: colour its stages, shape its function.

    The baseline is dark grey and the control grey; the marker is open where a stage has one block.
    """
    variant = Variant.from_name(name)
    colour = STAGE_COLOURS.get(variant.stages, OTHER_STAGES) if variant.stages else BASELINE_COLOUR
    colour = QUIET if variant.pairwise == "none" else colour
    face = colour if variant.placement == "every" else "white"
    return {"color": colour, "marker": MARKERS[variant.pairwise], "markerfacecolor": face}


def percent_axis(axis):
    """Label an axis of fractions in percent, with as many digits as its ticks need."""
    axis.set_major_formatter(PercentFormatter(1, symbol=" %"))


def show_image(axes, image):
    """Draw an image `(height, width, 1 or 3)` of 0, black, to 255, white, without ticks or frame."""
    pixels = np.asarray(image).round().astype(np.uint8)
    axes.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, vmin=0, vmax=255, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def draw_interval(axes, row, value, low, high, style, size=7):
    """Draw a marker and its horizontal interval in a row; `style` as of `variant_style`, `size` in points."""
    axes.plot([low, high], [row, row], color=style["color"], linewidth=size / 3, solid_capstyle="butt", zorder=2)
    axes.plot(value, row, linestyle="", markersize=size, zorder=3, **style)


def name_rows(axes, labels):
    """Name rows 0, 1, ... of axes (and of those that share them), the first at the top, over a vertical grid."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def value_axis(axes, label="", bins=5):
    """Grid lines, few ticks and a label for the values of axes whose rows are named."""
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(bins))
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(label)


def write_beside(axes, row, texts, color=INK):
    """Write at the right of a row, outside the axes; `texts`: right edge in points from the axes -> text."""
    for edge, text in texts.items():
        axes.annotate(
            text, (1, row), xycoords=axes.get_yaxis_transform(), xytext=(edge, 0), textcoords="offset points",
            ha="right", va="center", color=color, annotation_clip=False,
        )  # fmt: skip
