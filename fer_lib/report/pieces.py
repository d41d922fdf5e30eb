"""Pieces of an HTML page that stands alone: tables, figures and notebooks, read from files and put into it."""

import base64
import io
import re
from pathlib import Path

import pandas as pd
from markupsafe import Markup, escape
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from PIL import Image

from fer_lib.errors import RunError
from fer_lib.notebooks import read_notebook
from fer_lib.training.runs import read_json

TEMPLATES = Path(__file__).parent / "templates"
_IMG = re.compile(r"<img[^>]*>")
_SOURCE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
_WIDTH = re.compile(r'width="(\d+)"')
# Study.show_figure writes 144 pixels an inch to be shown at 72, sharp on screens of double density.
_PIXELS_PER_POINT = 2
# WebP's quality, of 100: of a figure, and of its small copy in a notebook, which need not be sharp.
_QUALITY, _SMALL_QUALITY = 70, 45


def table(path):
    """A saved table, with the formats and the caption that the notebook gave it.

    Args:
        path: `tables/<name>.csv`, beside it `<name>.json`.

    Returns:
        A dictionary: name, caption (HTML), columns (pairs of title and whether it holds numbers), rows of text.
    """
    words = read_json(path.with_suffix(".json")) or {}
    try:
        # Nullable types, so that whole numbers with gaps stay whole.
        frame = pd.read_csv(path, dtype_backend="numpy_nullable")
    except (OSError, ValueError) as error:
        raise RunError("A table cannot be read", where=path, found=error) from error
    formats = words.get("formats") or {}
    columns = [_cells(frame[name], formats.get(name)) for name in frame.columns]
    return {
        "name": path.stem,
        "caption": _inline(words.get("caption") or _words(path.stem)),
        "columns": [
            (str(name).replace("_", " "), pd.api.types.is_numeric_dtype(frame[name])) for name in frame.columns
        ],
        "rows": list(zip(*columns, strict=True)),
    }


def figure(path):
    """A saved figure with its caption and the words for those who do not see it.

    Args:
        path: `figures/<name>.png`, beside it `<name>.json`.

    Returns:
        A dictionary: name, caption (HTML), alt, source (a data URI), width and height in CSS pixels.
    """
    words = read_json(path.with_suffix(".json")) or {}
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = (round(size / _PIXELS_PER_POINT) for size in picture.size)
    except OSError as error:
        raise RunError("A figure cannot be read", where=path, found=error) from error
    return {
        "name": path.stem,
        "caption": _inline(words.get("caption") or _words(path.stem)),
        "alt": words.get("alt") or words.get("caption") or _words(path.stem),
        "source": _embedded(content),
        "width": width,
        "height": height,
    }


def notebook(path):
    """An executed notebook as a fragment of a page, its code folded away.

    Returns:
        A dictionary: number, title (its first heading), body (HTML whose headings begin at the third level).
    """
    content = read_notebook(path)
    title = next(
        (
            line.lstrip("# ")
            for cell in content.cells
            for line in cell.source.splitlines()
            if line.startswith("# ")
        ),
        _words(path.stem),
    )
    exporter = HTMLExporter(
        template_name="basic",
        raw_template=(TEMPLATES / "notebook.html.j2").read_text(encoding="utf-8"),
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    body, _ = exporter.from_notebook_node(content)
    body = re.sub(r' id="cell-id=[^"]*"', "", body)
    body = re.sub(r"<(/?)h([1-4])\b", lambda match: f"<{match[1]}h{int(match[2]) + 2}", body)
    body = re.sub(r"<h3>.*?</h3>", "", body, count=1)  # the title, which the page gives already
    body = re.sub(r"<img(?![^>]*\balt=)", '<img alt="A picture without a description"', body)
    body = _IMG.sub(_at_shown_size, body)
    return {"number": path.stem.split("_")[0], "title": title, "body": Markup(body)}


def interval_plot(value, low, high, limit, width=130, height=22):
    """A difference and its interval about zero, drawn in a table's cell.

    Args:
        value, low, high: fractions.
        limit: the largest one that the column shows, on either side.
        width, height: CSS pixels.

    Returns:
        An SVG element; the words beside it say the same, so that it is hidden from screen readers.
    """

    def x(fraction):
        return round(width / 2 + fraction / limit * (width / 2 - 6), 1)

    middle = height / 2
    return Markup(
        f'<svg class="interval" width="{width}" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f'<line class="zero" x1="{width / 2}" x2="{width / 2}" y1="0" y2="{height}"/>'
        f'<line x1="{x(low)}" x2="{x(high)}" y1="{middle}" y2="{middle}"/>'
        f'<circle cx="{x(value)}" cy="{middle}" r="4"/></svg>'
    )


def _cells(column, form):
    """The text of a table's column: as the notebook formatted it, else numbers to four digits."""
    if form is None:
        form = "{:,}" if pd.api.types.is_integer_dtype(column) else "{:.4g}" if _is_float(column) else "{}"
    return ["–" if pd.isna(value) else form.format(value) for value in column]


def _is_float(column):
    return pd.api.types.is_float_dtype(column)


def _at_shown_size(match):
    """A notebook's `<img>` with as many pixels as it is shown with: the sharp one stands among the figures."""
    found = _WIDTH.search(match[0])
    width = found and int(found[1])
    return _SOURCE.sub(lambda png: _embedded(base64.b64decode(png[1]), width, _SMALL_QUALITY), match[0])


def _embedded(png, width=None, quality=_QUALITY):
    """A picture as a data URI, in the smaller of WebP's two ways: large drawings are smaller without loss."""
    with Image.open(io.BytesIO(png)) as picture:
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if width is not None and width < picture.width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    ways = ({"lossless": True, "quality": 40, "method": 2}, {"quality": quality, "method": 6})
    content = min((_webp(picture, **way) for way in ways), key=len)
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def _webp(picture, **way):
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", **way)
    return buffer.getvalue()


def _inline(markdown):
    """One line of Markdown as HTML without a paragraph around it."""
    html = markdown2html(str(escape(markdown)).replace("&#39;", "'").replace("&#34;", '"')).strip()
    return Markup(html.removeprefix("<p>").removesuffix("</p>"))


def _words(stem):
    return stem.replace("-", " ").replace("_", " ")
