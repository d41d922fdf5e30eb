"""Figures of the pairwise functions: what stands in them, read back from the figure."""

import numpy as np
import pandas as pd
import pytest

from fer_lib.figures import pairwise
from fer_lib.figures.style import PAIRWISE_COLOURS, STAGE_COLOURS

VARIANTS = ["resnet14v2", "resnet14v2-nl3", "resnet14v2-nl3-none", "resnet14v2-nl3-dot_product"]
TABLE = pd.DataFrame(
    {
        "variant": VARIANTS,
        "mean": [0.60, 0.62, 0.59, 0.61],
        "low": [0.58, 0.60, 0.57, 0.59],
        "high": [0.62, 0.64, 0.61, 0.63],
        "trainable_parameters": [1e6, 2e6, 2e6, 2e6],
        "multiply_adds": [10e6, 14e6, 12e6, 13e6],
        "activation_bytes": [1e6, 1.2e6, 1.1e6, 1.2e6],
    }
)


def dots(axes):
    return [line for line in axes.lines if line.get_marker() == "o"]


def test_accuracy_against_cost():
    figure = pairwise.accuracy_against_cost(TABLE)
    assert [axes.get_xlabel().split(",")[0] for axes in figure.axes] == [
        "Parameters", "Multiply-adds", "Activations held",
    ]  # fmt: skip
    places = [float(np.ravel(dot.get_xdata())[0]) for dot in dots(figure.axes[0])]
    assert places[0] == 1 and len(set(places)) == 4  # equal costs stand beside each other
    assert np.mean(places[1:]) == pytest.approx(2)
    by_cost = dots(figure.axes[1])
    assert [float(np.ravel(dot.get_xdata())[0]) for dot in by_cost] == [10, 14, 12, 13]
    assert [float(np.ravel(dot.get_ydata())[0]) for dot in by_cost] == TABLE["mean"].tolist()
    front = figure.axes[1].lines[0]
    assert front.get_xdata().tolist() == [10, 13, 14]  # the control is beaten by the plain network
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["plain network", "embedded Gaussian", "no mixing (control)", "dot product"]


def test_differences_are_in_points_and_symmetric():
    comparison = pd.DataFrame(
        {"baseline": VARIANTS[2], "variant": VARIANTS[1:2], "difference": [0.02], "low": [-0.01], "high": [0.05]}
    )
    axes = pairwise.differences(comparison).axes[0]
    assert float(np.ravel(dots(axes)[0].get_xdata())[0]) == pytest.approx(2)
    assert axes.get_xlim() == pytest.approx((-5.5, 5.5))
    assert "no mixing" in axes.get_xlabel()


def test_placements_are_told_apart():
    table = TABLE.iloc[:2].assign(variant=["resnet26v2-nl3-gaussian", "resnet26v2-nl3-gaussian-before_last"])
    axes = pairwise.placements(table).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["stage 3, gaussian", "stage 3, gaussian, one block"]
    first, second = (dot.get_color() for dot in dots(axes))
    assert first == PAIRWISE_COLOURS["gaussian"].lower() != second


def test_the_plain_network_keeps_its_colour():
    assert pairwise.pairwise_colour("resnet50v2") == STAGE_COLOURS[()]
