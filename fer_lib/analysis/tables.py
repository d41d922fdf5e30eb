"""Tables from finished runs: accuracy, the comparison with the baseline, classes, confusion, groups, costs.

`runs` are `Run` objects, `split` is `"validation"` or `"test"`; every function reads `run.predictions(split)` and
nothing else, so a table can be made again from the files. Rates and differences are fractions; `ci_low` and
`ci_high` are limits of a 95 % CI.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score
from statsmodels.stats.multitest import multipletests

from fer_lib.analysis import inference, metrics
from fer_lib.errors import DataError, ParameterError
from fer_lib.files import reading
from fer_lib.training.runs import Predictions, Run
from fer_lib.variants import Variant

BLOCKS, CONTROL, AGAINST_CONTROL = "non-local blocks", "control", "against the control"
POOLED, SINGLE_SEED = "Obuchowski-Rockette-Hillis", "exact McNemar, these two trained networks only"
COMPARISON = (
    "family", "variant", "baseline", "seeds", "n", "baseline_accuracy", "accuracy", "difference", "standard_error",
    "df", "ci_low", "ci_high", "simultaneous_low", "simultaneous_high", "p_value", "p_holm", "mde", "method",
)  # fmt: skip
CONTRASTS = (
    "contrast", "label", "seeds", "n", "difference", "standard_error", "df", "ci_low", "ci_high", "p_value",
    "margin", "p_equivalent", "equivalent_within",
)  # fmt: skip
# Names of the contrasts, in the order of `contrasts`.
MEAN_OF_BLOCKS, OVER_CONTROL, HIGH_OVER_LOW = "blocks", "control", "stages"
# Pairwise functions whose blocks weigh positions without comparing them.
CONTROLS = ("identity", "uniform")
COSTS = ["parameters", "macs"]


def by_variant(runs: list[Run]) -> dict[str, list[Run]]:
    """Return dict of variant -> list of `Run`, seeds rising; variants in the order of `runs`."""
    groups: dict[str, list[Run]] = {run.variant: [] for run in runs}
    for run in sorted(runs, key=lambda run: run.seed):
        groups[run.variant].append(run)
    return groups


def align_predictions(runs: list[Run], split: str = "validation") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, str `(images,)`, sorted; y_true, int `(images,)`; y_pred, int `(runs, images)`.

    Raises DataError where the runs differ in the images or in their true classes.
    """
    ids, y_true = np.array([]), np.array([])
    y_pred: list[np.ndarray] = []
    for run in runs:
        found = run.predictions(split)
        order = np.argsort(found.ids)
        own_ids, own_true = found.ids[order], found.y_true[order]
        if not y_pred:
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


def accuracy_by_run(runs: list[Run], split: str = "validation") -> pd.DataFrame:
    """Return one row a run: variant, seed, n, n_correct, accuracy, ci_low, ci_high (Wilson's), other scores.

    The others are binary_accuracy, macro_recall, macro_f1, confidence (mean probability of the predicted class),
    ece (expected calibration error, 15 bins) and ece_floor (that of a calibrated network on so many images).
    """
    rows = []
    for run in runs:
        found = run.predictions(split)
        row = {"variant": run.variant, "seed": run.seed, **_accuracy(found.correct)}
        row["binary_accuracy"] = metrics.binary_accuracy(found.probabilities, found.y_true).value
        row["macro_recall"] = balanced_accuracy_score(found.y_true, found.y_pred)
        row["macro_f1"] = f1_score(found.y_true, found.y_pred, average="macro")
        row["confidence"] = float(found.probabilities.max(axis=1).mean())
        row["ece"] = metrics.expected_calibration_error(found.probabilities, found.y_true)
        row["ece_floor"] = metrics.calibrated_error(found.probabilities)
        rows.append(row)
    return pd.DataFrame(rows)


def accuracy_by_variant(runs: list[Run], split: str = "validation") -> pd.DataFrame:
    """Return one row a variant: variant, seeds, n (images), accuracy (mean over seeds), sd, ci_low, ci_high.

    The CI treats seeds and images as random (`inference.crossed_mean`); with one seed it is Wilson's.
    """
    rows = []
    for variant, members in by_variant(runs).items():
        _, y_true, y_pred = align_predictions(members, split)
        correct = y_pred == y_true
        interval, sd = inference.wilson_interval(correct.sum(), correct.size), np.nan
        if len(members) > 1:
            interval, sd = inference.crossed_mean(correct), correct.mean(axis=1).std(ddof=1)
        row = {"variant": variant, "seeds": len(members), "n": len(y_true), "sd": sd}
        rows.append(row | interval.within_0_1().columns("accuracy"))
    return pd.DataFrame(rows, columns=["variant", "seeds", "n", "accuracy", "sd", "ci_low", "ci_high"])


def check_learned(runs: list[Run], split: str = "validation") -> pd.DataFrame:
    """Return whether each run learned: it predicts three classes or more and exceeds the commonest class's share.

    Of two classes it must predict both. Columns: variant, seed, accuracy, majority_share (of the commonest class),
    classes_predicted, learned (bool).
    """
    rows = []
    for run in runs:
        found = run.predictions(split)
        row = {"variant": run.variant, "seed": run.seed, "accuracy": found.correct.mean()}
        row["majority_share"] = np.bincount(found.y_true).max() / len(found.y_true)
        row["classes_predicted"] = len(np.unique(found.y_pred))
        enough = row["classes_predicted"] > min(2, len(run.class_names) - 1)
        rows.append(row | {"learned": bool(enough and row["accuracy"] > row["majority_share"])})
    return pd.DataFrame(rows)


def comparison(
    runs: list[Run], baseline: str, split: str = "validation", clusters: pd.Series | None = None
) -> pd.DataFrame:
    """Return THE comparison of a study: every other network against the baseline, from all runs in one analysis.

    Seeds and images are random effects, the error term is pooled over all networks (`obuchowski_rockette`). With a
    single common seed each row is the exact McNemar test with Tango's CI: it compares these trained networks, and
    other seeds of the same two could differ otherwise (`method` is `SINGLE_SEED`, which says so). A network is
    left out if one of its runs did not learn (see `check_learned`); the table is empty if the baseline did not.
    The seeds are those that all networks have. `clusters` is a Series from image ids to clusters (subjects).

    Columns `COMPARISON`, one row a network: family (`BLOCKS`; `CONTROL` for identity attention), difference
    (variant minus baseline), standard_error and df (NaN with one seed), ci_low, ci_high (not corrected),
    simultaneous_low, simultaneous_high (Bonferroni, within the family), p_holm (likewise), mde (the true
    difference that one uncorrected comparison detects with 80 % power), and others.

    Raises DataError if the runs differ in their images or an image has no cluster, ParameterError if the baseline
    is not among the runs or the networks have no seed in common.
    """
    groups, analysis = _analysed(runs, baseline, split, clusters)
    others = [variant for variant in groups if variant != baseline]
    controls = [variant for variant in others if is_control(variant)]
    rows = _family(BLOCKS, [v for v in others if v not in controls], baseline, groups, analysis)
    return pd.DataFrame(rows + _family(CONTROL, controls, baseline, groups, analysis), columns=COMPARISON)


def against_control(
    runs: list[Run], control: str, split: str = "validation", clusters: pd.Series | None = None
) -> pd.DataFrame:
    """Return networks that differ from the control only in the pairwise function, against the control.

    Arguments, columns, errors and the analysis of all runs as for `comparison`; the family is `AGAINST_CONTROL`.
    """
    groups, analysis = _analysed(runs, control, split, clusters)
    like = _like_control(groups, control)
    return pd.DataFrame(_family(AGAINST_CONTROL, like, control, groups, analysis), columns=COMPARISON)


def contrasts(
    runs: list[Run],
    baseline: str,
    split: str = "validation",
    clusters: pd.Series | None = None,
    margin: float = 0.015,
) -> pd.DataFrame:
    """Return what the pooled analysis says of groups of networks: contrasts of their mean accuracies.

    Arguments and errors as for `comparison`. Rows, in this order, of those that the networks allow; none with a
    single seed:

    - `MEAN_OF_BLOCKS`: the mean of all networks with blocks, without the controls, minus the baseline.
    - `OVER_CONTROL`, one row per control: the mean of the networks that differ from it only in the function,
      minus the control.
    - `HIGH_OVER_LOW`: blocks as the paper has them in stages 3 or 4 minus such blocks in stages 1 or 2 (`pick`).

    Columns `CONTRASTS`: contrast, label (words), difference and its test, p_equivalent (two one-sided tests of an
    effect within plus or minus `margin`), equivalent_within (the smallest margin that these tests support at 5 %).
    """
    groups, analysis = _analysed(runs, baseline, split, clusters)
    if analysis is None:
        return pd.DataFrame(columns=CONTRASTS)
    controls = [variant for variant in groups if is_control(variant)]
    blocks = [variant for variant in groups if variant not in (baseline, *controls)]
    high, low = pick(blocks, (3, 4)), pick(blocks, (1, 2))
    sides = [(MEAN_OF_BLOCKS, blocks, baseline)]
    sides += [(OVER_CONTROL, _like_control(groups, control), control) for control in controls]
    sides += [(HIGH_OVER_LOW, [high], low)] if high and low else []
    names, rows = list(groups), []
    for contrast, members, against in sides:
        if not members:
            continue
        test = analysis.contrast([(name in members) / len(members) - (name == against) for name in names])
        label = f"{_mean_of(members)} minus {Variant.from_name(against).label}"
        row: dict[str, Any] = {"contrast": contrast, "label": label}
        row |= {"seeds": analysis.accuracies.shape[1], "n": groups[against].shape[1]} | test.columns("difference")
        row |= {"margin": margin, "p_equivalent": test.p_equivalent(margin)}
        rows.append(row | {"equivalent_within": test.equivalent_within()})
    return pd.DataFrame(rows, columns=CONTRASTS)


def excluded_gain(comparison: pd.DataFrame, alpha: float = 0.05) -> tuple[float, float]:
    """Return (margin, p): the gain that the data exclude for every network with blocks.

    `comparison` is the table of this name. The margin, a fraction, is the smallest whole number of percentage
    points for which each network's one-sided test of "the gain is `margin` or more" has p below `alpha`; p is the
    largest of theirs (an intersection-union test, Berger 1982: no correction is due). NaNs with a single seed.
    """
    blocks = comparison[comparison["family"] == BLOCKS]
    if blocks.empty or blocks["standard_error"].isna().any():
        return np.nan, np.nan
    tests = [
        inference.t_test(row.difference, row.standard_error, row.df)
        for row in blocks[["difference", "standard_error", "df"]].itertuples()
    ]
    limit = max(test.estimate + inference.upper_margin(test.standard_error, test.df, alpha) for test in tests)
    margin = max(np.floor(100 * limit) + 1, 1) / 100
    return margin, max(test.p_at_least(margin) for test in tests)


def is_control(variant: str) -> bool:
    """Return whether the blocks of a network, by name, weigh positions without comparing them."""
    return Variant.from_name(variant).pairwise in CONTROLS


def pick(variants: Iterable[str], stages: Iterable[int]) -> str | None:
    """Return, of the variants with blocks in some of these stages only, the one with most of them, or None.

    Only the paper's own function and placement count; the first of equals is taken.
    """
    networks = [v for v in map(Variant.from_name, variants) if v == Variant(v.depth, v.stages)]
    networks = [v for v in networks if v.stages and set(v.stages) <= set(stages)]
    return max(networks, key=lambda v: len(v.stages)).name if networks else None


def _like_control(variants, control):
    """Return the variants that differ from a control only in their pairwise function and are none themselves."""
    without = {name: asdict(Variant.from_name(name)) | {"pairwise": None} for name in [*variants, control]}
    return [name for name in variants if without[name] == without[control] and not is_control(name)]


def _mean_of(variants):
    """Return words for the mean of some networks: the label of a single one."""
    if len(variants) == 1:
        return Variant.from_name(variants[0]).label
    return f"mean of {len(variants)} networks with blocks"


def pooled_analysis(
    runs: list[Run], baseline: str, split: str = "validation", clusters: pd.Series | None = None
) -> inference.ObuchowskiRockette | None:
    """Return the `ObuchowskiRockette` analysis behind `comparison`, None with a single seed or network."""
    return _analysed(runs, baseline, split, clusters)[1]


def scores(
    runs: list[Run],
    baseline: str,
    split: str = "validation",
    score: Callable[[Predictions], np.ndarray] | None = None,
) -> tuple[list[str], np.ndarray]:
    """Return (names of the networks that `comparison` compares, the baseline first; float values of its runs).

    The values are `(networks, seeds, images)`, images in the order of their ids; empty if the baseline did not
    learn. `score` takes `Predictions` and returns a value per image; by default 1 where the class is correct.
    """
    groups = _comparable(runs, baseline, split)
    names = sorted(groups, key=lambda name: name != baseline)
    align_predictions([run for name in names for run in groups[name]], split)
    values = [[_by_id(run.predictions(split), score) for run in groups[name]] for name in names]
    return names, np.array(values, dtype=float)


def _by_id(predictions, score):
    values = predictions.correct if score is None else score(predictions)
    return values[np.argsort(predictions.ids)]


def power_by_seeds(
    analysis: inference.ObuchowskiRockette, seeds: Iterable[int] = range(2, 31), margin: float = 0.01
) -> pd.DataFrame:
    """Return what a difference of two networks would have with other numbers of seeds.

    Columns: seeds, standard_error, df, mde (minimum detectable effect at 80 % power), power (to show two equal
    networks equivalent within `margin`). Only the variance components are read, no network's accuracy: a look at
    this table is blind to the effects.
    """
    table = pd.DataFrame([(n, *analysis.with_seeds(n)) for n in seeds], columns=["seeds", "standard_error", "df"])
    errors = list(zip(table["standard_error"], table["df"], strict=True))
    table["mde"] = [inference.minimum_detectable_effect(*error) for error in errors]
    return table.assign(power=[inference.equivalence_power(*error, margin) for error in errors])


def pooling_check(runs: list[Run], baseline: str, split: str = "validation") -> tuple[pd.DataFrame, str | None]:
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
    failed = set(check_learned(runs, split).query("~learned")["variant"])
    if baseline in failed:
        return {}
    seeds_of = {name: [run.seed for run in members] for name, members in groups.items() if name not in failed}
    seeds = set.intersection(*map(set, seeds_of.values()))
    if not seeds:
        expected = f"runs of every network with a seed among {seeds_of[baseline]}"
        found = "; ".join(f"{variant}: {own}" for variant, own in seeds_of.items())
        raise ParameterError("The networks have no seed in common", expected=expected, found=found)
    return {variant: [run for run in groups[variant] if run.seed in seeds] for variant in seeds_of}


def _analysed(runs, baseline, split, clusters=None):
    """Return (dict of variant -> bool `(seeds, images)`, whether an image is classified correctly; analysis)."""
    groups = _comparable(runs, baseline, split)
    if not groups:
        return {}, None
    ids, y_true, y_pred = align_predictions([run for members in groups.values() for run in members], split)
    correct = (y_pred == y_true).reshape(len(groups), -1, len(ids))
    if clusters is not None:
        clusters = _looked_up(clusters, ids, "cluster")
    analysis = inference.obuchowski_rockette(correct, clusters) if min(correct.shape[:2]) > 1 else None
    return dict(zip(groups, correct, strict=True)), analysis


def _family(family, variants, baseline, groups, analysis):
    """Return the rows of one family, p-values and simultaneous CIs corrected within it."""
    names, rows, levels = list(groups), [], (0.95, 1 - 0.05 / max(len(variants), 1))
    for variant in variants:
        before, after = groups[baseline], groups[variant]
        if analysis is None:
            test, wide = (inference.mcnemar(before[0], after[0], level) for level in levels)
            one_run = np.sqrt((before != after).mean() / after.size)
            mde = inference.minimum_detectable_effect(one_run, after.size - 1)
        else:
            pair = names.index(baseline), names.index(variant)
            test, wide = (analysis.difference(*pair, level) for level in levels)
            mde = inference.minimum_detectable_effect(test.standard_error, test.df)
        row = {"family": family, "variant": variant, "baseline": baseline, "baseline_accuracy": before.mean()}
        row |= {"seeds": len(after), "n": after.shape[1], "accuracy": after.mean(), "mde": mde}
        row |= test.columns("difference") | wide.columns("difference", "simultaneous")
        rows.append(row | {"method": POOLED if analysis else SINGLE_SEED})
    adjusted = multipletests([row["p_value"] for row in rows], method="holm")[1] if rows else []
    return [row | {"p_holm": p} for row, p in zip(rows, adjusted, strict=True)]


def class_scores(runs: list[Run], split: str = "validation") -> pd.DataFrame:
    """Return precision, recall and F1 of every variant and class, each with a 95 % CI.

    Each score is a ratio of two sums over images. With one seed its CI is Wilson's; F1's is that of J = hits /
    (hits + misses + false alarms), as F1 = 2 J / (1 + J). With several seeds the ratio is linearised, as survey
    statistics do, and seeds and images are random.

    Columns: variant, seeds, class, support (images), precision, precision_low, precision_high, and so for recall
    and f1; 0 with NaN limits if a class is never predicted or has no images.
    """
    rows = []
    for variant, members in by_variant(runs).items():
        _, y_true, y_pred = align_predictions(members, split)
        for index, name in enumerate(members[0].class_names):
            true, predicted = np.broadcast_to(y_true == index, y_pred.shape), y_pred == index
            row = {"variant": variant, "seeds": len(members), "class": name, "support": int(true[0].sum())}
            for score in ("precision", "recall", "f1"):
                row |= _score(score, true, predicted).columns(score, score)
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
        return inference.crossed_mean(influence).within_0_1()
    found = inference.wilson_interval(hits[0].sum(), (bottom[0] > 0).sum())
    return inference.Interval(*(2 * j / (1 + j) if f1 else j for j in (found.estimate, found.low, found.high)))


def confusion_shares(runs: list[Run], split: str = "validation") -> dict[str, pd.DataFrame]:
    """Return dict of variant -> confusion matrix, a DataFrame, as shares of each true class, mean over seeds.

    Rows are the true class, columns the predicted class; 0 for a class without images.
    """
    shares = {}
    for variant, members in by_variant(runs).items():
        names, (_, y_true, y_pred) = members[0].class_names, align_predictions(members, split)
        matrices = [confusion_matrix(y_true, y, labels=range(len(names)), normalize="true") for y in y_pred]
        axes = pd.Index(names, name="true class"), pd.Index(names, name="predicted class")
        shares[variant] = pd.DataFrame(np.mean(matrices, axis=0), *axes)
    return shares


def confusion_changes(runs: list[Run], baseline: str, split: str = "validation") -> pd.DataFrame:
    """Return every cell of the confusion matrix against the baseline's, on the same images.

    "Is this image predicted as this class" is tested as correctness is in `comparison`: all networks and seeds in
    one pooled analysis per cell, exact McNemar with one seed; networks, seeds and errors are the same. Columns:
    variant, seeds, true_class, predicted_class, n (images of the true class, at least two),
    baseline_share, share, difference, p_value, p_holm (over all rows).
    """
    groups, rows = _comparable(runs, baseline, split), []
    variants = sorted(groups, key=lambda name: name != baseline)
    if len(variants) < 2:
        return pd.DataFrame()
    _, y_true, y_pred = align_predictions([run for name in variants for run in groups[name]], split)
    y_pred, names = y_pred.reshape(len(variants), -1, len(y_true)), runs[0].class_names
    seeds = y_pred.shape[1]
    for true, predicted in itertools.product(range(len(names)), repeat=2):
        as_predicted = y_pred[:, :, y_true == true] == predicted
        n = as_predicted.shape[2]
        if n < 2:
            continue
        analysis, shares = (
            seeds > 1 and inference.obuchowski_rockette(as_predicted),
            as_predicted.mean(axis=(1, 2)),
        )
        for row in range(1, len(variants)):
            test = analysis.difference(0, row) if analysis else inference.mcnemar(*as_predicted[[0, row], 0])
            cell = {"variant": variants[row], "seeds": seeds, "true_class": names[true]}
            cell |= {"predicted_class": names[predicted], "n": n}
            cell |= {"baseline_share": shares[0], "share": shares[row]}
            rows.append(cell | {"difference": shares[row] - shares[0], "p_value": test.p_value})
    # Variant by variant, as in `comparison`.
    rows.sort(key=lambda row: variants.index(row["variant"]))
    table = pd.DataFrame(rows)
    return table.assign(p_holm=multipletests(table["p_value"], method="holm")[1]) if rows else table


def reliability_by_run(run: Run, split: str = "validation", bins: int = 15) -> pd.DataFrame:
    """Return `metrics.reliability` of a run: from, to, n, confidence, accuracy, ci_low, ci_high."""
    found = run.predictions(split)
    return metrics.reliability(found.probabilities, found.y_true, bins)


def accuracy_without(run: Run, ids: np.ndarray, split: str = "validation") -> pd.DataFrame:
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


def by_group(run: Run, metadata: pd.DataFrame, column: str, split: str = "validation") -> pd.DataFrame:
    """Return the accuracy in each group of images, such as each angle, sex or subject.

    `metadata` is a DataFrame whose index holds image ids, `faces.metadata.set_index(faces.ids)`. One row a group:
    `column`, n, n_correct, accuracy, ci_low, ci_high; the CI treats images as independent (see `clustered`).
    """
    found = run.predictions(split)
    groups = pd.Series(found.correct).groupby(_looked_up(metadata[column], found.ids, column))
    return pd.DataFrame([{column: name, **_accuracy(part)} for name, part in groups])


def clustered(runs: list[Run], baseline: str, clusters: pd.Series, split: str = "validation") -> pd.DataFrame:
    """Return accuracies and differences with 95 % CIs over clusters of images (`inference.clustered_mean`).

    Arguments as for `comparison`. One row a run: variant, seed, n (images), clusters, accuracy, ci_low, ci_high;
    difference to the baseline of the same seed, difference_low, difference_high, NaN where there is none.
    """
    ids, y_true, y_pred = align_predictions(runs, split)
    groups = _looked_up(clusters, ids, "cluster")
    correct = {(run.variant, run.seed): row == y_true for run, row in zip(runs, y_pred, strict=True)}
    rows = []
    for (variant, seed), own in correct.items():
        gain = inference.Interval(np.nan, np.nan, np.nan)
        if variant != baseline and (baseline, seed) in correct:
            gain = inference.clustered_mean(own * 1.0 - correct[baseline, seed], groups)
        row = {"variant": variant, "seed": seed, "n": len(ids), "clusters": len(np.unique(groups))}
        row |= inference.clustered_mean(own, groups).within_0_1().columns("accuracy")
        rows.append(row | gain.columns("difference", "difference"))
    return pd.DataFrame(rows)


def read_costs(study_dir: str | Path, baseline: str) -> pd.DataFrame | None:
    """Return parameters and MACs of each network over the baseline's, as `Study.costs` kept them.

    A DataFrame with the columns `COSTS`, indexed by variant; None without the table, RunError if it is damaged.
    """
    path = Path(study_dir) / "tables" / "costs.csv"
    if not path.is_file():
        return None
    with reading(path, f"variant, {', '.join(COSTS)} and a row {baseline}, as `Study.costs` writes them"):
        counts = pd.read_csv(path).set_index("variant")[COSTS]
        return counts / counts.loc[baseline]


def pareto_front(costs: ArrayLike, scores: ArrayLike) -> np.ndarray:
    """Return which points no other beats in cost and score, bool `(n,)`; of equal points all or none are."""
    costs, scores = np.asarray(costs, dtype=float), np.asarray(scores, dtype=float)
    as_good = (costs[None] <= costs[:, None]) & (scores[None] >= scores[:, None])
    better = (costs[None] < costs[:, None]) | (scores[None] > scores[:, None])
    return np.logical_not((as_good & better).any(axis=1))


def _accuracy(correct):
    """Return the columns n, n_correct, accuracy, ci_low, ci_high from a bool array over images."""
    n, n_correct = len(correct), int(correct.sum())
    return {"n": n, "n_correct": n_correct, **inference.wilson_interval(n_correct, n).columns("accuracy")}


def _looked_up(series, ids, what):
    """Return a Series' values of these image ids; DataError if it lacks one."""
    unknown_ids = np.setdiff1d(ids, series.index)
    if unknown_ids.size:
        expected = "a table indexed by image id, as metadata.set_index(ids) makes it"
        raise DataError(f"{unknown_ids.size} images have no {what}", expected=expected, found=unknown_ids[0])
    return series.loc[ids].to_numpy()
