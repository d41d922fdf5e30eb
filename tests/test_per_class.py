"""Scores by class over seeds, against scikit-learn, SciPy, statsmodels and simulation."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from fer_lib.analysis import inference as statistics
from fer_lib.analysis import per_class
from fer_lib.datasets import CLASS_NAMES
from fer_lib.errors import DataError, ParameterError
from fer_lib.training.runs import Predictions

IMAGES = 400
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(7), [80, 8, 80, 80, 72, 40, 40]))


def make_run(variant, seed, said, labels=LABELS, order=None):
    order = np.arange(len(labels)) if order is None else order
    ids = np.array([f"face-{i:04}" for i in range(len(labels))])
    saved = Predictions(ids[order], labels[order], np.eye(7)[said][order])
    return SimpleNamespace(variant=variant, seed=seed, predictions=lambda split: {"validation": saved}[split])


def say(seed, accuracy, labels=LABELS):
    draw = np.random.default_rng(seed)
    return np.where(draw.random(len(labels)) < accuracy, labels, draw.integers(0, 7, len(labels)))


def test_scores_of_one_seed_agree_with_scikit_learn_and_statsmodels():
    said = say(1, 0.6)
    table = per_class.scores_table([make_run("resnet26v2", 0, said)]).set_index("class")
    assert list(table.index) == list(CLASS_NAMES)
    for score, reference in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        assert table[score].tolist() == pytest.approx(reference(LABELS, said, average=None))
    hits, named = ((LABELS == 2) & (said == 2)).sum(), (said == 2).sum()
    fear = table.loc["fear"]
    assert (fear["recall_low"], fear["recall_high"]) == pytest.approx(
        proportion_confint(hits, fear["support"], method="wilson")
    )
    assert (fear["precision_low"], fear["precision_high"]) == pytest.approx(
        proportion_confint(hits, named, method="wilson")
    )


def test_f1_interval_covers_the_true_value_in_95_of_100_studies():
    """True F1 of class 0: recall 0.6 x share 0.3 of the images, and false alarms 0.1 of the other 0.7."""
    true, covered, draw = 2 * 0.18 / (0.18 + 0.07 + 0.3), 0, np.random.default_rng(5)
    for _ in range(1000):
        labels = (draw.random(300) > 0.3).astype(int)
        named = draw.random(300) < np.where(labels == 0, 0.6, 0.1)
        run = make_run("resnet26v2", 0, np.where(named, 0, 1), labels)
        row = per_class.scores_table([run]).iloc[0]
        covered += row["f1_low"] <= true <= row["f1_high"]
    assert 930 <= covered <= 970


def test_scores_over_seeds_are_of_all_their_predictions():
    said = [say(seed, 0.6) for seed in (1, 2, 3)]
    table = per_class.scores_table([make_run("resnet26v2", seed, said[seed]) for seed in (2, 0, 1)])
    labels = np.tile(LABELS, 3)
    for score, reference in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        assert table[score].tolist() == pytest.approx(reference(labels, np.concatenate(said), average=None))
    assert set(table["seeds"]) == {3} and table["support"].sum() == IMAGES
    assert (table["f1_low"] < table["f1"]).all() and (table["f1"] < table["f1_high"]).all()


def test_interval_over_seeds_covers_networks_that_differ():
    """Recall of class 0 differs by network (sd 5 points): new seeds and images must be allowed for."""
    draw, covered, labels = np.random.default_rng(6), 0, np.repeat([0, 1], [150, 150])
    for _ in range(400):
        recalls = 0.6 + 0.05 * draw.standard_normal(3)
        said = [np.where(draw.random(300) < np.where(labels == 0, recall, 0.2), 0, 1) for recall in recalls]
        runs = [make_run("resnet26v2", seed, one, labels) for seed, one in enumerate(said)]
        row = per_class.scores_table(runs).iloc[0]
        covered += row["recall_low"] <= 0.6 <= row["recall_high"]
    assert covered >= 372  # 93 %; with few seeds the interval may be too wide, not too narrow


def test_a_class_never_named_and_one_without_images():
    labels = np.array([0, 0, 1, 1, 2, 2])
    said = np.array([0, 0, 0, 0, 2, 3])
    table = per_class.scores_table([make_run("resnet26v2", 0, said, labels)]).set_index("class")
    assert table.loc["disgust", ["precision", "recall", "f1"]].tolist() == [0, 0, 0]
    assert np.isnan(table.loc["disgust", "precision_low"]) and table.loc["disgust", "recall_high"] > 0.5
    assert table.loc["sad", ["recall_low", "f1_low"]].isna().all()
    # Three networks that agree that nothing is disgust are no surer of it than one.
    three = per_class.scores_table([make_run("resnet26v2", seed, said, labels) for seed in range(3)])
    assert three.set_index("class").loc["disgust", "recall_high"] == table.loc["disgust", "recall_high"]


def test_confusion_shares_are_the_mean_over_seeds():
    said = [say(1, 0.6), say(2, 0.7)]
    runs = [make_run("resnet26v2", seed, one) for seed, one in enumerate(said)]
    shares = per_class.confusion_shares(runs)["resnet26v2"]
    expected = np.mean([confusion_matrix(LABELS, one, normalize="true") for one in said], axis=0)
    assert shares.to_numpy() == pytest.approx(expected)
    assert (shares.index.name, shares.columns.name) == ("label", "prediction")


def test_confusion_changes_of_one_seed_agree_with_statsmodels():
    before, after = say(1, 0.5), say(2, 0.8)
    order = np.random.default_rng(3).permutation(IMAGES)
    runs = [make_run("resnet26v2", 0, before), make_run("resnet26v2-nl3", 0, after, order=order)]
    table = per_class.confusion_changes(runs, "resnet26v2")
    assert len(table) == 49
    cell = table[(table["label"] == "fear") & (table["prediction"] == "fear")].iloc[0]
    first, second = before[LABELS == 2] == 2, after[LABELS == 2] == 2
    pairs = [[(a & b).sum() for b in (second, ~second)] for a in (first, ~first)]
    assert cell["p_value"] == pytest.approx(mcnemar(pairs, exact=True).pvalue)
    assert cell["difference"] == pytest.approx(second.mean() - first.mean())
    assert table["p_holm"].tolist() == pytest.approx(multipletests(table["p_value"], method="holm")[1])


def test_confusion_changes_over_seeds_pair_equal_seeds():
    before, after = {0: say(1, 0.5), 1: say(2, 0.5), 2: say(3, 0.5)}, {1: say(4, 0.8), 2: say(5, 0.8)}
    runs = [make_run("resnet26v2", seed, said) for seed, said in before.items()]
    runs += [make_run("resnet26v2-nl3", seed, said) for seed, said in after.items()]
    cell = per_class.confusion_changes(runs, "resnet26v2").iloc[0]  # angry, called angry
    angry = LABELS == 0
    differences = [1.0 * (after[seed][angry] == 0) - (before[seed][angry] == 0) for seed in (1, 2)]
    assert cell["seeds"] == 2
    assert cell["p_value"] == pytest.approx(statistics.crossed_mean(differences).p_value)


def test_runs_on_other_images_are_refused():
    runs = [make_run("resnet26v2", 0, say(1, 0.5)), make_run("resnet26v2-nl3", 0, say(1, 0.5), (LABELS + 1) % 7)]
    with pytest.raises(DataError, match="differ in their y_true"):
        per_class.confusion_changes(runs, "resnet26v2")
    with pytest.raises(ParameterError, match="baseline is not among the runs"):
        per_class.confusion_changes(runs, "resnet50v2")
