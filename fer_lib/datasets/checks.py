"""What is wrong with the data: blank images, copies, contradicting labels, a data set that was altered."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer_lib.datasets.fer2013 import PUBLISHED_SHARPNESS, published_counts
from fer_lib.datasets.splits import ImageSet, Splits
from fer_lib.display import percent
from fer_lib.errors import shown

# Sharpness is compared by the ratio of medians. Between samples of 200 unaltered images of FER-2013 it is 0.79 to
# 1.22; of altered ones 0.44 (Gaussian blur, radius 0.5 pixels), 0.40 (3 x 3 median), 1.9 (unsharp mask, 50 %).
SHARPNESS_FACTOR = 1.5
SHARPNESS_MIN_IMAGES = 200
# FER-2013 itself: 7.5 % of the paper's validation images are also in its training set, 0.03 % are constant.
MAX_LEAKED_SHARE = 0.25
MAX_CONSTANT_SHARE = 0.01
# The correlation of the pixels of two near copies, and of their thumbnails, by which candidates are chosen.
NEAR, NEAR_THUMBNAIL, THUMBNAIL = 0.97, 0.95, 8
_BLOCK = 256  # images at a time
Finding = tuple[bool, str]  # whether it is a problem, and a sentence


@dataclass(frozen=True, eq=False)
class Flaws:
    """What `check` found."""

    totals: pd.Series  # images, distinct, copies (the rest), groups, contradicting, constant, leaked, near
    counts: pd.DataFrame  # of images: a row per class, a column per split
    constant: pd.DataFrame  # a row per image of one grey value: split, id, class, value
    duplicates: pd.DataFrame  # a row per image that is not unique: group, split, id, class, contradicting
    leaks: pd.DataFrame  # a row per image that is also in train: split, id, class; train_id, train_class
    near: pd.DataFrame  # a row per other image with a near copy in train: as leaks; correlation, mirrored
    sharpness: pd.DataFrame  # a row per split: images, sharpness (median), to_train (the ratio)
    problems: tuple[str, ...]  # with any of them a study must not be made
    warnings: tuple[str, ...]  # a study must state them

    def __str__(self) -> str:
        tables = [self.counts, self.totals.to_frame().T.set_axis([""]), self.sharpness.round(3)]
        sentences = [f"PROBLEM: {text}" for text in self.problems] + [f"Note: {text}" for text in self.warnings]
        return "\n\n".join([table.to_string() for table in tables] + sentences)


def check(splits: Splits) -> Flaws:
    """Look for flaws in all images of a `Splits`; 36,000 images of 48 x 48 take a few seconds."""
    images = _table_of(splits)
    counts = pd.DataFrame({name: part.counts() for name, part in splits.items()})
    constant = images.loc[images["constant"], ["split", "id", "class", "value"]].reset_index(drop=True)
    duplicates, leaks = _duplicates(images), _leaks(images)
    near = _near(splits, images)
    by_split = images.groupby(images["split"].to_numpy(), sort=False)
    sharp = by_split["sharpness"].agg(images="size", sharpness="median")
    sharp["to_train"] = sharp["sharpness"] / (sharp.loc["train", "sharpness"] or np.nan)
    groups, distinct = duplicates.groupby("group")["contradicting"].first(), images["pixels"].nunique()
    totals = pd.Series({
        "images": len(images), "distinct": distinct, "copies": len(images) - distinct, "groups": len(groups),
        "contradicting": int(groups.sum()), "constant": len(constant), "leaked": len(leaks), "near": len(near),
    })  # fmt: skip
    findings = [*_subjects(splits), *_against_published(splits, sharp)]
    findings += [*_judged(totals, counts, leaks, near), *_altered(sharp)]
    problems, warnings = (tuple(text for bad, text in findings if bad == wanted) for wanted in (True, False))
    return Flaws(totals, counts, constant, duplicates, leaks, near, sharp, problems, warnings)


def copies_of(images: ImageSet, others: ImageSet) -> np.ndarray:
    """Which of `others` are exact copies, pixel for pixel, of an image in `images`: a bool mask over `others`."""
    return np.isin(pixel_hashes(others.images), pixel_hashes(images.images))


def pixel_hashes(images: np.ndarray) -> np.ndarray:
    """A 128-bit hash of the shape and pixels of each image: a str array `(n,)`, equal exactly where images are."""
    shape = str(images.shape[1:]).encode()
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    return np.array([hashlib.blake2b(row.data, digest_size=16, key=shape).hexdigest() for row in flat], "U32")


def sharpness(images: np.ndarray) -> np.ndarray:
    """The variance of the Laplacian (4-neighbour, borders left out) of each image: float64 `(n,)`."""
    variances = [np.empty(0)]
    for start in range(0, len(images), _BLOCK):
        grey = images[start : start + _BLOCK].mean(-1, dtype=np.float32)
        neighbours = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
        variances.append((neighbours - 4 * grey[:, 1:-1, 1:-1]).var(axis=(1, 2), dtype=np.float64))
    return np.concatenate(variances)


def near_copies(images: np.ndarray, others: np.ndarray) -> pd.DataFrame:
    """Find for each of `others` its near copy in `images`: re-encoded, mirrored, or a neighbouring frame.

    Of all `images`, uint8 `(n, height, width, channels)`, the one with the most similar thumbnail is compared.
    Returns a row per near copy: `other` and `image`, positions; `correlation` of their grey pixels; `mirrored`.
    """
    pieces, thumbnails = [], _standardised(_thumbnails(images))
    for start in range(0, max(len(others), 1), _BLOCK):  # of none, one empty block
        block = others[start : start + _BLOCK]
        for mirrored in (False, True):
            block = block[:, :, ::-1] if mirrored else block
            similar = _standardised(_thumbnails(block)) @ thumbnails.T
            best = similar.argmax(axis=1)
            chosen = np.flatnonzero(similar[np.arange(len(block)), best] > NEAR_THUMBNAIL)
            pair = (_standardised(part.mean(-1)) for part in (block[chosen], images[best[chosen]]))
            correlations = np.einsum("ij,ij->i", *pair)
            rows = {"other": start + chosen, "image": best[chosen], "correlation": correlations}
            pieces.append(pd.DataFrame(rows).assign(mirrored=mirrored).query("correlation > @NEAR"))
    found = pd.concat(pieces).sort_values(["other", "correlation"], ascending=[True, False])
    return found.drop_duplicates("other").reset_index(drop=True)


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """The sums of 8 x 8 fields of each image, `(n, 8, 8)` float64; of a smaller image its pixels."""
    for axis in (1, 2):
        count = min(THUMBNAIL, images.shape[axis])
        images = np.add.reduceat(images, images.shape[axis] * np.arange(count) // count, axis, dtype=np.float64)
    return images.sum(-1)


def _standardised(images: np.ndarray) -> np.ndarray:
    """Each image as a row of mean 0 and length 1, float32, whose products are correlations; 0 for a blank one."""
    rows = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 1e-3, lengths, np.inf)


def _table_of(splits: Splits) -> pd.DataFrame:
    """A row per image of all splits."""
    parts = []
    for name, part in splits.items():
        flat, class_names = part.images.reshape(len(part), -1), np.array(part.class_names)
        parts.append(pd.DataFrame({
            "split": name, "id": part.ids, "label": part.labels, "class": class_names[part.labels],
            "pixels": pixel_hashes(part.images), "sharpness": sharpness(part.images), "value": flat[:, 0],
            "constant": flat.min(axis=1) == flat.max(axis=1),
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _duplicates(images: pd.DataFrame) -> pd.DataFrame:
    rows = images[images.duplicated("pixels", keep=False)].copy()
    rows["group"] = pd.factorize(rows["pixels"])[0]
    rows["contradicting"] = rows.groupby("group")["label"].transform("nunique") > 1
    rows = rows.sort_values("group", kind="stable", ignore_index=True)
    return rows[["group", "split", "id", "class", "contradicting"]]


def _leaks(images: pd.DataFrame) -> pd.DataFrame:
    in_train = images["split"] == "train"
    train = images[in_train].drop_duplicates("pixels").add_prefix("train_")
    leaks = images[~in_train].merge(train, left_on="pixels", right_on="train_pixels")
    return leaks[["split", "id", "class", "train_id", "train_class"]]


def _near(splits: Splits, images: pd.DataFrame) -> pd.DataFrame:
    """Near copies across splits, beyond the exact ones."""
    train = images[images["split"] == "train"].reset_index(drop=True)
    parts = []
    for name, part in splits.items()[1:]:
        own = images[images["split"] == name].reset_index(drop=True)
        own = own[~own["pixels"].isin(train["pixels"])]
        near = near_copies(splits.train.images, part.images[own.index])
        rows = own.iloc[near["other"]][["split", "id", "class"]].reset_index(drop=True)
        rows[["train_id", "train_class"]] = train.loc[near["image"], ["id", "class"]].to_numpy()
        parts.append(rows.join(near[["correlation", "mirrored"]]))
    columns = ["split", "id", "class", "train_id", "train_class", "correlation", "mirrored"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _subjects(splits: Splits) -> Iterator[Finding]:
    """Of subjects in two splits that were given; KDEF's random split says itself what it shares."""
    if "subject" in splits.train.metadata and splits.dataset != "kdef":
        train = set(splits.train.metadata["subject"])
        for name, part in splits.items()[1:]:
            if shared := sorted(train & set(part.metadata["subject"])):
                where = f"in both train and {name}, the first is {shown(shared[0])}"
                yield False, f"{len(shared)} subjects are {where}."


def _against_published(splits: Splits, sharp: pd.DataFrame) -> Iterator[Finding]:
    """Of FER-2013 alone: more or fewer images than published, or altered ones."""
    published = published_counts(splits.protocol) if splits.dataset == "fer2013" else {}
    for name, expected in published.items():
        part = getattr(splits, name)
        counts, level = part.counts(), sharp.loc[name, "sharpness"] / PUBLISHED_SHARPNESS
        pairs = zip(counts.index, counts, expected, strict=True)
        more = [f"{label} ({number:,} instead of {whole:,})" for label, number, whole in pairs if number > whole]
        if more:
            yield True, f"The split {name} has more images than FER-2013 as published: {', '.join(more)}."
        elif len(part) != sum(expected):
            text = f"The split {name} has {len(part):,} of the {sum(expected):,} images of FER-2013"
            yield False, f"{text}: what is measured on a part is not comparable with published figures."
        if len(part) >= SHARPNESS_MIN_IMAGES and not 1 / SHARPNESS_FACTOR <= level <= SHARPNESS_FACTOR:
            times = f"The {name} images are {level:.2f} times as sharp as FER-2013 as published"
            yield False, f"{times}: they were altered, or are other images."


def _judged(totals: pd.Series, counts: pd.DataFrame, leaks: pd.DataFrame, near: pd.DataFrame) -> Iterator[Finding]:
    """Of copies across splits, contradicting labels and blank images."""
    for split, number in leaks["split"].value_counts(sort=False).items():
        share, images = number / counts[split].sum(), f"{number:,} of the {counts[split].sum():,} {split} images"
        if share > MAX_LEAKED_SHARE:
            yield True, f"{images} ({share:.0%}) are also in train: accuracy on them would be memory."
        else:
            advice = "report accuracy with and without them"
            yield False, f"{images} ({percent(share)}) are exact copies of training images: {advice}."
    for split, pairs in near.groupby("split", sort=False):
        images = f"{len(pairs):,} of the {counts[split].sum():,} {split} images"
        share = percent(len(pairs) / counts[split].sum())
        kind = f"correlation above {NEAR}; {pairs['mirrored'].sum():,} mirrored"
        yield False, f"{images} ({share}) have a near copy in train, beyond exact ones ({kind})."
    if totals["contradicting"]:
        share = f"{totals['contradicting']:,} of {totals['groups']:,}"
        yield False, f"{share} groups of identical images have different labels."
    if totals["constant"] > MAX_CONSTANT_SHARE * totals["images"]:
        yield True, f"{totals['constant']:,} of {totals['images']:,} images are blank (one single grey value)."
    elif totals["constant"]:
        yield False, f"Blank images (one single grey value): {totals['constant']:,}."


def _altered(sharp: pd.DataFrame) -> Iterator[Finding]:
    """Of a train split that is sharper or smoother than the others."""
    for split, row in sharp.drop(index="train").dropna().iterrows():
        enough = min(row["images"], sharp.loc["train", "images"]) >= SHARPNESS_MIN_IMAGES
        if enough and not 1 / SHARPNESS_FACTOR <= row["to_train"] <= SHARPNESS_FACTOR:
            times = f"The {split} images are {row['to_train']:.2f} times as sharp as the train images"
            cause = f"train was {'blurred' if row['to_train'] > 1 else 'sharpened'}"
            yield True, f"{times} (median variance of the Laplacian): {cause}, or {split} is not of the same data."
