"""Notebook 00: how many images of each class there are, what they look like, and which occur twice."""

import itertools

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import LogLocator

from fer_lib.figures.style import INK, PALETTE, SPLIT_COLOURS, WIDTH, new_figure, percent_axis, show_image, styled
from fer_lib.formats import count, percent


@styled
def class_counts(counts):
    """Draw the images of each class and their share of the split, a panel a split.

    Args:
        counts: DataFrame of int, a row a split and a column a class.
    """
    figure, panels = new_figure(3.1, 1, len(counts), sharey=True, squeeze=False)
    for axes, (split, row) in zip(panels[0], counts.iterrows(), strict=True):
        sns.barplot(x=row.to_numpy(), y=list(row.index), color=PALETTE["blue"], saturation=1, width=0.7, ax=axes)
        words = [f"{count(images)} ({percent(images / row.sum())})" for images in row]
        axes.bar_label(axes.containers[0], words, padding=4, fontsize=10)
        axes.set(title=f"{split}, {count(row.sum())} images", xticks=[], xlim=(0, 1.8 * row.max()), ylabel="")
        axes.spines[["bottom", "left"]].set_visible(False)
        axes.tick_params(left=False)
    return figure


@styled
def samples(faces, per_class=10, seed=0):
    """Draw a row of images of each class, chosen at random without replacement; fewer where a class has fewer.

    Args:
        faces: a `FaceSet`.
        per_class: images in a row.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    images = {}
    for label, class_name in enumerate(faces.class_names):
        members = np.flatnonzero(faces.labels == label)
        for column, index in enumerate(rng.permutation(members)[:per_class]):
            images[class_name, column] = faces.images[index]
    return _draw_table(images, faces.class_names, range(per_class), titles=[""] * per_class)


@styled
def image_table(images, rows, columns):
    """Draw images in named rows and columns; a place without an image stays empty.

    Args:
        images: dict of (row, column) -> image of 0 to 255, `(height, width, 1 or 3)`.
        rows, columns: the names, in order.
    """
    return _draw_table(images, rows, columns, titles=[str(column) for column in columns])


@styled
def one_subject(splits, angles):
    """Draw the first subject of the training set in one session: a row an expression, a column an angle.

    Args:
        splits: a `Splits` of KDEF, or of generated faces in its form; images may be in any of its splits.
        angles: the columns, such as `["HL", "S", "HR"]`.
    """
    first = splits.train.metadata[["subject", "session"]].min()
    images = {}
    for _, faces in splits.items():
        for index in np.flatnonzero((faces.metadata[["subject", "session"]] == first).all(axis=1)):
            images[faces.class_names[faces.labels[index]], faces.metadata["angle"].iloc[index]] = faces.images[
                index
            ]
    return _draw_table(images, splits.train.class_names, angles, titles=angles)


@styled
def gallery(images, words, columns=10):
    """Draw images line by line, words over each.

    Args:
        images: sequence of images of 0 to 255, `(height, width, 1 or 3)`, at least one.
        words: a string an image.
        columns: images in a line.
    """
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    figure, axes = new_figure(1.4 * lines, lines, columns, width=0.96 * columns, squeeze=False)
    for place in axes.flat[len(images) :]:
        place.set_axis_off()
    for place, image, word in zip(axes.flat, images, words, strict=False):
        show_image(place, image)
        place.set_title(word, loc="center", fontsize=10)
    return figure


@styled
def mean_faces(faces):
    """Draw each class's mean image and, under it, its difference from the mean of all classes.

    Classes have equal weight in the mean of all. Differences are without the class's overall brightness. The
    contrast of the mean images is stretched by one factor for all classes. Classes without images are left out.

    Args:
        faces: a `FaceSet`.
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
    bar = figure.colorbar(shown, ax=axes[1, :].tolist(), location="bottom", aspect=50, shrink=0.6)
    bar.set_label("grey values minus the mean of all classes (blue darker, red lighter)")
    bar.outline.set_visible(False)
    return figure


@styled
def image_pairs(splits, upper, lower, limit=8, seed=0):
    """Draw images over those that they are compared with; the lower title is dark red where the class differs.

    Args:
        splits: a `Splits`.
        upper, lower: ids, alike many, such as of validation images and of the training images that equal them.
        limit: pairs shown, chosen at random where there are more.
        seed: of the choice.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(upper))[:limit])
    figure, grid = new_figure(3.6, 2, len(chosen), width=1.2 * len(chosen), squeeze=False)
    rows = [find_images(splits, np.asarray(ids)[chosen]) for ids in (upper, lower)]
    for line, (images, words) in zip(grid, rows, strict=True):
        for axes, image, title, above in zip(line, images, words, rows[0][1], strict=True):
            show_image(axes, image)
            same = title.split("\n")[1] == above.split("\n")[1]
            axes.set_title(title, loc="center", fontsize=10, color=INK if same else PALETTE["dark red"])
    return figure


def find_images(splits, ids):
    """Return the images with these ids, whichever split they are in, and their titles: split and class."""
    found = {
        name: (image, f"{split}\n{faces.class_names[label]}")
        for split, faces in splits.items()
        for name, image, label in zip(faces.ids, faces.images, faces.labels, strict=True)
    }
    return tuple(zip(*(found[name] for name in ids), strict=True))


@styled
def sharpness_by_split(sharpness):
    """Draw the distribution of sharpness in each split, medians dotted.

    Args:
        sharpness: dict of split -> variance of the Laplacian of each image, `(n,)`, grey values squared. The axis
            ends at the 0.5th and 99.5th percentile of all images; those beyond are in the outermost bins.
    """
    table = pd.concat([pd.DataFrame({"split": name, "value": values}) for name, values in sharpness.items()])
    limits = table.loc[table["value"] > 0, "value"].quantile([0.005, 0.995])
    table["value"] = table["value"].clip(*limits)
    medians = {split: np.median(values) for split, values in sharpness.items()}
    names = {s: f"{s}: median {count(medians[s])}, {count(len(values))} images" for s, values in sharpness.items()}
    figure, axes = new_figure(3.2)
    sns.histplot(
        table.assign(split=table["split"].map(names)), x="value", hue="split", bins=30, log_scale=True,
        stat="proportion", common_norm=False, element="step", fill=False, linewidth=1.8, ax=axes,
        palette={names[split]: SPLIT_COLOURS[split] for split in sharpness},
    )  # fmt: skip
    for split, median in medians.items():
        axes.axvline(median, color=SPLIT_COLOURS[split], linestyle=":", linewidth=1.4)
    sns.move_legend(axes, "upper left", title=None)
    axes.set(xlabel="variance of the Laplacian (grey values squared)", ylabel="share of the split")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter("")
    percent_axis(axes.yaxis)
    return figure


def _draw_table(images, rows, columns, titles):
    """A grid with the names of the rows beside them and a title over each column."""
    height, width = next(iter(images.values())).shape[:2]
    names = 1.0  # inches for the names of the rows
    cell = min((WIDTH - names) / len(columns), 6.5 / len(rows) * width / height)
    size = {"height": len(rows) * cell * height / width + 0.3, "width": names + cell * len(columns)}
    figure, axes = new_figure(rows=len(rows), columns=len(columns), squeeze=False, **size)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    for (line, row), (column, name) in itertools.product(enumerate(rows), enumerate(columns)):
        place = axes[line, column]
        place.set(xticks=[], yticks=[])
        place.spines[:].set_visible(False)
        if (row, name) in images:
            show_image(place, images[row, name])
        if line == 0:
            place.set_title(titles[column], loc="center", fontsize=10.5)
        if column == 0:
            place.set_ylabel(row, rotation=0, ha="right", va="center")
    return figure
