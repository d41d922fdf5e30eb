"""Images a second of a study's training step on a GPU, beside PyTorch and beside the device's own arithmetic.

    python benchmarks/bench_gpu.py [PARAMS.yaml]    all sizes; writes the table of benchmarks/README.md
    python benchmarks/bench_gpu.py --quick          the smallest sizes, also on a CPU; printed only

Three numbers a row. The project's step is what a run does: rows and transforms drawn on the host, faces gathered,
resized, shifted, flipped and scaled on the device, forward, backward, update, metrics. The PyTorch loop does the
same but for the metrics, in native layers (`torch_network.py`), channels_last, on a GPU through `torch.compile`.
The third is what the arithmetic allows: the rate at which the device multiplies large matrices of the same
precision, over the network's counted multiply-adds, three times those of inference (forward, and backward by
inputs and by weights).

Each measurement is made in a process of its own and kept in `--results`: the same command after a cut goes on
from there. The sizes of the paper's Table I come first. What does not fit in the device's memory is named and
passed over. The backend is Keras's own setting, KERAS_BACKEND.
"""

import argparse
import itertools
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

from results import Kept, write_table  # noqa: E402

from fer_lib.environment import TENSORFLOW_SETTINGS, keras_backend, package_versions  # noqa: E402
from fer_lib.errors import FerError  # noqa: E402
from fer_lib.parameters import read_parameters  # noqa: E402

PIXELS = (48, 96, 224)
BATCHES = (64, 256, 1024)
PRECISIONS = ("float32", "mixed_bfloat16")
# The paper's Table I: its 7 networks x 50 epochs x 22,968 images, at this size and batch.
TABLE_ONE = {"px": 96, "batch": 64}
TABLE_ONE_IMAGES = 50 * 22_968
# Faces on the device: all of the paper's, training and validation, as FER-2013 has them.
FACES, SIDE = 24_400, 48
# The smallest network of each kind, for a look at whether everything works.
QUICK = {"px": [32], "batch": [8], "precision": list(PRECISIONS), "seconds": 0.1}
QUICK_OVERRIDES = ("variants=[resnet14v2, resnet14v2-nl3]", "width=0.25", "stem=small", "steps_per_execution=2")
COLUMNS = (
    "px", "batch", "precision", "variant", "images/s", "PyTorch images/s", "ratio", "arithmetic allows", "share",
)  # fmt: skip
_NO_MEMORY = re.compile(r"out of memory|OutOfMemory|RESOURCE_?EXHAUSTED|MemoryError|bad_alloc", re.IGNORECASE)
_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "jaxlib", "torch")
DOES_NOT_FIT = "does not fit"


def main(arguments=None):
    options = read_options(arguments)
    if options.case:
        print(json.dumps(run_case(json.loads(options.case))))
        return 0
    try:
        parameters = read_parameters(options.params, options.overrides)
    except FerError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    found = in_process({"side": "device"})
    if not (found.get("gpu") or options.quick):
        print(f"No GPU is visible to {keras_backend()}. Without one only --quick makes sense.", file=sys.stderr)
        return 2
    bench = Bench(options, parameters, found.get("name"))
    print(" | ".join(COLUMNS))
    rows = {}
    for sizes in bench.sizes():
        rows[tuple(sizes.values())] = row = bench.row(sizes)
        print(" | ".join(row), flush=True)
        if not options.quick:
            about = f"{bench.device}, `{Path(options.params).name}`{bench.changed()}. {bench.table_one(rows)}"
            write_table("bench_gpu", COLUMNS, [rows[key] for key in sorted(rows, key=bench.place)], about)
    print(bench.table_one(rows))
    return int(bench.failed)


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("params", nargs="?", default=FOLDER.parent / "params" / "fer2013_paper.yaml")
    parser.add_argument("--quick", action="store_true", help="smallest sizes, nothing written")
    parser.add_argument("--px", type=int, nargs="+", help="sides of the images (48 96 224)")
    parser.add_argument("--batch", type=int, nargs="+", help="images a step (64 256 1024)")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, help="both by default")
    parser.add_argument("--variants", nargs="+", help="all of the study's by default")
    parser.add_argument("--seconds", type=float, help="time for the turns of one measurement (5)")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="as of fer-study"
    )
    parser.add_argument("--results", type=Path, help="where measurements are kept (.cache/bench_gpu.jsonl)")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    quick = QUICK if options.quick else {}
    options.overrides = [*(QUICK_OVERRIDES if options.quick else ()), *options.overrides]
    for name, usual in (("px", PIXELS), ("batch", BATCHES), ("precision", PRECISIONS), ("seconds", 5.0)):
        if getattr(options, name) is None:
            setattr(options, name, quick.get(name, usual))
    if options.results is None and not options.quick:
        options.results = FOLDER.parent / ".cache" / "bench_gpu.jsonl"
    return options


class Bench:
    """The rows of one study on this machine, from measurements that are kept and found again.

    Args:
        options: from `read_options`.
        parameters: the study's `Parameters`.
        device: name of the device.
    """

    def __init__(self, options, parameters, device):
        self.options, self.parameters, self.device = options, parameters, device
        self.variants = options.variants or parameters.variants
        self.failed = False
        self.kept = Kept(options.results)

    def sizes(self):
        """Combinations of px, batch, precision and variant, those of Table I first."""
        chosen = (self.options.px, self.options.batch, self.options.precision, self.variants)
        names = ("px", "batch", "precision", "variant")
        found = [dict(zip(names, values, strict=True)) for values in itertools.product(*chosen)]
        return sorted(found, key=lambda sizes: not TABLE_ONE.items() <= sizes.items())

    def place(self, key):
        """Where a row stands in the table."""
        px, batch, precision, variant = key
        return px, batch, PRECISIONS.index(precision), self.variants.index(variant)

    def case(self, side, **sizes):
        """Everything that a measurement depends on."""
        return {
            "side": side,
            **sizes,
            "device": self.device,
            "params": self.parameters.training_hash(),
            "overrides": self.options.overrides,
            "backend": keras_backend(),
            "packages": {name: v for name, v in package_versions().items() if name in _PACKAGES},
            "seconds": self.options.seconds,
            "file": str(self.options.params),
        }

    def measure(self, case):
        """The result of a case: kept from before, or measured now in a process of its own."""
        found = self.kept.found(case)
        if found is None:
            found = in_process(case)
            self.kept.add(case, found, lasting="failed" not in found)
        return found

    def row(self, sizes):
        """One row of the table, as text."""
        rate = self.measure(self.case("rate", precision=sizes["precision"]))
        ours, loop = (self.measure(self.case(side, **sizes)) for side in ("project", "pytorch"))
        self.failed |= "failed" in (ours | loop | rate)
        speed, other = ours.get("images_per_second"), loop.get("images_per_second")
        ratio = f"{speed / other:.2f}" if speed and other else "-"
        row = [*map(str, sizes.values()), said(ours), said(loop), ratio]
        if not (speed and rate.get("multiply_adds_per_second")):
            return [*row, "-", "-"]
        allowed = rate["multiply_adds_per_second"] / (3 * ours["macs"])
        return [*row, f"{allowed:,.0f}", f"{speed / allowed:.0%}"]

    def table_one(self, rows):
        """How long the paper's Table I takes at the speeds of these rows, in words."""
        times = []
        for precision in self.options.precision:
            measured = [
                self.measure(self.case("project", **TABLE_ONE, precision=precision, variant=variant))
                for variant in self.parameters.variants
                if (*TABLE_ONE.values(), precision, variant) in rows
            ]
            seconds = [
                TABLE_ONE_IMAGES / one["images_per_second"] for one in measured if "images_per_second" in one
            ]
            missing = len(self.parameters.variants) - len(seconds)
            times.append(f"{precision} {f'{missing} missing' if missing else f'{sum(seconds) / 60:.1f} minutes'}")
        return (
            f"Table I of the paper ({len(self.parameters.variants)} networks x 50 epochs x 22,968 images, 96 px, "
            f"batch 64), training alone, one after another: {', '.join(times)}."
        )

    def changed(self):
        return f" with {', '.join(self.options.overrides)}" if self.options.overrides else ""


def said(result):
    """A measurement in a cell of the table."""
    if "images_per_second" in result:
        return f"{result['images_per_second']:,.0f}"
    return result.get("failed", DOES_NOT_FIT)


def in_process(case):
    """The result of a case from a process of its own; `{"failed": ...}` or `{"does not fit": True}` where none."""
    # The loop draws its rows by `fer_lib.training.batches`, which needs a backend: not one that takes the GPU.
    backend = {"KERAS_BACKEND": "torch"} if case["side"] == "pytorch" else {}
    run = subprocess.run(
        [sys.executable, __file__, "--case", json.dumps(case)],
        env={**TENSORFLOW_SETTINGS, **os.environ, **backend},
        capture_output=True,
        text=True,
    )
    if run.returncode == 0:
        return json.loads(run.stdout.splitlines()[-1])
    if run.returncode == -9 or _NO_MEMORY.search(run.stderr):
        return {DOES_NOT_FIT: True}
    print(run.stderr[-3000:], file=sys.stderr)
    return {"failed": f"failed: status {run.returncode}"}


# ---- in the process of a case ----


def run_case(case):
    """Makes one measurement; see the functions named after the sides."""
    return {"device": device, "rate": matrix_rate, "project": project, "pytorch": pytorch}[case["side"]](case)


def device(_):
    """The device that the backend computes on, and its memory."""
    import keras

    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
        names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in found]
    elif backend == "jax":
        import jax

        names = [one.device_kind for one in jax.devices() if one.platform == "gpu"]
    else:
        import torch

        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"gpu": bool(names), "name": names[0] if names else "CPU"}


def matrix_rate(case):
    """Multiply-adds a second of products of large square matrices, by the backend, in the compute precision."""
    import keras
    import numpy as np

    size = 8192 if device(case)["gpu"] else 256
    _allow_tensor_float()
    dtype = keras.DTypePolicy(case["precision"]).compute_dtype
    numbers = np.random.default_rng(0).normal(size=(size, size)).astype("float32")
    left = keras.ops.convert_to_tensor(numbers, dtype=dtype)
    # So scaled that a chain of products neither grows nor fades.
    right = keras.ops.convert_to_tensor(numbers / size**0.5, dtype=dtype)

    def turn(products):
        started, y = time.perf_counter(), left
        for _ in range(products):
            y = keras.ops.matmul(y, right)
        np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(y[:1, :1], "float32")))  # waits for the device
        return time.perf_counter() - started

    return {"multiply_adds_per_second": size**3 / seconds_each(turn, case["seconds"])}


def project(case):
    """The study's own step: `fit` on an epoch's rows and transforms, as `fer_lib.training.loop` calls it."""
    import numpy as np

    from fer_lib.analysis.complexity import count_costs
    from fer_lib.training.batches import batches, draw_order, draw_transforms
    from fer_lib.training.recipe import build_classifier, build_trainer

    _allow_tensor_float()
    parameters = _parameters(case)
    images, labels = _faces(parameters)
    classifier = build_classifier(parameters, case["variant"], seed=0)
    counted = count_costs(classifier)
    if _exceeds_memory(counted["activation_bytes"].sum(), case):
        return {DOES_NOT_FIT: True}
    trainer = build_trainer(parameters, classifier, images, math.ceil(FACES / parameters.batch_size))
    one_hot = np.eye(classifier.output_shape[-1], dtype="float32")[labels]

    def turn(steps):
        started = time.perf_counter()
        faces = steps * parameters.batch_size
        order = np.resize(draw_order(len(images), 0, steps), faces)
        transforms = draw_transforms(faces, 0, steps, parameters.shift, parameters.flip)
        trainer.fit(
            batches({"row": order, "transform": transforms}, one_hot[order], parameters.batch_size),
            shuffle=False,
            verbose=0,
        )
        return time.perf_counter() - started

    seconds = seconds_each(turn, case["seconds"], parameters.steps_per_execution)
    return {
        "images_per_second": parameters.batch_size / seconds,
        "macs": int(counted["macs"].sum()),
    }


def pytorch(case):
    """The same study in PyTorch's own layers."""
    import numpy as np
    import torch
    from torch_network import TorchLoop

    from fer_lib.training.batches import draw_order, draw_transforms

    parameters = _parameters(case)
    images, labels = _faces(parameters)
    loop = TorchLoop(parameters, case["variant"], images, labels, compiled=torch.cuda.is_available())

    def turn(steps):
        started = time.perf_counter()
        faces = steps * parameters.batch_size
        order = np.resize(draw_order(len(images), 0, steps), faces)
        loop.train(order, draw_transforms(faces, 0, steps, parameters.shift, parameters.flip))
        return time.perf_counter() - started

    return {"images_per_second": parameters.batch_size / seconds_each(turn, case["seconds"])}


def seconds_each(turn, lasting, multiple=1):
    """Median seconds of a step, over at least three turns of so many steps that they last about `lasting`.

    Args:
        turn: called with a number of steps; returns the seconds that they took.
        lasting: seconds for all turns together.
        multiple: what the number of steps must be a multiple of.
    """
    turn(multiple)  # compiles
    first = turn(2 * multiple) / (2 * multiple)
    most = math.ceil(FACES / 64)  # an epoch of the paper's
    steps = multiple * max(1, round(min(most, lasting / 3 / first) / multiple))
    turns, end = [], time.perf_counter() + lasting
    while len(turns) < 3 or time.perf_counter() < end:
        turns.append(turn(steps) / steps)
    return statistics.median(turns)


def _parameters(case):
    values = {"image_size": case["px"], "batch_size": case["batch"], "precision": case["precision"]}
    return read_parameters(case["file"], case["overrides"]).model_copy(update=values)


def _faces(parameters):
    import numpy as np

    random = np.random.default_rng(0)
    images = random.integers(256, size=(FACES, SIDE, SIDE, parameters.channels), dtype="uint8")
    return images, random.integers(7, size=FACES)


def _exceeds_memory(activation_bytes, case):
    """Whether what training holds at the least, counted in float32, is more than the device has."""
    share = 0.5 if case["precision"] != "float32" else 1
    return activation_bytes * share * case["batch"] > memory()


def memory():
    """Bytes of the first GPU, or of the machine where there is none."""
    try:
        told = subprocess.run(
            ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(told.stdout.split()[0]) * 2**20
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _allow_tensor_float():
    # TensorFlow and JAX multiply float32 in TensorFloat-32 on a GPU unasked, PyTorch when told to.
    import keras

    if keras.config.backend() == "torch":
        import torch

        torch.set_float32_matmul_precision("high")


if __name__ == "__main__":
    sys.exit(main())
