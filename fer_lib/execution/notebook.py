"""One notebook of a study: executed in a process of its own, and known again when nothing has changed for it.

`outputs/<study>/notebooks/` gets the executed notebook and, last, its `.done.json` with what it was made from.
What stopped half-way leaves no such file and is done again; its runs go on where they were.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat

from fer_lib import notebooks
from fer_lib.environment import describe_environment, keras_backend, package_versions
from fer_lib.errors import DataError, RunError
from fer_lib.execution.processes import end, python, start, variables, why_ended
from fer_lib.files import ROOT, write_atomically
from fer_lib.parameters import Parameters
from fer_lib.training.runs import read_json, write_json


@dataclass(frozen=True)
class Execution:
    """One notebook, `source`, of a study; `data` is the path of the data or None, `fingerprint` theirs."""

    source: Path
    parameters: Parameters
    study_dir: Path
    data: str | None
    fingerprint: str

    def finish(self, title):
        """Executes the notebook unless that was done, and says so."""
        made_from = self._made_from()
        if self._is_finished(made_from):
            print(f"{title}: finished before", flush=True)
            return
        print(title, flush=True)
        write_json(self.study_dir / "environment.json", describe_environment())
        self._marker.unlink(missing_ok=True)
        for result in self._results():
            (self.study_dir / result).unlink()
        started = time.perf_counter()
        self._execute()
        seconds = round(time.perf_counter() - started, 1)
        done = {"made_from": made_from, "runs": self._runs(), "results": self._results(), "seconds": seconds}
        write_json(self._marker, done)
        print(f"      done in {seconds:.0f} s", flush=True)

    @property
    def _target(self):
        return self.study_dir / "notebooks" / self.source.name

    @property
    def _marker(self):
        return self._target.with_suffix(".done.json")

    def _made_from(self):
        """sha256 of all that the executed notebook is made from, the run folders apart."""
        settings = [self.parameters.model_dump(), self.fingerprint, keras_backend(), package_versions()]
        library = b"".join(path.read_bytes() for path in sorted((ROOT / "fer_lib").rglob("*.py")))
        made_from = json.dumps([notebooks.source_hash(self.source), settings]).encode() + library
        return hashlib.sha256(made_from).hexdigest()

    def _is_finished(self, made_from):
        """Whether nothing changed; a run that was trained anew or a figure that was deleted is a change."""
        try:
            done = read_json(self._marker) or {}
            same_runs = done["runs"].items() <= self._runs().items()
            same = (done["made_from"], done["results"]) == (made_from, self._results())
        except (RunError, KeyError, AttributeError, TypeError):  # none, damaged, or of an earlier version
            return False
        return same and same_runs and self._target.is_file()

    def _runs(self):
        """sha256 of the `done.json` of each finished run, by its folder."""
        found = sorted(self.study_dir.glob("runs/*/seed-*/done.json"))
        return {self._place(path.parent): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def _results(self):
        """Its figures and tables: those whose names begin with the notebook's number, such as `3.2-memory.png`."""
        number = int(self.source.stem.split("_")[0])
        folders = (self.study_dir / name for name in ("figures", "tables"))
        return sorted(self._place(path) for folder in folders for path in folder.glob(f"{number}.*"))

    def _place(self, path):
        return path.relative_to(self.study_dir).as_posix()

    def _execute(self):
        """Executes the notebook in a process of its own; where that fails, what it gave is `*.failed.ipynb`."""
        partial = self._target.with_name(f".tmp-{self._target.name}")
        failed = self._target.with_name(f"{self._target.stem}.failed.ipynb")
        self._target.parent.mkdir(parents=True, exist_ok=True)
        with _scratch(self.study_dir) as scratch:
            place, log = self.source.parent, scratch / "log"
            values = {"params": _relative(self.study_dir / "params.yaml", place)}
            arguments = self.source.name, _relative(partial, place), json.dumps(values)
            command = python("fer_lib.execution.papermill_process", *arguments)
            environment = variables(self.data, self.fingerprint) | {"JUPYTER_RUNTIME_DIR": str(scratch)}
            try:
                if status := _run_process(command, log, environment, place):
                    raise self._failure(status, partial, failed, log)
                self._keep(partial, self._target)
                failed.unlink(missing_ok=True)
            finally:
                partial.unlink(missing_ok=True)

    def _keep(self, partial, path):
        private = [] if self.data is None else [self.data]
        notebook = notebooks.without_machine(notebooks.read_notebook(partial), self.source.name, private)
        write_atomically(path, nbformat.writes(notebook) + "\n")

    def _failure(self, status, partial, failed, log):
        """The error that says which cell, and where what it gave is kept."""
        where, found, kept = None, why_ended(status, log), ""
        # What a full disk cut short cannot be read, or not be kept: then only why the process ended is known.
        with contextlib.suppress(RunError):
            self._keep(partial, failed)
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


def _relative(path, folder):
    return Path(os.path.relpath(path, folder)).as_posix()
