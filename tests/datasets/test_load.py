"""`load`: a study's parameters lead to the right loader, and to the right data."""

import pytest

from fer_lib.datasets import load, load_fer2013, make_synthetic
from fer_lib.errors import ParameterError
from fer_lib.parameters import Parameters


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_synthetic(tmp_path_factory.mktemp("faces") / "archive.zip", images_per_class=10, seed=3)


def test_generated_faces_are_drawn_once_and_named_so(own_cache):
    parameters = Parameters(generated_images=70, protocol="official")
    splits = load(parameters)
    assert (splits.dataset, splits.protocol) == ("synthetic", "official")
    assert splits.train.images.shape[1:] == (48, 48, 1)
    assert 60 <= sum(len(faces) for _, faces in splits.items()) <= 100
    before = {file: file.stat().st_mtime_ns for file in own_cache.iterdir()}
    assert load(parameters).fingerprint == splits.fingerprint
    assert {file: file.stat().st_mtime_ns for file in own_cache.iterdir()} == before


def test_a_path_may_come_from_the_call_or_from_the_parameters(archive):
    expected, study = load_fer2013(archive, "official").fingerprint, {"dataset": "fer2013", "protocol": "official"}
    assert load(Parameters(**study, data=str(archive))).fingerprint == expected
    given = load(Parameters(**study, data="nowhere"), archive)
    assert given.fingerprint == expected and given.dataset == "fer2013"


def test_a_path_that_is_missing_or_not_wanted(archive):
    with pytest.raises(ParameterError, match="needs data"):
        load(Parameters(dataset="fer2013"))
    with pytest.raises(ParameterError, match="drawn, not read"):
        load(Parameters(), archive)
