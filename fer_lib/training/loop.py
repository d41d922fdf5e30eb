"""Training into run folders: a finished run is loaded, a half one goes on, another one is never mixed in."""

import io
import json
import math
import time
import zipfile

import keras
import numpy as np
import pandas as pd

from fer_lib.display import percent, time_left
from fer_lib.environment import cores, describe_environment, leave_out_messages
from fer_lib.errors import RunError
from fer_lib.files import hold, write_atomically
from fer_lib.training import runs
from fer_lib.training.batches import batches, draw_order, draw_transforms, identity_transforms, joined
from fer_lib.training.recipe import build_classifier, build_trainer

leave_out_messages()


def train_run(parameters, variant, seed, splits, study_dir, observe=None, position=None):
    """Return the run of a variant and seed: read where it is finished, else trained from its last checkpoint.

    Its predictions are those of the last epoch: no epoch is chosen by them.

    Args:
        parameters, variant, seed: the seed fixes weights, order, augmentation and dropout.
        splits: trained on `train`, measured on `validation` after each epoch; `test`, if any, is predicted once,
            after the last.
        study_dir: folder of the study, `outputs/<study>`.
        observe: called after the last epoch with parameters, run (its predictions can be read), classifier (it may
            change the weights) and validation `ImageSet`; returns what the folder keeps, file name -> content.
        position: (i, n), for the progress: the run is the i-th of n.

    RunError where a file cannot be written, the network is no longer finite, or the study's finished runs are of
    an earlier results version.
    """
    folder = runs.run_folder(study_dir, variant, seed)
    identity = runs.run_identity(parameters, variant, seed, splits.fingerprint)
    if not runs.is_finished(folder, identity) or runs.leftovers(folder):
        busy = f"{folder.parent.name}, {folder.name}: another process trains it; waiting for its end"
        with hold(folder, busy):  # which may have waited for one that has finished this very run
            if not runs.is_finished(folder, identity):
                runs.require_one_version(study_dir, parameters, identity)
            identity = _prepare_folder(folder, identity)
            if not runs.is_finished(folder, identity):
                training = _Training(parameters, identity, splits.train, splits.validation, folder)
                training.run_epochs(position)
                training.keep_results(splits.test, observe)
            _remove(*runs.leftovers(folder))
    return runs.read_run(folder)


def restore_classifier(parameters, run):
    """Return the network of a `Run` with the weights of its last epoch; RunError where they are gone."""
    path = run.folder / runs.WEIGHTS
    if not path.is_file():
        advice = "Results are committed without weights: delete the run's folder and run the study to train it"
        raise RunError("The weights of a run are missing", where=path, advice=advice)
    classifier = build_classifier(parameters, run.variant, run.seed, len(run.class_names))
    classifier.load_weights(path)
    return classifier


def predict(parameters, classifier, faces):
    """Return the `Predictions` of an `ImageSet`."""
    return _predict(build_trainer(parameters, classifier, faces.images, steps_per_epoch=1), faces, first_row=0)


class _Training:
    """One run from its last checkpoint to its end."""

    def __init__(self, parameters, identity, train, validation, folder):
        keras.utils.clear_session()
        self.parameters, self.identity, self.folder = parameters, identity, folder
        self.variant, self.seed = identity["variant"], identity["seed"]
        self.title = f"{self.variant}, seed {self.seed}"
        self.train, self.validation = train, validation
        self.steps = math.ceil(len(train) / parameters.batch_size)
        self.classifier = build_classifier(parameters, self.variant, self.seed, len(train.class_names))
        images = joined(train.images, validation.images)
        self.trainer = build_trainer(parameters, self.classifier, images, self.steps)
        self.trainer.optimizer.build(self.trainer.trainable_variables)
        # Part of the arithmetic: with other threads the same sums are rounded otherwise.
        self.threads = len(cores())
        # Not the trainer's own: those hold the images.
        self.variables = [*self.classifier.variables, *self.trainer.optimizer.variables]
        self.history, self.seconds = [], []
        self.config = {
            "variant": self.variant, "seed": self.seed, "identity": identity, "class_names": [*train.class_names],
            "parameters": parameters.model_dump(), "environment": describe_environment(),
        }  # fmt: skip

    def run_epochs(self, position):
        self._restore()
        runs.write_json(self.folder / "config.json", self.config | {"threads": self.threads})
        epochs, done = self.parameters.epochs, len(self.history)
        if 0 < done < epochs:
            print(f"{self.title}: going on after epoch {done}", flush=True)
        for epoch in range(done, epochs):
            started = time.perf_counter()
            self.history.append(self._train_epoch(epoch))
            self.seconds.append(time.perf_counter() - started)
            self._save_epoch()
            print(progress(self.title, self.history[-1], self.seconds[-1], epochs, position), flush=True)

    def keep_results(self, test, observe):
        """Write tables, weights, predictions, what `observe` returns, and last of all `done.json`."""
        self._write_tables()
        predictions = {"validation": _predict(self.trainer, self.validation, first_row=len(self.train))}
        if test is not None:
            # The one place where the test split is used: the training has ended, and nothing is chosen by it.
            predictions["test"] = predict(self.parameters, self.classifier, test)
        # The loss of training does not use the moving statistics, and predictions may hide what is not finite:
        # TensorFlow's ReLU on a CPU (oneDNN) gives 0 for NaN after a fused normalisation.
        finite = all(np.isfinite(weight).all() for weight in self.classifier.get_weights())
        for split, found in predictions.items():
            if not finite or not runs.are_probabilities(found.probabilities):
                what = "The network is not finite, or its predictions do not sum to 1"
                advice = "Lower learning_rate or norm_momentum, train longer, or set precision: float32"
                raise RunError(what, f"{self.title}, {split} split", advice=advice)
        weights = _WeightsInMemory()
        self.classifier.save_weights(weights)
        write_atomically(self.folder / runs.WEIGHTS, weights.getvalue())
        runs.write_predictions(self.folder, predictions)
        if observe is not None:
            run = runs.Run(self.folder, self.variant, self.seed, self.config)
            for name, content in observe(self.parameters, run, self.classifier, self.validation).items():
                write_atomically(self.folder / name, content)
        runs.finish(self.folder, self.identity, len(self.history))

    def _train_epoch(self, epoch):
        count, recipe = len(self.train), self.parameters
        order = draw_order(count, self.seed, epoch)
        transforms = draw_transforms(count, self.seed, epoch, recipe.shift, recipe.flip)

        # PyTorch draws dropout from its global generator, which no checkpoint holds; the other backends draw it
        # from a variable of the network. Seeded within `fit`: the first `fit` of a process opens the data once
        # more, to build the metrics, and each opening of a PyTorch DataLoader draws from that generator too.
        def seed_dropout(_epoch, _logs):
            keras.utils.set_random_seed(int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]))

        validation = _inputs(self.validation, first_row=count)
        result = self.trainer.fit(
            batches({"row": order, "transform": transforms}, self.train.labels[order], recipe.batch_size),
            shuffle=False,  # else Keras mixes the batches of a dataset
            verbose=0,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=seed_dropout)],
            validation_data=batches(validation, self.validation.labels, recipe.batch_size),
        )
        row = {"epoch": epoch + 1, **{name: float(values[-1]) for name, values in result.history.items()}}
        row["learning_rate"] = float(self.trainer.optimizer.learning_rate)
        if not math.isfinite(row["loss"]):
            what, where = "Training diverged: the loss is not finite", f"{self.title}, epoch {epoch + 1}"
            advice = "Lower learning_rate, or set precision: float32"
            raise RunError(what, where, found=row["loss"], advice=advice)
        return row

    def _write_tables(self):
        history = pd.DataFrame(self.history)
        seconds = pd.DataFrame({"epoch": history["epoch"], "seconds": self.seconds}).round(2)
        for name, table in (("history.csv", history), ("seconds.csv", seconds)):
            write_atomically(self.folder / name, table.to_csv(index=False))

    def _save_epoch(self):
        self._write_tables()
        values = [keras.ops.convert_to_numpy(variable) for variable in self.variables]
        state = {"identity": self.identity, "history": self.history, "seconds": self.seconds}
        state = json.dumps(state | {"threads": self.threads})
        path = self.folder / f"checkpoint-{len(self.history):04d}.npz"
        write_atomically(path, lambda temporary: np.savez(temporary, *values, state=np.array(state)))
        # Two are kept: the newest, and the one before it should the newest be damaged.
        _remove(*[*runs.checkpoints(self.folder)][2:])

    def _restore(self):
        """Go on from the newest checkpoint that is whole and of this run."""
        for path, epochs in runs.checkpoints(self.folder).items():
            try:
                values, state = _read_checkpoint(path)
                shapes = [tuple(variable.shape) for variable in self.variables]
                fits = state["identity"] == self.identity and len(state["history"]) == epochs
                if not fits or [value.shape for value in values] != shapes:
                    raise ValueError("of another run, epoch or network")
            except Exception as error:  # damage raises errors of many kinds, with one remedy
                print(f"{path.name} is damaged and not used ({type(error).__name__})", flush=True)
                _remove(path)
                continue
            for variable, value in zip(self.variables, values, strict=True):
                variable.assign(value)
            self.history, self.seconds = state["history"], state["seconds"]
            now, self.threads = self.threads, state.get("threads", self.threads)
            if now != self.threads:
                threads = f"begun with {self.threads} threads, continued with {now}"
                print(f"{self.title}: {threads}: last digits may differ", flush=True)
            return


def progress(title, row, seconds, epochs, position=None):
    """Return the line of an epoch that took `seconds`, `row` of the history; `position` as for `train_run`."""
    number, count = position or (1, 1)
    epoch, remaining = row["epoch"], (1 + count - number) * epochs - row["epoch"]
    training = f"loss {row['loss']:.3f}  accuracy {percent(row['accuracy'])}"
    validation = f"val_loss {row['val_loss']:.3f}  val_accuracy {percent(row['val_accuracy'])}"
    of_all = f", run {number} of {count}" if position else ""
    left = f", {time_left(seconds * remaining)}" if remaining else ""
    return f"{title}{of_all}: epoch {epoch}/{epochs}  {training}  {validation}  {seconds:.0f} s{left}"


class _WeightsInMemory(io.BytesIO):
    """A file for `save_weights` with a name that Keras takes: HDF5 itself ends the process on a full disk."""

    def __str__(self):
        return runs.WEIGHTS


def _prepare_folder(folder, identity):
    """Clear `folder` of what is not part of this run; return the run's identity."""
    _remove(*runs.leftovers(folder))
    if reason := runs.why_another(folder, identity):
        title = f"{identity['variant']}, seed {identity['seed']}"
        print(f"{title}: {reason}; the earlier run was moved to {runs.set_aside(folder).name}", flush=True)
    # A half run keeps the identity that it has, whose hash may be of an earlier version of the program.
    config = runs.read_json(folder / "config.json", runs.Config)
    return config.identity if config else identity


def _predict(trainer, faces, first_row):
    probabilities = trainer.predict(batches(_inputs(faces, first_row), batch_size=256), verbose=0)
    return runs.Predictions(np.asarray(faces.ids, dtype=str), faces.labels, probabilities.astype("float32"))


def _inputs(faces, first_row):
    """Return rows and transforms of images as they are."""
    rows = np.arange(first_row, first_row + len(faces), dtype="int32")
    return {"row": rows, "transform": identity_transforms(len(faces))}


def _read_checkpoint(path):
    """Return the values of the variables, in order, and the state; each part is compared with its checksum."""
    with zipfile.ZipFile(path) as archive, np.load(path) as file:
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} is damaged")
        return [file[f"arr_{i}"] for i in range(len(file.files) - 1)], json.loads(str(file["state"]))


def _remove(*paths):
    for path in paths:
        path.unlink(missing_ok=True)
