"""The report of a study: one page that stands alone, from the study's files and nothing else.

Nothing is trained or computed anew but what follows from the saved predictions; the page loads nothing from
anywhere, so that it can be mailed, archived and read without a network.
"""

import json
import re
from pathlib import Path

import jinja2
import pandas as pd

from fer_lib.analysis.tables import accuracy_by_variant, comparison, read_costs
from fer_lib.errors import DataError, ParameterError
from fer_lib.files import write_atomically
from fer_lib.parameters import read_parameters
from fer_lib.report import pieces as page
from fer_lib.report.answer import answer
from fer_lib.training.runs import read_json, study_runs
from fer_lib.variants import Variant

_DATASETS = {"fer2013": "FER-2013", "kdef": "KDEF", "synthetic": "generated faces"}


def write_report(study_dir):
    """Writes `report.html` into a study's folder.

    Args:
        study_dir: `outputs/<study>`, finished or not: what is there is shown.

    Returns:
        Path of the page.

    Raises:
        ParameterError: it is no study's folder.
        RunError: a file of it is damaged, or the page cannot be written.
    """
    study_dir = Path(study_dir)
    if not (study_dir / "params.yaml").is_file():
        raise ParameterError(
            "This is no study's folder",
            where=study_dir,
            expected="params.yaml in it, as `fer-study run` writes it",
        )
    parameters = read_parameters(study_dir / "params.yaml")
    data = read_json(study_dir / "data.json") or {}
    runs = study_runs(study_dir, parameters)
    environment = read_json(study_dir / "environment.json") or {}
    html = (
        _templates()
        .get_template("report.html.j2")
        .render(
            parameters=parameters,
            values=json.loads(parameters.model_dump_json()),
            facts=_facts(parameters, data, runs, environment),
            data=data,
            result=_result(parameters, runs, read_costs(study_dir, parameters.baseline)),
            tables=[page.table(path) for path in _numbered(study_dir / "tables", ".csv")],
            figures=[page.figure(path) for path in _numbered(study_dir / "figures", ".png")],
            notebooks=[page.notebook(path) for path in _numbered(study_dir / "notebooks", ".ipynb")],
            environment=environment,
        )
    )
    write_atomically(study_dir / "report.html", html)
    return study_dir / "report.html"


def _result(parameters, runs, costs):
    """The answer in words and the table below it, judged on the test split where every run has opened it."""
    if not runs:
        return {"answer": ["No run of this study has finished yet."], "rows": []}
    split = "test" if all("test" in run.splits for run in runs) else "validation"
    summary = accuracy_by_variant(runs, split)
    try:
        compared = comparison(runs, parameters.baseline, split)
        words = answer(compared, costs)
    except (DataError, ParameterError) as error:
        compared, words = pd.DataFrame(columns=["variant"]), f"No answer yet. {error}"
    rows = summary.merge(
        compared.drop(columns=["seeds", "n"], errors="ignore"), "left", "variant", suffixes=("", "_difference")
    )
    limit = compared[["low", "high"]].abs().max().max() or 1 if len(compared) else None
    return {
        "answer": re.split(r"(?<=\.) (?=[A-Z])", words, maxsplit=1),
        "split": split,
        "images": int(summary["n"].iloc[0]),
        "seeds": len(parameters.seeds),
        "missing": len(parameters.cells()) - len(runs),
        "rows": [_result_row(row, limit) for row in rows.to_dict("records")],
    }


def _result_row(row, limit):
    shown = {
        "network": Variant.from_name(row["variant"]).label,
        "name": row["variant"],
        "accuracy": _percent(row["mean"]),
        "interval": f"{100 * row['low']:.1f} to {_percent(row['high'])}",
    }
    if not pd.isna(row.get("difference")):
        low, high = row["low_difference"], row["high_difference"]
        shown |= {
            "difference": _points(row["difference"]),
            "difference_interval": f"{_points(low)} to {_points(high)}",
            "p": "< 0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.2g}",
            "plot": page.interval_plot(row["difference"], low, high, limit),
        }
    return shown


def _facts(parameters, data, runs, environment):
    """What a reader wants to know before believing: (name, words) pairs."""
    counts = {split: row["total"] for split, row in data.get("counts", {}).items()}
    images = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    facts = [
        ("Data", f"{_DATASETS[parameters.dataset]}, protocol {parameters.protocol}: {images or 'not read yet'}")
    ]
    seeds = len(parameters.seeds)
    grid = f"{len(parameters.variants)} networks, {seeds} seed{'s' if seeds > 1 else ''} each"
    facts.append(
        ("Runs", f"{grid}, {parameters.epochs} epochs; {len(runs)} of {len(parameters.cells())} finished")
    )
    if runs:
        seconds = sum(run.seconds["seconds"].sum() for run in runs)
        facts.append(("Training", f"{_duration(seconds)} in all, summed over the runs"))
    if environment:
        facts += _made_with(runs, _software_and_device(environment))
        if environment["git"]:
            changed = ", with changes that were not committed" if environment["git"]["changed"] else ""
            facts.append(("Code", f"commit {environment['git']['commit'][:10]}{changed}"))
    return facts


def _made_with(runs, evaluated):
    """One fact where runs were trained and evaluated alike, else one of each."""
    trained = {_software_and_device(run.config["environment"]) for run in runs if "environment" in run.config}
    if trained <= {evaluated}:
        return [("Made with", evaluated)]
    return [("Trained on", ". ".join(sorted(trained))), ("Evaluated on", evaluated)]


def _software_and_device(environment):
    devices = ", ".join(environment["gpus"]) or f"{environment['cpus']} CPUs, no GPU"
    return f"Keras {environment['packages'].get('keras', '')} on {environment['backend']}; {devices}"


def _numbered(folder, suffix):
    """Files such as `2.1-accuracy.csv` in the order of their numbers; 10 comes after 9."""
    found = [path for path in folder.glob(f"*{suffix}") if not path.name.endswith(f".failed{suffix}")]
    found = [path for path in found if not path.name.startswith(".")]
    return sorted(found, key=lambda path: ([int(digits) for digits in re.findall(r"\d+", path.stem)], path.stem))


def _percent(fraction):
    return f"{100 * fraction:.1f} %"


def _points(fraction):
    return f"{100 * fraction:+.1f}".replace("-", "−")


def _duration(seconds):
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _templates():
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(page.TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
