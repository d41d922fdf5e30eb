import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fer_lib import cli, datasets
from fer_lib.datasets import checks
from fer_lib.errors import DataError, RunError
from fer_lib.execution import jobs, runner
from fer_lib.parameters import Parameters

ROOT = Path(__file__).parents[1]
STOPS = pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])


@pytest.fixture(autouse=True)
def handlers_as_they_were():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def params(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("study: tiny\nvariants: [resnet14v2, resnet14v2-nl3]\nseeds: [0, 5]\n")
    return str(path)


def call(capsys, *arguments):
    """Exit status, standard output, standard error."""
    status = cli.main(list(arguments))
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return status, shown.out, shown.err


def refused(capsys, words, *arguments):
    """Call with bad arguments, parameters or data, which the message names."""
    status, _, err = call(capsys, *arguments)
    assert (status, words in err) == (2, True), err


def test_help_names_every_command(capsys):
    status, out, _ = call(capsys, "--help")
    assert status == 0
    for command in ("run", "check", "list", "train", "parameters", "kernel", "report"):
        assert f"  {command} " in out
    assert "cell" not in out


@pytest.mark.parametrize(
    "arguments", ["rum", "run", "run a.yaml --dat x", "run a.yaml --engine dask", "run a.yaml --jobs 0"]
)
def test_bad_usage(capsys, arguments):
    assert call(capsys, *arguments.split())[0] == 2


def test_run_hands_everything_over_and_names_the_report(capsys, monkeypatch, params, tmp_path):
    given = []
    monkeypatch.setattr(runner, "run_study", lambda *arguments, **_: given.append(arguments) or "report.html")
    settings = "--data a.zip --set epochs=9 --set flip=false --notebook 01 --notebook 02"
    status, out, _ = call(capsys, "run", params, *settings.split(), "--output-root", str(tmp_path))
    ((parameters, *others),) = given
    assert (parameters.study, parameters.epochs, parameters.flip) == ("tiny", 9, False)
    assert others == ["a.zip", ["01", "02"], tmp_path]
    assert (status, out.splitlines()[-1]) == (0, "Report: report.html")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RunError("Notebook 01 failed", found="this"), 1, "Notebook 01 failed. Found: this."),
        (DataError("No data", where="a.zip"), 2, "No data. Where: a.zip."),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.npz"), 1, "Found: No space left on device."),
    ],
)
def test_an_error_is_one_paragraph_and_an_exit_status(capsys, monkeypatch, params, error, status, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(runner, "run_study", fail)
    found, out, err = call(capsys, "run", params)
    assert (found, out, err.count("\n")) == (status, "", 1)
    assert words in err


@STOPS
def test_signals(capsys, monkeypatch, params, number, status):
    monkeypatch.setattr(runner, "run_study", lambda *_, **__: os.kill(os.getpid(), number))
    found, _, err = call(capsys, "run", params)
    assert (found, err) == (status, "Stopped. The same command resumes.\n")


def test_where_the_runs_are_trained(capsys, monkeypatch, params):
    given = []
    monkeypatch.setattr(runner, "run_study", lambda *_, train_grid: given.append(train_grid) or "report.html")
    for settings in ("", "--jobs 2", "--engine ray --ray-address 10.0.0.1:6379 --jobs 4"):
        assert call(capsys, "run", params, *settings.split())[0] == 0
    nothing, here, ray = given
    assert nothing is None
    assert (here.func, here.keywords) == (jobs.train_here, {"jobs": 2})
    assert (ray.func, ray.keywords) == (jobs.train_on_ray, {"address": "10.0.0.1:6379", "jobs": 4})
    refused(capsys, "Expected: --engine ray. Found: local.", "run", params, "--ray-address", "auto")


@pytest.mark.parametrize("wait", [0.1, 0.5])
@STOPS
def test_a_signal_while_the_command_is_being_loaded(params, number, status, wait):
    # The handlers are there before anything that takes its time is imported: the signals come a moment after.
    program = (
        "import sys, threading, os, time\nfrom fer_lib import cli\n"
        f"for moment in ({wait}, {wait} + 0.05, {wait} + 0.1):\n"
        f"    threading.Timer(moment, os.kill, [os.getpid(), {int(number)}]).start()\n"
        f"sys.argv[1:] = ['check', {params!r}]\nsys.exit(cli.main())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, "Stopped. The same command resumes.\n")


def test_the_parameters_are_listed_with_their_meaning(capsys):
    status, out, _ = call(capsys, "parameters")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(Parameters.model_fields)
    assert all(field.description for field in Parameters.model_fields.values())


@pytest.mark.parametrize("name", ["list", "cells"])
def test_runs_are_listed_seed_by_seed(capsys, params, name):
    listed = "0\tresnet14v2\t0\n1\tresnet14v2-nl3\t0\n2\tresnet14v2\t5\n3\tresnet14v2-nl3\t5\n"
    assert call(capsys, name, params)[:2] == (0, listed)


@pytest.mark.parametrize("name", ["train", "cell"])
def test_a_run_is_trained_into_the_study_without_the_place_of_the_data(
    capsys, monkeypatch, params, tmp_path, tiny_splits, name
):
    given = []

    def train_run(parameters, variant, seed, splits, study_dir, *_, **__):
        given.append((parameters.data, variant, seed, splits, study_dir))
        return SimpleNamespace(folder="the/folder")

    monkeypatch.setitem(sys.modules, "fer_lib.training.loop", SimpleNamespace(train_run=train_run))
    monkeypatch.setitem(sys.modules, "fer_lib.analysis.recorder", SimpleNamespace(record_attention=None))
    (tmp_path / "a.zip").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load", lambda parameters, data: tiny_splits)
    arguments = [name, params, "--index", "3", "--set", "data=a.zip", "--output-root", str(tmp_path)]
    assert call(capsys, *arguments)[:2] == (0, "Run: the/folder\n")
    assert given == [(None, "resnet14v2-nl3", 5, tiny_splits, tmp_path / "tiny")]
    monkeypatch.setenv("FER_FINGERPRINT", "of other data")
    refused(capsys, "The data changed", *arguments)


def test_check_shows_what_it_found_and_refuses_what_would_ruin_a_study(capsys, monkeypatch, params, tiny_splits):
    monkeypatch.setattr(datasets, "load", lambda parameters, data: tiny_splits)
    status, out, _ = call(capsys, "check", params)
    assert status == 0
    assert out.splitlines()[1].split() == ["angry", "10", "3", "2"]  # training, validation and test images
    monkeypatch.setattr(checks, "MAX_CONSTANT_SHARE", -1)  # now even no blank image is too many
    status, out, err = call(capsys, "check", params)
    assert status == 2
    assert "PROBLEM: 0 of 105 images are blank" in out
    assert "The dataset failed validation" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train {params} --index 4", "Expected: 0 to 3. Found: 4."),
        ("train {params} --index -1", "Expected: 0 to 3. Found: -1."),
        ("run {params} --set epoch=3", "Did you mean `epochs`?"),
        ("run nowhere.yaml", "nowhere.yaml"),
        ("run {params} --set dataset=kdef --set protocol=random", "The study needs data"),
        ("check {params} --set dataset=fer2013 --data nowhere.zip", "nowhere.zip"),
        ("report {folder}/nowhere", "not a study's"),
    ],
)
def test_what_is_not_there_is_named_and_no_folder_is_made(capsys, monkeypatch, params, tmp_path, arguments, words):
    monkeypatch.chdir(tmp_path)
    refused(capsys, words, *arguments.format(params=params, folder=tmp_path).split())
    assert not (tmp_path / "outputs").exists()


def command(*arguments, folder, **environment):
    """Exit status, standard output and error of a process `fer-study`, all in bytes."""
    program = [sys.executable, "-m", "fer_lib.cli", *arguments]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True)
    return done.returncode, done.stdout, done.stderr


def test_without_the_study_extra_one_line_says_what_to_install(tmp_path):
    # The layer alone: keras and numpy, and a Python that finds no more.
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    status, _, err = command("--help", folder=tmp_path, PYTHONPATH=paths)
    assert (status, err.count(b"\n")) == (2, 1)
    assert b"package typer is not installed" in err and b"[study,tensorflow]" in err


def test_a_terminal_that_lacks_characters(tmp_path):
    folder = tmp_path / "\u4e2d\u6587"
    folder.mkdir()
    status, _, err = command("report", str(folder), folder=tmp_path, PYTHONIOENCODING="latin-1")
    assert (status, b"\\u4e2d" in err) == (2, True)


def test_a_user_without_a_home(params, tmp_path):
    environment = {"HOME": str(tmp_path / "nowhere"), "KERAS_BACKEND": "jax"}
    status, _, err = command("check", params, "--set", "generated_images=210", folder=tmp_path, **environment)
    assert (status, err) == (0, b"")
