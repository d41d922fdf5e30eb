"""Run folders as files: hand-made ones are read, half and damaged ones are not."""

import json
import os
import shutil

import numpy as np
import pytest

from fer_lib.errors import ParameterError, RunError
from fer_lib.parameters import build_parameters
from fer_lib.training import runs

IDENTITY = {"variant": "resnet14v2", "seed": 3, "parameters": "a hash", "data": "another", "results_version": 1}


@pytest.fixture
def folder(tmp_path):
    """A finished run, written by hand as the design describes it."""
    return write_run(tmp_path / "runs" / "resnet14v2" / "seed-3", IDENTITY, {"epochs": 9})


def write_run(folder, identity, parameters=None):
    folder.mkdir(parents=True, exist_ok=True)
    config = {"variant": identity["variant"], "seed": identity["seed"], "identity": identity}
    config["parameters"] = parameters or {}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "history.csv").write_text("epoch,loss,accuracy\n1,1.9,0.25\n2,1.5,0.5\n")
    (folder / "seconds.csv").write_text("epoch,seconds\n1,10.5\n2,9.5\n")
    predictions = runs.Predictions(np.array(["a", "é"]), np.array([0, 6]), np.eye(7, dtype="float32")[[0, 5]])
    runs.write_predictions(folder, {"validation": predictions})
    runs.finish(folder, identity, epochs=2)
    return folder


def test_a_run_is_read_from_its_files(folder):
    run = runs.read_run(folder)
    assert (run.variant, run.seed, run.splits) == ("resnet14v2", 3, ("validation",))
    assert run.class_names == ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
    assert list(run.history["accuracy"]) == [0.25, 0.5]
    assert run.seconds["seconds"].sum() == 20
    predictions = run.predictions()
    assert list(predictions.y_true) == [0, 6] and list(predictions.y_pred) == [0, 5]
    assert predictions.probabilities.dtype == "float32"
    assert list(predictions.correct) == [True, False]
    assert list(run.without(["a", "c"]).predictions().ids) == ["é"] and list(run.predictions().ids) == ["a", "é"]
    with pytest.raises(RunError, match=r"no predictions of the test split.*predictions\.npz.*validation"):
        run.predictions("test")


def test_a_half_run_is_not_finished_and_says_what_is_missing(folder):
    (folder / "done.json").unlink()
    assert not runs.is_finished(folder, IDENTITY) and runs.why_another(folder, IDENTITY) is None
    with pytest.raises(RunError, match=r"not finished.*seed-3.*done.json.*fer-study run"):
        runs.read_run(folder)


@pytest.mark.parametrize("name", ["history.csv", "predictions.npz", "config.json", "seconds.csv"])
@pytest.mark.parametrize("change", ["lost", "edited", "a folder"])
def test_a_finished_run_with_a_file_that_is_not_whole_names_it(folder, name, change):
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if change == "edited":
        (folder / name).write_bytes(b"2" + content[1:])
    elif change == "a folder":
        (folder / name).mkdir()
    with pytest.raises(RunError, match=f"missing or damaged.*{name}"):
        runs.read_run(folder)
    assert not runs.is_finished(folder, IDENTITY)
    assert runs.why_another(folder, IDENTITY).startswith(f"{name} is ")


@pytest.mark.parametrize("name", ["done.json", "config.json"])
@pytest.mark.parametrize(
    "content", ['{"identity": {"re', "[1, 2]", "[" * 100_000, "{}", '{"files": 3, "seed": []}']
)
def test_damaged_json_is_called_damaged_and_not_taken_for_absent(folder, name, content):
    (folder / name).write_text(content)
    if name == "config.json":
        runs.finish(folder, IDENTITY, epochs=2)
    with pytest.raises(RunError, match=rf"damaged.*{name}"):
        runs.read_run(folder)
    assert runs.why_another(folder, IDENTITY) == f"{name} is damaged"
    assert not runs.is_finished(folder, IDENTITY)


def test_another_identity_is_another_run(folder):
    assert runs.is_finished(folder, IDENTITY)
    other = IDENTITY | {"data": "of another study"}
    assert not runs.is_finished(folder, other)
    assert runs.why_another(folder, other) == "data changed"
    assert runs.why_another(folder, IDENTITY | {"results_version": 0}) == "results version changed"
    # A finished run of an earlier version is read, a half one is not continued.
    assert runs.is_finished(folder, IDENTITY | {"results_version": 2})
    (folder / "done.json").unlink()
    assert runs.why_another(folder, IDENTITY | {"results_version": 2}) == "results version changed"


def test_a_study_never_mixes_results_versions(tmp_path):
    parameters = build_parameters({"variants": ["resnet14v2"], "seeds": [0, 1]})
    wanted = [runs.run_identity(parameters, "resnet14v2", seed, "of the data") for seed in (0, 1)]

    def finish(seed, version):
        folder = runs.run_folder(tmp_path, "resnet14v2", seed)
        write_run(folder, wanted[seed] | {"results_version": version})

    runs.require_one_version(tmp_path, parameters, wanted[0])  # of a study without runs
    finish(0, version=1)
    assert [run.seed for run in runs.study_runs(tmp_path, parameters)] == [0]
    mixed = r"cannot mix results versions.* 1: resnet14v2/seed-0; 2: resnet14v2/seed-1"
    with pytest.raises(RunError, match=mixed + ", to be trained"):
        runs.require_one_version(tmp_path, parameters, wanted[1])
    finish(1, version=1)
    assert [run.seed for run in runs.study_runs(tmp_path, parameters)] == [0, 1]
    finish(1, version=2)
    with pytest.raises(RunError, match=mixed):
        runs.study_runs(tmp_path, parameters)


def test_weights_are_listed_and_may_be_missing_but_not_damaged(folder):
    (folder / runs.WEIGHTS).write_bytes(b"weights")
    runs.finish(folder, IDENTITY, epochs=2)
    listed = runs.read_json(folder / "done.json", runs.Done).files[runs.WEIGHTS]
    # sha256 of "weights", from coreutils.
    assert listed == {"bytes": 7, "sha256": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"}
    (folder / runs.WEIGHTS).write_bytes(b"weightz")
    assert runs.why_another(folder, IDENTITY) == "last.weights.h5 is missing or damaged"
    (folder / runs.WEIGHTS).unlink()
    assert runs.is_finished(folder, IDENTITY)


@pytest.mark.parametrize(
    ("ids", "labels", "shape", "value"),
    [
        ("ab", [0, 7], (2, 7), 1 / 7), ("ab", [0, -1], (2, 7), 1 / 7), ("ab", [0, 1, 2], (2, 7), 1 / 7),
        ("abc", [0, 1], (2, 7), 1 / 7), ("ab", [0, 1], (2, 3), 1 / 3), ("ab", [0, 1], (2, 7), np.nan),
    ],
)  # fmt: skip
def test_impossible_predictions_are_refused(folder, ids, labels, shape, value):
    found = runs.Predictions(np.array(list(ids)), np.array(labels), np.full(shape, value, "float32"))
    runs.write_predictions(folder, {"validation": found})
    runs.finish(folder, IDENTITY, epochs=2)
    with pytest.raises(RunError, match=r"damaged.*predictions\.npz.*not of 7 classes"):
        runs.read_run(folder).predictions()


def test_a_broken_run_of_another_study_does_not_matter(folder):
    study = folder.parents[2]
    parameters = build_parameters({"variants": ["resnet14v2"], "seeds": [3]})
    assert runs.study_runs(study, parameters) == []
    (folder / "history.csv").unlink()
    assert runs.study_runs(study, parameters) == []
    (folder / "history.csv").write_text("epoch\n")
    runs.finish(folder, runs.run_identity(parameters, "resnet14v2", 3, "of the data"), epochs=2)
    assert [run.folder for run in runs.study_runs(study, parameters)] == [folder]
    runs.write_json(study / "data.json", {"fingerprint": "of other data"})
    assert runs.study_runs(study, parameters) == []


def test_setting_aside_keeps_everything(folder):
    first = runs.set_aside(folder)
    shutil.copytree(first, folder)
    second = runs.set_aside(folder)
    assert [first.name, second.name] == ["seed-3.aside-1", "seed-3.aside-2"]
    assert runs.is_finished(first, IDENTITY) and runs.is_finished(second, IDENTITY) and not folder.exists()


def test_leftovers_are_temporary_files_and_checkpoints_of_a_finished_run(folder):
    made_here = {"checkpoint-0001.npz", ".tmp-0123456789abcdef.csv", ".tmp-0123456789abcdef"}
    of_the_user = {".bashrc", ".tmp-1.csv", "checkpoint-best.h5", "checkpoint-0001.npz.txt", "notes.txt"}
    for name in made_here | of_the_user:
        (folder / name).touch()
    (folder / ".ssh").mkdir()
    (folder / "checkpoint-0002.npz").mkdir()
    (folder / "checkpoint-0003.npz").symlink_to(folder / "notes.txt")
    os.mkfifo(folder / "checkpoint-0004.npz")
    assert {path.name for path in runs.leftovers(folder)} == made_here
    assert runs.checkpoints(folder) == {folder / "checkpoint-0001.npz": 1}
    (folder / "done.json").unlink()
    assert {path.name for path in runs.leftovers(folder)} == made_here - {"checkpoint-0001.npz"}


def test_a_linked_run_folder_is_refused(folder, tmp_path):
    (tmp_path / "runs" / "resnet14v2-nl1").symlink_to(folder.parent)
    folder.with_name("seed-4").symlink_to(tmp_path)
    for variant, seed in (("resnet14v2", 4), ("resnet14v2-nl1", 3)):
        with pytest.raises(ParameterError, match="There is a link among the results"):
            runs.run_folder(tmp_path, variant, seed)


def test_a_run_under_the_earlier_name_of_its_variant_is_found(tmp_path):
    parameters = build_parameters({"variants": ["resnet14v2", "resnet14v2-nl3-identity"], "seeds": [3]})
    identity = runs.run_identity(parameters, "resnet14v2-nl3-none", 3, "of the data")
    earlier = identity | {"variant": "resnet14v2-nl3-none"}
    folder = write_run(tmp_path / "runs" / "resnet14v2-nl3-none" / "seed-3", earlier)
    assert runs.run_folder(tmp_path, "resnet14v2-nl3-identity", 3) == folder
    assert runs.is_finished(folder, identity)
    assert [run.variant for run in runs.study_runs(tmp_path, parameters)] == ["resnet14v2-nl3-identity"]


def test_a_run_whose_hash_is_of_an_earlier_program_is_found_by_its_parameters(tmp_path):
    parameters = build_parameters({"variants": ["resnet14v2"], "epochs": 7, "seeds": [3]})
    identity = runs.run_identity(parameters, "resnet14v2", 3, "of the data")
    earlier = identity | {"parameters": "a hash by another rule"}
    kept = parameters.model_dump(exclude={"norm_momentum"})  # a key that came later
    folder = write_run(tmp_path / "runs" / "resnet14v2" / "seed-3", earlier, kept)
    assert runs.is_finished(folder, identity)
    other = runs.run_identity(parameters.model_copy(update={"epochs": 8}), "resnet14v2", 3, "of the data")
    assert runs.why_another(folder, other) == "parameters changed"
    write_run(folder, earlier, kept | {"a key of a later program": 1})
    assert runs.why_another(folder, identity) == "parameters changed"


def test_runs_on_two_data_sets_are_refused_where_none_is_named(tmp_path):
    parameters = build_parameters({"variants": ["resnet14v2"], "seeds": [0, 1]})
    for seed in (0, 1):
        identity = runs.run_identity(parameters, "resnet14v2", seed, f"data {seed}")
        write_run(runs.run_folder(tmp_path, "resnet14v2", seed), identity)
    with pytest.raises(RunError, match=r"cannot mix data sets.*data 0: resnet14v2/seed-0; data 1"):
        runs.study_runs(tmp_path, parameters)
    runs.write_json(tmp_path / "data.json", {"fingerprint": "data 1"})
    assert [run.seed for run in runs.study_runs(tmp_path, parameters)] == [1]
