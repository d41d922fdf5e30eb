"""Real papermill executions of notebooks of a few cells."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from fer_lib import datasets, files
from fer_lib.datasets import checks
from fer_lib.errors import DataError, ParameterError, RunError
from fer_lib.execution import runner
from fer_lib.execution.processes import why_ended
from fer_lib.parameters import build_parameters

PARAMETERS = 'params: str = "../params/smoke.yaml"'
# What `Study` gives the notebooks, without its imports.
OPEN = (
    "from pathlib import Path\nimport yaml\n"
    "folder = Path(params).parent\nepochs = yaml.safe_load(Path(params).read_text())['epochs']"
)


def write_notebook(path, *sources, parameters=PARAMETERS):
    cells = [new_markdown_cell("# A title"), new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=[*cells, *map(new_code_cell, sources)]), path)


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny_splits):
    """A folder for notebooks and outputs, with noise for data."""
    monkeypatch.setattr(datasets, "load", lambda parameters, data: tiny_splits)
    return tmp_path


def run(folder, data=None, **values):
    parameters, given = build_parameters({"study": "tiny", **values}), (folder / "outputs", folder / "notebooks")
    return runner.run_study(parameters, data, None, *given).parent


def test_a_study_from_its_notebooks_to_its_report_and_then_again(folder, capsys, monkeypatch):
    write_notebook(
        folder / "notebooks" / "01_first.ipynb",
        OPEN,
        "tables = folder / 'tables'\ntables.mkdir(exist_ok=True)",
        "(tables / '1.1-epochs.csv').write_text(f'epochs\\n{epochs}\\n')\n"
        "print('epochs', epochs)\nprint('resnet14v2, seed 0: epoch 1')",
    )
    write_notebook(folder / "notebooks" / "02_second.ipynb", "print(params)")
    write_notebook(folder / "notebooks" / "draft.ipynb", "raise SystemExit")

    study = run(folder, epochs=5)
    assert (study / "tables" / "1.1-epochs.csv").read_text() == "epochs\n5\n"
    assert (study / "report.html").is_file()
    assert "epochs: 5" in (study / "params.yaml").read_text()
    second = nbformat.read(study / "notebooks" / "02_second.ipynb", as_version=4)
    nbformat.validate(second)
    assert second.metadata.papermill.parameters == {"params": "../outputs/tiny/params.yaml"}
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if line.startswith("[")] == ["[1/2] 01_first", "[2/2] 02_second"]
    # Of what notebooks print, the terminal shows trainings only.
    assert "      resnet14v2, seed 0: epoch 1" in shown and "epochs 5" not in "".join(shown)
    assert not list(study.rglob(".tmp-*"))

    # Nothing has changed: no notebook is executed, and the report is not written again.
    with monkeypatch.context() as patched:
        patched.setattr("papermill.execute_notebook", lambda *_, **__: pytest.fail("executed"))
        patched.setattr("fer_lib.report.page.write_report", lambda *_: pytest.fail("written"))
        run(folder, epochs=5)
    assert "[1/2] 01_first: finished before" in capsys.readouterr().out

    # A table that was lost or edited is made again, by the notebook that it came from.
    for spoil in (Path.unlink, lambda path: path.write_text("epochs\n50\n")):
        spoil(study / "tables" / "1.1-epochs.csv")
        run(folder, epochs=5)
        assert (study / "tables" / "1.1-epochs.csv").read_text() == "epochs\n5\n"
        assert "[2/2] 02_second: finished before" in capsys.readouterr().out


def test_only_results_that_the_notebook_made_are_deleted(folder, monkeypatch):
    source, results = folder / "notebooks" / "01_first.ipynb", folder / "outputs" / "tiny" / "tables"
    results.mkdir(parents=True)
    (results / "1.my-own.csv").write_text("a\n1\n")
    write_notebook(source, "")
    pretend_to_execute(folder, monkeypatch, lambda: (results / "1.1-a.csv").write_text("a\n1\n"))
    run(folder)
    (results / "1.2-mine.csv").write_text("a\n1\n")
    write_notebook(source, "changed")
    pretend_to_execute(folder, monkeypatch, lambda: (results / "1.3-b.csv").write_text("a\n1\n"))
    run(folder)
    assert sorted(path.name for path in results.iterdir()) == ["1.2-mine.csv", "1.3-b.csv", "1.my-own.csv"]


@pytest.mark.parametrize("name", ["figures", "notebooks", "runs", "runs/resnet14v2/seed-0"])
def test_a_linked_folder_of_results_is_refused(folder, monkeypatch, name):
    write_notebook(folder / "notebooks" / "01_first.ipynb", "1")
    executed = pretend_to_execute(folder, monkeypatch)
    (folder / "mine").mkdir()
    (folder / "mine" / ".tmp-0123456789abcdef.png").touch()
    link = folder / "outputs" / "tiny" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(folder / "mine")
    with pytest.raises(ParameterError, match=rf"is a link among the results\. Where: .*{name}"):
        run(folder)
    assert len(list((folder / "mine").iterdir())) == 1 and not executed


def test_another_study_of_that_name_is_refused_and_more_seeds_are_not(folder, monkeypatch):
    write_notebook(folder / "notebooks" / "01_first.ipynb", "1")
    pretend_to_execute(folder, monkeypatch)
    study = run(folder, epochs=5)
    before = (study / "params.yaml").read_text()
    with pytest.raises(ParameterError, match=r"another study of this name.*other values of epochs"):
        run(folder, epochs=6)
    assert (study / "params.yaml").read_text() == before
    run(folder, epochs=5, seeds=[0, 1])
    assert (study / "params.yaml").read_text() != before


@pytest.mark.parametrize("change", ["notebook", "data", "run", "target", "{", '{"runs": {}}'])
def test_what_makes_a_finished_notebook_old(folder, tiny_splits, monkeypatch, change):
    executed = pretend_to_execute(folder, monkeypatch)
    source = folder / "notebooks" / "01_first.ipynb"
    write_notebook(source, "1")
    done = folder / "outputs" / "tiny" / "runs" / "resnet14v2" / "seed-0" / "done.json"
    done.parent.mkdir(parents=True)
    config = {"variant": "resnet14v2", "seed": 0, "identity": {}, "parameters": {}}  # a run of another study
    done.with_name("config.json").write_text(json.dumps(config))
    done.write_text('{"identity": {}, "epochs": 1, "finished": "yesterday", "files": {}}')
    study, notebook = run(folder), nbformat.read(source, as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="no change of the notebook")]
    nbformat.write(notebook, source)
    run(folder)
    assert len(executed) == 1
    if change == "notebook":
        write_notebook(source, "2")
    elif change == "data":
        other = dataclasses.replace(tiny_splits, train=tiny_splits.train.subset(slice(0, 35)), fingerprint="")
        monkeypatch.setattr(datasets, "load", lambda parameters, data: other)
    elif change == "run":
        done.write_text('{"identity": {}, "epochs": 1, "finished": "today", "files": {}}')
    elif change == "target":
        (study / "notebooks" / "01_first.ipynb").unlink()
    else:
        (study / "notebooks" / "01_first.done.json").write_text(change)
    run(folder)
    assert len(executed) == 2


def pretend_to_execute(folder, monkeypatch, work=lambda: None):
    """Executions that only copy and do some work; the list of their notebooks."""
    executed = []

    def pretend(source, target, *_, **__):
        executed.append(source)
        nbformat.write(nbformat.read(source, as_version=4), target)
        work()

    monkeypatch.setattr("papermill.execute_notebook", pretend)
    return executed


def test_a_disk_that_is_full_at_any_moment_costs_nothing_that_was_written(folder, monkeypatch):
    write_notebook(folder / "notebooks" / "01_first.ipynb", "1")
    write_notebook(folder / "notebooks" / "02_second.ipynb", "2")
    executed = pretend_to_execute(folder, monkeypatch)
    flush, writes, full_at = files._flush_to_disk, [], []

    def flush_to_disk(path):
        writes.append(path)
        if len(writes) in full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(path)

    def left():
        return sorted(path.relative_to(folder) for path in (folder / "outputs" / "tiny").rglob("*"))

    monkeypatch.setattr(files, "_flush_to_disk", flush_to_disk)
    run(folder)
    whole, moments = left(), len(writes)
    assert moments >= 9  # parameters, data, report; of each notebook the environment, itself and its marker
    for moment in range(1, moments + 1):
        full_at[:] = [moment]
        shutil.rmtree(folder / "outputs")
        writes.clear()
        executed.clear()
        with pytest.raises(RunError, match=r"could not be written.*No space left on device.*same command again"):
            run(folder)
        run(folder)
        assert left() == whole
        # At most the notebook that was being kept is executed again.
        assert len(executed) <= 3


def test_a_failing_notebook_stops_the_study_and_is_named(folder):
    write_notebook(folder / "notebooks" / "01_first.ipynb", "print('fine')")
    write_notebook(folder / "notebooks" / "02_second.ipynb", "1 + 1", "\nx = 0\n1 / x", "print('never')")
    write_notebook(folder / "notebooks" / "03_third.ipynb", "print('never')")
    with pytest.raises(RunError) as caught:
        run(folder)
    # [1] is the parameters cell, [2] what papermill puts after it.
    assert "Notebook 02_second failed. Where: cell [4], `x = 0`." in str(caught.value)
    assert "ZeroDivisionError: division by zero" in str(caught.value)
    left = sorted(path.name for path in (folder / "outputs" / "tiny" / "notebooks").iterdir())
    assert left == ["01_first.done.json", "01_first.ipynb", "02_second.failed.ipynb"]
    assert "02_second.failed.ipynb" in str(caught.value)


@pytest.mark.parametrize("moment", ["as it starts", "later"])
def test_a_kernel_that_is_killed_is_a_failure_and_named_as_that(folder, monkeypatch, moment):
    write_notebook(folder / "notebooks" / "01_first.ipynb", "import os", "os.kill(os.getpid(), 9)")
    if moment == "as it starts":
        (kernels := folder / "kernels" / "python3").mkdir(parents=True)
        command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
        spec = {"argv": command, "display_name": "Dead", "language": "python"}
        (kernels / "kernel.json").write_text(json.dumps(spec))
        monkeypatch.setenv("JUPYTER_PATH", str(folder))
    with pytest.raises(RunError, match=r"01_first failed.*the kernel died, perhaps out of memory"):
        run(folder)
    assert not list((folder / "outputs" / "tiny" / "notebooks").iterdir())


def test_a_notebook_that_refuses_its_data_is_bad_data(folder):
    cell = "from fer_lib.errors import DataError\nraise DataError('The data changed')"
    write_notebook(folder / "notebooks" / "01_first.ipynb", cell)
    with pytest.raises(DataError, match=r"01_first failed.*The data changed"):
        run(folder)


def test_an_executed_notebook_ran_under_this_python_and_tells_nothing_of_the_machine(folder):
    write_notebook(
        folder / "notebooks" / "01_first.ipynb",
        "import os, sys, pathlib\nprint('data:', os.environ['FER_DATA'])\nprint('python:', sys.executable)",
        "print('a warning of our own', file=sys.stderr)",
        "pathlib.Path.home() / 'x'",
        "sorted(path.name for path in pathlib.Path().iterdir())",
    )
    archive = folder / "somewhere" / "archive.zip"
    archive.parent.mkdir()
    archive.touch()
    study = run(folder, data=str(archive))
    text = (study / "notebooks" / "01_first.ipynb").read_text()
    outputs = [output for cell in json.loads(text)["cells"] for output in cell.get("outputs", [])]
    assert [output["text"] for output in outputs[:2]] == [
        ["data: archive.zip\n", f"python: bin/{Path(sys.executable).name}\n"], ["a warning of our own\n"]
    ]  # fmt: skip
    shown = [output["data"]["text/plain"] for output in outputs[2:]]
    assert shown == [["PosixPath('~/x')"], ["['01_first.ipynb']"]]
    for path in (sys.prefix, str(Path.home()) + "/", str(archive.parent), str(Path(__file__).parents[2]) + "/"):
        for written in study.rglob("*"):
            if written.is_file():
                assert path not in written.read_text(), f"{path} in {written.name}"


def test_data_with_problems_are_refused_before_anything_is_executed(folder, monkeypatch):
    write_notebook(folder / "notebooks" / "01_first.ipynb", "1")
    found = checks.check(datasets.load(None, None))
    bad = dataclasses.replace(found, problems=("Everything is blank.", "And more."))
    monkeypatch.setattr(checks, "check", lambda splits: bad)
    with pytest.raises(DataError, match=r"Everything is blank \(1 more problem\)"):
        run(folder)
    assert not (folder / "outputs").exists()


def test_a_second_process_leaves(folder):
    write_notebook(folder / "notebooks" / "01_first.ipynb", "1")
    with FileLock(folder / "outputs" / ".tiny.lock"), pytest.raises(RunError, match="Another process"):
        run(folder)


def test_why_a_process_ended_is_found_among_what_else_it_logged(tmp_path):
    log = tmp_path / "log"
    text = "Traceback (most recent call last):\n  raise X\nnbclient.exceptions.DeadKernelError: died\n\nbye\n"
    for content, why in ((text, "nbclient.exceptions.DeadKernelError: died"), ("Killed\n", "Killed")):
        log.write_text(content)
        assert why_ended(1, log) == why
    log.write_text("\n")
    assert why_ended(3, log) == "exit status 3"
    assert why_ended(-signal.SIGSEGV, log) == "killed by SIGSEGV"


def test_what_killed_processes_left_is_swept(folder, monkeypatch):
    pretend_to_execute(folder, monkeypatch)
    write_notebook(folder / "notebooks" / "01_first.ipynb", "1")
    for name in (".", "figures", "notebooks", "tables"):
        (left := folder / "outputs" / "tiny" / name).mkdir(parents=True, exist_ok=True)
        (left / ".tmp-0123456789abcdef.json").touch()
    assert not list(run(folder).rglob(".tmp-*"))


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGKILL, -9)])
def test_a_study_that_is_stopped_leaves_no_kernel_and_the_same_command_goes_on(tmp_path, number, status):
    write_notebook(
        tmp_path / "notebooks" / "01_first.ipynb",
        "import os, time\nfrom pathlib import Path",
        "again = Path('pid').exists()\nPath('pid').write_text(str(os.getpid()))",
        "time.sleep(0 if again else 300)",
    )
    (params := tmp_path / "params.yaml").write_text("study: tiny\ngenerated_images: 210\n")
    program = (
        "import functools, sys\nfrom fer_lib import cli\nfrom fer_lib.execution import runner\n"
        "runner.run_study = functools.partial(runner.run_study, notebook_dir='notebooks')\n"
        f"sys.exit(cli.main(['run', {str(params)!r}]))"
    )
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "FER_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        kernel = int(wait_for(lambda: (tmp_path / "notebooks" / "pid").read_text(), 120))
        process.send_signal(number)
        for _ in range(4):  # once stopping has begun, impatience changes nothing
            time.sleep(0.3)
            process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == status
    assert told.strip() == ("" if number == signal.SIGKILL else "Stopped. The same command resumes.")
    wait_for(lambda: not is_alive(kernel) or None, 30)
    assert not list((tmp_path / "outputs" / "tiny").rglob("*.done.json"))
    if number != signal.SIGKILL:
        return  # going on is the same after all three
    assert subprocess.run(command, cwd=tmp_path, env=environment, timeout=120).returncode == 0
    left = sorted(path.name for path in (tmp_path / "outputs" / "tiny" / "notebooks").iterdir())
    assert left == ["01_first.done.json", "01_first.ipynb"]


def wait_for(look, seconds):
    """What `look` returns once it is neither nothing nor an error."""
    end = time.monotonic() + seconds
    while True:
        try:
            if found := look():
                return found
        except OSError:
            pass
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False
