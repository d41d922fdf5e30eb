"""The tests of everything that touches Keras, again on the backends other than the one of the tests themselves.

They run where TensorFlow is not installed, unless it is the backend: in an environment made of all that is
installed here but TensorFlow, so that nothing, a child process included, can lean on it unseen.
"""

import importlib.util
import os
import pkgutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import keras
import pytest

import fer_lib

TESTS = Path(__file__).parents[1]
# Whole files, and of those that take long, what a backend has a part in.
REPEATED = (
    "models/test_non_local.py", "models/test_contract.py", "models/test_resnet_v2.py", "models/test_weights.py",
    "training/test_batches.py",
    "training/test_recipe.py::test_only_jax_is_compiled_unasked",
    "training/test_loop.py::test_a_run_leaves_its_files_and_learns",
    "training/test_loop.py::test_a_resumed_run_equals_an_uninterrupted_one",
)  # fmt: skip
# Where the backend has no part, in what becomes of files, the tests are not repeated.
LEFT_OUT = (
    "models/test_weights.py::test_a_damaged_file",
    "models/test_weights.py::test_a_file_of_another_kind",
    "models/test_weights.py::test_a_file_that_does_not_fit_changes_nothing",
    "models/test_weights.py::test_a_whole_model_with_its_classifier",
    "models/test_weights.py::test_another_depth",
    "models/test_weights.py::test_another_version",
    "models/test_weights.py::test_another_width_or_stem",
    "models/test_weights.py::test_blocks_and_classifier_keep_their_own_weights",
)
BACKENDS = ("tensorflow", "jax", "torch")
IMPORTS = """
import importlib, importlib.util, sys
assert importlib.util.find_spec("tensorflow") is None, "TensorFlow should be out of reach"
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


@pytest.fixture(scope="module")
def without_tensorflow(tmp_path_factory):
    """Where Python finds its packages in an environment like this one, but for TensorFlow."""
    folder = tmp_path_factory.mktemp("packages")
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(place).iterdir():
            # Neither the package nor its metadata; a .pth file would bring back what it names.
            if not entry.name.startswith("tensorflow") and entry.suffix != ".pth":
                (folder / entry.name).symlink_to(entry)
    return os.pathsep.join([str(TESTS.parent), str(folder)])


def run_on(backend, packages, *arguments):
    """Runs Python in a process of its own: a backend is chosen once, when Keras is imported."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        # PyTorch's threads wait for one another busily, which costs more than they bring in nets this small.
        "OMP_NUM_THREADS": "1",
    }
    if backend != "tensorflow":
        # -S: no other packages than these.
        environment["PYTHONPATH"], arguments = packages, ("-S", *arguments)
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=TESTS.parent, capture_output=True, text=True
    )


def skip_unless_another(backend):
    if backend == keras.config.backend():
        pytest.skip(f"{backend}: the backend of the tests themselves")
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend}: not installed")


@pytest.mark.parametrize("backend", BACKENDS)
def test_same_tests_on(backend, without_tensorflow, tmp_path):
    skip_unless_another(backend)
    run = run_on(
        backend,
        without_tensorflow,
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "tests")),
        *[f"--deselect=tests/{name}" for name in LEFT_OUT],
        *[str(TESTS / name) for name in REPEATED],
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "tensorflow"])
def test_the_library_imports_where_tensorflow_is_not_installed(backend, without_tensorflow):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend}: not installed")
    modules = [module.name for module in pkgutil.walk_packages(fer_lib.__path__, "fer_lib.")]
    assert "fer_lib.models.non_local" in modules
    run = run_on(backend, without_tensorflow, "-c", IMPORTS, *modules)
    assert run.returncode == 0, run.stderr[-2000:]
