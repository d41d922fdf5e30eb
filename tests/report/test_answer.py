"""The answer must follow its numbers: made-up tables of each kind, and what may not be said of them."""

import pandas as pd
import pytest

from fer_lib.analysis import tables
from fer_lib.parameters import build_parameters
from fer_lib.report.answer import WORD_LIMIT, conclude

GRID = {"variants": ["resnet26v2", "resnet26v2-nl1", "resnet26v2-nl34"], "dataset": "fer2013", "protocol": "paper"}
SMALL = build_parameters(GRID | {"image_size": 48, "pooling": "average", "epochs": 16})
COSTS = pd.DataFrame(
    {"parameters": [1, 1.25, 1.5], "macs": [1, 1.1, 1.29]}, ["resnet26v2", "resnet26v2-nl2", "resnet26v2-nl3"]
)
MEAN = {"contrast": tables.MEAN_OF_BLOCKS, "difference": 0.0087, "ci_low": -0.0026, "ci_high": 0.0199}
OVER = {"contrast": tables.OVER_CONTROL, "difference": 0.0019, "ci_low": -0.0097, "ci_high": 0.0135}
REMOVED = pd.DataFrame(
    [("resnet26v2-nl1", 0.08, 0.14), ("resnet26v2-nl3", 0.001, 0.004), ("resnet26v2-nl3-gaussian", 0, 0.007)],
    columns=["variant", "changed_low", "changed_high"],
)


def row(variant, difference, p_holm, seeds=3, family=tables.BLOCKS):
    return {
        "family": family, "variant": variant, "baseline": "resnet26v2", "seeds": seeds, "n": 1432, "df": 14.0,
        "baseline_accuracy": 0.5764, "difference": difference, "ci_low": difference - 0.012,
        "ci_high": difference + 0.012, "p_holm": p_holm, "standard_error": 0.0056 if seeds > 1 else float("nan"),
    }  # fmt: skip


HELPS, HURTS = row("resnet26v2-nl3", 0.031, 0.002), row("resnet26v2-nl1", -0.027, 0.0004)
NOTHING = row("resnet26v2-nl2", 0.004, 0.61)
CONTROL = row("resnet26v2-nl3-identity", 0.009, 0.21, family=tables.CONTROL)


def said_of(*rows, parameters=SMALL, failed=(), costs=COSTS, contrasts=(MEAN, OVER), removed=REMOVED):
    names = list(dict.fromkeys(["resnet26v2", *(one["variant"] for one in rows), *failed]))
    learned = pd.DataFrame({"variant": names, "learned": [name not in failed for name in names]})
    comparison = pd.DataFrame(list(rows), columns=list(CONTROL))
    of_groups = pd.DataFrame(list(contrasts), columns=list(contrasts[-1] if contrasts else MEAN))
    learned = learned.assign(majority_share=0.247)
    verdict, text = conclude(comparison, of_groups, removed, learned, parameters, costs)
    assert len(f"{verdict} {text}".split()) <= WORD_LIMIT == 90
    assert "nan" not in text and "None" not in text
    return verdict, text


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([NOTHING, CONTROL], "Not demonstrably."),
        ([NOTHING, HELPS], "Yes, in stage 3."),
        ([NOTHING, HURTS], "No, blocks lower the accuracy in stage 1."),
        ([HELPS, HURTS], "Yes, in stage 3; no, blocks lower the accuracy in stage 1."),
        ([NOTHING | {"seeds": 1}], "One seed cannot tell."),
        ([HELPS | {"seeds": 1}], "One seed cannot tell."),
        ([CONTROL], "No answer yet."),
    ],
)
def test_the_verdict_follows_from_the_adjusted_p_values(rows, expected):
    assert said_of(*rows)[0] == expected


def test_removing_blocks_that_change_next_to_nothing_is_said_in_words():
    removed = pd.DataFrame([("resnet26v2-nl1", 0, 0.0005), ("resnet26v2-nl3", 0, 0)], columns=REMOVED.columns)
    words = "changes at most 0.1 % of predictions in stage 1, less than 0.1 % in stage 3."
    assert words in said_of(NOTHING, removed=removed)[1]


def test_the_answer_has_its_order_and_the_least_important_sentence_goes_first():
    _, text = said_of(NOTHING, HELPS, CONTROL)
    parts = (
        "On average 2 networks with blocks gain +0.9 pp (95 % CI −0.3 to +2.0);",
        # 3.1 pp and 1.761 standard errors (t, 14 degrees of freedom) of 0.56 are 4.09: 5 is the next whole number.
        "5 pp or more is excluded for each.",
        "Blocks minus control: +0.2 pp (−1.0 to +1.4).",
        "Removing blocks after training changes 8 to 14 % of predictions in stage 1, at most 0.7 % in stage 3.",
        "Not trained: stages 2, 3 and 4; the paper’s 1-2.",
        "Blocks add 25 to 50 % parameters, 10 to 29 % MACs.",
        "Basis: 3 seeds, 1,432 images, 48 px, 16 epochs, baseline 57.6 %.",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    long = said_of(NOTHING, HELPS, CONTROL, failed=["resnet26v2-nl4", "resnet26v2-nl1-gaussian"])[1]
    assert "Not compared, as they did not learn: stage 4; stage 1, Gaussian." in long
    assert "Blocks add" not in long and "Basis" in long


def test_one_seed_gives_the_largest_difference_and_the_control_as_it_is():
    rows = [one | {"seeds": 1} for one in (NOTHING, HELPS | {"p_holm": 0.4}, CONTROL)]
    _, text = said_of(*rows, contrasts=())
    assert "the largest difference is +3.1 pp (95 % CI over the images +1.9 to +4.3), stage 3;" in text
    assert "none of 2 differs significantly, and other seeds may differ otherwise." in text
    assert "Control minus baseline: +0.9 pp (−0.3 to +2.1), p 0.21." in text


def test_a_planned_contrast_gives_the_verdict_and_comes_first():
    planned = build_parameters(GRID | {"planned": ["resnet26v2-nl34 minus resnet26v2-nl1"]})
    primary = OVER | {"contrast": tables.PRIMARY, "label": "a minus b", "p_value": 0.7, "margin": 0.01}
    rows, contrasts = [NOTHING, HELPS, CONTROL], (MEAN, OVER, primary | {"p_equivalent": 0.02})
    verdict, text = said_of(*rows, parameters=planned, contrasts=contrasts)
    assert verdict == "No difference of 1.0 pp or more."
    assert text.startswith("Planned before the runs, a minus b: +0.2 pp (95 % CI −1.0 to +1.4), p 0.7; equivalent")
    assert "Blocks minus control" not in text and "On average" in text
    assert said_of(NOTHING | {"seeds": 1}, parameters=planned, contrasts=())[0] == "One seed cannot tell."


def test_networks_that_did_not_learn_answer_nothing():
    verdict, text = said_of(failed=["resnet26v2"])
    assert verdict == "No answer: the baseline did not learn."
    assert text.startswith("Always predicting the commonest class has accuracy 24.7 %.")


def test_generated_faces_say_nothing_about_people_or_the_paper():
    _, text = said_of(NOTHING, CONTROL, parameters=build_parameters({}), costs=None)
    assert text.endswith("The faces are generated: these numbers say nothing about people.")
    assert "paper" not in text and "add" not in text


def test_of_unknown_costs_and_unknown_ablations_nothing_is_said():
    _, text = said_of(HELPS, NOTHING, costs=COSTS.drop("resnet26v2-nl2"), removed=REMOVED.head(0))
    assert "add" not in text and "Removing" not in text


def test_many_networks_stay_within_the_limit():
    rows = [row(f"resnet26v2-nl{place}-concatenation-before_last", 0.03, 0.01) for place in (1, 2, 3, 4, 12, 34)]
    verdict, _ = said_of(*rows, row("resnet26v2-nl123", -0.04, 0.01), CONTROL, failed=["resnet26v2-nl1234"])
    assert "and 4 others" in verdict
