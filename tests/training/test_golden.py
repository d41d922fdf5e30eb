"""The numbers of a training, fixed: what refactoring must not change.

`golden.json` is written again only together with a new `RESULTS_VERSION`, by
`TF_ENABLE_ONEDNN_OPTS=1 PYTHONPATH=tests python tests/training/test_golden.py`.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from data_files import face_set

from fer_lib.datasets import Splits
from fer_lib.parameters import Parameters
from fer_lib.training.loop import train_run
from fer_lib.variants import PAIRWISE_FUNCTIONS

GOLDEN = Path(__file__).with_name("golden.json")
VARIANTS = ("resnet14v2", *(f"resnet14v2-nl13-{name}" for name in PAIRWISE_FUNCTIONS[1:]), "resnet14v2-nl13")
PARAMETERS = Parameters(
    variants=["resnet14v2"],
    image_size=40,
    pooling="average",
    dropout=0.2,
    epochs=1,
    batch_size=16,
    optimizer="sgd",
    learning_rate=0.004,
    schedule="cosine",
    warmup_epochs=0.5,
    weight_decay=5e-4,
    label_smoothing=0.1,
    shift=0.1,
    flip=True,
)

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="the numbers are TensorFlow's; backends differ in rounding"
)


def make_splits():
    """Splits of 80 and 14 images whose left edge tells the class; no generator's version is part of them."""

    def images(count, usage):
        labels = np.arange(count) % 7
        rows, columns = np.mgrid[0:32, 0:32]
        pattern = (rows * 5 + columns * 3 + np.arange(count)[:, None, None] * 17) % 97
        return face_set(labels, pattern + 20 * labels[:, None, None] * (columns < 12), usage)

    return Splits(
        train=images(80, "Training"),
        validation=images(14, "PublicTest"),
        test=None,
        dataset="synthetic",
        protocol="paper",
    )


def numbers(variant, folder):
    """Losses of the epochs and the first ten probabilities of a run, as lists."""
    run = train_run(PARAMETERS, variant, 3, make_splits(), folder)
    return {
        "loss": run.history["loss"].tolist(),
        "val_loss": run.history["val_loss"].tolist(),
        "probabilities": run.predictions("validation").probabilities.ravel()[:10].astype(float).tolist(),
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_training_gives_the_numbers_that_it_gave(variant, tmp_path):
    expected = json.loads(GOLDEN.read_text())[variant]
    for name, values in numbers(variant, tmp_path).items():
        np.testing.assert_allclose(
            values, expected[name], rtol=1e-4, err_msg="numbers changed: bump RESULTS_VERSION or revert"
        )


def test_keras_json_of_the_user_changes_no_number(tmp_path):
    settings = ("floatx", "epsilon", "image_data_format")
    before = {name: getattr(keras.config, name)() for name in settings}
    for name, value in zip(settings, ("float64", 1e-2, "channels_first"), strict=True):
        getattr(keras.config, f"set_{name}")(value)
    try:
        found = numbers("resnet14v2", tmp_path)
    finally:
        for name, value in before.items():
            getattr(keras.config, f"set_{name}")(value)
    np.testing.assert_allclose(
        found["probabilities"], json.loads(GOLDEN.read_text())["resnet14v2"]["probabilities"], rtol=1e-4
    )


def test_the_functions_give_numbers_of_their_own():
    """Else a golden number would say nothing of the function that it stands for."""
    golden = json.loads(GOLDEN.read_text())
    rows = np.array([np.concatenate(list(golden[variant].values())) for variant in VARIANTS])
    apart = np.abs(rows[:, None] / rows[None] - 1).max(axis=-1) + np.eye(len(rows))
    assert apart.min() > 2e-4, "further apart than the tolerance, twice"


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        content = {variant: numbers(variant, scratch) for variant in VARIANTS}
    GOLDEN.write_text(json.dumps(content, indent=1) + "\n")
    sys.exit(print(f"{GOLDEN} written: bump RESULTS_VERSION"))
