"""Small studies that tests share, and their seed."""

import os
import sys

from fer_lib.environment import TENSORFLOW_SETTINGS

os.environ.update({**TENSORFLOW_SETTINGS, **os.environ})

import numpy as np
import pytest
from data_files import face_set

from fer_lib.datasets import Splits

# The longest files: begun last, they are what one process does while the others wait.
LONGEST = ("test_studies.py", "test_loop.py", "test_backends.py", "test_jobs.py", "test_runner.py", "test_ray.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True)
def seeded():
    """The same weights every time: one seed in 150 gives a concatenation whose ReLU lets nothing through."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(scope="session")
def tiny_splits():
    """Splits of 70, 21 and 14 noise faces of 32 px, whose mean brightness tells the class."""
    generator = np.random.default_rng(0)

    def faces(count, usage):
        labels = np.arange(count) % 7
        noise = generator.integers(0, 60, (count, 32, 32))
        return face_set(labels, noise + 25 * labels[:, None, None], usage)

    return Splits(
        train=faces(70, "Training"),
        validation=faces(21, "PublicTest"),
        test=faces(14, "PrivateTest"),
        dataset="synthetic",
        protocol="official",
    )
