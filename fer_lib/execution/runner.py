"""A study from its parameters to its report: the data check, then each notebook in order, then the report."""

from pathlib import Path

from filelock import FileLock, Timeout

from fer_lib import notebooks
from fer_lib.datasets import checks
from fer_lib.environment import require_backend
from fer_lib.errors import DataError, RunError
from fer_lib.execution.notebook import Execution
from fer_lib.execution.study import Study, find_data
from fer_lib.files import require_writable, sweep, write_atomically
from fer_lib.parameters import write_parameters
from fer_lib.report.page import write_report
from fer_lib.training.runs import study_runs, write_json


def run_study(
    parameters, data=None, chosen=None, output_root="outputs", notebook_dir=notebooks.FOLDER, train_grid=None
):
    """Checks the data, executes the notebooks in order, writes the report; returns its path. What is done is kept.

    Args:
        parameters: `Parameters`.
        data: path of the data; `parameters.data` when None. It is written nowhere.
        chosen: numbers of notebooks, such as `["01"]`; all by default.
        output_root, notebook_dir: the study's folder is `output_root/<study>`; where the notebooks lie.
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
    study_dir = Path(output_root) / parameters.study
    require_writable(study_dir)
    with _only_process(study_dir):
        for name in (".", "figures", "notebooks", "tables"):
            sweep(study_dir / name)
        study = Study(parameters, study_dir, data)
        summary = _check_data(study.splits)
        write_atomically(study_dir / "params.yaml", write_parameters(parameters))
        write_json(study_dir / "data.json", summary)
        print(f"{parameters.study}: {len(parameters.cells())} runs, {len(sources)} notebooks", flush=True)
        if train_grid is not None:
            train_grid(parameters, study_dir, data, summary["fingerprint"])
        for number, source in enumerate(sources, 1):
            execution = Execution(source, parameters, study_dir, data, summary["fingerprint"])
            execution.finish(f"[{number}/{len(sources)}] {source.stem}")
        if parameters.variants[1:] and len(study_runs(study_dir, parameters)) == len(parameters.cells()):
            study.comparison()  # whichever notebooks were chosen, the report reads the one table
        return write_report(study_dir)


def refuse_problems(found):
    """DataError where the data check found (`checks.Flaws`) anything that would silently ruin a study."""
    if found.problems:
        others = len(found.problems) - 1
        more = f" ({others} more problem{'s' * (others > 1)})" if others else ""
        advice = "`fer-study check` shows all that was found; get the data anew from their publisher"
        first = found.problems[0].rstrip(".")
        raise DataError("The dataset failed validation", found=first + more, advice=advice)


def _check_data(splits):
    """Looks at all of the data; returns what `data.json` holds of them."""
    found = checks.check(splits)
    refuse_problems(found)
    notes = [*splits.notes, *found.warnings]
    for note in notes:
        print(f"Note: {note}", flush=True)
    summary = {name: getattr(splits, name) for name in ("dataset", "protocol", "fingerprint")}
    return summary | {"counts": found.counts.to_dict("index"), "totals": found.totals.to_dict(), "notes": notes}


def _only_process(study_dir):
    """Takes the lock of the study, a context that releases it; it ends with its process, too."""
    try:
        return FileLock(study_dir.with_name(f".{study_dir.name}.lock")).acquire(timeout=0)
    except Timeout as error:
        advice = "Wait for its end, or choose --output-root"
        raise RunError("Another process is running this study", study_dir, advice=advice) from error
