"""Figures of costs: bars and points are the numbers handed over, and the words beside them say the same."""

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fer_lib.figures import complexity as figures

# The paper's network, the baseline and blocks after every bottleneck of one stage; parameters as published or as
# in the formula blocks * (2 C^2 + 3.5 C), the other numbers round ones.
COSTS = pd.DataFrame(
    {
        "trainable_parameters": [23_527_431, 23_923_335, 25_631_751, 36_131_847, 48_714_759],
        "macs": [600e6, 900e6, 880e6, 1000e6, 800e6],
        "attention_macs": [0, 160e6, 32e6, 8e6, 1e6],
        "attention_bytes": [0, 2 * 1024**2, 256 * 1024, 32 * 1024, 972],
        "activation_bytes": [12e6, 20e6, 16e6, 15e6, 13e6],
    },
    index=pd.Index(["baseline", "stage 1", "stage 2", "stage 3", "stage 4"], name="variant"),
)
COSTS = COSTS.join((COSTS - COSTS.iloc[0]).add_prefix("added_"))


def blocks():
    """One block at the paper's four maps of 96 px, counted by the equations: N positions, C channels."""
    table = pd.DataFrame({"stage": [1, 2, 3, 4], "N": [576, 144, 36, 9], "C": [256, 512, 1024, 2048]})
    table["trainable_parameters"] = 2 * table["C"] ** 2 + 3.5 * table["C"]
    table["projection_macs"] = 2 * table["N"] * table["C"] ** 2
    table["attention_macs"] = table["N"] ** 2 * table["C"]
    return table.assign(attention_bytes=4 * table["N"] ** 2)


def test_added_costs_of_the_stages_in_numbers_and_words():
    parameters, arithmetic, attention, _ = figures.added_by_stage(COSTS).axes
    assert [bar.get_width() for bar in parameters.patches] == [395_904, 2_104_320, 12_604_416, 25_187_328]
    words = [text.get_text().strip() for text in parameters.texts]
    assert words == ["396 k (+2 %)", "2.1 M (+9 %)", "12.6 M (+54 %)", "25.2 M (+107 %)"]
    widths = [bar.get_width() for bar in arithmetic.patches]
    assert widths == [300e6, 280e6, 400e6, 200e6, 160e6, 32e6, 8e6, 1e6]  # all, then between positions
    assert {to_hex(bar.get_facecolor()) for bar in arithmetic.patches[:4]} == {"#ffffff"}
    assert attention.texts[0].get_text().strip() == "2.0 MiB"  # the baseline has none: no rise
    assert [label.get_text() for label in parameters.get_yticklabels()] == list(COSTS.index[1:])


def test_one_block_scales_as_the_equations_say():
    axes = figures.block_scaling(blocks()).axes[0]
    drawn = {text.get_text(): line.get_ydata() for text, line in zip(axes.texts, axes.lines, strict=True)}
    # From stage to stage N falls to a quarter and C doubles: C^2, N C^2, N^2 C, N^2.
    for name, factors in {
        "MACs of the projections (× 1)": [1, 1, 1, 1],
        "MACs between positions (÷ 512)": [1, 1 / 8, 1 / 64, 1 / 512],
        "attention map (÷ 4,096)": [1, 1 / 16, 1 / 256, 1 / 4096],
    }.items():
        assert drawn[name] == pytest.approx(factors)
    # Biases and normalisation grow with C only.
    assert drawn["parameters (× 64)"] == pytest.approx([1, 4, 16, 64], rel=0.02)
