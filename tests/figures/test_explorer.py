"""The explorer: what a figure's words hold of the maps, and the page that JupyterLab shows."""

import base64
import html
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

pytest.importorskip("keras")
from fer_lib.figures import explorer

# Two faces, three positions, 2 x 2 keys: all weight on one key; uniform attention; none.
MAPS = np.zeros((2, 3, 2, 2))
MAPS[:, 0, 0, 1] = 1
MAPS[:, 1] = 0.25
FACES = np.full((2, 4, 6, 1), 200, "uint8")


def test_a_weight_becomes_a_byte_from_a_quarter_to_four_times_uniform():
    places = np.array([[0.25, 0.25], [0.75, 0.25], [0.5, 0.5]])
    found = explorer.touch_data(FACES, ["happy"], {"stage 1": {"block 1": (places, MAPS)}})
    (network,), (face,) = found["networks"], found["faces"]
    block = network["blocks"][0]
    # Four times uniform is 255, nothing is 0, uniform is the middle (127.5, to the even number).
    assert list(base64.b64decode(block["maps"])) == [0, 255, 0, 0, 128, 128, 128, 128, 0, 0, 0, 0]
    assert block["keys"] == [2, 2] and block["positions"] == places.tolist()
    with Image.open(io.BytesIO(base64.b64decode(face["image"].partition(",")[2]))) as image:
        assert image.size == (6, 4) and image.getpixel((0, 0)) == 200


def test_of_a_run_without_weights_three_positions_can_be_touched_in_jupyterlab_too(tmp_path, monkeypatch):
    shown, displayed = [], []
    monkeypatch.setenv("JPY_SESSION_NAME", "a notebook")
    monkeypatch.setattr(explorer, "display", displayed.append)
    monkeypatch.setattr(explorer, "read_run", lambda folder: SimpleNamespace(folder=folder))
    study = SimpleNamespace(
        folder=tmp_path, images_of=lambda chosen: FACES, show_figure=lambda *_, **words: shown.append(words)
    )
    images = pd.DataFrame({"class": ["happy", "<b>"], "id": ["a", "b"]})
    maps = {("untrained", "conv2_block1_non_local"): 0 * MAPS, ("trained", "conv2_block1_non_local"): MAPS}
    one = SimpleNamespace(variant="resnet14v2-nl1", seed=0, images=images, maps=maps)
    explorer.explore(study, [one])
    touch = shown[0]["touch"]
    assert [face["name"] for face in touch["faces"]] == ["happy", "<b>"]
    assert touch["networks"][0]["name"] == "stage 1"
    assert touch["networks"][0]["blocks"][0]["positions"] == [[0.29, 0.32], [0.39, 0.32], [0.77, 0.5]]
    page = html.unescape(re.search('srcdoc="([^"]+)"', displayed[0].data)[1])
    assert json.loads(html.unescape(re.search('data-touch="([^"]+)"', page)[1])) == touch
    assert "Content-Security-Policy" in page and "function touch(figure)" in page
