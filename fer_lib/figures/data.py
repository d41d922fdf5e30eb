"""Notebook 00: how many images of each class there are, what they look like, and which occur twice."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_lib.datasets.splits import ImageSet, Splits
from fer_lib.display import count, percent
from fer_lib.figures import style
from fer_lib.figures.style import PALETTE, WIDTH, new_figure, show_image, styled


@styled
def class_counts(counts: pd.DataFrame) -> Figure:
    """Draw the images of each class and their share; `counts`: one row per split and one column per class."""
    figure, panels = new_figure(3.1, 1, len(counts), sharey=True, squeeze=False)
    for axes, (split, row) in zip(panels[0], counts.iterrows(), strict=True):
        words = [f"{count(images)} ({percent(images / row.sum())})" for images in row]
        style.draw_bars(axes, row.index, row, words, f"{split}, {count(row.sum())} images", color=PALETTE["blue"])
    return figure


def samples(faces: ImageSet, per_class: int, seed: int) -> Figure:
    """Draw one row of images per class, chosen at random; fewer where a class has fewer."""
    rng = np.random.default_rng(seed)
    images: dict = {}
    for label, name in enumerate(faces.class_names):
        members = rng.permutation(np.flatnonzero(faces.labels == label))[:per_class]
        images |= {(name, column): faces.images[index] for column, index in enumerate(members)}
    return image_table(images, faces.class_names, range(per_class), [""] * per_class)


@styled
def gallery(splits: Splits, ids: Sequence[str], titles: Sequence[str] | None = None, columns: int = 10) -> Figure:
    """Draw the images with these ids, whichever split they are in; `titles` are split and class by default."""
    found = {
        name: (image, f"{split}\n{faces.class_names[label]}")
        for split, faces in splits.items()
        for name, image, label in zip(faces.ids, faces.images, faces.labels, strict=True)
    }
    width = min(1.2 * min(columns, len(ids)), WIDTH)
    figure, panels = style.small_multiples(len(ids), 1.6, columns, width)
    for axes, name, title in zip(panels, ids, titles or [found[name][1] for name in ids], strict=True):
        show_image(axes, found[name][0])
        axes.set_title(title, loc="center", fontsize=10)
    return figure


def image_pairs(splits: Splits, upper: Sequence[str], lower: Sequence[str]) -> Figure:
    """Draw at most 8 images, by ids, over those that they equal; a dark red title: the class differs."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(upper))[:8])
    figure = gallery(splits, [*np.asarray(upper)[chosen], *np.asarray(lower)[chosen]], columns=len(chosen))
    for above, below in zip(figure.axes, figure.axes[len(chosen) :], strict=False):
        if above.get_title().split("\n")[1] != below.get_title().split("\n")[1]:
            below.title.set_color(PALETTE["dark red"])
    return figure


@styled
def image_table(images: Mapping, rows: Sequence, columns: Sequence, titles: Sequence[str] | None = None) -> Figure:
    """Draw images, a dict of (row, column) -> image of 0 to 255, `(height, width, 1 or 3)`; others stay empty."""
    height, width = next(iter(images.values())).shape[:2]
    cell = min((WIDTH - 1.2) / len(columns), 6.5 / len(rows) * width / height)
    figure, grid = style.image_grid(rows, titles or columns, cell, height / width)
    for axes, place in zip(grid.flat, itertools.product(rows, columns), strict=True):
        show_image(axes, images.get(place))
    return figure


def mean_images(faces: ImageSet) -> dict[str, np.ndarray]:
    """Return the mean image of each class that has images, uint8; one factor stretches the contrast of all."""
    means = _means(faces)
    low, reach = np.min(list(means.values())), np.ptp(list(means.values())) or 1.0
    return {name: (255 * (mean - low) / reach).round().astype("uint8") for name, mean in means.items()}


@styled
def mean_faces(faces: ImageSet) -> Figure:
    """Draw the mean image of each class, and its difference from the mean of all classes under it.

    Classes have equal weight in the mean of all. Differences are without the class's overall brightness.
    """
    images, means = mean_images(faces), np.stack([mean.mean(axis=-1) for mean in _means(faces).values()])
    differences = means - means.mean(axis=0)  # (classes, height, width)
    differences -= differences.mean(axis=(1, 2), keepdims=True)
    limit = np.abs(differences).max() or 1.0
    figure, axes = new_figure(3.4, 2, len(images), squeeze=False)
    for column, (name, image) in enumerate(images.items()):
        show_image(axes[0, column], image)
        axes[0, column].set_title(f"{name}\nn = {count(faces.counts()[name])}", loc="center")
        shown = axes[1, column].imshow(differences[column], cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes[1, column].set_axis_off()
    words = "grey values minus the mean of all classes (blue darker, red lighter)"
    figure.colorbar(shown, ax=axes[1, :].tolist(), location="bottom", aspect=50, shrink=0.6, label=words)
    return figure


def _means(faces):
    """Return dict of each class that has images to its mean image, float64."""
    of_class = {name: faces.images[faces.labels == label] for label, name in enumerate(faces.class_names)}
    return {name: images.mean(axis=0, dtype=np.float64) for name, images in of_class.items() if len(images)}
