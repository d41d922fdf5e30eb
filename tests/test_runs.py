"""Run folders as files: hand-made ones are read, half ones are not, and only code that counts changes a run."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from fer_lib.errors import RunError
from fer_lib.parameters import build_parameters
from fer_lib.training import runs


@pytest.fixture
def folder(tmp_path):
    """A finished run, written by hand as the design describes it."""
    folder = tmp_path / "runs" / "resnet14v2" / "seed-3"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"variant": "resnet14v2", "seed": 3, "parameters": {}}))
    (folder / "history.csv").write_text("epoch,loss,accuracy\n1,1.9,0.25\n2,1.5,0.5\n")
    (folder / "seconds.csv").write_text("epoch,seconds\n1,10.5\n2,9.5\n")
    np.savez(
        folder / "predictions.npz",
        validation_ids=np.array(["a", "b"]),
        validation_labels=np.array([0, 6]),
        validation_probabilities=np.eye(7, dtype="float32")[[0, 5]],
    )
    (folder / "done.json").write_text(json.dumps({"identity": {"results_version": 1}}))
    return folder


def test_a_run_is_read_from_its_files(folder):
    (run,) = runs.find_runs(folder.parents[2])
    assert (run.variant, run.seed, run.splits) == ("resnet14v2", 3, ("validation",))
    assert list(run.history["accuracy"]) == [0.25, 0.5]
    assert run.seconds["seconds"].sum() == 20
    predictions = run.predictions()
    assert list(predictions.classes) == [0, 5]
    assert list(predictions.correct) == [True, False]


def test_a_half_run_is_not_found_and_says_what_is_missing(folder):
    (folder / "done.json").unlink()
    assert runs.find_runs(folder.parents[2]) == []
    with pytest.raises(RunError, match=r"no finished run.*seed-3.*done.json.*fer-study run"):
        runs.read_run(folder)


@pytest.mark.parametrize("name", ["history.csv", "predictions.npz"])
def test_a_finished_run_that_lost_a_file_names_it(folder, name):
    (folder / name).unlink()
    with pytest.raises(RunError, match=f"lost a file.*{name}"):
        runs.read_run(folder)


@pytest.mark.parametrize("content", ['{"identity": {"re', "[1, 2]", "\x00", "[" * 100_000])
@pytest.mark.parametrize("name", ["done.json", "config.json"])
def test_damaged_json_is_called_damaged_and_not_taken_for_absent(folder, name, content, capsys):
    (folder / name).write_text(content)
    with pytest.raises(RunError, match=f"damaged.*{name}"):
        runs.read_run(folder)
    if name == "done.json":
        assert not runs.is_finished(folder, {"results_version": 1})
        assert "damaged" in capsys.readouterr().out


def test_another_identity_is_another_run(folder):
    assert runs.is_finished(folder, {"results_version": 1})
    assert not runs.is_finished(folder, {"results_version": 2})


def test_setting_aside_keeps_everything_and_hides_it(folder):
    first = runs.set_aside(folder)
    shutil.copytree(first, folder)
    second = runs.set_aside(folder)
    assert [first.name, second.name] == ["seed-3.aside-1", "seed-3.aside-2"]
    assert (first / "predictions.npz").is_file()
    assert runs.find_runs(folder.parents[2]) == []


def test_identity_depends_on_what_the_numbers_depend_on_and_on_nothing_else():
    def identity(**values):
        return runs.run_identity(build_parameters(values), "resnet14v2", 0, "fingerprint")

    plain = identity()
    assert identity(study="other", title="Other", seeds=[0, 1], steps_per_execution=4) == plain
    for key, value in {"learning_rate": 0.1, "width": 0.5, "label_smoothing": 0.1, "epochs": 3}.items():
        assert identity(**{key: value})["parameters"] != plain["parameters"], key


def test_predictions_survive_the_file(tmp_path):
    generator = np.random.default_rng(0)
    given = runs.Predictions(
        np.array(["x/1", "x/2", "é"]), np.array([1, 2, 3]), generator.random((3, 7)).astype("float32")
    )
    runs.write_predictions(tmp_path, {"test": given})
    (tmp_path / "config.json").write_text("{}")
    found = runs.Run(tmp_path, "resnet14v2", 0, {}).predictions("test")
    np.testing.assert_array_equal(found.ids, given.ids)
    np.testing.assert_array_equal(found.labels, given.labels)
    pd.testing.assert_frame_equal(pd.DataFrame(found.probabilities), pd.DataFrame(given.probabilities))
