"""Tables of several runs, against statsmodels, SciPy and counts made by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from fer_lib.analysis import comparison
from fer_lib.analysis import inference as statistics
from fer_lib.errors import DataError, ParameterError
from fer_lib.training.runs import Predictions

IMAGES = 400
LABELS = np.random.default_rng(0).integers(0, 7, IMAGES)
IDS = np.array([f"face-{i:03}" for i in range(IMAGES)])


def make_run(variant, seed, correct, order=slice(None), labels=LABELS, ids=IDS):
    """A run with these images right; `order` is the order in which its file holds them."""
    said = np.where(correct, labels, (labels + 1) % 7)
    saved = Predictions(ids[order], labels[order], np.eye(7)[said][order])
    return SimpleNamespace(variant=variant, seed=seed, predictions=lambda split: {"validation": saved}[split])


def draw(seed, accuracy):
    return np.random.default_rng(seed).random(IMAGES) < accuracy


@pytest.fixture
def correct():
    """Three seeds of a baseline and of two variants, one of them far better."""
    return {
        "resnet26v2": [draw(seed, 0.55) for seed in (1, 2, 3)],
        "resnet26v2-nl3": [draw(seed, 0.80) for seed in (4, 5, 6)],
        "resnet26v2-nl4": [draw(seed, 0.56) for seed in (7, 8, 9)],
    }


@pytest.fixture
def runs(correct):
    return [make_run(name, seed, arrays[seed]) for seed in (2, 0, 1) for name, arrays in correct.items()]


def test_summary_table_over_seeds(runs, correct):
    table = comparison.summary_table(runs).set_index("variant")
    assert list(table.index) == list(correct)
    for name, arrays in correct.items():
        row, accuracies = table.loc[name], [array.mean() for array in arrays]
        assert (row["seeds"], row["n"]) == (3, IMAGES)
        assert (row["mean"], row["sd"]) == pytest.approx((np.mean(accuracies), np.std(accuracies, ddof=1)))
        reference = stats.ttest_1samp(accuracies, 0).confidence_interval()
        assert (row["seed_low"], row["seed_high"]) == pytest.approx((reference.low, reference.high))
        both = statistics.crossed_mean(arrays)
        assert (row["low"], row["high"]) == pytest.approx((both.low, both.high))


def test_summary_table_of_one_seed_says_what_it_cannot_know(correct):
    row = comparison.summary_table([make_run("resnet26v2", 0, correct["resnet26v2"][0])]).iloc[0]
    assert row[["sd", "seed_low", "seed_high"]].isna().all()
    expected = statistics.wilson_interval(correct["resnet26v2"][0].sum(), IMAGES)
    assert (row["low"], row["high"]) == (expected.low, expected.high)


def test_comparison_table_agrees_with_statsmodels(runs, correct):
    table = comparison.comparison_table(runs, "resnet26v2")
    assert table[["variant", "seed"]].to_numpy().tolist() == [
        [name, seed] for name in ("resnet26v2-nl3", "resnet26v2-nl4") for seed in (0, 1, 2)
    ]
    for row in table.to_dict("records"):
        first, second = correct["resnet26v2"][row["seed"]], correct[row["variant"]][row["seed"]]
        counts = [[(first & second).sum(), (first & ~second).sum()], [(~first & second).sum(), 0]]
        assert row["p_value"] == pytest.approx(mcnemar(counts, exact=True).pvalue)
        assert (row["only_baseline"], row["only_variant"]) == (counts[0][1], counts[1][0])
        assert row["difference"] == pytest.approx(second.mean() - first.mean())
        assert (row["baseline_accuracy"], row["accuracy"]) == (first.mean(), second.mean())
    assert table["p_holm"].tolist() == pytest.approx(multipletests(table["p_value"], method="holm")[1])


def test_clustered_table_pairs_seeds_and_matches_images_by_id(correct):
    people = np.arange(IMAGES) // 40
    shuffled = np.random.default_rng(5).permutation(IMAGES)
    plain, other = correct["resnet26v2"], correct["resnet26v2-nl3"]
    runs = [make_run("resnet26v2", seed, plain[seed], shuffled) for seed in (0, 1)]
    runs += [make_run("resnet26v2-nl3", seed, other[seed]) for seed in (0, 2)]
    clusters = pd.Series(people[::-1], index=IDS[::-1])
    table = comparison.clustered_table(runs, "resnet26v2", clusters).set_index(["variant", "seed"])
    row = table.loc["resnet26v2-nl3", 0]
    assert (row["n"], row["clusters"], row["accuracy"]) == (IMAGES, 10, other[0].mean())
    # Clusters of one size: the t interval over their means.
    for name, values in (("", other[0]), ("difference_", other[0].astype(int) - plain[0])):
        reference = stats.ttest_1samp(values.reshape(10, 40).mean(axis=1), 0).confidence_interval()
        assert (row[f"{name}low"], row[f"{name}high"]) == pytest.approx((reference.low, reference.high))
    # Neither the baseline nor a seed that it lacks has a difference.
    assert table["difference"].isna().tolist() == [True, True, False, True]
    with pytest.raises(DataError, match=r"1 images of the .* no cluster.*no row for face-007"):
        comparison.clustered_table(runs, "resnet26v2", clusters.drop("face-007"))


def test_pooled_comparison_table_pairs_seeds(runs, correct):
    table = comparison.pooled_comparison_table(runs, "resnet26v2").set_index("variant")
    assert (table["test"] == "crossed t").all() and (table["seeds"] == 3).all()
    for name, row in table.iterrows():
        by_seed = [b.mean() - a.mean() for a, b in zip(correct["resnet26v2"], correct[name], strict=True)]
        assert row["difference"] == pytest.approx(np.mean(by_seed))
        assert row["seed_sd"] == pytest.approx(np.std(by_seed, ddof=1))
        expected = statistics.crossed_mean(np.subtract(correct[name], correct["resnet26v2"], dtype=int))
        assert (row["low"], row["high"], row["p_value"]) == pytest.approx(
            (expected.low, expected.high, expected.p_value)
        )
    assert table.loc["resnet26v2-nl3", "p_holm"] < 0.05 < table.loc["resnet26v2-nl4", "p_holm"]
    assert table["p_holm"].tolist() == pytest.approx(multipletests(table["p_value"], method="holm")[1])


def test_pooled_comparison_of_one_seed_is_mcnemars(runs):
    one_seed = [run for run in runs if run.seed == 1]
    pooled = comparison.pooled_comparison_table(one_seed, "resnet26v2")
    single = comparison.comparison_table(one_seed, "resnet26v2")
    assert (pooled["test"] == "exact McNemar").all()
    for column in ("difference", "low", "high", "p_value", "p_holm"):
        assert pooled[column].tolist() == pytest.approx(single[column].tolist())
    assert pooled[["seed_sd", "seed_low", "seed_high"]].isna().all(axis=None)
    # Two variants: the difference is sought at level 0.05 / 2.
    discordance = (single["only_baseline"] + single["only_variant"]) / single["n"]
    expected = [statistics.smallest_detectable_difference(IMAGES, d, alpha=0.025) for d in discordance]
    assert pooled["detectable"].tolist() == pytest.approx(expected)


def test_only_shared_seeds_are_compared(runs):
    without = [run for run in runs if (run.variant, run.seed) != ("resnet26v2-nl4", 0)]
    table = comparison.pooled_comparison_table(without, "resnet26v2").set_index("variant")
    assert table["seeds"].to_dict() == {"resnet26v2-nl3": 3, "resnet26v2-nl4": 2}


def test_images_are_matched_by_id_whatever_their_order(correct):
    shuffled = np.random.default_rng(5).permutation(IMAGES)
    first, second = correct["resnet26v2"][0], correct["resnet26v2-nl3"][0]
    straight, mixed = (
        comparison.comparison_table(
            [make_run("resnet26v2", 0, first), make_run("resnet26v2-nl3", 0, second, order=order)], "resnet26v2"
        )
        for order in (slice(None), shuffled)
    )
    assert straight.equals(mixed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": (LABELS + 1) % 7}, "these differ in their labels"),
        ({"ids": np.char.add(IDS, "x")}, "these differ in their ids"),
        ({"order": slice(1, None)}, "these differ in their ids"),
    ],
)
def test_other_images_are_refused(correct, change, words):
    runs = [make_run("resnet26v2", 0, correct["resnet26v2"][0])]
    runs.append(make_run("resnet26v2-nl3", 0, correct["resnet26v2-nl3"][0], **change))
    for table in (comparison.comparison_table, comparison.pooled_comparison_table):
        with pytest.raises(DataError, match=words) as caught:
            table(runs, "resnet26v2")
    assert "resnet26v2, seed 0, and resnet26v2-nl3, seed 0" in str(caught.value)


def test_what_cannot_be_paired_is_refused(runs):
    with pytest.raises(ParameterError, match="baseline is not among the runs"):
        comparison.comparison_table(runs, "resnet50v2")
    apart = [run for run in runs if (run.variant == "resnet26v2") == (run.seed == 0)]
    with pytest.raises(ParameterError, match="share no seed"):
        comparison.comparison_table(apart, "resnet26v2")
    with pytest.raises(ParameterError, match="seed occurs twice"):
        comparison.summary_table([*runs, runs[0]])


def test_a_baseline_alone_gives_an_empty_table_with_its_columns(runs):
    alone = [run for run in runs if run.variant == "resnet26v2"]
    assert {"variant", "difference", "p_holm"} <= set(comparison.comparison_table(alone, "resnet26v2"))
    assert comparison.pooled_comparison_table(alone, "resnet26v2").empty
