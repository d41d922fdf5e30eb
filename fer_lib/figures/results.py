"""What runs reached: training curves, accuracies with their intervals, differences to the baseline, calibration.

Tables come from `fer_lib.analysis`. Bars are 95 % intervals wherever there are bars; accuracies are drawn in
percent, differences in percentage points.
"""

import numpy as np
from matplotlib.ticker import MaxNLocator

from fer_lib.figures.dots import ROW, draw_interval, in_two_lines, name_rows, small_multiples, write_beside
from fer_lib.figures.style import INK, QUIET, in_percent, label_of, lighter, new_figure, styled, variant_colours

_FEW = 10  # images below which a bin of the reliability figure is noise


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
        axes.set(title=metric.capitalize(), xlabel="Epoch")
    panels[0].yaxis.set_major_formatter(in_percent())
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
    figure, panels = small_multiples(len(groups), height=2.3)
    for axes, (variant, members) in zip(panels, groups.items(), strict=True):
        drawn = [(run, lighter(QUIET, 0.3), 1.2) for run in plain]
        drawn += [(run, colours[variant], 1.5) for run in members]
        for run, colour, linewidth in drawn:
            epochs = run.history["epoch"]
            axes.plot(epochs, run.history["val_accuracy"], color=colour, linewidth=linewidth, **_marks(epochs))
        axes.set_title(in_two_lines(label_of(variant)))
        _epoch_axis(axes)
    figure.supxlabel("Epoch", fontsize=11)
    panels[0].yaxis.set_major_formatter(in_percent())
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
        # At the right: there the curves have settled, one well above the floor and one well below.
        (0.99, floor),
        xycoords=axes.get_yaxis_transform(),
        xytext=(0, -5),
        textcoords="offset points",
        ha="right",
        va="top",
        color=QUIET,
    )
    last = runs[0].history.iloc[-1]
    ends = {"BinaryAccuracy": last["val_binary_accuracy"], "7-class accuracy": last["val_accuracy"]}
    _label_ends(axes, last["epoch"], ends)
    _epoch_axis(axes)
    axes.set(ylim=(0, 1), xlabel="Epoch")
    axes.yaxis.set_major_formatter(in_percent())
    return figure


@styled
def accuracy_by_variant(summary, by_run):
    """Accuracy of every variant: the mean over seeds with its interval, and each run as a small dot.

    Args:
        summary: `evaluation.summary_table`.
        by_run: `evaluation.accuracy_table` of the same runs.
    """
    colours = variant_colours(summary["variant"])
    figure, axes = new_figure(0.9 + ROW * len(summary))
    for row, found in enumerate(summary.to_dict("records")):
        colour = colours[found["variant"]]
        draw_interval(axes, row, found["mean"], found["low"], found["high"], colour)
        if found["seeds"] > 1:
            single = by_run.loc[by_run["variant"] == found["variant"], "accuracy"]
            axes.plot(single, np.full(len(single), row + 0.25), ".", color=lighter(colour, 0.3), markersize=6)
        write_beside(axes, row, {46: f"{found['mean']:.1%}", 155: f"[{found['low']:.1%}, {found['high']:.1%}]"})
    plain = summary["mean"].iloc[0]
    axes.axvline(plain, color=lighter(colours[summary["variant"].iloc[0]], 0.5), linewidth=1, zorder=0)
    name_rows(axes, summary["variant"])
    axes.set_xlabel("7-class accuracy, 95 % interval")
    axes.xaxis.set_major_formatter(in_percent())
    return figure


@styled
def forest_plot(comparison):
    """Difference to the baseline on the same images, a row a variant, with its interval and corrected p-value.

    Args:
        comparison: `evaluation.pooled_comparison_table`.
    """
    colours = variant_colours(comparison["variant"])
    figure, axes = new_figure(1.1 + ROW * len(comparison))
    axes.axvline(0, color=INK, linewidth=1)
    for row, found in enumerate(comparison.to_dict("records")):
        difference, low, high = (100 * found[name] for name in ("difference", "low", "high"))
        draw_interval(axes, row, difference, low, high, colours[found["variant"]])
        limits = f"[{_signed(low)}, {_signed(high)}]"
        write_beside(axes, row, {46: _signed(difference), 140: limits, 200: _p_value(found["p_holm"])})
    write_beside(axes, -0.9, {46: "points", 140: "95 % interval", 200: "Holm's p"}, color=QUIET)
    name_rows(axes, comparison["variant"])
    # As wide on both sides, so that the eye weighs better against worse.
    reach = 1.1 * np.nanmax(np.abs(100 * comparison[["low", "high"]].to_numpy()))
    axes.set(
        xlim=(-reach, reach),
        xlabel="Accuracy minus the baseline's, points, 95 % interval",
    )
    return figure


@styled
def reliability(tables):
    """Accuracy against confidence, and below it how many predictions have that confidence.

    Bins of fewer than 10 images are drawn below alone.

    Args:
        tables: dict of a name (such as `seed 0`) to an `evaluation.reliability_table`, all of one variant.
    """
    figure, (axes, counts) = new_figure(5.6, rows=2, width=6.4, sharex=True, height_ratios=[3, 1])
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":")
    axes.annotate("as sure as right", (0.04, 0.06), rotation=34, rotation_mode="anchor", color=QUIET)
    colours = [INK, *(lighter(INK, share) for share in np.linspace(0.3, 0.7, max(len(tables) - 1, 1)))]
    for (name, table), colour in zip(tables.items(), colours, strict=False):
        found = table[table["n"] >= _FEW]
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
        axis.set_major_formatter(in_percent())
    return figure


def _signed(points):
    """A number of points with its sign: `+1.2`, `−0.3`."""
    return f"{points:+.1f}".replace("-", "−")


def _p_value(p):
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _by_variant(runs):
    names = dict.fromkeys(run.variant for run in runs)
    return {name: [run for run in runs if run.variant == name] for name in names}


def _columns(metric):
    return (("training", metric), ("validation", f"val_{metric}"))


def _marks(epochs):
    """Dots where there are so few epochs that a line could be overlooked."""
    return {"marker": "o", "markersize": 4} if len(epochs) <= 3 else {}


def _label_ends(axes, epoch, ends):
    """Names two lines beyond their right end, the higher one above the lower one, whatever their distance."""
    for name, place in zip(sorted(ends, key=ends.get), ("top", "bottom"), strict=True):
        axes.annotate(
            name, (epoch, ends[name]), xytext=(7, 0), textcoords="offset points", va=place, annotation_clip=False
        )


def _epoch_axis(axes):
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y")
