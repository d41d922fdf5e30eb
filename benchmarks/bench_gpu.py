"""Images per second of a study's training step on a GPU, beside PyTorch by hand.

    python benchmarks/bench_gpu.py [PARAMS.yaml]    all sizes; writes the table of benchmarks/README.md
    python benchmarks/bench_gpu.py --quick          the smallest sizes, also on a CPU; printed only

The project's step is what a run does (`common.OurStep`), on the backend of KERAS_BACKEND. PyTorch does the same
but for the metrics and the translation, in its own operations (`plain_networks.py`), channels last, through
`torch.compile`. Each measurement has a process of its own, since each backend takes the memory of the GPU. The
sizes of the paper's Table I come first.
"""

import argparse
import functools
import itertools
import json
import re
import sys
from pathlib import Path

from common import FOLDER, OurStep, drawn, in_process, median, random_images, take_turns, write_table

from fer_lib.environment import gpus
from fer_lib.errors import FerError
from fer_lib.parameters import read_parameters

# The paper's Table I: its networks x 50 epochs x 22,968 images, at this size and batch.
TABLE_ONE, TABLE_ONE_IMAGES = (96, 64), 50 * 22_968
IMAGES = 24_400  # on the device: training and validation of the paper
IMAGES_PER_TURN = 2048
USUAL = {"px": [48, 96, 224], "batch": [64, 256, 1024], "precision": ["float32", "mixed_bfloat16"]}
QUICK = {"px": [32], "batch": [8], "precision": USUAL["precision"]}
QUICK_OVERRIDES = ["variants=[resnet14v2, resnet14v2-nl3]", "width=0.25", "stem=small", "steps_per_execution=2"]
COLUMNS = ("px", "batch", "precision", "variant", "images/s", "PyTorch images/s", "ratio")
NO_MEMORY = re.compile(r"out of memory|OutOfMemory|RESOURCE_?EXHAUSTED|MemoryError|bad_alloc", re.IGNORECASE)


def main(arguments=None):
    options = read_options(arguments)
    if options.case:
        print(json.dumps(images_per_second(json.loads(options.case))))
        return 0
    overrides = (QUICK_OVERRIDES if options.quick else []) + options.overrides
    try:
        parameters = read_parameters(options.params, overrides)
    except FerError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    device = next(iter(gpus()), None)
    if not (device or options.quick):
        print("No GPU of NVIDIA was found. Without one only --quick makes sense.", file=sys.stderr)
        return 2
    usual = QUICK if options.quick else USUAL
    chosen = [getattr(options, name) or usual[name] for name in USUAL]
    sizes = list(itertools.product(*chosen, parameters.variants))
    rows, minutes = {}, dict.fromkeys(chosen[-1], 0.0)
    print(" | ".join(COLUMNS))
    for size in sorted(sizes, key=lambda size: size[:2] != TABLE_ONE):
        case = {"size": size, "file": str(options.params), "overrides": overrides, "seconds": options.seconds}
        ours, other = (measure(case | {"side": side}) for side in ("project", "pytorch"))
        cells = [one if isinstance(one, str) else f"{one:,.0f}" for one in (ours, other)]
        fit = not (isinstance(ours, str) or isinstance(other, str))
        rows[size] = [*map(str, size), *cells, f"{ours / other:.2f}" if fit else "-"]
        print(" | ".join(rows[size]), flush=True)
        if size[:2] == TABLE_ONE and not isinstance(ours, str):
            minutes[size[2]] += TABLE_ONE_IMAGES / ours / 60
        if not options.quick:
            named = ", ".join(f"{precision} {value:.1f} minutes" for precision, value in minutes.items())
            about = (
                f"{device}, `{Path(options.params).name}` {' '.join(overrides)}. Table I of the paper, 50 epochs "
            )
            about += f"of each network, training alone: {named}."
            write_table("bench_gpu", COLUMNS, [rows[size] for size in sizes if size in rows], about)
    return int(any("failed" in cell for row in rows.values() for cell in row))


def read_options(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("params", nargs="?", default=FOLDER.parent / "params" / "fer2013_paper.yaml")
    parser.add_argument("--quick", action="store_true", help="smallest sizes, nothing written")
    for name, kind in (("px", int), ("batch", int), ("precision", str)):
        parser.add_argument(f"--{name}", type=kind, nargs="+", help=f"{USUAL[name]} by default")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for the turns of one measurement (5)")
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="KEY=VALUE, as of fer-study")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def measure(case):
    """Return images per second from a process of its own, in words where there are none."""
    # The loop in PyTorch takes its first weights from `fer_lib`, on a backend that does not take the GPU.
    run = in_process(__file__, case, **({"KERAS_BACKEND": "torch"} if case["side"] == "pytorch" else {}))
    if run.returncode == 0:
        return json.loads(run.stdout.splitlines()[-1])
    if run.returncode == -9 or NO_MEMORY.search(run.stderr):
        return "does not fit"
    print(run.stderr[-3000:], file=sys.stderr)
    return f"failed: status {run.returncode}"


# ---- in the process of a case ----


def images_per_second(case):
    """Return images per second of the study's own step, or of the same by hand in PyTorch."""
    import keras

    if keras.config.backend() == "torch":
        # TensorFlow and JAX multiply float32 in TensorFloat-32 on a GPU unasked, PyTorch when told to.
        import torch

        torch.set_float32_matmul_precision("high")
    values = dict(zip(("image_size", "batch_size", "precision"), case["size"], strict=False))
    parameters = read_parameters(case["file"], case["overrides"]).model_copy(update=values)
    images, variant = random_images(IMAGES, parameters.channels), case["size"][3]
    at_once = parameters.steps_per_execution
    steps = at_once * max(1, IMAGES_PER_TURN // (parameters.batch_size * at_once))
    ours = OurStep(parameters, variant, images)
    step = functools.partial(ours.train, steps)
    if case["side"] == "pytorch":
        from plain_networks import TorchStep

        by_hand = TorchStep(ours.classifier, parameters, variant, images, ours.labels)
        rows, transforms = drawn(parameters, IMAGES, steps, epoch=0)
        step = functools.partial(by_hand.train, rows, transforms[:, 2])
    taken = take_turns({"step": step}, turns=3, lasting=case["seconds"])
    return steps * parameters.batch_size / median(taken["step"])


if __name__ == "__main__":
    sys.exit(main())
