"""Notebook 04: which classes are confused, what changes against the baseline, and accuracy by class and group."""

import numpy as np
import seaborn as sns
from matplotlib.patches import Rectangle

from fer_lib.datasets import CLASS_NAMES
from fer_lib.figures import style
from fer_lib.figures.style import INK, QUIET, new_figure, styled, variant_style
from fer_lib.formats import count

# From one side of the face to the other, where the alphabet would mix them.
_ANGLES = ("FL", "HL", "S", "HR", "FR")


@styled
def confusion_matrices(shares):
    """Draw a matrix a variant: the percentage of each true class (row) that is predicted as each class (column).

    Args:
        shares: `tables.confusion_shares`.
    """
    values = {name: 100 * table.to_numpy() for name, table in shares.items()}
    return _draw_matrices(values, "{:.0f}", "% of the images of the true class", cmap="Blues", vmin=0, vmax=100)[0]


@styled
def confusion_changes(changes, alpha=0.05):
    """Draw a matrix a variant: its shares minus the baseline's, purple more and green less.

    Args:
        changes: `tables.confusion_changes`.
        alpha: cells whose p (Holm-adjusted) is below it are framed.
    """
    cells = changes.assign(difference=100 * changes["difference"])
    cells = cells.set_index(["variant", "true_class", "predicted_class"])[["difference", "p_holm"]].unstack()
    tables = {name: cells.loc[name].reindex(CLASS_NAMES) for name in changes["variant"].unique()}
    values = {name: table["difference"][list(CLASS_NAMES)].to_numpy() for name, table in tables.items()}
    reach = max(cells["difference"].abs().max(axis=None), 1)
    figure, panels = _draw_matrices(values, "{:+.0f}", "change (pp)", cmap="PRGn_r", vmin=-reach, vmax=reach)
    for axes, table in zip(panels, tables.values(), strict=True):
        for row, column in np.argwhere(table["p_holm"][list(CLASS_NAMES)].to_numpy() < alpha):
            axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=INK, linewidth=2))
    return figure


@styled
def class_recall(scores, baseline):
    """Draw the recall of every class with its 95 % CI, a panel a class; a line at the baseline's.

    Args:
        scores: `tables.class_scores`.
        baseline: name of the variant.
    """
    columns = {"recall": "value", "recall_low": "low", "recall_high": "high", "class": "panel"}
    figure, panels = _draw_panels(scores.rename(columns=columns).assign(seed=0), CLASS_NAMES)
    support = scores.drop_duplicates("class").set_index("class")["support"]
    for name, axes in panels.items():
        recall = scores.loc[(scores["class"] == name) & (scores["variant"] == baseline), "recall"]
        axes.axvline(recall.item(), color=QUIET, linewidth=1, zorder=0)
        axes.set_title(f"{name} ({count(support[name])})")
    figure.supxlabel("recall, 95 % CI; in brackets the images of the class", fontsize=11)
    return figure


@styled
def group_accuracy(groups, column):
    """Draw the accuracy in each group of images with its 95 % CI, a panel a group, an interval a seed.

    Args:
        groups: `tables.by_group` of several runs, with the columns variant and seed.
        column: the column of the group, such as `angle`.
    """
    names = list(groups[column].unique())
    names = [name for name in _ANGLES if name in names] if set(names) <= set(_ANGLES) else names
    columns = {"accuracy": "value", "ci_low": "low", "ci_high": "high", column: "panel"}
    figure, _ = _draw_panels(groups.rename(columns=columns), names)
    figure.supxlabel("accuracy, 95 % CI over images", fontsize=11)
    return figure


@styled
def subject_accuracy(groups):
    """Draw the accuracy on each subject's images, a row a variant and a dot a subject; a line at the median.

    Args:
        groups: as for `group_accuracy`, with the column `person`; of several seeds the mean is drawn.
    """
    means = groups.groupby(["variant", "subject"], sort=False)["accuracy"].mean()
    variants = list(groups["variant"].unique())
    figure, axes = new_figure(0.9 + 0.5 * len(variants))
    for row, variant in enumerate(variants):
        values = np.sort(means[variant].to_numpy())
        # Up and down in turn, so that subjects of one accuracy stay apart.
        heights = row + 0.24 * np.sin(2.4 * np.arange(len(values)))
        axes.plot(values, heights, ".", color=variant_style(variant)["color"], markersize=7)
        axes.plot([np.median(values)] * 2, [row - 0.35, row + 0.35], color=INK, linewidth=1.5)
    style.name_rows(axes, [style.label_of(name) for name in variants])
    style.value_axis(axes, "accuracy on the images of one subject")
    style.percent_axis(axes.xaxis)
    return figure


def _draw_matrices(values, pattern, words, **colours):
    """Heat maps of (classes, classes) with rounded numbers, a variant each; returns the figure and the panels."""
    number = len(values)
    columns = 2 if number in (2, 4) else min(number, 3)
    rows, width = -(-number // columns), 6.2 if number == 1 else style.WIDTH
    figure, grid = new_figure(rows * width / columns + 1.0, rows, columns, width=width, squeeze=False)
    panels = list(grid.flat[:number])
    for spare in grid.flat[number:]:
        spare.remove()
    for index, (axes, (variant, matrix)) in enumerate(zip(panels, values.items(), strict=True)):
        left, lowest = index % columns == 0, index + columns >= number
        words_of = np.vectorize(lambda value: pattern.format(value).replace("-", "−") if abs(value) >= 0.5 else "")
        sns.heatmap(
            matrix, annot=words_of(matrix), fmt="", annot_kws={"fontsize": 9.5}, square=True, cbar=False, ax=axes,
            xticklabels=CLASS_NAMES if lowest else False, yticklabels=CLASS_NAMES if left else False, **colours,
        )  # fmt: skip
        axes.tick_params(length=0)
        axes.tick_params(axis="x", rotation=90)
        axes.tick_params(axis="y", rotation=0)
        axes.set(ylabel="true class" if left else "", xlabel="predicted class" if lowest else "")
        axes.set_title(style.two_lines(variant))
    bar = figure.colorbar(panels[0].collections[0], ax=panels, location="top", aspect=50, shrink=0.5, label=words)
    bar.outline.set_visible(False)
    return figure, panels


def _draw_panels(table, names):
    """Intervals of value, low, high; a panel each of `names`, a row a variant, side by side the seeds."""
    variants, seeds = list(table["variant"].unique()), list(table["seed"].unique())
    height = 0.75 + (0.27 + 0.12 * (len(seeds) - 1)) * len(variants)
    figure, panels = style.small_multiples(len(names), height)
    for axes, name in zip(panels, names, strict=True):
        for found in table[table["panel"] == name].to_dict("records"):
            shift = 0.2 * (seeds.index(found["seed"]) - (len(seeds) - 1) / 2)
            limits, look = (found["low"], found["high"]), variant_style(found["variant"])
            style.draw_interval(
                axes, variants.index(found["variant"]) + shift, found["value"], *limits, look, size=5
            )
        axes.set_title(name)
        style.value_axis(axes, bins=3)
        style.percent_axis(axes.xaxis)
    style.name_rows(panels[0], [style.label_of(variant) for variant in variants])
    return figure, dict(zip(names, panels, strict=True))
