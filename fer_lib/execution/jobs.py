"""The runs of a study in processes of their own, here or on Ray, each writing its run folder and its log.

Every process is `fer-study train`. On a CPU each computes with as many threads as one alone would have, whatever
share of the cores it is given, so that its sums, and all of its numbers, are the same.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_lib.display import time_left
from fer_lib.environment import cores, gpus, keras_backend
from fer_lib.errors import DataError, FerError, ParameterError, RunError
from fer_lib.execution.processes import end, start, variables, why_ended
from fer_lib.files import project
from fer_lib.parameters import Parameters
from fer_lib.training import runs
from fer_lib.variants import Variant

PROGRAM = (sys.executable, "-m", "fer_lib.cli")
_INTERVAL = 30  # seconds between lines that say how far the runs are
_RETRIES = 3  # on Ray: a run resumes after its last epoch, so trying again is cheap
_TIMEOUT = 10  # seconds for a cluster to answer: Ray itself tries for more than ten minutes
# The runs need them as they are here. Ray sets the last by itself: a sum in other parts would be another number.
_HANDED_OVER = ("KERAS_BACKEND", "FER_CACHE", "OMP_NUM_THREADS")
# For a process that shares a GPU, unless the user has set it.
_SHARED_GPU = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # else the first takes nearly all of the memory
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "JAX_COMPILATION_CACHE_DIR": str(project() / ".cache" / "jax"),  # seeds of a network are compiled once
}


@dataclass(frozen=True)
class Job:
    """One run of a study and the command that trains it, on data of this fingerprint."""

    title: str
    folder: Path
    log: Path
    command: list[str]
    data: str | None
    fingerprint: str
    epochs: int

    def train(self, processes: list[subprocess.Popen], device: str | None = None, share: Iterable = ()) -> None:
        """Train it in a process, put into `processes`, with a GPU's number or some cores; its error is raised."""
        threads = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"), str(len(cores())))
        own = {"FER_PARENT": "stdin"} | ({} if device is None else {"CUDA_VISIBLE_DEVICES": device})
        users = variables(self.data, self.fingerprint)
        process = start(self.command, self.log, threads | (_SHARED_GPU if device else {}) | users | own)
        processes.append(process)
        if share:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(process.pid, share)
        if status := process.wait():
            kind = DataError if status == DataError.exit_status else RunError
            raise kind(f"{self.title} failed", self.log, found=why_ended(status, self.log))

    def epochs_done(self) -> int:
        """Return the number of epochs in its history."""
        history = self.folder / "history.csv"
        return len(history.read_bytes().splitlines()) - 1 if history.exists() else 0


def unfinished_jobs(
    parameters: Parameters, study_dir: Path, data: str | None, fingerprint: str, program: tuple = PROGRAM
) -> list[Job]:
    """Return a `Job` for each run that is not finished, the longest first; `fingerprint`: of checked data."""
    found: list[Job] = []
    study_dir, cells = Path(study_dir).absolute(), parameters.cells()
    # The lower the stage of its blocks, the longer a run takes.
    longest = sorted(enumerate(cells), key=lambda cell: min(Variant.from_name(cell[1][0]).stages, default=5))
    for index, (variant, seed) in longest:
        folder = runs.run_folder(study_dir, variant, seed)
        identity = runs.run_identity(parameters, variant, seed, fingerprint)
        if not runs.is_finished(folder, identity):
            if not found:
                runs.require_one_version(study_dir, parameters, identity)
            command = [*program, "train", str(study_dir / "params.yaml"), "--index", str(index)]
            command += ["--output-root", str(study_dir.parent)]
            log = study_dir / "logs" / f"{variant}-seed-{seed}.log"
            title = f"{variant} seed {seed}"
            found.append(Job(title, folder, log, command, data, fingerprint, parameters.epochs))
    print(f"{len(cells)} runs, {len(cells) - len(found)} of them finished before", flush=True)
    return found


def collect(waiting: dict[futures.Future, Job]) -> None:
    """Wait for all of a dictionary of `Future` to `Job`, saying how far they are.

    RunError or DataError where jobs failed, the first of them for its reason; the others are finished.
    """
    jobs, failures, started = list(waiting.values()), [], time.monotonic()
    total, before = sum(job.epochs for job in jobs), sum(job.epochs_done() for job in jobs)
    while waiting:
        ended, _ = futures.wait(waiting, _INTERVAL, futures.FIRST_COMPLETED)
        for future in ended:
            job, how = waiting.pop(future), "finished"
            if error := future.exception():
                failures.append(_as_fer_error(error, job))
                how = f"failed, see {os.path.relpath(job.log)}: {failures[-1].found}"
            print(f"      {job.title}: {how}", flush=True)
        done, left = sum(job.epochs_done() for job in jobs), ""
        if before < done < total:
            seconds = (time.monotonic() - started) / (done - before) * (total - done)
            left = f", {done:,} of {total:,} epochs, {time_left(seconds)}"
        print(f"      {len(jobs) - len(waiting)} of {len(jobs)} runs{left}", flush=True)
    if failures:
        first, what = failures[0], f"{len(failures)} of {len(jobs)} runs failed"
        advice = "What was finished is kept: the same command resumes"
        raise type(first)(what, first.where, found=first.found, advice=advice)


def train_here(unfinished: list[Job], jobs: int) -> None:
    """Train runs on this machine, `jobs` at a time; raises as `collect` does."""
    places = deque(range(jobs))  # there are `jobs` threads: one that begins a job finds a place
    processes: list[subprocess.Popen] = []

    def train(job):
        place = places.popleft()
        try:
            job.train(processes, *_share(place, jobs))
        finally:
            places.append(place)

    pool = futures.ThreadPoolExecutor(jobs)
    try:
        collect({pool.submit(train, job): job for job in unfinished})
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        end(processes)


def train_on_ray(unfinished: list[Job], address: str | None = None, jobs: int = 1) -> None:
    """Train runs on a Ray cluster, each a process with a GPU, or a share of one; raises as `collect` does.

    The study's folder and the data have to be seen from every node. `address`: of a running cluster, such as
    `auto` or `10.0.0.1:6379` (ParameterError where none answers); by default one is started here for as long as
    the runs take. `jobs`: runs that share a GPU or, where there is none, a node.
    """
    import ray

    is_ours = not ray.is_initialized()
    if is_ours:
        _connect(ray, address)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needs: dict[str, Any] = {"max_retries": _RETRIES, "retry_exceptions": [RunError]}
    if any(node.get("GPU") for node in nodes):
        needs |= {"num_gpus": 1 / jobs, "num_cpus": 1}
    else:
        needs["num_cpus"] = max(1, int(min(node["CPU"] for node in nodes if node.get("CPU")) / jobs))
    train = ray.remote(**needs)(_train_on_node)
    settings = {name: os.environ.get(name) for name in _HANDED_OVER}
    references = {train.remote(job, settings): job for job in unfinished}
    try:
        collect({reference.future(): job for reference, job in references.items()})
    finally:
        for reference in references:
            ray.cancel(reference, force=True)
        if is_ours:
            ray.shutdown()


def _share(place, jobs):
    """Return what the job at a place gets of the machine: the number of a GPU, or None, and its cores."""
    numbers = ",".join(map(str, range(len(gpus()))))
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES", numbers):
        devices = visible.split(",")
        return devices[place % len(devices)], ()
    # JAX has no setting for its threads but the cores that it is given.
    if keras_backend() == "jax" or not hasattr(os, "sched_setaffinity"):
        return None, ()
    return None, cores()[place::jobs] or [cores()[place % len(cores())]]


def _connect(ray, address):
    """Connect to a cluster, or start one on this machine; ParameterError where none answers."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        host, _, port = (address or "").rpartition(":")
        if host and port.isdigit():
            socket.create_connection((host, int(port)), timeout=_TIMEOUT).close()
        own = {} if address else {"include_dashboard": False}
        ray.init(address=address or "local", log_to_driver=False, logging_level="warning", **own)
    except Exception as error:  # where a node does not start in time, Ray raises just this
        advice = "Start one with `ray start --head`, set RAY_AUTH_MODE=token here if it has a token"
        advice += ", or leave the address out for one on this machine alone"
        where = f"--ray-address {address}" if address else "--engine ray"
        raise ParameterError("No Ray cluster answers", where, None, error, advice) from error
    for number, handler in handlers.items():
        signal.signal(number, handler)  # Ray ends the process at SIGTERM in its own way


def _train_on_node(job, settings):
    """Run on a worker of Ray, which sets CUDA_VISIBLE_DEVICES to the run's GPU, but hides none from other runs."""
    import ray

    for name, value in settings.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    job.train([], os.environ["CUDA_VISIBLE_DEVICES"] if ray.get_gpu_ids() else "")


def _as_fer_error(error, job):
    error = getattr(error, "cause", None) or error  # Ray's errors hold what was raised on the worker
    return error if isinstance(error, FerError) else RunError("", where=job.log, found=str(error).strip())
