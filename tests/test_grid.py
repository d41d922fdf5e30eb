"""Cells on Ray: real clusters of logical GPUs, real papermill executions, real kills."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from test_runner import is_alive, wait_for

from fer_lib import datasets
from fer_lib.errors import ParameterError, RunError
from fer_lib.execution import ray_grid as grid
from fer_lib.execution import runner
from fer_lib.parameters import build_parameters
from fer_lib.training import runs

ray = pytest.importorskip("ray", reason="ray: not installed")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")

PARAMETERS = build_parameters(
    {"study": "tiny", "variants": ["resnet14v2", "resnet14v2-nl1", "resnet14v2-nl2"], "generated_images": 70}
)
FINGERPRINT = "of the data"
# Stands for a training: notes when it ran and on which GPU, and leaves the file of a finished run.
OPENING = f"""
import json, os, signal, time
from pathlib import Path
from fer_lib.training import runs
from fer_lib.parameters import Parameters

folder = runs.run_folder(study_dir, variant, seed)
folder.mkdir(parents=True, exist_ok=True)
first = not (folder / "seen").exists()
(folder / "seen").touch()
identity = runs.run_identity(Parameters.from_notebook(globals()), variant, seed, {FINGERPRINT!r})

def note(word):
    with open(Path(study_dir) / "events", "a") as file:
        print(word, variant, os.environ["CUDA_VISIBLE_DEVICES"] or "none", time.time(), file=file)

note("start")
"""
CLOSING = """
runs.write_json(folder / "config.json", {"identity": identity})
for name in ("history.csv", "predictions.npz"):
    (folder / name).touch()
runs.finish(folder, identity, 1)
note("end")
"""
KILL_THE_WORKER = """
papermill = os.getppid()
worker = int(Path(f"/proc/{papermill}/stat").read_text().rpartition(")")[2].split()[1])
if first and variant.endswith("nl1"):
    os.kill(worker, signal.SIGKILL)
    time.sleep(300)
"""


def write_cell(folder, work):
    parameters = "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.model_dump().items())
    parameters += '\nstudy_dir = ""\nvariant = "resnet14v2"\nseed = 0'
    cells = [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    cells += [new_code_cell(source) for source in (OPENING, work, CLOSING)]
    folder.mkdir()
    nbformat.write(new_notebook(cells=cells), folder / "cell.ipynb")


def train(tmp_path, **more):
    grid.train_on_ray(
        PARAMETERS, tmp_path / "tiny", None, FINGERPRINT, notebook_dir=tmp_path / "notebooks", **more
    )


def events(tmp_path):
    lines = (tmp_path / "tiny" / "events").read_text().splitlines()
    return [(word, variant, gpu, float(when)) for word, variant, gpu, when in map(str.split, lines)]


def count(tmp_path, word):
    found = [variant for what, variant, *_ in events(tmp_path) if what == word]
    return {variant: found.count(variant) for variant in PARAMETERS.variants}


def test_a_removed_node_gives_its_cell_to_another(tmp_path):
    from ray.cluster_utils import Cluster

    write_cell(tmp_path / "notebooks", "time.sleep(300 if first and os.environ['NODE'] == 'lost' else 0)")
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes.add_node(num_cpus=1, num_gpus=1, env_vars={"NODE": "kept"})
        lost = nodes.add_node(num_cpus=1, num_gpus=1, env_vars={"NODE": "lost"})
        ray.init(address=nodes.address, log_to_driver=False, logging_level="error")
        remover = threading.Thread(target=remove_when_alone, args=(tmp_path, nodes, lost))
        remover.start()
        train(tmp_path)
        remover.join()
    finally:
        ray.shutdown()
        nodes.shutdown()
    assert count(tmp_path, "end") == dict.fromkeys(PARAMETERS.variants, 1)
    assert sorted(count(tmp_path, "start").values()) == [1, 1, 2]


def remove_when_alone(tmp_path, nodes, lost):
    """Takes the node away once its cell is the only one that is left."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        time.sleep(0.2)
        try:
            if sum(count(tmp_path, "end").values()) == 2 and sum(count(tmp_path, "start").values()) == 3:
                break
        except OSError:
            continue
    nodes.remove_node(lost, allow_graceful=False)


def test_cells_without_a_gpu_see_none(tmp_path):
    write_cell(tmp_path / "notebooks", "")
    train(tmp_path)
    assert not ray.is_initialized()
    assert {gpu for _, _, gpu, _ in events(tmp_path)} == {"none"}
    assert list(count(tmp_path, "end").values()) == [1, 1, 1]


def test_a_killed_driver_leaves_no_kernel(tmp_path):
    write_cell(tmp_path / "notebooks", "(folder / 'kernel').write_text(str(os.getpid()))\ntime.sleep(300)")
    program = "import sys, pathlib, test_grid\ntest_grid.train(pathlib.Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parent) as driver:
        kernel = int(wait_for(lambda: "".join(path.read_text() for path in tmp_path.rglob("kernel")), 120))
        driver.kill()
    wait_for(lambda: not is_alive(kernel), 60)
    assert [word for word, *_ in events(tmp_path)] == ["start"]


def test_no_cluster_and_no_ray(tmp_path, monkeypatch):
    write_cell(tmp_path / "notebooks", "")
    with pytest.raises(ParameterError, match=r"No Ray cluster answers\. Where: --ray-address 127.0.0.1:1\."):
        train(tmp_path, address="127.0.0.1:1")
    monkeypatch.setattr(grid.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ParameterError, match="ray is not installed"):
        train(tmp_path)


def test_results_equal_those_of_the_local_engine(tmp_path, monkeypatch):
    from fer_lib.training.loop import train_run

    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    parameters = PARAMETERS.model_copy(update={"variants": ["resnet14v2"], "epochs": 1, "image_size": 32})
    splits = datasets.load(parameters, None)
    grid.train_on_ray(parameters, tmp_path / "ray", None, splits.fingerprint)
    (cell,) = runs.study_runs(tmp_path / "ray", parameters)
    local = train_run(parameters, "resnet14v2", 0, splits, tmp_path / "local")
    assert (cell.folder / "history.csv").read_bytes() == (local.folder / "history.csv").read_bytes()
    assert (cell.predictions().probabilities == local.predictions().probabilities).all()
    assert cell.config["identity"] == local.config["identity"]


def test_the_study_trains_its_grid_first(tmp_path, monkeypatch, tiny_splits):
    monkeypatch.setattr(runner.datasets, "load", lambda parameters, data: tiny_splits)
    monkeypatch.setattr(runner, "write_report", lambda study_dir: study_dir / "report.html")
    order = []
    monkeypatch.setattr(runner.Execution, "finish", lambda self, title: order.append(title))
    runner.run_study(PARAMETERS, "a.zip", ["01"], tmp_path, train_grid=lambda *given: order.append(given[1:]))
    assert order == [(tmp_path / "tiny", "a.zip", tiny_splits.fingerprint), "[1/1] 01_baseline"]


@pytest.fixture(scope="module")
def cluster():
    """Two logical GPUs, started once. It stays for the rest of the module, so its tests are the last ones."""
    ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


def test_each_cell_has_a_gpu_of_its_own_and_is_trained_once(tmp_path, cluster, capsys):
    write_cell(tmp_path / "notebooks", "time.sleep(1)")
    train(tmp_path)
    assert count(tmp_path, "start") == count(tmp_path, "end") == dict.fromkeys(PARAMETERS.variants, 1)
    held = {}
    for word, variant, gpu, _ in sorted(events(tmp_path), key=lambda event: event[3]):
        assert gpu in ("0", "1")
        if word == "start":
            assert gpu not in held, f"{variant} and {held[gpu]} on GPU {gpu} at one time"
            held[gpu] = variant
        else:
            assert held.pop(gpu) == variant
    assert "3 of 3" in capsys.readouterr().out
    train(tmp_path)
    assert "3 cells, 3 of them finished before" in capsys.readouterr().out
    assert len(events(tmp_path)) == 6


def test_a_killed_worker_loses_nothing_that_was_finished(tmp_path, cluster):
    write_cell(tmp_path / "notebooks", KILL_THE_WORKER)
    train(tmp_path)
    plain, killed, other = PARAMETERS.variants
    assert count(tmp_path, "start") == {plain: 1, killed: 2, other: 1}
    assert count(tmp_path, "end") == dict.fromkeys(PARAMETERS.variants, 1)


def test_a_failing_cell_is_tried_again_and_named_with_its_log(tmp_path, cluster, monkeypatch, capsys):
    monkeypatch.setattr(grid, "_RETRIES", 1)
    write_cell(tmp_path / "notebooks", "if variant.endswith('nl1'): raise ValueError('no such luck')")
    with pytest.raises(RunError, match=r"1 of 3 cells failed, resnet14v2-nl1 seed 0 for one") as error:
        train(tmp_path)
    log = tmp_path / "tiny" / "cells" / "resnet14v2-nl1-seed-0.log"
    assert error.value.where == log
    assert log.read_text().count("ValueError: no such luck") == 2
    plain, failing, other = PARAMETERS.variants
    assert count(tmp_path, "start") == {plain: 1, failing: 2, other: 1}
    assert count(tmp_path, "end") == {plain: 1, failing: 0, other: 1}
