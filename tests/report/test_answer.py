"""The answer must follow its numbers: made-up tables of each kind, and what may not be said of them."""

import pandas as pd
import pytest

from fer_lib.analysis import tables
from fer_lib.parameters import build_parameters
from fer_lib.report.answer import WORD_LIMIT, paragraph

GRID = {"variants": ["resnet26v2", "resnet26v2-nl1", "resnet26v2-nl3"], "dataset": "fer2013", "protocol": "paper"}
SMALL = build_parameters(GRID | {"image_size": 48, "pooling": "average", "epochs": 16, "optimizer": "sgd"})
AS_PAPER = build_parameters(GRID | {"image_size": 96, "pooling": "max", "epochs": 50})
COSTS = pd.DataFrame(
    {"parameters": [1, 1.25, 1.5, 1.6], "macs": [1, 1.1, 1.29, 1.7]},
    index=["resnet26v2", "resnet26v2-nl2", "resnet26v2-nl3", "resnet26v2-nl3-none"],
)


def row(variant, difference, p_holm, seeds=3, half_width=0.012, family=tables.BLOCKS):
    values = {
        "family": family, "variant": variant, "baseline": "resnet26v2", "seeds": seeds, "n": 1432,
        "baseline_accuracy": 0.5764, "difference": difference, "ci_low": difference - half_width,
        "ci_high": difference + half_width, "p_holm": p_holm,
    }  # fmt: skip
    return values


HELPS, HURTS = row("resnet26v2-nl3", 0.031, 0.002), row("resnet26v2-nl1", -0.027, 0.0004)
NOTHING = row("resnet26v2-nl2", 0.004, 0.61)
CONTROL = row("resnet26v2-nl3-none", 0.009, 0.21, family=tables.CONTROL)


def text_of(*rows, parameters=SMALL, failed=(), costs=COSTS):
    names = ["resnet26v2", *(found["variant"] for found in rows), *failed]
    names = list(dict.fromkeys(names))
    learned = pd.DataFrame({"variant": names, "learned": [name not in failed for name in names]})
    comparison = pd.DataFrame(list(rows), columns=list(CONTROL))
    text = paragraph(comparison, learned.assign(majority_share=0.247), parameters, "validation", costs)
    assert len(text.split()) <= WORD_LIMIT == 90
    assert "nan" not in text and "None" not in text
    return text


def test_a_significant_gain_names_its_place_and_its_interval():
    text = text_of(NOTHING, HELPS, CONTROL)
    assert text.startswith("Non-local blocks raise the accuracy significantly in 1 of 2 networks (stage 3)")
    assert "compatible with anything from +1.9 to +4.3 percentage points (95 % CI)" in text
    assert "The blocks add 25 % to 50 % parameters and 10 % to 29 % MACs." in text
    assert "The control (identity attention) does not differ significantly: +0.9 (−0.3 to +2.1)." in text
    assert "3 seeds, 1,432 validation images, baseline accuracy 57.6 %" in text
    assert (
        "The paper used 96 px, max pooling, 50 epochs; this study 48 px, average pooling, 16 epochs, SGD." in text
    )


def test_a_significant_loss():
    text = text_of(NOTHING, HURTS)
    assert text.startswith("Non-local blocks lower the accuracy significantly in 1 of 2 networks (stage 1)")
    assert "anything from −3.9 to −1.5 percentage points" in text and "raise" not in text


def test_gain_here_and_loss_there():
    text = text_of(HELPS, HURTS, NOTHING, CONTROL)
    assert text.startswith("It depends on the network: stage 3 raises the accuracy significantly")
    assert "+1.9 to +4.3 percentage points" in text and "stage 1 lowers it (−3.9 to −1.5)" in text


def test_no_significant_difference_is_an_interval_and_not_no_effect():
    text = text_of(NOTHING, row("resnet26v2-nl4", -0.006, 0.8), costs=None)
    assert text.startswith(
        "The effect of non-local blocks is compatible with anything from −1.8 to +1.6 percentage"
    )
    assert "none of the 2 networks with blocks differs significantly from the baseline" in text
    assert "The largest difference is +0.4 (stage 2)." in text
    assert "no effect" not in text


def test_one_network_alone():
    assert "no network with blocks differs significantly" in text_of(NOTHING)


@pytest.mark.parametrize(
    ("p", "said"), [(1e-6, "1 of 1 networks with blocks differ"), (0.4, "no network with blocks differs")]
)
def test_one_seed_is_never_an_answer(p, said):
    text = text_of(row("resnet26v2-nl3", 0.05, p, seeds=1))
    assert text.startswith("One seed cannot answer whether non-local blocks help.")
    assert f"+3.8 to +6.2 percentage points (95 % CIs); {said} significantly" in text
    assert "1 seed, 1,432" in text and "raise" not in text


@pytest.mark.parametrize("seeds", [1, 3])
def test_where_the_control_alone_differs_parameters_may_explain_it(seeds):
    differs = row("resnet26v2-nl3-none", 0.092, 0.049, seeds, family=tables.CONTROL)
    others = [row(f"resnet26v2-nl{stage}", 0.01, 0.4, seeds) for stage in (1, 2)]
    costs = pd.concat([COSTS, COSTS.loc[["resnet26v2-nl2"]].rename({"resnet26v2-nl2": "resnet26v2-nl1"})])
    text = text_of(*others, CONTROL | {"variant": "resnet26v2-nl1-none"}, differs, costs=costs)
    assert (
        "Only the control (identity attention) differs significantly: +9.2 (+8.0 to +10.4); "
        "parameters alone may explain it." in text
    )
    assert "The blocks add" in text
    assert "with blocks differs significantly from the baseline" in text


def test_a_control_that_differs_beside_the_blocks():
    text = text_of(HELPS, CONTROL | {"p_holm": 0.01})
    assert "The control (identity attention) differs significantly: +0.9 (−0.3 to +2.1); parameters alone" in text


def test_networks_that_did_not_learn_answer_nothing():
    text = text_of(failed=["resnet26v2"])
    assert text.startswith(
        "The baseline did not learn: always predicting the commonest class has accuracy 24.7 %."
    )
    assert "Nothing follows about non-local blocks." in text
    text = text_of(NOTHING, failed=["resnet26v2-nl4"])
    assert "Not compared, as they did not learn: stage 4." in text


def test_generated_faces_say_nothing_about_people():
    text = text_of(NOTHING, CONTROL, parameters=build_parameters({}))
    assert text.endswith("The faces are generated: these numbers say nothing about people.")
    assert "The paper" not in text


def test_the_papers_own_setting():
    assert text_of(NOTHING, parameters=AS_PAPER).endswith("Image size, pooling and epochs are the paper's.")


def test_the_control_alone_is_no_answer():
    assert text_of(CONTROL) == "No network with non-local blocks has been compared with the baseline yet."


def test_many_networks_stay_within_the_limit():
    found = [row(f"resnet26v2-nl{place}-concatenation-before_last", 0.03, 0.01) for place in (1, 2, 3, 4, 12, 34)]
    text = text_of(*found, row("resnet26v2-nl123", -0.04, 0.01), CONTROL, failed=["resnet26v2-nl1234"])
    assert "and 3 others" in text


def test_of_unknown_costs_nothing_is_said():
    assert "add" not in text_of(HELPS, costs=None)
    assert "add" not in text_of(HELPS, NOTHING, costs=COSTS.drop("resnet26v2-nl2"))
