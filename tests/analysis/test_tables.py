"""Tables against scikit-learn, SciPy, statsmodels and counts made by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from fer_lib.analysis import inference, tables
from fer_lib.datasets import CLASS_NAMES
from fer_lib.display import readable
from fer_lib.errors import DataError, ParameterError, RunError
from fer_lib.training.runs import Predictions

IMAGES = 400
Y_TRUE = np.random.default_rng(0).permutation(np.repeat(np.arange(7), [80, 8, 80, 80, 72, 40, 40]))
IDS = np.array([f"image-{i:03}" for i in range(IMAGES)])
BASELINE, STAGE_3, STAGE_4, CONTROL = "resnet26v2", "resnet26v2-nl3", "resnet26v2-nl4", "resnet26v2-nl4-identity"


def make_run(variant, seed, y_pred, order=slice(None), y_true=Y_TRUE, ids=IDS, confidence=1.0):
    """A run with these predicted classes; `order` is the order in which its file holds the images."""
    probabilities = np.full((len(y_true), 7), (1 - confidence) / 6)
    probabilities[np.arange(len(y_true)), y_pred] = confidence
    saved = Predictions(np.asarray(ids)[order], y_true[order], probabilities[order])
    return as_run(variant, seed, saved)


def as_run(variant, seed, saved, class_names=CLASS_NAMES):
    splits = {"validation": saved}
    return SimpleNamespace(variant=variant, seed=seed, class_names=class_names, predictions=splits.__getitem__)


def predicted(seed, accuracy, y_true=Y_TRUE):
    draw = np.random.default_rng(seed)
    return np.where(draw.random(len(y_true)) < accuracy, y_true, draw.integers(0, 7, len(y_true)))


@pytest.fixture
def y_pred():
    """Predicted classes of three seeds of a baseline, of a network that is far better, and of two that are not."""
    return {
        BASELINE: [predicted(seed, 0.50) for seed in (1, 2, 3)],
        STAGE_3: [predicted(seed, 0.78) for seed in (4, 5, 6)],
        STAGE_4: [predicted(seed, 0.51) for seed in (7, 8, 9)],
        CONTROL: [predicted(seed, 0.50) for seed in (10, 11, 12)],
    }


@pytest.fixture
def runs(y_pred):
    return [make_run(name, seed, classes[seed]) for seed in (2, 0, 1) for name, classes in y_pred.items()]


def correct_of(y_pred, names):
    return np.array([np.array(y_pred[name]) == Y_TRUE for name in names])


def test_images_are_aligned_by_id_whatever_their_order():
    order = np.random.default_rng(5).permutation(IMAGES)
    first, second = predicted(1, 0.5), predicted(2, 0.5)
    ids, y_true, y_pred = tables.align_predictions([make_run("a", 0, first, order), make_run("b", 0, second)])
    assert (ids == IDS).all() and (y_true == Y_TRUE).all()
    assert (y_pred == [first, second]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y_true": (Y_TRUE + 1) % 7}, "true classes"),
        ({"order": slice(1, None)}, "images.*Found: 399 images, 399 of them shared"),
    ],
)
def test_runs_on_other_images_are_refused(change, words):
    runs = [make_run(BASELINE, 0, predicted(1, 0.5)), make_run(STAGE_3, 0, predicted(2, 0.5), **change)]
    with pytest.raises(DataError, match=f"differ in their {words}") as caught:
        tables.align_predictions(runs)
    assert f"{BASELINE}, seed 0, and {STAGE_3}, seed 0" in str(caught.value)


# Ten images, 8 classified correctly; disgust is predicted as angry once, fear never.
TEN_TRUE, TEN_PREDICTED = np.array([0, 0, 0, 1, 1, 2, 3, 3, 6, 6]), np.array([0, 0, 0, 0, 1, 3, 3, 3, 6, 6])
TEN = {"y_true": TEN_TRUE, "ids": [f"image-{i}" for i in range(10)]}


@pytest.fixture
def ten():
    return make_run(BASELINE, 0, TEN_PREDICTED, confidence=0.7, **TEN)


def test_accuracy_by_run_by_hand(ten):
    table = tables.accuracy_by_run([ten, make_run(STAGE_3, 1, TEN_TRUE, confidence=0.4, **TEN)])
    first, second = table.to_dict("records")
    assert (first["variant"], first["seed"], first["n"], first["n_correct"]) == (BASELINE, 0, 10, 8)
    assert (first["ci_low"], first["accuracy"], first["ci_high"]) == pytest.approx((0.4902, 0.8, 0.9433), abs=1e-4)
    assert first["binary_accuracy"] == pytest.approx(1 - 2 * 2 / 70)  # two confident errors, two decisions each
    assert first["macro_recall"] == pytest.approx((1 + 0.5 + 0 + 1 + 1) / 5)
    assert first["macro_f1"] == pytest.approx((6 / 7 + 2 / 3 + 0 + 4 / 5 + 1) / 5)
    assert first["ece"] == pytest.approx(0.8 - 0.7)
    assert second["accuracy"] == 1
    assert second["binary_accuracy"] == pytest.approx(6 / 7)  # all unsure, though correct
    ten.predictions = {"test": ten.predictions("validation")}.__getitem__
    assert tables.accuracy_by_run([ten], "test")["n_correct"].item() == 8


def test_accuracy_by_variant_over_seeds(runs, y_pred):
    table = tables.accuracy_by_variant(runs).set_index("variant")
    assert list(table.index) == list(y_pred)
    for name, row in table.iterrows():
        (correct,) = correct_of(y_pred, [name])
        assert (row["seeds"], row["n"]) == (3, IMAGES)
        accuracies = correct.mean(axis=1)
        assert (row["accuracy"], row["sd"]) == pytest.approx((accuracies.mean(), stats.tstd(accuracies)))
        both = inference.crossed_mean(correct)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((both.low, both.high))
    row = tables.accuracy_by_variant(runs[:1]).iloc[0]  # seed 2
    expected = proportion_confint((y_pred[BASELINE][2] == Y_TRUE).sum(), IMAGES, method="wilson")
    assert np.isnan(row["sd"]) and (row["ci_low"], row["ci_high"]) == pytest.approx(expected)


def test_by_group_matches_images_by_id(ten):
    angles = ["S", "S", "S", "HL", "HL", "HL", "S", "S", "HR", "HR"]
    metadata = pd.DataFrame({"angle": angles}, index=TEN["ids"])
    table = tables.by_group(ten, metadata.iloc[::-1], "angle").set_index("angle")
    assert table["n"].to_dict() == {"HL": 3, "HR": 2, "S": 5}
    assert table["n_correct"].to_dict() == {"HL": 1, "HR": 2, "S": 5}
    with pytest.raises(DataError, match="10 images have no angle"):
        tables.by_group(ten, metadata.reset_index(drop=True), "angle")


def test_comparison_is_one_analysis_of_all_networks(runs, y_pred):
    table = tables.comparison(runs, BASELINE).set_index("variant")
    names = [BASELINE, STAGE_3, STAGE_4, CONTROL]
    assert tuple(tables.comparison(runs, BASELINE).columns) == tables.COMPARISON
    assert table["family"].to_dict() == {STAGE_3: tables.BLOCKS, STAGE_4: tables.BLOCKS, CONTROL: tables.CONTROL}
    correct = correct_of(y_pred, names)
    analysis = inference.obuchowski_rockette(correct)
    for name, row in table.iterrows():
        expected = analysis.difference(0, names.index(name))
        means = correct.mean(axis=(1, 2))
        assert (row["baseline_accuracy"], row["accuracy"]) == (means[0], means[names.index(name)])
        assert row["difference"] == pytest.approx(row["accuracy"] - row["baseline_accuracy"])
        assert row["ci_low"] == pytest.approx(expected.low) and row["p_value"] == pytest.approx(expected.p_value)
        assert (row["seeds"], row["n"], row["method"]) == (3, IMAGES, tables.POOLED)
        assert row["mde"] == pytest.approx(inference.minimum_detectable_effect(row["standard_error"], row["df"]))
    assert table.loc[STAGE_3, "p_holm"] < 0.05 < table.loc[STAGE_4, "p_holm"]


def test_families_are_corrected_apart_and_intervals_agree_with_holm(runs):
    table = tables.comparison(runs, BASELINE).set_index("variant")
    blocks = table[table["family"] == tables.BLOCKS]
    assert blocks["p_holm"].tolist() == pytest.approx(multipletests(blocks["p_value"], method="holm")[1])
    assert table.loc[CONTROL, "p_holm"] == table.loc[CONTROL, "p_value"]
    for name, tests in ((STAGE_3, 2), (STAGE_4, 2), (CONTROL, 1)):
        row = table.loc[name]
        margin = stats.t.isf(0.025 / tests, row["df"]) * row["standard_error"]
        assert row["simultaneous_high"] - row["difference"] == pytest.approx(margin)
        excludes_zero = row["simultaneous_low"] > 0 or row["simultaneous_high"] < 0
        assert not excludes_zero or row["p_holm"] < 0.05


def test_with_one_seed_the_comparison_is_mcnemars(runs, y_pred):
    one_seed = [run for run in runs if run.seed == 1]
    table = tables.comparison(one_seed, BASELINE).set_index("variant")
    assert (table["method"] == tables.SINGLE_SEED).all() and (table["seeds"] == 1).all()
    before, after = correct_of(y_pred, [BASELINE, STAGE_3])[:, 1]
    counts = [[(before & after).sum(), (before & ~after).sum()], [(~before & after).sum(), 0]]
    row, error = table.loc[STAGE_3], np.sqrt((before != after).mean() / IMAGES)
    assert row["p_value"] == pytest.approx(mcnemar(counts, exact=True).pvalue)
    tango = inference.tango_interval(counts[0][1], counts[1][0], IMAGES, 1 - 0.05 / 2)
    assert (row["simultaneous_low"], row["simultaneous_high"]) == pytest.approx((tango.low, tango.high))
    assert row["mde"] == pytest.approx(inference.minimum_detectable_effect(error, IMAGES - 1))
    assert table[["standard_error", "df"]].isna().all(axis=None)
    assert tables.pooled_analysis(one_seed, BASELINE) is None
    assert tables.contrasts(one_seed, BASELINE, planned=[f"{STAGE_3} minus {BASELINE}"]).empty
    assert table[["pairwise_low", "pairwise_high"]].isna().all(axis=None)
    with pytest.raises(ParameterError, match="Clusters of images need several seeds"):
        tables.comparison(one_seed, BASELINE, clusters=pd.Series(Y_TRUE, index=IDS))


def test_only_seeds_that_all_networks_have_are_compared(runs):
    without = [run for run in runs if (run.variant, run.seed) != (STAGE_4, 0)]
    expected = tables.comparison([run for run in runs if run.seed > 0], BASELINE)
    pd.testing.assert_frame_equal(tables.comparison(without, BASELINE), expected)
    assert (expected["seeds"] == 2).all()
    apart = [run for run in runs if (run.variant == BASELINE) == (run.seed == 0)]
    with pytest.raises(ParameterError, match=r"no seed in common.*among \[0\].*resnet26v2-nl3: \[1, 2\]"):
        tables.comparison(apart, BASELINE)
    with pytest.raises(ParameterError, match="baseline is not among the runs"):
        tables.comparison(runs, "resnet50v2")
    alone = tables.comparison([run for run in runs if run.variant == BASELINE], BASELINE)
    assert alone.empty and tuple(alone.columns) == tables.COMPARISON


def test_against_control_holds_networks_at_its_stage_against_it(runs):
    table = tables.against_control(runs, CONTROL)
    assert table["variant"].tolist() == [STAGE_4] and table["family"].tolist() == [tables.AGAINST_CONTROL]
    compared = tables.comparison(runs, BASELINE).set_index("variant")
    expected = compared.loc[STAGE_4, "difference"] - compared.loc[CONTROL, "difference"]
    assert table["difference"].item() == pytest.approx(expected)
    assert table["standard_error"].item() == pytest.approx(compared.loc[STAGE_4, "standard_error"])


def test_contrasts_are_those_of_the_same_analysis(runs, y_pred):
    table = tables.contrasts(runs, BASELINE, margin=0.2).set_index("contrast")
    assert tuple(tables.contrasts(runs, BASELINE).columns) == tables.CONTRASTS
    assert list(table.index) == [tables.MEAN_OF_BLOCKS, tables.OVER_CONTROL]  # no blocks in stages 1 or 2
    analysis = tables.pooled_analysis(runs, BASELINE)  # baseline, stage 3, stage 4, control
    for contrast, weights in ((tables.MEAN_OF_BLOCKS, [-1, 0.5, 0.5, 0]), (tables.OVER_CONTROL, [0, 0, 1, -1])):
        row, expected = table.loc[contrast], analysis.contrast(weights)
        assert row["difference"] == pytest.approx(weights @ correct_of(y_pred, list(y_pred)).mean(axis=(1, 2)))
        assert (row["ci_low"], row["p_value"]) == pytest.approx((expected.low, expected.p_value))
        assert (row["margin"], row["p_equivalent"]) == pytest.approx((0.2, expected.p_equivalent(0.2)))
    assert table.loc[tables.MEAN_OF_BLOCKS, "label"] == "mean of 2 networks with blocks minus baseline"
    assert table.loc[tables.OVER_CONTROL, "label"].startswith("stage 4 minus stage 4, identity")


def test_a_gain_is_excluded_if_it_is_for_every_network():
    rows = {"family": tables.BLOCKS, "difference": [0.010, -0.02], "df": 20.0, "standard_error": 0.01}
    table = pd.DataFrame(rows)
    margin, p = tables.excluded_gain(table)
    assert margin == 0.03  # one-sided upper limits 2.72 and -0.28 pp
    assert p == pytest.approx(stats.t.sf(2, 20))
    assert tables.excluded_gain(table.assign(difference=-0.2))[0] == 0.01
    assert np.isnan(tables.excluded_gain(table.assign(standard_error=np.nan))).all()
    controls = pd.DataFrame(rows | {"family": tables.CONTROL, "difference": 0.5}, index=[0])
    assert tables.excluded_gain(pd.concat([table, controls])) == (margin, p)


def test_a_look_at_the_variance_is_blind_to_the_effects(y_pred):
    correct = correct_of(y_pred, list(y_pred))
    analysis = inference.obuchowski_rockette(correct)
    shifted = replace(analysis, accuracies=analysis.accuracies + np.array([[0.0], [0.2], [0.1], [0.0]]))
    table = tables.power_by_seeds(analysis, range(8, 15), 0.05)
    pd.testing.assert_frame_equal(table, tables.power_by_seeds(shifted, range(8, 15), 0.05))
    assert table["seeds"].tolist() == list(range(8, 15)) and table["power"].is_monotonic_increasing
    assert tuple(table.loc[0, ["standard_error", "df"]]) == analysis.with_seeds(8)


def test_clusters_of_images_are_looked_up_by_id(runs, y_pred):
    clusters = pd.Series(Y_TRUE, index=IDS).sample(frac=1, random_state=0)
    plain, clustered = (tables.comparison(runs, BASELINE, clusters=c) for c in (None, clusters))
    assert clustered["difference"].equals(plain["difference"])
    correct = correct_of(y_pred, list(y_pred))
    expected = inference.obuchowski_rockette(correct, Y_TRUE).with_seeds()[0]
    assert clustered["standard_error"].tolist() == pytest.approx([expected] * 3)
    with pytest.raises(DataError, match=r"1 images have no cluster.*Found: image-007"):
        tables.comparison(runs, BASELINE, clusters=clusters.drop("image-007"))


def test_a_network_that_did_not_learn_is_named_and_left_out(runs):
    happy = np.full(IMAGES, 3)
    failed = make_run("resnet26v2-nl1", 0, happy)
    two_classes = make_run("resnet26v2-nl1", 1, np.where(Y_TRUE == 3, 3, 0))  # 160 of 400, of two classes
    table = tables.check_learned([runs[0], failed, two_classes])
    assert table["learned"].tolist() == [True, False, False]
    assert table["classes_predicted"].tolist() == [7, 1, 2]
    assert table["accuracy"][1] == table["majority_share"][1] == 80 / 400
    others = [failed, two_classes, make_run("resnet26v2-nl1", 2, predicted(20, 0.5))]
    pd.testing.assert_frame_equal(tables.comparison([*runs, *others], BASELINE), tables.comparison(runs, BASELINE))
    assert tables.comparison([*runs, *others], "resnet26v2-nl1").empty
    assert tables.confusion_changes([*runs, *others], "resnet26v2-nl1").empty


def test_power_and_pooling_follow_from_the_analysis(runs, y_pred):
    analysis = tables.pooled_analysis(runs, BASELINE)
    table = tables.power_by_seeds(analysis).set_index("seeds")["mde"]
    assert table[3] == pytest.approx(tables.comparison(runs, BASELINE)["mde"][0])
    assert table.is_monotonic_decreasing and list(table.index) == list(range(2, 31))
    pairwise = inference.crossed_mean(np.subtract(*correct_of(y_pred, [STAGE_4, BASELINE]).astype(int)))
    row = tables.comparison(runs, BASELINE).set_index("variant").loc[STAGE_4]
    assert (row["pairwise_low"], row["pairwise_high"]) == pytest.approx((pairwise.low, pairwise.high))
    assert not analysis.pooling_doubtful


def test_planned_contrasts_come_first_and_all_but_the_primary_one_are_a_family(runs):
    pairs = [(STAGE_4, CONTROL), (STAGE_3, BASELINE), (STAGE_4, BASELINE), ("resnet26v2-nl2", BASELINE)]
    table = tables.contrasts(runs, BASELINE, margin=0.1, planned=[" minus ".join(pair) for pair in pairs])
    assert table["contrast"].tolist()[:4] == [tables.PRIMARY, *[tables.SECONDARY] * 2, tables.MEAN_OF_BLOCKS]
    analysis = tables.pooled_analysis(runs, BASELINE)  # baseline, stage 3, stage 4, control
    tests = [analysis.difference(*pair) for pair in ((3, 2), (0, 1), (0, 2))]
    assert table["difference"].tolist()[:3] == pytest.approx([test.estimate for test in tests])
    first, second = sorted(test.p_value for test in tests[1:])
    assert sorted(table["p_holm"].dropna()) == pytest.approx([2 * first, max(2 * first, second)])
    assert table["p_equivalent"][0] == pytest.approx(tests[0].p_equivalent(0.1))


def test_where_networks_vary_differently_the_wider_interval_of_the_primary_contrast_decides(runs, y_pred):
    y_pred["resnet26v2-nl1"] = [predicted(30 + seed, 0.3 + 0.3 * seed) for seed in range(3)]
    runs += [make_run("resnet26v2-nl1", *pair) for pair in enumerate(y_pred["resnet26v2-nl1"])]
    planned = [f"resnet26v2-nl1 minus {BASELINE}", f"resnet26v2-nl1 minus {CONTROL}"]
    table = tables.contrasts(runs, BASELINE, "validation", 0.1, planned)
    analysis = tables.pooled_analysis(runs, BASELINE)
    assert analysis.pooling_doubtful
    alone = inference.crossed_mean(np.subtract(*correct_of(y_pred, ["resnet26v2-nl1", BASELINE]).astype(int)))
    assert table["ci_low"][:2].tolist() == pytest.approx([alone.low, analysis.difference(3, 4).low])
    assert alone.low < analysis.difference(0, 4).low


@pytest.mark.parametrize("seeds", [1, 3])
def test_scores_agree_with_scikit_learn_and_intervals_of_one_seed_with_statsmodels(seeds):
    y_pred = np.array([predicted(seed, 0.6) for seed in range(seeds)])
    runs = [make_run(BASELINE, seed, y_pred[seed]) for seed in reversed(range(seeds))]
    table = tables.class_scores(runs).set_index("class")
    assert list(table.index) == list(CLASS_NAMES)
    assert set(table["seeds"]) == {seeds} and table["support"].sum() == IMAGES
    for score, reference in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        assert table[score].tolist() == pytest.approx(
            reference(np.tile(Y_TRUE, seeds), y_pred.ravel(), average=None)
        )
        assert table[score].between(table[f"{score}_low"], table[f"{score}_high"]).all()
    if seeds == 1:
        hits, fear = ((Y_TRUE == 2) & (y_pred[0] == 2)).sum(), table.loc["fear"]
        for score, n in (("recall", fear["support"]), ("precision", (y_pred == 2).sum())):
            expected = proportion_confint(hits, n, method="wilson")
            assert (fear[f"{score}_low"], fear[f"{score}_high"]) == pytest.approx(expected)


def test_f1_interval_covers_the_true_value_in_95_of_100_studies():
    """True F1 of class 0: recall 0.6 x share 0.3 of the images, and false alarms 0.1 of the other 0.7."""
    true, covered, draw = 2 * 0.18 / (0.18 + 0.07 + 0.3), 0, np.random.default_rng(5)
    for _ in range(600):
        y_true = (draw.random(300) > 0.3).astype(int)
        of_class = draw.random(300) < np.where(y_true == 0, 0.6, 0.1)
        score = tables._score("f1", (y_true == 0)[None], of_class[None])
        covered += score.low <= true <= score.high
    assert 549 <= covered <= 591  # 95 % of 600, four standard errors either way


def test_interval_over_seeds_covers_networks_that_differ():
    """Recall of class 0 differs by network (sd 5 points): new seeds and images must be allowed for."""
    draw, covered, true = np.random.default_rng(6), 0, np.broadcast_to(np.repeat([True, False], 150), (3, 300))
    for _ in range(400):
        recalls = 0.6 + 0.05 * draw.standard_normal((3, 1))
        found = tables._score("recall", true, draw.random((3, 300)) < np.where(true, recalls, 0.2))
        covered += found.low <= 0.6 <= found.high
    assert covered >= 372  # 93 %; with few seeds the interval may be too wide, not too narrow


def test_a_class_never_predicted_and_one_without_images():
    y_true, y_pred = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 2, 3])
    six = {"y_true": y_true, "ids": IDS[:6]}
    table = tables.class_scores([make_run(BASELINE, 0, y_pred, **six)]).set_index("class")
    assert table.loc["disgust", ["precision", "recall", "f1"]].tolist() == [0, 0, 0]
    assert np.isnan(table.loc["disgust", "precision_low"]) and table.loc["disgust", "recall_high"] > 0.5
    assert table.loc["sad", ["recall_low", "f1_low"]].isna().all()
    # Three networks that agree that nothing is disgust are no surer of it than one.
    three = tables.class_scores([make_run(BASELINE, seed, y_pred, **six) for seed in range(3)])
    assert three.set_index("class").loc["disgust", "recall_high"] == table.loc["disgust", "recall_high"]


def test_confusion_shares_are_the_mean_over_seeds():
    y_pred = [predicted(1, 0.6), predicted(2, 0.7)]
    shares = tables.confusion_shares([make_run(BASELINE, seed, one) for seed, one in enumerate(y_pred)])[BASELINE]
    expected = np.mean([confusion_matrix(Y_TRUE, one, normalize="true") for one in y_pred], axis=0)
    assert shares.to_numpy() == pytest.approx(expected)
    assert (shares.index.name, shares.columns.name) == ("true class", "predicted class")
    assert list(shares.index) == list(shares.columns) == list(CLASS_NAMES)


def test_classes_of_a_runs_own():
    y_true, names = np.arange(8) % 2, ("awake", "drowsy")
    saved = Predictions(IDS[:8], y_true, np.eye(2)[np.array([0, 1, 0, 1, 0, 1, 0, 0])])
    run, other = (as_run(variant, 0, saved, names) for variant in (BASELINE, STAGE_3))
    assert tables.check_learned([run])["learned"].item()  # both of two classes
    assert tables.class_scores([run])["class"].tolist() == list(names)
    assert tables.confusion_shares([run])[BASELINE].loc["drowsy"].tolist() == [0.25, 0.75]
    assert len(tables.confusion_changes([run, other], BASELINE)) == 4


def test_class_names_are_data():
    names = ("$x$", "NA", "all", "nan", "null", "split", "total")
    runs = [make_run(variant, seed, predicted(seed, 0.5)) for variant in (BASELINE, STAGE_3) for seed in (0, 1)]
    for run in runs:
        run.class_names = names
    changes = tables.confusion_changes(runs, BASELINE)
    assert set(changes["true_class"]) == set(changes["predicted_class"]) == set(names)
    assert list(tables.confusion_shares(runs)[BASELINE]) == list(names)
    assert readable(tables.class_scores(runs))["class"].tolist() == 2 * list(names)
    metadata = pd.DataFrame({"folder": np.resize(names, IMAGES)}, index=IDS)
    assert tables.by_group(runs[0], metadata, "folder")["folder"].tolist() == sorted(names)


def test_confusion_changes_of_one_seed_agree_with_statsmodels():
    before, after = predicted(1, 0.5), predicted(2, 0.8)
    order = np.random.default_rng(3).permutation(IMAGES)
    runs = [make_run(BASELINE, 0, before), make_run(STAGE_3, 0, after, order)]
    table = tables.confusion_changes(runs, BASELINE)
    assert len(table) == 49
    cell = table[(table["true_class"] == "fear") & (table["predicted_class"] == "fear")].iloc[0]
    first, second = before[Y_TRUE == 2] == 2, after[Y_TRUE == 2] == 2
    pairs = [[(a & b).sum() for b in (second, ~second)] for a in (first, ~first)]
    assert cell["p_value"] == pytest.approx(mcnemar(pairs, exact=True).pvalue)
    assert cell["difference"] == pytest.approx(second.mean() - first.mean())
    assert (cell["n"], cell["baseline_share"], cell["share"]) == (80, first.mean(), second.mean())
    assert table["p_holm"].tolist() == pytest.approx(multipletests(table["p_value"], method="holm")[1])


def test_confusion_cells_have_one_pooled_analysis_of_all_networks(runs, y_pred):
    table = tables.confusion_changes(runs, BASELINE)
    assert len(table) == 3 * 49 and table["variant"].unique().tolist() == [STAGE_3, STAGE_4, CONTROL]
    happy = np.array([[one[Y_TRUE == 3] == 4 for one in y_pred[name]] for name in y_pred])
    expected = inference.obuchowski_rockette(happy).difference(0, 1)
    cell = table[(table["true_class"] == "happy") & (table["predicted_class"] == "neutral")].iloc[0]
    assert (cell["difference"], cell["p_value"]) == pytest.approx((expected.estimate, expected.p_value))


COUNTS = "variant,parameters,macs,attention_macs\nresnet26v2,100,1000,0\nresnet26v2-nl3,150,1290,7\n"


def test_costs_are_ratios_to_the_baseline_and_a_damaged_table_is_named(tmp_path):
    assert tables.read_costs(tmp_path, BASELINE) is None
    path = tmp_path / "tables" / "costs.csv"
    path.parent.mkdir()
    path.write_text(COUNTS)
    assert tables.read_costs(tmp_path, BASELINE).loc[STAGE_3].to_dict() == {"parameters": 1.5, "macs": 1.29}
    for text in ("", "variant,parameters\nresnet26v2,1\n", COUNTS.replace("resnet26v2,", "other,")):
        path.write_text(text)
        with pytest.raises(RunError, match=r"costs\.csv[\s\S]*Study\.costs"):
            tables.read_costs(tmp_path, BASELINE)
