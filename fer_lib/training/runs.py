"""Run folders: what a training leaves on disk, found again by the hashes of what it was made from.

`outputs/<study>/runs/<variant>/seed-<n>/` holds `config.json`, `history.csv` (a row an epoch), `seconds.csv`,
`predictions.npz`, `last.weights.h5`, `best.weights.h5`, checkpoints while it trains; last of all `done.json`.
"""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from fer_lib.errors import RunError
from fer_lib.files import write_atomically

# Raised where the same parameters and data give other numbers than before: earlier runs are then other runs.
# `tests/test_golden.py` says when. Commit and package versions are provenance, see `config.json`.
RESULTS_VERSION = 1


@dataclass(frozen=True)
class Predictions:
    """What a run says of one split.

    Attributes:
        ids: str, (n,), of the images.
        labels: int64, (n,), the true classes.
        probabilities: float32, (n, 7).
    """

    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def classes(self):
        """The class of the highest probability, int64, (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def y_true(self):
        """The true classes, int64, (n,)."""
        return self.labels

    @property
    def y_pred(self):
        """The predicted classes, int64, (n,)."""
        return self.classes

    @property
    def correct(self):
        """Whether it is the true class, bool, (n,)."""
        return self.classes == self.labels


@dataclass(frozen=True)
class Run:
    """A finished run, read from its folder.

    Attributes:
        folder: its path.
        variant, seed: its cell of the grid.
        config: `config.json`: parameters, identity, environment (of the process that finished it).
    """

    folder: Path
    variant: str
    seed: int
    config: dict

    @cached_property
    def history(self):
        """A row an epoch: epoch, loss, accuracy, binary_accuracy, the same with val_, learning_rate."""
        return pd.read_csv(self.folder / "history.csv")

    @cached_property
    def seconds(self):
        """Seconds that each epoch took, validation included; not part of what a run must reproduce."""
        return pd.read_csv(self.folder / "seconds.csv")

    @property
    def splits(self):
        """Names of the splits that it has predictions of."""
        with np.load(self.folder / "predictions.npz") as file:
            return tuple(name.removesuffix("_ids") for name in file.files if name.endswith("_ids"))

    def predictions(self, split="validation"):
        """The predictions of a split; RunError where the run has none."""
        with np.load(self.folder / "predictions.npz") as file:
            if f"{split}_ids" not in file:
                raise RunError(
                    f"A run has no predictions of the {split} split",
                    where=self.folder,
                    found=", ".join(self.splits),
                    advice="The test split is opened by notebook 04, for the official protocol alone",
                )
            return Predictions(*(file[f"{split}_{part}"] for part in ("ids", "labels", "probabilities")))


def run_folder(study_dir, variant, seed):
    """Where the run of a cell lies."""
    return Path(study_dir) / "runs" / variant / f"seed-{seed}"


def run_identity(parameters, variant, seed, fingerprint):
    """What a run is made from: its cell, hashes (hex) of parameters and data, and `RESULTS_VERSION`.

    Args:
        parameters: `Parameters`.
        fingerprint: of the `Splits`.
    """
    return {
        "variant": variant,
        "seed": seed,
        "parameters": parameters.training_hash(),
        "data": fingerprint,
        "results_version": RESULTS_VERSION,
    }


def is_finished(folder, identity):
    """Whether `folder` holds a finished run of just this identity; a damaged `done.json` is named and does not."""
    try:
        done = read_json(Path(folder) / "done.json")
    except RunError as error:
        print(error, flush=True)
        return False
    return done is not None and done.get("identity") == identity


def read_run(folder):
    """The finished run in `folder`; RunError where there is none, or where a file of it is missing."""
    folder = Path(folder)
    config = read_json(folder / "config.json")
    if read_json(folder / "done.json") is None or config is None:
        raise RunError(
            "There is no finished run",
            where=folder,
            expected="config.json and done.json",
            advice="`fer-study run` finishes it",
        )
    for name in ("history.csv", "predictions.npz"):
        if not (folder / name).is_file():
            raise RunError(
                "A finished run has lost a file",
                where=folder / name,
                advice="Delete the folder and run the study again",
            )
    return Run(folder, config["variant"], config["seed"], config)


def find_runs(study_dir):
    """All finished runs of a study, by variant and seed. Folders that were set aside are not read."""
    found = [read_run(done.parent) for done in Path(study_dir).glob("runs/*/seed-*/done.json") if _is_run(done)]
    return sorted(found, key=lambda run: (run.variant, run.seed))


def study_runs(study_dir, parameters):
    """A study's own finished runs in the order of its grid; its folder may hold others, of earlier parameters.

    Args:
        study_dir: `outputs/<study>`; where its `data.json` names the data, runs on others are left out.
        parameters: its `Parameters`.
    """
    cells = parameters.cells()
    wanted = {"parameters": parameters.training_hash()}
    data = read_json(Path(study_dir) / "data.json") or {}
    if "fingerprint" in data:
        wanted["data"] = data["fingerprint"]
    own = [
        run
        for run in find_runs(study_dir)
        if (run.variant, run.seed) in cells and wanted.items() <= run.config["identity"].items()
    ]
    return sorted(own, key=lambda run: cells.index((run.variant, run.seed)))


def set_aside(folder):
    """Renames a folder whose run has another identity, so that nothing of it is mixed in and nothing is lost."""
    folder = Path(folder)
    number = 1
    while (aside := folder.with_name(f"{folder.name}.aside-{number}")).exists():
        number += 1
    os.replace(folder, aside)
    return aside


def read_json(path):
    """The dictionary in a JSON file, or None where there is no such file; RunError where it is damaged."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError("A file is damaged", where=path, expected="JSON", found=error) from error
    if not isinstance(content, dict):
        raise RunError("A file is damaged", where=path, expected="a JSON object", found=type(content).__name__)
    return content


def write_json(path, content):
    """Writes JSON atomically, indented."""
    write_atomically(path, json.dumps(content, indent=2, default=str) + "\n")


def write_predictions(folder, predictions):
    """Writes `predictions.npz`.

    Args:
        folder: the run's.
        predictions: dictionary of a split's name to `Predictions`.
    """
    arrays = {
        f"{split}_{part}": getattr(values, part)
        for split, values in predictions.items()
        for part in ("ids", "labels", "probabilities")
    }
    write_atomically(Path(folder) / "predictions.npz", lambda path: np.savez_compressed(path, **arrays))


def _is_run(done):
    return done.parent.name.removeprefix("seed-").isdigit()
