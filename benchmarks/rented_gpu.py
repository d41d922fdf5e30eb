"""A study on a GPU that is rented by the minute: finished runs come home, whatever is cut.

On the rented machine, in the root of a checkout, with the data and wheels of what the machine lacks (made at home
by `pip download --dest wheels --only-binary :all: --python-version 3.12 --no-deps keras namex ...`):

    python benchmarks/rented_gpu.py params/fer2013_paper.yaml --data archive.zip --wheels wheels --minutes 9

At home again, the runs take their places, and the study resumes with what is missing:

    unzip -n out/runs.zip -d outputs/fer2013_paper
    fer-study run params/fer2013_paper.yaml --data archive.zip

It starts the runs that are missing, seed by seed, `--jobs` of them beside one another, and writes `out/runs.zip`
again after each finished run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Decodes the images into the cache, once for all trainings.
_DECODE = (
    "import sys; from fer_lib import datasets; from fer_lib.parameters import read_parameters; "
    "datasets.load(read_parameters(sys.argv[1]), sys.argv[3] if len(sys.argv) > 3 else None)"
)
_RESERVE = 15  # seconds before the end at which running trainings are stopped
_packing = threading.Lock()


def prepare(wheels, scratch):
    """Install the wheels, start what lets processes share the GPU; return the environment of the trainings."""
    site = scratch / "site"
    if wheels:
        options = ["--quiet", "--no-index", "--no-deps", "--upgrade", "--target", str(site)]
        found = sorted(map(str, wheels.glob("*.whl")))
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *found], check=True)
    defaults = {
        "KERAS_BACKEND": "jax",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # else the first process takes nearly all of the memory
        "JAX_COMPILATION_CACHE_DIR": str(scratch / "compiled"),  # seeds of a network are compiled once
        "FER_CACHE": str(scratch / "cache"),
    }
    if shutil.which("nvidia-cuda-mps-control"):
        defaults["XLA_FLAGS"] = "--xla_gpu_autotune_level=2"  # compiles sooner
        subprocess.run(["nvidia-cuda-mps-control", "-d"], check=False)  # processes compute at the same time
    path = os.pathsep.join(filter(None, [str(ROOT), str(site), os.environ.get("PYTHONPATH")]))
    return {**defaults, **os.environ, "PYTHONPATH": path}


def train(params, data, environment, out, deadline, jobs):
    """Train the missing runs until `deadline`, as of `time.monotonic()`; return the number that failed."""
    arguments = [str(params.resolve()), *(["--data", str(data.resolve())] if data else [])]
    settings = {"cwd": ROOT, "env": environment}
    command = [sys.executable, "-m", "fer_lib.cli"]
    listed = subprocess.run(
        [*command, "list", arguments[0]], **settings, check=True, stdout=subprocess.PIPE, text=True
    )
    study = next(line for line in params.read_text(encoding="utf-8").splitlines() if line.startswith("study:"))
    study_dir = ROOT / "outputs" / study.partition(":")[2].strip()
    subprocess.run([sys.executable, "-c", _DECODE, *arguments], **settings, check=True)

    def train_one(line):
        index, variant, seed = line.split("\t")
        if (study_dir / "runs" / variant / f"seed-{seed}" / "done.json").is_file() or time.monotonic() > deadline:
            return 0
        started = time.monotonic()
        with open(out / f"{variant}-seed-{seed}.log", "ab") as log:
            one = [*command, "train", *arguments, "--index", index]
            process = subprocess.Popen(one, **settings, stdout=log, stderr=subprocess.STDOUT)
            try:
                status = process.wait(max(0, deadline - started))
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait()
        print(f"{variant} seed {seed}: exit status {status} after {time.monotonic() - started:.0f} s", flush=True)
        pack_runs(study_dir, out)
        return int(status > 0)

    with ThreadPoolExecutor(jobs) as pool:
        return sum(pool.map(train_one, filter(str.strip, listed.stdout.splitlines())))


def pack_runs(study_dir, out):
    """Write `runs.zip`, beside its place first: the finished runs without their weights."""
    partial = out / "runs.zip.part"
    with _packing, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for done in sorted(study_dir.glob("runs/*/seed-*/done.json")):
            for path in sorted(done.parent.iterdir()):
                if path.is_file() and not path.name.startswith(("checkpoint", ".")) and path.suffix != ".h5":
                    archive.write(path, path.relative_to(study_dir))
        archive.close()
        partial.replace(out / "runs.zip")


def main():
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("params", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--wheels", type=Path, help="folder of what the machine lacks")
    parser.add_argument("--out", type=Path, default=Path("out"), help="gets runs.zip and the logs")
    parser.add_argument("--minutes", type=float, required=True, help="in all, installing and packing included")
    parser.add_argument("--jobs", type=int, default=6, help="trainings beside one another")
    given = parser.parse_args()
    deadline = time.monotonic() + 60 * given.minutes - _RESERVE
    given.out.mkdir(parents=True, exist_ok=True)
    environment = prepare(given.wheels, ROOT / ".cache" / "rented")
    return min(train(given.params, given.data, environment, given.out.resolve(), deadline, given.jobs), 1)


if __name__ == "__main__":
    sys.exit(main())
