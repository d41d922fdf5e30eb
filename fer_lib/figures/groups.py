"""Scores by group of images: by expression, and by what else is known of them, such as angle, sex or person.

Bars are 95 % intervals.
"""

import numpy as np
from matplotlib.ticker import MaxNLocator

from fer_lib.datasets import CLASS_NAMES
from fer_lib.figures.dots import draw_interval, in_two_lines, name_rows, small_multiples
from fer_lib.figures.style import INK, QUIET, in_percent, label_of, new_figure, styled, variant_colours

# From one side of the face to the other, where the alphabet would mix them.
_ANGLES = ("FL", "HL", "S", "HR", "FR")


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
            low, high, place = found[f"{score}_low"], found[f"{score}_high"], row + shift
            axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
            axes.plot(found[score], place, "o", color=colour, markerfacecolor=face, label=None if row else score)
    axes.set_yticks(range(len(rows)), [f"{found['class']} ({found['support']:,})" for found in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set(xlim=(-0.02, 1.02), xlabel="95 % interval; in brackets the images of the class")
    axes.xaxis.set_major_formatter(in_percent())
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
        axes.xaxis.set_major_formatter(in_percent())
    grid.flat[0].set_ylim(len(variants) - 0.5, -0.5)
    figure.supxlabel("Recall, 95 % interval; in brackets the images of the class", fontsize=11)
    return figure


@styled
def group_accuracy(groups, column):
    """Accuracy in each group of images, a panel a variant, a bar a seed.

    Args:
        groups: a DataFrame, a row a variant, seed and group: variant, seed, and the columns of
            `evaluation.by_group`.
        column: name of the column that holds the group, such as `angle`.
    """
    variants, seeds = list(dict.fromkeys(groups["variant"])), list(dict.fromkeys(groups["seed"]))
    colours = variant_colours(variants)
    names = _in_order(groups[column].unique())
    figure, panels = small_multiples(len(variants), height=0.9 + 0.3 * len(names))
    for axes, variant in zip(panels, variants, strict=True):
        for found in groups[groups["variant"] == variant].to_dict("records"):
            row = names.index(found[column]) + _shift(seeds.index(found["seed"]), len(seeds))
            draw_interval(axes, row, found["accuracy"], found["low"], found["high"], colours[variant], size=5)
        axes.set_title(in_two_lines(label_of(variant)))
        axes.set_yticks(range(len(names)), names)
        axes.grid(axis="x")
        axes.xaxis.set_major_formatter(in_percent())
    panels[0].set_ylim(len(names) - 0.5, -0.5)  # shared by all
    figure.supxlabel("Accuracy, 95 % interval over images", fontsize=11)
    return figure


@styled
def people(groups):
    """Accuracy on each person's images, a row a variant and a dot a person; the stroke is their median.

    Args:
        groups: as for `group_accuracy`, with the column `subject`; of several seeds a person's mean is drawn.
    """
    means = groups.groupby(["variant", "subject"], sort=False)["accuracy"].mean()
    variants = list(dict.fromkeys(groups["variant"]))
    colours = variant_colours(variants)
    figure, axes = new_figure(0.9 + 0.5 * len(variants))
    for row, variant in enumerate(variants):
        values = np.sort(means[variant].to_numpy())
        # Up and down in turn, so that people of one accuracy stay apart.
        heights = row + 0.24 * np.sin(2.4 * np.arange(len(values)))
        axes.plot(values, heights, ".", color=colours[variant], markersize=7)
        axes.plot([np.median(values)] * 2, [row - 0.35, row + 0.35], color=INK, linewidth=1.5)
    name_rows(axes, variants)
    axes.set_xlabel("Accuracy on the images of one person")
    axes.xaxis.set_major_formatter(in_percent())
    return figure


def _shift(index, number):
    """Where the bar of a seed stands within its row, of `number` seeds."""
    return 0.2 * (index - (number - 1) / 2)


def _in_order(names):
    return [name for name in _ANGLES if name in names] if set(names) <= set(_ANGLES) else sorted(names)
