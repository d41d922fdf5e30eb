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
from fer_lib.parameters import Parameters, build_parameters, read_parameters
from fer_lib.study import Study, find_data

ROOT = Path(__file__).parents[1]
DEMO = "../params/demo.yaml"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own: the folder that `params/` and `outputs/` are in, and the working directory."""
    for folder in ("params", "notebooks"):
        (tmp_path / "project" / folder).mkdir(parents=True)
    (tmp_path / "project" / "params" / "demo.yaml").write_text("study: demo\nepochs: 7\nbatch_size: 16\n")
    monkeypatch.chdir(tmp_path / "project" / "notebooks")
    return tmp_path / "project"


@pytest.fixture
def study(tmp_path):
    return Study(Parameters(), tmp_path)


def test_a_notebook_begins_with_its_file_and_values_override_it(project):
    study = Study.open(DEMO, study=None, epochs=None)
    assert study.parameters == build_parameters({"study": "demo", "epochs": 7, "batch_size": 16})
    assert study.folder.resolve() == project / "outputs" / "demo"
    assert read_parameters(study.folder / "params.yaml") == study.parameters
    with pytest.raises(ParameterError, match=r"another study of this name.*other values of epochs.*`study`"):
        Study.open(DEMO, study=None, epochs=3)
    mine = Study.open(DEMO, study="mine", epochs=3)
    assert (mine.parameters.epochs, mine.parameters.batch_size, mine.folder.name) == (3, 16, "mine")
    # The cell is executed once more, when `study` is the study.
    assert Study.open(DEMO, study=mine, epochs=3) == mine


def test_the_file_of_another_study_and_that_of_its_own_folder(project):
    (project / "params" / "other.yaml").write_text("study: other\nepochs: 3\n")
    by_name = Study.open("params/other.yaml", seeds=[0, 1])
    assert (by_name.parameters.epochs, by_name.parameters.batch_size, by_name.parameters.seeds) == (3, 32, [0, 1])
    own = Study.open("outputs/other/params.yaml")
    assert (own.folder, own.parameters.study) == (by_name.folder, "other")


def test_values_that_cannot_be_used_are_not_blamed_on_the_file_and_a_missing_file_names_the_places(project):
    with pytest.raises(ParameterError, match=r"Where: the notebook's parameters, key seeds\..*papermill -p.*-y"):
        Study.open(DEMO, seeds="[0, 1]")
    with pytest.raises(ParameterError, match=r"unknown.*epochs"):
        Study.open(DEMO, epoch=3)
    with pytest.raises(ParameterError, match=r"`params` cannot be found.*none.yaml or .*none.yaml"):
        Study.open("params/none.yaml")


def test_data_are_looked_up_from_the_working_directory_and_from_the_project(project):
    parameters = build_parameters({"dataset": "fer2013", "data": "a.zip"})
    with pytest.raises(ParameterError, match=r"The data cannot be found\. Where: .*/a\.zip or .*/a\.zip\."):
        find_data(parameters)
    for folder in (project, project / "notebooks"):
        (folder / "a.zip").touch()
        assert find_data(parameters) == str(folder / "a.zip")
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


def test_papermill_from_the_root_from_notebooks_and_from_a_checkout_elsewhere(project):
    cells = [
        new_code_cell(f'params: str = "{DEMO}"\nseeds: list = None', metadata={"tags": ["parameters"]}),
        new_code_cell("from fer_lib.study import Study\nstudy = Study.open(params, seeds=seeds)"),
        new_code_cell("study.show_parameters()\nstudy.finding('It works.')\nprint(study.parameters.seeds)"),
    ]
    nbformat.write(new_notebook(cells=cells), project / "notebooks" / "01_a.ipynb")
    # An installed package: nothing beside it is a project.
    shutil.copytree(ROOT / "fer_lib", project.parent / "site-packages" / "fer_lib")
    environment = {**os.environ, "PYTHONPATH": str(project.parent / "site-packages")}
    places = [
        (project, "notebooks/01_a.ipynb", ["-p", "params", "params/demo.yaml"], 0),
        (project / "notebooks", "01_a.ipynb", ["-y", "seeds: [0]"], 0),
        (project / "notebooks", "01_a.ipynb", ["-p", "seeds", "[0, 1]"], 1),
    ]
    for folder, source, given, status in places:
        command = [sys.executable, "-m", "papermill", "-k", "python3", "--language", "python", source]
        command += [str(project.parent / "out.ipynb"), *given]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
    assert "write -y 'seeds: [0, 1]'" in done.stderr
    assert list(project.parent.rglob("params.yaml")) == [project / "outputs" / "demo" / "params.yaml"]


def test_a_table_is_escaped_and_the_same_each_time_and_its_file_keeps_the_names(study, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **_: shown.extend(things))
    study.finding("", "help")  # nothing to say: nothing is shown
    texts = ["<script>x</script>", "=b"]
    table = pd.DataFrame({"variant": texts, "change": [-1, 2], "accuracy": [0.635, None], "n<b>": [1432, 2]})
    for _ in range(2):
        study.show_table(table, "1.1-accuracy", "What $x$ is.")
    html, again = shown[1].data, shown[3].data
    assert html == again and "mathjax_ignore" in html and shown[0].data.endswith(r"What \$x\$ is.")
    assert "<script>" not in html and "&lt;script&gt;" in html and "n<b>" not in html
    assert "63.5" in html and "–" in html and "1,432" in html and "accuracy (%)" in html
    assert "text-align: left" in html
    assert (tmp_path / "tables" / "1.1-accuracy.csv").read_text().splitlines() == [
        "variant,change,accuracy,n<b>",
        "<script>x</script>,-1,0.635,1432",
        "'=b,2,,2",  # text for a spreadsheet, too
    ]
    assert json.loads((tmp_path / "tables" / "1.1-accuracy.json").read_text()) == {
        "caption": "What $x$ is.", "question": None, "rank": 1
    }  # fmt: skip
    with pytest.raises(ValueError, match="question 'why' is none of help, stage"):
        study.show_table(table, "1.1-test", "What it is.", question="why")


@pytest.mark.parametrize(("shape", "mode"), [((40, 40), "L"), ((80, 80, 3), "RGB")])
def test_a_figure_is_kept_in_few_bytes_and_looks_the_same(study, tmp_path, capsys, shape, mode):
    figure, noise = Figure(figsize=(3, 3)), np.random.default_rng(0).integers(256, size=shape, dtype="uint8")
    figure.subplots().imshow(noise, cmap="gray", interpolation="nearest")
    figure.savefig(tmp_path / "plain.png", dpi=144, bbox_inches="tight", facecolor="white")
    words = {"caption": "What it is.", "alt": "What is seen."}
    study.show_figure(figure, "1.1-test", **words, question="help", rank=2)

    kept = tmp_path / "figures" / "1.1-test.png"
    with PIL.Image.open(kept) as picture, PIL.Image.open(tmp_path / "plain.png") as plain:
        assert picture.mode == mode
        found, expected = (np.asarray(image.convert("RGB")) for image in (picture, plain))
    assert (found == expected).all()
    assert kept.stat().st_size < (tmp_path / "plain.png").stat().st_size
    assert json.loads(kept.with_suffix(".json").read_text()) == words | {"question": "help", "rank": 2}
