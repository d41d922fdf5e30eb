"""ImageSet and Splits: shapes are checked, subsets keep rows together, fingerprints see every part."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fer_lib.datasets.splits import CLASS_NAMES, ImageSet, Splits


def six_faces():
    images = np.arange(6 * 2 * 2, dtype=np.uint8).reshape(6, 2, 2, 1)
    return ImageSet(
        images,
        np.array([0, 1, 1, 6, 6, 6]),
        np.array(["a", "b", "c", "d", "e", "f"]),
        metadata=pd.DataFrame({"usage": ["Training"] * 3 + ["PublicTest"] * 3}, index=range(10, 16)),
    )


@pytest.mark.parametrize(
    "index, ids",
    [
        (np.array([True, False, False, True, False, False]), ["a", "d"]),
        (np.array([5, 0]), ["f", "a"]),
        (slice(4, None), ["e", "f"]),
    ],
)
def test_a_subset_keeps_every_part_of_an_image_together(index, ids):
    faces = six_faces()
    part = faces.subset(index)
    assert part.ids.tolist() == ids and len(part) == 2
    for position, name in enumerate(ids):
        original = "abcdef".index(name)
        assert np.array_equal(part.images[position], faces.images[original])
        assert part.labels[position] == faces.labels[original]
        assert part.metadata["usage"].loc[position] == ("Training" if original < 3 else "PublicTest")


def test_counts_name_every_class_also_the_empty_ones():
    assert six_faces().counts().to_dict() == dict(zip(CLASS_NAMES, [1, 2, 0, 0, 0, 0, 3], strict=True))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": np.zeros((6, 2, 2, 1))}, "uint8"),
        ({"images": np.zeros((6, 2, 2), np.uint8)}, "uint8"),
        ({"labels": np.zeros(6, np.int32)}, "int64"),
        ({"labels": np.array([0, 0, 0, 0, 0, 7])}, "positions"),
        ({"labels": np.array([0, 0, 0, 0, 0, -1])}, "positions"),
        ({"labels": np.zeros(5, np.int64)}, "n"),
        ({"ids": np.array(list("abcdef"), object)}, "str"),
        ({"metadata": pd.DataFrame({"usage": ["x"]})}, "n rows"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(six_faces(), **change)


def test_the_fingerprint_sees_every_part_and_nothing_else():
    faces = six_faces()
    images, labels, ids = faces.images.copy(), faces.labels.copy(), faces.ids.copy()
    images[3, 1, 1, 0] ^= 1
    labels[0] = 2
    ids[5] = "g"

    def fingerprint(train=faces, validation=None, **rest):
        return Splits(train, validation, None, "fer2013", rest.pop("protocol", "paper"), **rest).fingerprint

    changed = [
        fingerprint(dataclasses.replace(faces, images=images)),
        fingerprint(dataclasses.replace(faces, labels=labels)),
        fingerprint(dataclasses.replace(faces, ids=ids)),
        fingerprint(faces.subset(np.arange(6)[::-1])),
        fingerprint(faces.subset(slice(0, 3)), faces.subset(slice(3, 6))),
    ]
    assert len({fingerprint(), *changed}) == 6
    assert fingerprint(six_faces(), notes=("moved",)) == fingerprint(faces.subset(slice(None)))
    assert len(fingerprint()) == 64
