"""What a notebook keeps of a figure."""

import json

import numpy as np
import PIL.Image
import pytest
from matplotlib.figure import Figure

from fer_lib.execution.study import Study
from fer_lib.parameters import Parameters

NOISE = np.random.default_rng(0)


def grey(axes):
    axes.imshow(NOISE.integers(256, size=(40, 40)), cmap="gray")


def lines(axes):
    for colour in ("#0072b2", "#d55e00", "#009e73"):
        axes.plot(NOISE.random(50), color=colour)


def photograph(axes):
    axes.imshow(NOISE.integers(256, size=(80, 80, 3), dtype="uint8"), interpolation="nearest")


@pytest.mark.parametrize(
    ("draw", "mode", "mean_difference"),
    [(grey, "L", 0), (lines, "P", 0.5), (photograph, "RGB", 0)],
)
def test_a_figure_is_kept_in_few_bytes_and_looks_the_same(tmp_path, capsys, draw, mode, mean_difference):
    figure = Figure(figsize=(3, 3))
    draw(figure.subplots())
    figure.savefig(tmp_path / "plain.png", dpi=144, bbox_inches="tight", facecolor="white")
    Study(Parameters(), tmp_path).show_figure(figure, name="1.1-test", caption="What it is.", alt="What is seen.")

    kept = tmp_path / "figures" / "1.1-test.png"
    with PIL.Image.open(kept) as picture, PIL.Image.open(tmp_path / "plain.png") as plain:
        assert picture.mode == mode
        found, expected = (np.asarray(image.convert("RGB"), dtype="int16") for image in (picture, plain))
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() <= mean_difference
    assert kept.stat().st_size < (tmp_path / "plain.png").stat().st_size
    assert json.loads(kept.with_suffix(".json").read_text()) == {"caption": "What it is.", "alt": "What is seen."}
