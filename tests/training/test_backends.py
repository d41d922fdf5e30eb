"""A run of one backend, evaluated and continued by another."""

import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from fer_lib.parameters import build_parameters
from fer_lib.training import loop as training
from fer_lib.training import runs

VARIANT = "resnet14v2-nl2"
# SGD and no dropout: Adam divides by gradients near zero, and dropout draws other numbers on each backend. Small
# steps: an input of a ReLU that is rounded to the other side of zero moves the gradient by a thousandth, and large
# ones make more of it. Momentum, schedule, means or order not taken up move the probabilities by 4.7e-4 or more.
PARAMETERS = build_parameters(
    {
        "image_size": 32,
        "width": 0.25,
        "dropout": 0.0,
        "epochs": 2,
        "batch_size": 16,
        "optimizer": "sgd",
        "learning_rate": 0.0001,
        "schedule": "cosine",
        "weight_decay": 0.001,
        "variants": ["resnet14v2", VARIANT],
    }
)
BACKENDS = ("tensorflow", "jax", "torch")
# In a process of its own: a backend is chosen once. TensorFlow stays out of reach of the other two.
ELSEWHERE = """
import os, pickle, sys
if os.environ["KERAS_BACKEND"] != "tensorflow":
    sys.modules["tensorflow"] = None
import numpy as np
from fer_lib.training import loop as training, runs
parameters, variant, splits, finished, half = pickle.load(open(sys.argv[1], "rb"))
run = runs.read_run(runs.run_folder(finished, variant, 0))
classifier = training.restore_classifier(parameters, run)
evaluated = training.predict(parameters, classifier, splits.validation).probabilities
continued = training.train_run(parameters, variant, 0, splits, half).predictions().probabilities
np.savez(sys.argv[2], evaluated=evaluated, continued=continued)
"""


@pytest.fixture(scope="module")
def folders(tiny_splits, tmp_path_factory):
    """A finished study and one that stopped after its first epoch, of the backend of the tests themselves."""
    finished, half = tmp_path_factory.mktemp("finished"), tmp_path_factory.mktemp("half")
    save = training._Training._save_epoch

    def save_and_copy(self):
        save(self)
        if len(self.history) == 1:
            shutil.copytree(finished, half, dirs_exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training._Training, "_save_epoch", save_and_copy)
        training.train_run(PARAMETERS, VARIANT, 0, tiny_splits, finished)
    return finished, half


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_backend_evaluates_and_continues_a_run(backend, folders, tiny_splits, tmp_path):
    if backend == keras.config.backend():
        pytest.skip(f"{backend}: the backend of the tests themselves")
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend}: not installed")
    finished, half = folders[0], shutil.copytree(folders[1], tmp_path / "half")
    (tmp_path / "given.pkl").write_bytes(pickle.dumps((PARAMETERS, VARIANT, tiny_splits, finished, half)))
    found = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path / "given.pkl"), str(tmp_path / "found.npz")],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-4000:]
    assert "going on after epoch 1" in found.stdout
    expected = runs.read_run(runs.run_folder(finished, VARIANT, 0)).predictions().probabilities
    with np.load(tmp_path / "found.npz") as probabilities:
        np.testing.assert_allclose(probabilities["evaluated"], expected, atol=1e-4)
        np.testing.assert_allclose(probabilities["continued"], expected, atol=5e-5)
