"""One look for all figures: colours that stay with a variant, sizes that can be read at 700 pixels."""

import functools

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from fer_lib.variants import Variant

# Notebooks show a figure at 72 pixels an inch, so that 9.6 inches fill a column of 700 pixels and a point
# is a pixel.
WIDTH = 9.6

INK = "#262626"
QUIET = "#8a8a8a"
GRID = "#e2e2e2"

# Okabe and Ito (2008), told apart with every common colour blindness. Low stages blue, high stages orange.
PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "yellow": "#F0E442",
}
STAGE_COLOURS = {
    (): "#4d4d4d",
    (1,): PALETTE["sky"],
    (2,): PALETTE["blue"],
    (3,): PALETTE["orange"],
    (4,): PALETTE["vermilion"],
    (1, 2): PALETTE["green"],
    (3, 4): PALETTE["purple"],
}
OTHER_STAGES = "#8C613C"
SPLIT_COLOURS = {"train": STAGE_COLOURS[()], "validation": PALETTE["blue"], "test": PALETTE["orange"]}

# Where the functions themselves are compared, at one stage, hue is theirs.
PAIRWISE_COLOURS = {
    "embedded_gaussian": PALETTE["blue"],
    "gaussian": PALETTE["sky"],
    "dot_product": PALETTE["orange"],
    "concatenation": PALETTE["vermilion"],
    "none": QUIET,
}
# Everywhere else hue is the stage's, and a function other than the paper's is a lighter tint of it.
_TINTS = {"embedded_gaussian": 0, "gaussian": 0.2, "dot_product": 0.35, "concatenation": 0.5, "none": 0.65}

RC = {
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.fontsize": 10.5,
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
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "axes.prop_cycle": mpl.cycler(color=list(PALETTE.values())),
    "image.cmap": "gray",
    "image.interpolation": "nearest",
}


def styled(draw):
    """Decorator of a function that returns a `Figure`: draws it with the common settings, and with no others.

    Settings of the surrounding notebook neither get in nor change.
    """

    @functools.wraps(draw)
    def draw_styled(*args, **kwargs):
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(RC)
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()  # ticks are made when drawn, with the settings of that moment
        return figure

    return draw_styled


def new_figure(height, rows=1, columns=1, width=WIDTH, **subplots):
    """A `Figure` that pyplot does not know, so that nothing has to be closed, and its axes.

    Args:
        height, width: inches; `WIDTH` fills a notebook's column.
        rows, columns: of the grid of axes.
        subplots: more for `Figure.subplots`, such as `sharey=True`, `width_ratios=[2, 1]` or `squeeze=False`.

    Returns:
        `(figure, axes)`, `axes` as `Figure.subplots` gives them.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **subplots)


def variant_colours(names):
    """The colour of each variant, the same in every notebook whatever else is drawn beside it.

    Args:
        names: names such as `resnet50v2-nl3`.

    Returns:
        dict of name -> hex colour.
    """
    return {name: _variant_colour(Variant.from_name(name)) for name in names}


def label_of(name):
    """Short words for a variant on an axis: `plain`, `stage 3`, `stages 3-4, dot product`."""
    return Variant.from_name(name).label


def in_percent():
    """For an axis of shares: 0.14 as 14%, 0.145 as 14.5%, no more digits than the ticks have."""
    return FuncFormatter(lambda share, _: f"{round(100 * share, 6):g}%")


def show_image(axes, image):
    """Draws an image `(height, width, 1 or 3)` of 0, black, to 255, white, without ticks or frame."""
    pixels = np.asarray(image).round().astype(np.uint8)
    axes.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def lighter(colour, share):
    """The colour mixed with white: `share` 0 leaves it, 1 is white; hex."""
    return to_hex((1 - share) * np.array(to_rgb(colour)) + share)


def _variant_colour(variant):
    colour = STAGE_COLOURS.get(variant.stages, OTHER_STAGES)
    if variant.placement != "every":
        colour = to_hex(0.6 * np.array(to_rgb(colour)))
    return lighter(colour, _TINTS[variant.pairwise])
