"""Figures of the pairwise functions: what is drawn, read back from the figure."""

import pandas as pd
from matplotlib.colors import to_hex

from fer_lib.figures import pairwise as figures
from fer_lib.figures.style import PALETTE
from fer_lib.variants import PAIRWISE_LABELS

VARIANTS = ["resnet14v2", "resnet14v2-nl3", "resnet14v2-nl3-identity", "resnet14v2-nl3-dot_product"]
TABLE = pd.DataFrame(
    {
        "variant": VARIANTS, "accuracy": [0.60, 0.62, 0.59, 0.61], "ci_low": [0.58, 0.60, 0.57, 0.59],
        "ci_high": [0.62, 0.64, 0.61, 0.63], "trainable_parameters": [1e6, 2e6, 2e6, 2e6],
        "macs": [10e6, 14e6, 12e6, 13e6], "activation_bytes": [2**20] * 4,
    }
)  # fmt: skip


def test_the_diagram_has_each_function_and_the_control_meets_itself_only():
    panels = figures.pairwise_diagram().axes
    assert sorted(axes.get_title().replace("\n", " ") for axes in panels) == sorted(PAIRWISE_LABELS.values())
    for axes in panels:
        colours = [to_hex(colour) for colour in axes.collections[0].get_facecolors()]
        assert colours.count(PALETTE["orange"]) == 1
        assert colours.count(PALETTE["blue"]) == (0 if "identity" in axes.get_title() else 15)
        assert "softmax" in axes.texts[-1].get_text() or "Gaussian" not in axes.get_title()


def test_accuracy_and_cost_are_a_row_per_network_and_equal_costs_equal_bars():
    accuracy, parameters, macs, memory = figures.accuracy_and_cost(TABLE).axes
    assert [line.get_xdata()[0] for line in accuracy.lines[1::2]] == TABLE["accuracy"].tolist()
    drawn = [list(line.get_xdata()) for line in accuracy.lines[::2]]
    assert drawn == TABLE[["ci_low", "ci_high"]].to_numpy().tolist()
    assert [bar.get_width() for bar in parameters.patches] == [1e6, 2e6, 2e6, 2e6]
    assert [text.get_text() for text in macs.texts] == ["10.0 M", "14.0 M", "12.0 M", "13.0 M"]
    assert [text.get_text() for text in memory.texts] == ["1.0 MiB"] * 4
    # The baseline has fewer MACs and a higher accuracy than the control.
    names = {label.get_text(): label.get_fontweight() for label in accuracy.get_yticklabels()}
    assert [name for name in names if names[name] != "bold"] == ["stage 3, identity attention (control)"]
