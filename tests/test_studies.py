"""Whole studies in small: the numbered notebooks on data of another kind than their own."""

import contextlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from data_files import save, write_kdef
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.text import Text
from PIL import Image
from traitlets.config import Config

from fer_lib.analysis import attention, tables
from fer_lib.execution import runner
from fer_lib.figures import baseline, confusion, data
from fer_lib.notebooks import read_notebook
from fer_lib.parameters import build_parameters
from fer_lib.report.page import read_table
from fer_lib.training.runs import read_run

SMALL = {"study": "tiny", "image_size": 32, "width": 0.25, "epochs": 1}
# Names that mean something to pandas, to matplotlib and in earlier files of ours. Half of the images are `total`s.
CLASSES = {"$x$": 30, "NA": 30, "total": 60}


def execute_here(source, target, given, cwd, **_):
    """Stands for papermill: to start a kernel takes longer than the notebook. Real ones: `test_runner`."""
    notebook = read_notebook(source)
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        with contextlib.chdir(cwd), capture_output() as shown:
            result = shell.run_cell(cell.source)
        result.raise_error()
        if "parameters" in cell.metadata.get("tags", []):
            shell.push(given)
        cell.outputs = [nbformat.v4.new_output("stream", text=shown.stdout)]
        for one in shown.outputs:
            cell.outputs.append(nbformat.v4.new_output("display_data", one.data, metadata=one.metadata or {}))
    nbformat.write(notebook, target)
    InteractiveShell.clear_instance()


def run(folder, path, notebooks=None, **values):
    """The folder of a study of the data at `path`, run in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_CACHE", str(folder / "cache"))
        patch.setattr("papermill.execute_notebook", execute_here)
        page = runner.run_study(build_parameters(SMALL | values), path, notebooks, folder / "outputs")
    return page.parent


@pytest.fixture(scope="module")
def kdef_study(tmp_path_factory):
    """Four notebooks on a small KDEF tree: colour, five angles, subjects that training has not seen."""
    folder = tmp_path_factory.mktemp("kdef")
    tree = write_kdef(folder / "KDEF", ["F01", "F02", "M01", "M02"])
    values = {"dataset": "kdef", "protocol": "subject", "colour": True, "aspect": "pad"}
    values["variants"] = ["resnet14v2", "resnet14v2-nl3"]
    return run(folder, tree, ["00", "01", "02", "04"], **values)


def test_a_study_of_kdef_ends_with_its_report(kdef_study):
    page = (kdef_study / "report.html").read_text()
    assert "KDEF" in page and "subject" in page
    assert len(list((kdef_study / "notebooks").glob("*.done.json"))) == 4


def outputs(study, name):
    """The outputs of an executed notebook, one by one."""
    cells = read_notebook(next((study / "notebooks").glob(f"{name}_*.ipynb"))).cells
    return [output for cell in cells for output in cell.get("outputs", [])]


def printed(study, name):
    return "".join(output.text for output in outputs(study, name) if output.output_type == "stream")


def shown(study, name):
    return [output.get("data", {}).get("text/markdown", "") for output in outputs(study, name)]


def test_what_the_protocol_leaks_is_told(kdef_study):
    assert "0 of 2 validation subjects are also in train." in printed(kdef_study, "00")
    assert "protocol subject" in printed(kdef_study, "01")


def test_accuracy_is_told_by_angle_and_sex(kdef_study):
    assert set(pd.read_csv(kdef_study / "tables" / "4.4-angle.csv")["angle"]) == {"FL", "HL", "S", "HR", "FR"}
    sexes = pd.read_csv(kdef_study / "tables" / "4.5-sex.csv").query("variant == 'resnet14v2'")
    # One of the two women and one of the two men are for validation, 70 images each.
    assert set(sexes["sex"]) == {"F", "M"} and sexes["n"].tolist() == [70, 70]
    assert not (kdef_study / "tables" / "4.7-over-subjects.csv").exists()  # needs two seeds


def test_a_network_that_did_not_learn_is_named_in_a_box_and_not_compared(kdef_study):
    boxes = [text for text in shown(kdef_study, "02") if "These runs did not learn" in text]
    assert any("baseline, seed 0" in text for text in boxes)
    assert pd.read_csv(kdef_study / "tables" / "comparison.csv").empty


def study_of_three_classes(folder, notebooks=None):
    networks = ["resnet14v2", "resnet14v2-nl3", "resnet14v2-nl3-identity"]
    recipe = {"batch_size": 4, "norm_momentum": 0.8, "pooling": "average", "dropout": 0.0, "variants": networks}
    return run(Path(folder), Path(folder, "images"), notebooks, dataset="folders", protocol="random", **recipe)


@pytest.fixture(scope="module")
def three_classes(tmp_path_factory):
    """All notebooks on own images of the three `CLASSES`, each a bright band at another height, in noise."""
    folder, generator = tmp_path_factory.mktemp("folders"), np.random.default_rng(0)
    for place, (name, number) in enumerate(CLASSES.items()):
        for image in range(number):
            pixels = generator.integers(0, 60, (32, 32), dtype="uint8")
            pixels[10 * place : 10 * place + 10] += 150
            save(Image.fromarray(pixels), folder / "images" / name / f"{image}.png")
    return study_of_three_classes(folder)


@pytest.fixture(scope="module")
def three_class_runs(three_classes):
    return [read_run(path.parent) for path in sorted(three_classes.glob("runs/*/*/done.json"))]


def test_tables_and_report_show_any_class_name_as_it_is_with_its_count(three_classes):
    # A fifth of each class is for validation.
    counts = {name: (number * 4 // 5, number // 5) for name, number in CLASSES.items()}
    for name in ("1.2-classes", "4.2-classes"):
        table = read_table(three_classes / "tables" / f"{name}.csv")["shown"]
        found = table[table["network"] == "baseline"].set_index("class")["images of the class"]
        assert found.to_dict() == {name: str(validation) for name, (_, validation) in counts.items()}
    page = re.sub(r"<[^>]+>", " ", (three_classes / "report.html").read_text(encoding="utf-8"))
    words = " ".join(page.split())
    assert "class train validation " + " ".join(f"{name} {a} {b}" for name, (a, b) in counts.items()) in words
    assert "own images, protocol random: 96 train, 24 validation" in words
    assert "guessing 33.3 %" in words
    table = r" +\$x\$ +NA +total\ntrain +24 +24 +48\nvalidation +6 +6 +12\n"
    assert re.search(table, printed(three_classes, "00"))
    assert not any(re.search(r"(?<!\\)\$", text) for text in shown(three_classes, "00")), "read as a formula"


def test_figures_show_any_class_name_as_it_is(three_class_runs):
    scores = tables.class_scores(three_class_runs[:1])
    counts = pd.DataFrame({"train": {name: 0.8 * number for name, number in CLASSES.items()}}).T
    shares = tables.confusion_shares(three_class_runs[:1])
    for figure in (data.class_counts(counts), baseline.class_scores(scores), confusion.confusion_matrices(shares)):
        texts = figure.findobj(Text)
        words = [text.get_text().partition(" (")[0] for text in texts]
        assert set(CLASSES) <= set(words)
        assert not any(text.get_parse_math() for text in texts if "$" in text.get_text())


def test_what_runs_keep_of_their_attention_is_read_with_any_class_name(three_class_runs):
    kept = attention.read(three_class_runs[1])
    assert set(kept.images["class"]) == set(CLASSES)
    of_classes = kept.table[kept.table["of"] == attention.ONE_CLASS].groupby("class")["images"].first()
    assert of_classes.to_dict() == {name: number // 5 for name, number in CLASSES.items()}


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_notebooks_that_use_keras_are_executed_by_other_backends(three_classes, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend}: not installed")
    program = "import sys, test_studies; test_studies.study_of_three_classes(sys.argv[1], sys.argv[2:])"
    environment = os.environ | {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, three_classes.parents[1], "00", "02", "05", "06"]
    done = subprocess.run(command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("      done in ") == 4 and "epoch 1/1" not in done.stdout, done.stdout
