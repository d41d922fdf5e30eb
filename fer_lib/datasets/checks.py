"""What is wrong with the data: blank images, duplicates, contradicting labels, a data set that was altered."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage

from fer_lib.datasets.fer2013 import PUBLISHED_SHARPNESS, published_counts
from fer_lib.display import percent
from fer_lib.errors import shown

# Sharpness is compared by the ratio of medians. Between samples of 200 unaltered images of FER-2013 it is 0.79 to
# 1.22; of altered ones 0.44 (Gaussian blur, radius 0.5 pixels), 0.40 (3 x 3 median), 1.9 (unsharp mask, 50 %).
SHARPNESS_FACTOR = 1.5
SHARPNESS_MIN_IMAGES = 200
# FER-2013 itself: 7.5 % of the paper's validation images are also in its training set, 0.03 % are constant.
MAX_LEAKED_SHARE = 0.25
MAX_CONSTANT_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class Flaws:
    """What `check` found."""

    totals: pd.Series  # images, distinct, copies (the rest), groups of copies, contradicting, constant, leaked
    counts: pd.DataFrame  # of images: a row a split, a column a class, and `total`
    constant: pd.DataFrame  # a row an image of one grey value: split, id, class, value
    duplicates: pd.DataFrame  # a row an image that is not unique: group, split, id, class, contradicting
    leaks: pd.DataFrame  # a row an image that is also in train: split, id, class; train_id, train_class: its first
    sharpness: pd.DataFrame  # a row a split: images, sharpness (median), to_train (the ratio)
    problems: tuple  # sentences; with any of them a study must not be made
    warnings: tuple  # sentences; a study must state them

    def __str__(self):
        tables = [self.counts, self.totals.to_frame().T.set_axis([""]), self.sharpness.round(3)]
        sentences = [f"PROBLEM: {text}" for text in self.problems] + [f"Note: {text}" for text in self.warnings]
        return "\n\n".join([table.to_string() for table in tables] + sentences)


def check(splits):
    """Look for flaws in all images of a `Splits`; 36,000 images of 48 x 48 take a few seconds."""
    images = _table_of(splits)
    counts = pd.DataFrame({name: faces.counts() for name, faces in splits.items()}).T
    counts["total"] = counts.sum(axis=1)
    constant = images.loc[images["constant"], ["split", "id", "class", "value"]].reset_index(drop=True)
    duplicates, leaks = _duplicates(images), _leaks(images)
    by_split = images.groupby(images["split"].to_numpy(), sort=False)
    sharp = by_split["sharpness"].agg(images="size", sharpness="median")
    # All-black splits have sharpness 0; their ratio is not a number, and `_judged` reports them.
    sharp["to_train"] = sharp["sharpness"] / (sharp.loc["train", "sharpness"] or np.nan)
    groups, distinct = duplicates.groupby("group")["contradicting"].first(), images["pixels"].nunique()
    totals = pd.Series({
        "images": len(images), "distinct": distinct, "copies": len(images) - distinct, "groups": len(groups),
        "contradicting": int(groups.sum()), "constant": len(constant), "leaked": len(leaks),
    })  # fmt: skip
    found = [*_structure(splits, counts, images), *_against_published(splits, sharp)]
    found += [*_judged(totals, counts, leaks), *_altered(sharp)]
    problems, warnings = (tuple(text for bad, text in found if bad == wanted) for wanted in (True, False))
    return Flaws(totals, counts, constant, duplicates, leaks, sharp, problems, warnings)


def copies_of(faces, others):
    """Which of `others` are exact copies, pixel for pixel, of an image in `faces`: a bool mask, one an other."""
    return np.isin(pixel_hashes(others.images), pixel_hashes(faces.images))


def pixel_hashes(images):
    """A 128-bit hash of the shape and pixels of each image: a str array `(n,)`, equal exactly where images are."""
    shape = str(images.shape[1:]).encode()
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    return np.array([hashlib.blake2b(row, digest_size=16, key=shape).hexdigest() for row in flat], dtype="U32")


def sharpness(images):
    """The variance of the Laplacian (4-neighbour, borders left out) of each image: float64 `(n,)`."""
    greys = (image.mean(-1, dtype=np.float32) for image in images)
    return np.array([ndimage.laplace(grey)[1:-1, 1:-1].var(dtype=np.float64) for grey in greys])


def _table_of(splits):
    """A row an image of all splits."""
    parts = []
    for name, faces in splits.items():
        flat, class_names = faces.images.reshape(len(faces), -1), np.array(faces.class_names)
        parts.append(pd.DataFrame({
            "split": name, "id": faces.ids, "label": faces.labels, "class": class_names[faces.labels],
            "pixels": pixel_hashes(faces.images), "sharpness": sharpness(faces.images), "value": flat[:, 0],
            "constant": flat.min(axis=1) == flat.max(axis=1),
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _duplicates(images):
    rows = images[images.duplicated("pixels", keep=False)].copy()
    rows["group"] = pd.factorize(rows["pixels"])[0]
    rows["contradicting"] = rows.groupby("group")["label"].transform("nunique") > 1
    rows = rows.sort_values("group", kind="stable", ignore_index=True)
    return rows[["group", "split", "id", "class", "contradicting"]]


def _leaks(images):
    in_train = images["split"] == "train"
    train = images[in_train].drop_duplicates("pixels").add_prefix("train_")
    leaks = images[~in_train].merge(train, left_on="pixels", right_on="train_pixels")
    return leaks[["split", "id", "class", "train_id", "train_class"]]


# Each of these yields pairs: whether it is a problem, and a sentence.


def _structure(splits, counts, images):
    """Of classes, ids and subjects."""
    for split, row in counts.drop(columns="total").iterrows():
        if missing := list(row.index[row == 0]):
            yield True, f"The split {split} has no image of {', '.join(missing)}."
    repeated = images.loc[images["id"].duplicated(), "id"]
    if len(repeated):
        yield True, f"{len(repeated):,} ids stand for more than one image, the first is {shown(repeated.iloc[0])}."
    if "subject" in splits.train.metadata and splits.protocol == "subject":
        train = set(splits.train.metadata["subject"])
        for name, faces in splits.items()[1:]:
            if shared := sorted(train & set(faces.metadata["subject"])):
                yield True, f"{len(shared)} subjects are in both train and {name}, the first is {shared[0]}."


def _against_published(splits, sharp):
    """Of FER-2013 alone: more or fewer images than published, or altered ones."""
    published = published_counts(splits.protocol) if splits.dataset == "fer2013" else {}
    for name, expected in published.items():
        faces = getattr(splits, name)
        counts, level = faces.counts(), sharp.loc[name, "sharpness"] / PUBLISHED_SHARPNESS
        pairs = zip(counts.index, counts, expected, strict=True)
        if more := [f"{label} ({found:,} instead of {whole:,})" for label, found, whole in pairs if found > whole]:
            yield True, f"The split {name} has more images than FER-2013 as published: {', '.join(more)}."
        elif len(faces) != sum(expected):
            part = f"The split {name} has {len(faces):,} of the {sum(expected):,} images of FER-2013"
            yield False, f"{part}: what is measured on a part is not comparable with published figures."
        if len(faces) >= SHARPNESS_MIN_IMAGES and not 1 / SHARPNESS_FACTOR <= level <= SHARPNESS_FACTOR:
            times = f"The {name} images are {level:.2f} times as sharp as FER-2013 as published"
            yield False, f"{times}: they were altered, or are other images."


def _judged(totals, counts, leaks):
    """Of copies across splits, contradicting labels and blank images."""
    for split, number in leaks["split"].value_counts(sort=False).items():
        total = counts.loc[split, "total"]
        share, images = number / total, f"{number:,} of the {total:,} {split} images"
        if share > MAX_LEAKED_SHARE:
            yield True, f"{images} ({share:.0%}) are also in train: accuracy on them would be memory."
        else:
            advice = "report accuracy with and without them"
            yield False, f"{images} ({percent(share)}) are exact copies of training images: {advice}."
    if totals["contradicting"]:
        share = f"{totals['contradicting']:,} of {totals['groups']:,}"
        yield False, f"{share} groups of identical images have different labels."
    if totals["constant"] > MAX_CONSTANT_SHARE * totals["images"]:
        yield True, f"{totals['constant']:,} of {totals['images']:,} images are blank (one single grey value)."
    elif totals["constant"]:
        yield False, f"Blank images (one single grey value): {totals['constant']:,}."


def _altered(sharp):
    """Of a train split that is sharper or smoother than the others."""
    for split, row in sharp.drop(index="train").dropna().iterrows():
        enough = min(row["images"], sharp.loc["train", "images"]) >= SHARPNESS_MIN_IMAGES
        ratio = 1 / row["to_train"] if row["to_train"] else np.inf
        if enough and not 1 / SHARPNESS_FACTOR <= ratio <= SHARPNESS_FACTOR:
            times = f"The train images are {ratio:.2f} times as sharp as the {split} images"
            cause = f"train was {'blurred' if ratio < 1 else 'sharpened'}, or {split} is not of the same data"
            yield True, f"{times} (median variance of the Laplacian): {cause}."
