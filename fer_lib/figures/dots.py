"""Parts of dot plots: rows of intervals, text beside them, small multiples."""

from fer_lib.figures.style import INK, label_of, new_figure

ROW = 0.36  # inches a row
_COLUMNS = 4  # small multiples side by side


def draw_interval(axes, row, value, low, high, colour, size=7):
    """Draws a dot and its bar in a row; `size` in points."""
    axes.plot([low, high], [row, row], color=colour, linewidth=size / 3, solid_capstyle="butt")
    axes.plot(value, row, "o", color=colour, markersize=size)


def write_beside(axes, row, texts, color=INK):
    """Writes at the right of a row, outside the axes.

    Args:
        axes, row: where.
        texts: dict of a column's right edge, in points from the axes, to its text.
        color: of the text.
    """
    place = axes.get_yaxis_transform()
    for edge, text in texts.items():
        axes.annotate(
            text, (1, row), xycoords=place, xytext=(edge, 0), textcoords="offset points",
            ha="right", va="center", color=color, annotation_clip=False,
        )  # fmt: skip


def name_rows(axes, variants):
    """A row a variant, the first at the top."""
    axes.set_yticks(range(len(variants)), [label_of(name) for name in variants])
    axes.set_ylim(len(variants) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def small_multiples(number, height):
    """A figure of `number` small axes that share their scales, `height` inches each, and the axes as a list."""
    columns = min(number, _COLUMNS)
    rows = -(-number // columns)
    figure, grid = new_figure(height * rows, rows=rows, columns=columns, sharex=True, sharey=True, squeeze=False)
    for spare in grid.flat[number:]:
        spare.remove()
    for axes in grid.flat[max(number - columns, 0) : number]:
        axes.tick_params(labelbottom=True)  # the last of its column, though not of the grid
    return figure, list(grid.flat[:number])


def in_two_lines(label):
    """A label in two lines where it has a comma."""
    return label.replace(", ", ",\n", 1)
