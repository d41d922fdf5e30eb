"""Figures of costs: bars and points are the numbers handed over, and the words beside them say the same."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fer_lib.figures import complexity as figures
from fer_lib.figures.style import PAIRWISE_COLOURS, PALETTE, variant_colours

# The paper's network: plain, and with blocks after every bottleneck of one stage; parameters as published or as
# in the formula blocks * (2 C^2 + 3.5 C), the other numbers round ones.
COSTS = pd.DataFrame(
    {
        "trainable_parameters": [23_527_431, 23_923_335, 25_631_751, 36_131_847, 48_714_759],
        "multiply_adds": [600e6, 900e6, 880e6, 1000e6, 800e6],
        "attention_multiply_adds": [0, 160e6, 32e6, 8e6, 1e6],
        "attention_bytes": [0, 2 * 1024**2, 256 * 1024, 32 * 1024, 972],
        "activation_bytes": [12e6, 20e6, 16e6, 15e6, 13e6],
    },
    index=pd.Index(["plain", "stage 1", "stage 2", "stage 3", "stage 4"], name="variant"),
)
COSTS = COSTS.join((COSTS - COSTS.iloc[0]).add_prefix("added_"))


@pytest.fixture(scope="module")
def blocks():
    """One block at the paper's four maps of 96 px, counted by the equations: N positions, C channels."""
    rows = []
    for stage, (side, channels) in enumerate([(24, 256), (12, 512), (6, 1024), (3, 2048)], start=1):
        positions = side**2
        rows.append(
            {
                "image_size": 96,
                "stage": stage,
                "pairwise": "embedded_gaussian",
                "trainable_parameters": 2 * channels**2 + 3.5 * channels,
                "projection_multiply_adds": 2 * positions * channels**2,
                "attention_multiply_adds": positions**2 * channels,
                "multiply_adds": 2 * positions * channels**2 + positions**2 * channels,
                "attention_bytes": 4 * positions**2,
            }
        )
    return pd.DataFrame(rows)


def words(axes):
    return [text.get_text().strip() for text in axes.texts]


@pytest.mark.parametrize(
    "number, measure, expected",
    [
        (972, "attention_bytes", "972 B"),
        (2.5 * 1024**2, "attention_bytes", "2.5 MiB"),
        (1024**2 - 1, "activation_bytes", "1,024 KiB"),
        (3 * 1024**3, "attention_bytes", "3.0 GiB"),
        (25_187_328, "trainable_parameters", "25.2 M"),
        (395_904, "trainable_parameters", "396 k"),
        (0, "multiply_adds", "0"),
    ],
)
def test_amounts_in_words(number, measure, expected):
    assert figures.amount(number, measure) == expected


def test_added_costs_of_the_stages_in_numbers_and_words():
    figure = figures.added_by_stage(COSTS)
    parameters, arithmetic, attention, _ = figure.axes
    assert [bar.get_width() for bar in parameters.patches] == [395_904, 2_104_320, 12_604_416, 25_187_328]
    assert words(parameters) == ["396 k (+2%)", "2.1 M (+9%)", "12.6 M (+54%)", "25.2 M (+107%)"]
    widths = [bar.get_width() for bar in arithmetic.patches]
    assert widths[:4] == [300e6, 280e6, 400e6, 200e6]  # all that is added
    assert widths[4:] == [160e6, 32e6, 8e6, 1e6]  # of it, between positions
    assert words(attention) == ["2.0 MiB", "256 KiB", "32.0 KiB", "972 B"]  # plain has none: no rise to name
    assert [label.get_text() for label in parameters.get_yticklabels()] == list(COSTS.index[1:])
    assert parameters.get_ylim()[0] > parameters.get_ylim()[1]  # stage 1 on top


def test_one_block_scales_as_the_equations_say(blocks):
    axes = figures.block_scaling(blocks).axes[0]
    last = {text.get_text(): line.get_ydata() for text, line in zip(axes.texts, axes.lines, strict=True)}
    # From stage to stage N falls to a quarter and C doubles: C^2, N C^2, N^2 C, N^2.
    for name, factors in {
        "multiply-adds of the projections (× 1)": [1, 1, 1, 1],
        "multiply-adds between positions (÷ 512)": [1, 1 / 8, 1 / 64, 1 / 512],
        "attention map (÷ 4,096)": [1, 1 / 16, 1 / 256, 1 / 4096],
    }.items():
        assert last[name] == pytest.approx(factors)
    parameters = next(values for name, values in last.items() if name.startswith("parameters"))
    assert parameters == pytest.approx([1, 4, 16, 64], rel=0.02)  # biases and normalisation grow with C only


def test_attention_against_size_shows_shares_and_batches(blocks):
    larger = blocks.assign(image_size=192, attention_bytes=blocks["attention_bytes"] * 16)
    figure = figures.attention_against_size(pd.concat([blocks, larger]), batch_size=64)
    share, memory = figure.axes
    first = blocks.iloc[0]
    assert share.lines[0].get_ydata()[0] == pytest.approx(576 / (576 + 2 * 256))  # N / (N + 2 C)
    assert memory.lines[0].get_ydata() == pytest.approx(64 * first["attention_bytes"] / 2**20 * np.array([1, 16]))
    assert words(memory) == ["stage 1", "stage 2", "stage 3", "stage 4"]


def test_pairwise_functions_have_a_panel_a_stage_and_their_colours():
    table = pd.DataFrame(
        [
            {"stage": stage, "pairwise": name, "multiply_adds": 1e6 * stage * (index + 1)}
            for stage in (1, 3)
            for index, name in enumerate(PAIRWISE_COLOURS)
        ]
    )
    figure = figures.pairwise_costs(table, "multiply_adds", "Multiply-adds")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["stage 1", "stage 3"]
    assert [bar.get_width() for bar in figure.axes[1].patches] == [3e6, 6e6, 9e6, 12e6, 15e6]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()  # lengths can be compared across panels
    assert [to_hex(bar.get_facecolor()) for bar in figure.axes[0].patches] == [
        colour.lower() for colour in PAIRWISE_COLOURS.values()
    ]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][-1] == "no mixing"


def test_layers_stand_in_order_and_blocks_in_their_colour():
    kinds = ["Conv2D", "Conv2D", "NonLocal2D", "Conv2D", "NonLocal2D", "Dense"]
    table = pd.DataFrame(
        {
            "type": kinds,
            "stage": pd.Series([0, 1, 1, 2, 2, "head"], dtype=object),
            "multiply_adds": np.array([5, 1, 3, 2, 4, 0]) * 1e6,
            "activation_bytes": np.arange(6) * 2**20,
        }
    )
    arithmetic, memory = figures.layer_profile(table).axes
    assert [bar.get_height() for bar in arithmetic.patches] == [5, 1, 3, 2, 4, 0]
    assert [bar.get_height() for bar in memory.patches] == [0, 1, 2, 3, 4, 5]
    blocks = [to_hex(bar.get_facecolor()) == PALETTE["vermilion"].lower() for bar in memory.patches]
    assert blocks == [kind == "NonLocal2D" for kind in kinds]
    named = dict(zip(memory.get_xticks(), [label.get_text() for label in memory.get_xticklabels()], strict=True))
    assert named == {1.5: "stage 1", 3.5: "stage 2"}


def test_times_are_dots_and_their_median():
    names = ["resnet14v2", "resnet14v2-nl1"]
    rounds = [(1.0, 10.0), (1.2, 30.0), (5.0, 12.0)]
    times = pd.DataFrame(
        [
            {"variant": name, "inference_ms": inference * factor, "training_ms": training * factor}
            for factor, name in enumerate(names, start=1)
            for inference, training in rounds
        ]
    )
    figure = figures.measured_times(times)
    inference, training = figure.axes
    assert words(inference) == ["1.20", "2.40"] and words(training) == ["12.00", "24.00"]
    assert inference.lines[0].get_xdata().tolist() == [1.0, 1.2, 5.0]
    assert inference.lines[0].get_color() == variant_colours(names)["resnet14v2"]
    assert [label.get_text() for label in inference.get_yticklabels()] == ["plain", "stage 1"]
