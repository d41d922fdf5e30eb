"""The study's answer in one paragraph: do non-local blocks help here, where, at what cost, and how sure are we?

Every word that judges depends on the numbers of `fer_lib.analysis.evaluation.pooled_comparison_table`.
"""

from math import isnan

from fer_lib.errors import DataError
from fer_lib.variants import Variant


def answer(comparison, costs=None, alpha=0.05):
    """One paragraph of plain text.

    A place counts as helping or hurting where it was trained with two seeds or more and its Holm-corrected p-value
    is below `alpha`. Networks without a non-local block (the control without mixing) get a sentence of their own.

    Args:
        comparison: the table of `pooled_comparison_table`, against the plain network.
        costs: from `read_costs`. Where it is `None`, or not of all networks, nothing is said of cost.
        alpha: significance level.

    Returns:
        The paragraph, a str.

    Raises:
        DataError: the table compares no variant with non-local blocks.
    """
    non_local = comparison["variant"].map(_is_non_local).astype(bool)
    blocks = comparison[non_local].sort_values("difference", ascending=False)
    if blocks.empty:
        raise DataError(
            "There is nothing to answer from: no variant with non-local blocks was compared",
            expected="variants such as resnet50v2-nl3",
            found=", ".join(comparison["variant"]) or "an empty table",
        )
    repeated = blocks[blocks["seeds"] >= 2]
    verdict = _verdict(repeated, alpha) if len(repeated) else _single_seed_verdict(blocks, alpha)
    # The costs may be those of an earlier grid, without a network that was added since.
    counted = costs is not None and blocks["variant"].isin(costs.index).all()
    paid = [_cost(costs.loc[blocks["variant"]])] if counted else []
    sentences = [verdict, _range(blocks), *paid, _basis(blocks), *_controls(comparison[~non_local], alpha)]
    if 0 < len(repeated) < len(blocks):
        single = "; ".join(blocks.loc[blocks["seeds"] == 1, "variant"].map(_place))
        sentences.append(f"Trained with one seed only, and so not judged: {single}.")
    return " ".join(sentences)


def _verdict(blocks, alpha):
    """Yes, no, both, or not shown."""
    found = blocks[blocks["p_holm"] < alpha]
    better, worse = found[found["difference"] > 0], found[found["difference"] < 0]
    if len(better) and len(worse):
        return (
            f"It depends on where they stand: non-local blocks raise the accuracy of {len(better)} of the "
            f"{len(blocks)} networks with them ({_places(better)}) and lower that of {len(worse)} "
            f"({_places(worse)})."
        )
    if len(found):
        which = f"{len(found)} of the {len(blocks)} networks" if len(blocks) > 1 else "the one network"
        word, verb = ("Yes", "raise") if len(better) else ("No", "lower")
        return f"{word}: non-local blocks {verb} the accuracy of {which} with them ({_places(found)})."
    number = len(blocks) if len(blocks) > 1 else "one"
    return (
        f"No difference could be shown between the plain network and the {number} with "
        f"non-local blocks (smallest Holm-corrected p {blocks['p_holm'].min():.2g}). "
        f"That is not to say that there is none: {_sensitivity(blocks)}."
    )


def _sensitivity(blocks):
    """What could have been found, in words, by the least sensitive of the comparisons."""
    size = blocks["detectable"].max()
    if isnan(size):
        return "the networks disagree on too few images for any difference between them to be found reliably"
    return f"a true difference of {100 * size:.1f} points is found four times in five, a smaller one less often"


def _single_seed_verdict(blocks, alpha):
    found = blocks[blocks["p_holm"] < alpha]
    between = (
        "by more than the choice of images explains, the plain network differs from "
        f"{len(found)} of the {len(blocks)} compared with it ({_places(found)})"
        if len(found)
        else "no network differs from the plain one by more than the choice of images explains; "
        + _sensitivity(blocks)
    )
    return (
        "One seed cannot answer whether non-local blocks help: another seed gives another network, and by how "
        f"much that moves the accuracy was not measured. What can be said: {between}."
    )


def _range(blocks):
    """Largest and smallest difference with their intervals; `blocks` sorted, largest first."""
    if len(blocks) == 1:
        return f"The difference: {_difference(blocks.iloc[0])}."
    largest, smallest = blocks.iloc[0], blocks.iloc[-1]
    return (
        f"The largest difference is at {_place(largest['variant'])}: {_difference(largest)}; "
        f"the smallest at {_place(smallest['variant'])}: {_difference(smallest)}."
    )


def _cost(ratios):
    """What blocks add to the plain network; `ratios` in the order of the differences, the largest first."""
    added = [f"{_percents(ratios[name])} % more {name}" for name in ratios]
    text = f"The blocks cost {' and '.join(added)} than the plain network"
    if len(ratios) > 1:
        first = " and ".join(f"{_percents(ratios[name].iloc[:1])} %" for name in ratios)
        text += f"; {_place(ratios.index[0])}, {first}"
    return f"{text}."


def _percents(ratios):
    low, high = (f"{100 * (ratio - 1):.0f}" for ratio in (ratios.min(), ratios.max()))
    return low if low == high else f"{low} to {high}"


def _basis(blocks):
    """Seeds, images and the baseline's accuracy behind the judgement."""
    fewest, most = blocks["seeds"].min(), blocks["seeds"].max()
    seeds = f"{most} seed{'s' if most > 1 else ''}" if fewest == most else f"{fewest} to {most} seeds"
    return (
        f"Judged by {seeds} of each network on the same {blocks['n'].iloc[0]:,} images, of which the plain "
        f"network names {100 * blocks['baseline_accuracy'].mean():.1f} % rightly."
    )


def _controls(controls, alpha):
    """A sentence for each network without non-local blocks: what the added parameters alone bring."""
    for _, row in controls.iterrows():
        shown = "a difference beyond chance" if row["p_holm"] < alpha else "no difference beyond chance"
        yield f"The control {_place(row['variant'])} shows {shown}: {_difference(row)}."


def _is_non_local(name):
    variant = Variant.from_name(name)
    return bool(variant.stages) and variant.pairwise != "none"


def _place(name):
    return Variant.from_name(name).label


def _places(rows):
    return "; ".join(rows["variant"].map(_place))


def _difference(row):
    p = "< 0.001" if row["p_holm"] < 0.001 else f"= {row['p_holm']:.2g}"
    limits = f"{_points(row['low'])} to {_points(row['high'])}"
    return f"{_points(row['difference'])} points (95 % interval {limits}, corrected p {p})"


def _points(fraction):
    """A fraction in points of accuracy with its sign: 0.0123 is +1.2."""
    return f"{100 * fraction:+.1f}".replace("-", "−")
