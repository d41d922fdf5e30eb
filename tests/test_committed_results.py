"""The committed study says what its predictions say: the tables and the README are made again and compared."""

from pathlib import Path

import pandas as pd
import pytest

from fer_lib.analysis.tables import comparison
from fer_lib.parameters import read_parameters
from fer_lib.report.readme import BEGIN, END, result_block
from fer_lib.training.runs import is_finished, read_json, run_folder, run_identity, study_runs

ROOT = Path(__file__).parents[1]
STUDY = Path("outputs/fer2013_grid")


@pytest.fixture(scope="module")
def parameters():
    return read_parameters(ROOT / STUDY / "params.yaml")


@pytest.fixture(scope="module")
def runs(parameters):
    return study_runs(ROOT / STUDY, parameters)


def test_every_run_is_found_finished(parameters):
    fingerprint = read_json(ROOT / STUDY / "data.json")["fingerprint"]
    cells = parameters.cells()
    assert len(cells) == 24
    for variant, seed in cells:
        identity = run_identity(parameters, variant, seed, fingerprint)
        assert is_finished(run_folder(ROOT / STUDY, variant, seed), identity), f"{variant}, seed {seed}"


def test_the_comparison_follows_from_the_predictions(parameters, runs):
    found = comparison(runs, parameters.baseline)
    committed = pd.read_csv(ROOT / STUDY / "tables/comparison.csv")
    assert len(committed) == 7
    pd.testing.assert_frame_equal(found, committed, rtol=1e-9)


def test_the_readme_says_what_the_study_says(monkeypatch):
    monkeypatch.chdir(ROOT)  # the block links to the study from there
    text = Path("README.md").read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == result_block(STUDY)
