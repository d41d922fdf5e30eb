"""Build the site: the repository's documents, reports and executed notebooks as pages, with the layer's API.

`make site` writes it to site/, the Pages workflow publishes it. The site has the folders of the repository, so
relative links stay as they are: `.md` and `.ipynb` become `.html`, and whatever else is linked is copied.
"""

import ast
import base64
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

import mistune
from nbconvert import HTMLExporter

from fer_lib.report.page import render

ROOT = Path(__file__).resolve().parents[1]
API = {"fer_lib/models/non_local.py": "NonLocal2D", "fer_lib/models/resnet_v2.py": "resnet_v2"}
ADDRESS = re.compile(r"[a-z]+:|#|$")
KINDS = {".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}


def main(target: str = "site") -> None:
    """Write the site to `target`, which is removed first."""
    site = Path(target).absolute()
    shutil.rmtree(site, ignore_errors=True)
    documents = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        ROOT / "benchmarks/README.md",
        ROOT / "outputs/README.md",
    ]
    reports = sorted(ROOT.glob("outputs/*/report.html"))
    notebooks = [
        *ROOT.glob("notebooks/*.ipynb"),
        *(path for one in reports for path in one.parent.glob("notebooks/*.ipynb")),
    ]
    menu = {"The study": "README.html", "The layer’s API": "docs/api.html", "Model card": "MODEL_CARD.html"}
    menu |= {f"Report: {path.parent.name}": path.relative_to(ROOT).as_posix() for path in reports}
    for path in sorted(ROOT.glob("docs/*.md")):
        menu[path.read_text(encoding="utf-8").partition("\n")[0].strip("# ").replace("`", "")] = (
            f"docs/{path.stem}.html"
        )
    markdown = mistune.create_markdown(plugins=["table"])
    for path in documents:
        _write(site, path, markdown(re.sub("<!--.*?-->\n?", "", path.read_text(encoding="utf-8"))), menu)
    exporter = HTMLExporter(template_name="basic")
    for path in notebooks:
        if ".failed" not in path.name:
            _write(site, path, exporter.from_filename(path)[0], menu)
    _write(site, ROOT / "docs" / "api.md", "".join(_documented(*item) for item in API.items()), menu)
    for path in reports:
        page = re.sub(r'(href="notebooks/[^"]+)\.ipynb"', r'\1.html"', path.read_text(encoding="utf-8"))
        target_page = site / path.relative_to(ROOT)
        target_page.parent.mkdir(parents=True, exist_ok=True)  # a study may have no notebook yet
        target_page.write_text(page, encoding="utf-8")
    shutil.copyfile(site / "README.html", site / "index.html")


def _write(site: Path, source: Path, body: str, menu: dict[str, str]) -> None:
    """Write the page of a document: its links inside the site, its images inside the page."""
    path = source.relative_to(ROOT).with_suffix(".html")
    up = "../" * (len(path.parts) - 1)
    body = re.sub(r"<(script|style)\b.*?</\1>", "", body, flags=re.DOTALL)
    # The page's policy allows no inline styles: numbers of a table get the class that the report has for them.
    body = re.sub(r' style="text-align: ?right;?"', ' class="number"', body)
    body = re.sub(r'(<[a-z][^<>]*?) style="[^"]*"', r"\1", body)
    body = re.sub(r"<th[^>]*></th>", "<td></td>", body)  # a heading must not be empty
    body = re.sub(r"(<table.*?</table>)", r'<div class="scroll" tabindex="0">\1</div>', body, flags=re.DOTALL)
    body = body.replace("<pre>", '<pre tabindex="0">')  # its scrolling is for the keyboard, too
    body = re.sub(r'href="([^"]+)"', lambda found: f'href="{_link(site, source, found[1])}"', body)
    body = re.sub(r'<img src="([^"]+)" alt="([^"]*)"[^>]*>', lambda found: _image(source, *found.groups()), body)
    pages = [(text, up + link) for text, link in menu.items()]
    current = next((text for text, link in menu.items() if link == path.as_posix()), source.stem)
    (site / path).parent.mkdir(parents=True, exist_ok=True)
    (site / path).write_text(render("site.html.j2", title=current, pages=pages, body=body), encoding="utf-8")


def _link(site: Path, source: Path, link: str) -> str:
    """Return a link as it is in the site; other files are copied there, a folder becomes its report."""
    name, hash_sign, anchor = link.partition("#")
    file = (source.parent / unquote(name)).resolve()
    if ADDRESS.match(link) or not file.is_relative_to(ROOT) or not file.exists():
        return link
    if file.is_dir():
        return f"{name.rstrip('/')}/report.html"
    if file.suffix in (".md", ".ipynb"):
        return f"{name.removesuffix(file.suffix)}.html{hash_sign}{anchor}"
    copy = site / file.relative_to(ROOT)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)
    return link


def _image(source: Path, address: str, alt: str) -> str:
    """Return an image inside the page; of one that lies elsewhere, such as a badge, its words."""
    if ADDRESS.match(address):
        return f'<img src="{address}" alt="{alt}">' if address.startswith("data:") else alt
    file = source.parent / unquote(address)
    return (
        f'<img src="data:{KINDS[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}" alt="{alt}">'
    )


def _documented(module: str, name: str) -> str:
    """Return signature and docstring of a class or function, read without importing it."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    found = next(node for node in tree.body if getattr(node, "name", None) == name)
    makers = [node for node in getattr(found, "body", []) if getattr(node, "name", None) == "__init__"]
    signature = ast.unparse((makers or [found])[0].args).removeprefix("self, ")
    text = mistune.escape(f"{name}({signature})\n\n{ast.get_docstring(found)}")
    return f'<h1 id="{name}">{name}</h1><pre tabindex="0">{text}</pre>'


if __name__ == "__main__":
    main(*sys.argv[1:])
