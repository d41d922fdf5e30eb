"""What the notebooks say of their tables, in sentences: a function takes tables and returns text."""

from typing import Any

import pandas as pd

from fer_lib.analysis import tables
from fer_lib.analysis.inference import ALPHA
from fer_lib.display import interval, network, percent, points
from fer_lib.variants import Variant


def mean_effect(comparison: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """Say whether blocks help on average, from `tables.comparison` and `tables.contrasts`."""
    blocks = comparison[comparison["family"] == tables.BLOCKS]
    if blocks.empty:
        return "There is no comparison: the baseline, or every network with blocks, did not learn."
    significant = f"{(blocks['p_holm'] < ALPHA).sum()} of {len(blocks)}"
    if contrasts.empty:
        return (
            f"One seed cannot answer whether blocks help: {significant} networks with blocks differ significantly "
            "from the baseline as trained here, and other seeds may differ otherwise."
        )
    mean = _with_ci(contrasts.set_index("contrast").loc[tables.MEAN_OF_BLOCKS])
    words = f"On average the {len(blocks)} networks with blocks differ from the baseline by {mean}"
    return f"{words}; {significant} differ significantly."


def contrast(row: Any) -> str:
    """Say what one row of `tables.contrasts` is and how it comes about."""
    error, margin = points(row["standard_error"], 2)[1:], points(row["equivalent_within"])[1:]
    how = f"from a standard error of {error} pp with {row['df']:.0f} degrees of freedom"
    label = f"{row['label'][0].upper()}{row['label'][1:]}"
    return f"{label}: {_with_ci(row)}, {how}; the two sides are equivalent within ± {margin} pp."


def removed_blocks(removed: pd.DataFrame) -> str:
    """Say what removing the blocks after training changes, by stage, from `attention.removed_after_training`."""
    table = removed.assign(gain=removed["ablated_difference"] - removed["difference"])
    parts = []
    for stages, rows in table.groupby(table["variant"].map(lambda name: Variant.from_name(name).stages)):
        where = ("stage " if len(stages) == 1 else "stages ") + "-".join(map(str, stages))
        share, gain = _range(rows["changed"], percent), _range(rows["gain"], points)
        parts.append((rows["changed"].max(), f"{share} in {where} (accuracy {gain} pp)"))
    text = " and ".join(text for _, text in sorted(parts)).replace(" in ", " of the predictions in ", 1)
    return f"Removing the trained blocks changes {text}."


def against_control(to_control: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """Say whether comparing positions brings more than a control does, from the two tables of these names."""
    if to_control.empty:
        return "The study has no control, so a gain cannot be attributed to the comparison of positions."
    control, significant = network(to_control["baseline"].iloc[0]), (to_control["p_holm"] < ALPHA).sum()
    found = f"{significant} of {len(to_control)} functions differ significantly from {control}"
    rows = contrasts[contrasts["contrast"] == tables.OVER_CONTROL]
    if rows.empty:
        return f"{found}, in single networks: with one seed this is not about the functions."
    return f"{found}; their mean differs from it by {_with_ci(rows.iloc[0])}."


def power(comparison: pd.DataFrame, by_seeds: pd.DataFrame) -> str:
    """Say what the study can detect, from `tables.comparison` and `tables.power_by_seeds`, empty with one seed."""
    mde = points(comparison["mde"].max())[1:]
    if by_seeds.empty:
        return (
            f"With one seed, the McNemar test of one pair has 80 % power to detect about {mde} pp on these "
            "images; how much another seed would move the networks is unknown."
        )
    enough = by_seeds.loc[by_seeds["mde"] <= 0.01, "seeds"]
    needed = (
        f"would need {enough.iloc[0]} seeds of every network" if len(enough) else "is out of reach on these images"
    )
    return f"The comparison has 80 % power to detect {mde} pp; 1 pp {needed}."


def _range(values, form):
    """Return the smallest and the largest value, or the one that both are when shown."""
    low, high = form(values.min()), form(values.max())
    return low if low == high else f"{low.removesuffix(' %')} to {high}"


def _with_ci(row):
    return f"{points(row['difference'])} pp (95 % CI {interval(row['ci_low'], row['ci_high'])})"
