"""The explorer of notebook 06: choose a network, a block and a face, click a position, see its attention."""

import functools
import os

import ipywidgets as widgets
import numpy as np
from IPython.display import display

from fer_lib.analysis import attention, recorder
from fer_lib.figures.attention import attention_maps, overlay
from fer_lib.figures.style import label_of
from fer_lib.report.touch import touch_data
from fer_lib.training.loop import restore_classifier
from fer_lib.training.runs import WEIGHTS, read_run, run_folder

_SIDE = 360  # pixels of the face's side
_MOST_WEIGHTS = 300_000  # that a page may hold


def explore(study, observed):
    """Show a figure of the first network's first face, which the report lets one touch; in JupyterLab widgets too.

    `observed`: list of `attention.Attention` of one seed. Where a run's weights are there, its attention is known
    from all positions of the faces, else from the three of `attention.POSITIONS`.
    """
    first, faces = observed[0], study.images_of(observed[0].images)
    maps = {label_of(one.variant): _maps_of(study, one, faces) for one in observed}
    blocks = [block for network in maps.values() for block in network.values()]
    shown = max(1, min(len(faces), _MOST_WEIGHTS // sum(weights[0].size for _, weights in blocks)))
    touch = touch_data(
        faces[:shown],
        list(first.images["class"][:shown]),
        {
            network: {block: (places, weights[:shown]) for block, (places, weights) in own.items()}
            for network, own in maps.items()
        },
    )
    weights = first.maps["trained", list(first.maps)[-1][1]][:1]
    study.show_figure(
        attention_maps(faces[:1], weights, attention.POSITIONS, first.images["class"][:1]),
        "6.4-explorer",
        f"What the explorer shows: one face and three positions of {label_of(first.variant)}. Run this notebook "
        "in JupyterLab to choose network, block, face and position yourself.",
        "One face three times, each with the attention weights of another position.",
        question="attention",
        touch=touch,
    )
    known = {
        network: own
        for network, own in maps.items()
        if all(len(places) > len(attention.POSITIONS) for places, _ in own.values())
    }
    if "JPY_SESSION_NAME" in os.environ and known:
        display(_Explorer(faces, list(first.images["class"]), known).box)


def _maps_of(study, one, faces):
    """Return dict of block -> (positions, weights), as `touch_data` takes them."""
    run = read_run(run_folder(study.folder, one.variant, one.seed))
    if not (run.folder / WEIGHTS).exists():
        places = np.array(list(attention.POSITIONS.values()))
        return {block: (places, maps) for (state, block), maps in one.maps.items() if state == "trained"}
    parameters = study.parameters.model_copy(update={"precision": "float32"})
    every = recorder.all_maps(restore_classifier(parameters, run), faces, parameters.image_size)
    return {
        block: (recorder.centres(queries, 1.0), weights.reshape(*weights.shape[:2], *keys))
        for block, ((queries, keys), weights) in every.items()
    }


class _Explorer:
    """Three lists, and the face under a grid of buttons, one per position."""

    def __init__(self, faces, names, maps):
        self.faces, self.maps, self.position = faces, maps, 0
        self.network = widgets.Dropdown(options=list(maps), description="Network")
        self.block = widgets.Dropdown(description="Block")
        self.face = widgets.Dropdown(options=[(name, row) for row, name in enumerate(names)], description="Face")
        side = {"width": f"{_SIDE}px", "height": f"{_SIDE}px"}
        self.picture = widgets.Image(format="png", layout=widgets.Layout(**side, margin="0"))
        self.grid = widgets.GridBox(layout=widgets.Layout(**side, margin=f"-{_SIDE}px 0 0 0", grid_gap="0"))
        words = "Click a position of the block's map. Orange: it attends there more than evenly; blue: less."
        lists = widgets.VBox([self.network, self.block, self.face, widgets.HTML(words)])
        self.box = widgets.HBox([widgets.VBox([self.picture, self.grid]), lists])
        self.network.observe(self._choose_network, "value")
        self.block.observe(self._choose_block, "value")
        self.face.observe(self._draw, "value")
        self._choose_network()

    def _choose_network(self, change=None):
        self.block.options = list(self.maps[self.network.value])
        self._choose_block()  # the block of another network may have the same name

    def _choose_block(self, change=None):
        places, _ = self.maps[self.network.value][self.block.value]
        rows, columns = (np.unique(axis, return_inverse=True)[1] for axis in np.transpose(places))
        height, width = rows.max() + 1, columns.max() + 1
        self.grid.layout.grid_template_columns = f"repeat({width}, {100 / width}%)"
        self.grid.layout.grid_template_rows = f"repeat({height}, {100 / height}%)"
        buttons = []
        for number, (row, column) in enumerate(zip(rows, columns, strict=True)):
            look = {"width": "100%", "height": "100%", "margin": "0", "grid_area": f"{row + 1} / {column + 1}"}
            name = f"row {row + 1} of {height}, column {column + 1} of {width}"
            button = widgets.Button(
                layout=widgets.Layout(**look), style={"button_color": "transparent"}, tooltip=name
            )
            button.on_click(functools.partial(self._choose_position, number))
            buttons.append(button)
        self.grid.children = buttons
        self._choose_position(len(buttons) // 2)

    def _choose_position(self, number, button=None):
        self.position = number
        for place, button in enumerate(self.grid.children):
            button.layout.border = "3px solid #262626" if place == number else "1px solid #ffffff80"
        self._draw()

    def _draw(self, change=None):
        _, weights = self.maps[self.network.value][self.block.value]
        face = self.face.value
        self.picture.value = overlay(self.faces[face], weights[face, self.position], _SIDE)
