"""Verdicts follow from values: each can come out each way. True counts are the paper's and Keras' own."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from fer_lib.analysis.reported import reading_table

from fer_lib.analysis import audit
from fer_lib.datasets import FaceSet, Splits
from fer_lib.parameters import build_parameters

# What ResNetV2-50 at 96 px costs with a block after every bottleneck of one stage, by hand:
# parameters added s (2 C^2 + 3.5 C) for s blocks of C channels; maps N^2 of 4 bytes.
COSTS = pd.DataFrame(
    {
        "blocks": [0, 3, 4, 6, 3],
        "trainable_parameters": [23_527_431, 23_923_335, 25_631_751, 36_131_847, 48_714_759],
        "added_trainable_parameters": [0, 395_904, 2_104_320, 12_604_416, 25_187_328],
        "added_attention_multiply_adds": [0, 175e6, 32e6, 6e6, 0.5e6],
        "added_attention_bytes": [0, 2_737_152, 254_016, 26_244, 972],
        "added_multiply_adds": [0, 345e6, 278e6, 403e6, 227e6],
    },
    index=["plain", "stage 1", "stage 2", "stage 3", "stage 4"],
)


def verdicts(findings):
    return [finding.verdict for finding in findings]


def faces(count, start=0, **metadata):
    images = np.arange(start, start + count, dtype="uint32").view("uint8").reshape(count, 2, 2, 1)  # all differ
    rows = pd.DataFrame(metadata) if metadata else None
    return FaceSet(images, np.zeros(count, "int64"), np.array([str(i) for i in range(count)]), metadata=rows)


def fer2013(train=22_968, validation=1_432, overlap=0):
    test = faces(validation, start=train - overlap)
    return Splits(faces(train), test, None, "fer2013", "paper", fingerprint="-")


def test_counts_of_generated_faces_come_from_the_published_ones(tiny_splits):
    found = audit.image_counts(tiny_splits)
    assert [f.outcome for f in found[:2]] == ["22,968", "1,432"]
    assert verdicts(found) == [audit.EXACT, audit.EXACT, audit.UNTESTED]


def test_counts_of_the_papers_own_cut():
    assert verdicts(audit.image_counts(fer2013())) == [audit.EXACT] * 3
    short = audit.image_counts(fer2013(validation=1_431, overlap=108))
    assert verdicts(short) == [audit.EXACT, audit.CONTRADICTED, audit.CONTRADICTED]
    assert short[2].outcome == "108 of 1,431 also stand in training"
    assert verdicts(audit.image_counts(fer2013(train=700), train_limit=700))[0] == audit.EXACT  # not counted


def kdef(number):
    people = [f"{sex}{person:02d}" for sex in "FM" for person in range(1, 36)]
    named = np.resize(people, number)
    angles = np.resize(np.repeat(["FL", "HL", "S", "HR", "FR"], 70), number)
    found = faces(number, sex=[name[0] for name in named], subject=named, angle=angles)
    return Splits(found, None, None, "kdef", "random", fingerprint="-")


@pytest.mark.parametrize(
    ("number", "verdict"),
    [(4900, audit.EXACT), (4888, audit.REPRODUCED), (4000, audit.UNTESTED), (70, audit.UNTESTED)],
)
def test_kdef_pictures(number, verdict):
    assert verdicts(audit.kdef_counts(kdef(number))) == [audit.EXACT, verdict]


def test_kdef_of_other_faces(tiny_splits):
    assert verdicts(audit.kdef_counts(tiny_splits)) == [audit.EXACT, audit.UNTESTED]


def test_architecture():
    assert verdicts(audit.architecture(COSTS, 3.49e9)) == [audit.EXACT] * 4 + [audit.REPRODUCED]
    wrong = COSTS.copy()
    wrong.loc["stage 3", ["blocks", "trainable_parameters"]] = [1, 36_131_848]
    assert verdicts(audit.architecture(wrong, 3.0e9)) == [
        audit.CONTRADICTED, audit.EXACT, audit.CONTRADICTED, audit.EXACT, audit.CONTRADICTED,
    ]  # fmt: skip


def test_each_sentence_on_complexity_holds_for_one_cost_and_not_for_another():
    found = audit.complexity_sentences(COSTS)
    assert [f.section for f in found] == ["abstract"] * 3 + ["5"] * 2
    assert verdicts(found) == [
        audit.REPRODUCED, audit.REPRODUCED, audit.CONTRADICTED, audit.REPRODUCED, audit.CONTRADICTED,
    ]  # fmt: skip
    turned = COSTS.copy()
    turned.iloc[1:] = COSTS.iloc[:0:-1].to_numpy()
    assert verdicts(audit.complexity_sentences(turned))[0] == audit.CONTRADICTED
    assert verdicts(audit.complexity_sentences(turned))[3] == audit.CONTRADICTED


@pytest.fixture
def readings():
    return reading_table(pd.DataFrame({"binary_accuracy": [0.9], "accuracy": [0.6]}))


def test_accuracies_of_other_networks_are_not_judged(readings):
    summary = pd.DataFrame({"variant": ["resnet14v2"], "mean": [0.6], "low": [0.58], "high": [0.62]})
    found = audit.reported_accuracies(summary, readings, build_parameters({}))
    assert verdicts(found) == [audit.UNTESTED] * 6
    assert "resnet14v2 at 48 px, 2 epochs, generated faces" in found[0].outcome
    assert "as BinaryAccuracy 62.2% of the images" in found[0].outcome
    assert "9.7 points below a network that knows nothing" in found[3].outcome


def test_accuracies_of_the_papers_network_are_judged(readings):
    setup = {"image_size": 96, "width": 1.0, "stem": "imagenet", "batch_size": 64, "epochs": 50}
    parameters = build_parameters(
        {"dataset": "fer2013", "protocol": "paper", "variants": ["resnet50v2", "resnet50v2-nl34"], **setup}
    )
    intervals = {"mean": [0.61, 0.9], "low": [0.59, 0.88], "high": [0.63, 0.92]}
    summary = pd.DataFrame({"variant": parameters.variants, **intervals})
    found = audit.reported_accuracies(summary, readings, parameters)
    assert verdicts(found) == [audit.CONTRADICTED, audit.REPRODUCED] + [audit.UNTESTED] * 4
    assert found[0].outcome.startswith("61.0% [59.0%, 63.0%]")
    shorter = parameters.model_copy(update={"epochs": 49})
    assert verdicts(audit.reported_accuracies(summary, readings, shorter)) == [audit.UNTESTED] * 6


def test_findings_as_a_table(tiny_splits):
    findings = audit.complexity_sentences(COSTS)[-1:] + audit.image_counts(tiny_splits)
    table = audit.findings_table(findings)
    assert table["section"].tolist() == ["2", "2", "2", "5"]  # as in the paper
    assert list(table.columns) == [field.name for field in dataclasses.fields(audit.Finding)]
    assert set(table["verdict"]) <= set(audit.VERDICTS)
