"""Run folders: what a training leaves on disk, looked up by what it was made from.

`outputs/<study>/runs/<variant>/seed-<n>/` holds `config.json`, `history.csv` (one row per epoch), `seconds.csv`,
`predictions.npz`, `last.weights.h5`, what the study observes, checkpoints while it trains; last of all `done.json`
with the size and the sha256 of each file.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import re
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from fer_lib.datasets.splits import CLASS_NAMES
from fer_lib.errors import ParameterError, RunError
from fer_lib.files import TEMPORARY, read_json, reading, refuse_links, write_atomically
from fer_lib.parameters import build_parameters
from fer_lib.variants import EARLIER_NAMES, Variant

# Raised where the same parameters and data give other numbers than before: earlier runs are then other runs.
# `tests/training/test_golden.py` says when. Commit and package versions are provenance, see `config.json`.
# Finished runs of an earlier version are read, but no study mixes two.
RESULTS_VERSION = 2
WEIGHTS = "last.weights.h5"
_CHECKPOINT = r"checkpoint-(\d{4,})\.npz"
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
        """One row per epoch: epoch, loss, accuracy, binary_accuracy, the same with val_, learning_rate."""
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
            parts, n = ("ids", "labels", "probabilities"), len(self.class_names)
            found = {split: Predictions(*(arrays[f"{split}_{part}"] for part in parts)) for split in splits}
            for one in found.values():
                fits = one.ids.shape == one.y_true.shape and one.probabilities.shape == (len(one.ids), n)
                if not (fits and np.isin(one.y_true, np.arange(n)).all() and are_probabilities(one.probabilities)):
                    raise ValueError(f"ids, labels or probabilities that are not of {n} classes")
            return found

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

    def without(self, ids):
        """Return the run without its predictions of the images of these ids."""
        kept = [(name, one, ~np.isin(one.ids, ids)) for name, one in self._predictions.items()]
        parts = {name: Predictions(one.ids[k], one.y_true[k], one.probabilities[k]) for name, one, k in kept}
        (other := replace(self)).__dict__["_predictions"] = parts
        return other


class Config(BaseModel):
    """What is read of `config.json`; what else it holds is provenance."""

    model_config = ConfigDict(extra="allow")

    variant: str
    seed: int
    identity: dict
    class_names: tuple[str, ...] = CLASS_NAMES
    parameters: dict


class Done(BaseModel):
    """What is read of `done.json`: the identity, and each file with its size and sha256, see `finish`."""

    identity: dict
    files: dict[Annotated[str, Field(pattern=r"^[^/\\]+$")], dict]


def run_folder(study_dir: str | Path, variant: str, seed: int) -> Path:
    """Return the path of a run's folder, of the variant's earlier name where there is one.

    ParameterError where it, or its variant's folder, is a link: what it leads to may be no run of this study.
    """
    name = earlier = Variant.from_name(variant).name
    for now, before in EARLIER_NAMES.items():
        earlier = earlier.replace(f"-{now}", f"-{before}")
    places = [Path(study_dir) / "runs" / each / f"seed-{seed}" for each in (name, earlier)]
    folder = next(filter(Path.exists, places), places[0])
    refuse_links([folder, folder.parent])
    return folder


def run_identity(parameters, variant, seed, fingerprint):
    """Return what a run is made from: variant, seed, hashes (hex) of parameters and data, `RESULTS_VERSION`."""
    made_from = {"parameters": parameters.training_hash(), "data": fingerprint, "results_version": RESULTS_VERSION}
    return {"variant": Variant.from_name(variant).name, "seed": seed, **made_from}


def is_finished(folder, identity):
    """Return whether `folder` holds a finished run of this identity, or of an earlier version of it, whole."""
    return (folder / "done.json").is_file() and why_another(folder, identity) is None


def require_one_version(study_dir, parameters, identity):
    """Raise RunError where a run of `identity`, to be trained, would mix results versions in its study."""
    found = {f"{identity['variant']}/seed-{identity['seed']}, to be trained": identity}
    for variant, seed in parameters.cells():
        folder = run_folder(study_dir, variant, seed)
        if is_finished(folder, run_identity(parameters, variant, seed, identity["data"])):
            found[f"{variant}/seed-{seed}"] = read_json(folder / "done.json", Done).identity
    _refuse_two("results_version", "results versions", found)


def why_another(folder, identity):
    """Return words for why what is in `folder` is no part of this run, or not whole; None where it is."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        config, done = read_json(folder / "config.json", Config), read_json(folder / "done.json", Done)
    except RunError as error:
        return f"{error.where.name} is damaged"
    if config is None:
        return "config.json is missing"
    if changed := _changed(config, done, identity):
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
    config = read_json(folder / "config.json", Config)
    return Run(folder, Variant.from_name(config.variant).name, config.seed, config.model_dump())


def study_runs(study_dir, parameters):
    """Return a study's own finished runs in the order of its grid; its folder may hold others.

    Where `data.json` in `study_dir` names the data, runs on others are left out. RunError where they are of two
    results versions or, without that file, on two data sets.
    """
    fingerprint = (read_json(Path(study_dir) / "data.json") or {}).get("fingerprint")
    found = []
    for variant, seed in parameters.cells():
        folder = run_folder(study_dir, variant, seed)
        if done := read_json(folder / "done.json", Done):
            config = read_json(folder / "config.json", Config)
            identity = run_identity(parameters, variant, seed, fingerprint or done.identity.get("data"))
            if config is None or not _changed(config, done, identity):
                found.append(read_run(folder))
    identities = {f"{run.variant}/seed-{run.seed}": run.config["identity"] for run in found}
    _refuse_two("results_version", "results versions", identities)
    _refuse_two("data", "data sets", identities)
    return found


def _refuse_two(key, what, identities):
    """Raise RunError where identities, by the name of their run, have two values of a key."""
    values = {name: identity[key] for name, identity in identities.items()}
    if len(set(values.values())) > 1:
        words = (f"{str(value)[:8]}: {name}" for name, value in sorted(values.items(), key=lambda item: item[1]))
        advice = "Move the earlier runs away to train all of the study again, or use the code that trained them"
        raise RunError(f"A study cannot mix {what}", found="; ".join(words), advice=advice)


def set_aside(folder):
    """Rename a folder that is no part of a run, so that nothing of it is mixed in and nothing is lost."""
    asides = (folder.with_name(f"{folder.name}.aside-{number}") for number in itertools.count(1))
    return folder.rename(next(path for path in asides if not path.exists()))


def finish(folder, identity, epochs):
    """Write `done.json`, which makes what is in `folder` a finished run."""
    kept = sorted(set(_files(folder, r"[^.].*")) - set(_files(folder, rf"done\.json|{_CHECKPOINT}")))
    done = {"identity": identity, "epochs": epochs, "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    write_json(folder / "done.json", done | {"files": {path.name: _describe(path) for path in kept}})


def leftovers(folder: Path) -> list[Path]:
    """Return this program's files that a killed process left: temporary ones, checkpoints of a finished run."""
    return _files(folder, f"{TEMPORARY}|{_CHECKPOINT}" if (folder / "done.json").is_file() else TEMPORARY)


def checkpoints(folder: Path) -> dict[Path, int]:
    """Return the checkpoints in a folder, the newest first, each with the number of epochs in its name."""
    epochs = {path: int(path.stem.removeprefix("checkpoint-")) for path in _files(folder, _CHECKPOINT)}
    return dict(sorted(epochs.items(), key=lambda item: item[1], reverse=True))


def _files(folder, pattern):
    """Return the files in a folder whose names fit: neither links nor pipes, devices and folders."""
    paths = [path for path in folder.glob("*") if re.fullmatch(pattern, path.name)]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


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


def _changed(config, done, identity):
    """Return the names of what differs between an identity and a run, which may be of an earlier program."""
    earlier = dict(done.identity if done else config.identity)
    with contextlib.suppress(ParameterError):  # of a later version of the program: it stays another
        earlier["variant"] = Variant.from_name(str(earlier.get("variant"))).name
        if earlier.get("parameters") != identity["parameters"]:  # a hash by another rule?
            earlier["parameters"] = build_parameters(config.parameters).training_hash()
    if done and earlier.get("results_version") in range(1, identity["results_version"]):
        earlier["results_version"] = identity["results_version"]
    return [name.replace("_", " ") for name in identity if earlier.get(name) != identity[name]]


def _damaged_file(folder, files):
    """Return the name of the first file that is not as `done.json` lists it, or None."""
    for name in (*_NEEDED, *files):
        path = folder / name
        if name == WEIGHTS and not path.exists():
            continue
        if not path.is_file() or files.get(name) != _describe(path):
            return name
    return None


def _describe(path):
    status = path.stat()
    return {"bytes": status.st_size, "sha256": _sha256(path, status.st_size, status.st_mtime_ns)}


@functools.lru_cache(maxsize=4096)
def _sha256(path, _size, _modified):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
