"""Attention read from run folders: images by rule, classes as values, blocks over seeds, what removal does."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fer_lib.analysis import attention
from fer_lib.datasets import CLASS_NAMES
from fer_lib.training.runs import Predictions


def test_images_are_chosen_by_rule():
    # Ids out of order. Angry: the first by id, a, is wrong, b is correct. Fear: never correct. No others.
    ids, y_true, y_pred = np.array(["c", "b", "a", "e", "d"]), np.array([0, 0, 0, 2, 2]), [0, 0, 3, 0, 0]
    saved = Predictions(ids, y_true, np.eye(7, dtype="float32")[y_pred])
    chosen = attention.choose_images(SimpleNamespace(class_names=CLASS_NAMES, predictions=lambda: saved))
    assert chosen.to_dict("list") == {"class": ["angry", "fear"], "id": ["b", "d"], "correct": [True, False]}


def one_run(folder, variant, seed, accuracies=(0.6, 0.5), changed=0.2, correct=6, classes=("all", "NA")):
    """A run folder that keeps attention; `correct` of its ten images are classified correctly."""
    folder.mkdir(parents=True)
    y_true = np.arange(10) % 2
    probabilities = np.eye(2, dtype="float32")[np.where(np.arange(10) < correct, y_true, 1 - y_true)]
    saved = Predictions(np.array([f"i{n}" for n in range(10)]), y_true, probabilities)
    ablation = pd.DataFrame({"blocks": ["as trained", "ablated"], "n": 10, "accuracy": accuracies})
    ablation.assign(changed=[0, changed]).to_csv(folder / attention.ABLATION, index=False)
    rows = {"of": [*([attention.ONE_CLASS] * len(classes)), attention.ALL], "class": [*classes, None]}
    rows |= {"state": "trained", "block": "b", "stage": 4, "entropy": seed / 10, "dead": 0.25 * seed}
    table = pd.DataFrame(rows | {"distance": 3.0, "uniform_distance": 5.0, "relative_update": 100.0})
    table["update_median"] = [0.01 * (seed + 1), 0.02 * (seed + 1), 9.0]
    table.reindex(columns=attention.COLUMNS).to_csv(folder / attention.TABLE, index=False)
    np.savez(folder / attention.MAPS, ids=saved.ids[:2], **{"trained/b": np.zeros((2, 3, 1, 1), "float32")})
    run = SimpleNamespace(folder=folder, variant=variant, seed=seed, class_names=classes)
    run.predictions = lambda split="validation": saved
    return run


def test_classes_of_any_name_stay_values(tmp_path):
    table = attention.read(one_run(tmp_path / "run", "resnet14v2-nl4", 0)).table
    assert table["class"].tolist()[:2] == ["all", "NA"] and pd.isna(table["class"][2])
    assert table["of"].tolist() == [attention.ONE_CLASS, attention.ONE_CLASS, attention.ALL]


def test_blocks_over_seeds_by_hand(tmp_path):
    runs = [one_run(tmp_path / str(seed), "resnet14v2-nl4", seed) for seed in (0, 1, 2)]
    row = attention.by_block(list(map(attention.read, runs))).iloc[0]
    assert (row["variant"], row["block"], row["seeds"]) == ("resnet14v2-nl4", "b", 3)
    # Medians over images of two classes and three seeds: 1, 2, 2, 4, 3, 6 %; no mean with its outliers.
    assert (row["update"], row["update_max"]) == pytest.approx((0.025, 0.06))
    assert (row["update_q1"], row["update_q3"]) == pytest.approx((0.02, 0.0375))
    assert row[["entropy", "entropy_low", "entropy_high"]].tolist() == pytest.approx([0.1, 0, 0.2])
    assert row[["dead", "dead_low", "dead_high"]].tolist() == pytest.approx([0.25, 0, 0.5])
    assert attention.by_block([]).empty


def test_what_removing_blocks_does_by_hand(tmp_path):
    before = [one_run(tmp_path / f"before-{seed}", "resnet14v2", seed, correct=4 + seed) for seed in (0, 1)]
    after = [
        one_run(tmp_path / f"after-{seed}", "resnet14v2-nl4", seed, accuracies, changed)
        for seed, accuracies, changed in ((0, (0.6, 0.5), 0.2), (1, (0.9, 0.7), 0.4), (2, (0.1, 0.1), 1.0))
    ]
    row = attention.removed_after_training([*after, *before], "resnet14v2").iloc[0]
    assert (row["seeds"], row["n"]) == (2, 10)  # the baseline has no third seed
    assert row["difference"] == pytest.approx(((0.6 - 0.4) + (0.9 - 0.5)) / 2)
    assert row["ablated_difference"] == pytest.approx(((0.5 - 0.4) + (0.7 - 0.5)) / 2)
    assert row[["changed", "changed_low", "changed_high"]].tolist() == pytest.approx([0.3, 0.2, 0.4])
    assert attention.removed_after_training(after, "resnet14v2").empty
