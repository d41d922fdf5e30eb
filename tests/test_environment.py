import json
import platform
import socket
from pathlib import Path

import absl.logging
import numpy as np
import pytest

from fer_lib.environment import describe_environment, keras_backend, leave_out_messages


def test_versions_and_machine_but_no_folder_and_no_host():
    found = describe_environment()
    assert found["python"] == platform.python_version()
    assert found["packages"]["numpy"] == np.__version__
    assert found["cpus"] >= 1
    text = json.dumps(found)
    assert str(Path.home()) + "/" not in text
    assert str(Path(__file__).parents[1]) not in text
    assert f'"{socket.gethostname()}"' not in text


def test_the_commit_is_that_of_this_checkout():
    git = Path(__file__).parents[1] / ".git"
    commit = describe_environment()["git"]
    if not git.exists():
        assert commit is None
    else:
        assert len(commit["commit"]) == 40
        assert isinstance(commit["changed"], bool)


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


def test_messages_of_no_use_are_left_out_and_all_others_stay(caplog):
    leave_out_messages()
    absl.logging.error("Failed to apply cudnn implementation of jax.nn.dot_product_attention.")
    absl.logging.error("Failed to allocate memory.")
    assert [record.getMessage() for record in caplog.records] == ["Failed to allocate memory."]
