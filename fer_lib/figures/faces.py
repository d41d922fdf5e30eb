"""The faces themselves: how many, what they look like, and which stand in the data twice."""

import itertools

import numpy as np
from matplotlib.ticker import LogLocator

from fer_lib.figures.style import (
    INK,
    PALETTE,
    SPLIT_COLOURS,
    WIDTH,
    new_figure,
    show_image,
    styled,
)

_BAR = PALETTE["blue"]
_WARNING = PALETTE["vermilion"]


@styled
def class_counts(counts):
    """Images of each class, a panel a split, with the class's share of the split.

    Args:
        counts: DataFrame of int, a row a split and a column a class; a column `total` is passed over.
    """
    counts = counts.drop(columns="total", errors="ignore")
    figure, panels = new_figure(3.1, 1, len(counts), sharey=True, squeeze=False)
    for axes, (split, row) in zip(panels[0], counts.iterrows(), strict=True):
        axes.barh(row.index, row, color=_BAR, height=0.7)
        for position, images in enumerate(row):
            axes.text(images, position, f" {images:,} ({images / row.sum():.1%})", va="center", fontsize=10)
        axes.set(title=f"{split}, {row.sum():,} images", xticks=[])
        axes.set_xlim(0, 1.75 * row.max())  # room for the words
        axes.spines[["bottom", "left"]].set_visible(False)
        axes.tick_params(left=False)
    panels[0, 0].invert_yaxis()  # shared
    return figure


@styled
def samples(faces, per_class=10, seed=0):
    """A row of faces a class, drawn at random without replacement; fewer where a class has not so many.

    Args:
        faces: a `FaceSet`.
        per_class: faces in a row.
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
    """Images in named rows and columns; a place without an image stays empty.

    Args:
        images: dict of (row, column) -> image of 0 to 255, `(height, width, 1 or 3)`.
        rows, columns: names, in the order of the table; they are its headings.
    """
    return _draw_table(images, rows, columns, titles=[str(column) for column in columns])


@styled
def one_person(splits, angles, subject=None, session=None):
    """One person in one session: a row an expression, a column an angle; empty where there is no picture.

    Args:
        splits: a `Splits` of KDEF, or of generated faces in its form; the pictures may be in any of its splits.
        angles: the columns, such as `["HL", "S", "HR"]`.
        subject, session: as in `metadata`; the first in training when None.
    """
    metadata = splits.train.metadata
    subject = subject or metadata["subject"].min()
    session = session or metadata["session"].min()
    images = {}
    for _, faces in splits.items():
        wanted = (faces.metadata["subject"] == subject) & (faces.metadata["session"] == session)
        for index in np.flatnonzero(wanted):
            class_name = faces.class_names[faces.labels[index]]
            images[class_name, faces.metadata["angle"].iloc[index]] = faces.images[index]
    return _draw_table(images, splits.train.class_names, angles, titles=angles)


@styled
def gallery(images, words, columns=10):
    """Images one after another, line by line, words over each.

    Args:
        images: sequence of images of 0 to 255, `(height, width, 1 or 3)`, at least one.
        words: a string an image.
        columns: images in a line.
    """
    if len(images) == 0 or len(images) != len(words):
        raise ValueError(f"Expected images and as many words. Received: {len(images)} and {len(words)}")
    columns = min(columns, len(images))
    lines = -(-len(images) // columns)
    figure, axes = new_figure(1.4 * lines, lines, columns, width=0.96 * columns, squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    for place, image, word in zip(axes.flat, images, words, strict=False):
        place.set_axis_on()
        show_image(place, image)
        place.set_title(word, loc="center", fontsize=10)
    return figure


@styled
def mean_faces(faces):
    """The mean face of each class and, under it, where it is lighter or darker than the mean of all classes.

    Classes count alike in the mean of all classes, so that the commonest does not stand for all. A class's overall
    brightness, which is that of its photographs, is taken out of its difference. Means are faint: their contrast
    is stretched, by one measure for all classes. Empty classes are left out.

    Args:
        faces: a `FaceSet`.
    """
    counts = faces.counts()
    labels = [label for label, images in enumerate(counts) if images]
    means = np.stack([faces.images[faces.labels == label].mean(axis=0, dtype=np.float64) for label in labels])
    differences = (means - means.mean(axis=0)).mean(axis=-1)  # over the colours
    differences -= differences.mean(axis=(1, 2), keepdims=True)
    limit = np.abs(differences).max() or 1.0
    stretched = 255 * (means - means.min()) / (np.ptp(means) or 1.0)
    figure, axes = new_figure(3.4, 2, len(labels), squeeze=False)
    for column, label in enumerate(labels):
        show_image(axes[0, column], stretched[column])
        axes[0, column].set_title(f"{faces.class_names[label]}\nn = {counts.iloc[label]:,}", loc="center")
        shown = axes[1, column].imshow(differences[column], cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes[1, column].set_axis_off()
    bar = figure.colorbar(shown, ax=axes[1, :].tolist(), location="bottom", aspect=50, shrink=0.6)
    bar.set_label("grey values against the mean of all classes (blue darker, red lighter)")
    bar.outline.set_visible(False)
    return figure


@styled
def copies_across_splits(splits, flaws, limit=8, seed=0):
    """Validation or test images over the training images that they are copies of; other labels in red.

    Args:
        splits: a `Splits`.
        flaws: what `fer_lib.datasets.checks.check` found in it; `flaws.leaks` must have a row.
        limit: pairs shown, drawn at random where there are more.
        seed: of the draw.
    """
    chosen = _some(flaws.leaks, limit, seed)
    return _draw_pairs(
        splits,
        [
            ((row["split"], row["id"], row["class"]), ("train", row["train_id"], row["train_class"]))
            for _, row in chosen.iterrows()
        ],
    )


@styled
def same_sitting(splits, known, limit=8, seed=0):
    """Pictures of validation over pictures of train of the same person, session and expression, with their names.

    Args:
        splits: a `Splits` of KDEF; the pictures may be in any of its splits.
        known: what `fer_lib.datasets.kdef.known_to_train` found; a row must be known by a picture.
        limit: pairs shown, drawn at random where there are more.
        seed: of the draw.
    """
    rows = _some(known[known["known_by"] != ""], limit, seed)
    names = [*rows["id"], *rows["known_by"]]
    images = {}
    for _, faces in splits.items():
        images |= zip(faces.ids.tolist(), faces.images, strict=True)
    return gallery([images[name] for name in names], names, columns=len(rows))


@styled
def contradicting_labels(splits, flaws, limit=8, seed=0):
    """Groups of identical images with more than one label: an image, and under it the first with another label.

    Args:
        splits: a `Splits`.
        flaws: what `fer_lib.datasets.checks.check` found in it; a row of `flaws.duplicates` must contradict.
        limit: groups shown, drawn at random where there are more.
        seed: of the draw.
    """
    rows = flaws.duplicates[flaws.duplicates["contradicting"]]
    groups = _some(rows.drop_duplicates("group")[["group"]], limit, seed)["group"]
    pairs = []
    for group in groups:
        members = rows[rows["group"] == group]
        first = members.iloc[0]
        other = members[members["class"] != first["class"]].iloc[0]
        pairs.append([(row["split"], row["id"], row["class"]) for row in (first, other)])
    return _draw_pairs(splits, pairs)


@styled
def constant_images(splits, flaws, limit=20):
    """The first images of one single grey value, each under its split and class.

    Args:
        splits: a `Splits`.
        flaws: what `fer_lib.datasets.checks.check` found in it; `flaws.constant` must have a row.
        limit: images shown.
    """
    rows = flaws.constant.head(limit)
    images = [_image(splits, row["split"], row["id"]) for _, row in rows.iterrows()]
    return gallery(images, [f"{row['split']}\n{row['class']}" for _, row in rows.iterrows()])


@styled
def sharpness_by_split(sharpness):
    """The distribution of sharpness in each split, medians marked.

    Args:
        sharpness: dict of split -> variance of the Laplacian of each image, `(n,)`, grey values squared. The
            axis ends at the 0.5th and 99.5th percentile of all; images beyond stand in the outermost bins.
    """
    everything = np.concatenate(list(sharpness.values()))
    lowest, highest = np.quantile(everything[everything > 0], [0.005, 0.995])
    bins = np.geomspace(lowest, highest, 31)
    figure, axes = new_figure(3.2)
    for split, values in sharpness.items():
        colour, median = SPLIT_COLOURS[split], np.median(values)
        label = f"{split}: median {median:,.0f}, {len(values):,} images"
        shares = np.histogram(np.clip(values, lowest, highest), bins)[0] / len(values)
        axes.stairs(shares, bins, color=colour, linewidth=1.8, label=label)
        axes.axvline(median, color=colour, linestyle=":", linewidth=1.4)
    axes.set(xscale="log", xlabel="variance of the Laplacian (grey values squared)", ylabel="share of the split")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter("")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend(loc="upper left")
    return figure


def _draw_table(images, rows, columns, titles):
    """A grid with the names of the rows beside them and a title over each column."""
    height, width = next(iter(images.values())).shape[:2]
    names = 1.0  # inches for the names of the rows
    cell = min((WIDTH - names) / len(columns), 6.5 / len(rows) * width / height)
    figure, axes = new_figure(
        len(rows) * cell * height / width + 0.3,
        len(rows),
        len(columns),
        width=names + cell * len(columns),
        squeeze=False,
    )
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    for (line, row), (column, name) in itertools.product(enumerate(rows), enumerate(columns)):
        place = axes[line, column]
        if (row, name) in images:
            show_image(place, images[row, name])
        else:
            place.set(xticks=[], yticks=[])
            place.spines[:].set_visible(False)
        if line == 0:
            place.set_title(titles[column], loc="center", fontsize=10.5)
        if column == 0:
            place.set_ylabel(row, rotation=0, ha="right", va="center")
    return figure


def _draw_pairs(splits, pairs):
    """Pairs of (split, id, class) one above the other; the lower class in red where it is another."""
    if not pairs:
        raise ValueError("Expected at least one pair of identical images. Received none")
    figure, axes = new_figure(3.6, 2, len(pairs), width=1.2 * len(pairs), squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    for column, pair in enumerate(pairs):
        differ = pair[0][2] != pair[1][2]
        for line, (split, name, class_name) in enumerate(pair):
            place = axes[line, column]
            place.set_axis_on()
            show_image(place, _image(splits, split, name))
            colour = _WARNING if differ and line else INK
            place.set_title(f"{split}\n{class_name}", loc="center", fontsize=10, color=colour)
    return figure


def _image(splits, split, name):
    faces = dict(splits.items())[split]
    return faces.images[np.flatnonzero(faces.ids == name)[0]]


def _some(rows, limit, seed):
    """At most `limit` rows, drawn at random, in their order."""
    if len(rows) <= limit:
        return rows
    return rows.iloc[np.sort(np.random.default_rng(seed).permutation(len(rows))[:limit])]
