"""Training into run folders: a finished run is loaded, a half one goes on, another one is never mixed in."""

import contextlib
import json
import math
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from fer_lib.environment import describe_environment, leave_out_messages
from fer_lib.errors import RunError
from fer_lib.files import write_atomically
from fer_lib.training import runs
from fer_lib.training.batches import FaceBatches, draw_order, draw_transforms, identity_transforms
from fer_lib.training.deadline import check_deadline
from fer_lib.training.progress import Progress
from fer_lib.training.recipe import CLASSES, build_classifier, build_trainer

leave_out_messages()

# The newest checkpoint and the one before it, should the newest be damaged.
_CHECKPOINTS_KEPT = 2


def train_run(parameters, variant, seed, splits, study_dir):
    """The run of one cell of the grid: read where it is finished, else trained from where it stopped.

    Args:
        parameters: `Parameters`.
        variant: name, see `Variant.from_name`.
        seed: whole number from 0; fixes weights, order, augmentation and dropout.
        splits: `Splits`; trained on `train`, measured on `validation` after each epoch. `test` is not touched.
        study_dir: folder of the study, `outputs/<study>`.

    Returns:
        The finished `Run`. Its predictions are those of the last epoch: no epoch is chosen on the images that
        score it.

    Raises:
        RunError: a file cannot be written, or the loss is no longer finite.
        TimeLimitError: the next epoch would not end before the deadline; the same call goes on from here.
    """
    folder = runs.run_folder(study_dir, variant, seed)
    identity = runs.run_identity(parameters, variant, seed, splits.fingerprint)
    if runs.is_finished(folder, identity):
        return runs.read_run(folder)
    with _only_process(folder):
        # The process that was waited for may have finished this very run.
        if not runs.is_finished(folder, identity):
            _prepare_folder(folder, identity, parameters)
            _Training(parameters, variant, seed, splits, folder).finish(identity)
    return runs.read_run(folder)


def restore_classifier(parameters, run, weights="last"):
    """The trained network of a run.

    Args:
        parameters: the `Parameters` that it was trained with.
        run: a `Run` whose weights are still there; committed results have none.
        weights: `"last"` (whose predictions are reported) or `"best"` by validation accuracy.
    """
    path = run.folder / f"{weights}.weights.h5"
    if not path.is_file():
        raise RunError(
            "The weights of a run are missing",
            where=path,
            advice="Results are committed without weights: delete the run's folder and run the study to train it",
        )
    classifier = build_classifier(parameters, run.variant, run.seed)
    classifier.load_weights(path)
    return classifier


def predict(parameters, classifier, faces):
    """The classifier's `Predictions` of a `FaceSet`."""
    trainer = build_trainer(parameters, classifier, faces.images, steps_per_epoch=1)
    return _predict(trainer, faces, first_row=0)


def open_test_split(parameters, run, splits):
    """Predicts the test split with a run's last weights, once, and keeps the predictions in its folder."""
    if "test" not in run.splits:
        test = predict(parameters, restore_classifier(parameters, run), splits.test)
        runs.write_predictions(run.folder, {"validation": run.predictions("validation"), "test": test})
        keras.utils.clear_session()
    return run.predictions("test")


class _Training:
    """One run from its last checkpoint to its end."""

    def __init__(self, parameters, variant, seed, splits, folder):
        keras.utils.clear_session()
        self.parameters, self.variant, self.seed = parameters, variant, seed
        self.train, self.validation, self.folder = splits.train, splits.validation, folder
        self.steps = math.ceil(len(self.train) / parameters.batch_size)
        self.classifier = build_classifier(parameters, variant, seed)
        images = np.concatenate([self.train.images, self.validation.images])
        self.trainer = build_trainer(parameters, self.classifier, images, self.steps)
        self.trainer.optimizer.build(self.trainer.trainable_variables)
        self.one_hot = np.eye(CLASSES, dtype="float32")[self.train.labels]
        self.history, self.seconds = [], []

    def finish(self, identity):
        self._restore()
        with Progress(self.variant, self.seed, self.parameters.epochs, self.steps, len(self.history)) as progress:
            for epoch in range(len(self.history), self.parameters.epochs):
                check_deadline(needed=self.seconds[-1] if self.seconds else 0)
                started = time.perf_counter()
                self.history.append(self._train_epoch(epoch, progress))
                self.seconds.append(time.perf_counter() - started)
                self._save_epoch()
                progress.end_epoch(self.history[-1], self.seconds[-1])
        self._save_weights("last")
        validation = _predict(self.trainer, self.validation, first_row=len(self.train))
        runs.write_predictions(self.folder, {"validation": validation})
        runs.write_json(
            self.folder / "done.json",
            {"identity": identity, "epochs": len(self.history), "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")},
        )
        for path in _checkpoints(self.folder):
            path.unlink()

    def _train_epoch(self, epoch, progress):
        order = draw_order(len(self.train), self.seed, epoch)
        transforms = draw_transforms(
            len(self.train), self.seed, epoch, self.parameters.shift, self.parameters.flip
        )

        # PyTorch draws dropout from its global generator, which no checkpoint holds; the other backends draw it
        # from a variable of the network. Seeded within `fit`: the first `fit` of a process opens the data once
        # more, to build the metrics, and each opening of a PyTorch DataLoader draws from that generator too.
        def seed_dropout(_epoch, _logs):
            keras.utils.set_random_seed(int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]))

        batch_size = self.parameters.batch_size
        result = self.trainer.fit(
            FaceBatches({"row": order, "transform": transforms}, self.one_hot[order], batch_size),
            shuffle=False,  # else Keras mixes the batches of a dataset
            verbose=0,
            callbacks=[progress.callback(), keras.callbacks.LambdaCallback(on_epoch_begin=seed_dropout)],
            validation_data=FaceBatches(*_inputs(self.validation, len(self.train)), batch_size),
        )
        row = {"epoch": epoch + 1, **{name: float(values[-1]) for name, values in result.history.items()}}
        row["learning_rate"] = float(self.trainer.optimizer.learning_rate)
        if not math.isfinite(row["loss"]):
            raise RunError(
                "Training diverged: the loss is not finite",
                where=f"{self.variant}, seed {self.seed}, epoch {epoch + 1}",
                found=row["loss"],
                advice="Lower learning_rate, or set precision: float32",
            )
        return row

    def _save_epoch(self):
        history = pd.DataFrame(self.history)
        if history["val_accuracy"].idxmax() == len(history) - 1:
            self._save_weights("best")
        write_atomically(self.folder / "history.csv", history.to_csv(index=False))
        seconds = pd.DataFrame({"epoch": history["epoch"], "seconds": self.seconds}).round(2)
        write_atomically(self.folder / "seconds.csv", seconds.to_csv(index=False))
        state = {f"variable_{i}": np.asarray(v) for i, v in enumerate(map(_to_numpy, self._variables()))}
        state["progress"] = np.array(json.dumps({"history": self.history, "seconds": self.seconds}))
        path = self.folder / f"checkpoint-{len(history):04d}.npz"
        write_atomically(path, lambda temporary: np.savez(temporary, **state))
        for old in _checkpoints(self.folder)[:-_CHECKPOINTS_KEPT]:
            old.unlink()

    def _restore(self):
        """Goes on from the newest checkpoint that is whole."""
        for path in reversed(_checkpoints(self.folder)):
            try:
                with np.load(path) as file:
                    state = {name: file[name] for name in file.files}
            except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
                print(f"{path.name} is damaged ({error}); going on from the one before it")
                path.unlink()
                continue
            for index, variable in enumerate(self._variables()):
                variable.assign(state[f"variable_{index}"])
            progress = json.loads(str(state["progress"]))
            self.history, self.seconds = progress["history"], progress["seconds"]
            return

    def _variables(self):
        # Not the trainer's own: those hold the faces.
        return [*self.classifier.variables, *self.trainer.optimizer.variables]

    def _save_weights(self, name):
        # Keras insists on the suffix; the temporary file is a sibling of the same suffix.
        def save(temporary):
            whole = Path(temporary).with_suffix(".weights.h5")
            self.classifier.save_weights(whole)
            whole.replace(temporary)

        write_atomically(self.folder / f"{name}.weights.h5", save)


def _prepare_folder(folder, identity, parameters):
    if reason := _why_another(folder, identity):
        aside = runs.set_aside(folder).name
        print(f"{identity['variant']}, seed {identity['seed']}: {reason}; the earlier run was moved to {aside}")
    runs.write_json(
        folder / "config.json",
        {
            "variant": identity["variant"],
            "seed": identity["seed"],
            "identity": identity,
            "parameters": parameters.model_dump(),
            "environment": describe_environment(),
        },
    )


def _why_another(folder, identity):
    """Why what lies in `folder` is not a part of this run, or None."""
    try:
        config = runs.read_json(folder / "config.json")
    except RunError:
        return "config.json is damaged"
    earlier = identity if config is None else config.get("identity", {})
    changed = [name.replace("_", " ") for name in identity if earlier.get(name) != identity[name]]
    return f"{' and '.join(changed)} changed" if changed else None


@contextlib.contextmanager
def _only_process(folder):
    """Holds the run for this process; another one that wants it waits. The lock ends with its process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        print(f"{folder.parent.name}, {folder.name} is being trained by another process; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _predict(trainer, faces, first_row):
    inputs, _ = _inputs(faces, first_row)
    probabilities = trainer.predict(FaceBatches(inputs, batch_size=256), verbose=0).astype("float32")
    return runs.Predictions(np.asarray(faces.ids, dtype=str), faces.labels, probabilities)


def _inputs(faces, first_row):
    """Rows and transforms of faces as they are, and their one-hot labels."""
    rows = np.arange(first_row, first_row + len(faces), dtype="int32")
    one_hot = np.eye(CLASSES, dtype="float32")[faces.labels]
    return {"row": rows, "transform": identity_transforms(len(faces))}, one_hot


def _checkpoints(folder):
    """Checkpoints from the oldest to the newest."""
    return sorted(folder.glob("checkpoint-*.npz"))


def _to_numpy(variable):
    return keras.ops.convert_to_numpy(variable)
