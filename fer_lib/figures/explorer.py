"""The explorer of notebook 06 and of the report: point at a face and see what that position attends to."""

import base64
import html
import io
import json
import os

import numpy as np
from IPython.display import HTML, display
from PIL import Image

from fer_lib.analysis import attention, recorder
from fer_lib.display import network
from fer_lib.figures.attention import WIDEST, attention_maps, block_label, powers_of_two
from fer_lib.report.page import render
from fer_lib.training.loop import restore_classifier
from fer_lib.training.runs import WEIGHTS, read_run, run_folder

_MOST_WEIGHTS = 300_000  # that a page may hold


def explore(study, observed):
    """Show the first network's first face, which the report and JupyterLab let one touch.

    `observed`: list of `attention.Attention` of one seed. Where a run's weights are there, its attention is known
    from all positions of the faces, else from the three of `attention.POSITIONS`.
    """
    first, faces = observed[0], study.images_of(observed[0].images)
    maps = {network(one.variant): _maps_of(study, one, faces) for one in observed}
    per_face = sum(weights[0].size for blocks in maps.values() for _, weights in blocks.values())
    names = list(first.images["class"])[: max(1, _MOST_WEIGHTS // per_face)]
    touch = touch_data(faces, names, maps)
    study.show_figure(
        attention_maps(
            faces[:1], first.maps["trained", list(first.maps)[-1][1]][:1], attention.POSITIONS, names[:1]
        ),
        "6.4-explorer",
        f"What the explorer shows: one face and three positions of {network(first.variant)}. Point at "
        "the face in the report, or in JupyterLab, to choose for yourself.",
        "One face three times, each with the attention weights of another position.",
        question="attention",
        touch=touch,
    )
    if "JPY_SESSION_NAME" in os.environ:
        figure = f'<figure data-touch="{html.escape(json.dumps(touch))}"><div class="scroll"></div></figure>'
        page = html.escape(render("base.html.j2", title="Explorer", body=figure))
        display(HTML(f'<div><iframe title="Explorer" width="100%" height="660" srcdoc="{page}"></iframe></div>'))


def _maps_of(study, one, faces):
    """Return dict of a block's label -> (positions, weights), as `touch_data` takes them."""
    run = read_run(run_folder(study.folder, one.variant, one.seed))
    if not (run.folder / WEIGHTS).exists():
        places, trained = np.array(list(attention.POSITIONS.values())), one.maps.items()
        return {block_label(block): (places, maps) for (state, block), maps in trained if state == "trained"}
    parameters = study.parameters.model_copy(update={"precision": "float32"})
    every = recorder.all_maps(restore_classifier(parameters, run), faces, parameters.image_size)
    return {
        block_label(block): (recorder.centres(queries, 1.0), weights.reshape(*weights.shape[:2], *keys))
        for block, ((queries, keys), weights) in every.items()
    }


def touch_data(images: np.ndarray, names: list[str], networks: dict[str, dict[str, tuple]]) -> dict:
    """Return what the page's script draws, for JSON: `touch` in the words of a figure (`figures/<name>.json`).

    A weight is a byte: its logarithm relative to uniform attention, from a quarter (0) to four times (255).

    Args:
        images: uint8 `(faces, height, width, 1 or 3)`: generated faces or mean faces.
        names: a word for each face, or for the first of them, which alone are kept.
        networks: label of a network -> label of a block -> positions, float `(p, 2)`, (row, column) in parts of
            the side, and maps, float `(faces, p, key rows, key columns)`, each of which sums to 1, or to 0.
    """
    faces, found = [], []
    for name, image in zip(names, images, strict=False):
        Image.fromarray(image.squeeze()).save(buffer := io.BytesIO(), "PNG", optimize=True)
        faces.append({"name": name, "image": f"data:image/png;base64,{_base64(buffer.getvalue())}"})
    for label, blocks in networks.items():
        packed = []
        for name, (positions, maps) in blocks.items():
            weights = np.round((powers_of_two(maps[: len(names)]) / WIDEST + 1) / 2 * 255).astype("uint8")
            places = {"positions": np.round(positions, 4).tolist(), "keys": list(maps.shape[-2:])}
            packed.append({"name": name, **places, "maps": _base64(weights.tobytes())})
        found.append({"name": label, "blocks": packed})
    return {"faces": faces, "networks": found}


def _base64(content):
    return base64.b64encode(content).decode()
