"""Run folders: what a training leaves on disk, looked up by what it was made from.

`outputs/<study>/runs/<variant>/seed-<n>/` holds `config.json`, `history.csv` (a row an epoch), `seconds.csv`,
`predictions.npz`, `last.weights.h5`, what the study observes, checkpoints while it trains; last of all `done.json`
with the size and the sha256 of each file.
"""

import functools
import hashlib
import itertools
import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel

from fer_lib.datasets.splits import CLASS_NAMES
from fer_lib.errors import RunError
from fer_lib.files import read_json, reading, write_atomically

# Raised where the same parameters and data give other numbers than before: earlier runs are then other runs.
# `tests/training/test_golden.py` says when. Commit and package versions are provenance, see `config.json`.
# Finished runs of an earlier version are read, but no study mixes two.
RESULTS_VERSION = 2
WEIGHTS = "last.weights.h5"
# A finished run may lack its weights: results are committed without.
_NEEDED = ("config.json", "history.csv", "predictions.npz")


@dataclass(frozen=True)
class Predictions:
    """The predictions of one split."""

    ids: np.ndarray  # str, (n,), of the images
    y_true: np.ndarray  # int64, (n,), the true classes
    probabilities: np.ndarray  # float32, (n, classes)

    @property
    def y_pred(self):
        """The predicted classes, those of the highest probability, int64, (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self):
        """Whether the predicted class is the true class, bool, (n,)."""
        return self.y_pred == self.y_true


@dataclass(frozen=True)
class Run:
    """A finished run, read from its folder."""

    folder: Path
    variant: str
    seed: int
    config: dict  # `config.json`: identity, class names, parameters, environment (of the process that finished it)

    @property
    def class_names(self):
        """Names of the classes, in label order."""
        return tuple(self.config.get("class_names", CLASS_NAMES))

    @cached_property
    def history(self):
        """A row an epoch: epoch, loss, accuracy, binary_accuracy, the same with val_, learning_rate."""
        return self._table("history.csv")

    @cached_property
    def seconds(self):
        """Seconds that each epoch took, validation included; not part of what a run must reproduce."""
        return self._table("seconds.csv")

    def _table(self, name):
        with reading(self.folder / name, "a table, CSV"):
            return pd.read_csv(self.folder / name)

    @cached_property
    def _predictions(self):
        path = self.folder / "predictions.npz"
        with reading(path, "predictions, NPZ"), np.load(path) as arrays:
            splits = [name.removesuffix("_ids") for name in arrays.files if name.endswith("_ids")]
            return {split: _unpack(arrays, split, len(self.class_names)) for split in splits}

    @property
    def splits(self):
        """Names of the splits that it has predictions of."""
        return tuple(self._predictions)

    def predictions(self, split="validation"):
        """Return the `Predictions` of a split; RunError where the run has none or the file is damaged."""
        if split not in self._predictions:
            expected, where = ", ".join(self.splits), self.folder / "predictions.npz"
            raise RunError(f"A run has no predictions of the {split} split", where, expected, split)
        return self._predictions[split]


class Done(BaseModel):
    """What is read of `done.json`, see `finish`."""

    identity: dict
    files: dict[str, dict]  # name -> {"bytes": size, "sha256": hex}


def run_folder(study_dir, variant, seed):
    """Return the path of a run's folder."""
    return Path(study_dir) / "runs" / variant / f"seed-{seed}"


def run_identity(parameters, variant, seed, fingerprint):
    """Return what a run is made from: variant, seed, hashes (hex) of parameters and data, `RESULTS_VERSION`."""
    made_from = {"parameters": parameters.training_hash(), "data": fingerprint}
    return {"variant": variant, "seed": seed, **made_from, "results_version": RESULTS_VERSION}


def is_finished(folder, identity):
    """Return whether `folder` holds a finished run of this identity, or of an earlier version of it, whole."""
    return (folder / "done.json").is_file() and why_another(folder, identity) is None


def require_one_version(study_dir, parameters, identity):
    """Raise RunError where a run of `identity`, to be trained, would mix results versions in its study."""
    versions = {f"{identity['variant']}/seed-{identity['seed']}, to be trained": identity["results_version"]}
    for variant, seed in parameters.cells():
        folder = run_folder(study_dir, variant, seed)
        if is_finished(folder, run_identity(parameters, variant, seed, identity["data"])):
            earlier = read_json(folder / "done.json", Done).identity
            versions[f"{variant}/seed-{seed}"] = earlier["results_version"]
    _refuse_two(versions)


def why_another(folder, identity):
    """Return words for why what is in `folder` is no part of this run, or not whole; None where it is."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        config, done = read_json(folder / "config.json"), read_json(folder / "done.json", Done)
    except RunError as error:
        return f"{error.where.name} is damaged"
    if config is None:
        return "config.json is missing"
    earlier = done.identity if done else config.get("identity", {})
    if changed := _changed(earlier, identity, finished=done is not None):
        return f"{' and '.join(changed)} changed"
    damaged = done and _damaged_file(folder, done.files)
    return f"{damaged} is missing or damaged" if damaged else None


def read_run(folder):
    """Return the finished `Run` in `folder`; RunError where there is none, or where a file of it is not whole."""
    folder = Path(folder)
    done = read_json(folder / "done.json", Done)
    if damaged := _damaged_file(folder, done.files) if done else "done.json":
        advice = "`fer-study run` finishes it, or trains it again"
        raise RunError("A run is not finished, or a file is missing or damaged", folder / damaged, advice=advice)
    config = read_json(folder / "config.json")
    return Run(folder, config["variant"], config["seed"], config)


def study_runs(study_dir, parameters):
    """Return a study's own finished runs in the order of its grid; its folder may hold others.

    Where `data.json` in `study_dir` names the data, runs on others are left out. RunError where they are of two
    results versions.
    """
    fingerprint = (read_json(Path(study_dir) / "data.json") or {}).get("fingerprint")
    found = []
    for variant, seed in parameters.cells():
        folder = run_folder(study_dir, variant, seed)
        if done := read_json(folder / "done.json", Done):
            data = fingerprint or done.identity.get("data")
            identity = run_identity(parameters, variant, seed, data)
            if _changed(done.identity, identity, finished=True) == []:
                found.append(read_run(folder))
    _refuse_two({f"{run.variant}/seed-{run.seed}": run.config["identity"]["results_version"] for run in found})
    return found


def _refuse_two(versions):
    """Raise RunError where a dictionary of a run's name to its results version holds two versions."""
    if len(set(versions.values())) > 1:
        runs = (f"version {number}: {name}" for name, number in sorted(versions.items(), key=lambda item: item[1]))
        advice = "Move the earlier runs away to train all of the study again, or use the code that trained them"
        raise RunError("A study cannot mix results versions", found="; ".join(runs), advice=advice)


def set_aside(folder):
    """Rename a folder that is no part of a run, so that nothing of it is mixed in and nothing is lost."""
    asides = (folder.with_name(f"{folder.name}.aside-{number}") for number in itertools.count(1))
    return folder.rename(next(path for path in asides if not path.exists()))


def take_back(folder, identity):
    """Rename a run that was set aside and is just this one, finished or not; return its earlier path, or None."""
    asides = [path for path in folder.parent.glob(f"{folder.name}.aside-*") if why_another(path, identity) is None]
    fitting = sorted(asides, key=lambda path: not (path / "done.json").exists())
    if not fitting or folder.exists():
        return None
    fitting[0].rename(folder)
    return fitting[0]


def finish(folder, identity, epochs):
    """Write `done.json`, which makes what is in `folder` a finished run."""
    paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
    kept = [path for path in paths if not path.name.startswith((".", "checkpoint-", "done.json"))]
    done = {"identity": identity, "epochs": epochs, "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    write_json(folder / "done.json", done | {"files": {path.name: _describe(path) for path in kept}})


def leftovers(folder):
    """Return the paths of what a killed process left: temporary files, and the checkpoints of a finished run."""
    return [*folder.glob(".*"), *(folder.glob("checkpoint-*") if (folder / "done.json").is_file() else ())]


def write_json(path, content):
    """Write JSON atomically, indented."""
    write_atomically(path, json.dumps(content, indent=2, default=str) + "\n")


def write_predictions(folder, predictions):
    """Write `predictions.npz` of a run: a dictionary of a split's name to `Predictions`."""
    arrays = {}
    for split, found in predictions.items():
        arrays[f"{split}_ids"], arrays[f"{split}_labels"] = found.ids, found.y_true
        arrays[f"{split}_probabilities"] = found.probabilities
    write_atomically(Path(folder) / "predictions.npz", lambda path: np.savez_compressed(path, **arrays))


def are_probabilities(values):
    """Return whether each row of `(n, classes)` sums to 1; NaN and infinity do not."""
    return np.allclose(values.sum(axis=1), 1, atol=1e-3)


def _unpack(arrays, split, classes):
    """Return the `Predictions` of a split; ValueError where they are impossible."""
    found = Predictions(*(arrays[f"{split}_{part}"] for part in ("ids", "labels", "probabilities")))
    n, shape = len(found.ids), found.probabilities.shape
    if found.ids.dtype.kind != "U" or found.y_true.shape != (n,) or shape != (n, classes):
        raise ValueError(f"{n} ids, labels {found.y_true.shape}, probabilities {shape} of {classes} classes")
    if found.y_true.dtype.kind != "i" or not np.isin(found.y_true, np.arange(classes)).all():
        raise ValueError(f"labels other than 0 to {classes - 1}")
    if not are_probabilities(found.probabilities):
        raise ValueError("probabilities that do not sum to 1")
    return found


def _changed(earlier, identity, finished):
    """Return the names of what differs in two identities; a finished run may be of an earlier results version."""
    names = [name for name in identity if earlier.get(name) != identity[name]]
    if finished and earlier.get("results_version") in range(1, identity["results_version"]):
        names.remove("results_version")
    return [name.replace("_", " ") for name in names]


def _damaged_file(folder, files):
    """Return the name of the first file that is not as `done.json` lists it, or None."""
    for name in (*_NEEDED, *files):
        path = folder / name
        absent = name == WEIGHTS and not path.exists()
        if not absent and not (path.is_file() and files.get(name) == _describe(path)):
            return name
    return None


def _describe(path):
    status = path.stat()
    return {"bytes": status.st_size, "sha256": _sha256(path, status.st_size, status.st_mtime_ns)}


@functools.lru_cache(maxsize=4096)
def _sha256(path, _size, _modified):
    """Return the sha256 (hex) of a file, worked out again where its size or time of change differs."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
