"""Notebook files: which there are, what they hold, and nothing of the machine in them."""

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fer_lib.errors import ParameterError
from fer_lib.files import project, reading


def find_notebooks(chosen: Iterable[str] | None = None, folder: Path | None = None) -> list[Path]:
    """Return the paths of numbered notebooks, by number: all, or those `chosen` by numbers (`"01"`) or names.

    `folder` is the project's `notebooks` by default. ParameterError where there are none, or a chosen one is not
    there.
    """
    folder = project() / "notebooks" if folder is None else Path(folder)
    found = {path: {path.stem[:2], path.stem, path.name} for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not found:
        expected = "files such as 01_baseline.ipynb, as in a checkout installed with `pip install -e .`"
        raise ParameterError("There are no notebooks to run", folder, expected)
    if unknown := set(chosen or ()).difference(*found.values()):
        known = ", ".join(path.stem for path in found)
        raise ParameterError("There is no such notebook", "--notebook", known, ", ".join(sorted(unknown)))
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


def without_machine(notebook: Any, name: str, private: Iterable[str] = ()) -> str:
    """Return an executed notebook as the text of its file, folders of this machine left out of its paths.

    `name`: of its file, for papermill's metadata; `private`: paths, as of the data, whose last part alone is kept.
    """
    import nbformat

    notebook.metadata.get("papermill", {}).update(input_path=name, output_path=name)
    folders = {str(Path(sys.prefix).resolve()): "", sys.prefix: "", str(project()): "", str(Path.home()): "~/"}
    names = {f"{folder}/": short for folder, short in folders.items() if folder != "/"}
    names |= {json.dumps(path, ensure_ascii=False)[1:-1]: Path(path).name for path in private}
    lines = (nbformat.writes(notebook) + "\n").splitlines(keepends=True)
    for number, line in enumerate(lines):
        if not line.lstrip().startswith('"image/'):
            # The environment lies inside the project's folder and that often in the home: the longest path first.
            for path in sorted(names, key=len, reverse=True):
                line = line.replace(path, names[path])
            lines[number] = line
    return "".join(lines)
