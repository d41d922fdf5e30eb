"""The benchmarks compare like with like: the parts that decide this, without any timing."""

import importlib.util
import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import bench_gpu
import bench_non_local
import bench_train_step
import results
from bench_non_local import FUNCTIONS
from textbook import built_pair

from fer_lib.parameters import build_parameters
from fer_lib.training.batches import ImageTable
from fer_lib.training.recipe import build_classifier

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch: not installed")


@pytest.mark.parametrize("pairwise", FUNCTIONS)
def test_the_textbook_block_is_the_same_function(pairwise):
    textbook, layer = built_pair(pairwise, 5, 4, 16)
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 16)).astype("float32")
    expected, actual = (keras.ops.convert_to_numpy(block(x, training=True)) for block in (textbook, layer))
    assert np.abs(expected - x).max() > 0.1
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="tf.data is TensorFlow's")
def test_images_come_from_the_jpeg_files_with_their_classes(tmp_path):
    images = np.repeat(np.arange(0, 140, 10, dtype="uint8"), 48 * 48).reshape(14, 48, 48, 1)
    bench_train_step.write_jpegs(tmp_path, images)
    parameters = bench_train_step.PEER_PARAMETERS.model_copy(update={"batch_size": 14})
    ((batch, labels),) = bench_train_step.images_from_jpeg(tmp_path, parameters)
    assert batch.shape == (14, 96, 96, 1)
    brightness = 255 * np.asarray(batch).mean(axis=(1, 2, 3))
    np.testing.assert_array_equal(np.rint(brightness / 10) % 7, np.asarray(labels).argmax(axis=1))


def test_contestants_take_turns_and_the_first_turn_is_left_out():
    class Contestant:
        def __init__(self, name):
            self.name = name

        def epoch(self, number):
            turns.append((self.name, number))

    turns = []
    taken = bench_train_step.seconds_by_turn({name: Contestant(name) for name in "ab"}, turns=2)
    assert turns == [("b", 0), ("a", 0), ("a", 1), ("b", 1), ("b", 2), ("a", 2)]
    assert {name: len(seconds) for name, seconds in taken.items()} == {"a": 2, "b": 2}


def test_a_table_replaces_the_one_before_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    page = tmp_path / "README.md"
    page.write_text(
        "before\n<!-- one -->\nold\n<!-- /one -->\nafter\n<!-- two -->\n<!-- /two -->\n", encoding="utf8"
    )
    results.write_table("one", ("a", "b"), [("1", "2")])
    text = page.read_text(encoding="utf8")
    assert text.startswith("before\n<!-- one -->")
    assert text.endswith("<!-- /one -->\nafter\n<!-- two -->\n<!-- /two -->\n")
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in text
    assert "old" not in text


def test_what_was_measured_is_found_again_and_a_line_that_was_cut_is_not(tmp_path):
    path = tmp_path / "kept" / "rows.jsonl"
    case, other = {"side": 6, "pairwise": "gaussian"}, {"side": 12, "pairwise": "gaussian"}
    kept = results.Kept(path)
    assert kept.found(case) is None
    assert kept.add(case, ["64", "1.00"]) == ["64", "1.00"]
    kept.add(other, ["failed"], lasting=False)
    assert kept.found(other) == ["failed"]
    with open(path, "a", encoding="utf8") as file:
        file.write('\n{"case": {"side": 24}, "resu')
    again = results.Kept(path)
    assert again.found(case) == ["64", "1.00"]
    assert again.found(other) is None
    again.add(other, ["32", "2.00"])
    assert results.Kept(path).found(other) == ["32", "2.00"]


def test_a_row_holds_for_one_machine_and_code(monkeypatch):
    here = bench_non_local.conditions()
    assert bench_non_local.conditions() == here
    monkeypatch.setattr(bench_non_local, "machine", lambda: "another one")
    elsewhere = bench_non_local.conditions()
    assert elsewhere["code"] == here["code"] and elsewhere["machine"] != here["machine"]
    monkeypatch.setattr(bench_non_local, "__file__", __file__)
    assert bench_non_local.conditions()["code"] != here["code"]


@needs_torch
@pytest.mark.parametrize(
    "more",
    [{"stem": "imagenet", "pooling": "max"}, {"stem": "small", "pooling": "average", "subsample": True}],
    ids=lambda more: more["stem"],
)
def test_the_network_of_the_pytorch_loop_is_the_same_function(more):
    import torch
    from torch_network import TorchResNetV2, copy_weights

    variant = "resnet26v2-nl12"  # two bottlenecks a stage: both kinds of shortcut
    parameters = build_parameters({"image_size": 40, "width": 0.25, "dropout": 0.0, **more})
    # In double precision, so that what is left between the two is no rounding.
    classifier = build_classifier(parameters.model_copy(update={"precision": "float64"}), variant, seed=0)
    generator = np.random.default_rng(0)
    # The block starts as the identity, and the averages as 0 and 1: drawn anew, so that each of them counts.
    for layer in classifier.layers:
        for weight in layer.weights:
            if weight.name != "kernel":
                lowest = 0.5 if weight.name in ("gamma", "moving_variance") else -0.5
                weight.assign(generator.uniform(lowest, lowest + 1, weight.shape))
    network = TorchResNetV2(parameters, variant).double()
    copy_weights(classifier, network)
    # Far apart, so that averages over the map tell them apart too.
    faces = generator.normal(size=(4, 40, 40, 1)) * np.array([0.3, 1, 3, 10]).reshape(4, 1, 1, 1)
    given = torch.as_tensor(faces.transpose(0, 3, 1, 2).copy()).to(memory_format=torch.channels_last)
    for training in (False, True):
        expected = keras.ops.convert_to_numpy(classifier(faces, training=training))
        logits = network.train(training)(given).detach()
        assert expected.std(axis=0).max() > 0.01, expected
        np.testing.assert_allclose(torch.softmax(logits, 1).numpy(), expected, rtol=1e-5)
    trainable = sum(weight.numel() for weight in network.parameters())
    assert trainable == sum(weight.numpy().size for weight in classifier.trainable_weights)


@needs_torch
@pytest.mark.parametrize(("size", "shift"), [(12, 0.1), (24, 0.0)], ids=["shifted", "resized"])
def test_the_pytorch_loop_moves_faces_alike(size, shift):
    import torch
    from torch_network import moved_faces

    generator = np.random.default_rng(0)
    faces = generator.integers(256, size=(6, 12, 12, 1), dtype="uint8")
    transforms = generator.uniform(-shift, shift, (6, 3)).astype("float32")
    transforms[:, 2] = np.arange(6) % 2
    given = {"row": np.arange(6, dtype="int32"), "transform": transforms}
    expected = keras.ops.convert_to_numpy(ImageTable(faces, size)(given))
    moved = moved_faces(torch.as_tensor(faces.transpose(0, 3, 1, 2).copy()), torch.as_tensor(transforms), size)
    np.testing.assert_allclose(moved.numpy().transpose(0, 2, 3, 1), expected, atol=1e-5)


@needs_torch
def test_the_benchmark_of_gpus_runs_for_real_and_measures_nothing_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_gpu, "in_process", lambda case: bench_gpu.run_case(json.loads(json.dumps(case))))
    monkeypatch.setattr(bench_gpu, "FACES", 64)
    command = ["--quick", "--precision", "float32", "--variants", "resnet14v2-nl3", "--seconds", "0.01"]
    command += ["--results", str(tmp_path / "results.jsonl")]
    assert bench_gpu.main(command) == 0
    first = capsys.readouterr().out
    row = dict(zip(bench_gpu.COLUMNS, first.splitlines()[1].split(" | "), strict=True))
    assert (row["px"], row["batch"], row["variant"]) == ("32", "8", "resnet14v2-nl3")
    ours, loop = (float(row[name].replace(",", "")) for name in ("images/s", "PyTorch images/s"))
    assert min(ours, loop) > 0
    assert float(row["ratio"]) == pytest.approx(ours / loop, abs=0.01 + ours / loop / min(ours, loop))
    kept = {"device": bench_gpu.device(None)}  # the device is asked each time, in case it is another one
    monkeypatch.setattr(bench_gpu, "in_process", lambda case: kept[case["side"]])
    assert bench_gpu.main(command) == 0
    assert capsys.readouterr().out == first


def test_what_does_not_fit_is_named_and_table_one_is_estimated(tmp_path, monkeypatch, capsys):
    def pretend(case):
        if case["side"] == "device":
            return {"gpu": True, "name": "A device"}
        if case["side"] == "rate":
            return {"multiply_adds_per_second": 6e12}
        if case["batch"] == 1024:
            return {bench_gpu.DOES_NOT_FIT: True}
        return {"images_per_second": 1000 if case["side"] == "project" else 800, "macs": 10**9}

    page = tmp_path / "README.md"
    page.write_text("before\n<!-- bench_gpu -->\n<!-- /bench_gpu -->\nafter\n", encoding="utf8")
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(bench_gpu, "in_process", pretend)
    sizes = ["--px", "48", "96", "--batch", "64", "1024", "--precision", "float32"]
    assert bench_gpu.main([*sizes, "--results", str(tmp_path / "results.jsonl")]) == 0
    shown = capsys.readouterr().out.splitlines()
    # 6e12 multiply-adds a second over three times 1e9 an image.
    assert shown[1] == "96 | 64 | float32 | resnet50v2 | 1,000 | 800 | 1.25 | 2,000 | 50%"
    text = page.read_text(encoding="utf8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| 48 |")]
    assert len(rows) == 14 and rows[-1][4:6] == [bench_gpu.DOES_NOT_FIT] * 2
    # 7 networks x 50 epochs x 22,968 images at 1,000 a second.
    assert f"float32 {7 * 50 * 22.968 / 60:.1f} minutes" in text
    assert text.startswith("before\n") and text.endswith("after\n")
    status = bench_gpu.main(["--px", "48", "--batch", "64", "--results", str(tmp_path / "other.jsonl")])
    assert (status, "float32 7 missing" in capsys.readouterr().out) == (0, True)


def test_a_benchmark_of_gpus_without_one_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(bench_gpu, "in_process", lambda case: {"gpu": False, "name": "CPU"})
    assert bench_gpu.main(["--results", "/dev/null"]) == 2
    assert "No GPU is visible" in capsys.readouterr().err
