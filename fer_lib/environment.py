"""The machine and the software that a study ran on, in words that name no folder and no host."""

import json
import logging
import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

# The libraries that a number or a figure comes from; those that are not installed are left out.
PACKAGES = (
    "keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "torch", "numpy", "pandas", "scipy", "scikit-learn",
    "pillow", "h5py", "matplotlib", "seaborn", "papermill", "nbclient", "nbconvert", "ipykernel",
)  # fmt: skip
# What TensorFlow finds in its environment unless the user has set it, before it is imported: few messages, and
# oneDNN's kernels on every processor. Unasked it takes them on the newer ones alone; on the others its own kernels
# take about twice as long, and round otherwise.
TENSORFLOW_SETTINGS = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"}
# Logger and words of messages that ask nothing of a reader. TensorFlow takes networks, each traced once, for
# one function that is traced again and again. On JAX and a GPU Keras tries cuDNN's attention first, which cannot
# train odd numbers of positions such as 9 x 9, and shows a traceback before it takes XLA's.
_LEFT_OUT = {"tensorflow": "triggered tf.function retracing", "absl": "Failed to apply cudnn implementation"}
_ROOT = Path(__file__).resolve().parents[1]


def describe_environment():
    """What `environment.json` holds: python, platform, processor, cpus, gpus, backend, packages, git.

    `git` is the commit and whether code, notebooks or parameters differed from it; None outside of a checkout.
    """
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpus": _cpus(),
        "gpus": _lines("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") or [],
        "backend": keras_backend(),
        "packages": package_versions(),
        "git": _git(),
    }


def leave_out_messages():
    """Keeps messages of TensorFlow and of Keras's JAX backend that need no action out of logs and notebooks.

    Keras is to be imported before: absl makes its logger then, of its own kind.
    """
    for logger in _LEFT_OUT:
        logging.getLogger(logger).addFilter(_is_of_use)


def package_versions():
    """Versions of those of `PACKAGES` that are installed, by name."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def keras_backend():
    """The backend that Keras will take, found by its own rule but without importing it."""
    if backend := os.environ.get("KERAS_BACKEND"):
        return backend
    folder = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()
    try:
        return json.loads((folder / "keras.json").read_text(encoding="utf-8")).get("backend", "tensorflow")
    except (OSError, ValueError):
        return "tensorflow"


def _is_of_use(record):
    return _LEFT_OUT[record.name] not in str(record.msg)


def _cpus():
    """CPUs that this process may use: a batch system often grants fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _git():
    commit = _lines("git", "rev-parse", "HEAD") if (_ROOT / ".git").exists() else None
    if not commit:
        return None
    changed = _lines("git", "status", "--porcelain", "--", "fer_lib", "notebooks", "params")
    return {"commit": commit[0], "changed": bool(changed)}


def _lines(*command):
    """Lines that a command prints in the project's folder; None where it is not installed or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().splitlines()
