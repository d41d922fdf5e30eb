"""The paper's accuracies read anew: against Keras' metric, arithmetic by hand and statsmodels."""

import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import NormalIndPower

from fer_lib.analysis import reported
from fer_lib.errors import DataError
from fer_lib.training.runs import Predictions, Run, write_predictions

LABELS = np.zeros(8, dtype="int64")


def make_run(folder, variant, classes, confident, seed=0):
    """Eight faces of class 0; those that are not confident have no probability above one half."""
    top = np.where(confident, 0.9, 0.4)
    probabilities = np.repeat((1 - top)[:, None] / 6, 7, axis=1)
    probabilities[np.arange(8), classes] = top
    folder = folder / f"{variant}-{seed}"
    folder.mkdir()
    ids = np.array([f"{i}" for i in range(8)])
    write_predictions(folder, {"validation": Predictions(ids, LABELS, probabilities.astype("float32"))})
    return Run(folder, variant, seed, {})


@pytest.fixture
def runs(tmp_path):
    # The variant alone is right on faces 0 and 1; both are right on 2 to 6, wrong on 7.
    plain = make_run(tmp_path, "resnet14v2", [1, 1, 0, 0, 0, 0, 0, 1], np.ones(8, bool))
    sure = np.array([1, 1, 1, 1, 1, 1, 0, 0], bool)
    variant = make_run(tmp_path, "resnet14v2-nl3", [0, 0, 0, 0, 0, 0, 0, 1], sure)
    return [plain, variant]


def test_epochs_table_takes_the_validation_columns(tmp_path):
    history = pd.DataFrame(
        {
            "epoch": [1, 2], "accuracy": [0.9, 0.91], "binary_accuracy": [0.92, 0.93],
            "val_accuracy": [0.5, 0.55], "val_binary_accuracy": [0.88, 0.89],
        }
    )  # fmt: skip
    history.to_csv(tmp_path / "history.csv", index=False)
    table = reported.epochs_table([Run(tmp_path, "resnet14v2", 3, {})])
    assert table.to_dict("list") == {
        "variant": ["resnet14v2"] * 2, "seed": [3] * 2, "epoch": [1, 2],
        "binary_accuracy": [0.88, 0.89], "accuracy": [0.5, 0.55],
    }  # fmt: skip


def test_readings_by_hand():
    epochs = pd.DataFrame({"binary_accuracy": [0.8921, 0.895, 0.86], "accuracy": [0.56, 0.58, 0.2]})
    table = reported.reading_table(epochs).set_index("reported")
    assert table["dataset"].value_counts().to_dict() == {"fer2013": 3, "kdef": 3}
    first = table.loc[0.8921]
    assert first["if_confident"] == pytest.approx(0.62235)  # 1 - 3.5 (1 - 0.8921)
    assert first["above_floor"] == pytest.approx(0.8921 - 6 / 7)
    assert (first["epochs"], first["seen"], first["seen_low"]) == (2, pytest.approx(0.57), 0.56)
    assert table.loc[0.7602, "above_floor"] < 0 and table.loc[0.7602, "epochs"] == 0
    assert np.isnan(table.loc[0.7602, "seen"])


def test_discordance_by_hand(runs):
    assert reported.discordance(runs, "resnet14v2") == 2 / 8


def test_noise_by_hand_and_against_statsmodels(runs):
    table = reported.noise_table(runs, "resnet14v2", images=1432)
    assert table["difference"].round(4).tolist() == [0.0092, 0.0092, 0.0061, 0.0061]
    seven, binary = table.iloc[0], table.iloc[1]
    assert seven["standard_error"] == pytest.approx(np.sqrt(0.25 / 1432))
    assert seven["z"] == pytest.approx(0.0092 / np.sqrt(0.25 / 1432))
    # Right decisions of seven, plain then variant: faces 0, 1: 5 and 7; 2 to 5: 7 and 7; 6: 7 and 6; 7: 5 and 6.
    gaps = np.array([2, 2, 0, 0, 0, 0, -1, 1]) / 7
    assert binary["standard_error"] == pytest.approx(gaps.std(ddof=1) / np.sqrt(1432))
    # A paired z test is a one-sample one.
    effect = NormalIndPower(ddof=0).solve_power(effect_size=None, nobs1=1432, alpha=0.05, power=0.8, ratio=0)
    assert binary["detectable"] == pytest.approx(effect * gaps.std(ddof=1), rel=2e-3)
    assert binary["images_needed"] == pytest.approx(1432 * (binary["detectable"] / 0.0092) ** 2)
    assert binary["p_value"] == pytest.approx(math.erfc(binary["z"] / math.sqrt(2)))


def test_networks_that_never_say_yes_tell_nothing_of_binary_accuracy(tmp_path):
    unsure = np.zeros(8, bool)
    runs = [
        make_run(tmp_path, "resnet14v2", np.zeros(8, int), unsure),
        make_run(tmp_path, "resnet14v2-nl1", np.ones(8, int), unsure),
    ]
    binary = reported.noise_table(runs, "resnet14v2").query("reading == 'BinaryAccuracy'")
    assert binary[["z", "p_value", "detectable", "images_needed"]].isna().all(axis=None)


def test_noise_needs_a_pair(runs):
    with pytest.raises(DataError, match="No variant shares a seed"):
        reported.noise_table(runs[:1], "resnet14v2")
