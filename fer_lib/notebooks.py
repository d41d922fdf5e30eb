"""Notebook files: which there are, where they failed, and nothing of the machine in them."""

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fer_lib.errors import ParameterError
from fer_lib.files import project, reading

# A backend's own log, printed past Python, with the time and the process in it: never twice the same.
_BACKEND_LOG = re.compile(r"^(WARNING: All log messages before absl|I\d{4} \d\d:).*\n?", re.MULTILINE)


def find_notebooks(chosen: Iterable[str] | None = None, folder: Path | None = None) -> list[Path]:
    """Return the paths of numbered notebooks, by number: all, or those `chosen` by numbers (`"01"`) or names.

    `folder` is the project's `notebooks` by default. ParameterError where there are none, or a chosen one is not
    there.
    """
    folder = project() / "notebooks" if folder is None else Path(folder)
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    found = {path: {path.stem[:2], path.stem, path.name} for path in paths}
    if not found:
        expected = "files such as 01_baseline.ipynb, as in a checkout installed with `pip install -e .`"
        raise ParameterError("There are no notebooks to run", folder, expected)
    for name in chosen or ():
        if not any(name in names for names in found.values()):
            known = ", ".join(path.stem for path in found)
            raise ParameterError("There is no such notebook", where="--notebook", expected=known, found=name)
    return [path for path, names in found.items() if not chosen or names.intersection(chosen)]


def source_hash(path: Path) -> str:
    """Return the sha256 (hex) of a notebook's cells, not of what they once gave; RunError where it is none."""
    with reading(path, "a notebook"):
        cells = json.loads(path.read_bytes())["cells"]
        sources = [[cell["cell_type"], "".join(cell["source"])] for cell in cells]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def read_notebook(path: Path) -> Any:
    """Return the notebook in the current format; RunError where it is none."""
    import nbformat  # takes a second

    with reading(path, "a notebook"):
        return nbformat.read(path, as_version=4)


def as_text(notebook: Any) -> str:
    """Return a notebook as the text of its file."""
    import nbformat

    return nbformat.writes(notebook) + "\n"


def failed_cell(path: Path) -> tuple[str | None, str]:
    """Return the first cell that ended in an error, with the first line of its source, and the exception."""
    for cell in read_notebook(path).cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                first_line = cell.source.strip().partition("\n")[0]
                return f"cell [{cell.execution_count}], `{first_line}`", f"{output.ename}: {output.evalue}"
    return None, "an error"


def without_machine(notebook: Any, name: str, private: Iterable[str] = ()) -> Any:
    """Take out of an executed notebook, in place, what tells of the machine: paths and the backend's own log.

    `name`: of its file, for papermill's metadata; `private`: paths, as of the data, whose last part alone is kept.
    """
    notebook.metadata.get("papermill", {}).update(input_path=name, output_path=name)
    names = {str(path): Path(path).name for path in private}
    names |= {
        f"{Path(sys.prefix).resolve()}/": "",
        f"{Path(sys.prefix)}/": "",
        f"{project()}/": "",
        f"{Path.home()}/": "~/",
    }

    def shorten(text):
        # The environment lies inside the project's folder and that often in the home: the longest path first.
        for path in sorted(names, key=len, reverse=True):
            text = text.replace(path, names[path])
        return text

    for cell in notebook.cells:
        if "outputs" in cell:
            for output in cell.outputs:
                _rewrite(output, shorten)
            cell.outputs = [output for output in cell.outputs if output.get("text") != ""]
    return notebook


def _rewrite(output, change):
    """Apply `change` to the text of an output; pictures are left alone."""
    if "text" in output:
        output.text = _BACKEND_LOG.sub("", change(output.text)) if output.name == "stderr" else change(output.text)
    if "traceback" in output:
        output.evalue, output.traceback = change(output.evalue), [change(line) for line in output.traceback]
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/") and isinstance(content, str):
            output.data[kind] = change(content)
