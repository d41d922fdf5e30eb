"""The explorer of notebook 06: choose an image, a network and a block, click a position, see its attention."""

import io
import os

import ipywidgets as widgets
import numpy as np
from IPython.display import display

from fer_lib.analysis import attention
from fer_lib.figures.attention import attention_maps
from fer_lib.figures.style import label_of
from fer_lib.training.loop import restore_classifier
from fer_lib.training.runs import read_run, run_folder

# Pixels of a side of the map of buttons.
_SIDE = 320


def explore(study, found):
    """Show the explorer, or a static figure where no widget can run or no weights are there.

    Args:
        study: a `Study`.
        found: list of `attention.Attention`, whose images can be chosen.
    """
    folders = {one: run_folder(study.folder, one.variant, one.seed) for one in found}
    there = [one for one in found if any(folders[one].glob("*.weights.h5"))]
    if "JPY_SESSION_NAME" in os.environ and there:
        display(_Explorer(study, there).box)
        return
    one, block = found[0], list(found[0].maps)[-1][1]
    figure = attention_maps(
        study.images_of(one.images["id"][:1]),
        one.maps["trained", block][:1],
        attention.POSITIONS,
        one.images["class"][:1],
    )
    study.show_figure(
        figure,
        "6.5-explorer",
        f"What the explorer shows, for one image of {label_of(one.variant)} and three query positions. Open this "
        "notebook in JupyterLab, with the runs trained on that machine, to choose them yourself.",
        "One face three times, each with the attention weights of another query position.",
    )


class _Explorer:
    """The widgets and what they show."""

    def __init__(self, study, found):
        self.study, self.found = study, {f"{label_of(one.variant)}, seed {one.seed}": one for one in found}
        self.seen, self.position = {}, (0, 0)
        first = next(iter(self.found.values()))
        self.network = widgets.Dropdown(options=list(self.found), description="Network")
        self.image = widgets.Dropdown(options=_options(first.images["class"]), description="Image")
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
        blocks = list(self._maps())
        self.block.options = blocks
        self.block.value = blocks[-1]
        self._choose_block()

    def _choose_block(self, change=None):
        if self.block.value in self._maps():
            (rows, columns), _ = self._maps()[self.block.value][0]
            self.position = (rows // 2, columns // 2)
            side = f"{_SIDE // rows}px"
            layout = widgets.Layout(width=f"{_SIDE // columns}px", height=side, padding="0", margin="0")
            lines = [[self._button(row, column, layout) for column in range(columns)] for row in range(rows)]
            self.grid.children = [widgets.HBox(line) for line in lines]
            self._draw()

    def _button(self, row, column, layout):
        button = widgets.Button(layout=layout, tooltip=f"row {row + 1}, column {column + 1}")

        def click(_):
            self.position = (row, column)
            self._draw()

        button.on_click(click)
        return button

    def _draw(self, change=None):
        one, ((rows, columns), keys), weights = self._one(), *self._maps()[self.block.value]
        row, column = self.position
        shown = weights[self.image.value, row * columns + column].reshape(1, 1, *keys)
        place = {"query": ((row + 0.5) / rows, (column + 0.5) / columns)}
        images = one.images.iloc[[self.image.value]]
        figure = attention_maps(self.study.images_of(images["id"]), shown, place, images["class"])
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", facecolor="white")
        self.figure.value = buffer.getvalue()

    def _one(self):
        return self.found[self.network.value]

    def _maps(self):
        """Of the chosen network: dict of a block's name to its grids and its attention, worked out once."""
        one = self._one()
        if self.network.value not in self.seen:
            parameters = self.study.parameters.model_copy(update={"precision": "float32"})
            run = read_run(run_folder(self.study.folder, one.variant, one.seed))
            classifier = restore_classifier(parameters, run)
            images = self.study.images_of(one.images["id"])
            self.seen[self.network.value] = attention.all_maps(classifier, images, parameters.image_size)
        return self.seen[self.network.value]


def _options(classes):
    """Options of a dropdown: the words and their places."""
    return [(name, place) for place, name in enumerate(np.asarray(classes))]
