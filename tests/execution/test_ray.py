"""Runs on Ray: real clusters of logical GPUs, real kills, fake trainings where only the processes matter."""

import subprocess
import sys
from pathlib import Path

import pytest
from test_jobs import PARAMETERS, count, events, fake_jobs, finished_is_what_the_fake_says  # noqa: F401
from test_runner import is_alive, wait_for

from fer_lib.errors import ParameterError, RunError
from fer_lib.execution import jobs as grid

ray = pytest.importorskip("ray", reason="ray: not installed")

KILL_THE_WORKER = """
if first and variant.endswith("nl1"):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(300)
"""


def train(tmp_path, work="", **more):
    grid.train_on_ray(fake_jobs(tmp_path, work), **more)


def test_a_killed_driver_leaves_no_process(tmp_path):
    program = "import sys, pathlib, test_ray\ntest_ray.train(pathlib.Path(sys.argv[1]), 'time.sleep(300)')"
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parent) as driver:
        worker = int(wait_for(lambda: "".join(path.read_text() for path in tmp_path.rglob("seen"))[:20], 120))
        driver.kill()
    wait_for(lambda: not is_alive(worker), 60)
    assert "end" not in {word for word, *_ in events(tmp_path)}


def test_no_cluster(tmp_path):
    with pytest.raises(ParameterError, match=r"No Ray cluster answers\. Where: --ray-address 127.0.0.1:1\."):
        train(tmp_path, address="127.0.0.1:1")


@pytest.fixture(scope="module")
def cluster():
    """Two logical GPUs, started once. It stays for the rest of the module, so its tests are the last ones."""
    ray.init(num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


def test_each_run_has_a_gpu_of_its_own_and_is_trained_once(tmp_path, cluster, capsys):
    train(tmp_path, "time.sleep(1)")
    assert count(tmp_path, "start") == count(tmp_path, "end") == dict.fromkeys(PARAMETERS.variants, 1)
    held = {}
    for word, variant, gpu, *_ in sorted(events(tmp_path), key=lambda event: float(event[-1])):
        assert gpu in ("0", "1")
        if word == "start":
            assert gpu not in held, f"{variant} and {held[gpu]} on GPU {gpu} at one time"
            held[gpu] = variant
        else:
            assert held.pop(gpu) == variant
    assert "3 of 3 runs" in capsys.readouterr().out
    assert fake_jobs(tmp_path) == []


def test_several_runs_share_a_gpu(tmp_path, cluster):
    train(tmp_path, "time.sleep(4)", jobs=2)
    first_end = min(float(event[-1]) for event in events(tmp_path) if event[0] == "end")
    assert sum(float(event[-1]) < first_end for event in events(tmp_path) if event[0] == "start") == 3


def test_a_killed_worker_loses_nothing_that_was_finished(tmp_path, cluster):
    train(tmp_path, KILL_THE_WORKER)
    baseline, killed, other = PARAMETERS.variants
    assert count(tmp_path, "start") == {baseline: 1, killed: 2, other: 1}
    assert count(tmp_path, "end") == dict.fromkeys(PARAMETERS.variants, 1)


def test_a_failing_run_is_tried_again_and_named_with_its_log(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(grid, "_RETRIES", 1)
    with pytest.raises(RunError, match=r"1 of 3 runs failed") as error:
        train(tmp_path, "if variant.endswith('nl1'): raise ValueError('no such luck')")
    log = tmp_path / "tiny" / "logs" / "resnet14v2-nl1-seed-0.log"
    assert error.value.where == log
    assert log.read_text().count("\nValueError: no such luck") == 1
    baseline, failing, other = PARAMETERS.variants
    assert count(tmp_path, "start") == {baseline: 1, failing: 2, other: 1}
    assert count(tmp_path, "end") == {baseline: 1, failing: 0, other: 1}
