"""Tables of one run, against counts made by hand and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import classification_report, confusion_matrix

from fer_lib.analysis import evaluation
from fer_lib.datasets import CLASS_NAMES
from fer_lib.errors import DataError, ParameterError, RunError
from fer_lib.training.runs import Predictions, Run, write_predictions

# Ten faces. Predicted: 8 right; disgust is called angry once, fear is never predicted.
LABELS = np.array([0, 0, 0, 1, 1, 2, 3, 3, 6, 6])
SAID = np.array([0, 0, 0, 0, 1, 3, 3, 3, 6, 6])


@pytest.fixture
def make_run(tmp_path):
    """Writes a run folder as training does, and gives the `Run` that reads it."""

    def make(variant="resnet26v2", seed=0, said=SAID, confidence=0.7, split="validation"):
        probabilities = np.full((10, 7), (1 - confidence) / 6, dtype="float32")
        probabilities[np.arange(10), said] = confidence
        ids = np.array([f"face-{i}" for i in range(10)])
        folder = tmp_path / variant
        folder.mkdir(exist_ok=True)
        write_predictions(folder, {split: Predictions(ids, LABELS, probabilities)})
        return Run(folder, variant, seed, config={})

    return make


def test_accuracy_table_by_hand(make_run):
    table = evaluation.accuracy_table([make_run(), make_run("resnet26v2-nl3", 1, said=LABELS, confidence=0.4)])
    columns = "variant, seed, n, correct, accuracy, low, high, binary_accuracy, macro_recall, macro_f1, ece"
    assert ", ".join(table.columns) == columns
    first, second = table.to_dict("records")
    assert (first["variant"], first["seed"], first["n"], first["correct"]) == ("resnet26v2", 0, 10, 8)
    assert (first["low"], first["accuracy"], first["high"]) == pytest.approx((0.4902, 0.8, 0.9433), abs=1e-4)
    assert first["binary_accuracy"] == pytest.approx(1 - 2 * 2 / 70)  # two confident errors, two decisions each
    assert first["macro_recall"] == pytest.approx((1 + 0.5 + 0 + 1 + 1) / 5)
    assert first["macro_f1"] == pytest.approx((6 / 7 + 2 / 3 + 0 + 4 / 5 + 1) / 5)
    assert first["ece"] == pytest.approx(0.8 - 0.7)
    assert second["accuracy"] == 1
    assert second["binary_accuracy"] == pytest.approx(6 / 7)  # all unsure, though right


def test_accuracy_table_reads_the_split_it_is_told(make_run):
    run = make_run(split="test")
    assert evaluation.accuracy_table([run], split="test")["correct"].item() == 8
    with pytest.raises(RunError, match="no predictions of the validation split"):
        evaluation.accuracy_table([run])


def test_per_class_table_agrees_with_scikit_learn(make_run):
    table = evaluation.per_class_table(make_run())
    report = classification_report(
        LABELS, SAID, labels=range(7), target_names=CLASS_NAMES, output_dict=True, zero_division=0
    )
    for name in CLASS_NAMES:
        expected = report[name]
        assert table.loc[name, ["precision", "recall", "f1", "support"]].tolist() == pytest.approx(
            [expected["precision"], expected["recall"], expected["f1-score"], expected["support"]]
        )
    assert table.loc["disgust", ["low", "high"]].tolist() == pytest.approx([0.0945, 0.9055], abs=1e-4)  # 1 of 2
    assert table.loc["sad", ["low", "high"]].isna().all()  # no images of it


def test_confusion_table_counts_and_fractions(make_run):
    counts = evaluation.confusion_table(make_run())
    assert counts.loc["disgust", "angry"] == 1 and counts.loc["angry", "disgust"] == 0
    assert (counts.to_numpy() == confusion_matrix(LABELS, SAID, labels=range(7))).all()
    assert (counts.index.name, counts.columns.name) == ("label", "prediction")
    fractions = evaluation.confusion_table(make_run(), normalise="true")
    assert fractions.loc["disgust"].tolist() == [0.5, 0.5, 0, 0, 0, 0, 0]


def test_reliability_table_by_hand(make_run):
    table = evaluation.reliability_table(make_run(confidence=0.7), bins=4)
    row = table.iloc[2]  # (0.5, 0.75] holds all ten
    assert (row["from"], row["to"], row["n"]) == (0.5, 0.75, 10)
    assert (row["confidence"], row["accuracy"]) == pytest.approx((0.7, 0.8))
    assert (row["low"], row["high"]) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert table["n"].tolist() == [0, 0, 10, 0] and table["accuracy"].isna().sum() == 3


def test_accuracy_without_some_images(make_run):
    table = evaluation.accuracy_without(make_run(), ["face-0", "face-1", "face-3"]).set_index("images")
    assert table["correct"].to_dict() == {"all": 8, "without": 6, "only": 2}
    assert table["n"].to_dict() == {"all": 10, "without": 7, "only": 3}
    assert table.loc["without", "accuracy"] == pytest.approx(6 / 7)


def test_accuracy_without_no_images(make_run):
    table = evaluation.accuracy_without(make_run(), []).set_index("images")
    assert table.loc["without", "correct"] == 8 and np.isnan(table.loc["only", "accuracy"])


def test_accuracy_without_unknown_images_is_refused(make_run):
    with pytest.raises(DataError, match="1 of the images to leave out are not in the run's validation split"):
        evaluation.accuracy_without(make_run(), ["face-0", "train/angry/1.png"])


def test_by_group_matches_images_by_id(make_run):
    metadata = pd.DataFrame(
        {"angle": ["S", "S", "S", "HL", "HL", "HL", "S", "S", "HR", "HR"]},
        index=[f"face-{i}" for i in range(10)],
    )
    table = evaluation.by_group(make_run(), metadata.iloc[::-1], "angle").set_index("angle")
    assert table["n"].to_dict() == {"HL": 3, "HR": 2, "S": 5}
    assert table["correct"].to_dict() == {"HL": 1, "HR": 2, "S": 5}


def test_by_group_refuses_what_does_not_match(make_run):
    metadata = pd.DataFrame({"angle": ["S"] * 10})
    with pytest.raises(DataError, match="10 images of the validation split have no metadata"):
        evaluation.by_group(make_run(), metadata, "angle")
    with pytest.raises(ParameterError, match=r"Expected: angle. Found: sex"):
        evaluation.by_group(make_run(), metadata, "sex")
