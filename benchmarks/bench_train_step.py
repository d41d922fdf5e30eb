"""Images a second of the whole training step, of each variant of a study, on random images.

    python benchmarks/bench_train_step.py [PARAMS.yaml]    writes the table of benchmarks/README.md
    python benchmarks/bench_train_step.py --quick          few steps, printed only

A step is what a run does: rows and transforms drawn on the host, faces gathered, shifted, flipped and scaled on
the device, forward, backward, update. Beside it stands the same compiled model on one constant batch that lies on
the device; what the step takes longer is lost to batches and augmentation. All variants take turns, so that other
work on the machine meets all alike; ratios are medians over the turns, by the clock.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from fer_lib.environment import TENSORFLOW_SETTINGS  # noqa: E402

os.environ.update({**TENSORFLOW_SETTINGS, **os.environ})

import keras  # noqa: E402
import numpy as np  # noqa: E402
from results import write_table  # noqa: E402

from fer_lib.analysis.complexity import count  # noqa: E402
from fer_lib.parameters import read_parameters  # noqa: E402
from fer_lib.training.batches import FaceBatches, draw_order, draw_transforms  # noqa: E402
from fer_lib.training.recipe import CLASSES, build_classifier, build_trainer  # noqa: E402
from fer_lib.variants import Variant  # noqa: E402

COLUMNS = ("variant", "images/s", "lost to batches", "step / plain", "multiply-adds / plain")


class ConstantBatch(keras.layers.Layer):
    """One batch on the device, whatever rows and transforms are asked for."""

    def __init__(self, batch, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.batch = self.add_weight(shape=batch.shape, trainable=False, initializer=lambda shape, dtype: batch)

    def call(self, inputs):
        return self.batch[: keras.ops.shape(inputs["row"])[0]]


class Contestant:
    """One variant: its trainer and the same classifier on a constant batch."""

    def __init__(self, parameters, variant, images):
        self.parameters, self.variant = parameters, variant
        self.steps = len(images) // parameters.batch_size
        classifier = build_classifier(parameters, variant, seed=0)
        self.macs = count(classifier)["macs"].sum()
        self.trainer = build_trainer(parameters, classifier, images, self.steps)
        self.constant = self._on_constant_batch(images)
        self.labels = np.eye(CLASSES, dtype="float32")[np.arange(len(images)) % CLASSES]
        self.fixed = self._drawn(epoch=0)

    def _on_constant_batch(self, images):
        classifier = build_classifier(self.parameters, self.variant, seed=0)
        shape = (self.parameters.batch_size, *classifier.input_shape[1:])
        batch = np.random.default_rng(0).random(shape, dtype="float32")
        inputs = self.trainer.input
        model = keras.Model(inputs, classifier(ConstantBatch(batch)(inputs)))
        like = build_trainer(self.parameters, classifier, images[:1], self.steps)
        model.compile(
            optimizer=like.optimizer,
            loss=like.loss,
            metrics=["accuracy", "binary_accuracy"],
            jit_compile=like.jit_compile,
            steps_per_execution=like.steps_per_execution,
        )
        return model

    def _drawn(self, epoch):
        """Batches of an epoch, in its order."""
        order = draw_order(len(self.labels), 0, epoch)
        transforms = draw_transforms(len(self.labels), 0, epoch, self.parameters.shift, self.parameters.flip)
        given = {"row": order, "transform": transforms}
        return FaceBatches(given, self.labels[order], self.parameters.batch_size)

    def seconds(self, model, epoch):
        """Seconds a step over one epoch. The constant batch needs nothing drawn: that is part of what is lost."""
        started = time.perf_counter()
        model.fit(self._drawn(epoch) if model is self.trainer else self.fixed, shuffle=False, verbose=0)
        return (time.perf_counter() - started) / self.steps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("params", nargs="?", default=FOLDER.parent / "params" / "fer2013_cpu.yaml")
    parser.add_argument("--quick", action="store_true", help="few steps, nothing written")
    parser.add_argument("--steps", type=int, default=20, help="steps a turn (20)")
    parser.add_argument("--turns", type=int, default=7, help="turns of every variant (7)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.turns = 3, 3
    parameters = read_parameters(arguments.params)
    rows = table(parameters, arguments.steps, arguments.turns)
    for row in (COLUMNS, *rows):
        print(" | ".join(row))
    if not arguments.quick:
        about = f"`{Path(arguments.params).name}`, batch {parameters.batch_size}."
        write_table("bench_train_step", COLUMNS, rows, about)


def table(parameters, steps, turns):
    side = 48  # of FER-2013
    images = np.random.default_rng(0).integers(
        256, size=(steps * parameters.batch_size, side, side, parameters.channels), dtype="uint8"
    )
    contestants = [Contestant(parameters, variant, images) for variant in parameters.variants]
    taken = []  # a turn: variant -> (seconds of the step, seconds on the constant batch)
    for turn in range(turns + 1):
        taken.append({})
        for contestant in contestants:
            models = (contestant.trainer, contestant.constant)
            # Every other turn the other way round.
            both = {model: contestant.seconds(model, turn) for model in models[:: 1 if turn % 2 else -1]}
            taken[-1][contestant.variant] = tuple(both[model] for model in models)
    taken = taken[1:]  # the first compiled

    plain = next(one for one in contestants if not Variant.from_name(one.variant).stages)
    rows = []
    for contestant in contestants:
        name = contestant.variant
        step = statistics.median(turn[name][0] for turn in taken)
        lost = statistics.median(1 - turn[name][1] / turn[name][0] for turn in taken)
        cost = statistics.median(turn[name][0] / turn[plain.variant][0] for turn in taken)
        rows.append(
            (
                name,
                f"{parameters.batch_size / step:.0f}",
                f"{100 * lost:.1f} %",
                f"{cost:.2f}",
                f"{contestant.macs / plain.macs:.2f}",
            )
        )
    return rows


if __name__ == "__main__":
    main()
