"""Run folders under interruption: what a resumed run leaves equals what an uninterrupted one leaves."""

import multiprocessing
import random
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from fer_lib.errors import RunError, TimeLimitError
from fer_lib.parameters import build_parameters
from fer_lib.training.loop import deadline, runs
from fer_lib.training.loop import loop as training

VARIANT = "resnet14v2-nl2"
PARAMETERS = build_parameters(
    {
        "image_size": 32,
        "width": 0.25,
        "dropout": 0.3,
        "epochs": 3,
        "batch_size": 16,
        "schedule": "cosine",
        "weight_decay": 0.001,
        "variants": ["resnet14v2", VARIANT],
    }
)

KILLS = 8


class Interrupted(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture(scope="module")
def whole(tiny_splits, tmp_path_factory):
    return training.train_run(PARAMETERS, VARIANT, 0, tiny_splits, tmp_path_factory.mktemp("whole"))


def train_until(epoch, splits, folder, monkeypatch):
    save = training._Training._save_epoch

    def save_and_stop(self):
        save(self)
        if len(self.history) == epoch:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(training._Training, "_save_epoch", save_and_stop)
        with pytest.raises(Interrupted):
            training.train_run(PARAMETERS, VARIANT, 0, splits, folder)


def assert_same(run, other):
    assert (run.folder / "history.csv").read_bytes() == (other.folder / "history.csv").read_bytes()
    for part in ("ids", "labels", "probabilities"):
        np.testing.assert_array_equal(getattr(run.predictions(), part), getattr(other.predictions(), part))


def test_a_run_leaves_its_files_and_learns(whole, tiny_splits):
    assert {path.name for path in whole.folder.iterdir()} == {
        "config.json", "history.csv", "seconds.csv", "predictions.npz", "done.json", "last.weights.h5",
        "best.weights.h5",
    }  # fmt: skip
    assert list(whole.history["epoch"]) == [1, 2, 3]
    assert whole.history["loss"].iloc[-1] < whole.history["loss"].iloc[0]
    predictions = whole.predictions()
    assert list(predictions.ids) == list(tiny_splits.validation.ids)
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-5)
    assert predictions.correct.mean() == pytest.approx(whole.history["val_accuracy"].iloc[-1])


def test_history_holds_the_metrics_that_numpy_finds(whole):
    predictions, last = whole.predictions(), whole.history.iloc[-1]
    one_hot = np.eye(7)[predictions.labels]
    assert last["val_binary_accuracy"] == pytest.approx(((predictions.probabilities > 0.5) == one_hot).mean())
    chosen = predictions.probabilities[np.arange(len(one_hot)), predictions.labels]
    assert last["val_loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-4)


def test_learning_rate_follows_the_cosine(whole):
    # 70 faces in batches of 16 are 5 steps an epoch, 15 in all.
    steps = np.array([5, 10, 15])
    expected = 0.001 * 0.5 * (1 + np.cos(np.pi * steps / 15))
    np.testing.assert_allclose(whole.history["learning_rate"], expected, atol=1e-9)


def test_a_finished_run_is_loaded_and_not_trained(whole, tiny_splits, monkeypatch):
    monkeypatch.setattr(training, "_Training", None)
    again = training.train_run(PARAMETERS, VARIANT, 0, tiny_splits, whole.folder.parents[2])
    assert_same(again, whole)


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_resumed_run_equals_an_uninterrupted_one(whole, tiny_splits, tmp_path, monkeypatch, epoch):
    train_until(epoch, tiny_splits, tmp_path, monkeypatch)
    folder = runs.run_folder(tmp_path, VARIANT, 0)
    assert not (folder / "done.json").exists() and runs.find_runs(tmp_path) == []
    assert_same(training.train_run(PARAMETERS, VARIANT, 0, tiny_splits, tmp_path), whole)
    assert not list(folder.glob("checkpoint-*"))


def test_a_damaged_checkpoint_is_recognised_and_the_one_before_it_used(
    whole, tiny_splits, tmp_path, monkeypatch, capsys
):
    train_until(2, tiny_splits, tmp_path, monkeypatch)
    newest = runs.run_folder(tmp_path, VARIANT, 0) / "checkpoint-0002.npz"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    newest.write_bytes(content)
    assert_same(training.train_run(PARAMETERS, VARIANT, 0, tiny_splits, tmp_path), whole)
    assert "checkpoint-0002.npz is damaged" in capsys.readouterr().out


def test_killed_at_random_points_it_ends_as_if_it_never_was(whole, tiny_splits, tmp_path):
    # kill -9, again and again, from the first file to the last: wherever it falls, the same call goes on.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fer_lib.training.loop"])  # so that a start takes no import
    seed = time.time_ns()
    print(f"moments from seed {seed}")
    moments, kills, attempt, duration = random.Random(seed), 0, 0, None
    while kills < KILLS:
        attempt += 1
        folder = tmp_path / str(attempt)
        killed = 0
        while not (runs.run_folder(folder, VARIANT, 0) / "done.json").exists():
            cell = (PARAMETERS, VARIANT, 0, tiny_splits, folder)
            process = context.Process(target=training.train_run, args=cell)
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
        run = training.train_run(PARAMETERS, VARIANT, 0, tiny_splits, folder)
        assert_same(run, whole)
        left = {path.name for path in run.folder.iterdir() if not path.name.startswith(".")}
        assert left == {path.name for path in whole.folder.iterdir()}


def test_several_steps_a_call_are_the_same_run(whole, tiny_splits, tmp_path):
    several = PARAMETERS.model_copy(update={"steps_per_execution": 4})  # of 5 an epoch: the last call has one
    assert_same(training.train_run(several, VARIANT, 0, tiny_splits, tmp_path), whole)


def test_a_time_limit_ends_it_with_an_epoch_and_it_goes_on(whole, tiny_splits, tmp_path, monkeypatch):
    monkeypatch.setenv(deadline.VARIABLE, str(time.time() + 3600))
    save = training._Training._save_epoch

    def save_and_run_out_of_time(self):
        save(self)
        monkeypatch.setenv(deadline.VARIABLE, str(time.time() + self.seconds[-1] / 2))

    with monkeypatch.context() as patch:
        patch.setattr(training._Training, "_save_epoch", save_and_run_out_of_time)
        with pytest.raises(TimeLimitError):
            training.train_run(PARAMETERS, VARIANT, 0, tiny_splits, tmp_path)
    folder = runs.run_folder(tmp_path, VARIANT, 0)
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-0001.npz"]
    monkeypatch.delenv(deadline.VARIABLE)
    assert_same(training.train_run(PARAMETERS, VARIANT, 0, tiny_splits, tmp_path), whole)


def test_a_second_process_waits_and_takes_what_the_first_has_finished(
    whole, tiny_splits, tmp_path, monkeypatch, capsys
):
    folder = runs.run_folder(tmp_path, VARIANT, 0)
    monkeypatch.setattr(training, "_Training", None)  # to train is an error
    with ThreadPoolExecutor() as pool:
        with training._only_process(folder):
            second = pool.submit(training.train_run, PARAMETERS, VARIANT, 0, tiny_splits, tmp_path)
            with pytest.raises(TimeoutError):
                second.result(timeout=1)
            shutil.copytree(whole.folder, folder)
        assert_same(second.result(timeout=60), whole)
    assert "is being trained by another process; waiting for it" in capsys.readouterr().out


def test_other_parameters_set_the_old_run_aside(whole, tiny_splits, tmp_path, monkeypatch):
    train_until(1, tiny_splits, tmp_path, monkeypatch)
    other = PARAMETERS.model_copy(update={"learning_rate": 0.002, "epochs": 1})
    run = training.train_run(other, VARIANT, 0, tiny_splits, tmp_path)
    assert len(run.history) == 1
    aside = run.folder.with_name("seed-0.aside-1")
    assert (aside / "checkpoint-0001.npz").is_file()
    assert [found.folder for found in runs.find_runs(tmp_path)] == [run.folder]


def test_restored_weights_predict_what_the_run_predicted(whole, tiny_splits):
    classifier = training.restore_classifier(PARAMETERS, whole)
    again = training.predict(PARAMETERS, classifier, tiny_splits.validation)
    np.testing.assert_allclose(again.probabilities, whole.predictions().probabilities, atol=1e-6)


def test_the_test_split_is_opened_once_and_kept(whole, tiny_splits, monkeypatch):
    assert whole.splits == ("validation",)
    with pytest.raises(RunError, match="no predictions of the test split"):
        whole.predictions("test")
    opened = training.open_test_split(PARAMETERS, whole, tiny_splits)
    assert list(opened.ids) == list(tiny_splits.test.ids)
    monkeypatch.setattr(training, "restore_classifier", None)
    again = training.open_test_split(PARAMETERS, whole, tiny_splits)
    np.testing.assert_array_equal(again.probabilities, opened.probabilities)
    assert set(whole.splits) == {"validation", "test"}


def test_seeds_differ_and_weights_that_are_gone_are_named(whole, tiny_splits, tmp_path):
    other = training.train_run(PARAMETERS.model_copy(update={"epochs": 1}), VARIANT, 1, tiny_splits, tmp_path)
    assert (other.predictions().probabilities != whole.predictions().probabilities).any()
    (other.folder / "last.weights.h5").unlink()
    with pytest.raises(RunError, match=r"weights of a run are missing.*last\.weights\.h5.*committed without"):
        training.restore_classifier(PARAMETERS, other)


def test_a_loss_that_is_not_finite_is_said(tiny_splits, tmp_path):
    wild = PARAMETERS.model_copy(update={"optimizer": "sgd", "learning_rate": 1e30, "schedule": "constant"})
    with pytest.raises(RunError, match=r"diverged.*epoch 1.*Lower learning_rate"):
        training.train_run(wild, VARIANT, 0, tiny_splits, tmp_path)


def test_a_full_disk_keeps_the_last_checkpoint(whole, tiny_splits, tmp_path, monkeypatch):
    train_until(1, tiny_splits, tmp_path, monkeypatch)

    def no_space(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(training.np, "savez", no_space)
        with pytest.raises(RunError, match=r"No space left on device.*same command again"):
            training.train_run(PARAMETERS, VARIANT, 0, tiny_splits, tmp_path)
    assert_same(training.train_run(PARAMETERS, VARIANT, 0, tiny_splits, tmp_path), whole)


def test_history_is_a_table_of_the_promised_columns(whole):
    assert list(pd.read_csv(whole.folder / "history.csv").columns) == [
        "epoch", "accuracy", "binary_accuracy", "loss", "val_accuracy", "val_binary_accuracy", "val_loss",
        "learning_rate",
    ]  # fmt: skip
