"""Figures of attention: what stands in them, read back from the figure."""

import numpy as np
import pandas as pd
import pytest

from fer_lib.figures import attention as draw

POSITIONS = {"brow": (0.25, 0.25), "mouth": (0.75, 0.5)}


def table_of(**columns):
    rows = [
        {
            "variant": "resnet14v2-nl3", "block": "conv4_block1_non_local", "seed": seed, "state": state,
            "class": name, "images": 100, "distance": 10.0 + seed, "distance_sd": 2.0, "entropy": 0.5,
            "entropy_sd": 0.1, "response": 0.2, "uniform_distance": 20.0,
        }
        for seed in (0, 1) for state in ("untrained", "trained") for name in ("angry", "happy")
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


def test_maps_lie_on_the_faces_in_multiples_of_an_even_weight():
    images = np.zeros((3, 48, 48, 1), "uint8")
    maps = np.full((3, 2, 3, 3), 1 / 9)
    maps[1, 0] = 0
    maps[1, 0, 2, 0] = 1
    figure = draw.attention_maps(images, maps, POSITIONS, ["angry", "fear", "happy"])
    panels = np.array(figure.axes[:6]).reshape(2, 3)
    assert [axes.get_title() for axes in panels[0]] == ["angry", "fear", "happy"]
    assert [axes.get_ylabel() for axes in panels[:, 0]] == ["brow", "mouth"]
    face, weights = panels[0, 1].images
    assert face.get_array().shape == (48, 48)
    # All weight on one cell of nine is nine times an even weight; the scale ends at a factor of 16.
    assert weights.get_array()[2, 0] == pytest.approx(np.log2(9))
    assert (np.delete(weights.get_array().ravel(), 6) == -4).all() and weights.get_clim() == (-4, 4)
    assert panels[0, 0].images[1].get_array().ravel().tolist() == pytest.approx([0] * 9, abs=1e-9)
    assert weights.get_extent() == [-0.5, 47.5, 47.5, -0.5]
    assert np.ravel(panels[1, 0].lines[0].get_xdata())[0] == 0.5 * 48 - 0.5
    assert np.ravel(panels[1, 0].lines[0].get_ydata())[0] == 0.75 * 48 - 0.5


def test_blocks_by_distance_entropy_and_response():
    figure = draw.reach_by_block(table_of()[lambda rows: rows["class"] == "angry"])
    assert len(figure.axes) == 3
    values = [float(np.ravel(line.get_xdata())[0]) for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert values == [10, 10, 11, 11]
    bar = figure.axes[0].lines[0].get_xdata()
    assert np.ptp(bar) == pytest.approx(2 * 1.96 * 2 / 10)
    assert 20 in [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() != "o"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["stage 3, block 1"]


def test_open_dots_are_untrained():
    figure = draw.reach_by_class(table_of(), "entropy")
    faces = [line.get_markerfacecolor() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert faces.count("white") == 4 and len(faces) == 8


def test_several_stages_are_named():
    table = table_of(variant="resnet14v2-nl34")
    assert draw.reach_by_class(table).axes[0].get_title("left") == "stages 3-4,\nstage 3 block 1"
