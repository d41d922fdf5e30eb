"""One form of every number."""

import math

import pandas as pd
import pytest

from fer_lib import display


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (display.percent(0.6347), "63.5 %"),
        (display.percent(-0.012), "−1.2 %"),
        (display.percent(1, digits=0), "100 %"),
        (display.points(0.0142), "+1.4"),
        (display.points(-0.015), "−1.5"),
        (display.points(-0.0001), "0.0"),
        (display.interval(-0.0147, 0.0289), "−1.5 to +2.9"),
        (display.interval(0.61, 0.659, display.percent), "61.0 % to 65.9 %"),
        (display.p_value(0.2834), "0.28"),
        (display.p_value(1.0), "1"),
        (display.p_value(0.0004), "< 0.001"),
        (display.count(22968), "22,968"),
    ],
)
def test_numbers_have_one_form(shown, expected):
    assert shown == expected


@pytest.mark.parametrize("missing", [None, math.nan])
def test_what_is_missing_is_a_dash(missing):
    for form in (display.percent, display.points, display.p_value, display.count):
        assert form(missing) == display.interval(0.1, missing) == "–"


def test_a_table_is_shown_with_units_one_interval_and_one_form_of_numbers():
    columns = {
        "variant": ["resnet50v2-nl34", "resnet50v2-nl4-identity"], "n": [1432, 1432],
        "difference": [0.0142, -0.003], "ci_low": [-0.0004, math.nan], "ci_high": [0.0289, math.nan],
        "p_holm": [0.0004, 1.0], "learned": [True, False], "attention_macs": [1_234_567, None],
    }  # fmt: skip
    shown = display.readable(pd.DataFrame(columns))
    assert shown.to_dict("list") == {
        "network": ["stages 3-4", "stage 4, identity attention (control)"], "images": ["1,432", "1,432"],
        "difference (pp)": ["+1.4", "−0.3"], "95 % CI (pp)": ["0.0 to +2.9", "–"],
        "p (Holm-adjusted)": ["< 0.001", "1"], "learned": ["yes", "no"],
        "MACs between positions": ["1,234,567", "–"],
    }  # fmt: skip
    assert display.are_numeric(shown) == [False, True, True, True, True, False, True]
    rates = display.readable(pd.DataFrame({"accuracy": [0.6347], "ci_low": [0.61], "ci_high": [0.659]}))
    assert rates.iloc[0].tolist() == ["63.5", "61.0 to 65.9"]
    assert list(rates.columns) == ["accuracy (%)", "95 % CI (%)"]


def test_two_columns_of_one_header_are_an_error():
    with pytest.raises(ValueError, match=r"the header 'mean F1 \(%\)'; the second is 'mean_F1_\(%\)'"):
        display.readable(pd.DataFrame({"macro_f1": [0.1], "mean_F1_(%)": [0.2]}))
    parts = pd.DataFrame({"images": ["all", "without"], "n": [100, 90]})
    assert display.readable(parts).columns.tolist() == ["which images", "images"]


def test_text_is_shown_as_it_is():
    names = ["NA", "nan", "null", "True", "$x$", "total"]
    assert display.readable(pd.DataFrame({"class": names}))["class"].tolist() == names
