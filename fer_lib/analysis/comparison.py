"""Tables of several runs together: spread over seeds, and every variant against a baseline on the same images."""

from itertools import groupby

import numpy as np
import pandas as pd

from fer_lib.analysis import inference as statistics
from fer_lib.errors import DataError, ParameterError

_SHARED = "baseline variant {} n baseline_accuracy accuracy {} difference low high p_value p_holm {}"
_COMPARISON = _SHARED.format("seed", "only_baseline only_variant", "").split()
_POOLED = _SHARED.format("seeds", "", "test detectable seed_sd seed_low seed_high").split()


def summary_table(runs, split="validation", level=0.95):
    """One row a variant, over its seeds.

    Returns:
        A DataFrame: variant, seeds, n (images), mean and sd of the accuracy over seeds; seed_low, seed_high: t
        interval over seeds, these images held fixed (NaN with one seed); low, high: interval over both seeds and
        images (`statistics.crossed_mean`; with one seed Wilson's, over images alone).

    Raises:
        DataError: runs of a variant were not made on the same images.
    """
    rows = []
    for variant, members in _by_variant(runs).items():
        correct = _correct(members, split)
        seeds = statistics.over_seeds(correct.mean(axis=1), level)
        if len(members) == 1:
            both = statistics.wilson_interval(correct.sum(), correct.size, level)
        else:
            both = statistics.crossed_mean(correct, level)
        rows.append(
            {
                "variant": variant,
                "seeds": seeds.seeds,
                "n": correct.shape[1],
                "mean": seeds.mean,
                "sd": seeds.sd,
                "seed_low": seeds.low,
                "seed_high": seeds.high,
                "low": max(both.low, 0.0),
                "high": min(both.high, 1.0),
            }
        )
    return pd.DataFrame(rows)


def comparison_table(runs, baseline, split="validation", level=0.95):
    """Every network against the baseline's of the same seed, on the same images: exact McNemar.

    Args:
        runs: `Run` objects, the baseline's among them; images are matched by id.
        baseline: name of the variant to compare with.
        split: `"validation"` or `"test"`.
        level: confidence level of Tango's interval.

    Returns:
        A DataFrame, one row a variant and seed: baseline, variant, seed, n, baseline_accuracy, accuracy,
        only_baseline and only_variant (images that one alone has right), difference (variant minus baseline), low,
        high, p_value, p_holm (corrected for all rows of the table).

    Raises:
        DataError: the runs differ in ids or labels.
        ParameterError: the baseline is not among the runs, or shares no seed with a variant.
    """
    rows = []
    for variant, seeds, before, after in _pairs(runs, baseline, split):
        for seed, first, second in zip(seeds, before, after, strict=True):
            test = statistics.mcnemar(first, second, level)
            rows.append(
                {
                    "baseline": baseline,
                    "variant": variant,
                    "seed": seed,
                    "n": test.n,
                    "baseline_accuracy": first.mean(),
                    "accuracy": second.mean(),
                    "only_baseline": test.only_first,
                    "only_variant": test.only_second,
                    "difference": test.difference,
                    "low": test.low,
                    "high": test.high,
                    "p_value": test.p_value,
                }
            )
    return _with_holm(rows, _COMPARISON)


def clustered_table(runs, baseline, clusters, split="validation", level=0.95):
    """Accuracies, and differences to the baseline of the same seed, where images come in clusters.

    The pictures of one person are right or wrong together, so that intervals over pictures are too narrow for what
    is said of people: these are t intervals over the clusters (`statistics.clustered_mean`).

    Args:
        runs: `Run` objects on the same images.
        baseline: name of the variant to compare with.
        clusters: a Series from image ids to the cluster of each, such as the person on it.
        split: `"validation"` or `"test"`.
        level: confidence level.

    Returns:
        A DataFrame, one row a run: variant, seed, n (images), clusters, accuracy, low, high; difference (to the
        baseline), difference_low, difference_high, NaN for the baseline itself.

    Raises:
        DataError: the runs differ in ids or labels, or an image has no cluster.
    """
    ids = np.sort(runs[0].predictions(split).ids)
    strange = np.setdiff1d(ids, clusters.index)
    if strange.size:
        raise DataError(
            f"{strange.size} images of the {split} split have no cluster",
            expected="a Series indexed by image id",
            found=f"no row for {strange[0]}",
        )
    clusters = clusters.loc[ids].to_numpy()
    correct = {(run.variant, run.seed): row for run, row in zip(runs, _correct(runs, split), strict=True)}
    rows = []
    for (variant, seed), right in correct.items():
        own = statistics.clustered_mean(right, clusters, level)
        gain = statistics.Interval(np.nan, np.nan, np.nan)
        if variant != baseline and (baseline, seed) in correct:
            gain = statistics.clustered_mean(right * 1.0 - correct[baseline, seed], clusters, level)
        rows.append(
            {
                "variant": variant,
                "seed": seed,
                "n": len(ids),
                "clusters": len(np.unique(clusters)),
                "accuracy": own.estimate,
                "low": np.maximum(own.low, 0.0),
                "high": np.minimum(own.high, 1.0),
                "difference": gain.estimate,
                "difference_low": gain.low,
                "difference_high": gain.high,
            }
        )
    return pd.DataFrame(rows)


def pooled_comparison_table(runs, baseline, split="validation", level=0.95):
    """Every variant against the baseline, all shared seeds together: would new seeds and new faces show it too?

    With one seed the row is the exact McNemar test of two single networks, and speaks of these alone.

    Args:
        runs, baseline, split, level: as for `comparison_table`.

    Returns:
        A DataFrame, one row a variant: baseline, variant, seeds, n (images), baseline_accuracy, accuracy,
        difference (variant minus baseline), low, high, p_value, p_holm (corrected for the number of variants),
        test (`"crossed t"` or `"exact McNemar"`), detectable (true difference found four times in five at the
        level alpha / variants), seed_sd, seed_low, seed_high (of the paired differences over seeds, images held
        fixed; NaN with one seed).

    Raises:
        As `comparison_table`.
    """
    pairs = list(_pairs(runs, baseline, split))
    rows = []
    for variant, seeds, before, after in pairs:
        spread = statistics.over_seeds(after.mean(axis=1) - before.mean(axis=1), level)
        rows.append(
            {
                "baseline": baseline,
                "variant": variant,
                "seeds": len(seeds),
                "n": after.shape[1],
                "baseline_accuracy": before.mean(),
                "accuracy": after.mean(),
                "difference": spread.mean,
                **_pooled_test(before, after, level, alpha=(1 - level) / len(pairs)),
                "seed_sd": spread.sd,
                "seed_low": spread.low,
                "seed_high": spread.high,
            }
        )
    return _with_holm(rows, _POOLED)


def _pooled_test(before, after, level, alpha):
    """The columns low, high, p_value, test, detectable from two bool arrays (seeds, images)."""
    if len(after) == 1:
        test = statistics.mcnemar(before[0], after[0], level)
        detectable = statistics.smallest_detectable_difference(test.n, test.discordance, alpha=alpha)
        name = "exact McNemar"
    else:
        test = statistics.crossed_mean(after.astype(int) - before, level)
        detectable = statistics.detectable_difference(test.standard_error, test.df, alpha=alpha)
        name = "crossed t"
    return {
        "low": max(test.low, -1.0),
        "high": min(test.high, 1.0),
        "p_value": test.p_value,
        "test": name,
        "detectable": detectable,
    }


def _with_holm(rows, columns):
    table = pd.DataFrame(rows, columns=columns)  # named, so that a table without rows has them too
    table["p_holm"] = statistics.holm(table["p_value"])
    return table


def _by_variant(runs):
    """Runs of each variant, seeds rising, variants in the order of their first run."""
    order = list(dict.fromkeys(run.variant for run in runs))
    ordered = sorted(runs, key=lambda run: (order.index(run.variant), run.seed))
    groups = {variant: list(members) for variant, members in groupby(ordered, key=lambda run: run.variant)}
    for variant, members in groups.items():
        if len({run.seed for run in members}) < len(members):
            raise ParameterError(
                "A seed occurs twice among the runs of a variant",
                where=variant,
                found=f"seeds {[run.seed for run in members]}",
            )
    return groups


def _pairs(runs, baseline, split):
    """Yields (variant, shared seeds, baseline correct, variant correct), the last two bool (seeds, images)."""
    groups = _by_variant(runs)
    if baseline not in groups:
        raise ParameterError(
            "The baseline is not among the runs",
            expected=", ".join(groups) or "at least one run",
            found=baseline,
        )
    baselines = {run.seed: run for run in groups.pop(baseline)}
    for variant, members in groups.items():
        members = [run for run in members if run.seed in baselines]
        if not members:
            raise ParameterError(
                "A variant and the baseline share no seed",
                where=f"{variant} against {baseline}",
                expected=f"one of the baseline's seeds {sorted(baselines)}",
            )
        seeds = [run.seed for run in members]
        correct = _correct([baselines[seed] for seed in seeds] + members, split)
        yield variant, seeds, correct[: len(seeds)], correct[len(seeds) :]


def _correct(runs, split):
    """Which images each run has right, images in the order of their ids: bool (runs, images)."""
    first = runs[0].predictions(split)
    order = np.argsort(first.ids)
    rows = []
    for run in runs:
        found = run.predictions(split)
        own = np.argsort(found.ids)
        same_ids = np.array_equal(found.ids[own], first.ids[order])
        if not same_ids or not np.array_equal(found.y_true[own], first.y_true[order]):
            raise _not_the_same_images(runs[0], first, run, found, "labels" if same_ids else "ids")
        rows.append(found.correct[own])
    return np.array(rows)


def _not_the_same_images(one, first, other, found, what):
    shared = np.intersect1d(first.ids, found.ids).size
    return DataError(
        f"Runs can be compared on the same images only, and these differ in their {what}",
        where=f"{one.variant}, seed {one.seed}, and {other.variant}, seed {other.seed}",
        expected=f"the same {len(first.ids)} images with the same labels",
        found=f"{len(found.ids)} images, {shared} of them shared",
        advice="Train both on the same data with the same protocol",
    )
