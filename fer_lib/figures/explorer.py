"""The explorer of notebook 06: choose a network, a block and a face, click a position, see its attention."""

import functools
import os

import ipywidgets as widgets
import numpy as np
from IPython.display import display

from fer_lib.analysis import attention, recorder
from fer_lib.figures.attention import attention_maps, block_label, overlay
from fer_lib.figures.style import label_of
from fer_lib.report.touch import touch_data
from fer_lib.training.loop import restore_classifier
from fer_lib.training.runs import WEIGHTS, read_run, run_folder

_SIDE = 360  # pixels of the face's side
_MOST_WEIGHTS = 300_000  # that a page may hold


def explore(study, observed):
    """Show the first network's first face, which the report lets one touch, and in JupyterLab the explorer below.

    `observed`: list of `attention.Attention` of one seed. Where a run's weights are there, its attention is known
    from all positions of the faces, else from the three of `attention.POSITIONS`.
    """
    first, faces = observed[0], study.images_of(observed[0].images)
    names, maps = (
        list(first.images["class"]),
        {label_of(one.variant): _maps_of(study, one, faces) for one in observed},
    )
    per_face = sum(weights[0].size for network in maps.values() for _, weights in network.values())
    kept = slice(max(1, _MOST_WEIGHTS // per_face))
    touched = {
        network: {block: (places, weights[kept]) for block, (places, weights) in own.items()}
        for network, own in maps.items()
    }
    study.show_figure(
        attention_maps(
            faces[:1], first.maps["trained", list(first.maps)[-1][1]][:1], attention.POSITIONS, names[:1]
        ),
        "6.4-explorer",
        f"What the explorer shows: one face and three positions of {label_of(first.variant)}. Run this notebook "
        "in JupyterLab to choose for yourself.",
        "One face three times, each with the attention weights of another position.",
        question="attention",
        touch=touch_data(faces[kept], names[kept], touched),
    )
    known = [all(len(places) > len(attention.POSITIONS) for places, _ in own.values()) for own in maps.values()]
    if "JPY_SESSION_NAME" in os.environ and all(known):
        display(Explorer(faces, names, maps).box)


def _maps_of(study, one, faces):
    """Return dict of a block's label -> (positions, weights), as `touch_data` takes them."""
    run = read_run(run_folder(study.folder, one.variant, one.seed))
    if not (run.folder / WEIGHTS).exists():
        places = np.array(list(attention.POSITIONS.values()))
        return {
            block_label(block): (places, maps) for (state, block), maps in one.maps.items() if state == "trained"
        }
    parameters = study.parameters.model_copy(update={"precision": "float32"})
    every = recorder.all_maps(restore_classifier(parameters, run), faces, parameters.image_size)
    return {
        block_label(block): (recorder.centres(queries, 1.0), weights.reshape(*weights.shape[:2], *keys))
        for block, ((queries, keys), weights) in every.items()
    }


class Explorer:
    """Three lists, and the face under a grid of buttons, one per position of the block's map; shown as `box`."""

    def __init__(self, faces, names, maps):
        self.faces, self.maps, self.position = faces, maps, 0
        self.network = widgets.Dropdown(options=list(maps), description="Network")
        self.block = widgets.Dropdown(description="Block")
        self.face = widgets.Dropdown(options=[(name, row) for row, name in enumerate(names)], description="Face")
        side = {"width": f"{_SIDE}px", "height": f"{_SIDE}px"}
        self.picture = widgets.Image(format="png", layout=widgets.Layout(**side, margin="0"))
        self.grid = widgets.GridBox(layout=widgets.Layout(**side, margin=f"-{_SIDE}px 0 0 0", grid_gap="0"))
        words = widgets.HTML("Click a position. Orange: it attends there more than evenly; blue: less.")
        lists = widgets.VBox([self.network, self.block, self.face, words])
        self.box = widgets.HBox([widgets.VBox([self.picture, self.grid]), lists])
        self.network.observe(self._choose_network, "value")
        self.block.observe(self._choose_block, "value")
        self.face.observe(self._draw, "value")
        self._choose_network()

    def _choose_network(self, change=None):
        self.block.options = list(self.maps[self.network.value])
        self.block.index = 0
        self._choose_block()  # the block of another network may have the same name

    def _choose_block(self, change=None):
        if self.block.value is None:  # while its options change
            return
        places, _ = self.maps[self.network.value][self.block.value]
        height, width = (len(np.unique(axis)) for axis in np.transpose(places))
        self.grid.layout.grid_template_columns = f"repeat({width}, {100 / width}%)"
        self.grid.layout.grid_template_rows = f"repeat({height}, {100 / height}%)"
        fill, clear, buttons = (
            {"width": "100%", "height": "100%", "margin": "0"},
            {"button_color": "transparent"},
            [],
        )
        for number, (row, column) in enumerate(np.ndindex(height, width)):
            name = f"row {row + 1} of {height}, column {column + 1} of {width}"
            buttons.append(widgets.Button(layout=widgets.Layout(**fill), style=clear, tooltip=name))
            buttons[-1].on_click(functools.partial(self._choose_position, number))
        self.grid.children = buttons
        self._choose_position(len(buttons) // 2)

    def _choose_position(self, number, button=None):
        self.position = number
        for place, each in enumerate(self.grid.children):
            each.layout.border = "3px solid #262626" if place == number else "1px solid #ffffff80"
        self._draw()

    def _draw(self, change=None):
        _, weights = self.maps[self.network.value][self.block.value]
        face = self.face.value
        self.picture.value = overlay(self.faces[face], weights[face, self.position], _SIDE)
