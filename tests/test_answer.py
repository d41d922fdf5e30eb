"""The answer must follow its numbers: made-up tables of each kind, and what may not be said of them."""

import pandas as pd
import pytest

from fer_lib.errors import DataError
from fer_lib.report.answer import answer


def row(variant, difference, p_holm, seeds=3, half_width=0.012, detectable=0.02):
    return {
        "baseline": "resnet26v2",
        "variant": variant,
        "seeds": seeds,
        "n": 1432,
        "baseline_accuracy": 0.5764,
        "difference": difference,
        "low": difference - half_width,
        "high": difference + half_width,
        "p_holm": p_holm,
        "detectable": detectable,
    }


def table(*rows):
    return pd.DataFrame(list(rows))


HELPS, HURTS = row("resnet26v2-nl3", 0.031, 0.002), row("resnet26v2-nl1", -0.027, 0.0004)
NOTHING = row("resnet26v2-nl2", 0.004, 0.61)


def test_helps():
    text = answer(table(NOTHING, HELPS))
    assert text.startswith("Yes: non-local blocks raise the accuracy of 1 of the 2 networks with them (stage 3).")
    assert (
        "largest difference is at stage 3: +3.1 points (95 % interval +1.9 to +4.3, corrected p = 0.002)" in text
    )
    assert "smallest at stage 2: +0.4 points (95 % interval −0.8 to +1.6, corrected p = 0.61)" in text
    assert "3 seeds of each network on the same 1,432 images" in text and "57.6 %" in text
    assert "One seed" not in text


def test_hurts():
    text = answer(table(NOTHING, HURTS))
    assert text.startswith("No: non-local blocks lower the accuracy of 1 of the 2 networks with them (stage 1)")
    assert "corrected p < 0.001" in text and "Yes" not in text


def test_helps_here_and_hurts_there():
    text = answer(table(HELPS, HURTS, NOTHING))
    assert text.startswith("It depends on where they stand")
    assert "raise the accuracy of 1 of the 3 networks with them (stage 3) and lower that of 1 (stage 1)" in text


def test_nothing_shown_is_not_called_no_effect():
    text = answer(table(NOTHING, row("resnet26v2-nl4", -0.006, 0.8, detectable=0.034)))
    assert text.startswith(
        "No difference could be shown between the plain network and the 2 with non-local blocks"
    )
    assert "smallest Holm-corrected p 0.61" in text
    assert "not to say that there is none: a true difference of 3.4 points is found four times in five" in text


def test_networks_that_hardly_disagree():
    assert "too few images" in answer(table(row("resnet26v2-nl3", 0.0, 1.0, detectable=float("nan"))))


def test_one_seed_is_never_an_answer():
    helps, nothing = (answer(table(row("resnet26v2-nl3", 0.05, p, seeds=1))) for p in (1e-6, 0.4))
    for text in (helps, nothing):
        assert text.startswith("One seed cannot answer whether non-local blocks help")
        assert "1 seed of each network" in text and "Yes" not in text
    assert "the plain network differs from 1 of the 1 compared with it (stage 3)" in helps
    assert "no network differs from the plain one" in nothing and "2.0 points" in nothing


def test_a_single_seed_among_repeated_ones_is_not_counted():
    text = answer(table(NOTHING, row("resnet26v2-nl3", 0.09, 1e-9, seeds=1)))
    assert text.startswith(
        "No difference could be shown between the plain network and the one with non-local blocks"
    )
    assert "1 to 3 seeds" in text
    assert text.endswith("Trained with one seed only, and so not judged: stage 3.")


def test_the_control_is_no_non_local_block():
    text = answer(table(HELPS, row("resnet26v2-nl3-none", 0.029, 0.003)))
    assert "raise the accuracy of the one network with them (stage 3)" in text
    assert "stage 3, identity attention (control) shows a difference beyond chance: +2.9 points" in text
    with pytest.raises(DataError, match="no variant with non-local blocks"):
        answer(table(row("resnet26v2-nl3-none", 0.029, 0.003)))


def test_nothing_compared_is_no_answer():
    nothing = pd.DataFrame({name: [] for name in HELPS}, dtype=object)
    with pytest.raises(DataError, match="an empty table"):
        answer(nothing)


COSTS = pd.DataFrame(
    {"parameters": [1, 1.25, 1.5, 1.6], "multiply-adds": [1, 1.1, 1.29, 1.7]},
    index=["resnet26v2", "resnet26v2-nl2", "resnet26v2-nl3", "resnet26v2-nl3-none"],
)


def test_the_cost_is_said_of_all_blocks_and_of_the_best_network():
    text = answer(table(NOTHING, HELPS, row("resnet26v2-nl3-none", 0.029, 0.003)), COSTS)
    said = "The blocks cost 25 to 50 % more parameters and 10 to 29 % more multiply-adds than the plain network"
    assert f"{said}; stage 3, 50 % and 29 %. Judged by" in text


def test_the_cost_of_one_network_is_one_number():
    said = "The blocks cost 50 % more parameters and 29 % more multiply-adds than the plain network. Judged by"
    assert said in answer(table(HELPS), COSTS)


def test_of_unknown_costs_nothing_is_said():
    assert "cost" not in answer(table(HELPS))
    assert "cost" not in answer(table(HELPS, NOTHING), COSTS.drop("resnet26v2-nl2"))
