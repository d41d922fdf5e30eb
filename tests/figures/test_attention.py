"""Figures of attention: what is drawn, read back from the figure."""

import numpy as np
import pandas as pd
import pytest

from fer_lib.figures import attention as figures

POSITIONS = {"brow": (0.25, 0.25), "mouth": (0.75, 0.5)}


BLOCKS = pd.DataFrame(
    {
        "variant": ["resnet14v2-nl3", "resnet14v2-nl34"], "block": "conv4_block1_non_local",
        "uniform_distance": 20.0,
        "distance": [10.0, 12.0], "distance_low": [9.0, 12.0], "distance_high": [11.0, 13.0],
        "entropy": [0.5, 0.001], "entropy_low": [0.4, 0.001], "entropy_high": [0.6, 0.001],
        "update": [0.01, 400.0], "update_q1": [0.005, 300.0], "update_q3": [0.02, 4000.0],
    }
)  # fmt: skip


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


def test_blocks_by_distance_entropy_and_update_norm():
    distance, entropy, update = figures.attention_by_block(BLOCKS).axes
    for axes, columns in zip((distance, entropy, update), figures.MEASURES.values(), strict=True):
        intervals, markers = axes.lines[::2], axes.lines[1::2]
        assert [line.get_xdata()[0] for line in markers] == BLOCKS[columns[0]].tolist()
        assert [tuple(line.get_xdata()) for line in intervals] == list(
            zip(*BLOCKS[columns[1:]].T.to_numpy(), strict=True)
        )
    assert distance.collections[0].get_segments()[0][0, 0] == 20  # of uniform attention
    labels = [label.get_text() for label in distance.get_yticklabels()]
    assert labels == ["stage 3, block 1", "stages 3-4, stage 3, block 1"]
    assert update.get_xscale() == "log" and not any("$" in text.get_text() for text in update.get_xticklabels())
    assert all(axes.get_xlim()[0] < 0 for axes in (distance, entropy))
