"""Which expressions are taken for which: confusion matrices, what changed against the baseline, scores by class.

Tables come from `fer_lib.per_class`; shares are of the images of a label, drawn in percent.
"""

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fer_lib.datasets import CLASS_NAMES
from fer_lib.figures.style import INK, QUIET, label_of, new_figure, styled, variant_colours

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
        axes.set_title(label_of(variant))
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
        square = cells[["difference", "p_holm"]].unstack().reindex(CLASS_NAMES)
        # Purple is more, green is less; neither is good by itself, for off the diagonal more is worse.
        _matrix(axes, 100 * square["difference"][list(CLASS_NAMES)].to_numpy(), "PRGn_r", (-reach, reach), "{:+.0f}")
        for row, column in np.argwhere(square["p_holm"][list(CLASS_NAMES)].to_numpy() < alpha):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=2))
        axes.set_title(label_of(variant))
    return figure


@styled
def class_scores(scores):
    """Recall and precision of every class for one variant, each with its interval; classes by their images.

    Args:
        scores: rows of one variant in `per_class.scores_table`.
    """
    rows = scores.sort_values("support", ascending=False).to_dict("records")
    colour = variant_colours(scores["variant"])[rows[0]["variant"]]
    figure, axes = new_figure(0.9 + 0.5 * len(rows))
    for row, found in enumerate(rows):
        for score, shift, face in (("recall", -0.14, colour), ("precision", 0.14, "white")):
            axes.plot([found[f"{score}_low"], found[f"{score}_high"]], [row + shift] * 2, color=colour, linewidth=1.6)
            axes.plot(found[score], row + shift, "o", color=colour, markerfacecolor=face, label=score if not row else "")
    axes.set_yticks(range(len(rows)), [f"{found['class']} ({found['support']:,})" for found in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set(xlim=(0, 1), xlabel="Recall (filled) and precision (open), 95 % interval; images of the class in brackets")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="x")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def class_recall(scores, baseline):
    """Recall of every class, a panel a class and a row a variant, with its interval and the baseline as a line.

    Args:
        scores: `per_class.scores_table`.
        baseline: name of the plain variant.
    """
    variants = list(dict.fromkeys(scores["variant"]))
    colours = variant_colours(variants)
    figure, grid = new_figure(2 * (0.75 + 0.27 * len(variants)), rows=2, columns=4, sharex=True, sharey=True)
    grid.flat[-1].remove()
    grid.flat[3].tick_params(labelbottom=True)
    for axes, name in zip(grid.flat, CLASS_NAMES, strict=False):
        found = scores[scores["class"] == name].set_index("variant")
        axes.axvline(found.loc[baseline, "recall"], color=QUIET, linewidth=1, zorder=0)
        for row, variant in enumerate(variants):
            low, recall, high = found.loc[variant, ["recall_low", "recall", "recall_high"]]
            axes.plot([low, high], [row, row], color=colours[variant], linewidth=1.8)
            axes.plot(recall, row, "o", color=colours[variant], markersize=5)
        axes.set_title(f"{name} ({found['support'].iloc[0]:,})")
        axes.set_yticks(range(len(variants)), [label_of(variant) for variant in variants])
        axes.grid(axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    grid.flat[0].set_ylim(len(variants) - 0.5, -0.5)
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
        axes.set(ylabel="Label" if left else "", xlabel="Named" if lowest else "")
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
