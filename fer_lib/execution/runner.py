"""A study from its parameters to its report: the data check, then each notebook in order, then the report."""

import contextlib
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from fer_lib import datasets, notebooks
from fer_lib.datasets import checks
from fer_lib.errors import DataError, ParameterError, RunError
from fer_lib.execution.notebook import Execution
from fer_lib.files import write_atomically
from fer_lib.parameters import write_parameters
from fer_lib.report.page import write_report
from fer_lib.training.deadline import check_deadline
from fer_lib.training.runs import write_json


def run_study(
    parameters, data=None, chosen=None, output_root="outputs", notebook_dir=notebooks.FOLDER, train_grid=None
):
    """Checks the data, executes the notebooks in order, writes the report. What is finished is not done again.

    Args:
        parameters: `Parameters`.
        data: path of the data; `parameters.data` when None. It is written nowhere.
        chosen: numbers of notebooks, such as `["01"]`; all by default.
        output_root: the study's folder is `output_root/<study>`.
        notebook_dir: where the notebooks lie.
        train_grid: called with parameters, study_dir, data and fingerprint before the first notebook, to train
            all runs somewhere else, see `ray_grid`; without it the notebooks train them one by one.

    Returns:
        Path of `report.html`.

    Raises:
        ParameterError: an unknown notebook, or a folder that cannot be written.
        DataError: the data cannot be read, or a study must not be made of them.
        RunError: a notebook failed, or another process runs this study.
        TimeLimitError: the deadline came before the end.
    """
    sources = notebooks.find_notebooks(chosen, notebook_dir)
    data = data if data is not None else parameters.data
    parameters = parameters.model_copy(update={"data": None})
    study_dir = Path(output_root) / parameters.study
    with _only_process(study_dir):
        summary = _check_data(parameters, data)
        write_atomically(study_dir / "params.yaml", write_parameters(parameters))
        write_json(study_dir / "data.json", summary)
        print(f"{parameters.study}: {len(parameters.cells())} runs, {len(sources)} notebooks", flush=True)
        if train_grid is not None:
            train_grid(parameters, study_dir, data, summary["fingerprint"])
        for number, source in enumerate(sources, 1):
            check_deadline()
            execution = Execution(source, parameters, study_dir, data, summary["fingerprint"])
            execution.finish(f"[{number}/{len(sources)}] {source.stem}")
        return write_report(study_dir)


def refuse_problems(found):
    """DataError where the data check found anything that would silently ruin a study.

    Args:
        found: `fer_lib.datasets.checks.Flaws`.
    """
    if found.problems:
        others = len(found.problems) - 1
        more = f" ({others} more problem{'s' if others > 1 else ''})" if others else ""
        raise DataError(
            "A study must not be made of these data",
            found=found.problems[0].rstrip(".") + more,
            advice="`fer-study check` shows all that was found; get the data anew from their publisher",
        )


def _check_data(parameters, data):
    """Looks at all of the data; returns what `data.json` holds of them."""
    splits = datasets.load(parameters, data)
    found = checks.check(splits)
    refuse_problems(found)
    for note in (*splits.notes, *found.warnings):
        print(f"Note: {note}", flush=True)
    return {
        "dataset": splits.dataset,
        "protocol": splits.protocol,
        "fingerprint": splits.fingerprint,
        "counts": {name: {key: int(n) for key, n in row.items()} for name, row in found.counts.iterrows()},
        "totals": {name: int(value) for name, value in found.totals.items()},
        "notes": [*splits.notes, *found.warnings],
    }


@contextlib.contextmanager
def _only_process(study_dir):
    """Makes the study's folder and holds it for this process; the lock ends with its process."""
    try:
        study_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(study_dir.with_name(f".{study_dir.name}.lock"))
        lock.acquire(timeout=0)
        tempfile.TemporaryFile(dir=study_dir).close()
    except Timeout as error:
        raise RunError(
            "Another process is running this study",
            where=study_dir,
            advice="Wait for its end, or choose --output-root",
        ) from error
    except OSError as error:
        raise ParameterError(
            "The study's folder cannot be written",
            where=study_dir,
            found=error.strerror,
            advice="Choose another with --output-root",
        ) from error
    try:
        yield
    finally:
        lock.release()
