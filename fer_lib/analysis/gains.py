"""The paper's sentences on what non-local blocks bring, against differences between networks that were trained."""

from fer_lib.analysis.audit import ACCURACIES, CONTRADICTED, REPRODUCED, UNTESTED, Finding
from fer_lib.variants import Variant

# "Around 1 %" is what rounds to 1.
AROUND_ONE = (0.005, 0.015)


def gains(comparison, order, parameters):
    """The sentences on what blocks bring: "around 1 %" at high layers, worse at low ones, in general, the order.

    Judged on FER-2013 or KDEF and from two seeds on, for the network that was trained here: a gain or loss is one
    whose Holm-corrected p-value is below 0.05. "Around 1 %" is also contradicted where the interval lies wholly
    outside 0.5 to 1.5 points. Everything else cannot be told.

    Args:
        comparison: `evaluation.pooled_comparison_table` against the plain network.
        order: a row, as dict, of such a table: a network with high-stage blocks against one with low-stage blocks;
            or None.
        parameters: the study's `Parameters`.
    """
    rows = {row["variant"]: row for row in comparison.to_dict("records")}
    high, low = (pick(rows, stages) for stages in ((3, 4), (1, 2)))
    paper = ACCURACIES["fer2013"]
    own = paper[(1, 2)] - paper[()]
    worse = "Blocks at lower layers get worse performance"
    better = "Blocks at higher layers improve the accuracy by around 1 %"
    return [
        _gain("abstract", better, rows.get(high), parameters, 1, AROUND_ONE),
        Finding(
            "abstract",
            worse,
            "the paper's own Table I: stages 1-2 against plain",
            f"{_points(own, 2)} points",
            CONTRADICTED if own > 0 else REPRODUCED,
        ),
        _gain("abstract", worse, rows.get(low), parameters, -1),
        _in_general([rows.get(f"{parameters.baseline}-nl{stage}") for stage in (1, 2, 3, 4)], parameters),
        _gain("5", "Higher stages gain more than lower ones", order, parameters, 1),
    ]


def pick(variants, stages):
    """Of networks with blocks in some of these stages alone, the one with most of them; None where there is none.

    Only the paper's own function and placement count; the first of equals is taken.
    """
    found = [Variant.from_name(name) for name in variants]
    found = [v for v in found if v.stages and set(v.stages) <= set(stages)]
    found = [v for v in found if (v.pairwise, v.placement) == ("embedded_gaussian", "every")]
    return max(found, key=lambda v: len(v.stages)).name if found else None


def _gain(section, claim, row, parameters, sign, around=None):
    test = "paired difference over seeds and images, Holm-corrected"
    if row is None:
        return Finding(section, claim, test, "the study has no such network", UNTESTED)
    test += f": {row['variant']} against {row['baseline']}"
    outcome = (
        f"{_points(row['difference'])} points [{_points(row['low'])}, {_points(row['high'])}], "
        f"p {row['p_holm']:.2g}, {row['seeds']} seed{'s' if row['seeds'] > 1 else ''}"
    )
    if reason := _not_judged(row["seeds"], parameters):
        return Finding(section, claim, test, f"{outcome}; {reason}", UNTESTED)
    verdict = UNTESTED
    if row["p_holm"] < 0.05:
        verdict = REPRODUCED if row["difference"] * sign > 0 else CONTRADICTED
    if around and (row["high"] < around[0] or row["low"] > around[1]):
        verdict = CONTRADICTED
    return Finding(section, claim, test, outcome, verdict)


def _in_general(rows, parameters):
    claim = "Accuracies generally improve with blocks at each of the four stages"
    test = "each single stage against plain, paired, Holm-corrected"
    found = [row for row in rows if row is not None]
    outcome = f"{sum(row['difference'] > 0 for row in found)} of {len(found)} stages trained here are above plain"
    reason = _not_judged(min((row["seeds"] for row in found), default=0), parameters)
    if reason or len(found) < 4:
        return Finding("4", claim, test, f"{outcome}; {reason or 'not all four were trained'}", UNTESTED)
    shown = [row for row in found if row["p_holm"] < 0.05]
    if any(row["difference"] < 0 for row in shown):
        return Finding("4", claim, test, outcome, CONTRADICTED)
    return Finding("4", claim, test, outcome, REPRODUCED if len(shown) == 4 else UNTESTED)


def _not_judged(seeds, parameters):
    """Why an accuracy claim is not judged here, or None."""
    if parameters.dataset == "synthetic":
        return "generated faces say nothing of people's"
    return "one seed is one network" if seeds < 2 else None


def _points(fraction, decimals=1):
    return f"{100 * fraction:+.{decimals}f}".replace("-", "−")
