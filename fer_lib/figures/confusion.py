"""Which expressions are taken for which: confusion matrices, and what changed in them against the baseline.

Tables come from `fer_lib.analysis.per_class`; shares are of the images of a label, drawn in percent.
"""

import numpy as np
from matplotlib.patches import Rectangle

from fer_lib.datasets import CLASS_NAMES
from fer_lib.figures.dots import in_two_lines
from fer_lib.figures.style import INK, label_of, new_figure, styled

_PANELS = 3  # matrices side by side at most


@styled
def confusion_matrices(shares):
    """A matrix a variant: of the images of each label (row), the share that was given each name (column).

    Args:
        shares: `per_class.confusion_shares`.
    """
    figure, panels = _matrices(len(shares))
    for axes, (variant, table) in zip(panels, shares.items(), strict=True):
        _matrix(axes, 100 * table.to_numpy(), "Blues", (0, 100), "{:.0f}")
        axes.set_title(in_two_lines(label_of(variant)))
    return figure


@styled
def confusion_differences(changes, alpha=0.05):
    """A matrix a variant: its share minus the baseline's, in points, framed where that is more than chance.

    Args:
        changes: `per_class.confusion_changes`.
        alpha: cells whose Holm-corrected p-value is below it are framed.
    """
    variants = list(dict.fromkeys(changes["variant"]))
    reach = 100 * max(changes["difference"].abs().max(), 0.01)
    figure, panels = _matrices(len(variants))
    for axes, variant in zip(panels, variants, strict=True):
        cells = changes[changes["variant"] == variant].set_index(["label", "prediction"])
        difference, p_value = (
            cells[name].unstack().reindex(index=CLASS_NAMES, columns=CLASS_NAMES).to_numpy()
            for name in ("difference", "p_holm")
        )
        # Purple is more, green is less; neither is good by itself, for off the diagonal more is worse.
        _matrix(axes, 100 * difference, "PRGn_r", (-reach, reach), "{:+.0f}")
        for row, column in np.argwhere(p_value < alpha):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=2))
        axes.set_title(in_two_lines(label_of(variant)))
    return figure


def _matrices(number):
    """A figure for so many matrices, and their axes as a list; names of the classes at its left and lower edge."""
    columns = 2 if number in (2, 4) else min(number, _PANELS)
    rows = -(-number // columns)
    width = {1: 6.2, 2: 9.6, 3: 9.6}[columns]
    side = width / columns
    figure, grid = new_figure(rows * side + 0.5, rows=rows, columns=columns, width=width, squeeze=False)
    for spare in grid.flat[number:]:
        spare.remove()
    panels = list(grid.flat[:number])
    for index, axes in enumerate(panels):
        left, lowest = index % columns == 0, index + columns >= number
        axes.set_yticks(range(len(CLASS_NAMES)), CLASS_NAMES if left else [])
        axes.set_xticks(range(len(CLASS_NAMES)), CLASS_NAMES if lowest else [], rotation=90)
        axes.set(ylabel="Label" if left else "", xlabel="Prediction" if lowest else "")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure, panels


def _matrix(axes, values, colour_map, limits, pattern):
    """Draws values (classes, classes) as colours and as rounded numbers; nothing where there are no images."""
    axes.imshow(values, cmap=colour_map, vmin=limits[0], vmax=limits[1])
    dark = np.abs(values) > 0.6 * limits[1]
    for (row, column), value in np.ndenumerate(values):
        text = pattern.format(value).replace("-", "−") if np.isfinite(value) and round(value) else ""
        axes.text(
            column, row, text, ha="center", va="center", fontsize=9.5, color="white" if dark[row, column] else INK
        )
