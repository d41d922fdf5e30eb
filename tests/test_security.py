"""SECURITY.md: a test per promise, whose docstring is the sentence."""

import io
import re
import shutil
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from fer_lib import datasets
from fer_lib.errors import FerError, ParameterError, RunError
from fer_lib.files import sweep
from fer_lib.parameters import build_parameters, write_parameters
from fer_lib.report.page import write_report
from fer_lib.training import runs

PARAMETERS = build_parameters({"study": "tiny", "variants": ["resnet14v2"]})
ROOT = Path(__file__).parents[1]
IMAGES = build_parameters({"dataset": "folders", "protocol": "random"})


def test_every_promise_has_a_test():
    promised = (ROOT / "SECURITY.md").read_text(encoding="utf-8").split("\n## ")[1]
    tests = [test for name, test in globals().items() if name.startswith("test_") and test.__doc__]
    assert re.findall(r"^- (.+)$", promised, re.M) == [test.__doc__ for test in tests]


@pytest.fixture
def study(tmp_path):
    """A study folder with one run, as somebody else may hand it over."""
    folder = tmp_path / "outputs" / "tiny"
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(write_parameters(PARAMETERS))
    make_run(runs.run_folder(folder, "resnet14v2", 0))
    return folder


def make_run(folder, **files):
    identity = runs.run_identity(PARAMETERS, "resnet14v2", 0, "of the data")
    config = {"variant": "resnet14v2", "seed": 0, "identity": identity, "parameters": PARAMETERS.model_dump()}
    runs.write_json(folder / "config.json", config)
    (folder / "history.csv").write_text("epoch,loss\n1,2.0\n")
    (folder / "seconds.csv").write_text("epoch,seconds\n1,2.0\n")
    probabilities = np.full((14, 7), 1 / 7, dtype="float32")
    found = runs.Predictions(np.array([f"id{n}" for n in range(14)]), np.arange(14) % 7, probabilities)
    runs.write_predictions(folder, {"validation": found})
    for name, content in files.items():
        (folder / f"{name}.npz").write_bytes(content)
    runs.finish(folder, identity, 1)
    return folder


def png(side=8):
    Image.new("L", (side, side)).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def test_archives(tmp_path):
    """An archive is read where it lies: nothing is extracted, whatever paths its entries have."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("happy/1.png", "sad/1.png", "../../happy/evil.png", f"{tmp_path}/evil.png"):
            archive.writestr(name, png())
    with pytest.raises(FerError):
        datasets.load(IMAGES, str(tmp_path / "a.zip"))
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_memory(tmp_path):
    """An image or an entry that would need too much memory is an error, not a crash."""
    for name in ("happy", "sad"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png())
    (tmp_path / "sad" / "2.png").write_bytes(png(20_000))
    with pytest.raises(FerError):
        datasets.load(IMAGES, str(tmp_path))


def test_links(study, tmp_path):
    """A study folder that holds a link is refused: nothing outside the folder is read, written or deleted."""
    (tmp_path / "secret.json").write_text('{"caption": "secret"}')
    (study / "tables").mkdir()
    (study / "tables" / "1.1-a.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(ParameterError, match="There is a link"):
        write_report(study)


def test_deletion(tmp_path):
    """Only files that this program made and listed, or named as its temporary files, are deleted."""
    # What is listed: tests/execution/test_runner.py, `test_only_results_that_the_notebook_made_are_deleted`.
    for name in (".tmp-mine.csv", ".bashrc", ".tmp-0123456789abcdef.csv"):
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bashrc", ".tmp-mine.csv"]


def test_nothing_is_executed(study, tmp_path):
    """No file of a run or study is executed, unpickled or imported when it is read."""

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    np.savez(buffer := io.BytesIO(), validation_ids=np.array([Evil()], dtype=object))
    folder = runs.run_folder(study, "resnet14v2", 0)
    shutil.rmtree(folder)
    run = runs.read_run(make_run(folder, predictions=buffer.getvalue()))
    with pytest.raises(RunError):
        run.predictions()
    (study / "data.json").write_text("!!python/object/apply:os.system ['touch executed']")
    with pytest.raises(RunError):
        write_report(study)
    assert not (tmp_path / "executed").exists()


def test_reports(study):
    """No script of a caption, table or notebook is part of a report, which loads nothing from a network."""
    evil = "<script>alert(1)</script><img src=https://example.org/x.png onerror=alert(1)>"
    (study / "tables").mkdir()
    (study / "tables" / "1.1-a.csv").write_text(f'class,n\n"{evil}",1\nb,2\n')
    runs.write_json(study / "tables" / "1.1-a.json", {"caption": evil, "question": None, "rank": 1})
    (study / "notebooks").mkdir()
    shown = new_output("display_data", data={"text/html": evil, "text/markdown": evil})
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[shown])])
    nbformat.write(notebook, study / "notebooks" / "01_a.ipynb")
    page = write_report(study).read_text()
    assert "<script>alert" not in page and "<img src=https" not in page
    assert not re.search(r"<(img|script|link|iframe)[^>]*https?:", page)
    assert "default-src" in page
