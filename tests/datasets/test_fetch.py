"""Downloading, without a network: kagglehub is replaced by a module that does what its page says."""

import sys
import types

import pytest

from fer_lib.datasets.fer2013 import fetch_fer2013
from fer_lib.errors import ParameterError, RunError


@pytest.fixture
def kagglehub(tmp_path, monkeypatch):
    """A kagglehub that has downloaded one file; `handles` lists what was asked for."""
    folder = tmp_path / "kaggle" / "versions" / "1"
    (folder / "train" / "angry").mkdir(parents=True)
    (folder / "train" / "angry" / "Training_1.jpg").write_bytes(b"x")
    handles = []
    download = lambda handle: handles.append(handle) or str(folder)  # noqa: E731
    module = types.SimpleNamespace(dataset_download=download, handles=handles)
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    return module


def test_the_files_arrive_where_they_were_wanted(kagglehub, tmp_path):
    (tmp_path / "there").mkdir()
    for target in (tmp_path / "new" / "fer2013", tmp_path / "there"):
        assert fetch_fer2013(target) == target
        assert (target / "train" / "angry" / "Training_1.jpg").read_bytes() == b"x"
    assert kagglehub.handles == ["msambare/fer2013/versions/1"] * 2


def test_a_taken_target_is_refused_before_the_download(kagglehub, tmp_path):
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path, tmp_path / "file"):
        with pytest.raises(ParameterError, match="not empty"):
            fetch_fer2013(target)
    assert kagglehub.handles == []


def test_without_kagglehub_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(RunError, match=r"\.\[fetch\].*--data"):
        fetch_fer2013(tmp_path / "new")


def test_without_network_the_error_is_one_paragraph(kagglehub, tmp_path):
    def fail(handle):
        raise ConnectionError("Name or service not known")

    kagglehub.dataset_download = fail
    with pytest.raises(RunError, match=r"Name or service not known.* network") as caught:
        fetch_fer2013(tmp_path / "new")
    assert "\n" not in str(caught.value) and not (tmp_path / "new").exists()
