"""A study from its parameters to its report: the data check, then each notebook in order, then the report.

`outputs/<study>/notebooks/` gets each executed notebook and, last, its `.done.json`: what it was made from, and
the sha256 of the files that it made. Only those are ever deleted. What stopped half-way is done again.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel

import fer_lib
from fer_lib import notebooks
from fer_lib.datasets import checks
from fer_lib.environment import describe_environment, keras_backend, require_backend
from fer_lib.errors import DataError, RunError
from fer_lib.execution.processes import variables, why_ended
from fer_lib.files import read_json, refuse_links, require_writable, sweep, temporary, write_atomically
from fer_lib.parameters import Parameters, write_parameters
from fer_lib.study import Study, claim, find_data
from fer_lib.training.runs import RESULTS_VERSION, study_runs, write_json


class Done(BaseModel):
    """`notebooks/<name>.done.json`; every file is named by its path in the study's folder."""

    made_from: str  # sha256 of all that the notebook is made from, the runs apart
    runs: dict[str, str]  # run folder -> sha256 of its `done.json`
    files: dict[str, str]  # the executed notebook, its figures and tables -> sha256


def run_study(
    parameters: Parameters, data: str | None = None, chosen: list[str] | None = None,
    output_root: str | Path = "outputs", notebook_dir: Path | None = None,
    train_grid: Callable[..., None] | None = None,
) -> Path:  # fmt: skip
    """Check the data, execute the notebooks in order, write the report; return its path. What is done is kept.

    Args:
        parameters: the `Parameters` of the study.
        data: path of the data, by default `parameters.data`. It is written nowhere.
        chosen: numbers of notebooks, such as `["01"]`; all by default.
        output_root: the study's folder is `output_root/<study>`.
        notebook_dir: folder of the numbered notebooks, by default the project's.
        train_grid: called with parameters, study_dir, data and fingerprint before the first notebook, to train
            all runs in processes of their own, see `jobs`; without it the notebooks train them one by one.

    Raises:
        ParameterError: an unknown notebook, no backend, or a folder that cannot be written or is another study's.
        DataError: the data cannot be read, or a study must not be made of them.
        RunError: a notebook or a run failed, or another process runs this study.
    """
    require_backend()
    sources = notebooks.find_notebooks(chosen, notebook_dir)
    data = find_data(parameters, data)
    parameters = parameters.model_copy(update={"data": None})
    study = Study(parameters, Path(output_root) / parameters.study, data)
    require_writable(study.folder)
    summary = _check_data(study.splits)  # before any folder is made
    with _only_process(study.folder):
        claim(study.folder, parameters)
        refuse_links(study.folder)
        for name in (".", "figures", "notebooks", "tables"):
            sweep(study.folder / name)
        _write_if_new(study.folder / "params.yaml", write_parameters(parameters))
        _write_if_new(study.folder / "data.json", json.dumps(summary, indent=2) + "\n")
        print(f"{parameters.study}: {len(parameters.cells())} runs, {len(sources)} notebooks", flush=True)
        if train_grid is not None:
            train_grid(parameters, study.folder, data, study.splits.fingerprint)
        for number, source in enumerate(sources, 1):
            _Execution(source, study).finish(f"[{number}/{len(sources)}] {source.stem}")
        return _report(study)


def refuse_problems(found: checks.Flaws) -> None:
    """Raise DataError where the data check found (`checks.Flaws`) anything that would silently ruin a study."""
    if found.problems:
        first, *others = found.problems
        more = f" ({len(others)} more problem{'s' * (len(others) > 1)})" if others else ""
        advice = "`fer-study check` shows all that was found; get the data anew from their publisher"
        raise DataError("The dataset failed validation", found=first.rstrip(".") + more, advice=advice)


def _check_data(splits):
    """Look at all of the data; return what `data.json` holds of them."""
    found = checks.check(splits)
    refuse_problems(found)
    notes = [*splits.notes, *found.warnings]
    for note in notes:
        print(f"Note: {note}", flush=True)
    summary = {name: getattr(splits, name) for name in ("dataset", "protocol", "fingerprint")}
    return summary | {"counts": found.counts.to_dict(), "totals": found.totals.to_dict(), "notes": notes}


def _only_process(study_dir):
    """Take the lock of the study, a context that releases it; it ends with its process, too."""
    study_dir.parent.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(study_dir.with_name(f".{study_dir.name}.lock")).acquire(timeout=0)
    except Timeout as error:
        advice = "Wait for its end, or choose --output-root"
        raise RunError("Another process is running this study", study_dir, advice=advice) from error


def _write_if_new(path, text):
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)


def _report(study):
    """Write the report unless nothing changed since; return its path."""
    path, patterns = (
        study.folder / "report.html",
        ("*.yaml", "data.json", "notebooks/*.done.json", "runs/*/*/done.json"),
    )
    made_from = [each.stat().st_mtime for pattern in patterns for each in study.folder.glob(pattern)]
    if path.is_file() and path.stat().st_mtime >= max(made_from):
        return path
    from fer_lib.report.page import write_report

    parameters = study.parameters
    if parameters.variants[1:] and len(study_runs(study.folder, parameters)) == len(parameters.cells()):
        study.comparison()  # whichever notebooks were chosen, the report reads the one table
    return write_report(study.folder)


class _Execution:
    """One notebook, `source`, of a `Study`."""

    def __init__(self, source, study):
        self.source, self.study = source.absolute(), study
        self.target = study.folder / "notebooks" / source.name
        self.marker = self.target.with_suffix(".done.json")

    def finish(self, title: str) -> None:
        """Execute the notebook unless that was done, and say so."""
        made_from, done = self._made_from(), None
        with contextlib.suppress(RunError):  # damaged, or of an earlier version
            done = read_json(self.marker, Done)
        whole = done is not None and done.made_from == made_from and done.files == self._hashes(done.files)
        if done and whole and done.runs.items() <= self._runs().items():
            print(f"{title}: finished before", flush=True)
            return
        print(title, flush=True)
        write_json(self.study.folder / "environment.json", describe_environment())
        self.marker.unlink(missing_ok=True)
        for name in done.files.keys() & self._results() if done else ():
            (self.study.folder / name).unlink()
        before, started = self._results(), time.perf_counter()
        self._execute()
        made = [
            self._name(self.target),
            *(name for name, when in self._results().items() if before.get(name) != when),
        ]
        print(f"      done in {time.perf_counter() - started:.0f} s", flush=True)
        done = Done(made_from=made_from, runs=self._runs(), files=self._hashes(made))
        write_json(self.marker, done.model_dump())

    def _made_from(self):
        """Return the sha256 of all that the executed notebook is made from, the run folders apart."""
        parameters, fingerprint = self.study.parameters.model_dump(), self.study.splits.fingerprint
        settings = [parameters, fingerprint, keras_backend(), RESULTS_VERSION, fer_lib.__version__]
        return hashlib.sha256(json.dumps([notebooks.source_hash(self.source), settings]).encode()).hexdigest()

    def _runs(self):
        found = sorted(self.study.folder.glob("runs/*/seed-*/done.json"))
        return {self._name(path.parent): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    def _results(self):
        """Return the figures and tables of its number, such as `3.2-memory.png`: name -> time of change."""
        number = int(self.source.stem.split("_")[0])
        folders = (self.study.folder / name for name in ("figures", "tables"))
        found = [path for folder in folders for path in sorted(folder.glob(f"{number}.*")) if path.is_file()]
        return {self._name(path): path.stat().st_mtime_ns for path in found}

    def _hashes(self, names):
        """Return the sha256 of those of the named files that are there."""
        paths = {name: self.study.folder / name for name in names}
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items() if path.is_file()
        }

    def _name(self, path):
        return path.relative_to(self.study.folder).as_posix()

    def _execute(self):
        """Execute the notebook; where that fails, what it gave is `*.failed.ipynb`."""
        from papermill import PapermillExecutionError, execute_notebook

        what, advice = f"Notebook {self.source.stem} failed", "What was finished is kept: the same command resumes"
        failed, folder = self.target.with_suffix(".failed.ipynb"), self.source.parent
        given = temporary(self.target).absolute()
        log = given.with_suffix(".log")
        given.parent.mkdir(parents=True, exist_ok=True)
        # A relative path: an absolute one would get into the metadata.
        params = Path(os.path.relpath(self.study.folder / "params.yaml", folder)).as_posix()
        try:
            with _surroundings(variables(self.study.data, self.study.splits.fingerprint), log):
                execute_notebook(
                    self.source, given, {"params": params}, kernel_name="python3", language="python", cwd=folder,
                    progress_bar=False, stdout_file=_Trainings(self.study.parameters), shutdown_kernel="immediate",
                )  # fmt: skip
            self._keep(given, self.target)
            failed.unlink(missing_ok=True)
        except PapermillExecutionError as error:
            self._keep(given, failed)
            kind = DataError if error.ename in ("ParameterError", "DataError") else RunError
            where = f"cell [{error.exec_count}], `{error.source.strip().splitlines()[0]}`"
            found = f"{error.ename}: {error.evalue}"
            raise kind(what, where, found=found, advice=f"{advice}. What it gave is in {failed}") from error
        except RuntimeError as error:  # of nbclient and jupyter_client, at any moment of the kernel's life
            found = f"the kernel died, perhaps out of memory ({error}): {why_ended(1, log)}"
            raise RunError(what, found=found, advice=advice) from error
        finally:
            given.unlink(missing_ok=True)
            log.unlink(missing_ok=True)

    def _keep(self, given, path):
        private = [] if self.study.data is None else [self.study.data]
        notebook = notebooks.read_notebook(given)
        write_atomically(path, notebooks.without_machine(notebook, self.source.name, private))


class _Trainings:
    """A file that prints the lines of trainings; what else a notebook prints is in the notebook."""

    def __init__(self, parameters):
        self.titles = tuple(f"{variant}, seed " for variant in parameters.variants)

    def write(self, text: str) -> None:
        for line in text.splitlines():
            if line.startswith(self.titles):
                print(f"      {line}", flush=True)

    def flush(self) -> None:
        pass


@contextlib.contextmanager
def _surroundings(variables, log):
    """Let kernels start with these environment variables; what they print past Python goes to the file `log`."""
    before, stderr = dict(os.environ), os.dup(2)
    try:
        os.environ.update(variables)
        with open(log, "wb") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.environ.clear()
        os.environ.update(before)
