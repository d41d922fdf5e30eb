"""The runs of a study on a Ray cluster, each a process with a GPU, or a share of one.

They write run folders, as any training does, so the study's folder and the data have to be seen from every node.
What is finished is found on disk; Ray only hands out work.
"""

import contextlib
import importlib.util
import os
import signal
import socket

from fer_lib.errors import ParameterError, RunError
from fer_lib.execution.jobs import PROGRAM, Board
from fer_lib.execution.processes import end

# A run goes on from its last epoch, so trying again is cheap, after a lost node as after a failure of its own.
_RETRIES = 3
_TIMEOUT = 10  # seconds for a cluster to answer
# The runs need them as they are here. Ray sets the last by itself: a sum in other parts would be another number.
_HANDED_OVER = ("KERAS_BACKEND", "FER_CACHE", "OMP_NUM_THREADS")


def train_on_ray(parameters, study_dir, data, fingerprint, address=None, jobs=1, program=PROGRAM):
    """Trains the runs that are not finished, as many at a time as the cluster has room for.

    Args:
        parameters, study_dir, data, fingerprint, program: see `Job`; on a disk that all nodes share.
        address: of a running cluster, such as `auto` or `10.0.0.1:6379`; by default one is started on this
            machine for as long as the runs take.
        jobs: runs that share a GPU or, where there is none, a node.

    Raises:
        ParameterError: Ray is not installed, or no cluster answers.
        RunError, DataError: runs failed; the others are finished.
    """
    board = Board(parameters, study_dir, data, fingerprint, program)
    if not board.jobs:
        return
    with _cluster(address) as ray:
        train = ray.remote(**_needs(ray, jobs))(_train)
        variables = {name: os.environ.get(name) for name in _HANDED_OVER}
        references = {train.remote(job, variables): job for job in board.jobs}
        try:
            board.collect({reference.future(): job for reference, job in references.items()})
        finally:
            for reference in references:
                ray.cancel(reference, force=True)


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
            # Ray itself goes on trying for more than ten minutes.
            socket.create_connection((host, int(port)), timeout=_TIMEOUT).close()
        own = {"include_dashboard": False} if address is None else {}
        ray.init(address=address or "local", log_to_driver=False, logging_level="warning", **own)
    except Exception as error:  # where a node does not start in time, Ray raises just this
        where = "--engine ray" if address is None else f"--ray-address {address}"
        advice = (
            "Start one with `ray start --head`, set RAY_AUTH_MODE=token here if it has a token, or leave the "
            "address out for one on this machine alone"
        )
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
    gpus = sum(node.get("GPU", 0) for node in nodes)
    cpus = 1 if gpus else max(1, int(min(node["CPU"] for node in nodes if node.get("CPU")) / jobs))
    again = {"max_retries": _RETRIES, "retry_exceptions": [RunError]}
    return {"num_gpus": 1 / jobs if gpus else 0, "num_cpus": cpus, **again}


def _train(job, variables):
    """Runs on a worker of Ray, which sets CUDA_VISIBLE_DEVICES to the run's GPU."""
    import ray

    for name, value in variables.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    device = next(iter(ray.get_gpu_ids()), None)
    if device is None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves all of them visible to who asked for none
    process = job.start(None if device is None else os.environ["CUDA_VISIBLE_DEVICES"])
    try:
        job.require_success(process.wait())
    finally:
        end([process])
