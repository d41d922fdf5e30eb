"""Verdicts follow from values: each can come out each way. True counts are the paper's and Keras' own."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower

from fer_lib.analysis import claims, inference, tables
from fer_lib.datasets import ImageSet, Splits
from fer_lib.errors import DataError
from fer_lib.parameters import build_parameters
from fer_lib.training.runs import Predictions

# What ResNetV2-50 at 96 px costs with a block after every bottleneck of one stage, by hand:
# parameters added s (2 C^2 + 3.5 C) for s blocks of C channels; maps N^2 of 4 bytes.
COSTS = pd.DataFrame(
    {
        "blocks": [0, 3, 4, 6, 3],
        "trainable_parameters": [23_527_431, 23_923_335, 25_631_751, 36_131_847, 48_714_759],
        "added_trainable_parameters": [0, 395_904, 2_104_320, 12_604_416, 25_187_328],
        "added_attention_macs": [0, 175e6, 32e6, 6e6, 0.5e6],
        "added_attention_bytes": [0, 2_737_152, 254_016, 26_244, 972],
        "added_macs": [0, 345e6, 278e6, 403e6, 227e6],
    },
    index=["baseline", "stage 1", "stage 2", "stage 3", "stage 4"],
)
FER2013 = build_parameters({"dataset": "fer2013", "protocol": "paper"})


def verdicts(findings):
    return [finding.verdict for finding in findings]


def faces(count, start=0, **metadata):
    images = np.arange(start, start + count, dtype="uint32").view("uint8").reshape(count, 2, 2, 1)  # all differ
    rows = pd.DataFrame(metadata) if metadata else None
    return ImageSet(images, np.zeros(count, "int64"), np.array([str(i) for i in range(count)]), metadata=rows)


def fer2013(train=22_968, validation=1_432, overlap=0):
    test = faces(validation, start=train - overlap)
    return Splits(faces(train), test, None, "fer2013", "paper", fingerprint="-")


# --- data and architecture ---------------------------------------------------------------------------------------


def test_counts_of_generated_faces_come_from_the_published_ones(tiny_splits):
    found = claims.image_counts(tiny_splits)
    assert [f.outcome for f in found[:2]] == ["22,968", "1,432"]
    assert verdicts(found) == [claims.EXACT, claims.EXACT, claims.NOT_RUN]


def test_counts_of_the_papers_own_protocol():
    assert verdicts(claims.image_counts(fer2013())) == [claims.EXACT] * 3
    short = claims.image_counts(fer2013(validation=1_431, overlap=108))
    assert verdicts(short) == [claims.EXACT, claims.CONTRADICTED, claims.CONTRADICTED]
    assert short[2].outcome == "108 of 1,431 are duplicates of training images"
    assert verdicts(claims.image_counts(fer2013(train=700), train_limit=700))[0] == claims.EXACT  # not counted


@pytest.mark.parametrize(
    ("number", "angles", "verdict"),
    [
        (4900, 5, claims.EXACT),
        (4888, 5, claims.REPRODUCED),
        (4000, 5, claims.CONTRADICTED),
        (980, 1, claims.EXACT),  # not to be counted
    ],
)
def test_kdef_images(number, angles, verdict):
    found = faces(number, angle=np.resize(["FL", "HL", "S", "HR", "FR"][:angles], number))
    finding = claims.kdef_counts(Splits(found, None, None, "kdef", "random", fingerprint="-"))
    assert finding.verdict == verdict and (f"{number:,} read" in finding.outcome) == (angles == 5)


def test_kdef_of_other_data(tiny_splits):
    assert claims.kdef_counts(tiny_splits).outcome == "4,900 images by arithmetic"


def test_architecture():
    assert verdicts(claims.architecture(COSTS, 3.49e9)) == [claims.EXACT] * 4 + [claims.REPRODUCED]
    wrong = COSTS.copy()
    wrong.loc["stage 3", ["blocks", "trainable_parameters"]] = [1, 36_131_848]
    found = claims.architecture(wrong, 3.0e9)
    assert verdicts(found) == [
        claims.CONTRADICTED, claims.EXACT, claims.CONTRADICTED, claims.EXACT, claims.CONTRADICTED,
    ]  # fmt: skip
    assert found[-1].outcome == "3.00e+09 (−21 %)"


def test_each_sentence_on_complexity_is_true_of_one_cost_and_not_of_another():
    abstract, discussion = claims.complexity_sentences(COSTS)
    assert (abstract.section, discussion.section) == ("abstract", "5")
    assert abstract.outcome == "true of MACs between positions and memory of the attention maps; false of all MACs"
    assert discussion.outcome == "true of trainable parameters; false of all MACs"
    assert verdicts([abstract, discussion]) == [claims.REPRODUCED] * 2
    turned = COSTS.copy()
    turned.iloc[1:] = COSTS.iloc[:0:-1].to_numpy()
    assert verdicts(claims.complexity_sentences(turned)) == [claims.CONTRADICTED] * 2


# --- accuracies and gains ----------------------------------------------------------------------------------------


@pytest.fixture
def readings():
    return claims.readings(pd.DataFrame({"binary_accuracy": [0.9], "accuracy": [0.6]}))


def test_accuracies_of_other_networks_are_not_judged(readings):
    accuracy = pd.DataFrame({"variant": ["resnet14v2"], "accuracy": [0.6], "ci_low": [0.58], "ci_high": [0.62]})
    found = claims.reported_accuracies(accuracy, readings, build_parameters({}))
    assert verdicts(found) == [claims.NOT_RUN] * 6
    assert [f.section for f in found] == ["Table I"] * 3 + ["Table II"] * 3
    assert "resnet14v2 at 48 px, 2 epochs, generated faces" in found[0].outcome
    assert "as BinaryAccuracy 62.2 % if all predictions are confident" in found[0].outcome
    assert "as BinaryAccuracy −9.7 pp from the all-negative baseline" in found[3].outcome


def test_accuracies_of_the_papers_network_are_judged(readings):
    setup = {"image_size": 96, "width": 1.0, "stem": "imagenet", "batch_size": 64, "epochs": 50}
    parameters = build_parameters(
        {"dataset": "fer2013", "protocol": "paper", "variants": ["resnet50v2", "resnet50v2-nl34"], **setup}
    )
    intervals = {"accuracy": [0.61, 0.9], "ci_low": [0.59, 0.88], "ci_high": [0.63, 0.92]}
    accuracy = pd.DataFrame({"variant": parameters.variants, **intervals})
    found = claims.reported_accuracies(accuracy, readings, parameters)
    assert verdicts(found) == [claims.CONTRADICTED, claims.REPRODUCED] + [claims.NOT_RUN] * 4
    assert found[0].outcome.startswith("61.0 % [59.0 % to 63.0 %]")
    shorter = parameters.model_copy(update={"epochs": 49})
    assert verdicts(claims.reported_accuracies(accuracy, readings, shorter)) == [claims.NOT_RUN] * 6


def compared(p=0.01, seeds=3, error=0.002, **differences):
    """A comparison with the baseline: `nl3=0.012` is 1.2 pp with an interval of 0.5 pp either way."""
    rows = [
        {
            "baseline": "resnet14v2", "variant": f"resnet14v2-{name}", "seeds": seeds, "difference": difference,
            "simultaneous_low": difference - 0.005, "simultaneous_high": difference + 0.005, "p_holm": p,
            "standard_error": error, "df": 14.0,
        }
        for name, difference in differences.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_gain_at_high_and_loss_at_low_layers():
    found = claims.gains(compared(nl1=-0.01, nl3=0.012), FER2013)
    assert verdicts(found) == [claims.REPRODUCED, claims.REPRODUCED, claims.NOT_RUN, claims.REPRODUCED]
    assert [f.section for f in found] == ["abstract", "abstract", "4", "5"]


def test_worse_at_low_layers_is_contradicted_by_the_papers_own_table():
    found = claims.gains(compared(nl1=-0.002, p=0.6), FER2013)[1]
    assert found.verdict == claims.CONTRADICTED
    assert found.outcome == "the paper's own Table I: +0.61 pp; here: −0.2 pp [−0.7 to +0.3], p 0.6, 3 seeds"


@pytest.mark.parametrize(
    ("difference", "p", "verdict"),
    [
        (0.012, 0.20, claims.INCONCLUSIVE),  # about one point, and chance would do
        (0.030, 0.01, claims.CONTRADICTED),  # far more than one point
        (-0.020, 0.01, claims.CONTRADICTED),
        (0.002, 0.40, claims.INCONCLUSIVE),  # the interval reaches 0.7 points
        (-0.003, 0.40, claims.CONTRADICTED),  # the interval ends at 0.2 points
    ],
)
def test_around_one_percent(difference, p, verdict):
    assert verdicts(claims.gains(compared(nl4=difference, p=p), FER2013))[0] == verdict


def test_the_order_is_a_difference_of_the_one_analysis():
    found = claims.gains(compared(nl1=0.001, nl4=0.005, error=0.001), FER2013)[3]
    assert f"p {2 * stats.t.sf(4, 14):.2g}" in found.outcome and found.verdict == claims.REPRODUCED
    assert "resnet14v2-nl4 minus that of resnet14v2-nl1" in found.test
    assert claims.gains(compared(nl1=0.001, nl4=0.005), FER2013)[3].verdict == claims.INCONCLUSIVE
    assert claims.gains(compared(nl1=0.005, nl4=0.001, error=0.001), FER2013)[3].verdict == claims.CONTRADICTED
    assert claims.gains(compared(nl4=0.005), FER2013)[3].verdict == claims.NOT_RUN


def test_four_single_stages():
    better = {f"nl{stage}": 0.01 for stage in (1, 2, 3, 4)}
    assert verdicts(claims.gains(compared(**better), FER2013))[2] == claims.REPRODUCED
    assert verdicts(claims.gains(compared(**better | {"nl2": -0.01}), FER2013))[2] == claims.CONTRADICTED
    assert verdicts(claims.gains(compared(**better, p=0.5), FER2013))[2] == claims.INCONCLUSIVE


def test_one_seed_decides_nothing_and_generated_faces_are_not_the_papers():
    nine = {f"nl{stage}": 0.03 for stage in (1, 2, 3, 4)}
    single = claims.gains(compared(**nine, seeds=1, error=math.nan), FER2013)
    assert verdicts(single) == [claims.INCONCLUSIVE, claims.CONTRADICTED] + [claims.INCONCLUSIVE] * 2
    generated = verdicts(claims.gains(compared(**nine), build_parameters({})))
    assert generated[0] == generated[2] == generated[3] == claims.NOT_RUN


def test_networks_are_picked_by_rule():
    names = ["resnet50v2-nl3-gaussian", "resnet50v2-nl4", "resnet50v2-nl34", "resnet50v2-nl1", "resnet50v2-nl13"]
    assert tables.pick(names, (3, 4)) == "resnet50v2-nl34"
    assert tables.pick(names, (1, 2)) == "resnet50v2-nl1"
    assert tables.pick(["resnet50v2", "resnet50v2-nl3-none"], (3, 4)) is None


def test_findings_as_a_table(tiny_splits):
    findings = [*claims.complexity_sentences(COSTS), *claims.image_counts(tiny_splits)]
    table = claims.findings_table(findings)
    assert table["section"].tolist() == ["abstract", "2", "2", "2", "5"]  # as in the paper
    assert list(table.columns) == [field.name for field in dataclasses.fields(claims.Finding)]
    assert set(table["verdict"]) <= set(claims.VERDICTS)
    assert table["claim"].is_unique


# --- what the accuracies can mean --------------------------------------------------------------------------------


def test_epochs_table_takes_the_validation_columns():
    history = pd.DataFrame(
        {
            "epoch": [1, 2], "accuracy": [0.9, 0.91], "binary_accuracy": [0.92, 0.93],
            "val_accuracy": [0.5, 0.55], "val_binary_accuracy": [0.88, 0.89],
        }
    )  # fmt: skip
    table = claims.epochs_table([SimpleNamespace(history=history, variant="resnet14v2", seed=3)])
    assert table.to_dict("list") == {
        "epoch": [1, 2], "binary_accuracy": [0.88, 0.89], "accuracy": [0.5, 0.55],
        "variant": ["resnet14v2"] * 2, "seed": [3] * 2,
    }  # fmt: skip


def test_readings_by_hand():
    epochs = pd.DataFrame({"binary_accuracy": [0.8921, 0.895, 0.86], "accuracy": [0.56, 0.58, 0.2]})
    table = claims.readings(epochs).set_index("reported")
    assert table["dataset"].value_counts().to_dict() == {"fer2013": 3, "kdef": 3}
    first = table.loc[0.8921]
    assert first["if_confident"] == pytest.approx(0.62235)  # 1 - 3.5 (1 - 0.8921)
    assert first["above_floor"] == pytest.approx(0.8921 - 6 / 7)
    assert (first["epochs"], first["seen"], first["seen_low"]) == (2, pytest.approx(0.57), 0.56)
    assert table.loc[0.7602, "above_floor"] < 0 and table.loc[0.7602, "epochs"] == 0
    assert np.isnan(table.loc[0.7602, "seen"])


def make_run(variant, y_pred, confident, seed=0):
    """Eight images of class 0; those that are not confident have no probability above one half."""
    top = np.where(confident, 0.9, 0.4)
    probabilities = np.repeat((1 - top)[:, None] / 6, 7, axis=1)
    probabilities[np.arange(8), y_pred] = top
    saved = Predictions(np.array([f"{i}" for i in range(8)]), np.zeros(8, dtype="int64"), probabilities)
    return SimpleNamespace(variant=variant, seed=seed, predictions=lambda split: saved)


@pytest.fixture
def runs():
    # Only the variant is correct on images 0 and 1; both are on 2 to 6, neither is on 7.
    baseline = make_run("resnet14v2", [1, 1, 0, 0, 0, 0, 0, 1], np.ones(8, bool))
    confident = np.array([1, 1, 1, 1, 1, 1, 0, 0], bool)
    return [baseline, make_run("resnet14v2-nl3", [0, 0, 0, 0, 0, 0, 0, 1], confident)]


# Correct decisions of seven, baseline then variant: images 0, 1: 5 and 7; 2 to 5: 7 and 7; 6: 7 and 6; 7: 5 and 6.
GAPS = np.array([2, 2, 0, 0, 0, 0, -1, 1]) / 7


def test_disagreement_by_hand(runs):
    discordant, variance = claims.disagreement(runs, "resnet14v2")
    assert (discordant, variance) == pytest.approx((2 / 8, GAPS.var(ddof=1)))
    with pytest.raises(DataError, match="No variant shares a seed"):
        claims.disagreement(runs[:1], "resnet14v2")


def test_noise_by_hand_and_against_statsmodels(runs):
    table = claims.noise_table(runs, "resnet14v2", images=1432)
    assert table["difference"].round(4).tolist() == [0.0092, 0.0092, 0.0061, 0.0061]
    seven, binary = table.iloc[0], table.iloc[1]
    assert seven["standard_error"] == pytest.approx(np.sqrt(0.25 / 1432))
    assert seven["z"] == pytest.approx(0.0092 / np.sqrt(0.25 / 1432))
    assert binary["standard_error"] == pytest.approx(GAPS.std(ddof=1) / np.sqrt(1432))
    # A paired z test is a one-sample one.
    effect = NormalIndPower(ddof=0).solve_power(effect_size=None, nobs1=1432, alpha=0.05, power=0.8, ratio=0)
    assert binary["mde"] == pytest.approx(effect * GAPS.std(ddof=1), rel=2e-3)
    assert binary["images_needed"] == pytest.approx(1432 * (binary["mde"] / 0.0092) ** 2)
    assert binary["p_value"] == pytest.approx(math.erfc(binary["z"] / math.sqrt(2)))


def test_networks_that_are_never_confident_tell_nothing_of_binary_accuracy():
    unsure = np.zeros(8, bool)
    names = {"resnet14v2": np.zeros(8, int), "resnet14v2-nl1": np.ones(8, int)}
    runs = [make_run(name, y_pred, unsure) for name, y_pred in names.items()]
    binary = claims.noise_table(runs, "resnet14v2").query("reading == 'BinaryAccuracy'")
    assert binary[["z", "p_value", "mde", "images_needed"]].isna().all(axis=None)


def test_power_of_one_run_is_mcnemars():
    table = claims.power_of_one_run([0.2, 0.3], sizes=(500, 1432))
    assert table[["images", "discordance"]].to_numpy().tolist() == [
        [500, 0.2],
        [1432, 0.2],
        [500, 0.3],
        [1432, 0.3],
    ]
    assert table["mde"][1] == inference.mcnemar_detectable(1432, 0.2)
    assert table["mde"][1] < table["mde"][0] < table["mde"][2]
