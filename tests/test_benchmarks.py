"""The benchmarks compare like with like: the parts that decide this, without any timing."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from bench_non_local import FUNCTIONS, write_table
from bench_train_step import ConstantBatch
from textbook import built_pair


@pytest.mark.parametrize("pairwise", FUNCTIONS)
def test_the_textbook_block_is_the_same_function(pairwise):
    textbook, layer = built_pair(pairwise, 5, 4, 16)
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 16)).astype("float32")
    expected, actual = (keras.ops.convert_to_numpy(block(x, training=True)) for block in (textbook, layer))
    assert np.abs(expected - x).max() > 0.1
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_a_constant_batch_has_as_many_images_as_rows():
    batch = np.random.default_rng(0).random((4, 6, 6, 1), dtype="float32")
    inputs = {
        "row": keras.Input((), dtype="int32", name="row"),
        "transform": keras.Input((3,), dtype="float32", name="transform"),
    }
    model = keras.Model(inputs, ConstantBatch(batch)(inputs))
    given = {"row": np.array([9, 7, 8], "int32"), "transform": np.ones((3, 3), "float32")}
    np.testing.assert_array_equal(model.predict(given, verbose=0), batch[:3])
    assert not model.trainable_variables


def test_a_table_replaces_the_one_before_and_nothing_else(tmp_path, monkeypatch):
    import bench_non_local

    monkeypatch.setattr(bench_non_local, "FOLDER", tmp_path)
    page = tmp_path / "README.md"
    page.write_text(
        "before\n<!-- one -->\nold\n<!-- /one -->\nafter\n<!-- two -->\n<!-- /two -->\n", encoding="utf8"
    )
    write_table("one", ("a", "b"), [("1", "2")])
    text = page.read_text(encoding="utf8")
    assert text.startswith("before\n<!-- one -->")
    assert text.endswith("<!-- /one -->\nafter\n<!-- two -->\n<!-- /two -->\n")
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in text
    assert "old" not in text
