"""The runs of a study in processes of their own, several at a time, each writing its run folder and its log.

Every process is `fer-study cell`. On a CPU each computes with as many threads as one alone would have, whatever
share of the cores it is given, so that its sums, and all of its numbers, are the same.
"""

import contextlib
import math
import os
import shutil
import time
from collections import deque
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

from fer_lib.environment import cores, gpus, keras_backend
from fer_lib.errors import DataError, FerError, RunError
from fer_lib.execution.processes import end, python, start, variables, why_ended
from fer_lib.files import ROOT
from fer_lib.parameters import read_parameters
from fer_lib.training import runs
from fer_lib.variants import STAGE_BLOCKS, Variant

PROGRAM = tuple(python("fer_lib.cli"))
_INTERVAL = 30  # seconds between lines that say how far the runs are


@dataclass(frozen=True)
class Job:
    """One run of a study; `index` is its place in `Parameters.cells()`, `fingerprint` that of the checked data."""

    variant: str
    seed: int
    index: int
    study_dir: Path  # absolute, with the study's `params.yaml`
    data: str | None
    fingerprint: str
    program: tuple  # the command line that trains it

    @property
    def title(self):
        return f"{self.variant} seed {self.seed}"

    @property
    def log(self):
        return self.study_dir / "logs" / f"{self.variant}-seed-{self.seed}.log"

    @property
    def folder(self):
        return runs.run_folder(self.study_dir, self.variant, self.seed)

    def start(self, device=None):
        """Starts its process, which may share a GPU (`device`, its number) or the cores with others."""
        command = [*self.program, "cell", str(self.study_dir / "params.yaml"), "--index", str(self.index)]
        command += ["--output-root", str(self.study_dir.parent)]
        shared, own = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"), str(len(cores()))), {}
        if device is not None:
            shared |= {
                "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # else the first takes nearly all of the memory
                "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),  # seeds of a network are compiled once
            }
            own["CUDA_VISIBLE_DEVICES"] = device
        environment = {**shared, **variables(self.data, self.fingerprint), **own, "FER_PARENT": "stdin"}
        return start(command, self.log, environment)

    def require_success(self, status):
        """Raises the error of a process that did not end with status 0."""
        if status:
            kind = DataError if status == DataError.exit_status else RunError
            raise kind(f"{self.title} failed", self.log, found=why_ended(status, self.log))

    def epochs_done(self):
        """Epochs of which the history tells."""
        with contextlib.suppress(OSError):
            return len((self.folder / "history.csv").read_bytes().splitlines()) - 1
        return 0


class Board:
    """The runs that are not finished, the longest first, and what is said of them; for the arguments see `Job`."""

    def __init__(self, parameters, study_dir, data, fingerprint, program):
        given = Path(study_dir).absolute(), data, fingerprint, program
        grid = [Job(*cell, index, *given) for index, cell in enumerate(parameters.cells())]
        self.jobs = []
        for job in sorted(grid, key=lambda job: _cost(job.variant, parameters), reverse=True):
            identity = runs.run_identity(parameters, job.variant, job.seed, fingerprint)
            if not runs.is_finished(job.folder, identity):
                self.jobs.append(job)
        self.epochs = len(self.jobs) * parameters.epochs
        self.epochs_before, self.started = self._epochs_done(), time.monotonic()
        print(f"{len(grid)} runs, {len(grid) - len(self.jobs)} of them finished before", flush=True)

    def collect(self, waiting):
        """Waits for all of a dictionary of `Future` to `Job`, saying how they end and how far they are.

        Raises:
            RunError, DataError: jobs failed, the first of them for its reason; the others are finished.
        """
        failures, told = [], self.started
        while waiting:
            done, _ = futures.wait(waiting, timeout=1, return_when=futures.FIRST_COMPLETED)
            for future in done:
                job, how = waiting.pop(future), "finished"
                if error := future.exception():
                    failures.append(_as_fer_error(error, job))
                    how = f"failed, see {os.path.relpath(job.log)}: {failures[-1].found}"
                print(f"      {job.title}: {how}", flush=True)
            if done or time.monotonic() - told > _INTERVAL:
                print(f"      {len(self.jobs) - len(waiting)} of {len(self.jobs)} runs{self._left()}", flush=True)
                told = time.monotonic()
        if failures:
            first, what = failures[0], f"{len(failures)} of {len(self.jobs)} runs failed"
            advice = "What was finished stays: the same command goes on from there"
            raise type(first)(what, first.where, found=first.found, advice=advice)

    def _epochs_done(self):
        return sum(job.epochs_done() for job in self.jobs)

    def _left(self):
        done = self._epochs_done()
        if done <= self.epochs_before or done >= self.epochs:
            return ""
        seconds = (time.monotonic() - self.started) / (done - self.epochs_before) * (self.epochs - done)
        return f", {done:,} of {self.epochs:,} epochs, about {math.ceil(seconds / 60)} min left"


def train_here(parameters, study_dir, data, fingerprint, jobs, program=PROGRAM):
    """Trains the runs that are not finished on this machine, `jobs` at a time; see `Board` and its `collect`."""
    board = Board(parameters, study_dir, data, fingerprint, program)
    places, processes = deque(range(jobs)), []  # there are `jobs` threads: one that begins a job finds a place

    def train(job):
        place = places.popleft()
        try:
            process = _start(job, place, jobs)
            processes.append(process)
            job.require_success(process.wait())
        finally:
            places.append(place)

    pool = futures.ThreadPoolExecutor(jobs)
    try:
        board.collect({pool.submit(train, job): job for job in board.jobs})
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        end(processes)


def import_runs(study_dir, folders):
    """Copies finished run folders of another machine into a study; yields a line for each.

    RunError where a run is not finished, is damaged, or is not of this study.
    """
    parameters = read_parameters(Path(study_dir) / "params.yaml")
    for folder in folders:
        run = runs.read_run(folder)
        summary = runs.read_json(Path(study_dir) / "data.json") or {}
        fingerprint = summary.get("fingerprint") or run.config["identity"]["data"]
        identity = runs.run_identity(parameters, run.variant, run.seed, fingerprint)
        reason = runs.why_another(run.folder, identity)
        if reason or (run.variant, run.seed) not in parameters.cells():
            raise RunError("A run is not of this study", where=folder, found=reason or "not in its grid")
        target = runs.run_folder(study_dir, run.variant, run.seed)
        if not runs.is_finished(target, identity):
            beside = target.with_name(f".tmp-{target.name}")  # so that what is half copied is no run
            shutil.rmtree(beside, ignore_errors=True)
            shutil.copytree(folder, beside, ignore=shutil.ignore_patterns("checkpoint-*"))
            if target.exists():
                runs.set_aside(target)
            beside.rename(target)
        yield f"{target}: {run.variant} seed {run.seed}"


def _start(job, place, jobs):
    """Starts a job with its share of the machine: one of the GPUs, else every `jobs`-th core."""
    numbers = ",".join(map(str, range(len(gpus()))))
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES", numbers):
        devices = visible.split(",")
        return job.start(devices[place % len(devices)])
    process = job.start()
    # JAX has no setting for its threads but the cores that it is given.
    if hasattr(os, "sched_setaffinity") and keras_backend() != "jax":
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(process.pid, cores()[place::jobs] or [cores()[place % len(cores())]])
    return process


def _as_fer_error(error, job):
    error = getattr(error, "cause", None) or error  # Ray's errors hold what was raised on the worker
    return error if isinstance(error, FerError) else RunError("", where=job.log, found=str(error).strip())


def _cost(name, parameters):
    """Multiply-accumulates that the blocks of a network add: about NC(2C + N) a block of N positions."""
    variant, total = Variant.from_name(name), 0
    for stage in variant.stages:
        side = parameters.image_size / (4 if parameters.stem == "imagenet" else 2) / 2 ** (stage - 1)
        positions, channels = side**2, parameters.width * 2 ** (7 + stage)
        blocks = STAGE_BLOCKS[variant.depth][stage - 1] if variant.placement == "every" else 1
        total += blocks * positions * channels * (2 * channels + positions)
    return total
