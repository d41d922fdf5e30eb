"""Notebook files: which there are, where they failed, and nothing of the machine in them."""

import hashlib
import json
import re
import sys
from pathlib import Path

import nbformat

from fer_lib.errors import ParameterError, RunError
from fer_lib.files import ROOT

FOLDER = ROOT / "notebooks"
# A backend's own log, printed past Python, with the time and the process in it: never twice the same.
_BACKEND_LOG = re.compile(r"^(WARNING: All log messages before absl|I\d{4} \d\d:).*\n?", re.MULTILINE)


def find_notebooks(chosen=None, folder=FOLDER):
    """The numbered notebooks, by number.

    Args:
        chosen: numbers such as `"01"` (or whole names) of those that are wanted; all of them by default.
        folder: where they lie.

    Raises:
        ParameterError: there are none, or a chosen one is not there.
    """
    found = sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise ParameterError(
            "There are no notebooks to run",
            where=folder,
            expected="files such as 01_baseline.ipynb",
            advice="Run the study from a checkout of the project, installed with `pip install -e .`",
        )
    if not chosen:
        return found
    for name in chosen:
        if not any(_is_called(path, name) for path in found):
            names = ", ".join(path.stem for path in found)
            raise ParameterError("There is no such notebook", where="--notebook", expected=names, found=name)
    return [path for path in found if any(_is_called(path, name) for name in chosen)]


def source_hash(path):
    """sha256 (hex) of a notebook's cells, as opposed to what they once gave."""
    cells = [[cell.cell_type, cell.source] for cell in read_notebook(path).cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def read_notebook(path):
    """The notebook in the current format; RunError where it is none."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise RunError("A notebook cannot be read", where=path, found=error) from error


def failed_cell(path):
    """Words for the first cell of an executed notebook that ended in an error, or None.

    Returns:
        A pair: which cell, with the first line of its source; and the exception.
    """
    for cell in read_notebook(path).cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                first_line = next((line for line in cell.source.splitlines() if line.strip()), "")
                return f"cell [{cell.execution_count}], `{first_line.strip()}`", f"{output.ename}: {output.evalue}"
    return None


def without_machine(notebook, name, private=()):
    """Takes out of an executed notebook what tells of the machine: absolute paths and the backend's own log.

    Args:
        notebook: changed in place.
        name: its file's name, for papermill's metadata.
        private: paths, such as that of the data, of which the last part alone is kept.
    """
    notebook.metadata.get("papermill", {}).update(input_path=name, output_path=name)
    # The environment lies inside the project's folder and that often in the home: the longest path first.
    roots = {str(Path(sys.prefix).resolve()): "", str(ROOT): "", str(Path.home()): "~"}
    names = {str(path): Path(path).name for path in private} | {
        root + "/": short + "/" * bool(short) for root, short in roots.items()
    }
    names = dict(sorted(names.items(), key=lambda item: -len(item[0])))
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            _rewrite(output, lambda text: _shorten(text, names))
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("text") != ""]
    return notebook


def _rewrite(output, change):
    """Applies `change` to the text of an output; pictures are left alone."""
    if "text" in output:
        output.text = _BACKEND_LOG.sub("", change(output.text)) if output.name == "stderr" else change(output.text)
    if "traceback" in output:
        output.evalue, output.traceback = change(output.evalue), [change(line) for line in output.traceback]
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/") and isinstance(content, str):
            output.data[kind] = change(content)


def _shorten(text, names):
    for long, short in names.items():
        text = text.replace(long, short)
    return text


def _is_called(path, name):
    return path.stem == name.removesuffix(".ipynb") or path.stem.split("_")[0] == name
