"""One notebook of a study: executed in a process of its own, and known again when nothing has changed for it.

`outputs/<study>/notebooks/` gets the executed notebook and, last, its `.done.json` with hashes of all that it was
made from. What stopped half-way leaves no such file and is done again; its runs go on where they were.
"""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat

from fer_lib import notebooks
from fer_lib.environment import TENSORFLOW_SETTINGS, describe_environment, keras_backend, package_versions
from fer_lib.errors import RunError
from fer_lib.files import write_atomically
from fer_lib.parameters import Parameters
from fer_lib.training.runs import read_json, write_json

_PACKAGE = Path(__file__).resolve().parents[1]
# What a notebook's outputs cannot depend on.
_OUTSIDE_OF_NOTEBOOKS = ("cli.py", "notebooks.py", "environment.py", "report/", "execution/")
# Seconds for a kernel to end after SIGTERM, before it is killed.
_PATIENCE = 20


@dataclass(frozen=True)
class Execution:
    """One notebook of a study.

    Attributes:
        source: the notebook.
        parameters: `Parameters` of the study.
        study_dir: its folder.
        data: path of the data or None.
        fingerprint: of the data.
    """

    source: Path
    parameters: Parameters
    study_dir: Path
    data: str | None
    fingerprint: str

    def finish(self, title):
        """Executes the notebook unless that was done, and tells of it."""
        identity = self._identity()
        if self._is_finished(identity):
            print(f"{title}: finished before", flush=True)
            return
        print(title, flush=True)
        write_json(self.study_dir / "environment.json", describe_environment())
        self._marker.unlink(missing_ok=True)
        started, clock = time.time(), time.perf_counter()
        execute_notebook(self.source, self._target, self._values(), self.data)
        seconds = round(time.perf_counter() - clock, 1)
        done = {"identity": identity, "seconds": seconds, "runs": self._runs(), "made": self._made_since(started)}
        write_json(self._marker, done)
        print(f"      done in {seconds:.0f} s", flush=True)

    @property
    def _target(self):
        return self.study_dir / "notebooks" / self.source.name

    @property
    def _marker(self):
        return self._target.with_suffix(".done.json")

    def _values(self):
        return notebook_values(self.source, self.parameters, self.study_dir)

    def _identity(self):
        """All that the executed notebook is made from, the run folders apart."""
        return {
            "notebook": notebooks.source_hash(self.source),
            "parameters": self._values(),
            "data": self.fingerprint,
            "code": _library_hash(),
            "python": ".".join(map(str, sys.version_info[:3])),
            "backend": keras_backend(),
            "packages": package_versions(),
        }

    def _is_finished(self, identity):
        done = read_json(self._marker)
        if done is None or done.get("identity") != identity or not self._target.is_file():
            return False
        # A run that was trained anew, or a picture that was deleted, makes what was told of it old.
        same_runs = done["runs"].items() <= self._runs().items()
        return same_runs and all((self.study_dir / path).is_file() for path in done["made"])

    def _runs(self):
        """sha256 of the `done.json` of each finished run, by its place in the study's folder."""
        found = sorted(self.study_dir.glob("runs/*/seed-*/done.json"))
        return {_place(path.parent, self.study_dir): _sha256(path.read_bytes()) for path in found}

    def _made_since(self, started):
        """Figures and tables that were written since then; a second of slack for coarse file times."""
        found = [*self.study_dir.glob("figures/*"), *self.study_dir.glob("tables/*")]
        return sorted(_place(path, self.study_dir) for path in found if path.stat().st_mtime >= started - 1)


def notebook_values(source, parameters, study_dir, **more):
    """Values for just those parameters that a notebook declares.

    Args:
        source: the notebook.
        parameters: `Parameters` of the study.
        study_dir: its folder.
        more: values of parameters that are not the study's.
    """
    place = os.path.relpath(study_dir, source.parent).replace(os.sep, "/")
    known = parameters.model_dump() | {"study_dir": place} | more
    declared = notebooks.declared_parameters(source)
    if unknown := [name for name in declared if name not in known]:
        raise RunError("A notebook declares a parameter that no study has", where=source, found=", ".join(unknown))
    return {name: known[name] for name in declared}


def execute_notebook(source, target, values, data=None, tell=None):
    """Executes a notebook in a process of its own.

    Args:
        source: the notebook.
        target: the executed one, written when every cell has succeeded; what a failed one gave is kept beside it
            as `*.failed.ipynb`.
        values: dictionary of its parameters.
        data: path of the data or None.
        tell: called with each line that it prints; by default it is printed here, indented.

    Raises:
        RunError: a cell failed, or the process ended.
    """
    partial = target.with_name(f".{target.stem}.partial.ipynb")
    failed = target.with_name(f"{target.stem}.failed.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fer-") as scratch:
        log = Path(scratch) / "log"
        try:
            command = _command(source, partial, values)
            status = _run_process(command, source.parent, _environment(scratch, data), log, tell or _show)
            if status != 0:
                raise _failure(source, status, partial, failed, log, data)
            _keep(partial, target, source, data)
            failed.unlink(missing_ok=True)
        finally:
            partial.unlink(missing_ok=True)


def _show(line):
    print(f"      {line}", flush=True)


def _command(source, target, values):
    target = os.path.relpath(target, source.parent)
    return [sys.executable, "-m", "fer_lib.execution.papermill_process", source.name, target, json.dumps(values)]


def _environment(scratch, data):
    """The environment of the notebook's process; what the user has set of the backend's stays."""
    environment = {**TENSORFLOW_SETTINGS, **os.environ}
    paths = [str(_PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "FER_PROGRESS": "lines",
        "JUPYTER_RUNTIME_DIR": scratch,  # a short path: that of a Unix socket has 107 characters at most
    }
    environment.pop("FER_DATA", None)
    if data is not None:
        # Not a parameter: those are written into the executed notebook.
        environment["FER_DATA"] = str(Path(data).expanduser().absolute())
    return environment


def _keep(partial, path, source, data):
    private = [] if data is None else [Path(data).expanduser().absolute(), data]
    notebook = notebooks.without_machine(notebooks.read_notebook(partial), source.name, private)
    write_atomically(path, nbformat.writes(notebook) + "\n")


def _failure(source, status, partial, failed, log, data):
    """RunError that says which cell, and where what it gave is kept."""
    where = kept = None
    found = _last_error(log.read_text(errors="replace")) or f"exit status {status}"
    # What a full disk cut short cannot be read, or not be kept: then why the process ended is all there is to say.
    with contextlib.suppress(RunError):
        _keep(partial, failed, source, data)
        kept = f"What it gave is kept in {failed}. "
        where, found = notebooks.failed_cell(failed) or (None, found)
    return RunError(
        f"Notebook {source.stem} failed",
        where=where,
        found=found,
        advice=f"{kept or ''}What was finished stays: the same command goes on from there",
    )


def _run_process(command, folder, environment, log, tell):
    """Runs a command to its end, telling its lines as they come; its exit status."""
    with open(log, "wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the other in order
        )
    try:
        for line in process.stdout:
            if line.strip():
                tell(line.rstrip())
        return process.wait()
    finally:
        _end(process)


def _end(process):
    """Ends a process that still runs, and its kernel with it; a second Ctrl-C does not wait."""
    try:
        if process.poll() is None:
            process.terminate()
            process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdin.close()
        process.stdout.close()


def _last_error(log):
    """The line of a process's log that says why it ended: the last to name an exception, else the last at all."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]
    return (named or lines or [None])[-1]


def _library_hash():
    """sha256 (hex) of the library, those modules apart that stand outside of the notebooks."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        if not _place(path, _PACKAGE).startswith(_OUTSIDE_OF_NOTEBOOKS):
            digest.update(_place(path, _PACKAGE).encode() + path.read_bytes())
    return digest.hexdigest()


def _place(path, folder):
    return path.relative_to(folder).as_posix()


def _sha256(content):
    return hashlib.sha256(content).hexdigest()
