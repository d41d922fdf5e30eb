"""What runs reached: training curves, accuracies with their intervals, differences to the baseline, calibration.

Tables come from `fer_lib.evaluation`. Bars are 95 % intervals wherever there are bars; accuracies are drawn in
percent, differences in percentage points.
"""

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fer_lib.figures.style import INK, QUIET, label_of, lighter, new_figure, styled, variant_colours

_ROW = 0.36  # inches a row of a dot plot
_PANELS = 4  # a row of small multiples


@styled
def training_curves(runs):
    """Accuracy and loss over the epochs of one variant's runs, a line a seed: training dashed, validation solid.

    Args:
        runs: `Run` objects of one variant.
    """
    colour = variant_colours([runs[0].variant])[runs[0].variant]
    figure, panels = new_figure(3.6, columns=2)
    for axes, metric in zip(panels, ("accuracy", "loss"), strict=True):
        for run in runs:
            epochs = run.history["epoch"]
            axes.plot(epochs, run.history[metric], "--", color=lighter(colour, 0.35), **_marks(epochs))
            axes.plot(epochs, run.history[f"val_{metric}"], color=colour, **_marks(epochs))
        ends = {name: runs[0].history[column].iloc[-1] for name, column in _columns(metric)}
        _label_ends(axes, runs[0].history["epoch"].iloc[-1], ends)
        _epoch_axis(axes)
        axes.set_title(metric.capitalize())
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


@styled
def curves_by_variant(runs, baseline):
    """Validation accuracy over the epochs, a panel a variant and a line a seed, each over the baseline's in grey.

    Args:
        runs: `Run` objects, the baseline's among them.
        baseline: name of the plain variant.
    """
    groups = _by_variant(runs)
    plain = groups.pop(baseline)
    colours = variant_colours(groups)
    figure, panels = _panels(len(groups), height=2.3)
    for axes, (variant, members) in zip(panels, groups.items(), strict=True):
        for run in plain:
            axes.plot(run.history["epoch"], run.history["val_accuracy"], color=lighter(QUIET, 0.3), linewidth=1.2)
        for run in members:
            axes.plot(run.history["epoch"], run.history["val_accuracy"], color=colours[variant], linewidth=1.5)
        axes.set_title(_broken(label_of(variant)))
        _epoch_axis(axes)
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


@styled
def two_accuracies(runs, floor=6 / 7):
    """7-class accuracy and BinaryAccuracy of the same validation predictions over the epochs, a line a seed.

    Args:
        runs: `Run` objects of one variant.
        floor: BinaryAccuracy of a network that never gives a class more than one half.
    """
    colour = variant_colours([runs[0].variant])[runs[0].variant]
    figure, axes = new_figure(3.6)
    for run in runs:
        epochs = run.history["epoch"]
        axes.plot(epochs, run.history["val_binary_accuracy"], "--", color=colour, **_marks(epochs))
        axes.plot(epochs, run.history["val_accuracy"], color=colour, **_marks(epochs))
    axes.axhline(floor, color=QUIET, linewidth=1, linestyle=":")
    axes.annotate(
        f"BinaryAccuracy of a network that knows nothing: {floor:.1%}",
        (0.01, floor),
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, -5),
        textcoords="offset points",
        va="top",
        color=QUIET,
    )
    last = runs[0].history.iloc[-1]
    ends = {"BinaryAccuracy": last["val_binary_accuracy"], "7-class accuracy": last["val_accuracy"]}
    _label_ends(axes, last["epoch"], ends)
    _epoch_axis(axes)
    axes.set(ylim=(0, 1), ylabel="Validation images")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


@styled
def accuracy_by_variant(summary, by_run):
    """Accuracy of every variant: the mean over seeds with its interval, and each run as a small dot.

    Args:
        summary: `evaluation.summary_table`.
        by_run: `evaluation.accuracy_table` of the same runs.
    """
    colours = variant_colours(summary["variant"])
    figure, axes = new_figure(0.9 + _ROW * len(summary))
    for row, found in enumerate(summary.to_dict("records")):
        colour = colours[found["variant"]]
        _interval(axes, row, found["mean"], found["low"], found["high"], colour)
        if found["seeds"] > 1:
            single = by_run.loc[by_run["variant"] == found["variant"], "accuracy"]
            axes.plot(single, np.full(len(single), row + 0.25), ".", color=lighter(colour, 0.3), markersize=6)
        _beside(axes, row, f"{found['mean']:.1%}  [{found['low']:.1%}, {found['high']:.1%}]")
    plain = summary["mean"].iloc[0]
    axes.axvline(plain, color=lighter(colours[summary["variant"].iloc[0]], 0.5), linewidth=1, zorder=0)
    _rows(axes, summary["variant"])
    axes.set_xlabel("7-class accuracy, 95 % interval")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


@styled
def forest_plot(comparison):
    """Difference to the baseline on the same images, a row a variant, with its interval and corrected p-value.

    Args:
        comparison: `evaluation.pooled_comparison_table`.
    """
    colours = variant_colours(comparison["variant"])
    figure, axes = new_figure(1.1 + _ROW * len(comparison))
    axes.axvline(0, color=INK, linewidth=1)
    for row, found in enumerate(comparison.to_dict("records")):
        difference, low, high = (100 * found[name] for name in ("difference", "low", "high"))
        _interval(axes, row, difference, low, high, colours[found["variant"]])
        _beside(axes, row, f"{signed(difference)}  [{signed(low)}, {signed(high)}]   {_p_value(found['p_holm'])}")
    _beside(axes, -0.9, "points  [95 % interval]   Holm's p", color=QUIET)
    _rows(axes, comparison["variant"])
    # As wide on both sides, so that the eye weighs better against worse.
    reach = 1.1 * np.nanmax(np.abs(100 * comparison[["low", "high"]].to_numpy()))
    axes.set(
        xlim=(-reach, reach),
        xlabel=f"Accuracy minus that of {label_of(comparison['baseline'].iloc[0])}, points",
    )
    return figure


@styled
def reliability(tables):
    """Accuracy against confidence, and below it how many predictions have that confidence.

    Args:
        tables: dict of a name (such as `seed 0`) to an `evaluation.reliability_table`, all of one variant.
    """
    figure, (axes, counts) = new_figure(5.6, rows=2, width=6.4, sharex=True, height_ratios=[3, 1])
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":")
    axes.annotate("as sure as right", (0.04, 0.06), rotation=37, rotation_mode="anchor", color=QUIET)
    colours = [INK, *(lighter(INK, share) for share in np.linspace(0.3, 0.7, max(len(tables) - 1, 1)))]
    for (name, table), colour in zip(tables.items(), colours, strict=False):
        found = table[table["n"] > 0]
        error = np.abs(found[["low", "high"]].to_numpy().T - found["accuracy"].to_numpy())
        axes.errorbar(
            found["confidence"], found["accuracy"], error, fmt="o-", ms=4, lw=1.2, color=colour, label=name
        )
        counts.stairs(table["n"], [*table["from"], table["to"].iloc[-1]], color=colour, linewidth=1.2)
    if len(tables) > 1:
        axes.legend(loc="upper left")
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="Share that is right, 95 % interval")
    counts.set(xlabel="Confidence: probability of the named class", ylabel="Images")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


@styled
def group_accuracy(groups, column):
    """Accuracy in each group of images, a panel a variant.

    Args:
        groups: a DataFrame: variant, `column`, n, accuracy, low, high, a row a variant and group.
        column: name of the column that holds the group, such as `angle`.
    """
    variants = list(dict.fromkeys(groups["variant"]))
    colours = variant_colours(variants)
    names = sorted(groups[column].unique())
    figure, panels = _panels(len(variants), height=0.9 + 0.28 * len(names))
    for axes, variant in zip(panels, variants, strict=True):
        for found in groups[groups["variant"] == variant].to_dict("records"):
            row = names.index(found[column])
            _interval(axes, row, found["accuracy"], found["low"], found["high"], colours[variant])
        axes.set_title(_broken(label_of(variant)))
        axes.set_yticks(range(len(names)), names)
        axes.grid(axis="x")
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[0].invert_yaxis()  # shared by all
    return figure


def signed(points):
    """A number of points with its sign, as text: `+1.2`, `−0.3`."""
    return f"{points:+.1f}".replace("-", "−")


def _p_value(p):
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _interval(axes, row, value, low, high, colour):
    axes.plot([low, high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot(value, row, "o", color=colour, markersize=7)


def _beside(axes, row, text, color=INK):
    """Writes at the right of a row, outside the axes."""
    place = axes.get_yaxis_transform()
    axes.annotate(text, (1.02, row), xycoords=place, va="center", color=color, annotation_clip=False)


def _rows(axes, variants):
    """A row a variant, the first at the top."""
    axes.set_yticks(range(len(variants)), [label_of(name) for name in variants])
    axes.set_ylim(len(variants) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _panels(number, height):
    """A figure of `number` small axes that share their scales, `height` inches each, and the axes as a list."""
    columns = min(number, _PANELS)
    rows = -(-number // columns)
    figure, grid = new_figure(height * rows, rows=rows, columns=columns, sharex=True, sharey=True, squeeze=False)
    for spare in grid.flat[number:]:
        spare.remove()
    for axes in grid.flat[max(number - columns, 0) : number]:
        axes.tick_params(labelbottom=True)  # the last of its column, though not of the grid
    return figure, list(grid.flat[:number])


def _by_variant(runs):
    names = dict.fromkeys(run.variant for run in runs)
    return {name: [run for run in runs if run.variant == name] for name in names}


def _columns(metric):
    return (("training", metric), ("validation", f"val_{metric}"))


def _marks(epochs):
    """Dots where there are so few epochs that a line could be overlooked."""
    return {"marker": "o", "markersize": 4} if len(epochs) <= 3 else {}


def _label_ends(axes, epoch, ends):
    """Names lines at their right end, the higher above the lower, whatever their distance."""
    low, high = sorted(ends, key=ends.get)
    for name, place in ((low, "top"), (high, "bottom")):
        axes.annotate(
            name,
            (epoch, ends[name]),
            xytext=(0, 5 if place == "bottom" else -5),
            textcoords="offset points",
            ha="right",
            va=place,
        )


def _epoch_axis(axes):
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y")


def _broken(label):
    """A label in two lines where it has a comma."""
    return label.replace(", ", ",\n", 1)
