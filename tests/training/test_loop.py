"""Run folders under interruption and damage: what a resumed run leaves equals what an uninterrupted one leaves."""

import dataclasses
import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from fer_lib import files
from fer_lib.errors import RunError
from fer_lib.models import NonLocal2D
from fer_lib.parameters import build_parameters
from fer_lib.training import loop, runs

VARIANT = "resnet14v2-nl2"
PARAMETERS = build_parameters({
    "image_size": 32, "width": 0.25, "dropout": 0.3, "epochs": 3, "batch_size": 16, "schedule": "cosine",
    "weight_decay": 0.001, "variants": ["resnet14v2", VARIANT],
})  # fmt: skip
OTHER = PARAMETERS.model_copy(update={"learning_rate": 0.002, "epochs": 1})
FILES = {"config.json", "history.csv", "seconds.csv", "predictions.npz", "done.json", "last.weights.h5"}


class Interrupted(Exception):
    """Stands for whatever ends a process."""


def small_classifier(parameters, _, seed, classes=7):
    """Stands for `build_classifier`: a network of each kind of weight and of dropout, quick to compile."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((parameters.image_size, parameters.image_size, 1))
    x = keras.layers.Conv2D(8, 3, strides=4)(inputs)
    x = keras.layers.BatchNormalization(momentum=0.8)(NonLocal2D(zero_init=False)(x))
    x = keras.layers.Dropout(parameters.dropout)(keras.layers.Flatten()(keras.layers.ReLU()(x)))
    return keras.Model(inputs, keras.layers.Dense(classes, "softmax")(x))


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """What is tested is what a run keeps, whatever its network: that of a study is in `test_golden`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "build_classifier", small_classifier)
        yield


@pytest.fixture(scope="module")
def splits(tiny_splits):
    """Without the test split: to predict it compiles the network once more."""
    return dataclasses.replace(tiny_splits, test=None, protocol="paper", fingerprint="")


@pytest.fixture(scope="module")
def whole(splits, tmp_path_factory):
    return loop.train_run(PARAMETERS, VARIANT, 0, splits, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def half(splits, tmp_path_factory):
    """A study whose run ended after its second epoch."""
    folder, save = tmp_path_factory.mktemp("half"), loop._Training._save_epoch

    def save_and_stop(self):
        save(self)
        if len(self.history) == 2:
            raise Interrupted

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(loop._Training, "_save_epoch", save_and_stop)
        loop.train_run(PARAMETERS, VARIANT, 0, splits, folder)
    return folder


@pytest.fixture
def half_copy(half, tmp_path):
    return shutil.copytree(half, tmp_path / "half")


def assert_same(run, other):
    assert (run.folder / "history.csv").read_bytes() == (other.folder / "history.csv").read_bytes()
    for part in ("ids", "y_true", "probabilities"):
        np.testing.assert_array_equal(getattr(run.predictions(), part), getattr(other.predictions(), part))


def folder_of(study):
    return runs.run_folder(study, VARIANT, 0)


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def test_a_run_leaves_its_files_and_learns(whole, splits):
    assert {path.name for path in whole.folder.iterdir()} == FILES
    assert list(whole.history.columns) == [
        "epoch", "accuracy", "binary_accuracy", "loss", "val_accuracy", "val_binary_accuracy", "val_loss",
        "learning_rate",
    ]  # fmt: skip
    assert list(whole.history["epoch"]) == [1, 2, 3]
    assert whole.history["loss"].iloc[-1] < whole.history["loss"].iloc[0]
    assert list(whole.predictions().ids) == list(splits.validation.ids)
    assert whole.class_names == splits.train.class_names


def test_history_holds_the_numbers_that_numpy_finds(whole):
    predictions, last = whole.predictions(), whole.history.iloc[-1]
    one_hot = np.eye(7)[predictions.y_true]
    assert last["val_accuracy"] == pytest.approx(predictions.correct.mean())
    assert last["val_binary_accuracy"] == pytest.approx(((predictions.probabilities > 0.5) == one_hot).mean())
    chosen = predictions.probabilities[np.arange(len(one_hot)), predictions.y_true]
    assert last["val_loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-4)
    # 70 images in batches of 16 are 5 steps an epoch, 15 in all: a cosine from 0.001 to 0.
    expected = 0.001 * 0.5 * (1 + np.cos(np.pi * np.array([5, 10, 15]) / 15))
    np.testing.assert_allclose(whole.history["learning_rate"], expected, atol=1e-9)


def test_a_finished_run_is_loaded_and_not_trained(whole, splits, monkeypatch):
    monkeypatch.setattr(loop, "_Training", None)
    again = loop.train_run(PARAMETERS, VARIANT, 0, splits, whole.folder.parents[2])
    assert_same(again, whole)


def test_a_resumed_run_equals_an_uninterrupted_one(whole, splits, half_copy):
    assert not (folder_of(half_copy) / "done.json").exists()
    assert runs.study_runs(half_copy, PARAMETERS) == []
    assert_same(loop.train_run(PARAMETERS, VARIANT, 0, splits, half_copy), whole)
    assert {path.name for path in folder_of(half_copy).iterdir()} == FILES


def test_the_run_goes_on_from_the_checkpoint_before_a_damaged_one(whole, splits, half_copy, capsys):
    flip_bit(folder_of(half_copy) / "checkpoint-0002.npz")
    (folder_of(half_copy) / "history.csv").write_text("edited")
    assert_same(loop.train_run(PARAMETERS, VARIANT, 0, splits, half_copy), whole)
    said = capsys.readouterr().out
    assert "checkpoint-0002.npz is damaged" in said and "going on after epoch 1" in said
    assert {path.name for path in folder_of(half_copy).iterdir()} == FILES


@pytest.fixture(scope="module")
def restored(splits, half, tmp_path_factory):
    """Restores a run from the checkpoints in a folder: the epochs that are done, and the variables' values."""
    identity = runs.run_identity(PARAMETERS, VARIANT, 0, splits.fingerprint)
    scratch = tmp_path_factory.mktemp("scratch")
    training = loop._Training(PARAMETERS, identity, splits.train, splits.validation, scratch)
    fresh = [np.asarray(variable) for variable in training.variables]

    def restore(folder):
        for variable, value in zip(training.variables, fresh, strict=True):
            variable.assign(value)
        training.history, training.folder = [], folder
        training._restore()
        return len(training.history), [np.asarray(variable) for variable in training.variables]

    return restore


def of_another_seed(arrays, state):
    arrays["state"] = json.dumps(state | {"identity": state["identity"] | {"seed": 1}})


def of_another_shape(arrays, state):
    arrays["arr_9"] = arrays["arr_9"][..., None]


def with_a_short_history(arrays, state):
    arrays["state"] = json.dumps(state | {"history": state["history"][:1]})


@pytest.mark.parametrize("damage", ["cut", "empty", of_another_seed, of_another_shape, with_a_short_history])
def test_what_is_not_a_whole_checkpoint_of_this_run_is_not_used(damage, restored, half_copy, capsys):
    first, second = (folder_of(half_copy) / f"checkpoint-000{number}.npz" for number in (1, 2))
    expected, _ = loop._read_checkpoint(first)
    assert restored(folder_of(half_copy))[0] == 2
    if callable(damage):
        with np.load(second) as file:
            arrays = dict(file)
        damage(arrays, json.loads(str(arrays["state"])))
        np.savez(second, **arrays)
    else:
        second.write_bytes(second.read_bytes()[:-100] if damage == "cut" else b"")
    epochs, values = restored(folder_of(half_copy))
    assert epochs == 1 and not second.exists() and "checkpoint-0002.npz is damaged" in capsys.readouterr().out
    for value, other in zip(values, expected, strict=True):
        np.testing.assert_array_equal(value, other)
    flip_bit(first)
    assert restored(folder_of(half_copy))[0] == 0


@pytest.mark.parametrize("name", ["config.json", "predictions.npz", "last.weights.h5"])
def test_a_damaged_run_is_set_aside_and_trained_again(name, whole, splits, tmp_path, capsys, monkeypatch):
    def train(*_):
        raise Interrupted

    study = shutil.copytree(whole.folder.parents[2], tmp_path / "study")
    flip_bit(folder_of(study) / name)
    monkeypatch.setattr(loop, "_Training", train)
    with pytest.raises(Interrupted):
        loop.train_run(PARAMETERS, VARIANT, 0, splits, study)
    said = capsys.readouterr().out
    assert f"{VARIANT}, seed 0: {name} is" in said and "moved to seed-0.aside-1" in said


def test_leftovers_are_removed_where_the_run_is_finished_too(whole, splits, tmp_path, monkeypatch):
    study = shutil.copytree(whole.folder.parents[2], tmp_path / "study")
    for name in (".tmp-0123456789abcdef.npz", "checkpoint-0003.npz"):
        (folder_of(study) / name).write_bytes(b"left")
    monkeypatch.setattr(loop, "_Training", None)
    assert_same(loop.train_run(PARAMETERS, VARIANT, 0, splits, study), whole)
    assert {path.name for path in folder_of(study).iterdir()} == FILES


def train_small(*arguments):
    """In a process of its own."""
    loop.build_classifier = small_classifier
    loop.train_run(*arguments)


def test_killed_at_random_points_it_ends_as_if_it_never_was(whole, splits, tmp_path):
    # kill -9, again and again, from the first file to the last: wherever it falls, the same call goes on.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fer_lib.training.loop"])  # so that a start takes no import
    seed = time.time_ns()
    print(f"moments from seed {seed}")
    moments, kills, attempt, duration = random.Random(seed), 0, 0, None
    while kills < 6:
        attempt += 1
        folder = tmp_path / str(attempt)
        killed = 0
        while not (folder_of(folder) / "done.json").exists():
            process = context.Process(target=train_small, args=(PARAMETERS, VARIANT, 0, splits, folder))
            started = time.monotonic()
            process.start()
            process.join(duration and moments.uniform(0, duration))
            if process.exitcode is None:
                process.kill()
                process.join()
                killed += 1
            duration = duration or time.monotonic() - started
            assert process.exitcode in (0, -signal.SIGKILL) and killed < 50
        kills += killed
        run = loop.train_run(PARAMETERS, VARIANT, 0, splits, folder)
        assert_same(run, whole)
        assert {path.name for path in run.folder.iterdir()} == FILES


def test_the_threads_of_the_first_process_are_kept_and_others_are_said(splits, half_copy, monkeypatch, capsys):
    began = runs.read_json(folder_of(half_copy) / "config.json")["threads"]
    monkeypatch.setattr(loop, "cores", lambda: list(range(began + 3)))
    run = loop.train_run(PARAMETERS, VARIANT, 0, splits, half_copy)
    said = f"begun with {began} threads, continued with {began + 3}: last digits may differ"
    assert said in capsys.readouterr().out
    assert run.config["threads"] == began


def test_several_steps_a_call_are_the_same_run(whole, splits, tmp_path):
    several = PARAMETERS.model_copy(update={"steps_per_execution": 4})  # of 5 an epoch: the last call has one
    assert_same(loop.train_run(several, VARIANT, 0, splits, tmp_path), whole)


def test_a_second_process_waits_and_takes_what_is_finished(whole, splits, tmp_path, monkeypatch, capsys):
    folder = folder_of(tmp_path)
    monkeypatch.setattr(loop, "_Training", None)  # to train is an error
    with ThreadPoolExecutor() as pool:
        with files.hold(folder, ""):
            second = pool.submit(loop.train_run, PARAMETERS, VARIANT, 0, splits, tmp_path)
            with pytest.raises(TimeoutError):
                second.result(timeout=1)
            shutil.copytree(whole.folder, folder)
        assert_same(second.result(timeout=60), whole)
    assert "another process trains it; waiting for its end" in capsys.readouterr().out


def test_other_parameters_set_the_old_run_aside(splits, half_copy, capsys):
    run = loop.train_run(OTHER, VARIANT, 0, splits, half_copy)
    assert len(run.history) == 1
    assert (run.folder.with_name("seed-0.aside-1") / "checkpoint-0002.npz").is_file()
    said = capsys.readouterr().out
    assert f"{VARIANT}, seed 0: parameters changed; the earlier run was moved to seed-0.aside-1" in said
    assert [found.folder for found in runs.study_runs(half_copy, OTHER)] == [run.folder]


def test_restored_weights_predict_what_the_run_predicted_and_are_named_where_gone(whole, splits, tmp_path):
    classifier = loop.restore_classifier(PARAMETERS, whole)
    again = loop.predict(PARAMETERS, classifier, splits.validation)
    np.testing.assert_allclose(again.probabilities, whole.predictions().probabilities, atol=1e-6)
    with pytest.raises(RunError, match=r"weights of a run are missing.*last\.weights\.h5.*committed without"):
        loop.restore_classifier(PARAMETERS, dataclasses.replace(whole, folder=tmp_path))


def test_training_cannot_see_the_test_split_and_predicts_it_at_its_end(tiny_splits, tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, tiny_splits.test.images.shape, dtype=np.uint8)
    garbage = dataclasses.replace(tiny_splits.test, images=noise, labels=tiny_splits.test.labels[::-1].copy())
    other = dataclasses.replace(tiny_splits, test=garbage, fingerprint=tiny_splits.fingerprint)
    first, second = (
        loop.train_run(OTHER, VARIANT, 0, given, tmp_path / name)
        for name, given in (("first", tiny_splits), ("second", other))
    )
    assert first.splits == second.splits == ("validation", "test")
    assert_same(first, second)
    weights, again = (loop.restore_classifier(OTHER, run).get_weights() for run in (first, second))
    for one, other_one in zip(weights, again, strict=True):
        np.testing.assert_array_equal(one, other_one)
    found, said = first.predictions("test"), second.predictions("test")
    assert list(found.ids) == list(tiny_splits.test.ids) and list(found.y_true) == list(tiny_splits.test.labels)
    assert (found.probabilities != said.probabilities).any()


def test_three_classes_and_what_is_observed_at_the_end(splits, tmp_path):
    train, validation = (
        dataclasses.replace(images.subset(images.labels < 3), class_names=("a", "b", "c"))
        for images in (splits.train, splits.validation)
    )
    few = dataclasses.replace(splits, train=train, validation=validation, fingerprint="")

    def observe(parameters, run, classifier, faces):
        assert parameters == OTHER and faces is few.validation
        assert run.predictions().correct.mean() == pytest.approx(run.history["val_accuracy"].iloc[-1])
        assert not (run.folder / "done.json").exists()
        classifier.set_weights([0 * weight for weight in classifier.get_weights()])
        return {"a.csv": "x\n1\n", "b.npz": lambda path: np.savez(path, maps=np.ones(3))}

    run = loop.train_run(OTHER, VARIANT, 0, few, tmp_path, observe)
    assert run.class_names == ("a", "b", "c") and run.predictions().probabilities.shape == (9, 3)
    done = runs.read_json(run.folder / "done.json", runs.Done)
    assert set(done.files) == {path.name for path in run.folder.iterdir()} - {"done.json"} > {"a.csv", "b.npz"}
    assert (run.folder / "a.csv").read_text() == "x\n1\n"
    trained = loop.restore_classifier(OTHER, run)
    assert trained.output_shape == (None, 3)
    assert any(np.asarray(weight).any() for weight in trained.trainable_weights), "weights before `observe`"


def test_a_loss_that_is_not_finite_is_said(splits, tmp_path):
    wild = PARAMETERS.model_copy(update={"optimizer": "sgd", "learning_rate": 1e30, "schedule": "constant"})
    with pytest.raises(RunError, match=r"diverged.*epoch 1.*Lower learning_rate"):
        loop.train_run(wild, VARIANT, 0, splits, tmp_path)


def test_predictions_that_are_not_finite_are_said_and_no_result(splits, tmp_path, monkeypatch):
    save = loop._Training._save_epoch

    def then_overflow(training):
        save(training)
        statistic = training.classifier.non_trainable_variables[0]
        statistic.assign(np.nan * statistic)

    monkeypatch.setattr(loop._Training, "_save_epoch", then_overflow)
    with pytest.raises(RunError, match=r"not finite.*seed 0, validation split.*Lower learning_rate"):
        loop.train_run(OTHER, VARIANT, 0, splits, tmp_path)
    assert not {path.name for path in folder_of(tmp_path).iterdir()} & {"done.json", "predictions.npz"}


def test_a_full_disk_leaves_nothing_behind_and_the_next_call_goes_on(whole, splits, half_copy, monkeypatch):
    folder, flush = folder_of(half_copy), files._flush_to_disk
    for suffix, new in ((".npz", set()), (".h5", {"checkpoint-0003.npz"})):
        before = {path.name for path in folder.iterdir()}

        def no_space(path, suffix=suffix):
            if str(path).endswith(suffix):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            flush(path)

        with monkeypatch.context() as patch:
            patch.setattr(files, "_flush_to_disk", no_space)
            with pytest.raises(RunError, match=r"No space left on device.*same command again"):
                loop.train_run(PARAMETERS, VARIANT, 0, splits, half_copy)
        assert {path.name for path in folder.iterdir()} - before == new
    assert_same(loop.train_run(PARAMETERS, VARIANT, 0, splits, half_copy), whole)


def test_progress_is_a_line_per_epoch():
    row = {"epoch": 1, "loss": 1.5, "accuracy": 0.25, "val_loss": 1.25, "val_accuracy": 0.5}
    line = loop.progress("resnet14v2, seed 0", row, seconds=7, epochs=2, position=(2, 4))
    assert line == (
        "resnet14v2, seed 0, run 2 of 4: epoch 1/2  loss 1.500  accuracy 25.0 %  val_loss 1.250  "
        "val_accuracy 50.0 %  7 s, about 1 min left"
    )
    assert loop.progress("x", row | {"epoch": 2}, seconds=7, epochs=2).endswith("  7 s")
