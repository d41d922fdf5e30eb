"""What the documents show works: Python blocks run, commands are accepted, links lead somewhere."""

import base64
import html
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import build_site
import click
import nbformat
import papermill.cli
import pytest
import typer.main
import yaml

import fer_lib
from fer_lib.commands import app
from fer_lib.parameters import read_parameters

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), ROOT / "outputs/README.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S), 1)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_python_block_runs_and_prints_what_its_comments_say(block, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    again = "import keras, fer_lib.models; keras.models.load_model('network.keras')"  # in another process
    for program in (block, again) if "network.keras" in block else (block,):
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == re.findall(r"^print\(.*\)  # (.+)$", program, re.M)


def shell_commands():
    """Every command of a shell block, and every whole command between backticks, with its page."""
    for page in PAGES:
        text = page.read_text("utf-8")
        blocks = re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```", text, re.M | re.S)
        rest = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        inline = re.findall(r"`((?:make|\.venv/bin/\S+) [^`]+)`", rest)
        for line in [*"\n".join(blocks).splitlines(), *inline]:
            words = shlex.split(line.removeprefix("until "), comments=True)
            if words and words[0].removeprefix(".venv/bin/") in ("make", "fer-study", "papermill", "pip"):
                yield pytest.param([word.rstrip(";") for word in words], id=f"{page.stem}: {line.strip()}")


@pytest.mark.parametrize("words", list(shell_commands()))
def test_a_command_is_accepted_as_it_stands(words):
    program, arguments = words[0], words[1:]
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text("utf-8"), re.M)
        return
    assert program.startswith(".venv/bin/"), "as written it is not found"
    arguments = [word for word in arguments if word != "..."]
    for path in (word for word in arguments if word.startswith(("params/", "notebooks/"))):
        assert (ROOT / path).is_file(), path
    if program.endswith("fer-study"):
        parse(typer.main.get_command(app), arguments)
        assert all(read_parameters(ROOT / word) for word in arguments if word.startswith("params/"))
    elif program.endswith("papermill"):
        parse(papermill.cli.papermill, arguments)
    else:
        extras = re.findall(r"\[([a-z0-9]+)\]$", " ".join(arguments))
        assert set(extras) <= set(PROJECT["optional-dependencies"])


def parse(command, arguments):
    """Parse as the command line does: a missing or unknown argument is an error, nothing is run."""
    context = command.make_context("program", list(arguments))
    if isinstance(command, click.Group):
        name, subcommand, rest = command.resolve_command(context, context.protected_args + context.args)
        subcommand.make_context(name, rest, parent=context)


def test_citation_bibtex_changelog_and_project_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    bibtex = dict(re.findall(r"^  (\w+) += \{(.*?)\},?$", (ROOT / "README.md").read_text("utf-8"), re.M))
    version, date = re.search(r"^## (\S+) \((\S+),", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M).groups()
    assert citation["version"] == bibtex["version"] == PROJECT["version"] == fer_lib.__version__ == version
    assert str(citation["date-released"]) == bibtex["date"] == date
    assert citation["repository-code"] == bibtex["url"] == PROJECT["urls"]["Repository"]


@pytest.mark.parametrize("path", [*PAGES, *sorted(ROOT.glob("notebooks/*.ipynb"))], ids=lambda path: path.stem)
def test_links_of_documents_and_notebooks_lead_somewhere(path):
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join(cell.source for cell in nbformat.reads(text, 4).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text):
        assert "://" in target or (path.parent / unquote(target)).exists(), target


def values(page, attribute):
    """The values of an attribute in a page, by a pattern of the tag up to its name."""
    return set(map(html.unescape, re.findall(rf'<{attribute}="([^"]*)"', page.read_text("utf-8"))))


def dead_links(page):
    """Links of a page that lead nowhere, here or in another page beside it."""
    for link in values(page, r"a\b[^>]*? href"):
        name, _, anchor = link.partition("#")
        target = page if not name else page.parent / unquote(name)
        if link.startswith("data:text/csv;base64,"):
            assert base64.b64decode(link.partition(",")[2])
        elif not re.match(r"https?:", link):
            is_page = target.suffix == ".html" and target.is_file()
            known = values(target, r"\w+\b[^>]*? id") if is_page else {anchor}
            if not target.exists() or (anchor and not {anchor, unquote(anchor)} & known):
                yield f"{page}: {link}"


@pytest.mark.parametrize("report", sorted(ROOT.glob("outputs/*/report.html")), ids=lambda path: path.parent.name)
def test_links_of_a_committed_report_lead_somewhere(report):
    tracked = subprocess.run(["git", "ls-files", report], cwd=ROOT, capture_output=True, text=True).stdout
    if tracked:
        assert not list(dead_links(report))


def test_the_site_has_every_page_and_no_dead_link(tmp_path, monkeypatch):
    # nbconvert takes seconds per notebook; what it makes of one is its own concern.
    monkeypatch.setattr(build_site.HTMLExporter, "from_filename", lambda self, path: (f"<h1>{path.stem}</h1>", {}))
    build_site.main(tmp_path / "site")
    site = tmp_path / "site"
    pages = ["index.html", "docs/api.html", "docs/inference.html", "notebooks/02_non_local_per_stage.html"]
    assert all((site / page).is_file() for page in pages)
    assert "NonLocal2D(" in (site / "docs/api.html").read_text("utf-8")
    assert not [link for page in site.rglob("*.html") for link in dead_links(page)]
