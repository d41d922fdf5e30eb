"""Two readings of the paper's numbers and their noise, by hand and on the committed study."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fer_lib import paper
from fer_lib.analysis import inference, paper_numbers
from fer_lib.parameters import build_parameters
from fer_lib.training.runs import Predictions

FER2013 = build_parameters({"dataset": "fer2013", "protocol": "paper"})
AS_THE_PAPER = build_parameters({**FER2013.model_dump(), **paper.SETUP, "variants": [paper.BASELINE]})


def test_epochs_table_takes_the_validation_columns():
    history = pd.DataFrame(
        {
            "epoch": [1, 2], "accuracy": [0.9, 0.91], "binary_accuracy": [0.92, 0.93],
            "val_accuracy": [0.5, 0.55], "val_binary_accuracy": [0.88, 0.89],
        }
    )  # fmt: skip
    table = paper_numbers.epochs_table([SimpleNamespace(history=history, variant="resnet14v2", seed=3)])
    assert table.to_dict("list") == {
        "epoch": [1, 2], "binary_accuracy": [0.88, 0.89], "accuracy": [0.5, 0.55],
        "variant": ["resnet14v2"] * 2, "seed": [3] * 2,
    }  # fmt: skip


def make_run(variant, y_pred, confident, seed=0):
    """Eight images of class 0; those that are not confident have no probability above one half."""
    top = np.where(confident, 0.9, 0.4)
    probabilities = np.repeat((1 - top)[:, None] / 6, 7, axis=1)
    probabilities[np.arange(8), y_pred] = top
    saved = Predictions(np.array([f"{i}" for i in range(8)]), np.zeros(8, dtype="int64"), probabilities)
    names = tuple("abcdefg")
    return SimpleNamespace(variant=variant, seed=seed, class_names=names, predictions=lambda split: saved)


@pytest.fixture
def runs(monkeypatch):
    # Only the variant is correct on images 0 and 1; both are on 2 to 6, neither is on 7.
    learned = pd.DataFrame({"variant": [], "learned": []}, dtype=bool)
    monkeypatch.setattr("fer_lib.analysis.tables.check_learned", lambda runs, split: learned)
    baseline = make_run("resnet14v2", [1, 1, 0, 0, 0, 0, 0, 1], np.ones(8, bool))
    confident = np.array([1, 1, 1, 1, 1, 1, 0, 0], bool)
    return [baseline, make_run("resnet14v2-nl3", [0, 0, 0, 0, 0, 0, 0, 1], confident)]


# Correct decisions of seven, baseline then variant: images 0, 1: 5 and 7; 2 to 5: 7 and 7; 6: 7 and 6; 7: 5 and 6.
GAPS = np.array([2, 2, 0, 0, 0, 0, -1, 1]) / 7


def test_readings_by_hand(runs):
    table = paper_numbers.readings(runs, FER2013).set_index("reported")
    assert table["dataset"].value_counts().to_dict() == {"fer2013": 3, "kdef": 3}
    first = table.loc[0.8921]
    assert first["if_confident"] == pytest.approx(0.62235)  # 1 - 3.5 (1 - 0.8921)
    assert first["above_floor"] == pytest.approx(0.8921 - 6 / 7)
    # 5 and 7 of 8 correct, one-hot: 1 - 2/7 of the errors.
    assert (first["sharpened_low"], first["sharpened_high"]) == pytest.approx((1 - 6 / 56, 1 - 2 / 56))
    assert table.loc[0.7602, "above_floor"] < 0 and np.isnan(table.loc[0.7602, "sharpened_low"])
    assert table["accuracy"].isna().all()  # not the paper's setup


def test_readings_pair_the_seeds_by_image_and_not_by_place(runs):
    one = make_run("resnet50v2", [0, 0, 0, 0, 1, 1, 1, 2], np.ones(8, bool))
    two = make_run("resnet50v2", [0, 1, 0, 0, 1, 1, 1, 1], np.array([1, 1, 1, 0, 1, 1, 1, 0], bool), seed=1)
    found = two.predictions(None)
    turned = Predictions(found.ids[::-1], found.y_true[::-1], found.probabilities[::-1])
    other = SimpleNamespace(**{**vars(two), "predictions": lambda split: turned})
    tables = [paper_numbers.readings([one, second], AS_THE_PAPER) for second in (two, other)]
    assert tables[0]["binary_low"].notna().any()
    pd.testing.assert_frame_equal(*tables)


def test_noise_of_one_seed_by_hand(runs):
    table = paper_numbers.noise_table(runs, "resnet14v2").set_index(["dataset", "network", "reading"])
    seven, binary, confident = table.iloc[:3].to_dict("records")
    correct = np.array([1, 1, 0, 0, 0, 0, 0, 0])  # the gaps of 7-class accuracy
    for row, gaps in ((seven, correct), (binary, GAPS), (confident, 2 / 7 * correct)):
        error = gaps.std(ddof=1) / np.sqrt(1432)
        assert (row["difference"], row["n"], row["noise"]) == (0.0092, 1432, "images")
        assert (row["standard_error"], row["z"]) == pytest.approx((error, 0.0092 / error))
        assert row["p_value"] == pytest.approx(2 * stats.t.sf(row["z"], 7))
        assert row["mde"] == pytest.approx(inference.minimum_detectable_effect(error, 7))
    assert table.loc["kdef"].index.get_level_values("reading").unique().tolist() == [paper_numbers.SEVEN]
    assert table.loc[("kdef", "stages 3-4", paper_numbers.SEVEN), "n"] == 980
    alone = paper_numbers.noise_table(runs[:1], "resnet14v2")
    assert len(alone) == 8 and alone[["standard_error", "z", "p_value", "mde"]].isna().all(axis=None)


def test_noise_over_seeds_is_that_of_the_pooled_analysis(runs):
    again = [make_run(run.variant, np.roll(run.predictions(None).y_pred, 1), np.ones(8, bool), 1) for run in runs]
    row = paper_numbers.noise_table([*runs, *again], "resnet14v2").iloc[0]
    correct = [[run.predictions(None).correct for run in pair] for pair in zip(runs, again, strict=True)]
    expected = inference.obuchowski_rockette(correct).of_one_run(8 / 1432)
    assert (row["noise"], row["standard_error"]) == ("seeds and images", pytest.approx(expected[0]))


def test_unsure_by_hand(runs):
    assert paper_numbers.unsure_and_wrong(runs) == (2 / 16, 1 / 2)
