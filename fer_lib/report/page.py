"""The report of a study: one page, organised by question, from the study's files alone.

A page loads nothing from anywhere, so it can be mailed and read offline. No text of a file becomes markup.
"""

import base64
import hashlib
import io
import re
from importlib import metadata
from pathlib import Path

import jinja2
import mistune
import nbformat
import pandas as pd
from PIL import Image
from pydantic import BaseModel

from fer_lib import display
from fer_lib.errors import ParameterError
from fer_lib.files import read_json, read_regular, reading, refuse_links, write_atomically
from fer_lib.report.answer import INTRODUCTION, answer

OPEN_RANKS = 2  # tables and figures of a higher rank are folded
FINDINGS = 3  # shown below a section's conclusion
_TEMPLATES = Path(__file__).parent / "templates"
# Study.show_figure writes 144 pixels per inch to be shown at 72, sharp on screens of double density.
_PIXELS_PER_POINT = 2
_MOST_BYTES, _MOST_PIXELS, _MOST_ROWS, _MOST_EMBEDDED = 2**26, 40_000_000, 500, 2**16
_MARKDOWN = mistune.create_markdown(escape=True)


class Finding(BaseModel):
    """A sentence that a notebook computed; rank 1 is the conclusion of its section."""

    text: str
    question: str | None = None  # a key of `display.QUESTIONS`
    rank: int = 1


class Words(BaseModel):
    """`figures/<name>.json` and `tables/<name>.json`: the words beside a figure or table, and its place."""

    caption: str = ""
    alt: str = ""
    question: str | None = None
    rank: int = 1
    touch: dict | None = None  # see `explorer.touch_data`


class DataSummary(BaseModel):
    """What the page shows of `data.json`; `counts`: images by split and class."""

    counts: dict[str, dict[str, int]] = {}
    notes: list[str] = []


class Environment(BaseModel):
    """What the page shows of `environment.json`, and of `environment` in a run's `config.json`."""

    cpus: int = 0
    gpus: list[str] = []
    backend: str = ""
    packages: dict[str, str] = {}
    git: dict | None = None


def write_report(study_dir: str | Path) -> Path:
    """Write `report.html` of a study, `outputs/<study>`, finished or not, and return its path.

    ParameterError where the folder is not a study's, RunError where a file is damaged or cannot be written.
    """
    study_dir = Path(study_dir)
    if not (study_dir / "params.yaml").is_file():
        expected = "params.yaml in it, as `fer-study run` writes it"
        raise ParameterError("The folder is not a study's", where=study_dir, expected=expected)
    refuse_links(study_dir.rglob("*"))
    data = read_json(study_dir / "data.json", DataSummary) or DataSummary()
    environment = read_json(study_dir / "environment.json", Environment) or Environment()
    result = answer(study_dir)
    notebooks = [read_notebook(path) for path in numbered(study_dir / "notebooks", ".ipynb")]
    items = [read_figure(path) for path in numbered(study_dir / "figures", ".png")]
    items += [read_table(path) for path in numbered(study_dir / "tables", ".csv")]
    urls = dict(text.split(", ") for text in metadata.metadata("fer-study").get_all("Project-URL") or [])
    page = render(
        "report.html.j2", title=result.parameters.title, result=result, introduction=INTRODUCTION, data=data,
        counts=display.readable(pd.DataFrame(data.counts).rename_axis("class").reset_index()),
        facts=_facts(result, data, environment), sections=_sections(notebooks, items),
        byline=_byline(result, environment), parameters=(study_dir / "params.yaml").read_text(encoding="utf-8"),
        # As pyproject.toml has it; none until it is filled in.
        repository=urls.get("Repository", "") if "OWNER/NAME" not in str(urls) else "",
    )  # fmt: skip
    write_atomically(study_dir / "report.html", page)
    return study_dir / "report.html"


def read_table(path: Path) -> dict:
    """Return a saved table as `describe` does, with shown (DataFrame of str), left_out (rows), csv (a data URI).

    RunError if a file is damaged.
    """
    with reading(path, "a CSV table"):
        content = read_regular(path, _MOST_BYTES)
        # Nullable types, so that whole numbers with gaps stay whole; a class may be called NA or 007.
        settings = {"dtype_backend": "numpy_nullable", "keep_default_na": False, "na_values": [""]}
        table = pd.read_csv(io.BytesIO(content), dtype={"class": "string"}, **settings)
        shown = display.readable(table.head(_MOST_ROWS))
    csv = _data_uri("text/csv", content) if len(content) <= _MOST_EMBEDDED else None
    return describe(path) | {"shown": shown, "left_out": max(0, len(table) - _MOST_ROWS), "csv": csv}


def read_figure(path: Path) -> dict:
    """Return a saved figure as `describe` does, with source (a data URI), width and height in CSS pixels.

    RunError if a file is damaged or the image exceeds the limit of pixels.
    """
    expected = reading(path, f"a PNG image of at most {_MOST_PIXELS:,} pixels")
    with expected, Image.open(io.BytesIO(read_regular(path, _MOST_BYTES)), formats=["PNG"]) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels")
        width, height = (round(size / _PIXELS_PER_POINT) for size in image.size)
        image.convert("RGB").save(buffer := io.BytesIO(), "WEBP", quality=80)
    source = _data_uri("image/webp", buffer.getvalue())
    return describe(path) | {"source": source, "width": width, "height": height}


def read_notebook(path: Path) -> dict:
    """Return name, number, title (the first heading) and findings of an executed notebook; RunError if none."""
    with reading(path, "an executed notebook"):
        content = nbformat.reads(read_regular(path, _MOST_BYTES).decode(), as_version=4)
        nbformat.validate(content)
        headings = [line for cell in content.cells for line in cell.source.splitlines() if line.startswith("# ")]
        findings = []
        for output in (output for cell in content.cells for output in cell.get("outputs", [])):
            text = "".join(output.get("data", {}).get("text/markdown", ""))
            if text.startswith("**Finding.**"):
                place = output.metadata | {"text": text.removeprefix("**Finding.**")}
                findings.append(Finding.model_validate(place))
    title = (headings or [path.stem])[0].lstrip("# ")
    return {"name": path.name, "number": path.stem[:2], "title": title, "findings": findings}


def render(template: str, **values: object) -> str:
    """Return a page of `templates`, its style and script inside; every value is escaped."""
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"are_numeric": display.are_numeric, "inline": _inline}
    style, script = ((_TEMPLATES / name).read_text("utf-8") for name in ("report.css", "report.js"))
    policy = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"
    policy += f"; style-src {_hash(style)}; script-src {_hash(script)}"
    return environment.get_template(template).render(**values, style=style, script=script, policy=policy)


def numbered(folder: Path, suffix: str) -> list[Path]:
    """Return files such as `2.1-accuracy.csv` or `02_name.ipynb` in the order of their numbers, 10 after 9."""
    found = [path for path in folder.glob(f"[0-9]*{suffix}") if not path.name.endswith(f".failed{suffix}")]
    return sorted(found, key=lambda path: ([int(part) for part in re.findall(r"\d{1,9}", path.stem)], path.stem))


def describe(path: Path) -> dict:
    """Return name, number ("2.1"), notebook ("02") and `Words` of a figure or table, as a dictionary."""
    words = read_json(path.with_suffix(".json"), Words) or Words()
    caption, number = words.caption or path.stem.replace("-", " "), path.stem.split("-")[0]
    described = {"name": path.stem, "number": number, "notebook": number.split(".")[0].zfill(2)}
    return described | words.model_dump() | {"caption": caption, "alt": words.alt or caption}


def _sections(notebooks, items):
    """A section per question that something answers, in the order of `QUESTIONS`; the rest comes last."""
    findings, sections = [finding for notebook in notebooks for finding in notebook["findings"]], []
    for key, heading in (display.QUESTIONS | {None: "Other tables and figures"}).items():
        own = sorted((item for item in items if item["question"] == key), key=lambda item: item["rank"])
        said = sorted((one for one in findings if key and one.question == key), key=lambda one: one.rank)
        if own or said or key in ("help", "data"):
            numbers, section = {item["notebook"] for item in own}, {"id": key or "others", "heading": heading}
            section["findings"] = said[: FINDINGS + 1]
            section["first"] = [item for item in own if key and item["rank"] <= OPEN_RANKS]
            section["more"] = [item for item in own if item not in section["first"]]
            section["notebooks"] = [notebook for notebook in notebooks if key and notebook["number"] in numbers]
            sections.append(section)
    return sections


def _facts(result, data, environment):
    """What a reader wants to know before believing: name -> text."""
    parameters, minutes, devices = result.parameters, 0.0, set()
    for run in result.runs:
        with reading(run.folder, "`environment` in config.json, `seconds` in seconds.csv"):
            devices.add(_machine(Environment.model_validate(run.config.get("environment", {}))))
            minutes += float(run.seconds["seconds"].sum()) / 60
    dataset = display.DATASET_NAMES["ferplus" if parameters.labels == "ferplus" else parameters.dataset]
    images = ", ".join(f"{display.count(sum(row.values()))} {split}" for split, row in data.counts.items())
    time = f"{minutes / 60:.1f} h" if minutes >= 60 else f"{minutes:.1f} min"
    finished = f"{len(result.runs)} of {len(parameters.cells())} finished"
    preregistered = {"Preregistered": parameters.preregistration} if parameters.preregistration else {}
    return preregistered | {
        "Data": f"{dataset}, protocol {parameters.protocol}: {images or 'not read yet'}",
        "Runs": f"{finished}, {parameters.epochs} epochs each, {time} in all",
        "Trained on": "; ".join(sorted(devices)) or display.MISSING,
        "Evaluated on": _machine(environment),
    }


def _byline(result, environment):
    """Date of the newest run, version of the package and commit of the evaluation."""
    finished = [(read_json(run.folder / "done.json") or {}).get("finished", "") for run in result.runs]
    commit = str((environment.git or {}).get("commit", ""))[:10]
    parts = [max(map(str, finished), default="")[:10], f"version {metadata.version('fer-study')}"]
    return " · ".join(filter(None, [*parts, commit and f"commit {commit}"]))


def _machine(environment):
    if not environment.packages:
        return display.MISSING
    devices = ", ".join(environment.gpus) or f"{environment.cpus} CPUs, no GPU"
    return f"Keras {environment.packages.get('keras')} on {environment.backend}; {devices}"


def _inline(markdown):
    """A paragraph of Markdown as HTML without the paragraph, numbers on one line with their units; no images."""
    return with_units(_MARKDOWN(str(markdown).replace("![", "[")).strip().removeprefix("<p>").removesuffix("</p>"))


def with_units(text: str) -> str:
    """Return a text in which no line ends between a number and its unit."""
    return re.sub(r"(?<=\d) (?=%|pp\b|px\b)|(?<=±) (?=\d)", "\u00a0", text)


def _data_uri(kind, content):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _hash(text):
    """A source of the Content-Security-Policy: this very text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
