"""Figures of the pairwise functions: what is drawn, read back from the figure."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from fer_lib.figures import pairwise as figures
from fer_lib.figures.style import PALETTE
from fer_lib.variants import PAIRWISE_LABELS

VARIANTS = ["resnet14v2", "resnet14v2-nl3", "resnet14v2-nl3-identity", "resnet14v2-nl3-dot_product"]
TABLE = pd.DataFrame(
    {
        "variant": VARIANTS,
        "accuracy": [0.60, 0.62, 0.59, 0.61],
        "ci_low": [0.58, 0.60, 0.57, 0.59],
        "ci_high": [0.62, 0.64, 0.61, 0.63],
        "trainable_parameters": [1e6, 2e6, 2e6, 2e6],
        "macs": [10e6, 14e6, 12e6, 13e6],
        "activation_bytes": [2**20] * 4,
    }
)


def test_the_diagram_has_each_function_and_the_control_meets_itself_only():
    panels = figures.pairwise_diagram().axes
    titles = [axes.get_title().replace("\n", " ") for axes in panels]
    assert sorted(titles) == sorted(PAIRWISE_LABELS.values())
    by_title = dict(zip(titles, panels, strict=True))
    for title, axes in by_title.items():
        colours = [to_hex(colour) for colour in axes.collections[0].get_facecolors()]
        met = colours.count(PALETTE["blue"])
        assert colours.count(PALETTE["orange"]) == 1 and met == (0 if title == PAIRWISE_LABELS["identity"] else 15)
        words = " ".join(text.get_text() for text in axes.texts)
        control = title == PAIRWISE_LABELS["identity"]
        assert len(axes.lines) == (0 if control else 16) and bool(met) != control
        assert ("softmax" in words) == ("Gaussian" in title)
        assert ("divided by N" in words) == (title in ("dot product", "concatenation", PAIRWISE_LABELS["uniform"]))
    # theta and phi are half as wide as x, about: 5 cells against 3.
    for title, cells in {"Gaussian": 5, "embedded Gaussian": 3, "concatenation": 3}.items():
        by_colour = {to_hex(text.get_color()): text.get_text() for text in by_title[title].texts}
        assert [by_colour[PALETTE[name]].count("■") for name in ("orange", "blue")] == [cells, cells]


def test_accuracy_against_cost():
    figure = figures.accuracy_against_cost(TABLE)
    labels = [axes.get_xlabel().split(",")[0] for axes in figure.axes]
    assert labels == ["parameters", "MACs", "activation memory"]
    by_parameters, by_macs, by_memory = (axes.collections[1].get_offsets() for axes in figure.axes)
    assert by_parameters[0, 0] == 1 and len(set(by_parameters[1:, 0])) == 3  # equal costs beside each other
    assert by_parameters[1:, 0].tolist() == pytest.approx([2.0, 2.03, 2.06])
    assert len(set(by_memory[:, 0])) == 4
    np.testing.assert_allclose(by_macs, np.column_stack([[10, 14, 12, 13], TABLE["accuracy"]]))
    intervals = [segment[:, 1].tolist() for segment in figure.axes[1].collections[0].get_segments()]
    np.testing.assert_allclose(intervals, TABLE[["ci_low", "ci_high"]])
    # The baseline beats the control in both.
    assert figure.axes[1].lines[0].get_xdata().tolist() == [10, 13, 14]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["baseline", "embedded Gaussian", "identity attention (control)", "dot product"]
