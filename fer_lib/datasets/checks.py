"""What is wrong with the data: blank images, duplicates, contradicting labels, a data set that somebody altered.

`check(splits)` looks at every image and says what it found in tables, in `warnings` (known weaknesses, to be
stated with the results) and in `problems` (a study on such data is worthless, or not on the data it names).
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer_lib.datasets.faces import CLASS_NAMES
from fer_lib.datasets.fer2013 import PUBLISHED_SHARPNESS, published_counts

# See `sharpness`.
SHARPNESS_FACTOR = 1.5
SHARPNESS_MIN_IMAGES = 200
# FER-2013 itself: 7.5 % of the paper's validation images are also in its training set, 0.03 % are constant.
MAX_LEAKED_SHARE = 0.25
MAX_CONSTANT_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class Flaws:
    """What `check` found.

    Args:
        totals: a Series: `images`; `distinct` images; `copies`, images minus distinct; `groups` of identical
            images; `contradicting` groups, whose labels differ; `constant` images; `leaked` images, as in `leaks`.
        counts: images per split (rows) and class (columns), with a column `total`.
        constant: a row per image of one single grey value: `split`, `id`, `class`, `value`.
        duplicates: a row per image that is not unique: `group`, `split`, `id`, `class`, `contradicting`.
        leaks: a row per validation or test image whose exact pixels are also in train: `split`, `id`, `class`,
            `train_id` and `train_class` (of the first such image).
        sharpness: a row per split: `images`, `sharpness` (median, see the function) and `to_train`, the ratio.
        problems: sentences; with any of them a study must not be made.
        warnings: sentences; a study must state them.
    """

    totals: pd.Series
    counts: pd.DataFrame
    constant: pd.DataFrame
    duplicates: pd.DataFrame
    leaks: pd.DataFrame
    sharpness: pd.DataFrame
    problems: tuple
    warnings: tuple

    def __str__(self):
        tables = [self.counts, self.totals.to_frame().T.set_axis([""]), self.sharpness.round(3)]
        sentences = [f"PROBLEM: {text}" for text in self.problems] + [f"Note: {text}" for text in self.warnings]
        return "\n\n".join([table.to_string() for table in tables] + sentences)


def check(splits):
    """Look for flaws in all images of a `Splits`; 36,000 images of 48 x 48 take about a second."""
    images = _table_of(splits)
    counts = pd.DataFrame({name: faces.counts() for name, faces in splits.items()}).T
    counts["total"] = counts.sum(axis=1)
    constant = images.loc[images["constant"], ["split", "id", "class", "value"]].reset_index(drop=True)
    duplicates = _duplicates(images)
    leaks = _leaks(images)
    sharp = _sharpness_table(splits)
    groups, distinct = duplicates.groupby("group")["contradicting"].first(), images["pixels"].nunique()
    totals = pd.Series(
        {"images": len(images), "distinct": distinct, "copies": len(images) - distinct}
        | {"groups": len(groups), "contradicting": int(groups.sum())}
        | {"constant": len(constant), "leaked": len(leaks)}
    )
    published_problems, published_warnings = _against_published(splits, sharp)
    problems = [
        *_missing_classes(counts),
        *_repeated_ids(images),
        *_too_many(totals, counts, leaks),
        *_altered(sharp, splits.dataset),
        *_shared_subjects(splits),
        *published_problems,
    ]
    warnings = [*published_warnings, *_known_weaknesses(totals, counts, leaks)]
    return Flaws(totals, counts, constant, duplicates, leaks, sharp, tuple(problems), tuple(warnings))


def copies_of(faces, others):
    """Which of `others` are exact copies, pixel for pixel, of an image in `faces`: a bool mask `(len(others),)`.

    `~copies_of(splits.train, splits.validation)` are the validation images that are not in the training set.
    """
    return np.isin(pixel_hashes(others.images), pixel_hashes(faces.images))


def pixel_hashes(images):
    """A 128-bit hash of the shape and pixels of each image: a str array `(n,)`, equal exactly where images are."""
    shape = str(images.shape[1:]).encode()
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    return np.array([hashlib.blake2b(row, digest_size=16, key=shape).hexdigest() for row in flat], dtype="U32")


def sharpness(images):
    """The variance of the Laplacian (4-neighbour, borders left out) of each image: float64 `(n,)`.

    It grows with edges and noise, and is compared between splits, by the ratio of their medians. In FER-2013 as
    published train/validation is 0.99 in both protocols, train/test 0.99. With train altered and the rest left
    alone it becomes 0.76 (Gaussian blur, radius 0.3 pixels), 0.44 (radius 0.5), 0.40 (3 x 3 median filter), 0.23
    (enlarged by 2 and reduced again), 0.07 (radius 1); 1.9 (unsharp mask, radius 1, 50 %), 3.6 (Pillow's SHARPEN),
    4.8 (unsharp mask, radius 2, 150 %). Saving again as JPEG: 0.95 (quality 75), 0.84 (50), 0.64 (20).
    Between samples of 200 unaltered images it stays within 0.79 to 1.22. So a factor of 1.5 either way tells an
    altered copy from a whole one wherever both splits have 200 images; smaller splits are not judged.
    """
    # In pieces, for the Laplacian is four times the size of the images.
    pieces = [images[start : start + 4096] for start in range(0, len(images), 4096)]
    return np.concatenate([_laplacian_variance(piece) for piece in pieces]) if pieces else np.empty(0)


def _laplacian_variance(images):
    grey = images[..., 0].astype(np.float32) if images.shape[-1] == 1 else images.mean(-1, dtype=np.float32)
    across = grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    along = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1]
    laplacian = across + along - 4 * grey[:, 1:-1, 1:-1]
    return laplacian.reshape(len(images), -1).var(axis=1, dtype=np.float64)


def _table_of(splits):
    """One row per image of all splits: split, id, label, class, pixels (their hash), constant, value."""
    parts = []
    for name, faces in splits.items():
        flat = faces.images.reshape(len(faces), -1)
        columns = {"split": name, "id": faces.ids, "label": faces.labels}
        columns |= {"class": np.array(faces.class_names)[faces.labels], "pixels": pixel_hashes(faces.images)}
        columns |= {"constant": flat.min(axis=1) == flat.max(axis=1), "value": flat[:, 0]}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _duplicates(images):
    rows = images[images.duplicated("pixels", keep=False)].copy()
    rows["group"] = pd.factorize(rows["pixels"])[0]
    rows["contradicting"] = rows.groupby("group")["label"].transform("nunique") > 1
    rows = rows.sort_values("group", kind="stable")
    return rows[["group", "split", "id", "class", "contradicting"]].reset_index(drop=True)


def _leaks(images):
    train = images[images["split"] == "train"].drop_duplicates("pixels")
    train = train[["pixels", "id", "class"]].rename(columns={"id": "train_id", "class": "train_class"})
    leaks = images[images["split"] != "train"].merge(train, on="pixels", how="inner")
    return leaks[["split", "id", "class", "train_id", "train_class"]]


def _sharpness_table(splits):
    medians = {
        name: np.median(sharpness(faces.images)) if len(faces) else np.nan for name, faces in splits.items()
    }
    table = pd.DataFrame({"images": {name: len(faces) for name, faces in splits.items()}, "sharpness": medians})
    # All-black splits have sharpness 0; their ratio is not a number, and `_too_many` speaks of them.
    table["to_train"] = table["sharpness"] / (table.loc["train", "sharpness"] or np.nan)
    return table


def _missing_classes(counts):
    for split, row in counts.drop(columns="total").iterrows():
        if missing := list(row.index[row == 0]):
            yield f"The split {split} has no image of {', '.join(missing)}."


def _repeated_ids(images):
    repeated = images[images["id"].duplicated()]
    if len(repeated):
        yield f"{len(repeated):,} ids stand for more than one image, the first is {repeated['id'].iloc[0]}."


def _too_many(totals, counts, leaks):
    for split, number in leaks["split"].value_counts().items():
        if (share := number / counts.loc[split, "total"]) > MAX_LEAKED_SHARE:
            yield (
                f"{number:,} of the {counts.loc[split, 'total']:,} {split} images ({share:.0%}) are also "
                "in train: accuracy on them would be memory."
            )
    if totals["constant"] > MAX_CONSTANT_SHARE * totals["images"]:
        yield f"{totals['constant']:,} of {totals['images']:,} images are blank (one single grey value)."


def _altered(sharp, dataset):
    usual = "; 0.99 in FER-2013 as published" if dataset == "fer2013" else ""
    for split, row in sharp.drop(index="train").iterrows():
        if np.isnan(row["to_train"]):
            continue
        enough = min(row["images"], sharp.loc["train", "images"]) >= SHARPNESS_MIN_IMAGES
        ratio = 1 / row["to_train"] if row["to_train"] else np.inf
        if enough and not 1 / SHARPNESS_FACTOR <= ratio <= SHARPNESS_FACTOR:
            word = "blurred" if ratio < 1 else "sharpened"
            yield (
                f"The train images are {ratio:.2f} times as sharp as the {split} images (median variance of the "
                f"Laplacian{usual}): train was {word}, or {split} is not of the same data."
            )


def _shared_subjects(splits):
    if "subject" not in splits.train.metadata or splits.protocol != "subject":
        return
    train = set(splits.train.metadata["subject"])
    for name, faces in list(splits.items())[1:]:
        if shared := sorted(train & set(faces.metadata["subject"])):
            yield f"{len(shared)} subjects are in both train and {name}, the first is {shared[0]}."


def _against_published(splits, sharp):
    """Problems (more images than published) and warnings (fewer), for FER-2013 only."""
    if splits.dataset != "fer2013":
        return [], []
    published = published_counts(splits.protocol)
    problems, warnings = [], []
    for name, faces in splits.items():
        counts = faces.counts().to_numpy()
        more = [
            f"{class_name} ({found:,} instead of {expected:,})"
            for class_name, found, expected in zip(CLASS_NAMES, counts, published[name], strict=True)
            if found > expected
        ]
        if more:
            problems.append(f"The split {name} has more images than FER-2013 as published: {', '.join(more)}.")
        elif (total := sum(published[name])) != len(faces):
            warnings.append(
                f"The split {name} has {len(faces):,} of the {total:,} images of FER-2013: what is measured "
                "on a part is not comparable with published figures."
            )
        level = sharp.loc[name, "sharpness"] / PUBLISHED_SHARPNESS
        if len(faces) >= SHARPNESS_MIN_IMAGES and not 1 / SHARPNESS_FACTOR <= level <= SHARPNESS_FACTOR:
            warnings.append(
                f"The {name} images are {level:.2f} times as sharp as FER-2013 as published: they were altered, "
                "or are other images."
            )
    return problems, warnings


def _known_weaknesses(totals, counts, leaks):
    for split, number in leaks["split"].value_counts(sort=False).items():
        if (share := number / counts.loc[split, "total"]) <= MAX_LEAKED_SHARE:
            yield (
                f"{number:,} of the {counts.loc[split, 'total']:,} {split} images ({share:.1%}) are exact copies "
                "of training images: report accuracy with and without them."
            )
    if totals["contradicting"]:
        number = f"{totals['contradicting']:,} of {totals['groups']:,}"
        yield f"{number} groups of identical images have different labels."
    if 0 < totals["constant"] <= MAX_CONSTANT_SHARE * totals["images"]:
        yield f"Blank images (one single grey value): {totals['constant']:,}."
