"""Whole studies in small: the numbered notebooks on data of another kind than their own."""

import pandas as pd
import pytest

from fer_lib.datasets import make_synthetic
from fer_lib.execution import runner
from fer_lib.parameters import build_parameters


@pytest.fixture(scope="module")
def kdef_study(tmp_path_factory):
    """Notebooks 00 to 04 on a generated KDEF tree: colour, five angles, people that training has not seen."""
    folder = tmp_path_factory.mktemp("kdef")
    tree = make_synthetic(folder / "KDEF", "kdef", people=2, size=(60, 80))
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


def test_what_either_protocol_leaks_is_told(kdef_study):
    leaks = pd.read_csv(next((kdef_study / "tables").glob("0.5-*.csv"))).set_index("protocol")
    assert leaks.loc["random", "person"] == 1 and leaks.loc["random", "sitting"] > 0.9
    assert leaks.loc["subject", ["person", "sitting"]].tolist() == [0, 0]
    assert "protocol subject" in (kdef_study / "figures" / "1.1-training.json").read_text()


def test_accuracy_is_told_by_angle_sex_and_person_and_over_persons(kdef_study):
    angles = pd.read_csv(next((kdef_study / "tables").glob("*-angle.csv")))
    assert set(angles["angle"]) == {"FL", "HL", "S", "HR", "FR"}
    persons = pd.read_csv(next((kdef_study / "tables").glob("*-over-persons.csv"))).set_index("variant")
    # One of the two women and one of the two men are for validation, 70 pictures each but for the black ones.
    assert set(persons["clusters"]) == {2} and persons["n"].iloc[0] in range(130, 141)
    assert persons["difference"].isna().tolist() == [True, False]
    people = pd.read_csv(next((kdef_study / "tables").glob("*-subject.csv")))
    assert persons.loc["resnet14v2", "accuracy"] == pytest.approx(
        people[people["variant"] == "resnet14v2"]["correct"].sum() / persons.loc["resnet14v2", "n"]
    )
