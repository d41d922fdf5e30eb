"""Notebook 00: how many images of each class there are, what they look like, and which occur twice."""

import itertools

import numpy as np
import pandas as pd
import seaborn as sns

from fer_lib.display import count, percent
from fer_lib.figures import style
from fer_lib.figures.style import PALETTE, SPLIT_COLOURS, WIDTH, new_figure, show_image, styled


@styled
def class_counts(counts):
    """Draw the images of each class and their share; `counts`: DataFrame, a row a split and a column a class."""
    figure, panels = new_figure(3.1, 1, len(counts), sharey=True, squeeze=False)
    for axes, (split, row) in zip(panels[0], counts.iterrows(), strict=True):
        sns.barplot(x=row.to_numpy(), y=list(row.index), color=PALETTE["blue"], saturation=1, width=0.7, ax=axes)
        words = [f"{count(images)} ({percent(images / row.sum())})" for images in row]
        axes.bar_label(axes.containers[0], words, padding=4, fontsize=10)
        axes.set(title=f"{split}, {count(row.sum())} images", xticks=[], xlim=(0, 1.8 * row.max()), ylabel="")
        axes.spines[["bottom", "left"]].set_visible(False)
        axes.tick_params(left=False, grid_linewidth=0)
    return figure


def samples(faces, per_class=10, seed=0):
    """Draw a row of images of each class of an `ImageSet`, chosen at random; fewer where a class has fewer."""
    rng = np.random.default_rng(seed)
    images = {}
    for label, class_name in enumerate(faces.class_names):
        members = rng.permutation(np.flatnonzero(faces.labels == label))
        images |= {(class_name, column): faces.images[index] for column, index in enumerate(members[:per_class])}
    return image_table(images, faces.class_names, range(per_class), titles=[""] * per_class)


def one_subject(splits, angles):
    """Draw the first subject of a `Splits` of KDEF in one session: a row an expression, a column an angle."""
    first = splits.train.metadata[["subject", "session"]].min()
    images = {}
    for _, faces in splits.items():
        for index in np.flatnonzero((faces.metadata[["subject", "session"]] == first).all(axis=1)):
            place = faces.class_names[faces.labels[index]], faces.metadata["angle"].iloc[index]
            images[place] = faces.images[index]
    return image_table(images, splits.train.class_names, angles)


@styled
def gallery(splits, ids, titles=None, columns=10):
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


@styled
def mean_faces(faces):
    """Draw the mean image of each class, and its difference from the mean of all classes under it.

    Classes have equal weight in the mean of all. Differences are without the class's overall brightness. The
    contrast of the mean images is stretched by one factor for all classes. Classes without images are left out.
    """
    counts = faces.counts()
    labels = np.flatnonzero(counts)
    means = np.stack([faces.images[faces.labels == label].mean(axis=0, dtype=np.float64) for label in labels])
    differences = (means - means.mean(axis=0)).mean(axis=-1)  # (classes, height, width), over the colours
    differences -= differences.mean(axis=(1, 2), keepdims=True)
    limit = np.abs(differences).max() or 1.0
    stretched = 255 * (means - means.min()) / (np.ptp(means) or 1.0)
    figure, axes = new_figure(3.4, 2, len(labels), squeeze=False)
    for column, label in enumerate(labels):
        show_image(axes[0, column], stretched[column])
        axes[0, column].set_title(f"{faces.class_names[label]}\nn = {count(counts.iloc[label])}", loc="center")
        shown = axes[1, column].imshow(differences[column], cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes[1, column].set_axis_off()
    words = "grey values minus the mean of all classes (blue darker, red lighter)"
    figure.colorbar(shown, ax=axes[1, :].tolist(), location="bottom", aspect=50, shrink=0.6, label=words)
    return figure


def image_pairs(splits, upper, lower, limit=8, seed=0):
    """Draw images over those that they are compared with; the lower title is dark red where the class differs.

    `upper` and `lower` are ids, alike many; at most `limit` pairs are shown, chosen at random.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(upper))[:limit])
    figure = gallery(splits, [*np.asarray(upper)[chosen], *np.asarray(lower)[chosen]], columns=len(chosen))
    for above, below in zip(figure.axes, figure.axes[len(chosen) :], strict=False):
        if above.get_title().split("\n")[1] != below.get_title().split("\n")[1]:
            below.title.set_color(PALETTE["dark red"])
    return figure


@styled
def sharpness_by_split(sharpness):
    """Draw the distribution of sharpness in each split, a dict of float `(n,)`; medians dotted."""
    table = pd.concat([pd.DataFrame({"split": name, "value": values}) for name, values in sharpness.items()])
    # Images beyond are in the outermost bins.
    table["value"] = table["value"].clip(*table.loc[table["value"] > 0, "value"].quantile([0.005, 0.995]))
    figure, axes = new_figure(3.2)
    steps = {"bins": 30, "element": "step", "fill": False, "stat": "proportion", "common_norm": False}
    sns.histplot(table, x="value", hue="split", palette=SPLIT_COLOURS, log_scale=True, ax=axes, **steps)
    for split, values in sharpness.items():
        axes.axvline(np.median(values), color=SPLIT_COLOURS[split], linestyle=":", linewidth=1.4)
    axes.set(xlabel="variance of the Laplacian (grey values squared)", ylabel="share of the split")
    axes.locator_params(axis="x", subs=(1, 2, 5))
    axes.xaxis.set(major_formatter="{x:,.0f}", minor_formatter="")
    style.percent_axis(axes.yaxis)
    return figure


@styled
def image_table(images, rows, columns, titles=None):
    """Draw images, a dict of (row, column) -> image, in named rows and columns; others stay empty.

    Images are of 0 to 255, `(height, width, 1 or 3)`; `titles` over the columns are their names by default.
    """
    height, width = next(iter(images.values())).shape[:2]
    cell = min((WIDTH - 1.2) / len(columns), 6.5 / len(rows) * width / height)
    figure, grid = style.image_grid(rows, titles or columns, cell, height / width)
    for axes, place in zip(grid.flat, itertools.product(rows, columns), strict=True):
        show_image(axes, images.get(place))
    return figure
