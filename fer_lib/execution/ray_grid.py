"""The grid of a study on a Ray cluster: every cell (variant and seed) one papermill execution with its own GPU.

The cells write run folders, as any training does, so the study's folder and the data have to be seen from every
node. What is finished is found on disk; Ray only hands out work.
"""

import contextlib
import importlib.util
import os
import signal
import socket
from pathlib import Path

from fer_lib import notebooks
from fer_lib.errors import ParameterError, RunError
from fer_lib.execution.notebook import execute_notebook, notebook_values
from fer_lib.training import runs

NOTEBOOK = "cell.ipynb"
# A cell goes on from its last epoch, so trying again is cheap, after a lost node as after a failure of its own.
_RETRIES = 3
# Seconds between looks at how far the cells are.
_INTERVAL = 10
# Seconds for a cluster to answer.
_PATIENCE = 10


def train_on_ray(parameters, study_dir, data, fingerprint, address=None, notebook_dir=notebooks.FOLDER):
    """Trains the cells that are not finished, as many at a time as the cluster has GPUs.

    Without any GPU a cell takes all CPUs of a node.

    Args:
        parameters: `Parameters`.
        study_dir: folder of the study, on a disk that all nodes share.
        data: path of the data, on such a disk too, or None.
        fingerprint: of the data.
        address: of a running cluster, such as `auto` or `10.0.0.1:6379`; by default one is started on this
            machine for as long as the cells take.
        notebook_dir: where `cell.ipynb` lies.

    Raises:
        ParameterError: Ray is not installed, or no cluster answers.
        RunError: cells failed; the others are finished.
    """
    # A worker has a working directory of its own.
    study_dir = Path(study_dir).absolute()
    data = None if data is None else str(Path(data).expanduser().absolute())
    source = Path(notebook_dir) / NOTEBOOK
    todo = [cell for cell in parameters.cells() if not _is_finished(parameters, study_dir, fingerprint, *cell)]
    total = len(parameters.cells())
    print(f"Grid: {total} cells, {total - len(todo)} of them finished before", flush=True)
    if not todo:
        return
    with _cluster(address) as ray:
        train = ray.remote(**_needs(ray))(_train_cell)
        waiting = {}
        for variant, seed in todo:
            values = notebook_values(source, parameters, study_dir, variant=variant, seed=seed)
            cell = _Cell(variant, seed, study_dir)
            waiting[train.remote(source, cell, values, data, _handed_over())] = cell
        _collect(ray, waiting, parameters.epochs)


class _Cell:
    """Where a cell leaves its executed notebook and its log."""

    def __init__(self, variant, seed, study_dir):
        self.title = f"{variant} seed {seed}"
        self.run_folder = runs.run_folder(study_dir, variant, seed)
        self.notebook = study_dir / "cells" / f"{variant}-seed-{seed}.ipynb"
        self.log = self.notebook.with_suffix(".log")

    def progress(self, epochs):
        """Words for how far its training is; None before its first epoch has ended."""
        try:
            done = len((self.run_folder / "history.csv").read_text(encoding="utf-8").splitlines()) - 1
        except OSError:
            return None
        return f"{self.title}: epoch {done}/{epochs}"


def _is_finished(parameters, study_dir, fingerprint, variant, seed):
    identity = runs.run_identity(parameters, variant, seed, fingerprint)
    return runs.is_finished(runs.run_folder(study_dir, variant, seed), identity)


@contextlib.contextmanager
def _cluster(address):
    """Ray, connected; one that was connected before stays so."""
    if importlib.util.find_spec("ray") is None:
        raise ParameterError(
            "The engine ray is not installed", where="--engine ray", advice="pip install --editable '.[ray]'"
        )
    import ray

    if ray.is_initialized():
        yield ray
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    _connect(ray, address)
    for number, handler in handlers.items():
        signal.signal(number, handler)  # Ray ends the process at SIGTERM in its own way
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray, address):
    """Starts Ray on this machine, or connects to the cluster at `address`."""
    try:
        if address is None:
            ray.init(address="local", log_to_driver=False, logging_level="warning", include_dashboard=False)
            return
        host, _, port = address.rpartition(":")
        if host and port.isdigit():
            # Ray itself goes on trying for more than ten minutes.
            socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
        ray.init(address=address, log_to_driver=False, logging_level="warning")
    except Exception as error:  # where a node does not start in time, Ray raises just this
        raise ParameterError(
            "No Ray cluster answers",
            where="--engine ray" if address is None else f"--ray-address {address}",
            found=error,
            advice="Start one with `ray start --head`, set RAY_AUTH_MODE=token here if it has a token, or leave "
            "the address out for one on this machine alone",
        ) from error


def _needs(ray):
    """What a cell takes of a node: a GPU, or where there is none, all of its CPUs."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(node.get("GPU", 0) for node in nodes)
    cpus = 1 if gpus else max(1, int(min(node["CPU"] for node in nodes if node.get("CPU"))))
    return {"num_gpus": int(gpus > 0), "num_cpus": cpus, "max_retries": _RETRIES, "retry_exceptions": [RunError]}


def _handed_over():
    """Variables that the cells need as they are here; None where they are not set."""
    return {name: os.environ.get(name) for name in ("KERAS_BACKEND", "FER_CACHE", "OMP_NUM_THREADS")}


def _train_cell(source, cell, values, data, variables):
    """Runs on a worker of Ray, which sets CUDA_VISIBLE_DEVICES to the cell's GPU."""
    import ray

    for name, value in variables.items():
        # Ray sets OMP_NUM_THREADS by itself: a sum in other parts would be another number.
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    if not ray.get_gpu_ids():
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves all of them visible to who asked for none
    cell.log.parent.mkdir(parents=True, exist_ok=True)
    with open(cell.log, "a", encoding="utf-8", buffering=1) as log:
        print(f"{cell.title}, GPU {os.environ.get('CUDA_VISIBLE_DEVICES') or 'none'}", file=log)
        try:
            execute_notebook(source, cell.notebook, values, data, tell=lambda line: print(line, file=log))
        except RunError as error:
            print(error, file=log)
            raise


def _collect(ray, waiting, epochs):
    """Waits for all cells, telling how far they are; then says which failed."""
    total, failed, told = len(waiting), [], None
    try:
        while waiting:
            done, _ = ray.wait(list(waiting), timeout=_INTERVAL)
            for reference in done:
                cell = waiting.pop(reference)
                try:
                    ray.get(reference)
                    print(f"      {cell.title}: finished, {total - len(waiting)} of {total}", flush=True)
                except ray.exceptions.RayError as error:
                    failed.append((cell, getattr(error, "cause", None) or error))
                    print(f"      {cell.title}: failed, see {cell.log}", flush=True)
            states = [state for cell in waiting.values() if (state := cell.progress(epochs))]
            if states and states != told:
                print(f"      {'; '.join(states)}", flush=True)
                told = states
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
    if failed:
        cell, error = failed[0]
        raise RunError(
            f"{len(failed)} of {total} cells failed, {cell.title} for one",
            where=cell.log,
            found=str(error).strip().splitlines()[-1],
            advice="What was finished stays: the same command goes on from there",
        )
