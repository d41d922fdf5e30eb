"""Images a second of the whole training step: of each variant of a study, and beside other people's way to train.

    python benchmarks/bench_train_step.py [PARAMS.yaml]    writes the two tables of benchmarks/README.md
    python benchmarks/bench_train_step.py --quick          few steps, printed only: about two minutes
    KERAS_BACKEND=jax python benchmarks/bench_train_step.py --peers    the second table, of another backend

A step is what a run does: rows and transforms drawn on the host, images gathered, translated, flipped and scaled
on the device, forward, backward, update. The contestants take turns, so that other work on the machine meets all
alike; ratios are medians over the turns, by the clock.

The first table has the study's variants. "Constant batch" is the same network on one batch of floats from
memory (TensorFlow alone): what the step takes longer is the price of batches and augmentation. The second table
trains ResNetV2-50 at 96 px, batch 64: this project; its classifier, and that of `keras.applications`, by a
plain `fit` on tf.data from JPEG files (TensorFlow alone), which flips and does not translate; and timm's
resnetv2_50 with PyTorch's DataLoader on the same files, where both are installed.
"""

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from fer_lib.environment import TENSORFLOW_SETTINGS  # noqa: E402

os.environ.update({**TENSORFLOW_SETTINGS, **os.environ})

import keras  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from results import write_table  # noqa: E402

from fer_lib.analysis.complexity import count_costs  # noqa: E402
from fer_lib.parameters import build_parameters, read_parameters  # noqa: E402
from fer_lib.training.batches import batches, draw_order, draw_transforms  # noqa: E402
from fer_lib.training.recipe import build_classifier, build_trainer, jit_setting  # noqa: E402
from fer_lib.variants import Variant  # noqa: E402

CLASSES, SIDE = 7, 48  # of FER-2013
VARIANT_COLUMNS = ("variant", "images/s", "constant batch: images/s", "step / baseline", "MACs / baseline")
PEER_COLUMNS = ("trained by", "images/s", "time / ours")
# The network that all have: ResNetV2-50, SGD with momentum.
PEER_PARAMETERS = build_parameters(
    {
        "variants": ["resnet50v2"],
        "image_size": 96,
        "width": 1.0,
        "stem": "imagenet",
        "batch_size": 64,
        "optimizer": "sgd",
    }
)


class Ours:
    """A variant, its images on the device, trained as a run trains it."""

    def __init__(self, parameters, variant, images):
        self.parameters, self.steps = parameters, len(images) // parameters.batch_size
        self.classifier = build_classifier(parameters, variant, seed=0)
        self.trainer = build_trainer(parameters, self.classifier, images, self.steps)
        self.labels = np.eye(CLASSES, dtype="float32")[np.arange(len(images)) % CLASSES]

    def epoch(self, number):
        order = draw_order(len(self.labels), 0, number)
        transforms = draw_transforms(len(self.labels), 0, number, self.parameters.shift, self.parameters.flip)
        given = {"row": order, "transform": transforms}
        fed = batches(given, self.labels[order], self.parameters.batch_size)
        self.trainer.fit(fed, shuffle=False, verbose=0)


class Plain:
    """A Keras classifier, compiled like ours, by `fit` on any data set."""

    def __init__(self, parameters, classifier, dataset):
        self.classifier, self.dataset = classifier, dataset
        classifier.compile(
            keras.optimizers.SGD(parameters.learning_rate, momentum=parameters.momentum, nesterov=True),
            "categorical_crossentropy",
            metrics=["accuracy", "binary_accuracy"],
            jit_compile=jit_setting(parameters.jit_compile),
        )

    def epoch(self, _number):
        self.classifier.fit(self.dataset, shuffle=False, verbose=0)


def constant_batch(shape, steps):
    """tf.data of one batch of images, float32, and labels, `steps` times."""
    batch = np.random.default_rng(0).random(shape, dtype="float32")
    labels = np.eye(CLASSES, dtype="float32")[np.arange(shape[0]) % CLASSES]
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False  # else the end of `fit` may wait for the tuner's thread
    return tf.data.Dataset.from_tensors((batch, labels)).repeat(steps).with_options(options)


class Timm:
    """timm's resnetv2_50 on grey images, by PyTorch's DataLoader with one worker and SGD."""

    def __init__(self, folder, parameters):
        import timm
        import torch
        from torch.utils.data import DataLoader, Dataset

        class Files(Dataset):
            def __init__(self):
                self.paths = sorted(folder.rglob("*.jpg"))

            def __len__(self):
                return len(self.paths)

            def __getitem__(self, index):
                size = (parameters.image_size,) * 2
                with Image.open(self.paths[index]) as file:
                    pixels = np.asarray(file.resize(size, Image.Resampling.BILINEAR), "float32") / 255
                pixels = pixels[:, ::-1] if torch.rand(()) < 0.5 else pixels
                return torch.tensor(pixels.copy())[None], int(self.paths[index].parent.name)

        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = timm.create_model("resnetv2_50", num_classes=CLASSES, in_chans=1).to(self.device).train()
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.001, momentum=0.9, nesterov=True)
        self.loader = DataLoader(
            Files(), parameters.batch_size, shuffle=True, num_workers=1, persistent_workers=True
        )

    def epoch(self, _number):
        for images, labels in self.loader:
            self.optimizer.zero_grad()
            logits = self.model(images.to(self.device))
            self.torch.nn.functional.cross_entropy(logits, labels.to(self.device)).backward()
            self.optimizer.step()


def images_from_jpeg(folder, parameters):
    """tf.data as Keras's tutorials build it, from a folder a class: decoded, resized, flipped, prefetched."""
    import tensorflow as tf

    read = keras.utils.image_dataset_from_directory(
        folder,
        label_mode="categorical",
        color_mode="grayscale",
        batch_size=parameters.batch_size,
        image_size=(parameters.image_size,) * 2,
        verbose=False,
    )
    augmented = read.map(lambda x, y: (tf.image.random_flip_left_right(x) / 255, y), tf.data.AUTOTUNE)
    return augmented.prefetch(tf.data.AUTOTUNE)


def write_jpegs(folder, images):
    for index, image in enumerate(images):
        path = folder / str(index % CLASSES) / f"{index}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(path, quality=90)


def seconds_by_turn(contestants, turns):
    """Let all contestants take turns, every other turn the other way round: name -> list of seconds an epoch."""
    taken = {name: [] for name in contestants}
    for turn in range(turns + 1):
        for name in list(contestants)[:: 1 if turn % 2 else -1]:
            started = time.perf_counter()
            contestants[name].epoch(turn)
            taken[name].append(time.perf_counter() - started)
    return {name: seconds[1:] for name, seconds in taken.items()}  # the first turn compiles


def ratio(taken, name, other):
    """Median over the turns of the time of one contestant over that of another."""
    return statistics.median(a / b for a, b in zip(taken[name], taken[other], strict=True))


def per_second(images, seconds):
    return f"{len(images) / statistics.median(seconds):.1f}" if seconds else "-"


def variant_rows(parameters, images, turns):
    """A row for each variant of a study."""
    ours = {variant: Ours(parameters, variant, images) for variant in parameters.variants}
    contestants, macs = dict(ours), {}
    for variant, one in ours.items():
        macs[variant] = count_costs(one.classifier)["macs"].sum()
        if keras.config.backend() == "tensorflow":
            constant = constant_batch((parameters.batch_size, *one.classifier.input_shape[1:]), one.steps)
            other = build_classifier(parameters, variant, seed=0)
            contestants[f"{variant}, constant"] = Plain(parameters, other, constant)
    taken = seconds_by_turn(contestants, turns)
    baseline = next(variant for variant in ours if not Variant.from_name(variant).stages)
    return [
        (
            variant,
            per_second(images, taken[variant]),
            per_second(images, taken.get(f"{variant}, constant")),
            f"{ratio(taken, variant, baseline):.2f}",
            f"{macs[variant] / macs[baseline]:.2f}",
        )
        for variant in ours
    ]


def peer_rows(images, turns):
    """A row for each way to train ResNetV2-50; the last names the ratio of our time to the fastest's."""
    parameters = PEER_PARAMETERS
    shape = (parameters.image_size, parameters.image_size, 1)
    ours = "this project"
    contestants = {ours: Ours(parameters, "resnet50v2", images)}
    with tempfile.TemporaryDirectory() as scratch:
        write_jpegs(Path(scratch), images)
        if keras.config.backend() == "tensorflow":
            jpeg = images_from_jpeg(scratch, parameters)
            own = build_classifier(parameters, "resnet50v2", 0)
            peer = keras.applications.ResNet50V2(weights=None, input_shape=shape, classes=CLASSES)
            contestants["its classifier, `fit` on tf.data from JPEG"] = Plain(parameters, own, jpeg)
            contestants["`keras.applications`, `fit` on tf.data from JPEG"] = Plain(parameters, peer, jpeg)
        if importlib.util.find_spec("torch") and importlib.util.find_spec("timm"):
            contestants["timm `resnetv2_50`, DataLoader"] = Timm(Path(scratch), parameters)
        taken = seconds_by_turn(contestants, turns)
    slower = {name: ratio(taken, name, ours) for name in contestants}
    rows = [(name, per_second(images, taken[name]), f"{slower[name]:.2f}") for name in contestants]
    return [*rows, ("ours / fastest, time", "", f"{1 / min(slower.values()):.2f}")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("params", nargs="?", default=FOLDER.parent / "params" / "fer2013_cpu.yaml")
    parser.add_argument("--quick", action="store_true", help="few steps, nothing written")
    parser.add_argument("--peers", action="store_true", help="the second table alone")
    parser.add_argument("--steps", type=int, default=20, help="steps a turn (20)")
    parser.add_argument("--turns", type=int, default=7, help="turns of every contestant (7)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.turns = 2, 3
    parameters = read_parameters(arguments.params)
    tables = {}
    if not arguments.peers:
        if arguments.quick:
            parameters = parameters.model_copy(update={"variants": parameters.variants[:2]})
        images = random_images(arguments.steps * parameters.batch_size, parameters.channels)
        about = f"`{Path(arguments.params).name}`, batch {parameters.batch_size}."
        tables["bench_train_step"] = VARIANT_COLUMNS, variant_rows(parameters, images, arguments.turns), about
    images = random_images(arguments.steps * PEER_PARAMETERS.batch_size, 1)
    about = "ResNetV2-50, 96 px, batch 64."
    peers = f"bench_train_step_peers_{keras.config.backend()}"
    tables[peers] = PEER_COLUMNS, peer_rows(images, arguments.turns), about
    for name, (columns, rows, about) in tables.items():
        for row in (columns, *rows):
            print(" | ".join(row))
        if not arguments.quick:
            write_table(name, columns, rows, about)


def random_images(number, channels):
    return np.random.default_rng(0).integers(256, size=(number, SIDE, SIDE, channels), dtype="uint8")


if __name__ == "__main__":
    main()
