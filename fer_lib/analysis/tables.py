"""Tables from finished runs: accuracy, the comparison with the baseline, classes, confusion, groups, costs.

Every function reads `run.predictions(split)` alone, of `"validation"` or `"test"`. Rates and differences are
fractions; n counts images; `ci_low` and `ci_high` are limits of a 95 % CI.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score
from statsmodels.stats.multitest import multipletests

from fer_lib.analysis import inference, metrics
from fer_lib.errors import DataError, ParameterError
from fer_lib.files import reading
from fer_lib.training.runs import Run
from fer_lib.variants import Variant

BLOCKS, CONTROL, AGAINST_CONTROL = "non-local blocks", "control", "against the control"
POOLED, SINGLE_SEED = "Obuchowski-Rockette-Hillis", "exact McNemar, these two trained networks only"
COMPARISON = (
    "family", "variant", "baseline", "seeds", "n", "baseline_accuracy", "accuracy", "difference", "standard_error",
    "df", "ci_low", "ci_high", "simultaneous_low", "simultaneous_high", "pairwise_low", "pairwise_high", "p_value",
    "p_holm", "mde", "method",
)  # fmt: skip
CONTRASTS = (
    "contrast", "label", "seeds", "n", "difference", "standard_error", "df", "ci_low", "ci_high", "p_value",
    "p_holm", "margin", "p_equivalent", "equivalent_within",
)  # fmt: skip
PRIMARY, SECONDARY = "primary", "secondary"
MEAN_OF_BLOCKS, OVER_CONTROL, HIGH_OVER_LOW = "blocks", "control", "stages"
# Pairwise functions whose blocks weigh positions without comparing them.
CONTROLS = ("identity", "uniform")
COSTS = ["parameters", "macs"]


def by_variant(runs: list[Run]) -> dict[str, list[Run]]:
    """Return dict of variant -> list of `Run`, seeds rising; variants in the order of `runs`."""
    in_order = sorted(runs, key=lambda run: run.seed)
    names = dict.fromkeys(run.variant for run in runs)
    return {name: [run for run in in_order if run.variant == name] for name in names}


def align_predictions(runs: list[Run], split: str = "validation") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, str `(images,)`, sorted; y_true, int `(images,)`; y_pred, int `(runs, images)`.

    Raises DataError where the runs differ in the images or in their true classes.
    """
    found = [run.predictions(split) for run in runs]
    orders = [np.argsort(one.ids) for one in found]
    ids, y_true = found[0].ids[orders[0]], found[0].y_true[orders[0]]
    for run, one, order in zip(runs, found, orders, strict=True):
        same = np.array_equal(one.ids[order], ids)
        if not same or not np.array_equal(one.y_true[order], y_true):
            what = "true classes" if same else "images"
            raise DataError(
                f"Runs can be compared only on the same images; these differ in their {what}",
                where=f"{runs[0].variant}, seed {runs[0].seed}, and {run.variant}, seed {run.seed}",
                expected=f"the same {len(ids)} images with the same classes",
                found=f"{len(order)} images, {np.intersect1d(ids, one.ids).size} of them shared",
                advice="Train both on the same data with the same protocol",
            )
    return ids, y_true, np.array([one.y_pred[order] for one, order in zip(found, orders, strict=True)])


def accuracy_by_run(runs: list[Run], split: str = "validation") -> pd.DataFrame:
    """Return one row per run: variant, seed, n, n_correct, accuracy, ci_low, ci_high (Wilson's), and other scores.

    Those are binary_accuracy, macro_recall, macro_f1, confidence (mean probability of the predicted class), ece
    (expected calibration error, 15 bins) and ece_floor (that of a calibrated network on so many images).
    """
    rows = []
    for run in runs:
        found = run.predictions(split)
        row = {"variant": run.variant, "seed": run.seed, **_accuracy(found.correct)}
        row["binary_accuracy"] = metrics.correct_decisions(found).mean()
        row["macro_recall"] = balanced_accuracy_score(found.y_true, found.y_pred)
        row["macro_f1"] = f1_score(found.y_true, found.y_pred, average="macro")
        row["confidence"] = float(found.probabilities.max(axis=1).mean())
        row["ece"] = metrics.expected_calibration_error(found)
        rows.append(row | {"ece_floor": metrics.calibrated_error(found)})
    return pd.DataFrame(rows)


def accuracy_by_variant(runs: list[Run], split: str = "validation") -> pd.DataFrame:
    """Return one row per variant: variant, seeds, n, accuracy (mean over seeds), sd, ci_low, ci_high.

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
    """Return whether each run learned: it predicts three classes (both of two) and exceeds the commonest's share.

    Columns: variant, seed, accuracy, majority_share (of the commonest class), classes_predicted, learned (bool).
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

    Seeds and images are random effects, the error term is pooled over all networks (`obuchowski_rockette`), the
    seeds are those that all networks have. With a single one each row is the exact McNemar test with Tango's CI,
    of these trained networks only (`method` says so). A network is left out if one of its runs did not learn
    (`check_learned`); the table is empty if the baseline did not.

    Columns `COMPARISON`, one row per network: family (`BLOCKS` or `CONTROL`), difference (variant minus baseline),
    standard_error and df (NaN with one seed), ci_low, ci_high (not corrected), simultaneous_low, simultaneous_high
    (Bonferroni, within the family), pairwise_low, pairwise_high (95 % CI from the two networks alone, NaN with one
    seed or clusters), p_holm, mde (the true difference that one uncorrected comparison detects with 80 % power).

    Args:
        clusters: a Series from image ids to clusters of images, such as subjects; not with a single seed.

    Raises:
        DataError: the runs differ in their images, or an image has no cluster.
        ParameterError: no runs of the baseline, no seed in common, or clusters with a single seed.
    """
    groups, analysis = _analysed(runs, baseline, split, clusters)
    others = [variant for variant in groups if variant != baseline]
    controls = [variant for variant in others if is_control(variant)]
    rows = _family(BLOCKS, [v for v in others if v not in controls], baseline, groups, analysis)
    table = pd.DataFrame(rows + _family(CONTROL, controls, baseline, groups, analysis), columns=COMPARISON)
    return table if clusters is None else table.assign(pairwise_low=np.nan, pairwise_high=np.nan)


def against_control(runs: list[Run], control: str, split: str = "validation") -> pd.DataFrame:
    """Return the networks that differ from the control only in the pairwise function, against it.

    All else is as for `comparison`; the family is `AGAINST_CONTROL`.
    """
    groups, analysis = _analysed(runs, control, split)
    like = _like_control(groups, control)
    return pd.DataFrame(_family(AGAINST_CONTROL, like, control, groups, analysis), columns=COMPARISON)


def contrasts(
    runs: list[Run], baseline: str, split: str = "validation", margin: float = 0.015, planned: Iterable[str] = ()
) -> pd.DataFrame:
    """Return what the pooled analysis says of contrasts of mean accuracies, of two networks or of groups of them.

    Errors as for `comparison`. Rows, in this order, of those that the networks allow; none with a single seed:

    - `PRIMARY`, the first of the contrasts `planned` before the runs, each a text "A minus B". If the networks'
      variances over seeds differ (Bartlett), it is the wider of the pooled interval and that of A and B alone.
    - `SECONDARY`, one row per other text, a family of its own (p_holm).
    - `MEAN_OF_BLOCKS`: the mean of all networks with blocks, without the controls, minus the baseline.
    - `OVER_CONTROL`, one row per control: the mean of the networks that differ from it only in the function,
      minus the control.
    - `HIGH_OVER_LOW`: blocks as the paper has them in stages 3 or 4 minus such blocks in stages 1 or 2 (`pick`).

    Columns `CONTRASTS`: contrast, label (words), difference and its test, p_equivalent (two one-sided tests of an
    effect within plus or minus `margin`), equivalent_within (the smallest margin that these tests support at 5 %).
    """
    groups, analysis = _analysed(runs, baseline, split)
    if analysis is None:
        return pd.DataFrame(columns=CONTRASTS)
    controls = [variant for variant in groups if is_control(variant)]
    blocks = [variant for variant in groups if variant not in (baseline, *controls)]
    high, low = pick(blocks, (3, 4)), pick(blocks, (1, 2))
    pairs = enumerate(text.split(" minus ") for text in planned)
    sides = [(SECONDARY if number else PRIMARY, [first], second) for number, (first, second) in pairs]
    sides += [(MEAN_OF_BLOCKS, blocks, baseline)]
    sides += [(OVER_CONTROL, _like_control(groups, control), control) for control in controls]
    sides += [(HIGH_OVER_LOW, [high], low)] if high and low else []
    rows = []
    for contrast, members, against in sides:
        if not members or not {*members, against} <= set(groups):
            continue
        test = analysis.contrast([(name in members) / len(members) - (name == against) for name in groups])
        if contrast == PRIMARY and analysis.pooling_doubtful:
            alone = inference.crossed_mean(groups[members[0]] - groups[against])
            test = max(test, alone, key=lambda each: each.high - each.low)
        first = Variant.from_name(members[0]).label
        mean = first if len(members) == 1 else f"mean of {len(members)} networks with blocks"
        row: dict = {"contrast": contrast, "label": f"{mean} minus {Variant.from_name(against).label}"}
        row |= dict(zip(("seeds", "n"), groups[against].shape, strict=True)) | test.columns("difference")
        row |= {"margin": margin, "p_equivalent": test.p_equivalent(margin)}
        rows.append(row | {"equivalent_within": test.equivalent_within})
    table = pd.DataFrame(rows, columns=CONTRASTS)
    if (family := table["contrast"] == SECONDARY).any():
        table.loc[family, "p_holm"] = multipletests(table.loc[family, "p_value"], method="holm")[1]
    return table


def excluded_gain(comparison: pd.DataFrame) -> tuple[float, float]:
    """Return (margin, p): the gain that the data exclude for every network with blocks of `comparison`.

    The margin, a fraction, is the smallest whole number of percentage points for which each network's one-sided
    test of "the gain is `margin` or more" has p below 0.05; p is the largest of theirs (an intersection-union
    test, Berger 1982: no correction is due). NaNs with a single seed.
    """
    rows = comparison.loc[comparison["family"] == BLOCKS, ["difference", "standard_error", "df"]]
    if rows.empty or rows["standard_error"].isna().any():
        return np.nan, np.nan
    tests = [inference.t_test(*row) for row in rows.itertuples(index=False)]
    margin = max(np.floor(100 * max(test.upper_limit for test in tests)) + 1, 1) / 100
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


def pooled_analysis(
    runs: list[Run], baseline: str, split: str = "validation"
) -> inference.ObuchowskiRockette | None:
    """Return the `ObuchowskiRockette` analysis behind `comparison`, None with a single seed or network."""
    return _analysed(runs, baseline, split)[1]


def scores(
    runs: list[Run], baseline: str, split: str = "validation", score: Callable = attrgetter("correct")
) -> tuple[list[str], np.ndarray]:
    """Return names of the networks that `comparison` compares, the baseline first, and values of their runs.

    The values are float `(networks, seeds, images)`, images in the order of their ids; empty if the baseline did
    not learn. `score` takes `Predictions` and returns one per image, by default 1 where the class is correct.
    """
    groups = by_variant(runs)
    if baseline not in groups:
        expected = ", ".join(groups) or "at least one run"
        raise ParameterError("The baseline is not among the runs", expected=expected, found=baseline)
    failed = set(check_learned(runs, split).query("~learned")["variant"])
    names = sorted(set(groups) - failed, key=lambda name: (name != baseline, list(groups).index(name)))
    if baseline in failed:
        return [], np.array([])
    seeds_of = {name: [run.seed for run in groups[name]] for name in names}
    seeds = set.intersection(*map(set, seeds_of.values()))
    if not seeds:
        expected = f"runs of every network with a seed among {seeds_of[baseline]}"
        found = "; ".join(f"{variant}: {own}" for variant, own in seeds_of.items())
        raise ParameterError("The networks have no seed in common", expected=expected, found=found)
    compared = [run for name in names for run in groups[name] if run.seed in seeds]
    align_predictions(compared, split)
    predictions = [run.predictions(split) for run in compared]
    values = np.array([score(one)[np.argsort(one.ids)] for one in predictions], dtype=float)
    return names, values.reshape(len(names), len(seeds), -1)


def power_by_seeds(
    analysis: inference.ObuchowskiRockette, seeds: Iterable[int] = range(2, 31), margin: float = 0.01
) -> pd.DataFrame:
    """Return what a difference of two networks would have with other numbers of seeds, blind to the effects.

    Columns: seeds, standard_error, df, mde (minimum detectable effect at 80 % power), power (to show two equal
    networks equivalent within `margin`). Only the variance components are read, no network's accuracy.
    """
    rows = []
    for number in seeds:
        error = analysis.with_seeds(number)
        power = inference.equivalence_power(*error, margin)
        rows.append((number, *error, inference.minimum_detectable_effect(*error), power))
    return pd.DataFrame(rows, columns=["seeds", "standard_error", "df", "mde", "power"])


def _analysed(runs, baseline, split, clusters=None):
    """Return (dict of variant -> float `(seeds, images)`, 1 where the class is correct; analysis or None)."""
    names, correct = scores(runs, baseline, split)
    several = correct.ndim == 3 and min(correct.shape[:2]) > 1
    if clusters is not None and names:
        if correct.shape[1] == 1:
            raise ParameterError("Clusters of images need several seeds", expected="at least 2", found="1")
        clusters = _looked_up(clusters, align_predictions(runs[:1], split)[0], "cluster")
    analysis = inference.obuchowski_rockette(correct, clusters) if several else None
    return dict(zip(names, correct, strict=True)), analysis


def _family(family, variants, baseline, groups, analysis):
    """Return the rows of one family, p-values and simultaneous CIs corrected within it."""
    names, rows, levels = list(groups), [], (0.95, 1 - 0.05 / max(len(variants), 1))
    for variant in variants:
        before, after = groups[baseline], groups[variant]
        if analysis is None:
            test, wide = (inference.mcnemar(before[0], after[0], level) for level in levels)
            error = np.sqrt((before != after).mean() / after.size), after.size - 1
            alone = inference.Interval(np.nan, np.nan, np.nan)
        else:
            pair = names.index(baseline), names.index(variant)
            test, wide = (analysis.difference(*pair, level) for level in levels)
            error, alone = (test.standard_error, test.df), inference.crossed_mean(after - before)
        row = {"family": family, "variant": variant, "baseline": baseline, "baseline_accuracy": before.mean()}
        row |= {"seeds": len(after), "n": after.shape[1], "accuracy": after.mean()}
        row |= alone.columns("difference", "pairwise") | wide.columns("difference", "simultaneous")
        row |= test.columns("difference")
        row |= {"mde": inference.minimum_detectable_effect(*error), "method": POOLED if analysis else SINGLE_SEED}
        rows.append(row)
    adjusted = multipletests([row["p_value"] for row in rows], method="holm")[1] if rows else []
    return [row | {"p_holm": p} for row, p in zip(rows, adjusted, strict=True)]


def class_scores(runs: list[Run], split: str = "validation") -> pd.DataFrame:
    """Return precision, recall and F1 of every variant and class, each with a 95 % CI.

    With one seed the CI is Wilson's; F1's is that of J = hits / (hits + misses + false alarms), as F1 = 2 J /
    (1 + J). With several seeds the ratio is linearised, as survey statistics do, and seeds and images are random.
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
    """Return dict of variant -> confusion matrix as shares of each true class (rows), mean over seeds."""
    shares = {}
    for variant, members in by_variant(runs).items():
        names, (_, y_true, y_pred) = members[0].class_names, align_predictions(members, split)
        matrices = [confusion_matrix(y_true, y, labels=range(len(names)), normalize="true") for y in y_pred]
        axes = pd.Index(names, name="true class"), pd.Index(names, name="predicted class")
        shares[variant] = pd.DataFrame(np.mean(matrices, axis=0), *axes)
    return shares


def confusion_changes(runs: list[Run], baseline: str, split: str = "validation") -> pd.DataFrame:
    """Return every cell of the confusion matrix against the baseline's, on the same images.

    "Is this image predicted as this class" is tested as correctness is in `comparison`. Columns: variant, seeds,
    true_class, predicted_class, n (images of the true class, at least two), baseline_share, share, difference,
    p_value, p_holm (over all rows).
    """
    variants, y_pred = scores(runs, baseline, split, attrgetter("y_pred"))
    (_, y_true, _), names, rows = align_predictions(runs[:1], split), runs[0].class_names, []
    for true, predicted in itertools.product(range(len(names)), repeat=2):
        if len(variants) < 2 or (n := int((y_true == true).sum())) < 2:
            continue
        as_predicted = y_pred[:, :, y_true == true] == predicted
        seeds, shares = y_pred.shape[1], as_predicted.mean(axis=(1, 2))
        analysis = inference.obuchowski_rockette(as_predicted) if seeds > 1 else None
        for row, variant in enumerate(variants[1:], start=1):
            test = analysis.difference(0, row) if analysis else inference.mcnemar(*as_predicted[[0, row], 0])
            cell = {"variant": variant, "seeds": seeds}
            cell |= {"true_class": names[true], "predicted_class": names[predicted]}
            cell |= {"n": n, "baseline_share": shares[0], "share": shares[row]}
            rows.append(cell | {"difference": shares[row] - shares[0], "p_value": test.p_value})
    table = pd.DataFrame(sorted(rows, key=lambda row: variants.index(row["variant"])))
    return table.assign(p_holm=multipletests(table["p_value"], method="holm")[1]) if rows else table


def by_group(run: Run, metadata: pd.DataFrame, column: str, split: str = "validation") -> pd.DataFrame:
    """Return the accuracy in each group of images; `metadata` is `faces.metadata.set_index(faces.ids)`.

    One row a group: `column`, n, n_correct, accuracy, ci_low, ci_high; the CI treats images as independent.
    """
    found = run.predictions(split)
    groups = pd.Series(found.correct).groupby(_looked_up(metadata[column], found.ids, column))
    return pd.DataFrame([{column: name, **_accuracy(part)} for name, part in groups])


def read_costs(study_dir: str | Path, baseline: str) -> pd.DataFrame | None:
    """Return `COSTS` of each network over the baseline's, indexed by variant, as `Study.costs` kept them, or None.

    Raises RunError if the table is damaged.
    """
    path = Path(study_dir) / "tables" / "costs.csv"
    if not path.is_file():
        return None
    with reading(path, f"variant, {', '.join(COSTS)} and a row {baseline}, as `Study.costs` writes them"):
        counts = pd.read_csv(path).set_index("variant")[COSTS]
        return counts / counts.loc[baseline]


def _accuracy(correct):
    """Return the columns n, n_correct, accuracy, ci_low, ci_high from a bool array over images."""
    n, n_correct = len(correct), int(correct.sum())
    return {"n": n, "n_correct": n_correct, **inference.wilson_interval(n_correct, n).columns("accuracy")}


def _looked_up(series, ids, what):
    """Return a Series' values of these image ids; DataError if it lacks one."""
    unknown_ids = np.setdiff1d(ids, series.index)
    if unknown_ids.size:
        expected = f"ids such as {series.index[0]}, as the index of metadata.set_index(ids) has them"
        raise DataError(f"{unknown_ids.size} images have no {what}", expected=expected, found=unknown_ids[0])
    return series.loc[ids].to_numpy()
