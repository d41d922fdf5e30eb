"""Attention to touch: what a figure's words hold of the maps, read back by hand."""

import base64
import io

import numpy as np
from PIL import Image

from fer_lib.report.touch import touch_data

# One face, two positions, 2 x 2 keys: all weight on one key; uniform attention.
MAPS = np.array([[[[0.0, 1.0], [0.0, 0.0]], [[0.25, 0.25], [0.25, 0.25]]]])
POSITIONS = np.array([[0.25, 0.25], [0.75, 0.25]])


def test_a_weight_becomes_a_byte_from_a_quarter_to_four_times_uniform():
    faces = np.full((1, 4, 6, 1), 200, "uint8")
    found = touch_data(faces, ["happy"], {"stage 1": {"block 1": (POSITIONS, MAPS)}})
    (network,), (face,) = found["networks"], found["faces"]
    block = network["blocks"][0]
    # Four times uniform is 255, nothing is 0, uniform is the middle (127.5, to the even number).
    assert list(base64.b64decode(block["maps"])) == [0, 255, 0, 0, 128, 128, 128, 128]
    assert block["keys"] == [2, 2] and block["positions"] == [[0.25, 0.25], [0.75, 0.25]]
    with Image.open(io.BytesIO(base64.b64decode(face["image"].partition(",")[2]))) as image:
        assert image.size == (6, 4) and image.getpixel((0, 0)) == 200
