"""Runs in processes of their own: fake trainings where the processes matter, real ones where the numbers do."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_runner import is_alive, wait_for

from fer_lib import datasets
from fer_lib.environment import cores
from fer_lib.errors import DataError, RunError
from fer_lib.execution import jobs
from fer_lib.parameters import build_parameters, write_parameters
from fer_lib.training import runs

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")

PARAMETERS = build_parameters(
    {"study": "tiny", "variants": ["resnet14v2", "resnet14v2-nl1", "resnet14v2-nl2"], "generated_images": 70}
)
# Stands for `fer-study train`: notes when it ran, with which GPU and cores, and leaves a finished run.
FAKE = """
import os, signal, sys, time
from pathlib import Path
from fer_lib.execution.processes import end_with_parent
from fer_lib.parameters import read_parameters
from fer_lib.training import runs

if os.environ.pop("FER_PARENT", None):
    end_with_parent()
parameters = read_parameters(sys.argv[2])
variant, seed = parameters.cells()[int(sys.argv[4])]
study_dir = Path(sys.argv[6]) / parameters.study
folder = runs.run_folder(study_dir, variant, seed)
folder.mkdir(parents=True, exist_ok=True)
first = not (folder / "seen").exists()
(folder / "seen").write_text(str(os.getpid()))

def note(word):
    with open(study_dir / "events", "a") as file:
        device = os.environ.get("CUDA_VISIBLE_DEVICES") or "none"
        share = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        print(word, variant, device, share, os.environ["TF_NUM_INTRAOP_THREADS"], time.time(), file=file)

note("start")
{work}
(folder / "done.json").touch()
note("end")
"""


def study(tmp_path, parameters=PARAMETERS):
    folder = tmp_path / parameters.study
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text(write_parameters(parameters))
    return folder


def fake_jobs(tmp_path, work="time.sleep(0.5)"):
    """The study's unfinished jobs, done by the fake program."""
    folder, program = study(tmp_path), tmp_path / "fake.py"
    program.write_text(FAKE.replace("{work}", work))
    return jobs.unfinished_jobs(PARAMETERS, folder, None, "f", (sys.executable, str(program)))


def events(tmp_path):
    return [line.split() for line in (tmp_path / "tiny" / "events").read_text().splitlines()]


def count(tmp_path, word):
    found = [variant for what, variant, *_ in events(tmp_path) if what == word]
    return {variant: found.count(variant) for variant in PARAMETERS.variants}


@pytest.fixture(autouse=True)
def finished_is_what_the_fake_says(monkeypatch, request):
    if "bit_for_bit" not in request.node.name:
        monkeypatch.setattr(runs, "require_one_version", lambda *_: None)
        monkeypatch.setattr(runs, "is_finished", lambda folder, identity: (folder / "done.json").exists())


def test_two_at_a_time_with_divided_cores_and_undivided_threads_the_longest_first(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(jobs, "gpus", lambda: [])
    jobs.train_here(fake_jobs(tmp_path), 2)
    seen = events(tmp_path)
    assert {line[1] for line in seen[:2]} == {"resnet14v2-nl1", "resnet14v2-nl2"}
    assert "resnet14v2" in {line[1] for line in seen[-2:]}
    assert {line[4] for line in seen} == {str(len(cores()))}
    if len(cores()) > 1:
        assert all(len(line[3].split(",")) <= (len(cores()) + 1) // 2 for line in seen)
    shown = capsys.readouterr().out
    assert "3 runs, 0 of them finished before" in shown and "3 of 3 runs" in shown
    assert fake_jobs(tmp_path) == []
    assert "3 of them finished before" in capsys.readouterr().out


def test_gpus_are_dealt_out(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    jobs.train_here(fake_jobs(tmp_path), 3)
    assert sorted(line[2] for line in events(tmp_path) if line[0] == "start") == ["3", "3", "5"]


@pytest.mark.parametrize(
    ("work", "kind", "words"),
    [
        ("raise ValueError('no such luck')", RunError, "ValueError: no such luck"),
        ("os.kill(os.getpid(), 9)", RunError, "killed by SIGKILL, perhaps out of memory"),
        ("sys.exit(2)", DataError, "status 2"),
    ],
)
def test_a_failure_is_named_with_its_log_and_stops_no_other(tmp_path, capsys, work, kind, words):
    with pytest.raises(kind, match=f"1 of 3 runs failed.*resnet14v2-nl1-seed-0.log.*{words}"):
        jobs.train_here(fake_jobs(tmp_path, f"if variant.endswith('nl1'): {work}"), 2)
    assert re.search(rf"resnet14v2-nl1 seed 0: failed, see .*-nl1-seed-0\.log: .*{words}", capsys.readouterr().out)
    assert count(tmp_path, "end") == {"resnet14v2": 1, "resnet14v2-nl1": 0, "resnet14v2-nl2": 1}
    jobs.train_here(fake_jobs(tmp_path, ""), 2)  # the same command goes on
    assert count(tmp_path, "end") == dict.fromkeys(PARAMETERS.variants, 1)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGKILL, -9)])
def test_a_stopped_command_leaves_no_process(tmp_path, number, status):
    command = (
        "import sys\nfrom pathlib import Path\nfrom fer_lib import cli, commands\nfrom test_jobs import *\n"
        f"waiting = fake_jobs(Path({str(tmp_path)!r}), 'time.sleep(300)')\n"
        "commands.read_parameters = lambda *_: jobs.train_here(waiting, 2)\n"
        "sys.exit(cli.main(['list', 'x']))"
    )
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": paths}
    with subprocess.Popen([sys.executable, "-c", command], env=environment) as process:
        wait_for(lambda: sum(count(tmp_path, "start").values()) == 2, 60)
        process.send_signal(number)
        assert process.wait(30) == status
    workers = [int(path.read_text()) for path in tmp_path.rglob("seen")]
    assert len(workers) == 2
    wait_for(lambda: not any(map(is_alive, workers)), 30)
    assert [word for word, *_ in events(tmp_path)] == ["start", "start"]


def test_results_equal_those_of_one_process_bit_for_bit(tmp_path, monkeypatch):
    from fer_lib.training.loop import train_run

    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    values = {"variants": PARAMETERS.variants[:2], "epochs": 1, "image_size": 32, "width": 0.25}
    values |= {"generated_images": 210}
    parameters = PARAMETERS.model_copy(update=values)
    splits = datasets.load(parameters, None)
    folder = study(tmp_path, parameters)
    with pytest.raises(DataError, match=r"1 of 1 runs failed.*The data changed"):
        jobs.train_here(jobs.unfinished_jobs(parameters, folder, None, "of other data")[:1], 2)
    jobs.train_here(jobs.unfinished_jobs(parameters, folder, None, splits.fingerprint), 2)
    for run in runs.study_runs(folder, parameters):
        local = train_run(parameters, run.variant, 0, splits, tmp_path / "local")
        assert (run.folder / "history.csv").read_bytes() == (local.folder / "history.csv").read_bytes()
        assert (run.predictions().probabilities == local.predictions().probabilities).all()
        assert run.config["identity"] == local.config["identity"]
