"""The machine and the software that a study ran on, in words that name no folder and no host."""

import contextlib
import json
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from fer_lib.errors import ParameterError
from fer_lib.files import project

# The libraries that a number or a figure comes from; those that are not installed are left out.
PACKAGES = (
    "keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "torch", "numpy", "pandas", "scipy", "scikit-learn",
    "pillow", "h5py", "matplotlib", "seaborn", "papermill", "nbclient", "nbconvert", "ipykernel",
)  # fmt: skip
# For TensorFlow, unless the user has set them: few messages, and oneDNN's kernels on every processor. By default
# only newer ones use them; on the others its own kernels take about twice as long, and round otherwise.
TENSORFLOW_SETTINGS = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"}
# Logger -> words of a message that needs no action. TensorFlow takes networks, each traced once, for one function
# that is traced again. On JAX and a GPU Keras tries cuDNN's attention first, which cannot train odd numbers of
# positions such as 9 x 9, and shows a traceback before it takes XLA's.
_LEFT_OUT = {"tensorflow": "triggered tf.function retracing", "absl": "Failed to apply cudnn implementation"}


def describe_environment() -> dict:
    """Return what `environment.json` holds; `git` (commit, whether files differ) is None without a checkout."""
    commit = _lines("git", "rev-parse", "HEAD") if (project() / ".git").exists() else []
    changed = _lines("git", "status", "--porcelain", "--", "fer_lib", "notebooks", "params")
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    processor = re.search(r"^model name\s*: (.+)", text, re.MULTILINE)
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor[1].strip() if processor else platform.processor(),
        "cpus": len(cores()),
        "gpus": gpus(),
        "backend": keras_backend(),
        "packages": package_versions(),
        "git": {"commit": commit[0], "changed": bool(changed)} if commit else None,
    }


def leave_out_messages() -> None:
    """Keep messages that need no action out of logs, once Keras is imported: absl then makes its logger."""
    for logger in _LEFT_OUT:
        logging.getLogger(logger).addFilter(lambda record: _LEFT_OUT[record.name] not in str(record.msg))


def package_versions() -> dict[str, str]:
    """Return the versions of those of `PACKAGES` that are installed, by name."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def keras_backend() -> str:
    """Return the backend that Keras will take, by its own rule, unimported; ParameterError if it cannot train."""
    file, configured = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"), "keras.json"), None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        configured = json.loads(file.read_text(encoding="utf-8")).get("backend")
    backend = os.environ.get("KERAS_BACKEND") or configured or "tensorflow"
    if backend not in (known := ("tensorflow", "jax", "torch")):
        what = "Keras has no such backend to train with"
        raise ParameterError(what, "KERAS_BACKEND", ", ".join(known), repr(backend))
    return backend


def cores() -> list[int]:
    """Return the numbers of the CPUs that this process may use: a batch system often grants only some."""
    granted = hasattr(os, "sched_getaffinity")
    return sorted(os.sched_getaffinity(0)) if granted else list(range(os.cpu_count() or 1))


def gpus() -> list[str]:
    """Return the names of the machine's GPUs, those of NVIDIA."""
    return _lines("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


def install_kernel() -> str:
    """Write the kernel `python3` of this Python's environment, whose notebooks show what Python prints alone."""
    from ipykernel.kernelspec import write_kernel_spec

    folder = Path(sys.prefix) / "share" / "jupyter" / "kernels" / "python3"
    shutil.rmtree(folder, ignore_errors=True)
    variables = {**TENSORFLOW_SETTINGS, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    # What a backend prints past Python goes to the kernel's terminal, not into the notebook.
    arguments = ["--IPKernelApp.capture_fd_output=False"]
    return write_kernel_spec(folder, overrides={"env": variables}, extra_arguments=arguments)


def _lines(*command):
    """Lines that a command prints in the project's folder; none where it is not installed or fails."""
    try:
        done = subprocess.run(command, cwd=project(), capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.strip().splitlines()
