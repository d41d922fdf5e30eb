"""The tests of everything that touches Keras, again on the backends other than the one of the tests themselves."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

TESTS = Path(__file__).parent
# What does arithmetic through Keras.
FILES = ["test_models_non_local.py", "test_models_resnet_v2.py"]
# In a process of its own: a backend is chosen once, when Keras is imported. TensorFlow stays out of reach unless
# it is the backend, so that nothing can lean on it unseen.
RUN = """
import sys
if {backend!r} != "tensorflow":
    sys.modules["tensorflow"] = None
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_same_tests_on(backend):
    if backend == keras.config.backend():
        pytest.skip(f"{backend}: the backend of the tests themselves")
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend}: not installed")
    run = subprocess.run(
        [sys.executable, "-c", RUN.format(backend=backend), "-q", "-p", "no:cacheprovider"]
        + [str(TESTS / name) for name in FILES],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
