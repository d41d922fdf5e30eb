"""One form of every number."""

import math

import pytest

from fer_lib import formats


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.percent(0.6347), "63.5 %"),
        (formats.percent(-0.012), "−1.2 %"),
        (formats.percent(1, digits=0), "100 %"),
        (formats.points(0.0142), "+1.4"),
        (formats.points(-0.015), "−1.5"),
        (formats.points(-0.0001), "0.0"),
        (formats.interval(-0.0147, 0.0289), "−1.5 to +2.9"),
        (formats.interval(0.61, 0.659, formats.percent), "61.0 % to 65.9 %"),
        (formats.p_value(0.2834), "0.28"),
        (formats.p_value(1.0), "1"),
        (formats.p_value(0.0004), "< 0.001"),
        (formats.count(22968), "22,968"),
    ],
)
def test_numbers_have_one_form(shown, expected):
    assert shown == expected


@pytest.mark.parametrize("form", [formats.percent, formats.points, formats.p_value, formats.count])
@pytest.mark.parametrize("missing", [None, math.nan])
def test_what_is_missing_is_a_dash(form, missing):
    assert form(missing) == "–"
    assert formats.interval(0.1, missing) == "–"
