"""Figures of attention: what is drawn, read back from the figure."""

import numpy as np
import pandas as pd
import pytest

from fer_lib.figures import attention as figures

POSITIONS = {"brow": (0.25, 0.25), "mouth": (0.75, 0.5)}


def table_of(**columns):
    rows = [
        {
            "variant": "resnet14v2-nl3", "block": "conv4_block1_non_local", "seed": seed, "state": state,
            "class": name, "images": 100, "distance": 10.0 + seed, "distance_sd": 2.0, "entropy": 0.5,
            "entropy_sd": 0.1, "relative_update": 0.2, "uniform_distance": 20.0,
        }
        for seed in (0, 1) for state in ("untrained", "trained")
        for name in ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**columns)


def markers(axes):
    return [line for line in axes.lines if line.get_marker() == "o"]


def test_maps_lie_smoothly_on_the_images_relative_to_uniform():
    images = np.zeros((3, 48, 48, 1), "uint8")
    maps = np.full((3, 2, 3, 3), 1 / 9)
    maps[1, 0] = 0.75 / 9
    maps[1, 0, 2, 0] = 3 / 9
    maps[2, 1] = 0
    maps[2, 1, 0, 0] = 1
    figure = figures.attention_maps(images, maps, POSITIONS, ["angry", "fear", "happy"])
    panels = np.array(figure.axes[:6]).reshape(2, 3)
    assert [axes.get_title() for axes in panels[0]] == ["angry", "fear", "happy"]
    assert [axes.get_ylabel() for axes in panels[:, 0]] == ["brow", "mouth"]
    face, weights = panels[0, 1].images
    assert face.get_array().shape == (48, 48) and weights.get_interpolation() == "bicubic"
    assert weights.get_array()[2, 0] == pytest.approx(np.log2(3))
    np.testing.assert_allclose(np.delete(weights.get_array().filled().ravel(), 6), np.log2(0.75))
    # All weight on one of nine is nine times uniform, and the scale of all figures ends at 4 and 1/4.
    assert panels[1, 2].images[1].get_array().ravel().tolist() == [2, *[-2] * 8]
    assert {axes.images[1].get_clim() for axes in panels.flat} == {(-2, 2)}
    assert [label.get_text() for label in figure.axes[6].get_yticklabels()][::2] == ["≤ 1/4", "1", "≥ 4"]
    assert weights.get_extent() == [-0.5, 47.5, 47.5, -0.5]
    ring = panels[1, 0].lines[0]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (0.5 * 48 - 0.5, 0.75 * 48 - 0.5)


def test_one_image_and_position_make_one_overlay():
    maps = np.full((1, 1, 2, 2), 0.25)
    figure = figures.attention_maps(np.zeros((1, 48, 48, 3), "uint8"), maps, {"": (0.5, 0.5)}, ["sad"])
    assert figure.axes[0].images[0].get_array().shape == (48, 48, 3) and len(figure.axes) == 2


def test_blocks_by_distance_entropy_and_update_norm():
    figure = figures.attention_by_block(table_of()[lambda rows: rows["class"] == "angry"])
    assert len(figure.axes) == 3
    assert [line.get_xdata()[0] for line in markers(figure.axes[0])] == [10, 11, 10, 11]
    assert [line.get_markerfacecolor() == "white" for line in markers(figure.axes[0])] == [True] * 2 + [False] * 2
    assert np.ptp(figure.axes[0].lines[0].get_xdata()) == pytest.approx(2 * 1.96 * 2 / 10)
    assert figure.axes[0].collections[0].get_segments()[0][0, 0] == 20  # of uniform attention
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["stage 3, block 1"]
    assert figure.axes[2].get_xscale() == "linear"
    far = figures.attention_by_block(table_of(relative_update=4000.0)[lambda rows: rows["class"] == "angry"])
    assert far.axes[2].get_xscale() == "symlog"


def test_classes_are_columns_of_trained_means_over_seeds():
    table = table_of(variant="resnet14v2-nl34")
    table.loc[table["state"] == "untrained", "distance"] = 99.0
    table.loc[(table["class"] == "sad") & (table["seed"] == 1), "distance"] = 20.0
    axes = figures.attention_by_class(table).axes[0]
    assert [text.get_text() for text in axes.texts] == ["10.5"] * 5 + ["15.0", "10.5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["stages 3-4, stage 3 block 1"]
    entropies = figures.attention_by_class(table, "entropy").axes[0]
    assert entropies.texts[0].get_text() == "0.50"
