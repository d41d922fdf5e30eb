"""The contract of the layers, again on the backends other than the one of the tests themselves.

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
# The layers' contract, and of what takes long, what a backend has a part in.
REPEATED = (
    "models/test_contract.py", "models/test_layers.py",
    "models/test_non_local.py::test_gradients_agree_with_finite_differences",
    "models/test_non_local.py::test_moving_averages_take_their_part_of_a_batch",
    "training/test_recipe.py::test_only_jax_is_compiled_unasked",
    "training/test_loop.py::test_a_resumed_run_equals_an_uninterrupted_one",
)  # fmt: skip
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
