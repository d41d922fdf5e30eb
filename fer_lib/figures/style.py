"""One style for all figures: a seaborn theme, colours with a contrast of at least 3:1 on white, shared parts."""

import functools
import io

import matplotlib as mpl
import numpy as np
import PIL.Image
import seaborn as sns
from matplotlib.figure import Figure

from fer_lib.display import network as label_of
from fer_lib.display import readable
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
MARKERS = {
    "embedded_gaussian": "o", "gaussian": "s", "dot_product": "D", "concatenation": "^", "identity": "X",
    "uniform": "P",
}  # fmt: skip
RC = {
    "axes.titlelocation": "left", "axes.edgecolor": QUIET, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.grid.axis": "y", "grid.color": "#e2e2e2", "legend.frameon": False,
    "lines.linewidth": 1.8, "image.cmap": "gray", "figure.labelsize": 11,
    "text.parse_math": False,  # a class may be called `$x$`
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


def image_grid(rows, titles, cell, ratio=1.0, beside=1.2):
    """Return a figure of named rows of images, `cell` inches wide and `ratio` times as high, and its axes."""
    # `beside`: inches for the names and a colour bar
    size = {"height": cell * ratio * len(rows) + 0.4, "width": cell * len(titles) + beside}
    figure, grid = new_figure(rows=len(rows), columns=len(titles), squeeze=False, **size)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, loc="center", fontsize=10)
    for axes, name in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    return figure, grid


def variant_style(name):
    """Return a variant's colour (its stages'; the control's grey) and marker (its function's; one block: open)."""
    variant = Variant.from_name(name)
    colour = STAGE_COLOURS.get(variant.stages, OTHER_STAGES) if variant.stages else BASELINE_COLOUR
    colour = QUIET if variant.pairwise in ("identity", "uniform") else colour
    face = colour if variant.placement == "every" else "white"
    return {"color": colour, "marker": MARKERS[variant.pairwise], "markerfacecolor": face}


def percent_axis(*axes):
    """Label each axis of fractions in percent, with as many digits as its ticks need."""
    for axis in axes:
        axis.set_major_formatter(lambda fraction, _: f"{round(100 * fraction, 6):g} %".replace("-", "−"))


def show_image(axes, image, interpolation="nearest"):
    """Draw an image `(height, width, 1 or 3)` of 0, black, to 255, white, or none, without ticks or frame."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if image is not None:
        pixels = np.asarray(image).round().astype(np.uint8)
        axes.imshow(pixels.squeeze(), vmin=0, vmax=255, interpolation=interpolation)


def draw_intervals(axes, rows, table, columns, size=7, filled=None):
    """Draw a marker of `size` points and a horizontal interval in each row, in the style of its variant.

    `table`: DataFrame: variant and the three `columns` of value and limits; `filled`: whether all markers are.
    """
    values = (table[name] for name in ("variant", *columns))
    for row, variant, value, low, high in zip(rows, *values, strict=True):
        look = variant_style(variant)
        if filled is not None:
            look["markerfacecolor"] = look["color"] if filled else "white"
        axes.plot([low, high], [row, row], color=look["color"], linewidth=size / 3, solid_capstyle="butt")
        axes.plot(value, row, linestyle="", markersize=size, zorder=3, **look)


def name_rows(axes, names, label="", bins=5):
    """Name the rows 0, 1, ... of axes, variants by their labels, the first at the top; the values get a label."""
    names = [label_of(name) for name in names]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0, grid_linewidth=0)
    axes.locator_params(axis="x", nbins=bins)
    axes.spines["left"].set_visible(False)
    axes.set(xlabel=label, ylabel="")


def write_beside(axes, table, edges):
    """Write a table at the right of the rows; `edges`: header -> right edge of its column, in points."""
    settings = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "annotation_clip": False}
    for row, words in (*enumerate(readable(table).to_numpy()), (-0.9, edges)):
        look = {"ha": "right", "va": "center", "color": QUIET if row < 0 else INK}
        for edge, text in zip(edges.values(), words, strict=True):
            axes.annotate(text, (1, row), (edge, 0), **look, **settings)


def png(figure, dpi=144):
    """Return the figure as an optimised PNG (bytes), in shades of grey where it has no colour."""
    drawn, smaller = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, bbox_inches="tight", facecolor="white")
    picture = PIL.Image.open(drawn).convert("RGB")
    grey = picture.convert("L")
    picture = grey if grey.convert("RGB").tobytes() == picture.tobytes() else picture
    picture.save(smaller, "PNG", optimize=True, dpi=(dpi, dpi))
    return smaller.getvalue()


def draw_bars(axes, names, values, words, title, room=1.8, **look):
    """Draw one horizontal bar per name, the first at the top, with words; `room`: width over the longest bar."""
    rows = range(len(values))
    axes.bar_label(axes.barh(rows, values, 0.7, **look), words, padding=4, fontsize=10)
    axes.set_yticks(rows, names)
    axes.set(title=title, xticks=[], xlim=(0, room * max(values) or 1), ylim=(len(values) - 0.5, -0.5))
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.tick_params(left=False, grid_linewidth=0)


def amount(number: float, measure: str) -> str:
    """Return a number in words that fit a bar: `12.6 M`, or `2.6 MiB` where `measure` ends in bytes."""
    step, units = (1024, "B KiB MiB GiB") if measure.endswith("bytes") else (1000, " k M G")
    power = int(np.log(max(number, 1)) / np.log(step) + 1e-9)
    number /= step**power
    return f"{number:,.{1 if power and number < 100 else 0}f} {units.split(' ')[power]}".strip()
