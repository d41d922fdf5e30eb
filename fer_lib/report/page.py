"""The report of a study: one page by question, a page a notebook, and the list of studies, from files alone.

A page loads nothing from anywhere, so that it can be mailed, archived and read without a network.
"""

import base64
import contextlib
import hashlib
import re
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from fer_lib import formats
from fer_lib.errors import FerError, ParameterError, RunError
from fer_lib.files import DataSummary, Environment, read_json, reading, write_atomically
from fer_lib.report import pieces
from fer_lib.report.answer import answer

# Subject, question, the notebooks that answer it, and words in the names of what is shown first.
QUESTIONS = (
    ("where", "Where do they help?", ("02",), "accuracy|comparison"),
    ("function", "Which pairwise function?", ("05",), "control|function"),
    ("cost", "What do they cost?", ("03",), "two-readings|variants"),
    ("expressions", "Which expressions change?", ("04",), "confusion|changed"),
    ("attention", "What do the attention maps show?", ("06",), "maps|ablation"),
    ("data", "Are the data and the baseline sound?", ("00", "01"), "samples|training|1.1-accuracy"),
    ("paper", "Which claims of the paper hold?", ("07",), "audit|claims"),
)


def write_report(study_dir):
    """Write `report.html` and `notebooks/*.html` of a study, and `index.html` in the folder of the studies.

    `study_dir` is `outputs/<study>`, finished or not: the page shows what there is. Returns the report's path.

    Raises:
        ParameterError: the folder is not a study's.
        RunError: a file is damaged (the message names it), or the page cannot be written.
    """
    study_dir = Path(study_dir)
    if not (study_dir / "params.yaml").is_file():
        expected = "params.yaml in it, as `fer-study run` writes it"
        raise ParameterError("The folder is not a study's", where=study_dir, expected=expected)
    data = read_json(study_dir / "data.json", DataSummary) or DataSummary()
    environment = read_json(study_dir / "environment.json", Environment) or Environment()
    result = answer(study_dir)
    notebooks = [pieces.notebook(path) for path in _numbered(study_dir / "notebooks", ".ipynb")]
    figures = [pieces.figure(path) for path in _numbered(study_dir / "figures", ".png")]
    tables = [pieces.table(path) for path in _numbered(study_dir / "tables", ".csv")]
    counts = formats.readable(pd.DataFrame(data.counts).T.rename_axis("split").reset_index())
    values = {
        "title": result.parameters.title, "result": result, "table": pieces.grid(result.table), "data": data,
        "counts": pieces.grid(counts), "facts": _facts(result, data, environment),
        "sections": _sections(headline_figure(study_dir), notebooks, figures, tables),
        "notebooks": {notebook["number"]: notebook for notebook in notebooks},
        "details": pieces.grid(_details(result.parameters, environment)),
        "has_comparison": (study_dir / "tables" / "comparison.csv").is_file(),
    }  # fmt: skip
    html = _render("report.html.j2", **values)
    for notebook in notebooks:
        page = _render("page.html.j2", title=notebook["title"], notebook=notebook)
        write_atomically(study_dir / "notebooks" / f"{notebook['name']}.html", page)
    write_atomically(study_dir / "report.html", html)
    with contextlib.suppress(RunError):  # the folder of the studies need not be writable
        write_index(study_dir.resolve().parent)
    return study_dir / "report.html"


def write_index(outputs):
    """Write `index.html`: every study under `outputs` with its answer."""
    studies = []
    for folder in sorted(path.parent for path in outputs.glob("*/params.yaml")):
        try:
            result = answer(folder)
            title, text = result.parameters.title, result.text
        except FerError as error:
            title, text = folder.name, f"The study cannot be read. {error}"
        has_report = (folder / "report.html").is_file()
        studies.append({"folder": folder.name, "title": title, "text": text, "has_report": has_report})
    write_atomically(outputs / "index.html", _render("page.html.j2", title="Studies", studies=studies))


def headline_figure(study_dir):
    """Return the path of the figure that compares all networks with the baseline; None without one."""
    return max(Path(study_dir).glob("figures/[24].*-differences.png"), default=None)


def _sections(headline, notebooks, figures, tables):
    """The questions with what answers them; every figure and table stands once, and an image under two numbers."""
    figures = list({figure["source"]: figure for figure in reversed(figures)}.values())[::-1]
    helps = [figure for figure in figures if headline and figure["name"] == headline.stem]
    left = [item for item in tables + figures if item not in helps]
    sections = [{"id": "helps", "question": "Do non-local blocks help?", "first": helps}]
    for subject, question, numbers, words in QUESTIONS:
        used = [notebook for notebook in notebooks if notebook["number"] in numbers]
        # Those with the words in their name first; the sort keeps the order of the numbers.
        own = [item for item in left if item["number"].split(".")[0].zfill(2) in numbers]
        own.sort(key=lambda item: not re.search(words, item["name"]))
        first = [item for item in own if "source" in item][:2] + [item for item in own if "rows" in item][:1]
        more = [item for item in own if item not in first]
        left = [item for item in left if item not in own]
        if used or own or subject == "data":
            section = {"id": subject, "question": question, "notebooks": used, "first": first, "more": more}
            sections.append(section)
    return sections + [{"id": "others", "question": "Other tables and figures", "more": left}] * bool(left)


def _facts(result, data, environment):
    """What a reader wants to know before believing: (name, text) pairs."""
    parameters, made = result.parameters, [_made(run) for run in result.runs]
    dataset = formats.DATASET_NAMES["ferplus" if parameters.labels == "ferplus" else parameters.dataset]
    images = ", ".join(f"{formats.count(row.get('total'))} {split}" for split, row in data.counts.items())
    trained, minutes = sorted({device for device, _ in made}), sum(seconds for _, seconds in made) / 60
    time = f"{minutes / 60:.1f} h" if minutes >= 60 else f"{minutes:.1f} min"
    runs = f"{len(made)} of {len(parameters.cells())} finished, {parameters.epochs} epochs each, {time} in total"
    return [
        ("Data", f"{dataset}, protocol {parameters.protocol}: {images or 'not read yet'}"),
        ("Runs", runs),
        ("Trained on", "; ".join(trained) or formats.MISSING),
        ("Evaluated on", _software_and_device(environment)),
    ]


def _details(parameters, environment):
    """Every parameter and the packages that evaluated the study, as a DataFrame of str."""
    values = parameters.model_dump() | environment.packages
    rows = [(name, ", ".join(map(str, v)) if isinstance(v, list) else v) for name, v in values.items()]
    return formats.readable(pd.DataFrame(rows, columns=["name", "value"], dtype=object))


def _made(run):
    """With what a run was trained, and its seconds."""
    with reading(run.folder, "`environment` in config.json, `seconds` in seconds.csv"):
        environment = Environment.model_validate(run.config.get("environment", {}))
        return _software_and_device(environment), float(run.seconds["seconds"].sum())


def _software_and_device(environment):
    if not environment.packages:
        return formats.MISSING
    devices = ", ".join(environment.gpus) or f"{environment.cpus} CPUs, no GPU"
    return f"Keras {environment.packages.get('keras')} on {environment.backend}; {devices}"


def _numbered(folder, suffix):
    """Files such as `2.1-accuracy.csv` or `02_name.ipynb` in the order of their numbers; 10 comes after 9."""
    found = [path for path in folder.glob(f"[0-9]*{suffix}") if not path.name.endswith(f".failed{suffix}")]
    return sorted(found, key=lambda path: ([int(part) for part in re.findall(r"\d{1,9}", path.stem)], path.stem))


def _render(template, **values):
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pieces.TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"count": formats.count, "unbroken": pieces.unbroken}
    style, script = (Markup((pieces.TEMPLATES / name).read_text("utf-8")) for name in ("report.css", "report.js"))
    policy = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"
    policy += f"; style-src {_hash(style)}; script-src {_hash(script)}"
    return environment.get_template(template).render(**values, style=style, script=script, policy=policy)


def _hash(text):
    """A source of the Content-Security-Policy: this very text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
