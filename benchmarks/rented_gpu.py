"""A study on a GPU that is rented by the minute: finished runs come home, whatever is cut.

At home, pack what has to travel (the images, solid; wheels of what the rented machine lacks):

    python benchmarks/rented_gpu.py pack archive.zip carry
    pip download --dest carry/wheels --only-binary :all: --python-version 3.12 --no-deps keras namex ...

There, in the root of the checkout:

    python benchmarks/rented_gpu.py train params/fer2013_paper.yaml --carry carry --out out --minutes 9 --jobs 6

At home again, the runs take their places, and the study goes on with what is missing:

    unzip -n out/runs.zip -d outputs/fer2013_paper
    fer-study run params/fer2013_paper.yaml --data archive.zip

`train` starts the runs that are still missing, seed by seed, as many beside one another as `--jobs` says. It
starts none that would not end in time, and writes `out/runs.zip` again after each finished run.

All images travel, though the paper's split uses 24,400 of the 35,887: the split counts the files of each class.
"""

import argparse
import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = "images.tar.xz"
# Decodes the images into the cache, once for all trainings.
_DECODE = (
    "import sys; from fer_lib import datasets; from fer_lib.parameters import read_parameters; "
    "datasets.load(read_parameters(sys.argv[1]), sys.argv[3] if len(sys.argv) > 3 else None)"
)
# Seconds before the end at which running trainings are asked to stop, to pack what is finished.
RESERVE = 15


def pack(archive, carry):
    """Write the images of a zip as one solid archive, in which headers that are alike cost next to nothing."""
    carry.mkdir(parents=True, exist_ok=True)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 26}]
    with (
        zipfile.ZipFile(archive) as source,
        lzma.open(carry / IMAGES, "wb", filters=filters) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.USTAR_FORMAT) as target,
    ):
        for entry in sorted(source.infolist(), key=lambda entry: entry.filename):
            if not entry.is_dir():
                header = tarfile.TarInfo(entry.filename)
                header.size = entry.file_size
                with source.open(entry) as stream:
                    target.addfile(header, stream)
    print(f"{carry / IMAGES}: {(carry / IMAGES).stat().st_size / 2**20:.1f} MiB")


def prepare(carry, scratch):
    """Install the wheels and unpack the images; the environment of the trainings and the path of the data."""
    site, data = scratch / "site", scratch / "images"
    if wheels := sorted(map(str, (carry / "wheels").glob("*.whl"))):
        install = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--upgrade",
            "--target",
            str(site),
        ]
        subprocess.run([*install, *wheels], check=True)
    if (carry / IMAGES).is_file():
        with tarfile.open(carry / IMAGES) as archive:
            archive.extractall(data, filter="data")
    defaults = {
        "KERAS_BACKEND": "jax",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # else the first process takes nearly all of the memory
        "JAX_COMPILATION_CACHE_DIR": str(scratch / "compiled"),  # seeds of a network are compiled once
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "FER_CACHE": str(scratch / "cache"),
        "FER_PROGRESS": "lines",
    }
    path = os.pathsep.join(filter(None, [str(ROOT), str(site), os.environ.get("PYTHONPATH")]))
    environment = {**defaults, **os.environ, "PYTHONPATH": path}
    if shutil.which("nvidia-smi"):
        environment.setdefault("XLA_FLAGS", "--xla_gpu_autotune_level=2")  # compiles sooner
        if shutil.which("nvidia-cuda-mps-control"):
            subprocess.run(["nvidia-cuda-mps-control", "-d"], check=False)  # processes compute at the same time
    return environment, data if data.is_dir() else None


class Trainings:
    """The runs of a study, some of them running, until all are finished or the time is over.

    Args:
        params: path of the study's YAML file.
        data: path of the data, or None.
        environment: of the trainings.
        out: folder that gets `runs.zip` and the logs.
        deadline: `time.monotonic()` at which everything has to be packed.
    """

    def __init__(self, params, data, environment, out, deadline):
        self.environment, self.out, self.deadline = environment, out, deadline
        self.arguments = [str(params), *(["--data", str(data)] if data else [])]
        listed = self._call("-m", "fer_lib.cli", "cells", str(params)).stdout.splitlines()
        self.todo = [line.split("\t") for line in listed if line.strip()]
        self.study_dir = ROOT / "outputs" / self._study(params)
        self.todo = [cell for cell in self.todo if not (self._folder(cell) / "done.json").is_file()]
        self.running, self.seconds = {}, []

    def finish(self, jobs):
        """Train what is missing, `jobs` at a time; the number of runs that failed."""
        if self.todo:
            self._call("-c", _DECODE, *self.arguments)
        failed = 0
        try:
            while self.todo or self.running:
                left = self.deadline - time.monotonic() - RESERVE
                while self.todo and len(self.running) < jobs and left > self._expected():
                    self._start(self.todo.pop(0))
                if not self.running or left <= 0:
                    break
                time.sleep(0.5)
                failed += self._collect()
        finally:
            self._stop()
        print(f"{len(self.seconds)} runs finished, {failed} failed, {len(self.todo)} not started")
        return failed

    def _expected(self):
        """Return the seconds of the longest run, finished or running; 0 before anything is known."""
        known = list(self.seconds)
        for cell, _, started in self.running.values():
            try:
                epochs = json.loads((self._folder(cell) / "config.json").read_text())["parameters"]["epochs"]
                done = len((self._folder(cell) / "history.csv").read_text().splitlines()) - 1
            except (OSError, ValueError, KeyError):
                continue
            if done > 0:
                known.append((time.monotonic() - started) * epochs / done)
        return max(known, default=0)

    def _start(self, cell):
        index, variant, seed = cell
        log = open(self.out / f"{variant}-seed-{seed}.log", "ab")  # noqa: SIM115  closed with the process
        command = [sys.executable, "-m", "fer_lib.cli", "cell", *self.arguments, "--index", index]
        process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT)
        self.running[process] = (cell, log, time.monotonic())
        print(f"{variant} seed {seed}: started", flush=True)

    def _collect(self):
        """Take out the trainings that have ended, pack where one is finished; the number of those that failed."""
        failed = 0
        for process in [process for process in self.running if process.poll() is not None]:
            (_, variant, seed), log, started = self.running.pop(process)
            log.close()
            seconds = time.monotonic() - started
            print(f"{variant} seed {seed}: exit status {process.returncode} after {seconds:.0f} s", flush=True)
            if process.returncode == 0:
                self.seconds.append(seconds)
                self._pack()
            else:
                failed += 1
        return failed

    def _stop(self):
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process, (_, log, _) in self.running.items():
            try:
                process.wait(RESERVE / 2)
            except subprocess.TimeoutExpired:
                process.kill()
            log.close()
        self._pack()

    def _pack(self):
        """Write `runs.zip`, beside its place first: the finished runs without their weights."""
        partial = self.out / "runs.zip.part"
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for done in sorted(self.study_dir.glob("runs/*/seed-*/done.json")):
                for path in sorted(done.parent.iterdir()):
                    if path.is_file() and not path.name.startswith(("checkpoint", ".")) and path.suffix != ".h5":
                        archive.write(path, path.relative_to(self.study_dir))
        partial.replace(self.out / "runs.zip")

    def _folder(self, cell):
        return self.study_dir / "runs" / cell[1] / f"seed-{cell[2]}"

    def _study(self, params):
        lines = Path(params).read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("study:"))

    def _call(self, *arguments):
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True, check=True
        )


def main():
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="what has to travel")
    packing.add_argument("archive", type=Path)
    packing.add_argument("carry", type=Path)
    training = commands.add_parser("train", help="on the rented machine")
    training.add_argument("params", type=Path)
    training.add_argument("--carry", type=Path, required=True)
    training.add_argument("--out", type=Path, required=True)
    training.add_argument("--minutes", type=float, required=True, help="in all, unpacking and packing included")
    training.add_argument("--jobs", type=int, default=6, help="trainings beside one another")
    arguments = parser.parse_args()
    if arguments.command == "pack":
        pack(arguments.archive, arguments.carry)
        return 0
    deadline = time.monotonic() + 60 * arguments.minutes
    arguments.out.mkdir(parents=True, exist_ok=True)
    scratch = ROOT / ".cache" / "rented"
    environment, data = prepare(arguments.carry, scratch)
    trainings = Trainings(arguments.params, data, environment, arguments.out.resolve(), deadline)
    return min(trainings.finish(arguments.jobs), 1)


if __name__ == "__main__":
    sys.exit(main())
