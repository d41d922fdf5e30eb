"""The paper's numbers in pictures: two metrics of the same predictions, what one run can show, copies.

Tables come from `fer_lib.analysis.reported` and `fer_lib.analysis.evaluation`. Bars are 95 % intervals.
"""

import numpy as np

from fer_lib.analysis import inference as statistics
from fer_lib.figures.dots import draw_interval, name_rows, write_beside
from fer_lib.figures.style import (
    INK,
    PALETTE,
    QUIET,
    in_percent,
    label_of,
    lighter,
    new_figure,
    styled,
    variant_colours,
)

_DATASETS = {"fer2013": ("FER-2013", PALETTE["vermilion"]), "kdef": ("KDEF", PALETTE["blue"])}


@styled
def two_metrics(epochs, readings, floor=6 / 7):
    """7-class accuracy over BinaryAccuracy: every epoch of the study, and where the paper's six numbers stand.

    Args:
        epochs: `reported.epochs_table`.
        readings: `reported.reading_table`.
        floor: BinaryAccuracy of a network that never gives a class more than one half.
    """
    figure, axes = new_figure(4.8)
    line = np.array([5 / 7, 1.0])
    axes.plot(line, 1 - 3.5 * (1 - line), color=INK, linewidth=1.2)
    _note(axes, "every prediction confident", (0.965, 0.88), (-6, 0), INK, ha="right")
    axes.axvline(floor, color=QUIET, linestyle=":", linewidth=1.2)
    _note(axes, f"knows nothing: {floor:.1%}", (floor, 0.02), (-5, 0), QUIET, ha="right")
    axes.axhline(1 / 7, color=QUIET, linestyle=":", linewidth=1.2)
    _note(axes, "chance: 14.3%", (1, 1 / 7), (0, 4), QUIET, ha="right")
    axes.plot(
        epochs["binary_accuracy"], epochs["accuracy"], ".", color=PALETTE["green"], markersize=5, alpha=0.5,
        label="epochs of this study, validation",
    )  # fmt: skip
    for dataset, (words, colour) in _DATASETS.items():
        found = readings[readings["dataset"] == dataset]
        axes.plot(
            found["reported"], found["if_confident"], "o", color=colour, markersize=6,
            label=f"the paper's {words} numbers, were they BinaryAccuracy",
        )  # fmt: skip
        axes.vlines(found["reported"], 0, found["if_confident"], color=lighter(colour, 0.4), linewidth=1)
    axes.set(xlim=(5 / 7, 1), ylim=(0, 1), xlabel="BinaryAccuracy", ylabel="7-class accuracy")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(in_percent())
    axes.legend(loc="upper left", frameon=True, facecolor="white", edgecolor="none", framealpha=1)
    return figure


@styled
def detectable_differences(discordances, images, reported):
    """The smallest difference that one run each finds four times in five, over the number of test images.

    Args:
        discordances: dict of words to the share of images that exactly one of two networks has right; the first
            is drawn in colour.
        images: the paper's test images.
        reported: dict of words to a difference that the paper reports, a fraction.
    """
    figure, axes = new_figure(4.2)
    sizes = np.unique(np.geomspace(200, 20_000, 15).astype(int))
    shades = [PALETTE["blue"], *(lighter(INK, shade) for shade in np.linspace(0, 0.6, len(discordances)))]
    for (words, share), colour in zip(discordances.items(), shades, strict=False):
        found = [100 * statistics.mcnemar_detectable(int(n), share) for n in sizes]
        axes.plot(sizes, found, color=colour, label=words)
    axes.legend(loc="upper right", title="Named rightly by just one of the two", alignment="left")
    axes.axvline(images, color=QUIET, linestyle=":", linewidth=1.2)
    _note(axes, f"{images:,} images", (images, 0.94), (5, 0), QUIET, xycoords=axes.get_xaxis_transform())
    for words, difference in reported.items():
        points = 100 * difference
        axes.axhline(points, color=PALETTE["vermilion"], linewidth=1)
        place = {"xycoords": axes.get_yaxis_transform(), "ha": "left", "va": "center"}
        _note(axes, f"{words}: {points:.2f}", (1.01, points), (0, 0), PALETTE["vermilion"], **place)
    axes.set(xscale="log", yscale="log", xlim=(sizes[0], sizes[-1]), xlabel="Test images")
    axes.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    axes.yaxis.set_minor_formatter("")
    axes.set_ylabel("Difference found\nfour times in five, points")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y")
    return figure


@styled
def with_and_without_copies(table):
    """Accuracy with all images, without those that also stand in training, and on these alone; a row a run.

    Args:
        table: `evaluation.accuracy_without` of several runs, with the columns variant and seed.
    """
    order = list(dict.fromkeys(zip(table["variant"], table["seed"], strict=True)))
    colours = variant_colours(table["variant"].unique())
    figure, axes = new_figure(1.2 + 0.85 * len(order))  # three lines of words a row
    faces = {"all": (-0.2, 0.0), "without": (0.0, 0.35), "only": (0.2, 0.65)}
    for found in table[table["n"] > 0].to_dict("records"):
        shift, shade = faces[found["images"]]
        row = order.index((found["variant"], found["seed"])) + shift
        colour = lighter(colours[found["variant"]], shade)
        draw_interval(axes, row, found["accuracy"], found["low"], found["high"], colour, size=6)
        write_beside(axes, row, {110: f"{found['images']} ({found['n']:,})"})
    name_rows(axes, [variant for variant, _ in order])
    axes.set_yticks(range(len(order)), [f"{label_of(variant)}, seed {seed}" for variant, seed in order])
    axes.set_xlabel("7-class accuracy, 95 % interval over images")
    axes.xaxis.set_major_formatter(in_percent())
    return figure


def _note(axes, text, place, shift, colour, **settings):
    """Writes at a place of the axes, shifted by so many points."""
    axes.annotate(text, place, xytext=shift, textcoords="offset points", color=colour, **settings)
