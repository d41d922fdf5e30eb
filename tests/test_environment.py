import json
import platform
import socket
import subprocess
from pathlib import Path

import absl.logging
import numpy as np
import pytest

from fer_lib.environment import describe_environment, keras_backend, leave_out_messages
from fer_lib.errors import ParameterError

ROOT = Path(__file__).parents[1]


def test_versions_machine_and_commit_but_no_folder_and_no_host():
    found = describe_environment()
    assert found["python"] == platform.python_version()
    assert found["packages"]["numpy"] == np.__version__
    assert found["cpus"] >= 1
    if (ROOT / ".git").exists():
        assert len(found["git"]["commit"]) == 40 and isinstance(found["git"]["changed"], bool)
    text = json.dumps(found)
    for private in (f"{Path.home()}/", str(ROOT), f'"{socket.gethostname()}"'):
        assert private not in text


def test_a_folder_inside_of_another_repository_has_no_commit(tmp_path, monkeypatch):
    for name in ("notebooks", "params"):
        (tmp_path / "project" / name).mkdir(parents=True)
    subprocess.run(["git", "init", tmp_path], check=True, capture_output=True)
    monkeypatch.chdir(tmp_path / "project")
    assert describe_environment()["git"] is None


@pytest.mark.parametrize(
    ("variable", "file", "backend"),
    [("jax", "torch", "jax"), (None, "torch", "torch"), (None, None, "tensorflow")],
)
def test_the_backend_by_keras_own_rule(tmp_path, monkeypatch, variable, file, backend):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if variable:
        monkeypatch.setenv("KERAS_BACKEND", variable)
    if file:
        (tmp_path / "keras.json").write_text(json.dumps({"backend": file}))
    assert keras_backend() == backend


def test_a_backend_that_does_not_train_is_refused(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(ParameterError, match=r"KERAS_BACKEND.*tensorflow, jax, torch.*'theano'"):
        keras_backend()


def test_messages_of_no_use_are_left_out_and_all_others_stay(caplog):
    leave_out_messages()
    absl.logging.error("Failed to apply cudnn implementation of jax.nn.dot_product_attention.")
    absl.logging.error("Failed to allocate memory.")
    assert [record.getMessage() for record in caplog.records] == ["Failed to allocate memory."]
