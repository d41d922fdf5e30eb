"""What networks cost beside the plain one: ratios of counts written down by hand."""

import pytest
from fer_lib.analysis.costs import read_costs

from fer_lib.errors import RunError

COUNTS = """variant,parameters,multiply-adds,held (B)
resnet26v2,200,1000,1
resnet26v2-nl2,250,1100,1
resnet26v2-nl3,300,1290,1
resnet26v2-nl3-none,300,1290,1
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "3.4-variants.csv").write_text(COUNTS)
    return tmp_path


def test_costs_are_ratios_to_the_plain_network(study):
    costs = read_costs(study, "resnet26v2")
    assert list(costs) == ["parameters", "multiply-adds"]
    assert costs.loc["resnet26v2-nl3"].tolist() == [1.5, 1.29]
    assert costs.loc["resnet26v2"].tolist() == [1, 1]


def test_before_notebook_03_nothing_is_said(tmp_path):
    assert read_costs(tmp_path, "resnet26v2") is None


@pytest.mark.parametrize(
    "text", ["", "variant,parameters\nresnet26v2,1\n", COUNTS.replace("resnet26v2,", "other,")]
)
def test_a_damaged_table_is_named(study, text):
    (study / "tables" / "3.4-variants.csv").write_text(text)
    with pytest.raises(RunError, match=r"3\.4-variants\.csv[\s\S]*notebook 03"):
        read_costs(study, "resnet26v2")
