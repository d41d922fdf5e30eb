"""Tables from finished runs: accuracy, the comparison with the baseline, classes, confusion, groups, costs.

Every function reads `run.predictions(split)` and nothing else, so a table can be made again from the files alone.
Rates and differences are fractions; `ci_low` and `ci_high` are limits of a 95 % CI.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score
from statsmodels.stats.multitest import multipletests

from fer_lib.analysis import inference, metrics
from fer_lib.datasets import CLASS_NAMES
from fer_lib.errors import DataError, ParameterError, RunError
from fer_lib.variants import Variant

BLOCKS, CONTROL, AGAINST_CONTROL = "non-local blocks", "control", "against the control"
POOLED, SINGLE_SEED = "Obuchowski-Rockette-Hillis", "exact McNemar"
COMPARISON = (
    "family", "variant", "baseline", "seeds", "n", "baseline_accuracy", "accuracy", "difference", "standard_error",
    "df", "ci_low", "ci_high", "simultaneous_low", "simultaneous_high", "p_value", "p_holm", "mde", "method",
)  # fmt: skip
CHANGES = (
    "variant", "seeds", "true_class", "predicted_class", "n", "baseline_share", "share", "difference", "p_value",
)  # fmt: skip
COSTS = ("parameters", "macs")
_COSTS_TABLE = "3.4-variants.csv"


def by_variant(runs):
    """Return the runs of each variant, seeds rising: dict of variant -> list of `Run`, in order of first run.

    Raises:
        ParameterError: a seed occurs twice among the runs of a variant.
    """
    groups = {}
    for run in sorted(runs, key=lambda run: run.seed):
        groups.setdefault(run.variant, []).append(run)
    for variant, members in groups.items():
        seeds = [run.seed for run in members]
        if len(set(seeds)) < len(seeds):
            raise ParameterError("A seed occurs twice among the runs of a variant", where=variant, found=seeds)
    return {variant: groups[variant] for variant in dict.fromkeys(run.variant for run in runs)}


def aligned(runs, split="validation"):
    """Return (ids, y_true, y_pred) of several runs, images in the order of their ids.

    Returns:
        ids, str `(images,)`; y_true, int `(images,)`; y_pred, int `(runs, images)`.

    Raises:
        DataError: the runs differ in the images or in their true classes.
    """
    ids, y_true, y_pred = None, None, []
    for run in runs:
        predictions = run.predictions(split)
        order = np.argsort(predictions.ids)
        if ids is None:
            ids, y_true = predictions.ids[order], predictions.y_true[order]
        same_images = np.array_equal(predictions.ids[order], ids)
        if not same_images or not np.array_equal(predictions.y_true[order], y_true):
            raise DataError(
                f"Runs can be compared only on the same images; these differ in their "
                f"{'true classes' if same_images else 'images'}",
                where=f"{runs[0].variant}, seed {runs[0].seed}, and {run.variant}, seed {run.seed}",
                expected=f"the same {len(ids)} images with the same classes",
                found=f"{len(predictions.ids)} images, {np.intersect1d(ids, predictions.ids).size} of them shared",
                advice="Train both on the same data with the same protocol",
            )
        y_pred.append(predictions.y_pred[order])
    return ids, y_true, np.array(y_pred)


def accuracy_by_run(runs, split="validation"):
    """Return one row a run, with Wilson's CI of the accuracy.

    Returns:
        A DataFrame: variant, seed, n (images), n_correct, accuracy, ci_low, ci_high, binary_accuracy,
        macro_recall, macro_f1, ece (expected calibration error, 15 bins).
    """
    rows = []
    for run in runs:
        found = run.predictions(split)
        rows.append(
            {
                "variant": run.variant,
                "seed": run.seed,
                **_accuracy(found.correct),
                "binary_accuracy": metrics.binary_accuracy(found.probabilities, found.y_true).value,
                "macro_recall": balanced_accuracy_score(found.y_true, found.y_pred),
                "macro_f1": f1_score(found.y_true, found.y_pred, average="macro"),
                "ece": metrics.expected_calibration_error(found.probabilities, found.y_true),
            }
        )
    return pd.DataFrame(rows)


def accuracy_by_variant(runs, split="validation"):
    """Return one row a variant: variant, seeds, n (images), accuracy (mean over seeds), sd, ci_low, ci_high.

    The CI treats seeds and images as random (`inference.crossed_mean`); with one seed it is Wilson's.
    """
    rows = []
    for variant, members in by_variant(runs).items():
        correct = _correct(members, split)
        seeds, n = correct.shape
        interval = inference.crossed_mean(correct) if seeds > 1 else inference.wilson_interval(correct.sum(), n)
        rows.append(
            {
                "variant": variant,
                "seeds": seeds,
                "n": n,
                "accuracy": correct.mean(),
                "sd": correct.mean(axis=1).std(ddof=1) if seeds > 1 else np.nan,
                "ci_low": max(interval.low, 0.0),
                "ci_high": min(interval.high, 1.0),
            }
        )
    return pd.DataFrame(rows)


def learned(runs, split="validation"):
    """Return whether each run learned: it predicts three classes or more and exceeds the commonest class's share.

    Returns:
        A DataFrame, one row a run: variant, seed, accuracy, majority_share (accuracy of always predicting the
        commonest class), classes_predicted, learned (bool).
    """
    rows = []
    for run in runs:
        found = run.predictions(split)
        accuracy, share = found.correct.mean(), np.bincount(found.y_true).max() / len(found.y_true)
        classes = len(np.unique(found.y_pred))
        rows.append((run.variant, run.seed, accuracy, share, classes, bool(classes > 2 and accuracy > share)))
    columns = ["variant", "seed", "accuracy", "majority_share", "classes_predicted", "learned"]
    return pd.DataFrame(rows, columns=columns)


def comparison(runs, baseline, split="validation"):
    """Return THE comparison of a study: every other network against the baseline, from all runs in one analysis.

    Seeds and images are random effects, the error term is pooled over all networks (`obuchowski_rockette`). With a
    single common seed each row is the exact McNemar test with Tango's CI, and speaks of single networks. A network
    is left out if one of its runs did not learn (see `learned`); the table is empty if the baseline did not. Only
    seeds that all networks have are used, as the balanced analysis needs them.

    Args:
        runs: all `Run` objects of the study.
        baseline: name of the variant to compare with.
        split: `"validation"` or `"test"`.

    Returns:
        A DataFrame with the columns `COMPARISON`, one row a network: family (`BLOCKS`; `CONTROL` for identity
        attention), seeds, n (images), difference (variant minus baseline), standard_error and df (NaN with one
        seed), ci_low and ci_high (not corrected), simultaneous_low and simultaneous_high (95 % for the whole
        family, Bonferroni), p_value, p_holm (within the family), mde (the true difference that one uncorrected
        comparison detects with 80 % power), method.

    Raises:
        DataError: the runs differ in their images.
        ParameterError: the baseline is not among the runs, or the networks have no seed in common.
    """
    groups = _comparable(runs, baseline, split)
    others = [variant for variant in groups if variant != baseline]
    families = {
        BLOCKS: [variant for variant in others if not is_control(variant)],
        CONTROL: [variant for variant in others if is_control(variant)],
    }
    return _compare(groups, baseline, families, split)


def against_control(runs, control, split="validation"):
    """Return networks with blocks at the control's stages and placement against the control.

    Arguments, columns, errors and the analysis of all runs as for `comparison`; the family is `AGAINST_CONTROL`.
    """
    groups, place = _comparable(runs, control, split), _place(control)
    return _compare(
        groups, control, {AGAINST_CONTROL: [v for v in groups if v != control and _place(v) == place]}, split
    )


def is_control(variant):
    """Return whether a variant of this name is the control, whose blocks mix no positions (identity attention)."""
    return Variant.from_name(variant).pairwise == "none"


def power_by_seeds(runs, baseline, split="validation", seeds=range(2, 31)):
    """Return the minimum detectable effect at 80 % power by number of seeds: columns seeds, mde (a fraction).

    Variance components and images are those of `comparison`'s analysis; empty with a single seed.
    """
    analysis = analyse(runs, baseline, split)
    rows = [] if analysis is None else [
        (number, inference.minimum_detectable_effect(*analysis.with_seeds(number))) for number in seeds
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["seeds", "mde"])


def pooling_check(runs, baseline, split="validation"):
    """Return how far `comparison` depends on pooling: a DataFrame, and a sentence or None.

    Returns:
        A DataFrame, one row a network other than the baseline: variant, difference, ci_low, ci_high (pooled, as in
        `comparison`), pairwise_low, pairwise_high (95 % CI from the two networks alone), seed_sd (of the accuracy
        of this network); empty with a single seed. The sentence, where Bartlett's test finds that the networks'
        variances over seeds differ.
    """
    analysis, groups = analyse(runs, baseline, split), _comparable(runs, baseline, split)
    if analysis is None:
        return pd.DataFrame(columns=["variant", "difference"]), None
    correct = _stacked(groups, split)
    names, rows = list(groups), []
    first = names.index(baseline)
    for second, variant in enumerate(names):
        if variant != baseline:
            pooled = analysis.difference(first, second)
            pairwise = inference.crossed_mean(correct[second].astype(int) - correct[first])
            rows.append(
                {
                    "variant": variant,
                    "difference": pooled.estimate,
                    "ci_low": pooled.low,
                    "ci_high": pooled.high,
                    "pairwise_low": pairwise.low,
                    "pairwise_high": pairwise.high,
                    "seed_sd": analysis.accuracies[second].std(ddof=1),
                }
            )
    sentence = (
        "The networks vary over seeds by different amounts (Bartlett's test, p = "
        f"{analysis.equal_variance_p:.2g}), so the pooled intervals are too narrow for those that vary most; "
        "the pairwise intervals do not pool."
    )
    return pd.DataFrame(rows), sentence if analysis.pooling_doubtful else None


def analyse(runs, baseline, split="validation"):
    """Return the `ObuchowskiRockette` analysis behind `comparison`; None with a single seed or network."""
    groups = _comparable(runs, baseline, split)
    return _analysis(_stacked(groups, split)) if groups else None


def _analysis(correct):
    return inference.obuchowski_rockette(correct) if min(correct.shape[:2]) > 1 else None


def _comparable(runs, baseline, split):
    """Return the runs to compare by variant, the same seeds each; empty if the baseline did not learn."""
    groups = by_variant(runs)
    if baseline not in groups:
        expected = ", ".join(groups) or "at least one run"
        raise ParameterError("The baseline is not among the runs", expected=expected, found=baseline)
    failed = learned(runs, split).query("~learned")["variant"].unique()
    groups = {variant: members for variant, members in groups.items() if variant not in failed}
    if baseline not in groups:
        return {}
    seeds = set.intersection(*({run.seed for run in members} for members in groups.values()))
    if not seeds:
        raise ParameterError(
            "The networks have no seed in common",
            expected=f"runs of every network with a seed among {[run.seed for run in groups[baseline]]}",
            found="; ".join(f"{variant}: {[run.seed for run in runs]}" for variant, runs in groups.items()),
        )
    return {variant: [run for run in members if run.seed in seeds] for variant, members in groups.items()}


def _stacked(groups, split):
    """Return which images each run classifies correctly, bool `(networks, seeds, images)`."""
    correct = _correct([run for members in groups.values() for run in members], split)
    return correct.reshape(len(groups), -1, correct.shape[1])


def _compare(groups, baseline, families, split):
    rows = []
    if groups:
        correct = dict(zip(groups, _stacked(groups, split), strict=True))
        analysis = _analysis(np.array(list(correct.values())))
        for family, variants in families.items():
            rows += _family(family, variants, baseline, correct, analysis)
    return pd.DataFrame(rows, columns=COMPARISON)


def _family(family, variants, baseline, correct, analysis):
    """Return the rows of one family, p-values and simultaneous CIs corrected within it."""
    names, rows, simultaneous = list(correct), [], 1 - 0.05 / max(len(variants), 1)
    for variant in variants:
        before, after = correct[baseline], correct[variant]
        row = {
            "family": family,
            "variant": variant,
            "baseline": baseline,
            "seeds": len(after),
            "n": after.shape[1],
            "baseline_accuracy": before.mean(),
            "accuracy": after.mean(),
        }
        if analysis is None:
            row |= _single_seed(before[0], after[0], simultaneous)
        else:
            row |= _pooled(analysis, names.index(baseline), names.index(variant), simultaneous)
        rows.append(row)
    adjusted = multipletests([row["p_value"] for row in rows], method="holm")[1] if rows else []
    return [row | {"p_holm": p} for row, p in zip(rows, adjusted, strict=True)]


def _pooled(analysis, first, second, simultaneous):
    test, wide = analysis.difference(first, second), analysis.difference(first, second, simultaneous)
    mde = inference.minimum_detectable_effect(test.standard_error, test.df)
    return {
        "difference": test.estimate, "standard_error": test.standard_error, "df": test.df,
        "ci_low": test.low, "ci_high": test.high, "simultaneous_low": wide.low, "simultaneous_high": wide.high,
        "p_value": test.p_value, "mde": mde, "method": POOLED,
    }  # fmt: skip


def _single_seed(before, after, simultaneous):
    test, wide = inference.mcnemar(before, after), inference.mcnemar(before, after, simultaneous)
    return {
        "difference": test.difference, "standard_error": np.nan, "df": np.nan,
        "ci_low": test.low, "ci_high": test.high, "simultaneous_low": wide.low, "simultaneous_high": wide.high,
        "p_value": test.p_value, "mde": inference.mcnemar_detectable(test.n, test.discordance),
        "method": SINGLE_SEED,
    }  # fmt: skip


def class_scores(runs, split="validation"):
    """Return precision, recall and F1 of every variant and class, each with a 95 % CI.

    Each score is a ratio of two sums over images. With one seed its CI is Wilson's; F1's is that of J = hits /
    (hits + misses + false alarms), of which F1 = 2 J / (1 + J) is an increasing function. With several seeds the
    ratio is linearised, as survey statistics do, and its CI treats seeds and images as random.

    Returns:
        A DataFrame, one row a variant and class: variant, seeds, class, support (images), then precision,
        precision_low, precision_high and the same of recall and f1. 0 where a class is never predicted or has no
        images, with NaN limits.
    """
    rows = []
    for variant, members in by_variant(runs).items():
        _, y_true, y_pred = aligned(members, split)
        for index, name in enumerate(CLASS_NAMES):
            true, predicted = np.broadcast_to(y_true == index, y_pred.shape), y_pred == index
            row = {"variant": variant, "seeds": len(members), "class": name, "support": int(true[0].sum())}
            for score in ("precision", "recall", "f1"):
                found = _score(score, true, predicted)
                row |= {score: found.estimate, f"{score}_low": found.low, f"{score}_high": found.high}
            rows.append(row)
    return pd.DataFrame(rows)


def _score(score, true, predicted):
    """Return the `Interval` of one score of one class from two bool arrays `(seeds, images)`."""
    hits = (true & predicted).astype(float)
    # Numerator and denominator, image by image; each score is a sum of the first over one of the second.
    top, bottom = {
        "precision": (hits, predicted),
        "recall": (hits, true),
        "f1": (2 * hits, true * 1.0 + predicted),
    }[score]
    if not bottom.any():
        return inference.Interval(0.0, np.nan, np.nan)
    ratio = top.sum() / bottom.sum()
    influence = ratio + (top - ratio * bottom) / bottom.mean()
    if len(true) > 1 and influence.std() > 1e-12:
        both = inference.crossed_mean(influence)
        return inference.Interval(both.estimate, max(both.low, 0.0), min(both.high, 1.0))
    among = {"precision": predicted, "recall": true, "f1": true | predicted}[score][0]
    found = inference.wilson_interval(hits[0].sum(), among.sum())
    if score != "f1":
        return found
    return inference.Interval(*(2 * j / (1 + j) for j in (found.estimate, found.low, found.high)))


def confusion_shares(runs, split="validation"):
    """Return confusion matrices as shares of each true class, the mean over a variant's seeds.

    Returns:
        dict of variant -> DataFrame, rows the true class, columns the predicted class. 0 in the row of a class
        without images.
    """
    labels, shares = range(len(CLASS_NAMES)), {}
    for variant, members in by_variant(runs).items():
        _, y_true, y_pred = aligned(members, split)
        shares[variant] = pd.DataFrame(
            np.mean([confusion_matrix(y_true, one, labels=labels, normalize="true") for one in y_pred], axis=0),
            index=pd.Index(CLASS_NAMES, name="true class"),
            columns=pd.Index(CLASS_NAMES, name="predicted class"),
        )
    return shares


def confusion_changes(runs, baseline, split="validation"):
    """Return every cell of the confusion matrix against the baseline's, on the same images.

    The test is exact McNemar on "is this image predicted as this class" with one seed, `inference.crossed_mean` of
    the paired differences with several; networks and seeds are those of `comparison`.

    Returns:
        A DataFrame, one row a variant, true and predicted class: variant, seeds, true_class, predicted_class, n
        (images of the true class), baseline_share, share, difference, p_value, p_holm (over all rows).

    Raises:
        As `comparison`.
    """
    groups, rows = _comparable(runs, baseline, split), []
    for variant, members in groups.items():
        if variant != baseline:
            _, y_true, y_pred = aligned(groups[baseline] + members, split)
            cells = _changed_cells(y_true, *np.split(y_pred, 2))
            rows += [{"variant": variant, "seeds": len(members), **cell} for cell in cells]
    table = pd.DataFrame(rows, columns=CHANGES)
    table["p_holm"] = multipletests(table["p_value"], method="holm")[1] if rows else []
    return table


def _changed_cells(y_true, before, after):
    """Yield a dict a cell from y_true `(images,)` and y_pred `(seeds, images)` of the baseline and a variant."""
    for true, true_class in enumerate(CLASS_NAMES):
        of_class = y_true == true
        if of_class.sum() < 2:
            continue  # nothing to test
        for predicted, predicted_class in enumerate(CLASS_NAMES):
            first, second = before[:, of_class] == predicted, after[:, of_class] == predicted
            test = (
                inference.mcnemar(first[0], second[0])
                if len(first) == 1
                else inference.crossed_mean(second.astype(int) - first)
            )
            yield {
                "true_class": true_class,
                "predicted_class": predicted_class,
                "n": int(of_class.sum()),
                "baseline_share": first.mean(),
                "share": second.mean(),
                "difference": second.mean() - first.mean(),
                "p_value": test.p_value,
            }


def reliability_by_run(run, split="validation", bins=15):
    """Return `metrics.reliability` of a run: from, to, n, confidence, accuracy, ci_low, ci_high."""
    found = run.predictions(split)
    return metrics.reliability(found.probabilities, found.y_true, bins)


def accuracy_without(run, ids, split="validation"):
    """Return the accuracy with and without some images, such as duplicates across splits.

    Args:
        run: a `Run`.
        ids: ids of the images to leave out, all of them in the split.
        split: `"validation"` or `"test"`.

    Returns:
        A DataFrame of three rows (images: all, without, only): n, n_correct, accuracy, ci_low, ci_high.

    Raises:
        DataError: an id is not in the split, which would leave the accuracy unchanged.
    """
    found = run.predictions(split)
    _require_ids(ids, found.ids, f"images to leave out are not in the {split} split", run)
    correct, left_out = found.correct, np.isin(found.ids, ids)
    parts = {"all": correct, "without": correct[~left_out], "only": correct[left_out]}
    return pd.DataFrame([{"images": name, **_accuracy(part)} for name, part in parts.items()])


def by_group(run, metadata, column, split="validation"):
    """Return the accuracy in each group of images, such as each angle, sex or subject.

    The CI treats images as independent; where a subject has many, it is too narrow (see `clustered`).

    Args:
        run: a `Run`.
        metadata: a DataFrame whose index holds image ids, such as `images.metadata.set_index(images.ids)`.
        column: the column to group by.
        split: `"validation"` or `"test"`.

    Returns:
        A DataFrame, one row a group in sorted order: `column`, n, n_correct, accuracy, ci_low, ci_high.

    Raises:
        DataError: an image of the split has no metadata.
    """
    found = run.predictions(split)
    _require_ids(found.ids, metadata.index, f"images of the {split} split have no metadata", run)
    groups = pd.Series(found.correct).groupby(metadata.loc[found.ids, column].to_numpy())
    return pd.DataFrame([{column: name, **_accuracy(part)} for name, part in groups])


def clustered(runs, baseline, clusters, split="validation"):
    """Return accuracies and differences with 95 % CIs over clusters of images instead of over images.

    The images of one subject are classified correctly or not together (`inference.clustered_mean`).

    Args:
        runs: `Run` objects on the same images.
        baseline: name of the variant to compare with.
        clusters: a Series from image ids to the cluster of each, such as its subject.
        split: `"validation"` or `"test"`.

    Returns:
        A DataFrame, one row a run: variant, seed, n (images), clusters, accuracy, ci_low, ci_high; difference to
        the baseline of the same seed, difference_low, difference_high, NaN where there is none.

    Raises:
        DataError: the runs differ in their images, or an image has no cluster.
    """
    ids, y_true, y_pred = aligned(runs, split)
    _require_ids(ids, clusters.index, f"images of the {split} split have no cluster", runs[0])
    groups = clusters.loc[ids].to_numpy()
    correct = {(run.variant, run.seed): row == y_true for run, row in zip(runs, y_pred, strict=True)}
    rows = []
    for (variant, seed), own in correct.items():
        accuracy = inference.clustered_mean(own, groups)
        gain = inference.Interval(np.nan, np.nan, np.nan)
        if variant != baseline and (baseline, seed) in correct:
            gain = inference.clustered_mean(own * 1.0 - correct[baseline, seed], groups)
        rows.append(
            {
                "variant": variant, "seed": seed, "n": len(ids), "clusters": len(np.unique(groups)),
                "accuracy": accuracy.estimate,
                "ci_low": np.maximum(accuracy.low, 0.0), "ci_high": np.minimum(accuracy.high, 1.0),
                "difference": gain.estimate, "difference_low": gain.low, "difference_high": gain.high,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def read_costs(study_dir, baseline):
    """Return parameters and MACs of each network over the baseline's, from the table that notebook 03 keeps.

    Args:
        study_dir: `outputs/<study>`.
        baseline: name of the baseline.

    Returns:
        A DataFrame with the columns `COSTS`, ratios, indexed by variant; None where notebook 03 was not run.

    Raises:
        RunError: the table is damaged.
    """
    path = Path(study_dir) / "tables" / _COSTS_TABLE
    if not path.is_file():
        return None
    try:
        counts = pd.read_csv(path).set_index("variant")[list(COSTS)]
        return counts / counts.loc[baseline]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            "The table of costs cannot be read",
            where=path,
            expected=f"variant, {', '.join(COSTS)}, and a row {baseline}",
            found=error,
            advice="Run notebook 03 again",
        ) from error


def pareto_front(costs, scores):
    """Return which points no other beats in cost and score, bool `(n,)`.

    Args:
        costs, scores: float `(n,)`. Of points alike in both, all or none are on the front.
    """
    costs, scores = np.asarray(costs, dtype=float), np.asarray(scores, dtype=float)
    as_good = (costs[None] <= costs[:, None]) & (scores[None] >= scores[:, None])
    better = (costs[None] < costs[:, None]) | (scores[None] > scores[:, None])
    return ~(as_good & better).any(axis=1)


def _correct(runs, split):
    """Return which images each run classifies correctly, bool `(runs, images)`."""
    _, y_true, y_pred = aligned(runs, split)
    return y_pred == y_true


def _accuracy(correct):
    """Return the columns n, n_correct, accuracy, ci_low, ci_high from a bool array over images."""
    n_correct, n = int(correct.sum()), len(correct)
    interval = inference.wilson_interval(n_correct, n)
    return {
        "n": n, "n_correct": n_correct,
        "accuracy": interval.estimate, "ci_low": interval.low, "ci_high": interval.high,
    }  # fmt: skip


def _require_ids(ids, known, what, run):
    unknown_ids = np.setdiff1d(ids, known)
    if unknown_ids.size:
        raise DataError(
            f"{unknown_ids.size} {what}",
            where=f"{run.variant}, seed {run.seed}",
            expected=f"ids such as {known[0]}" if len(known) else "a table indexed by image id",
            found=str(unknown_ids[0]),
        )


def _place(variant):
    return Variant.from_name(variant).stages, Variant.from_name(variant).placement
