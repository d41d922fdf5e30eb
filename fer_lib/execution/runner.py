"""A study from its parameters to its report: the data check, then each notebook in order, then the report.

`outputs/<study>/notebooks/` gets each executed notebook and, last, its `.done.json`: what it was made from, and
the sha256 of the files that it made. Only those are ever deleted. What stopped half-way is done again.
"""

import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

import fer_lib
from fer_lib import notebooks
from fer_lib.datasets import checks
from fer_lib.environment import describe_environment, keras_backend
from fer_lib.errors import DataError, RunError
from fer_lib.execution.jobs import unfinished_jobs
from fer_lib.execution.processes import variables, why_ended
from fer_lib.files import hold, read_json, refuse_links, sweep, temporary, write_atomically
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

    `data`: their path, by default `parameters.data`, is written nowhere. `chosen`: numbers of notebooks, such as
    `["01"]`, by default all of `notebook_dir`. `train_grid`: trains a list of `jobs.Job` before the notebooks do.
    ParameterError for an unknown notebook or the folder of another study, DataError for data that a study must not
    be made of, RunError where a notebook or a run failed.
    """
    sources = notebooks.find_notebooks(chosen, notebook_dir)
    data = find_data(parameters, data)
    parameters = parameters.model_copy(update={"data": None})
    study = Study(parameters, Path(output_root) / parameters.study, data)
    summary, fingerprint = _check_data(study.splits), study.splits.fingerprint  # before any folder is made
    advice = "Wait for its end, or choose --output-root"
    with hold(study.folder, RunError("Another process is running this study", study.folder, advice=advice)):
        claim(study.folder, parameters)
        refuse_links(study.folder.rglob("*"))
        for name in (".", "figures", "notebooks", "tables"):
            sweep(study.folder / name)
        write_atomically(study.folder / "params.yaml", write_parameters(parameters))
        write_json(study.folder / "data.json", summary)
        print(f"{parameters.study}: {len(parameters.cells())} runs, {len(sources)} notebooks", flush=True)
        if train_grid is not None and (jobs := unfinished_jobs(parameters, study.folder, data, fingerprint)):
            train_grid(jobs)
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
    """Return what `data.json` holds of the data."""
    found = checks.check(splits)
    refuse_problems(found)
    notes = [*splits.notes, *found.warnings]
    for note in notes:
        print(f"Note: {note}", flush=True)
    summary = {name: getattr(splits, name) for name in ("dataset", "protocol", "fingerprint")}
    return summary | {"counts": found.counts.to_dict(), "totals": found.totals.to_dict(), "notes": notes}


def _report(study):
    """Write the report unless no notebook and no run is newer; return its path."""
    path, made_from = study.folder / "report.html", study.folder.glob("**/*done.json")
    if path.is_file() and path.stat().st_mtime >= max(each.stat().st_mtime for each in made_from):
        return path
    from fer_lib.report.page import write_report

    parameters = study.parameters
    if parameters.variants[1:] and len(study_runs(study.folder, parameters)) == len(parameters.cells()):
        study.comparison()  # whichever notebooks were chosen, the report reads the one table
    return write_report(study.folder)


class _Execution:
    """One notebook, `source`, of a `Study`."""

    def __init__(self, source, study):
        self.source, self.study, self.folder = source.absolute(), study, study.folder
        self.target = study.folder / "notebooks" / source.name
        self.marker = self.target.with_suffix(".done.json")

    def finish(self, title: str) -> None:
        """Execute the notebook unless that was done, and say so."""
        settings = [self.study.parameters.model_dump(), self.study.splits.fingerprint, keras_backend()]
        settings += [RESULTS_VERSION, fer_lib.__version__]
        source = [notebooks.source_hash(self.source), settings]
        made_from, done = hashlib.sha256(json.dumps(source).encode()).hexdigest(), None
        with contextlib.suppress(RunError):  # damaged, or of an earlier version
            done = read_json(self.marker, Done)
        whole = done is not None and done.made_from == made_from and done.files == self._hashes(done.files)
        if done and whole and done.runs.items() <= self._runs().items():
            print(f"{title}: finished before", flush=True)
            return
        print(title, flush=True)
        write_json(self.folder / "environment.json", describe_environment())
        self.marker.unlink(missing_ok=True)
        for name in done.files.keys() & self._results() if done else ():
            (self.folder / name).unlink()
        before, started = self._results(), time.perf_counter()
        self._execute()
        print(f"      done in {time.perf_counter() - started:.0f} s", flush=True)
        made = [f"notebooks/{self.source.name}", *dict(self._results().items() - before.items())]
        done = Done(made_from=made_from, runs=self._runs(), files=self._hashes(made))
        write_json(self.marker, done.model_dump())

    def _results(self):
        """Return the figures and tables of its number, such as `3.2-memory.png`: name -> time of change."""
        number = int(self.source.stem.split("_")[0])
        paths = [path for kind in ("figures", "tables") for path in self.folder.glob(f"{kind}/{number}.*")]
        return {path.relative_to(self.folder).as_posix(): path.stat().st_mtime_ns for path in paths}

    def _runs(self):
        names = [path.relative_to(self.folder).as_posix() for path in self.folder.glob("runs/*/seed-*/done.json")]
        return {name.removesuffix("/done.json"): sha256 for name, sha256 in self._hashes(names).items()}

    def _hashes(self, names):
        """Return the sha256 of those of the named files that are there."""
        paths = {name: self.folder / name for name in sorted(names)}
        files = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
        return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}

    def _execute(self):
        """Execute the notebook; where that fails, what it gave is `*.failed.ipynb`."""
        from papermill import PapermillExecutionError, execute_notebook

        what, advice = f"Notebook {self.source.stem} failed", "What was finished is kept: the same command resumes"
        failed, folder = self.target.with_suffix(".failed.ipynb"), self.source.parent
        given = temporary(self.target).absolute()
        log = given.with_suffix(".log")
        given.parent.mkdir(parents=True, exist_ok=True)
        # A relative path: an absolute one would get into the metadata.
        params = Path(os.path.relpath(self.folder / "params.yaml", folder)).as_posix()
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


class _Trainings(io.TextIOBase):
    """A file that prints the lines of trainings; what else a notebook prints is in the notebook."""

    def __init__(self, parameters):
        self.titles = tuple(f"{variant}, seed " for variant in parameters.variants)

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.startswith(self.titles):
                print(f"      {line}", flush=True)
        return len(text)


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
