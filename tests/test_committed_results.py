"""The committed study says what its predictions say: the tables and the README are made again and compared."""

from pathlib import Path

import pandas as pd
import pytest
from update_readme import BEGIN, END, result_block

from fer_lib.analysis import attention, paper_numbers, tables
from fer_lib.parameters import read_parameters
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
    found = tables.comparison(runs, parameters.baseline)
    committed = pd.read_csv(ROOT / STUDY / "tables/comparison.csv")
    assert len(committed) == 7
    pd.testing.assert_frame_equal(found, committed, rtol=1e-9)


def test_contrasts_are_what_other_code_found(parameters, runs):
    # An independent statistician's numbers, from the same predictions: pp, 95 % CI; TOST p of the second is 0.015.
    found = tables.contrasts(runs, parameters.baseline).set_index("contrast")
    expected = {"blocks": (0.87, -0.25, 1.99), "control": (0.19, -0.97, 1.35), "stages": (1.33, -0.14, 2.80)}
    for contrast, numbers in expected.items():
        row = 100 * found.loc[contrast, ["difference", "ci_low", "ci_high"]].astype(float)
        assert row.tolist() == pytest.approx(numbers, abs=0.006), contrast
    label = "mean of 4 networks with blocks minus stage 4, identity attention (control)"
    assert found.loc["control", "label"] == label
    assert found.loc["control", "p_equivalent"] == pytest.approx(0.015, abs=0.0005)
    assert found.loc["control", "equivalent_within"] > 0.01
    margin, p = tables.excluded_gain(tables.comparison(runs, parameters.baseline))
    assert (margin, p) == (0.03, pytest.approx(0.020, abs=0.0005))


def test_stage_4_works_as_well_without_its_blocks(parameters, runs):
    found = attention.removed_after_training(runs, parameters.baseline).set_index("variant")
    expected = {  # pp: as trained minus baseline, blocks removed minus baseline
        "": (0.09, -0.88), "4": (1.47, 1.44), "4-gaussian": (0.42, 0.40), "4-dot_product": (1.23, 1.33),
        "4-concatenation": (1.49, 1.37), "4-before_last": (0.72, 0.65),
    }  # fmt: skip
    for name, numbers in expected.items():
        row = 100 * found.loc[f"resnet50v2-nl{name or 1}", ["difference", "ablated_difference"]].astype(float)
        assert row.tolist() == pytest.approx(numbers, abs=0.006), name
    changed = found.loc["resnet50v2-nl1", ["changed_low", "changed_high"]].tolist()
    assert changed == pytest.approx([0.08, 0.14], abs=0.005)
    stage_4 = found.drop("resnet50v2-nl1")
    assert stage_4["changed_high"].max() == pytest.approx(0.007, abs=0.0005)


def test_the_papers_differences_are_noise_in_one_reading_and_not_in_the_other(parameters, runs):
    table = paper_numbers.noise_table(runs, parameters.baseline).set_index(["dataset", "network", "reading"])
    expected = {  # standard error (pp), z, p
        paper_numbers.SEVEN: (1.19, 0.8, 0.45), paper_numbers.CONFIDENT: (0.34, 2.7, 0.02),
        paper_numbers.BINARY: (0.23, 4.0, 0.001),
    }  # fmt: skip
    for reading, (error, z, p) in expected.items():
        row = table.loc[("fer2013", "stages 3-4", reading)]
        assert 100 * row["standard_error"] == pytest.approx(error, abs=0.005)
        assert row["z"] == pytest.approx(z, abs=0.05) and row["p_value"] == pytest.approx(p, abs=0.005)


def test_sharpened_the_networks_have_what_the_paper_reports(parameters, runs):
    row = paper_numbers.readings(runs, parameters).iloc[0]
    assert (row["sharpened_low"], row["sharpened_high"]) == pytest.approx((0.8919, 0.9026), abs=5e-5)
    assert paper_numbers.unsure_and_wrong(runs)[1] == pytest.approx(0.62, abs=0.005)
    floors = tables.accuracy_by_run(runs)["ece_floor"]
    assert floors.mean() == pytest.approx(0.030, abs=0.0005)


def test_the_readme_says_what_the_study_says(monkeypatch):
    monkeypatch.chdir(ROOT)  # the block links to the study from there
    text = Path("README.md").read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == result_block(STUDY)
