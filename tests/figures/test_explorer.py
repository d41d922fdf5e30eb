"""The explorer of notebook 06: what its lists and buttons show."""

import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("keras")
from fer_lib.figures.explorer import _SIDE, Explorer


@pytest.fixture
def explorer():
    """Two faces; stage 1 with 2 x 3 positions that attend to themselves, stage 4 with a single uniform map."""
    places = np.array([(row, column) for row in (0.25, 0.75) for column in (1 / 6, 0.5, 5 / 6)])
    own = np.broadcast_to(np.eye(6).reshape(6, 2, 3), (2, 6, 2, 3))
    even = np.full((2, 4, 2, 2), 0.25)
    maps = {
        "stage 1": {"stage 1, block 1": (places, own), "stage 1, block 2": (places, own)},
        "stage 4": {"stage 4, block 1": (np.array([(r, c) for r in (0.25, 0.75) for c in (0.25, 0.75)]), even)},
    }
    return Explorer(np.full((2, 8, 8, 1), 128, "uint8"), ["happy", "$x$"], maps)


def picture(explorer):
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value)))


def test_the_grid_lies_on_the_square_face_and_its_buttons_have_names(explorer):
    assert picture(explorer).shape == (_SIDE, _SIDE, 3)
    assert explorer.grid.layout.margin == f"-{_SIDE}px 0 0 0" and explorer.grid.layout.width == f"{_SIDE}px"
    names = [button.tooltip for button in explorer.grid.children]
    assert len(names) == 6 and names[4] == "row 2 of 2, column 2 of 3"


def test_a_click_marks_its_cell_and_shows_where_it_attends(explorer):
    explorer.grid.children[0].click()
    marked = [button.tooltip for button in explorer.grid.children if button.layout.border_top.startswith("3px")]
    assert marked == ["row 1 of 2, column 1 of 3"]
    upper_left, lower_right = picture(explorer)[40, 20].astype(int), picture(explorer)[-40, -20].astype(int)
    assert upper_left[0] > upper_left[2] and lower_right[0] < lower_right[2]  # orange more, blue less


def test_another_network_brings_its_blocks_and_its_own_grid(explorer):
    explorer.network.value = "stage 4"
    assert list(explorer.block.options) == ["stage 4, block 1"] and len(explorer.grid.children) == 4
    assert (picture(explorer) == 128).all()  # uniform
