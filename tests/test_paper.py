"""What the paper says, typed once, and which studies are in its setup."""

from pathlib import Path

import pytest

from fer_lib import paper
from fer_lib.parameters import read_parameters

PARAMS = Path(__file__).parents[1] / "params"


def test_the_papers_own_studies_are_in_its_setup():
    study = read_parameters(PARAMS / "fer2013_paper.yaml")
    assert paper.is_setup(study)
    assert paper.is_setup(read_parameters(PARAMS / "kdef_paper.yaml"), "kdef")
    # Section 3.2 of the paper and its Table I.
    assert (study.image_size, study.batch_size, study.epochs, study.shift, study.flip) == (96, 64, 50, 0.1, True)
    stages = ["", "-nl1", "-nl2", "-nl3", "-nl4", "-nl12", "-nl34"]
    assert sorted(study.variants) == sorted(f"resnet50v2{stage}" for stage in stages)
    assert study.differences(read_parameters(PARAMS / "fer2013_official.yaml")) == ["study", "protocol"]


@pytest.mark.parametrize("name", ["fer2013_grid", "fer2013_official", "own_images", "demo", "kdef_paper"])
def test_other_studies_are_not(name):
    assert not paper.is_setup(read_parameters(PARAMS / f"{name}.yaml"))


@pytest.mark.parametrize(
    ("key", "value"), [("pooling", "average"), ("width", 0.5), ("stem", "small"), ("epochs", 49)]
)
def test_one_departure_is_enough_and_is_named(key, value):
    parameters = read_parameters(PARAMS / "fer2013_paper.yaml", [f"{key}={value}"])
    assert not paper.is_setup(parameters)
    assert paper.departures(parameters) == {key: (paper.SETUP[key], value)}
