"""What a notebook opens and keeps; papermill as its users type it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import PIL.Image
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook

from fer_lib import datasets
from fer_lib.errors import DataError, ParameterError
from fer_lib.execution import study as module
from fer_lib.execution.study import Study, find_data
from fer_lib.parameters import Parameters, build_parameters, read_parameters

NOISE = np.random.default_rng(0)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own: the folder that `params/` and `outputs/` are in. The working directory is another."""
    monkeypatch.setattr(module, "ROOT", tmp_path / "project")
    for folder in ("params", "notebooks"):
        (tmp_path / "project" / folder).mkdir(parents=True)
    (tmp_path / "project" / "params" / "demo.yaml").write_text("study: demo\nepochs: 7\nbatch_size: 16\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "project"


def injected(**values):
    """The namespace of a notebook that papermill was given values for."""
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    cells = ["", 'params: str = "../params/demo.yaml"\nepochs: int = None', "\n".join(["# Parameters", *lines])]
    return {"params": "../params/demo.yaml", "epochs": None, **values, "In": cells if values else cells[:2]}


def test_a_notebook_begins_with_its_file_and_values_win_over_it(project):
    study = Study.open(injected())
    assert study.parameters == build_parameters({"study": "demo", "epochs": 7, "batch_size": 16})
    assert study.folder.resolve() == project / "outputs" / "demo"
    assert read_parameters(study.folder / "params.yaml") == study.parameters
    # In JupyterLab the cell itself is edited; the folder is then another's.
    with pytest.raises(ParameterError, match=r"another study of this name.*other values of epochs.*`study`"):
        Study.open(injected() | {"epochs": 3})
    own = {"In": ['params: str = "../params/demo.yaml"\nepochs: int = 3\nstudy: str = "mine"', "labels = [1]"]}
    mine = Study.open(injected() | {"epochs": 3, "study": "mine", "labels": [1]} | own)
    assert (mine.parameters.epochs, mine.parameters.batch_size, mine.folder.name) == (3, 16, "mine")
    # The cell is executed once more, when `study` is the study.
    assert Study.open(injected() | {"epochs": 3, "study": mine, "labels": [1]} | own) == mine


def test_papermill_with_a_file_of_parameters_and_with_its_values(project):
    (project / "params" / "other.yaml").write_text("study: other\nepochs: 3\n")
    by_name = Study.open(injected(params="params/other.yaml", seeds=[0, 1]))
    assert (by_name.parameters.epochs, by_name.parameters.batch_size, by_name.parameters.seeds) == (3, 32, [0, 1])
    # `-f params/other.yaml`: a whole study, of which nothing comes from the file that the notebook declares.
    assert Study.open(injected(study="other", epochs=3)).parameters == build_parameters(
        {"study": "other", "epochs": 3}
    )
    own = Study.open(injected(params="project/outputs/other/params.yaml"))
    assert (own.folder, own.parameters.study) == (by_name.folder, "other")


@pytest.mark.parametrize(
    ("name", "words"), [("epoch", "perhaps epochs"), ("parms", "perhaps params"), ("x", "one of")]
)
def test_a_misspelt_name_is_an_error(project, name, words):
    with pytest.raises(ParameterError, match=f"given is unknown.*{words}.*Found: {name}"):
        Study.open(injected(**{name: 3}))


def test_a_file_that_is_nowhere_names_the_places(project):
    with pytest.raises(ParameterError, match=r"`params` cannot be found.*none.yaml or .*none.yaml"):
        Study.open(injected(params="params/none.yaml"))


def test_data_are_looked_up_from_the_working_directory_and_from_the_project(project, monkeypatch, tmp_path):
    parameters = build_parameters({"dataset": "fer2013", "data": "a.zip"})
    monkeypatch.setattr("fer_lib.files.ROOT", project)
    with pytest.raises(ParameterError, match=r"The data cannot be found\. Where: .*/a\.zip or .*/a\.zip\."):
        find_data(parameters)
    (tmp_path / "a.zip").touch()
    assert find_data(parameters) == str(tmp_path / "a.zip")
    assert find_data(Parameters()) is None
    for path in ("", " ", "~nosuchuser/x", "x" * 5000, "a\0b"):
        with pytest.raises(ParameterError, match="The data cannot be found"):
            find_data(parameters, path)


def test_data_that_are_not_those_that_were_checked_are_refused(project, monkeypatch, tiny_splits):
    monkeypatch.setattr(datasets, "load", lambda parameters, data: tiny_splits)
    monkeypatch.setenv("FER_FINGERPRINT", tiny_splits.fingerprint)
    assert Study(Parameters(), project).splits is tiny_splits
    monkeypatch.setenv("FER_FINGERPRINT", "of others")
    with pytest.raises(DataError, match="The data changed"):
        _ = Study(Parameters(), project).splits


def test_papermill_from_the_root_from_notebooks_and_from_elsewhere(tmp_path):
    project = tmp_path / "project"
    shutil.copytree(Path(module.__file__).parents[1], project / "fer_lib")
    (project / "params").mkdir()
    (project / "params" / "demo.yaml").write_text("study: demo\nseeds: [0]\n")
    (project / "notebooks").mkdir()
    cells = [
        new_code_cell(
            'params: str = "../params/demo.yaml"\nseeds: list = None', metadata={"tags": ["parameters"]}
        ),
        new_code_cell("from fer_lib.execution.study import Study\nstudy = Study.open(globals())"),
        new_code_cell("study.show_parameters()\nstudy.finding('It works.')\nprint(study.parameters.seeds)"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        new_notebook(cells=cells, metadata={"kernelspec": kernel}), project / "notebooks" / "01_a.ipynb"
    )
    environment = {**os.environ, "PYTHONPATH": str(project)}
    places = [
        (project, "notebooks/01_a.ipynb", ["-p", "params", "params/demo.yaml"], 0),
        (project / "notebooks", "01_a.ipynb", ["-f", "../params/demo.yaml"], 0),
        (tmp_path, "project/notebooks/01_a.ipynb", [], 0),
        (tmp_path, "project/notebooks/01_a.ipynb", ["-p", "stduy", "x"], 1),
    ]
    for folder, source, given, status in places:
        command = [sys.executable, "-m", "papermill", "-k", "python3", source, str(tmp_path / "out.ipynb"), *given]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
    assert "perhaps study. Found: stduy" in done.stderr
    assert list(tmp_path.rglob("params.yaml")) == [project / "outputs" / "demo" / "params.yaml"]


def test_a_table_is_escaped_and_the_same_each_time_and_its_file_keeps_the_names(tmp_path, capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **_: shown.extend(things))
    table = pd.DataFrame({"variant": ["<script>x</script>", "b"], "accuracy": [0.635, None], "n<b>": [1432, 2]})
    for _ in range(2):
        Study(Parameters(), tmp_path).show_table(
            table,
            "1.1-accuracy",
            "What it is.",
        )
    html, again = shown[1].data, shown[3].data
    assert html == again
    assert "<script>" not in html and "&lt;script&gt;" in html and "n<b>" not in html
    assert "63.5" in html and "–" in html and "1,432" in html and "accuracy (%)" in html
    assert "text-align: left" in html
    assert (tmp_path / "tables" / "1.1-accuracy.csv").read_text().splitlines()[0] == "variant,accuracy,n<b>"
    assert json.loads((tmp_path / "tables" / "1.1-accuracy.json").read_text()) == {"caption": "What it is."}


def grey(axes):
    axes.imshow(NOISE.integers(256, size=(40, 40)), cmap="gray")


def photograph(axes):
    axes.imshow(NOISE.integers(256, size=(80, 80, 3), dtype="uint8"), interpolation="nearest")


@pytest.mark.parametrize(("draw", "mode"), [(grey, "L"), (photograph, "RGB")])
def test_a_figure_is_kept_in_few_bytes_and_looks_the_same(tmp_path, capsys, draw, mode):
    figure = Figure(figsize=(3, 3))
    draw(figure.subplots())
    figure.savefig(tmp_path / "plain.png", dpi=144, bbox_inches="tight", facecolor="white")
    Study(Parameters(), tmp_path).show_figure(figure, name="1.1-test", caption="What it is.", alt="What is seen.")

    kept = tmp_path / "figures" / "1.1-test.png"
    with PIL.Image.open(kept) as picture, PIL.Image.open(tmp_path / "plain.png") as plain:
        assert picture.mode == mode
        found, expected = (np.asarray(image.convert("RGB")) for image in (picture, plain))
    assert (found == expected).all()
    assert kept.stat().st_size < (tmp_path / "plain.png").stat().st_size
    assert json.loads(kept.with_suffix(".json").read_text()) == {"caption": "What it is.", "alt": "What is seen."}
