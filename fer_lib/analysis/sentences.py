"""What the notebooks say of their tables, in sentences: a function takes tables and returns text."""

from typing import Any

import pandas as pd

from fer_lib.analysis import tables
from fer_lib.analysis.inference import ALPHA
from fer_lib.display import interval, network, p_value, percent, points
from fer_lib.variants import Variant


def mean_effect(comparison: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """Say what blocks gain on average and what is excluded, from `tables.comparison` and `tables.contrasts`."""
    blocks = comparison[comparison["family"] == tables.BLOCKS]
    if blocks.empty:
        return "There is no comparison: the baseline, or every network with blocks, did not learn."
    if contrasts.empty:
        row, number = blocks.loc[blocks["difference"].abs().idxmax()], int((blocks["p_holm"] < ALPHA).sum())
        effect = with_ci(row, "95 % CI over the images ")
        words = f"Of the trained networks the largest difference is {effect}, {network(row['variant'])}; "
        differ = f"{number or 'none'} of {len(blocks)} differ{'' if number > 1 else 's'} significantly"
        return f"{words}{differ}, and other seeds may differ otherwise."
    (margin, _), many = tables.excluded_gain(blocks), len(blocks) > 1
    who = f"On average {len(blocks)} networks with blocks gain" if many else "The network with blocks gains"
    effect = with_ci(contrasts.set_index("contrast").loc[tables.MEAN_OF_BLOCKS])
    return f"{who} {effect}; {round(100 * margin)} pp or more is excluded{' for each' * many}."


def contrast(row: Any, before: str = "") -> str:
    """Say what one row of `tables.contrasts` shows, and whether its two sides are equivalent within its margin."""
    label, margin = f"{before}{row['label']}", points(row["margin"])[1:]
    shown = "" if row["p_equivalent"] < ALPHA else "not shown to be "
    equivalent = f"{shown}equivalent within ± {margin} pp (p {p_value(row['p_equivalent'])})"
    return f"{label[0].upper()}{label[1:]}: {with_ci(row)}, p {p_value(row['p_value'])}; {equivalent}."


def planned(contrasts: pd.DataFrame) -> tuple[str, str]:
    """Return a verdict and a sentence on the primary contrast of `tables.contrasts`, planned before the runs."""
    primary = contrasts[contrasts["contrast"] == tables.PRIMARY]
    if primary.empty:
        return "No answer.", "Of the two networks of the primary contrast, one is missing or did not learn."
    row = primary.iloc[0]
    small, margin = row["p_equivalent"] < ALPHA, points(row["margin"])[1:]
    verdict = f"No difference of {margin} pp or more" if small else "Inconclusive"
    if row["p_value"] < ALPHA:
        verdict = "Yes" if row["difference"] > 0 else "No, the accuracy is lower"
        verdict += f", by less than {margin} pp" if small else ""
    return f"{verdict}.", contrast(row, "planned before the runs, ")


def removed_blocks(removed: pd.DataFrame) -> str:
    """Say how many predictions change without the trained blocks, by stage; empty where nothing is known.

    `removed`: of `attention.removed_after_training`; the controls are left out.
    """
    removed = removed[~removed["variant"].map(tables.is_control).astype(bool)]
    stages = removed["variant"].map(lambda name: Variant(50, Variant.from_name(name).stages).label)
    found = removed.groupby(stages).agg({"changed_low": "min", "changed_high": "max"}).sort_values("changed_high")
    parts: list[str] = []
    for place, (low, high) in found[::-1].iterrows():
        span = f"{percent(low, 0).removesuffix(' %')} to {percent(high, 0)}"
        share = span if low >= 0.01 else f"at most {percent(high)}" if high >= 0.0005 else "less than 0.1 %"
        parts.append(f"{share}{'' if parts else ' of predictions'} in {place}")
    return f"Removing blocks after training changes {', '.join(parts)}." if parts else ""


def against_control(to_control: pd.DataFrame, contrasts: pd.DataFrame) -> str:
    """Say whether comparing positions brings more than a control does, from the two tables of these names."""
    if to_control.empty:
        return "The study has no control, so a gain cannot be attributed to the comparison of positions."
    control, significant = network(to_control["baseline"].iloc[0]), (to_control["p_holm"] < ALPHA).sum()
    found = f"{significant} of {len(to_control)} functions differ significantly from {control}"
    rows = contrasts[contrasts["contrast"] == tables.OVER_CONTROL]
    if rows.empty:
        return f"{found}, in single networks: with one seed this is not about the functions."
    return f"{found}; their mean differs from it by {with_ci(rows.iloc[0])}."


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


def with_ci(row: Any, words: str = "95 % CI ") -> str:
    """Return the difference of a row of `tables.comparison` or `contrasts` with its interval."""
    return f"{points(row['difference'])} pp ({words}{interval(row['ci_low'], row['ci_high'])})"
