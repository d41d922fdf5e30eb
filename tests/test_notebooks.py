from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from fer_lib import notebooks
from fer_lib.errors import ParameterError, RunError


def test_numbered_notebooks_in_order_and_those_that_were_chosen(tmp_path):
    for name in ("10_ten", "02_two", "01_one", "draft", "3_three"):
        (tmp_path / f"{name}.ipynb").touch()

    def names(chosen):
        return [path.stem for path in notebooks.find_notebooks(chosen, tmp_path)]

    assert names(None) == ["01_one", "02_two", "10_ten"]
    assert names(["10", "01"]) == ["01_one", "10_ten"]
    assert names(["02_two.ipynb"]) == ["02_two"]
    with pytest.raises(ParameterError, match=r"Expected: 01_one, 02_two, 10_ten\. Found: 03"):
        names(["01", "03"])
    with pytest.raises(ParameterError, match="no notebooks"):
        notebooks.find_notebooks(folder=tmp_path / "nowhere")


def test_a_file_that_is_no_notebook(tmp_path):
    (tmp_path / "01_a.ipynb").write_text("{")
    for read in (notebooks.source_hash, notebooks.read_notebook):
        with pytest.raises(RunError, match="Expected: a notebook"):
            read(tmp_path / "01_a.ipynb")


def test_paths_are_shortened_in_text_but_not_in_pictures():
    root, data = str(Path(notebooks.__file__).parents[1]), '/data/a "real" one/archive.zip'
    picture = f"AAAA{root}/BBBB"
    outputs = [
        new_output("stream", name="stdout", text=f"{root}/fer_lib/x.py and {data}"),
        new_output("display_data", data={"image/png": picture, "text/html": f"<b>{root}/a</b>"}),
        new_output("error", ename="E", evalue=f"in {root}/a.py", traceback=[f"File {root}/a.py, line 1"]),
    ]
    notebook = new_notebook(cells=[new_code_cell("x", outputs=outputs)])
    notebook.metadata["papermill"] = {"input_path": f"{root}/in.ipynb", "output_path": f"{root}/out.ipynb"}
    notebook = nbformat.reads(notebooks.without_machine(notebook, "01_a.ipynb", private=[data]), 4)
    text, both, error = notebook.cells[0].outputs
    assert text.text == "fer_lib/x.py and archive.zip"
    assert both.data == {"image/png": picture, "text/html": "<b>a</b>"}
    assert (error.evalue, error.traceback) == ("in a.py", ["File a.py, line 1"])
    assert notebook.metadata.papermill == {"input_path": "01_a.ipynb", "output_path": "01_a.ipynb"}
