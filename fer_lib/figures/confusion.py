"""Notebook 04: which classes are confused, what changes against the baseline, and accuracy by class and group."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fer_lib.datasets.kdef import ANGLES
from fer_lib.display import count
from fer_lib.figures import style
from fer_lib.figures.style import INK, QUIET, styled


@styled
def confusion_matrices(shares: dict) -> Figure:
    """Draw the percentage of each true class that is predicted as each class, from `tables.confusion_shares`."""
    values = {name: 100 * table for name, table in shares.items()}
    return _draw_matrices(values, "{:.0f}", "% of the images of the true class", cmap="Blues", vmin=0, vmax=100)[0]


@styled
def confusion_changes(changes: pd.DataFrame) -> Figure:
    """Draw shares minus the baseline's from `tables.confusion_changes`; framed: p (Holm-adjusted) below 0.05."""
    cells = changes.set_index(["variant", "true_class", "predicted_class"])[["difference", "p_holm"]].unstack()
    classes = cells.columns.unique(1)  # one of a single image has no row
    tables = {name: cells.loc[name].reindex(classes) for name in changes["variant"].unique()}
    values = {name: 100 * table["difference"] for name, table in tables.items()}
    reach = max(100 * changes["difference"].abs().max(), 1)
    figure, panels = _draw_matrices(values, "{:+.0f}", "change (pp)", cmap="PRGn_r", vmin=-reach, vmax=reach)
    for axes, table in zip(panels, tables.values(), strict=True):
        for row, column in np.argwhere(table["p_holm"].to_numpy() < 0.05):
            axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=INK, linewidth=2))
    return figure


@styled
def group_scores(table: pd.DataFrame, column: str, score: str = "accuracy", baseline: str | None = None) -> Figure:
    """Draw a score with its 95 % CI: one panel per group of images, one row per variant, in it the seeds.

    `table`: `tables.by_group` or `accuracy_without`, or `class_scores`; `column`: of the group, such as `angle` or
    `class`; `score`: `"accuracy"`, or `"recall"` of classes; `baseline`: the variant whose score is a line.
    """
    values = [score, *(["ci_low", "ci_high"] if score == "accuracy" else [f"{score}_low", f"{score}_high"])]
    names = sorted(table[column].unique(), key=lambda name: ANGLES.index(name) if name in ANGLES else 0)
    table = table if "seed" in table else table.assign(seed=0)
    variants, seeds = list(table["variant"].unique()), list(table["seed"].unique())
    below = 0.2 * (table["seed"].map(seeds.index) - (len(seeds) - 1) / 2)
    table = table.assign(row=table["variant"].map(variants.index) + below)
    height = 0.75 + (0.27 + 0.12 * (len(seeds) - 1)) * len(variants)
    figure, panels = style.small_multiples(len(names), height)
    for axes, name in zip(panels, names, strict=True):
        rows = table[table[column] == name]
        if baseline:
            axes.axvline(rows.loc[rows["variant"] == baseline, score].iloc[0], color=QUIET, linewidth=1, zorder=0)
        style.draw_intervals(axes, rows["row"], rows, values, size=5)
        axes.set_title(f"{name} ({count(rows.get('support', rows.get('n')).iloc[0])})")
        style.name_rows(axes, variants, bins=2)
        style.percent_axis(axes.xaxis)
    figure.supxlabel(f"{score}, 95 % CI; in brackets the images")
    return figure


def _draw_matrices(values, pattern, words, **colours):
    """Return a figure of one heat map per variant (true by predicted classes), and its panels."""
    figure, panels = style.small_multiples(len(values), 3.1, columns=2 if len(values) in (2, 4) else 3)
    shown = np.vectorize(lambda value: pattern.format(value).replace("-", "−") if abs(value) >= 0.5 else "")
    settings = {"fmt": "", "annot_kws": {"fontsize": 9.5}, "cbar": False} | colours
    for axes, (variant, matrix) in zip(panels, values.items(), strict=True):
        names = {"xticklabels": matrix.columns, "yticklabels": matrix.index}
        sns.heatmap(matrix.to_numpy(), annot=shown(matrix), ax=axes, **names, **settings)
        axes.set_title(style.label_of(variant).replace(", ", ",\n", 1))
        axes.tick_params(axis="x", length=0, rotation=90)
        axes.tick_params(axis="y", length=0, rotation=0)
    figure.supxlabel("predicted class")
    figure.supylabel("true class")
    figure.colorbar(panels[0].collections[0], ax=panels, location="top", aspect=50, shrink=0.5, label=words)
    return figure, panels
