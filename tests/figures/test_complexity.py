"""Figures of costs: bars and points are the numbers handed over, and the words beside them say the same."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fer_lib.figures import complexity as figures
from fer_lib.figures.style import PALETTE
from fer_lib.variants import PAIRWISE_LABELS

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


@pytest.fixture(scope="module")
def blocks():
    """One block at the paper's four maps of 96 px, counted by the equations: N positions, C channels."""
    table = pd.DataFrame(
        {"image_size": 96, "stage": [1, 2, 3, 4], "N": [576, 144, 36, 9], "C": [256, 512, 1024, 2048]}
    )
    table["trainable_parameters"] = 2 * table["C"] ** 2 + 3.5 * table["C"]
    table["projection_macs"] = 2 * table["N"] * table["C"] ** 2
    table["attention_macs"] = table["N"] ** 2 * table["C"]
    table["macs"] = table["projection_macs"] + table["attention_macs"]
    return table.assign(attention_bytes=4 * table["N"] ** 2)


def words(axes):
    return [text.get_text().strip() for text in axes.texts]


@pytest.mark.parametrize(
    "number, measure, expected",
    [
        (972, "attention_bytes", "972 B"),
        (1024, "attention_bytes", "1.0 KiB"),
        (2.5 * 1024**2, "attention_bytes", "2.5 MiB"),
        (1024**2 - 1, "activation_bytes", "1,024 KiB"),
        (3 * 1024**3, "attention_bytes", "3.0 GiB"),
        (25_187_328, "trainable_parameters", "25.2 M"),
        (395_904, "trainable_parameters", "396 k"),
        (1_000, "trainable_parameters", "1.0 k"),
        (0, "macs", "0"),
    ],
)
def test_amounts_in_words(number, measure, expected):
    assert figures.amount(number, measure) == expected


def test_added_costs_of_the_stages_in_numbers_and_words():
    parameters, arithmetic, attention, _ = figures.added_by_stage(COSTS).axes
    assert [bar.get_width() for bar in parameters.patches] == [395_904, 2_104_320, 12_604_416, 25_187_328]
    assert words(parameters) == ["396 k (+2 %)", "2.1 M (+9 %)", "12.6 M (+54 %)", "25.2 M (+107 %)"]
    widths = [bar.get_width() for bar in arithmetic.patches]
    assert widths == [300e6, 280e6, 400e6, 200e6, 160e6, 32e6, 8e6, 1e6]  # all, then between positions
    assert {to_hex(bar.get_facecolor()) for bar in arithmetic.patches[:4]} == {"#ffffff"}
    assert words(attention) == ["2.0 MiB", "256 KiB", "32.0 KiB", "972 B"]  # the baseline has none: no rise
    assert [label.get_text() for label in parameters.get_yticklabels()] == list(COSTS.index[1:])
    assert parameters.get_ylim()[0] > parameters.get_ylim()[1]  # stage 1 on top


def test_one_block_scales_as_the_equations_say(blocks):
    axes = figures.block_scaling(blocks).axes[0]
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


def test_attention_against_size_shows_shares_and_batches(blocks):
    larger = blocks.assign(image_size=192, attention_bytes=blocks["attention_bytes"] * 16)
    share, memory = figures.attention_against_size(pd.concat([blocks, larger], ignore_index=True), 64).axes
    assert share.lines[0].get_ydata()[0] == pytest.approx(576 / (576 + 2 * 256))  # N / (N + 2 C)
    assert memory.lines[0].get_ydata() == pytest.approx(64 * 4 * 576**2 / 2**20 * np.array([1, 16]))
    assert [text.get_text() for text in share.get_legend().get_texts()] == ["1", "2", "3", "4"]


def test_pairwise_functions_are_rows_and_stages_columns():
    table = pd.DataFrame(
        {"stage": stage, "pairwise": name, "macs": 1e6 * stage * (index + 1)}
        for stage in (1, 3) for index, name in enumerate(reversed(PAIRWISE_LABELS))
    )  # fmt: skip
    axes = figures.pairwise_costs(table, "macs").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(PAIRWISE_LABELS.values())
    assert [label.get_text() for label in axes.get_xticklabels()] == ["stage 1", "stage 3"]
    assert words(axes)[:2] == ["5.0 M", "15.0 M"] and words(axes)[-2:] == ["1.0 M", "3.0 M"]


def test_layers_stand_in_order_and_blocks_are_orange():
    kinds = ["Conv2D", "Conv2D", "NonLocal2D", "Conv2D", "NonLocal2D", "Dense"]
    stages = pd.Series([0, 1, 1, 2, 2, "head"], dtype=object)
    table = pd.DataFrame({"type": kinds, "stage": stages, "macs": np.array([5, 1, 3, 2, 4, 0]) * 1e6})
    arithmetic, memory = figures.layer_profile(table.assign(activation_bytes=np.arange(6) * 2**20)).axes
    assert [bar.get_height() for bar in arithmetic.patches] == [5, 1, 3, 2, 4, 0]
    assert [bar.get_height() for bar in memory.patches] == [0, 1, 2, 3, 4, 5]
    blocks = [to_hex(bar.get_facecolor()) == PALETTE["orange"] for bar in memory.patches]
    assert blocks == [kind == "NonLocal2D" for kind in kinds]
    named = dict(zip(memory.get_xticks(), [label.get_text() for label in memory.get_xticklabels()], strict=True))
    assert named == {1: "stage 1", 3: "stage 2", 5: ""}


def test_times_are_medians_and_ranges_of_the_rounds():
    times = pd.DataFrame(
        {"variant": name, "inference_ms": inference * factor, "training_ms": training * factor}
        for factor, name in enumerate(["resnet14v2", "resnet14v2-nl1"], start=1)
        for inference, training in [(1.0, 10.0), (1.2, 30.0), (5.0, 12.0)]
    )
    axes = figures.measured_times(times).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["baseline", "stage 1"]
    ranges = [
        tuple(line.get_xdata())
        for line in axes.lines
        if len(line.get_xdata()) == 2 and line.get_linestyle() != "None"
    ]
    assert {(1.0, 5.0), (2.0, 10.0), (10.0, 30.0), (20.0, 60.0)} <= set(ranges)
    drawn = {tuple(line.get_xdata()) for line in axes.lines}
    assert {(1.2, 2.4), (12.0, 24.0)} <= drawn
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["inference", "training"]
