"""The report of a study: one page by question, a page a notebook, and the list of studies, from files alone.

A page loads nothing from anywhere, so that it can be mailed, archived and read without a network. It takes nothing
from a file unescaped.
"""

import base64
import contextlib
import hashlib
import html
import io
import re
from pathlib import Path

import bleach
import jinja2
import nbformat
import pandas as pd
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from PIL import Image
from pydantic import BaseModel

from fer_lib import display
from fer_lib.errors import FerError, ParameterError, RunError
from fer_lib.files import read_json, read_regular, reading, write_atomically
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
_TEMPLATES = Path(__file__).parent / "templates"
# Study.show_figure writes 144 pixels an inch to be shown at 72, sharp on screens of double density.
_PIXELS_PER_POINT = 2
_MOST_BYTES, _MOST_PIXELS, _MOST_ROWS = 2**26, 40_000_000, 500
_INLINE = {"a", "code", "em", "strong"}
_NOTEBOOK = _INLINE | {
    "blockquote", "br", "details", "div", "h1", "h2", "h3", "h4", "hr", "img", "li", "ol", "p", "pre", "span",
    "summary", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_LINK = re.compile(r"https?://|[^:]*([/?#]|$)")  # to the web, or relative
_IMAGE = re.compile(r"data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/=\s]*")


class Caption(BaseModel):
    """`figures/<name>.json` and `tables/<name>.json`: the words beside a figure or table."""

    caption: str = ""
    alt: str = ""


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


def write_report(study_dir):
    """Write `report.html` and `notebooks/*.html` of a study, and `index.html` in the folder of the studies.

    `study_dir` is `outputs/<study>`, finished or not: the page shows what there is. Returns the report's path.
    ParameterError where the folder is not a study's, RunError where a file is damaged or a page cannot be written.
    """
    study_dir = Path(study_dir)
    if not (study_dir / "params.yaml").is_file():
        expected = "params.yaml in it, as `fer-study run` writes it"
        raise ParameterError("The folder is not a study's", where=study_dir, expected=expected)
    data = read_json(study_dir / "data.json", DataSummary) or DataSummary()
    environment = read_json(study_dir / "environment.json", Environment) or Environment()
    result, headline = answer(study_dir), headline_figure(study_dir)
    notebooks = [read_notebook(path) for path in _numbered(study_dir / "notebooks", ".ipynb")]
    figures = [read_figure(path) for path in _numbered(study_dir / "figures", ".png")]
    tables = [read_table(path) for path in _numbered(study_dir / "tables", ".csv")]
    page = _render(
        "report.html.j2", title=result.parameters.title, result=result, data=data,
        counts=display.readable(pd.DataFrame(data.counts).rename_axis("class").reset_index()),
        facts=_facts(result, data, environment), details=_details(result.parameters, environment),
        sections=_sections(headline, notebooks, figures, tables),
        notebooks={notebook["number"]: notebook for notebook in notebooks},
        has_comparison=(study_dir / "tables" / "comparison.csv").is_file(),
    )  # fmt: skip
    for notebook in notebooks:
        path = study_dir / "notebooks" / f"{notebook['name']}.html"
        write_atomically(path, _render("page.html.j2", title=notebook["title"], notebook=notebook))
    write_atomically(study_dir / "report.html", page)
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


def read_table(path):
    """Return a saved table, `tables/<name>.csv`, with the `Caption` of `<name>.json`; RunError if one is damaged.

    A dictionary: what `_described` gives; shown (DataFrame of str); same (header -> text of the columns with one
    value, which are not shown); left_out (rows beyond the limit of the page).
    """
    with reading(path, "a CSV table"):
        # Nullable types, so that whole numbers with gaps stay whole.
        table = pd.read_csv(io.BytesIO(read_regular(path, _MOST_BYTES)), dtype_backend="numpy_nullable")
        shown = display.readable(table.head(_MOST_ROWS))
    same = {name: shown[name][0] for name in shown if len(shown) > 1 and shown[name].nunique() == 1}
    if len(same) == shown.shape[1]:
        same = {}
    left_out = max(0, len(table) - _MOST_ROWS)
    shown, same = shown.drop(columns=same), {name: text for name, text in same.items() if text != display.MISSING}
    return _described(path) | {"shown": shown, "same": same, "left_out": left_out}


def read_figure(path):
    """Return a saved figure, `figures/<name>.png`, with the `Caption` of `<name>.json`.

    A dictionary: what `_described` gives; source (a data URI), width and height in CSS pixels. RunError if a file
    is damaged or the image exceeds the limit of pixels.
    """
    expected = reading(path, f"a PNG image of at most {_MOST_PIXELS:,} pixels")
    with expected, Image.open(io.BytesIO(read_regular(path, _MOST_BYTES)), formats=["PNG"]) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels")
        width, height = (round(size / _PIXELS_PER_POINT) for size in image.size)
        source = _embedded(image)
    return _described(path) | {"source": source, "width": width, "height": height}


def read_notebook(path):
    """Return an executed notebook as a fragment of a page, its code folded; RunError if the file is no notebook.

    A dictionary: name, number ("02"), title (its first heading), findings (HTML, of `Study.finding`), body (HTML
    without scripts, styles, frames and images from elsewhere).
    """
    with reading(path, "an executed notebook"):
        content = nbformat.reads(read_regular(path, _MOST_BYTES).decode(), as_version=4)
        nbformat.validate(content)
        template = (_TEMPLATES / "notebook.html.j2").read_text(encoding="utf-8")
        quiet = {"exclude_input_prompt": True, "exclude_output_prompt": True}
        body, _ = HTMLExporter(template_name="basic", raw_template=template, **quiet).from_notebook_node(content)
    body = re.sub(r"<(style|script)\b.*?</\1\s*>", "", body, flags=re.DOTALL | re.IGNORECASE)
    body = _clean(re.sub(r"<img(?![^>]*\balt=)", '<img alt="Image without a description"', body), _NOTEBOOK)
    body = re.sub(rf"<td[^>]*>(?=(&lt; )?{display.NUMBER.pattern}</td>)", '<td class="number">', body)
    # What the report links to: the caption of each figure and table.
    body = re.sub(r"<strong>((Figure|Table) ([\w.]+))\.</strong>", r'<strong id="\2-\3">\1.</strong>', body)
    headings = [line for cell in content.cells for line in cell.source.splitlines() if line.startswith("# ")]
    outputs = [output for cell in content.cells for output in cell.get("outputs", [])]
    markdown = ["".join(output.get("data", {}).get("text/markdown", "")) for output in outputs]
    return {
        "name": path.stem,
        "number": path.stem.split("_")[0],
        "title": (headings or [path.stem])[0].lstrip("# "),
        "findings": [_inline(text) for text in markdown if text.startswith("**Finding")],
        "body": Markup(body),
    }


def _sections(headline, notebooks, figures, tables):
    """The questions with what answers them; every figure and table stands once, and an image under two numbers."""
    figures = list({figure["source"]: figure for figure in reversed(figures)}.values())[::-1]
    helps = [figure for figure in figures if headline and figure["name"] == headline.stem]
    left = tables + [figure for figure in figures if figure not in helps]
    sections = [{"id": "helps", "question": "Do non-local blocks help?", "first": helps}]
    for subject, question, numbers, words in QUESTIONS:
        used = [notebook for notebook in notebooks if notebook["number"] in numbers]
        own = [item for item in left if item["notebook"] in numbers]
        left = [item for item in left if item["notebook"] not in numbers]
        # Those with the words in their name first; the sort keeps the order of the numbers.
        own.sort(key=lambda item: not re.search(words, item["name"]))
        drawn, tabulated = ([item for item in own if kind in item] for kind in ("source", "shown"))
        first = drawn[:2] + tabulated[:1]
        more = [item for item in own if item not in first]
        if used or own or subject == "data":
            section = {"id": subject, "question": question, "notebooks": used, "first": first, "more": more}
            sections.append(section)
    if left:
        sections.append({"id": "others", "question": "Other tables and figures", "more": left})
    return [*sections, {"id": "made", "question": "How it was made"}]


def _facts(result, data, environment):
    """What a reader wants to know before believing: name -> text."""
    parameters, made = result.parameters, [_made(run) for run in result.runs]
    dataset = display.DATASET_NAMES["ferplus" if parameters.labels == "ferplus" else parameters.dataset]
    images = ", ".join(f"{display.count(sum(row.values()))} {split}" for split, row in data.counts.items())
    trained, minutes = sorted({device for device, _ in made}), sum(seconds for _, seconds in made) / 60
    time = f"{minutes / 60:.1f} h" if minutes >= 60 else f"{minutes:.1f} min"
    runs = f"{len(made)} of {len(parameters.cells())} finished, {parameters.epochs} epochs each, {time} in total"
    return {
        "Data": f"{dataset}, protocol {parameters.protocol}: {images or 'not read yet'}",
        "Runs": runs,
        "Trained on": "; ".join(trained) or display.MISSING,
        "Evaluated on": _software_and_device(environment),
    }


def _details(parameters, environment):
    """Every parameter and the packages that evaluated the study, as a DataFrame of str."""
    values = parameters.model_dump() | environment.packages
    rows = [(name, ", ".join(map(str, v)) if isinstance(v, list) else v) for name, v in values.items()]
    return display.readable(pd.DataFrame(rows, columns=["name", "value"], dtype=object))


def _made(run):
    """With what a run was trained, and its seconds."""
    with reading(run.folder, "`environment` in config.json, `seconds` in seconds.csv"):
        environment = Environment.model_validate(run.config.get("environment", {}))
        return _software_and_device(environment), float(run.seconds["seconds"].sum())


def _software_and_device(environment):
    if not environment.packages:
        return display.MISSING
    devices = ", ".join(environment.gpus) or f"{environment.cpus} CPUs, no GPU"
    return f"Keras {environment.packages.get('keras')} on {environment.backend}; {devices}"


def _numbered(folder, suffix):
    """Files such as `2.1-accuracy.csv` or `02_name.ipynb` in the order of their numbers; 10 comes after 9."""
    found = [path for path in folder.glob(f"[0-9]*{suffix}") if not path.name.endswith(f".failed{suffix}")]
    return sorted(found, key=lambda path: ([int(part) for part in re.findall(r"\d{1,9}", path.stem)], path.stem))


def _described(path):
    """Name, number ("2.1"), notebook ("02"), caption (HTML) and alt of a figure or table."""
    words = read_json(path.with_suffix(".json"), Caption) or Caption()
    caption = words.caption or path.stem.replace("-", " ")
    number = path.stem.split("-")[0]
    notebook = number.split(".")[0].zfill(2)
    described = {"name": path.stem, "number": number, "notebook": notebook}
    return described | {"caption": _inline(caption), "alt": words.alt or caption}


def _embedded(image):
    """An image as a data URI, in the smaller of WebP's two ways: large drawings are smaller without loss."""
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    ways = []
    for options in ({"lossless": True, "quality": 40, "method": 2}, {"quality": 70, "method": 6}):
        image.save(buffer := io.BytesIO(), "WEBP", **options)
        ways.append(buffer.getvalue())
    return "data:image/webp;base64," + base64.b64encode(min(ways, key=len)).decode()


def _inline(markdown):
    """A paragraph of Markdown as HTML without the paragraph: code, emphasis and links are all that it may hold."""
    return Markup(_unbroken(_clean(markdown2html(html.escape(markdown, quote=False)).strip(), _INLINE)))


def _unbroken(text):
    """The text with its numbers on one line with their units."""
    return re.sub(r"(?<=\d) (?=%|pp\b|px\b)", "\u00a0", text)


def _clean(text, tags):
    """HTML without every tag but `tags`, every handler and style, and links and images that are not allowed."""

    def allowed(tag, name, value):
        if name == "href":
            return tag == "a" and bool(_LINK.match(value))
        if name == "src":
            return tag == "img" and bool(_IMAGE.fullmatch(value))
        return name in ("id", "class", "alt", "width", "height", "colspan", "rowspan", "scope")

    return bleach.clean(text, tags=tags, attributes=allowed, protocols={"http", "https", "data"}, strip=True)


def _render(template, **values):
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"count": display.count, "unbroken": _unbroken, "are_numeric": display.are_numeric}
    style, script = (Markup((_TEMPLATES / name).read_text("utf-8")) for name in ("report.css", "report.js"))
    policy = "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'"
    policy += f"; style-src {_hash(style)}; script-src {_hash(script)}"
    return environment.get_template(template).render(**values, style=style, script=script, policy=policy)


def _hash(text):
    """A source of the Content-Security-Policy: this very text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
