"""What depends on the backend of Keras, on the others; a run of one backend, evaluated and continued by another.

Each runs in a process of its own, since a backend is chosen once; TensorFlow is out of reach of the other two.
"""

import importlib.util
import os
import pickle
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import fer_lib
from fer_lib.analysis import attention
from fer_lib.analysis.recorder import record_attention
from fer_lib.parameters import build_parameters
from fer_lib.training import loop, runs

ROOT = Path(__file__).parents[2]
VARIANT = "resnet14v2-nl2"
# SGD and no dropout: Adam divides by gradients near zero, and dropout draws other numbers on each backend. Small
# steps: an input of a ReLU that is rounded to the other side of zero moves the gradient by a thousandth, and large
# ones make more of it. Momentum, schedule, means or order not taken up move the probabilities by 4.7e-4 or more.
PARAMETERS = build_parameters({
    "image_size": 32, "width": 0.25, "dropout": 0.0, "epochs": 2, "batch_size": 16, "optimizer": "sgd",
    "learning_rate": 0.0001, "schedule": "cosine", "weight_decay": 0.001, "variants": ["resnet14v2", VARIANT],
})  # fmt: skip
# The layer's contract and gradients, the layers that have code for one backend, and a run that goes on.
REPEATED = (
    "models/test_contract.py", "models/test_layers.py",
    "models/test_non_local.py::test_gradients_agree_with_finite_differences",
    "training/test_loop.py::test_a_resumed_run_equals_an_uninterrupted_one",
)  # fmt: skip
IMPORTS = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
ELSEWHERE = """
import pickle, sys
import numpy as np
from fer_lib.analysis.recorder import record_attention
from fer_lib.training import loop, runs
parameters, variant, splits, finished, half = pickle.load(open(sys.argv[1], "rb"))
run = runs.read_run(runs.run_folder(finished, variant, 0))
classifier = loop.restore_classifier(parameters, run)
evaluated = loop.predict(parameters, classifier, splits.validation).probabilities
continued = loop.train_run(parameters, variant, 0, splits, half, record_attention).predictions().probabilities
np.savez(sys.argv[2], evaluated=evaluated, continued=continued)
"""


@pytest.fixture(params=["tensorflow", "jax", "torch"])
def run_python(request, tmp_path):
    """Runs Python with arguments on another backend than the tests' own; returns what it prints."""
    backend, paths = request.param, [str(ROOT)]
    if backend == keras.config.backend() or importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend}: the backend of the tests themselves, or not installed")
    if backend != "tensorflow":
        (tmp_path / "paths" / "tensorflow").mkdir(parents=True)
        (tmp_path / "paths" / "tensorflow" / "__init__.py").write_text("raise ModuleNotFoundError('out of reach')")
        paths.insert(0, str(tmp_path / "paths"))
    # PyTorch's threads wait for one another busily, which costs more than they bring in nets this small.
    own = {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)], env=os.environ | own, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-4000:]
        return done.stdout

    return run


def test_every_module_imports(run_python):
    modules = [module.name for module in pkgutil.walk_packages(fer_lib.__path__, "fer_lib.")]
    assert "fer_lib.models.non_local" in modules
    run_python("-c", IMPORTS, *modules)


def test_the_same_tests_pass(run_python, tmp_path):
    tests = [ROOT / "tests" / name for name in REPEATED]
    run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "tests", *tests)


@pytest.fixture(scope="module")
def folders(tiny_splits, tmp_path_factory):
    """A finished study and one that stopped after its first epoch, of the backend of the tests themselves."""
    finished, half = tmp_path_factory.mktemp("finished"), tmp_path_factory.mktemp("half")
    save = loop._Training._save_epoch

    def save_and_copy(self):
        save(self)
        if len(self.history) == 1:
            shutil.copytree(finished, half, dirs_exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Training, "_save_epoch", save_and_copy)
        loop.train_run(PARAMETERS, VARIANT, 0, tiny_splits, finished, record_attention)
    return finished, half


def test_a_run_is_evaluated_and_continued(run_python, folders, tiny_splits, tmp_path):
    finished, half = folders[0], shutil.copytree(folders[1], tmp_path / "half")
    (tmp_path / "given.pkl").write_bytes(pickle.dumps((PARAMETERS, VARIANT, tiny_splits, finished, half)))
    said = run_python("-c", ELSEWHERE, tmp_path / "given.pkl", tmp_path / "found.npz")
    assert "going on after epoch 1" in said
    run, other = (runs.read_run(runs.run_folder(study, VARIANT, 0)) for study in (finished, half))
    expected = run.predictions().probabilities
    with np.load(tmp_path / "found.npz") as probabilities:
        np.testing.assert_allclose(probabilities["evaluated"], expected, atol=1e-4)
        np.testing.assert_allclose(probabilities["continued"], expected, atol=5e-5)
    # As in a study, a run records its attention at its end.
    kept, found = attention.read(run), attention.read(other)
    pd.testing.assert_frame_equal(found.table, kept.table, rtol=1e-2, atol=1e-4)
    for block, maps in kept.maps.items():
        np.testing.assert_allclose(found.maps[block], maps, atol=1e-4)
    assert found.ablation["blocks"].equals(kept.ablation["blocks"])
