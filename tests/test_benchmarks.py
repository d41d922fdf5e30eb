"""The benchmarks compare like with like: the parts that decide this, without any timing."""

import importlib.util
import json
import os
import sys
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import bench_gpu
import bench_train_step
import common
import plain_networks
import rented_gpu
from bench_non_local import FUNCTIONS
from blocks import build_pair

from fer_lib.parameters import build_parameters
from fer_lib.training.recipe import build_classifier


def needs(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module}: not installed")


@pytest.mark.parametrize("pairwise", FUNCTIONS)
def test_the_textbook_block_is_the_same_function(pairwise):
    textbook, layer = build_pair(pairwise, (5, 4, 16))
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 16)).astype("float32")
    expected, actual = (keras.ops.convert_to_numpy(block(x, training=True)) for block in (textbook, layer))
    assert np.abs(expected - x).max() > 0.1
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="tf.data is TensorFlow's")
def test_peers_are_fed_every_image_once_with_its_class():
    images = np.repeat(np.arange(0, 140, 10, dtype="uint8"), 48 * 48).reshape(14, 48, 48, 1)
    labels = np.arange(14) % 7
    parameters = build_parameters({"image_size": 96, "batch_size": 14})
    ((batch, classes),) = bench_train_step.on_the_fly(images, labels, parameters)
    assert batch.shape == (14, 96, 96, 1)
    tens = np.rint(25.5 * np.asarray(batch).mean(axis=(1, 2, 3)))
    assert sorted(tens) == list(range(14))
    np.testing.assert_array_equal(tens % 7, classes)


def test_contestants_take_turns_of_which_the_first_does_not_count_and_a_ratio_is_the_median_of_the_others():
    order = []
    taken = common.take_turns({name: lambda name=name: order.append(name) for name in "ab"}, turns=2)
    assert "".join(order) == "abbaab"
    assert {name: len(seconds) for name, seconds in taken.items()} == {"a": 2, "b": 2}
    taken = {"a": [(2, 30), (6, 5), (9, 8)], "b": [(1, 10), (2, 5), (9, 4)]}
    assert (common.ratio(taken, "a", "b"), common.ratio(taken, "a", "b", processor=True)) == (2, 2)
    assert common.median(taken["a"]) == 6


def small_network(variant, **more):
    """Parameters, a float64 classifier with all weights drawn at random, images, (4, 40, 40, 1)."""
    parameters = build_parameters({"image_size": 40, "width": 0.25, "dropout": 0.0, **more})
    classifier = build_classifier(parameters.model_copy(update={"precision": "float64"}), variant, seed=0)
    generator = np.random.default_rng(0)
    # The block starts as the identity, and the averages as 0 and 1: drawn anew, so that each of them counts.
    for layer in classifier.layers:
        for weight in layer.weights:
            if weight.name != "kernel" and "seed" not in weight.path:
                lowest = 0.5 if weight.name in ("gamma", "moving_variance") else -0.5
                weight.assign(generator.uniform(lowest, lowest + 1, weight.shape))
    # Far apart, so that averages over the map tell them apart too.
    images = generator.normal(size=(4, 40, 40, 1)) * np.array([0.3, 1, 3, 10]).reshape(4, 1, 1, 1)
    return parameters, classifier, images


@needs("torch")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("stem", "pooling"), [("imagenet", "max"), ("small", "average")])
def test_the_network_by_hand_in_pytorch_is_the_same_function(stem, pooling, training):
    import torch

    variant = "resnet26v2-nl12"  # two bottlenecks a stage: both kinds of shortcut
    parameters, classifier, images = small_network(variant, stem=stem, pooling=pooling)
    do = plain_networks.TorchOperations(plain_networks.weights_of(classifier), training)
    given = torch.as_tensor(images.transpose(0, 3, 1, 2).copy()).to(memory_format=torch.channels_last)
    logits = plain_networks.logits(do, given, parameters, variant).detach()
    expected = keras.ops.convert_to_numpy(classifier(images, training=training))
    assert expected.std(axis=0).max() > 0.01, expected
    np.testing.assert_allclose(torch.softmax(logits, 1).numpy(), expected, rtol=1e-5)


@needs("jax")
def test_the_network_by_hand_in_jax_is_the_same_function():
    import jax

    parameters, classifier, images = small_network("resnet14v2", stem="imagenet", pooling="max")

    @jax.jit
    def apply(weights, images):
        do = plain_networks.JaxOperations(weights)
        return jax.nn.softmax(plain_networks.logits(do, images, parameters, "resnet14v2")), do.moved

    actual, statistics = apply(plain_networks.weights_of(classifier), images.astype("float32"))
    expected = keras.ops.convert_to_numpy(classifier(images, training=True))
    np.testing.assert_allclose(actual, expected, rtol=1e-3)
    moved = keras.ops.convert_to_numpy(classifier.get_layer("post_bn").moving_variance)
    np.testing.assert_allclose(statistics["post_bn/moving_variance"], moved, rtol=1e-3)


@needs("torch")
def test_the_benchmark_of_gpus_runs_for_real(monkeypatch, capsys):
    measured = bench_gpu.images_per_second
    monkeypatch.setattr(bench_gpu, "measure", lambda case: measured(json.loads(json.dumps(case))))
    monkeypatch.setattr(bench_gpu, "IMAGES", 64)
    monkeypatch.setattr(bench_gpu, "IMAGES_PER_TURN", 16)
    assert bench_gpu.main(["--quick", "--precision", "float32", "--seconds", "0.01"]) == 0
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert [line[:4] for line in lines[1:]] == [["32", "8", "float32", f"resnet14v2{end}"] for end in ("", "-nl3")]
    assert min(float(number.replace(",", "")) for line in lines[1:] for number in line[4:]) > 0


def test_what_does_not_fit_is_named_and_table_one_is_estimated(tmp_path, monkeypatch, capsys):
    def pretend(case):
        if case["size"][1] == 1024:
            return "does not fit"
        return 1000.0 if case["side"] == "project" else 800.0

    page = tmp_path / "README.md"
    page.write_text("before\n<!-- bench_gpu -->\nold\n<!-- /bench_gpu -->\nafter\n", encoding="utf8")
    monkeypatch.setattr(common, "FOLDER", tmp_path)
    monkeypatch.setattr(bench_gpu, "gpus", lambda: ["A device"])
    monkeypatch.setattr(bench_gpu, "measure", pretend)
    assert bench_gpu.main(["--px", "48", "96", "--batch", "64", "1024", "--precision", "float32"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "96 | 64 | float32 | resnet50v2 | 1,000 | 800 | 1.25"
    text = page.read_text(encoding="utf8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| 48 |")]
    assert len(rows) == 14 and rows[-1][4:6] == ["does not fit"] * 2
    # 7 networks x 50 epochs x 22,968 images at 1,000 a second.
    assert f"float32 {7 * 50 * 22.968 / 60:.1f} minutes" in text
    # The table replaces the one before and nothing else.
    assert text.startswith("before\n<!-- bench_gpu -->") and text.endswith("<!-- /bench_gpu -->\nafter\n")
    assert "old" not in text
    monkeypatch.setattr(bench_gpu, "gpus", list)
    assert (bench_gpu.main([]), "No GPU" in capsys.readouterr().err) == (2, True)


def test_a_rented_machine_trains_what_is_missing_and_packs_it_without_weights(tmp_path, monkeypatch):
    program = """
import pathlib, sys
if sys.argv[1] == "list":
    print("0\\ta\\t0\\n1\\ta\\t1\\n2\\tb\\t0")
else:
    index = int(sys.argv[-1])
    run = pathlib.Path("outputs/small/runs", ["a", "a", "b"][index], f"seed-{[0, 1, 0][index]}")
    run.mkdir(parents=True)
    for name in ("done.json", "history.csv", "weights.h5", "checkpoint-1.npz"):
        run.joinpath(name).touch()
    sys.exit(index == 2)
"""
    finished, package = tmp_path / "outputs" / "small" / "runs" / "a" / "seed-0", tmp_path / "fer_lib"
    for folder in (finished, package):
        folder.mkdir(parents=True)
    (finished / "done.json").touch()
    loading = {"datasets.py": "def load(*_): pass", "parameters.py": "def read_parameters(_): pass"}
    for name, text in {"cli.py": program, "__init__.py": "", **loading}.items():
        (package / name).write_text(text)
    (tmp_path / "params.yaml").write_text("study: small\n")
    monkeypatch.setattr(rented_gpu, "ROOT", tmp_path)
    given = (tmp_path / "params.yaml", None, dict(os.environ, PYTHONPATH=""), tmp_path)
    assert rented_gpu.train(*given, deadline=0.0, jobs=2) == 0
    assert not (tmp_path / "runs.zip").exists()
    assert rented_gpu.train(*given, deadline=time.monotonic() + 600, jobs=2) == 1
    with zipfile.ZipFile(tmp_path / "runs.zip") as archive:
        names = [f"runs/{run}/{name}" for run in ("a/seed-1", "b/seed-0") for name in ("done.json", "history.csv")]
        assert sorted(archive.namelist()) == ["runs/a/seed-0/done.json", *names]
