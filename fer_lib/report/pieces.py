"""Pieces of a page that stands alone: tables, figures and notebooks, read from files, nothing unescaped."""

import base64
import io
import re
from pathlib import Path

import bleach
import nbformat
import pandas as pd
from markupsafe import Markup, escape
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from PIL import Image

from fer_lib import formats
from fer_lib.files import Caption, read_json, read_regular, reading

TEMPLATES = Path(__file__).parent / "templates"
# Study.show_figure writes 144 pixels an inch to be shown at 72, sharp on screens of double density.
_PIXELS_PER_POINT = 2
_MOST_BYTES, _MOST_PIXELS, _MOST_ROWS = 2**26, 40_000_000, 500
_NUMBER = re.compile(r"(< )?[+−]?[\d.,]+(e[+−]\d+)?( %)?( to [+−]?[\d.,]+( %)?)?")
_INLINE = {"a", "code", "em", "strong"}
_NOTEBOOK = _INLINE | {
    "blockquote", "br", "details", "div", "h1", "h2", "h3", "h4", "hr", "img", "li", "ol", "p", "pre", "span",
    "summary", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_LINK = re.compile(r"https?://|[^:]*([/?#]|$)")  # to the web, or relative
_IMAGE = re.compile(r"data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/=\s]*")


def table(path):
    """Return a saved table, `tables/<name>.csv`, with the `Caption` of `<name>.json`; RunError if one is damaged.

    A dictionary: name, number, caption (HTML); columns and rows, see `grid`; same (pairs: header and text of a
    column with one value throughout, which is not shown); left_out (rows beyond the limit of the page).
    """
    with reading(path, "a CSV table"):
        # Nullable types, so that whole numbers with gaps stay whole.
        frame = pd.read_csv(io.BytesIO(read_regular(path, _MOST_BYTES)), dtype_backend="numpy_nullable")
        shown = formats.readable(frame.head(_MOST_ROWS))
    constant = [name for name in shown if len(shown) > 1 and shown[name].nunique() == 1]
    constant = constant if len(constant) < shown.shape[1] else []
    same = [(name, shown[name].iloc[0]) for name in constant if shown[name].iloc[0] != formats.MISSING]
    columns = grid(shown.drop(columns=constant))
    return _described(path) | columns | {"same": same, "left_out": max(0, len(frame) - _MOST_ROWS)}


def grid(shown):
    """Return a DataFrame of str as columns (pairs: header, whether it holds numbers) and rows (lists of str)."""
    columns = []
    for header, texts in shown.items():
        texts = [text for text in texts if text != formats.MISSING]
        columns.append((header, bool(texts) and all(map(_NUMBER.fullmatch, texts))))
    return {"columns": columns, "rows": shown.to_numpy().tolist()}


def figure(path):
    """Return a saved figure, `figures/<name>.png`, with the `Caption` of `<name>.json`.

    A dictionary: name, number, caption (HTML), alt, source (a data URI), width and height in CSS pixels. RunError
    if a file is damaged or the image exceeds the limit of pixels.
    """
    expected = reading(path, f"a PNG image of at most {_MOST_PIXELS:,} pixels")
    with expected, Image.open(io.BytesIO(read_regular(path, _MOST_BYTES)), formats=["PNG"]) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels")
        width, height = (round(size / _PIXELS_PER_POINT) for size in image.size)
        source = _embedded(image)
    return _described(path) | {"source": source, "width": width, "height": height}


def notebook(path):
    """Return an executed notebook as a fragment of a page, its code folded; RunError if the file is no notebook.

    A dictionary: name, number ("02"), title (its first heading), findings (HTML, of `Study.finding`), body (HTML
    without scripts, styles, frames and images from elsewhere).
    """
    with reading(path, "an executed notebook"):
        content = nbformat.reads(read_regular(path, _MOST_BYTES).decode(), as_version=4)
        nbformat.validate(content)
        template = (TEMPLATES / "notebook.html.j2").read_text(encoding="utf-8")
        quiet = {"exclude_input_prompt": True, "exclude_output_prompt": True}
        body, _ = HTMLExporter(template_name="basic", raw_template=template, **quiet).from_notebook_node(content)
    body = re.sub(r"<(style|script)\b.*?</\1\s*>", "", body, flags=re.DOTALL | re.IGNORECASE)
    body = _clean(re.sub(r"<img(?![^>]*\balt=)", '<img alt="Image without a description"', body), _NOTEBOOK)
    body = re.sub(rf"<td[^>]*>(?=(&lt; )?{_NUMBER.pattern}</td>)", '<td class="number">', body)
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


def _embedded(image):
    """An image as a data URI, in the smaller of WebP's two ways: large drawings are smaller without loss."""
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    ways = []
    for options in ({"lossless": True, "quality": 40, "method": 2}, {"quality": 70, "method": 6}):
        image.save(buffer := io.BytesIO(), "WEBP", **options)
        ways.append(buffer.getvalue())
    return "data:image/webp;base64," + base64.b64encode(min(ways, key=len)).decode()


def _described(path):
    """Name and number of a figure or table, and the words of the `<name>.json` beside it."""
    words = read_json(path.with_suffix(".json"), Caption) or Caption()
    caption = words.caption or path.stem.replace("-", " ")
    number = path.stem.split("-")[0]
    return {"name": path.stem, "number": number, "caption": _inline(caption), "alt": words.alt or caption}


def _inline(markdown):
    """A paragraph of Markdown as HTML without the paragraph: code, emphasis and links are all that it may hold."""
    html = markdown2html(str(escape(markdown)).replace("&#39;", "'").replace("&#34;", '"')).strip()
    return Markup(unbroken(_clean(html, _INLINE)))


def unbroken(text):
    """Return a text whose numbers stay on one line with their units."""
    return re.sub(r"(?<=\d) (?=%|pp\b|px\b)", "\u00a0", text)


def _clean(html, tags):
    """Drop every tag but `tags`, every handler and style, and links and images that are not allowed."""

    def allowed(tag, name, value):
        if name == "href":
            return tag == "a" and bool(_LINK.match(value))
        if name == "src":
            return tag == "img" and bool(_IMAGE.fullmatch(value))
        return name in ("id", "class", "alt", "width", "height", "colspan", "rowspan", "scope")

    return bleach.clean(html, tags=tags, attributes=allowed, protocols={"http", "https", "data"}, strip=True)
