"""The explorer of notebook 06: choose an image, a network and a block, click a position, see its attention."""

import functools
import os

import ipywidgets as widgets
import numpy as np
from IPython.display import display

from fer_lib.analysis import attention, recorder
from fer_lib.figures.attention import attention_maps
from fer_lib.figures.style import label_of, png
from fer_lib.training.loop import restore_classifier
from fer_lib.training.runs import WEIGHTS, read_run, run_folder

_SIDE = 320  # pixels of a side of the map of buttons


def explore(study, found):
    """Show widgets for the runs whose weights are there; where there are none, or no JupyterLab, a static figure.

    `found`: list of `attention.Attention`, whose images can be chosen.
    """
    there = [one for one in found if (run_folder(study.folder, one.variant, one.seed) / WEIGHTS).exists()]
    if "JPY_SESSION_NAME" in os.environ and there:
        display(_Explorer(study, there).box)
        return
    one, block = found[0], list(found[0].maps)[-1][1]
    image, maps = one.images[:1], one.maps["trained", block][:1]
    study.show_figure(
        attention_maps(study.images_of(image["id"]), maps, attention.POSITIONS, image["class"]),
        "6.5-explorer",
        f"What the explorer shows, for one image of {label_of(one.variant)} and three query positions. Open this "
        "notebook in JupyterLab, with the runs trained on that machine, to choose them yourself.",
        "One face three times, each with the attention weights of another query position.",
    )


class _Explorer:
    """The widgets and what they show."""

    def __init__(self, study, found):
        self.study, self.found = study, {f"{label_of(one.variant)}, seed {one.seed}": one for one in found}
        self.maps_of = functools.cache(self._maps_of)
        classes = [(name, place) for place, name in enumerate(found[0].images["class"])]
        self.network = widgets.Dropdown(options=list(self.found), description="Network")
        self.image = widgets.Dropdown(options=classes, description="Image")
        self.block = widgets.Dropdown(description="Block")
        self.grid, self.figure = widgets.VBox(), widgets.Image(format="png")
        help_text = widgets.HTML("Click a position of the block's map: the figure shows what it attends to.")
        left = widgets.VBox([self.network, self.image, self.block, help_text, self.grid])
        self.box = widgets.HBox([left, self.figure])
        self.network.observe(self._choose_network, "value")
        self.image.observe(self._draw, "value")
        self.block.observe(self._choose_block, "value")
        self._choose_network()

    def _choose_network(self, change=None):
        self.block.options = list(self.maps_of(self.network.value))
        self.block.index = len(self.block.options) - 1
        self._choose_block()  # the block of another network may have the same name

    def _choose_block(self, change=None):
        (rows, columns), _ = self.maps_of(self.network.value)[self.block.value][0]
        size = {"width": f"{_SIDE // columns}px", "height": f"{_SIDE // rows}px"}
        layout = widgets.Layout(**size, padding="0", margin="0", border="1px solid white")
        lines = [widgets.HBox() for _ in range(rows)]
        for row, column in np.ndindex(rows, columns):
            button = widgets.Button(layout=layout, tooltip=f"row {row + 1}, column {column + 1}")
            button.on_click(functools.partial(self._choose_position, (row, column)))
            lines[row].children += (button,)
        self.grid.children = lines
        self._choose_position((rows // 2, columns // 2))

    def _choose_position(self, position, button=None):
        self.position = position
        self._draw()

    def _draw(self, change=None):
        ((rows, columns), keys), weights = self.maps_of(self.network.value)[self.block.value]
        row, column = self.position
        shown = weights[self.image.value, row * columns + column].reshape(1, 1, *keys)
        place = {"query": ((row + 0.5) / rows, (column + 0.5) / columns)}
        image = self.found[self.network.value].images.iloc[[self.image.value]]
        figure = attention_maps(self.study.images_of(image["id"]), shown, place, image["class"])
        self.figure.value = png(figure, dpi=110)

    def _maps_of(self, label):
        """The attention of a network: a dict of a block's name to its grids and its attention."""
        one = self.found[label]
        parameters = self.study.parameters.model_copy(update={"precision": "float32"})
        classifier = restore_classifier(parameters, read_run(run_folder(self.study.folder, one.variant, one.seed)))
        return recorder.all_maps(classifier, self.study.images_of(one.images["id"]), parameters.image_size)
