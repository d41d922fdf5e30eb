"""Small studies that tests share."""

import os

from fer_lib.environment import TENSORFLOW_SETTINGS

os.environ.update({"FER_PROGRESS": "lines", **TENSORFLOW_SETTINGS, **os.environ})

import numpy as np
import pandas as pd
import pytest

from fer_lib.datasets import CLASS_NAMES, FaceSet, Splits


@pytest.fixture(scope="session")
def tiny_splits():
    """Splits of 70, 21 and 14 noise faces of 32 px, whose mean brightness tells the class."""
    generator = np.random.default_rng(0)

    def faces(count, usage):
        labels = np.arange(count) % 7
        noise = generator.integers(0, 60, (count, 32, 32, 1))
        return FaceSet(
            images=(noise + 25 * labels[:, None, None, None]).astype("uint8"),
            labels=labels.astype("int64"),
            ids=np.array([f"{usage}/{i:03d}" for i in range(count)]),
            class_names=CLASS_NAMES,
            metadata=pd.DataFrame({"usage": [usage] * count}),
        )

    return Splits(
        train=faces(70, "Training"),
        validation=faces(21, "PublicTest"),
        test=faces(14, "PrivateTest"),
        dataset="synthetic",
        protocol="official",
    )
