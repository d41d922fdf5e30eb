"""Whole studies in small: the numbered notebooks on data of another kind than their own."""

import pandas as pd
import pytest
from data_files import write_kdef

from fer_lib.execution import runner
from fer_lib.notebooks import read_notebook
from fer_lib.parameters import build_parameters


@pytest.fixture(scope="module")
def kdef_study(tmp_path_factory):
    """Notebooks 00 to 04 on a small KDEF tree: colour, five angles, subjects that training has not seen."""
    folder = tmp_path_factory.mktemp("kdef")
    tree = write_kdef(folder / "KDEF", ["F01", "F02", "M01", "M02"])
    parameters = build_parameters(
        {
            "study": "kdef_tiny",
            "dataset": "kdef",
            "protocol": "subject",
            "colour": True,
            "aspect": "pad",
            "image_size": 32,
            "epochs": 1,
            "variants": ["resnet14v2", "resnet14v2-nl3"],
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_CACHE", str(folder / "cache"))
        runner.run_study(parameters, tree, ["00", "01", "02", "03", "04"], folder / "outputs")
    return folder / "outputs" / "kdef_tiny"


def test_a_study_of_kdef_ends_with_its_report(kdef_study):
    page = (kdef_study / "report.html").read_text()
    assert "KDEF" in page and "subject" in page
    assert len(list((kdef_study / "notebooks").glob("0[0-4]_*.done.json"))) == 5


def printed(study, name):
    """What the cells of an executed notebook printed."""
    cells = read_notebook(next((study / "notebooks").glob(f"{name}_*.ipynb"))).cells
    return "".join(
        output.text for cell in cells for output in cell.get("outputs", []) if output.output_type == "stream"
    )


def test_what_either_protocol_leaks_is_told(kdef_study):
    text = printed(kdef_study, "00")
    assert "protocol random: subject also in the training set for 1.000 of the validation images" in text
    assert "protocol subject: subject also in the training set for 0.000 of the validation images" in text
    assert "protocol subject" in printed(kdef_study, "01")


def test_accuracy_is_told_by_angle_and_sex_and_over_subjects(kdef_study):
    angles = pd.read_csv(kdef_study / "tables" / "4.4-angle.csv")
    assert set(angles["angle"]) == {"FL", "HL", "S", "HR", "FR"}
    sexes = pd.read_csv(kdef_study / "tables" / "4.5-sex.csv").query("variant == 'resnet14v2'")
    subjects = pd.read_csv(kdef_study / "tables" / "4.7-over-subjects.csv").set_index("variant")
    # One of the two women and one of the two men are for validation, 70 images each.
    assert set(subjects["clusters"]) == {2} and subjects["n"].iloc[0] == 140
    assert subjects["difference"].isna().tolist() == [True, False]
    assert subjects.loc["resnet14v2", "accuracy"] == pytest.approx(
        sexes["n_correct"].sum() / subjects.loc["resnet14v2", "n"]
    )


def test_a_network_that_did_not_learn_is_named_in_a_box_and_not_compared(kdef_study):
    cells = read_notebook(next((kdef_study / "notebooks").glob("02_*.ipynb"))).cells
    shown = [
        output.get("data", {}).get("text/markdown", "") for cell in cells for output in cell.get("outputs", [])
    ]
    assert any("These runs did not learn" in text and "baseline, seed 0" in text for text in shown)
    assert pd.read_csv(kdef_study / "tables" / "comparison.csv").empty
