"""A study from its parameters to its report: the data check, then each notebook in order, then the report.

`outputs/<study>/notebooks/` gets each executed notebook and, last, its `.done.json` with what it was made from: it
is known again when nothing has changed for it. What stopped half-way leaves no such file and is done again.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from filelock import FileLock, Timeout

from fer_lib import notebooks
from fer_lib.datasets import checks
from fer_lib.environment import describe_environment, keras_backend, package_versions, require_backend
from fer_lib.errors import DataError, RunError
from fer_lib.execution.processes import end, start, variables, why_ended
from fer_lib.files import read_json, require_writable, sweep, write_atomically
from fer_lib.parameters import write_parameters
from fer_lib.report.page import write_report
from fer_lib.study import Study, find_data
from fer_lib.training.runs import study_runs, write_json


def run_study(parameters, data=None, chosen=None, output_root="outputs", notebook_dir=None, train_grid=None):
    """Checks the data, executes the notebooks in order, writes the report; returns its path. What is done is kept.

    Args:
        data: path of the data, by default `parameters.data`. It is written nowhere.
        chosen: numbers of notebooks, such as `["01"]`; all by default.
        output_root: the study's folder is `output_root/<study>`.
        train_grid: called with parameters, study_dir, data and fingerprint before the first notebook, to train
            all runs in processes of their own, see `jobs`; without it the notebooks train them one by one.

    Raises:
        ParameterError: an unknown notebook, no backend, or a folder that cannot be written.
        DataError: the data cannot be read, or a study must not be made of them.
        RunError: a notebook or a run failed, or another process runs this study.
    """
    require_backend()
    sources = notebooks.find_notebooks(chosen, notebook_dir)
    data = find_data(parameters, data)
    parameters = parameters.model_copy(update={"data": None})
    study = Study(parameters, Path(output_root) / parameters.study, data)
    require_writable(study.folder)
    with _only_process(study.folder):
        for name in (".", "figures", "notebooks", "tables"):
            sweep(study.folder / name)
        summary = _check_data(study.splits)
        write_atomically(study.folder / "params.yaml", write_parameters(parameters))
        write_json(study.folder / "data.json", summary)
        print(f"{parameters.study}: {len(parameters.cells())} runs, {len(sources)} notebooks", flush=True)
        if train_grid is not None:
            train_grid(parameters, study.folder, data, study.splits.fingerprint)
        for number, source in enumerate(sources, 1):
            _Execution(source, study).finish(f"[{number}/{len(sources)}] {source.stem}")
        if parameters.variants[1:] and len(study_runs(study.folder, parameters)) == len(parameters.cells()):
            study.comparison()  # whichever notebooks were chosen, the report reads the one table
        return write_report(study.folder)


def refuse_problems(found):
    """DataError where the data check found (`checks.Flaws`) anything that would silently ruin a study."""
    if found.problems:
        first, *others = found.problems
        more = f" ({len(others)} more problem{'s' * (len(others) > 1)})" if others else ""
        advice = "`fer-study check` shows all that was found; get the data anew from their publisher"
        raise DataError("The dataset failed validation", found=first.rstrip(".") + more, advice=advice)


def _check_data(splits):
    """Looks at all of the data; returns what `data.json` holds of them."""
    found = checks.check(splits)
    refuse_problems(found)
    notes = [*splits.notes, *found.warnings]
    for note in notes:
        print(f"Note: {note}", flush=True)
    summary = {name: getattr(splits, name) for name in ("dataset", "protocol", "fingerprint")}
    return summary | {"counts": found.counts.to_dict(), "totals": found.totals.to_dict(), "notes": notes}


def _only_process(study_dir):
    """Takes the lock of the study, a context that releases it; it ends with its process, too."""
    try:
        return FileLock(study_dir.with_name(f".{study_dir.name}.lock")).acquire(timeout=0)
    except Timeout as error:
        advice = "Wait for its end, or choose --output-root"
        raise RunError("Another process is running this study", study_dir, advice=advice) from error


class _Execution:
    """One notebook, `source`, of a `Study`."""

    def __init__(self, source, study):
        self.source, self.study = source, study
        self.target = study.folder / "notebooks" / source.name
        self.marker = self.target.with_suffix(".done.json")

    def finish(self, title):
        """Executes the notebook unless that was done, and says so."""
        made_from = self._made_from()
        if self._is_finished(made_from):
            print(f"{title}: finished before", flush=True)
            return
        print(title, flush=True)
        write_json(self.study.folder / "environment.json", describe_environment())
        self.marker.unlink(missing_ok=True)
        for result in self._results():
            (self.study.folder / result).unlink()
        started = time.perf_counter()
        self._execute()
        seconds = round(time.perf_counter() - started, 1)
        done = {"made_from": made_from, "runs": self._runs(), "results": self._results(), "seconds": seconds}
        write_json(self.marker, done)
        print(f"      done in {seconds:.0f} s", flush=True)

    def _made_from(self):
        """sha256 of all that the executed notebook is made from, the run folders apart."""
        parameters, fingerprint = self.study.parameters.model_dump(), self.study.splits.fingerprint
        settings = [parameters, fingerprint, keras_backend(), package_versions()]
        library = b"".join(path.read_bytes() for path in sorted(Path(__file__).parents[1].rglob("*.py")))
        made_from = json.dumps([notebooks.source_hash(self.source), settings]).encode() + library
        return hashlib.sha256(made_from).hexdigest()

    def _is_finished(self, made_from):
        """Whether nothing changed; a run that was trained anew or a figure that was deleted is a change."""
        # What is suppressed: there is no marker, or one that is damaged or of an earlier version.
        with contextlib.suppress(RunError, KeyError, AttributeError, TypeError):
            done = read_json(self.marker)
            same_runs = done["runs"].items() <= self._runs().items()
            same = (done["made_from"], done["results"]) == (made_from, self._results())
            return same and same_runs and self.target.is_file()
        return False

    def _runs(self):
        """sha256 of the `done.json` of each finished run, by its folder."""
        found = sorted(self.study.folder.glob("runs/*/seed-*/done.json"))
        return {self._place(path.parent): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def _results(self):
        """Its figures and tables: those whose names begin with the notebook's number, such as `3.2-memory.png`."""
        number = int(self.source.stem.split("_")[0])
        folders = (self.study.folder / name for name in ("figures", "tables"))
        return sorted(self._place(path) for folder in folders for path in folder.glob(f"{number}.*"))

    def _place(self, path):
        return path.relative_to(self.study.folder).as_posix()

    def _execute(self):
        """Executes the notebook in a process of its own; where that fails, what it gave is `*.failed.ipynb`."""
        failed, folder = self.target.with_suffix(".failed.ipynb"), self.source.parent
        with _scratch(self.study.folder) as scratch:
            given, log = scratch / self.source.name, scratch / "log"
            # A relative path: an absolute one would get into the metadata.
            params = Path(os.path.relpath(self.study.folder / "params.yaml", folder)).as_posix()
            arguments = self.source.name, str(given), json.dumps({"params": params})
            command = [sys.executable, "-m", "fer_lib.execution.papermill_process", *arguments]
            environment = variables(self.study.data, self.study.splits.fingerprint)
            environment["JUPYTER_RUNTIME_DIR"] = str(scratch)
            if status := _run_process(command, log, environment, folder):
                raise self._failure(status, given, failed, log)
            self._keep(given, self.target)
            failed.unlink(missing_ok=True)

    def _keep(self, given, path):
        private = [] if self.study.data is None else [self.study.data]
        notebook = notebooks.without_machine(notebooks.read_notebook(given), self.source.name, private)
        write_atomically(path, nbformat.writes(notebook) + "\n")

    def _failure(self, status, given, failed, log):
        """The error that says which cell, and where what it gave is kept."""
        where, found, kept = None, why_ended(status, log), ""
        # What a full disk cut short cannot be read, or not be kept: then only why the process ended is known.
        with contextlib.suppress(RunError):
            self._keep(given, failed)
            kept = f"What it gave is kept in {failed}. "
            where, found = notebooks.failed_cell(failed) or (None, found)
        kind = DataError if status == DataError.exit_status else RunError
        advice = f"{kept}What was finished stays: the same command goes on from there"
        return kind(f"Notebook {self.source.stem} failed", where, found=found, advice=advice)


def _run_process(command, log, environment, folder):
    """Runs a command to its end, printing its lines as they come; its exit status."""
    process = start(command, log, environment, folder, piped=True)
    try:
        for line in process.stdout:
            if line.strip():
                print(f"      {line.rstrip()}", flush=True)
        return process.wait()
    finally:
        end([process])


@contextlib.contextmanager
def _scratch(study_dir):
    """A folder for sockets and the log, of one name a study: what a killed process left there is removed first.

    A short path: that of a Unix socket has 107 characters at most.
    """
    name = hashlib.sha256(str(study_dir.resolve()).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"fer-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
