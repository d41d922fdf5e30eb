"""What blocks bring, judged: every verdict from a table made for it."""

import pandas as pd
import pytest

from fer_lib.analysis import audit, gains
from fer_lib.parameters import build_parameters

FER2013 = build_parameters({"dataset": "fer2013", "protocol": "paper"})


def compared(p=0.01, seeds=3, **differences):
    """A comparison with plain: `nl3=0.012` is 1.2 points with an interval of half a point either way."""
    rows = [
        {
            "baseline": "resnet14v2", "variant": f"resnet14v2-{name}", "seeds": seeds, "difference": difference,
            "low": difference - 0.005, "high": difference + 0.005, "p_holm": p,
        }
        for name, difference in differences.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def verdicts(comparison, order=None, parameters=FER2013):
    return [finding.verdict for finding in gains.gains(comparison, order, parameters)]


def test_gain_at_high_and_loss_at_low_layers():
    order = compared(nl3=0.02).to_dict("records")[0]
    found = verdicts(compared(nl1=-0.01, nl3=0.012), order)
    assert found == [audit.REPRODUCED, audit.CONTRADICTED, audit.REPRODUCED, audit.UNTESTED, audit.REPRODUCED]


def test_the_papers_own_table_is_read_from_its_numbers():
    own = gains.gains(compared(nl3=0.01), None, FER2013)[1]
    assert "+0.61 points" in own.outcome and own.verdict == audit.CONTRADICTED


@pytest.mark.parametrize(
    ("difference", "p", "verdict"),
    [
        (0.012, 0.20, audit.UNTESTED),  # about one point, and chance would do
        (0.030, 0.01, audit.CONTRADICTED),  # far more than one point
        (-0.020, 0.01, audit.CONTRADICTED),
        (0.002, 0.40, audit.UNTESTED),  # the interval reaches 0.7 points
        (-0.003, 0.40, audit.CONTRADICTED),  # the interval ends at 0.2 points
    ],
)
def test_around_one_percent(difference, p, verdict):
    assert verdicts(compared(nl4=difference, p=p))[0] == verdict


def test_four_single_stages():
    better = {f"nl{stage}": 0.01 for stage in (1, 2, 3, 4)}
    assert verdicts(compared(**better))[3] == audit.REPRODUCED
    assert verdicts(compared(**better | {"nl2": -0.01}))[3] == audit.CONTRADICTED
    assert verdicts(compared(**better, p=0.5))[3] == audit.UNTESTED


def test_one_seed_and_generated_faces_are_not_judged():
    order = compared(nl3=0.02).to_dict("records")[0]
    judged = slice(2, None)
    single = verdicts(compared(nl1=-0.01, nl3=0.012, seeds=1), order | {"seeds": 1})
    generated = verdicts(compared(nl1=-0.01, nl3=0.012), order, build_parameters({}))
    assert single[0] == generated[0] == audit.UNTESTED
    assert set(single[judged]) == set(generated[judged]) == {audit.UNTESTED}


def test_networks_are_picked_by_rule():
    names = ["resnet50v2-nl3-gaussian", "resnet50v2-nl4", "resnet50v2-nl34", "resnet50v2-nl1", "resnet50v2-nl13"]
    assert gains.pick(names, (3, 4)) == "resnet50v2-nl34"
    assert gains.pick(names, (1, 2)) == "resnet50v2-nl1"
    assert gains.pick(["resnet50v2", "resnet50v2-nl3-none"], (3, 4)) is None
