"""The runs of a study in processes of their own, here or on Ray, each writing its run folder and its log.

Every process is `fer-study train`. On a CPU each computes with as many threads as one alone would have, whatever
share of the cores it is given, so that its sums, and all of its numbers, are the same.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from fer_lib.display import time_left
from fer_lib.environment import cores, gpus, keras_backend
from fer_lib.errors import DataError, FerError, ParameterError, RunError
from fer_lib.execution.processes import end, start, variables, why_ended
from fer_lib.files import project, refuse_links
from fer_lib.parameters import Parameters, read_parameters
from fer_lib.training import runs
from fer_lib.variants import Variant

PROGRAM = (sys.executable, "-m", "fer_lib.cli")
_INTERVAL = 30  # seconds between lines that say how far the runs are
_RETRIES = 3  # on Ray: a run resumes after its last epoch, so trying again is cheap
_TIMEOUT = 10  # seconds for a cluster to answer
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
    """One run of a study; `index` is its place in `Parameters.cells()`, `identity` as of `run_identity`."""

    variant: str
    seed: int
    index: int
    study_dir: Path  # absolute, with the study's `params.yaml`
    data: str | None
    identity: dict
    program: tuple  # the command line that trains it

    @property
    def title(self) -> str:
        return f"{self.variant} seed {self.seed}"

    @property
    def log(self) -> Path:
        return self.study_dir / "logs" / f"{self.variant}-seed-{self.seed}.log"

    @property
    def folder(self) -> Path:
        return runs.run_folder(self.study_dir, self.variant, self.seed)

    def start(self, device: str | None = None) -> subprocess.Popen:
        """Start its process, which may share a GPU (`device`, its number) or the cores with others."""
        command = [*self.program, "train", str(self.study_dir / "params.yaml"), "--index", str(self.index)]
        command += ["--output-root", str(self.study_dir.parent)]
        threads = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"), str(len(cores())))
        gpu, own = ({}, {}) if device is None else (_SHARED_GPU, {"CUDA_VISIBLE_DEVICES": device})
        users = variables(self.data, self.identity["data"])
        return start(command, self.log, {**threads, **gpu, **users, **own, "FER_PARENT": "stdin"})

    def require_success(self, status: int) -> None:
        """Raise the error of a process that did not end with status 0."""
        if status:
            kind = DataError if status == DataError.exit_status else RunError
            raise kind(f"{self.title} failed", self.log, found=why_ended(status, self.log))

    def epochs_done(self) -> int:
        """Return the number of epochs in its history."""
        with contextlib.suppress(OSError):
            return len((self.folder / "history.csv").read_bytes().splitlines()) - 1
        return 0


def unfinished_jobs(
    parameters: Parameters, study_dir: Path, data: str | None, fingerprint: str, program: tuple[str, ...]
) -> list[Job]:
    """Return a `Job` for each run that is not finished, the longest first; `fingerprint`: of checked data."""
    grid = []
    for index, (variant, seed) in enumerate(parameters.cells()):
        identity = runs.run_identity(parameters, variant, seed, fingerprint)
        grid.append(Job(variant, seed, index, Path(study_dir).absolute(), data, identity, program))
    jobs = [job for job in grid if not runs.is_finished(job.folder, job.identity)]
    if jobs:
        runs.require_one_version(study_dir, parameters, jobs[0].identity)
    print(f"{len(grid)} runs, {len(grid) - len(jobs)} of them finished before", flush=True)
    # The lower the stage of its blocks, the longer a run takes.
    return sorted(jobs, key=lambda job: min(Variant.from_name(job.variant).stages, default=5))


def collect(waiting: dict[futures.Future, Job], epochs: int) -> None:
    """Wait for all of a dictionary of `Future` to `Job`, of so many epochs each, saying how far they are.

    RunError or DataError where jobs failed, the first of them for its reason; the others are finished.
    """
    jobs, failures, started = list(waiting.values()), [], time.monotonic()
    before, told = sum(job.epochs_done() for job in jobs), started
    while waiting:
        ended, _ = futures.wait(waiting, timeout=1, return_when=futures.FIRST_COMPLETED)
        for future in ended:
            job, how = waiting.pop(future), "finished"
            if error := future.exception():
                failures.append(_as_fer_error(error, job))
                how = f"failed, see {os.path.relpath(job.log)}: {failures[-1].found}"
            print(f"      {job.title}: {how}", flush=True)
        if ended or time.monotonic() - told > _INTERVAL:
            told, done, total = time.monotonic(), sum(job.epochs_done() for job in jobs), len(jobs) * epochs
            left = ""
            if before < done < total:
                seconds = (told - started) / (done - before) * (total - done)
                left = f", {done:,} of {total:,} epochs, {time_left(seconds)}"
            print(f"      {len(jobs) - len(waiting)} of {len(jobs)} runs{left}", flush=True)
    if failures:
        first, what = failures[0], f"{len(failures)} of {len(jobs)} runs failed"
        advice = "What was finished is kept: the same command resumes"
        raise type(first)(what, first.where, found=first.found, advice=advice)


def train_here(
    parameters: Parameters, study_dir: Path, data: str | None, fingerprint: str, jobs: int,
    program: tuple[str, ...] = PROGRAM,
) -> None:  # fmt: skip
    """Train the runs that are not finished on this machine, `jobs` at a time; raises as `collect` does."""
    unfinished = unfinished_jobs(parameters, study_dir, data, fingerprint, program)
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
        collect({pool.submit(train, job): job for job in unfinished}, parameters.epochs)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        end(processes)


def train_on_ray(
    parameters: Parameters, study_dir: Path, data: str | None, fingerprint: str, address: str | None = None,
    jobs: int = 1, program: tuple[str, ...] = PROGRAM,
) -> None:  # fmt: skip
    """Trains the runs that are not finished on a Ray cluster, each a process with a GPU, or a share of one.

    The study's folder and the data have to be seen from every node. What is finished is found on disk; Ray only
    hands out work. `address`: of a running cluster, such as `auto` or `10.0.0.1:6379`; by default one is started
    here for as long as the runs take. `jobs`: runs that share a GPU or, where there is none, a node. Raises
    ParameterError where Ray is not installed or no cluster answers, others as `collect`.
    """
    unfinished = unfinished_jobs(parameters, study_dir, data, fingerprint, program)
    if not unfinished:
        return
    with _cluster(address) as ray:
        train = ray.remote(**_needs(ray, jobs))(_train_on_node)
        settings = {name: os.environ.get(name) for name in _HANDED_OVER}
        references = {train.remote(job, settings): job for job in unfinished}
        try:
            collect({reference.future(): job for reference, job in references.items()}, parameters.epochs)
        finally:
            for reference in references:
                ray.cancel(reference, force=True)


def import_runs(study_dir: Path, folders: Iterable[Path]) -> Iterator[str]:
    """Copy finished runs of another machine into a study, a line each; RunError for one that is not of it.

    Only the regular files that a run's `done.json` lists are copied, under the lock of the run.
    """
    parameters = read_parameters(Path(study_dir) / "params.yaml")
    refuse_links(Path(study_dir) / "runs")
    for folder in map(Path, folders):
        refuse_links(folder)
        run = runs.read_run(folder)
        summary = runs.read_json(Path(study_dir) / "data.json") or {}
        fingerprint = summary.get("fingerprint") or run.config["identity"]["data"]
        identity = runs.run_identity(parameters, run.variant, run.seed, fingerprint)
        reason = runs.why_another(run.folder, identity)
        if reason or (run.variant, run.seed) not in parameters.cells():
            raise RunError("A run is not of this study", where=folder, found=reason or "not in its grid")
        target = runs.run_folder(study_dir, run.variant, run.seed)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(target.with_name(f".{target.name}.lock"), timeout=0):
                if not runs.is_finished(target, identity):
                    _copy_run(folder, target)
        except Timeout as error:
            raise RunError("Another process is training this run", target, advice="Wait for its end") from error
        yield f"{target}: {run.variant} seed {run.seed}"


def _copy_run(folder, target):
    """Copy the listed files of a run beside its place, then rename them into it: a half copy is no run."""
    beside = target.with_name(f".tmp-{target.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    for name in [*runs.read_json(folder / "done.json", runs.Done).files, "done.json"]:
        if Path(name).name != name:
            raise RunError("A run lists a file outside of its folder", folder / "done.json", found=name)
        if (folder / name).exists():  # weights may be missing
            shutil.copyfile(folder / name, beside / name)
    runs.read_run(beside)
    if target.exists():
        runs.set_aside(target)
    beside.rename(target)


def _start(job, place, jobs):
    """Start a job with its share of the machine: one of the GPUs, else every `jobs`-th core."""
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


@contextlib.contextmanager
def _cluster(address):
    """Ray, connected; one that was connected before stays so."""
    if importlib.util.find_spec("ray") is None:
        advice = "pip install --editable '.[ray]'"
        raise ParameterError("The engine ray is not installed", "--engine ray", advice=advice)
    import ray

    if ray.is_initialized():
        yield ray
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        host, _, port = (address or "").rpartition(":")
        if host and port.isdigit():
            # Ray itself tries for more than ten minutes.
            socket.create_connection((host, int(port)), timeout=_TIMEOUT).close()
        own = {"include_dashboard": False} if address is None else {}
        ray.init(address=address or "local", log_to_driver=False, logging_level="warning", **own)
    except Exception as error:  # where a node does not start in time, Ray raises just this
        where = "--engine ray" if address is None else f"--ray-address {address}"
        advice = "Start one with `ray start --head`, set RAY_AUTH_MODE=token here if it has a token"
        advice += ", or leave the address out for one on this machine alone"
        raise ParameterError("No Ray cluster answers", where, found=error, advice=advice) from error
    for number, handler in handlers.items():
        signal.signal(number, handler)  # Ray ends the process at SIGTERM in its own way
    try:
        yield ray
    finally:
        ray.shutdown()


def _needs(ray, jobs):
    """What a run takes of a node: its share of a GPU, or where there is none, of all CPUs."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    has_gpu = any(node.get("GPU") for node in nodes)
    cpus = 1 if has_gpu else max(1, int(min(node["CPU"] for node in nodes if node.get("CPU")) / jobs))
    again = {"max_retries": _RETRIES, "retry_exceptions": [RunError]}
    return {"num_gpus": 1 / jobs if has_gpu else 0, "num_cpus": cpus, **again}


def _train_on_node(job, settings):
    """Run on a worker of Ray, which sets CUDA_VISIBLE_DEVICES to the run's GPU."""
    import ray

    for name, value in settings.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    device = next(iter(ray.get_gpu_ids()), None)
    if device is None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves all of them visible to who asked for none
    process = job.start(None if device is None else os.environ["CUDA_VISIBLE_DEVICES"])
    try:
        job.require_success(process.wait())
    finally:
        end([process])


def _as_fer_error(error, job):
    error = getattr(error, "cause", None) or error  # Ray's errors hold what was raised on the worker
    return error if isinstance(error, FerError) else RunError("", where=job.log, found=str(error).strip())
