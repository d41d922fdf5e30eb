"""Tables from finished runs: accuracy, the comparison with the baseline, classes, confusion, groups, costs.

`runs` are `Run` objects, `split` is `"validation"` or `"test"`; every function reads `run.predictions(split)` and
nothing else, so a table can be made again from the files. Rates and differences are fractions; `ci_low` and
`ci_high` are limits of a 95 % CI.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score
from statsmodels.stats.multitest import multipletests

from fer_lib.analysis import inference, metrics
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
COSTS = ["parameters", "macs"]


def by_variant(runs):
    """Return dict of variant -> list of `Run`, seeds rising; variants in the order of `runs`."""
    groups = {run.variant: [] for run in runs}
    for run in sorted(runs, key=lambda run: run.seed):
        groups[run.variant].append(run)
    return groups


def aligned(runs, split="validation"):
    """Return ids, str `(images,)`, sorted; y_true, int `(images,)`; y_pred, int `(runs, images)`.

    Raises DataError where the runs differ in the images or in their true classes.
    """
    ids, y_true, y_pred = None, None, []
    for run in runs:
        found = run.predictions(split)
        order = np.argsort(found.ids)
        own_ids, own_true = found.ids[order], found.y_true[order]
        if ids is None:
            ids, y_true = own_ids, own_true
        same = np.array_equal(own_ids, ids)
        if not same or not np.array_equal(own_true, y_true):
            what = "true classes" if same else "images"
            raise DataError(
                f"Runs can be compared only on the same images; these differ in their {what}",
                where=f"{runs[0].variant}, seed {runs[0].seed}, and {run.variant}, seed {run.seed}",
                expected=f"the same {len(ids)} images with the same classes",
                found=f"{len(own_ids)} images, {np.intersect1d(ids, own_ids).size} of them shared",
                advice="Train both on the same data with the same protocol",
            )
        y_pred.append(found.y_pred[order])
    return ids, y_true, np.array(y_pred)


def accuracy_by_run(runs, split="validation"):
    """Return one row a run: variant, seed, n, n_correct, accuracy, ci_low, ci_high (Wilson's), other scores.

    The others are binary_accuracy, macro_recall, macro_f1 and ece (expected calibration error, 15 bins).
    """
    rows = []
    for run in runs:
        found = run.predictions(split)
        row = {"variant": run.variant, "seed": run.seed, **_accuracy(found.correct)}
        row["binary_accuracy"] = metrics.binary_accuracy(found.probabilities, found.y_true).value
        row["macro_recall"] = balanced_accuracy_score(found.y_true, found.y_pred)
        row["macro_f1"] = f1_score(found.y_true, found.y_pred, average="macro")
        row["ece"] = metrics.expected_calibration_error(found.probabilities, found.y_true)
        rows.append(row)
    return pd.DataFrame(rows)


def accuracy_by_variant(runs, split="validation"):
    """Return one row a variant: variant, seeds, n (images), accuracy (mean over seeds), sd, ci_low, ci_high.

    The CI treats seeds and images as random (`inference.crossed_mean`); with one seed it is Wilson's.
    """
    rows = []
    for variant, members in by_variant(runs).items():
        _, y_true, y_pred = aligned(members, split)
        correct = y_pred == y_true
        if len(correct) > 1:
            interval, sd = inference.crossed_mean(correct), correct.mean(axis=1).std(ddof=1)
        else:
            interval, sd = inference.wilson_interval(correct.sum(), correct.size), np.nan
        limits = max(interval.low, 0.0), min(interval.high, 1.0)
        rows.append((variant, *correct.shape, interval.estimate, sd, *limits))
    return pd.DataFrame(rows, columns=["variant", "seeds", "n", "accuracy", "sd", "ci_low", "ci_high"])


def learned(runs, split="validation"):
    """Return whether each run learned: it predicts three classes or more and exceeds the commonest class's share.

    Of two classes it must predict both. Columns: variant, seed, accuracy, majority_share (of the commonest class),
    classes_predicted, learned (bool).
    """
    rows = []
    for run in runs:
        found = run.predictions(split)
        accuracy, majority = found.correct.mean(), np.bincount(found.y_true).max() / len(found.y_true)
        predicted = len(np.unique(found.y_pred))
        has_learned = bool(predicted > min(2, len(run.class_names) - 1) and accuracy > majority)
        rows.append((run.variant, run.seed, accuracy, majority, predicted, has_learned))
    columns = ["variant", "seed", "accuracy", "majority_share", "classes_predicted", "learned"]
    return pd.DataFrame(rows, columns=columns)


def comparison(runs, baseline, split="validation", clusters=None):
    """Return THE comparison of a study: every other network against the baseline, from all runs in one analysis.

    Seeds and images are random effects, the error term is pooled over all networks (`obuchowski_rockette`). With a
    single common seed each row is the exact McNemar test with Tango's CI, and speaks of single networks. A network
    is left out if one of its runs did not learn (see `learned`); the table is empty if the baseline did not. Only
    seeds that all networks have are used, as the balanced analysis needs them. `clusters` is a Series from image
    ids to clusters, such as subjects, if images are not independent.

    Columns `COMPARISON`, one row a network: family (`BLOCKS`; `CONTROL` for identity attention), difference
    (variant minus baseline), standard_error and df (NaN with one seed), ci_low, ci_high (not corrected),
    simultaneous_low, simultaneous_high (for the whole family, Bonferroni), p_holm (within the family), mde (the
    true difference that one uncorrected comparison detects with 80 % power), and others.

    Raises DataError if the runs differ in their images or an image has no cluster, ParameterError if the baseline
    is not among the runs or the networks have no seed in common.
    """
    groups, analysis = _analysed(runs, baseline, split, clusters)
    others = [variant for variant in groups if variant != baseline]
    controls = [variant for variant in others if Variant.from_name(variant).pairwise == "none"]
    rows = _family(BLOCKS, [v for v in others if v not in controls], baseline, groups, analysis)
    return pd.DataFrame(rows + _family(CONTROL, controls, baseline, groups, analysis), columns=COMPARISON)


def against_control(runs, control, split="validation", clusters=None):
    """Return networks with blocks at the control's stages and placement against the control.

    Arguments, columns, errors and the analysis of all runs as for `comparison`; the family is `AGAINST_CONTROL`.
    """
    groups, analysis = _analysed(runs, control, split, clusters)
    like = [variant for variant in groups if variant != control and _place(variant) == _place(control)]
    return pd.DataFrame(_family(AGAINST_CONTROL, like, control, groups, analysis), columns=COMPARISON)


def analyse(runs, baseline, split="validation", clusters=None):
    """Return the `ObuchowskiRockette` analysis behind `comparison`, None with a single seed or network."""
    return _analysed(runs, baseline, split, clusters)[1]


def power_by_seeds(analysis, seeds=range(2, 31)):
    """Return the minimum detectable effect at 80 % power by number of seeds: columns seeds, mde."""
    rows = [(number, inference.minimum_detectable_effect(*analysis.with_seeds(number))) for number in seeds]
    return pd.DataFrame(rows, columns=["seeds", "mde"])


def pooling_check(runs, baseline, split="validation"):
    """Return what `comparison` gives without pooling the error term over the networks, and a sentence or None.

    Columns: variant, difference, pairwise_low, pairwise_high (95 % CI from the two networks alone), seed_sd; empty
    with a single seed. The sentence says that the networks' variances over seeds differ.
    """
    groups, analysis = _analysed(runs, baseline, split)
    rows, sentence = [], None
    for variant in [name for name in groups if analysis and name != baseline]:
        pair = inference.crossed_mean(groups[variant].astype(int) - groups[baseline])
        rows.append((variant, pair.estimate, pair.low, pair.high, groups[variant].mean(axis=1).std(ddof=1)))
    if analysis and analysis.pooling_doubtful:
        sentence = (
            "The networks vary over seeds by different amounts (Bartlett's test, p = "
            f"{analysis.equal_variance_p:.2g}): intervals of those that vary most are too narrow if pooled."
        )
    columns = ["variant", "difference", "pairwise_low", "pairwise_high", "seed_sd"]
    return pd.DataFrame(rows, columns=columns), sentence


def _comparable(runs, baseline, split):
    """Return the runs to compare by variant, the same seeds each; empty if the baseline did not learn."""
    groups = by_variant(runs)
    if baseline not in groups:
        expected = ", ".join(groups) or "at least one run"
        raise ParameterError("The baseline is not among the runs", expected=expected, found=baseline)
    failed = learned(runs, split).query("~learned")["variant"].unique()
    if baseline in failed:
        return {}
    groups = {variant: members for variant, members in groups.items() if variant not in failed}
    seeds_of = {variant: [run.seed for run in members] for variant, members in groups.items()}
    seeds = set.intersection(*map(set, seeds_of.values()))
    if not seeds:
        expected = f"runs of every network with a seed among {seeds_of[baseline]}"
        found = "; ".join(f"{variant}: {own}" for variant, own in seeds_of.items())
        raise ParameterError("The networks have no seed in common", expected=expected, found=found)
    return {variant: [run for run in members if run.seed in seeds] for variant, members in groups.items()}


def _analysed(runs, baseline, split, clusters=None):
    """Return (dict of variant -> bool `(seeds, images)`, whether an image is classified correctly; analysis)."""
    groups = _comparable(runs, baseline, split)
    if not groups:
        return {}, None
    ids, y_true, y_pred = aligned([run for members in groups.values() for run in members], split)
    correct = (y_pred == y_true).reshape(len(groups), -1, len(ids))
    if clusters is not None:
        clusters = _looked_up(clusters, ids, "cluster")
    analysis = inference.obuchowski_rockette(correct, clusters) if min(correct.shape[:2]) > 1 else None
    return dict(zip(groups, correct, strict=True)), analysis


def _family(family, variants, baseline, groups, analysis):
    """Return the rows of one family, p-values and simultaneous CIs corrected within it."""
    names, rows, level = list(groups), [], 1 - 0.05 / max(len(variants), 1)
    for variant in variants:
        before, after = groups[baseline], groups[variant]
        if analysis is None:
            test, wide = inference.mcnemar(before[0], after[0]), inference.mcnemar(before[0], after[0], level)
            mde = inference.mcnemar_detectable(after.size, (before != after).mean())
        else:
            pair = names.index(baseline), names.index(variant)
            test, wide = analysis.difference(*pair), analysis.difference(*pair, level)
            mde = inference.minimum_detectable_effect(test.standard_error, test.df)
        row = {"family": family, "variant": variant, "baseline": baseline, "baseline_accuracy": before.mean()}
        row |= {"seeds": len(after), "n": after.shape[1], "accuracy": after.mean(), "difference": test.estimate}
        row |= {"standard_error": test.standard_error, "df": test.df, "ci_low": test.low, "ci_high": test.high}
        row |= {"simultaneous_low": wide.low, "simultaneous_high": wide.high, "p_value": test.p_value, "mde": mde}
        rows.append(row | {"method": POOLED if analysis else SINGLE_SEED})
    adjusted = multipletests([row["p_value"] for row in rows], method="holm")[1] if rows else []
    return [row | {"p_holm": p} for row, p in zip(rows, adjusted, strict=True)]


def class_scores(runs, split="validation"):
    """Return precision, recall and F1 of every variant and class, each with a 95 % CI.

    Each score is a ratio of two sums over images. With one seed its CI is Wilson's; F1's is that of J = hits /
    (hits + misses + false alarms), of which F1 = 2 J / (1 + J) is an increasing function. With several seeds the
    ratio is linearised, as survey statistics do, and its CI treats seeds and images as random.

    Columns: variant, seeds, class, support (images), precision, precision_low, precision_high, and so for recall
    and f1; 0 with NaN limits if a class is never predicted or has no images.
    """
    rows = []
    for variant, members in by_variant(runs).items():
        _, y_true, y_pred = aligned(members, split)
        for index, name in enumerate(members[0].class_names):
            true, predicted = np.broadcast_to(y_true == index, y_pred.shape), y_pred == index
            row = {"variant": variant, "seeds": len(members), "class": name, "support": int(true[0].sum())}
            for score in ("precision", "recall", "f1"):
                found = _score(score, true, predicted)
                row |= {score: found.estimate, f"{score}_low": found.low, f"{score}_high": found.high}
            rows.append(row)
    return pd.DataFrame(rows)


def _score(score, true, predicted):
    """Return the `Interval` of one score of one class from two bool arrays `(seeds, images)`."""
    hits, f1 = (true & predicted).astype(float), score == "f1"
    # Numerator and denominator, image by image; each score is a sum of the first over one of the second.
    top = 2 * hits if f1 else hits
    bottom = {"precision": predicted, "recall": true, "f1": true * 1.0 + predicted}[score]
    if not bottom.any():
        return inference.Interval(0.0, np.nan, np.nan)
    ratio = top.sum() / bottom.sum()
    influence = ratio + (top - ratio * bottom) / bottom.mean()
    if len(true) > 1 and influence.std() > 1e-12:
        both = inference.crossed_mean(influence)
        return inference.Interval(both.estimate, max(both.low, 0.0), min(both.high, 1.0))
    found = inference.wilson_interval(hits[0].sum(), (bottom[0] > 0).sum())
    return inference.Interval(*(2 * j / (1 + j) if f1 else j for j in (found.estimate, found.low, found.high)))


def confusion_shares(runs, split="validation"):
    """Return dict of variant -> confusion matrix, a DataFrame, as shares of each true class, mean over seeds.

    Rows are the true class, columns the predicted class; 0 for a class without images.
    """
    shares = {}
    for variant, members in by_variant(runs).items():
        names, (_, y_true, y_pred) = members[0].class_names, aligned(members, split)
        matrices = [confusion_matrix(y_true, y, labels=range(len(names)), normalize="true") for y in y_pred]
        axes = pd.Index(names, name="true class"), pd.Index(names, name="predicted class")
        shares[variant] = pd.DataFrame(np.mean(matrices, axis=0), *axes)
    return shares


def confusion_changes(runs, baseline, split="validation"):
    """Return every cell of the confusion matrix against the baseline's, on the same images.

    The test is exact McNemar on "is this image predicted as this class" with one seed, `inference.crossed_mean` of
    the paired differences with several; networks, seeds and errors are those of `comparison`. Columns: `CHANGES`,
    n being the images of the true class, and p_holm (over all rows). Classes of a single image are left out.
    """
    groups, rows = _comparable(runs, baseline, split), []
    for variant in (name for name in groups if name != baseline):
        _, y_true, y_pred = aligned(groups[baseline] + groups[variant], split)
        before, after = np.split(y_pred, 2)
        names = groups[variant][0].class_names
        for true, true_class in enumerate(names):
            of_class, n = y_true == true, int((y_true == true).sum())
            for predicted, predicted_class in enumerate(names if n > 1 else ()):
                first, second = before[:, of_class] == predicted, after[:, of_class] == predicted
                if len(first) == 1:
                    p_value = inference.mcnemar(first[0], second[0]).p_value
                else:
                    p_value = inference.crossed_mean(second.astype(int) - first).p_value
                shares = first.mean(), second.mean(), second.mean() - first.mean()
                rows.append((variant, len(first), true_class, predicted_class, n, *shares, p_value))
    table = pd.DataFrame(rows, columns=CHANGES)
    return table.assign(p_holm=multipletests(table["p_value"], method="holm")[1] if rows else [])


def reliability_by_run(run, split="validation", bins=15):
    """Return `metrics.reliability` of a run: from, to, n, confidence, accuracy, ci_low, ci_high."""
    found = run.predictions(split)
    return metrics.reliability(found.probabilities, found.y_true, bins)


def accuracy_without(run, ids, split="validation"):
    """Return the accuracy with and without the images of these ids, such as duplicates across splits.

    Three rows (images: all, without, only): n, n_correct, accuracy, ci_low, ci_high. Raises DataError where an id
    is not in the split, which would leave the accuracy unchanged.
    """
    found = run.predictions(split)
    unknown_ids = np.setdiff1d(ids, found.ids)
    if unknown_ids.size:
        what = f"{unknown_ids.size} of the images to leave out are not in the run's {split} split"
        raise DataError(what, expected=f"ids such as {found.ids[0]}", found=unknown_ids[0])
    correct, left_out = found.correct, np.isin(found.ids, ids)
    parts = {"all": correct, "without": correct[~left_out], "only": correct[left_out]}
    return pd.DataFrame([{"images": name, **_accuracy(part)} for name, part in parts.items()])


def by_group(run, metadata, column, split="validation"):
    """Return the accuracy in each group of images, such as each angle, sex or subject.

    `metadata` is a DataFrame whose index holds image ids, `faces.metadata.set_index(faces.ids)`. One row a group:
    `column`, n, n_correct, accuracy, ci_low, ci_high; the CI treats images as independent (see `clustered`).
    """
    found = run.predictions(split)
    groups = pd.Series(found.correct).groupby(_looked_up(metadata[column], found.ids, column))
    return pd.DataFrame([{column: name, **_accuracy(part)} for name, part in groups])


def clustered(runs, baseline, clusters, split="validation"):
    """Return accuracies and differences with 95 % CIs over clusters of images (`inference.clustered_mean`).

    Arguments as for `comparison`. One row a run: variant, seed, n (images), clusters, accuracy, ci_low, ci_high;
    difference to the baseline of the same seed, difference_low, difference_high, NaN where there is none.
    """
    ids, y_true, y_pred = aligned(runs, split)
    groups = _looked_up(clusters, ids, "cluster")
    correct = {(run.variant, run.seed): row == y_true for run, row in zip(runs, y_pred, strict=True)}
    rows = []
    for (variant, seed), own in correct.items():
        accuracy, gain = inference.clustered_mean(own, groups), inference.Interval(np.nan, np.nan, np.nan)
        if variant != baseline and (baseline, seed) in correct:
            gain = inference.clustered_mean(own * 1.0 - correct[baseline, seed], groups)
        row = {"variant": variant, "seed": seed, "n": len(ids), "clusters": len(np.unique(groups))}
        low, high = np.maximum(accuracy.low, 0.0), np.minimum(accuracy.high, 1.0)
        row |= {"accuracy": accuracy.estimate, "ci_low": low, "ci_high": high, "difference": gain.estimate}
        rows.append(row | {"difference_low": gain.low, "difference_high": gain.high})
    return pd.DataFrame(rows)


def read_costs(study_dir, baseline):
    """Return parameters and MACs of each network over the baseline's, from the table that notebook 03 keeps.

    A DataFrame with the columns `COSTS`, indexed by variant; None without the table, RunError if it is damaged.
    """
    path = Path(study_dir) / "tables" / "3.4-variants.csv"
    if not path.is_file():
        return None
    try:
        counts = pd.read_csv(path).set_index("variant")[COSTS]
        return counts / counts.loc[baseline]
    except (OSError, ValueError, KeyError, TypeError) as error:
        expected = f"variant, {', '.join(COSTS)} and a row {baseline}, as notebook 03 writes them"
        raise RunError("The table of costs is damaged", where=path, expected=expected, found=error) from error


def pareto_front(costs, scores):
    """Return which points no other beats in cost and score, bool `(n,)`; of equal points all or none are."""
    costs, scores = np.asarray(costs, dtype=float), np.asarray(scores, dtype=float)
    as_good = (costs[None] <= costs[:, None]) & (scores[None] >= scores[:, None])
    better = (costs[None] < costs[:, None]) | (scores[None] > scores[:, None])
    return ~(as_good & better).any(axis=1)


def _accuracy(correct):
    """Return the columns n, n_correct, accuracy, ci_low, ci_high from a bool array over images."""
    counts = {"n": len(correct), "n_correct": int(correct.sum())}
    wilson = inference.wilson_interval(counts["n_correct"], counts["n"])
    return counts | {"accuracy": wilson.estimate, "ci_low": wilson.low, "ci_high": wilson.high}


def _looked_up(series, ids, what):
    """Return a Series' values of these image ids; DataError if it lacks one."""
    unknown_ids = np.setdiff1d(ids, series.index)
    if unknown_ids.size:
        expected = "a table indexed by image id, as metadata.set_index(ids) makes it"
        raise DataError(f"{unknown_ids.size} images have no {what}", expected=expected, found=unknown_ids[0])
    return series.loc[ids].to_numpy()


def _place(variant):
    return Variant.from_name(variant).stages, Variant.from_name(variant).placement
