"""Time and memory of `NonLocal2D` beside other blocks, at the shapes of ResNetV2's four stages.

    python benchmarks/bench_non_local.py                  all shapes; writes the table of benchmarks/README.md
    python benchmarks/bench_non_local.py --sides 14 28    maps of these sides, printed only
    taskset --cpu-list 0 python benchmarks/bench_non_local.py --sides 14 28    the same on one thread

A step is forward and backward, compiled by TensorFlow (PyTorch's modules run eagerly). The textbook block
(`blocks.py`) has the weights of `NonLocal2D`; all get the same images and take turns in one process. A ratio is
the median over the turns of a block's processor time over that of `NonLocal2D`: above 1, the layer is faster.
Peak memory is the growth of the resident set in the first step, each block in a process of its own: allocators
keep what they once had. Linux.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import in_process, median, ratio, take_turns, write_table

SIDES = {48: (12, 6, 3, 2), 96: (24, 12, 6, 3), 224: (56, 28, 14, 7)}
CHANNELS = (256, 512, 1024, 2048)
FUNCTIONS = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
GIB = 4  # that a step may take
OTHERS = ("MHA", "mmcv", "SDPA")
COLUMNS = (
    "px", "map", "function", "batch", "ms/image", "textbook", "textbook, by the clock", *OTHERS,
    "peak MiB", "textbook MiB",
)  # fmt: skip


def main():
    arguments = read_arguments()
    if arguments.case:
        print(json.dumps(run_case(json.loads(arguments.case))))
        return
    rows = []
    for px, sides in SIDES.items():
        for side, channels in zip(sides, CHANNELS, strict=True):
            for pairwise in FUNCTIONS if not arguments.sides or side in arguments.sides else ():
                case = {"shape": [side, side, channels], "pairwise": pairwise, "batch": arguments.batch}
                case["seconds"] = arguments.seconds
                rows.append([str(px), f"{side} x {side} x {channels}", pairwise, *measure(case)])
                print(" | ".join(rows[-1]), flush=True)
    if not arguments.sides:
        write_table("bench_non_local", COLUMNS, rows)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", help="sides of the maps; nothing is written")
    parser.add_argument("--batch", type=int, default=64, help="images per step where memory allows (64)")
    parser.add_argument("--seconds", type=float, default=8, help="time for the turns of one function (8)")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(case):
    """Return the numbers of a row, as text, from three processes."""
    batch = batch_that_fits(case)
    # Where the textbook block does not fit, the layer runs without it.
    blocks = ["textbook", "layer"] if batch else ["layer"]
    case = case | {"batch": batch or 1}
    times = result(case | {"blocks": blocks, "measure": "times"})
    # Memory, unlike time, can be measured side by side.
    with ThreadPoolExecutor() as side_by_side:
        cases = [case | {"blocks": [block], "measure": "memory"} for block in blocks]
        peaks = [f"{peak:.0f}" for peak in side_by_side.map(result, cases)]
    names = ("layer", "textbook", "textbook, by the clock", *OTHERS)
    numbers = [f"{times[name]:.2f}" if name in times else "-" for name in names]
    return [str(case["batch"]), *numbers, peaks[-1], peaks[0] if batch else "does not fit"]


def result(case):
    run = in_process(__file__, case)
    if run.returncode:
        sys.exit(f"This case ended with status {run.returncode}: {case}\n{run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def batch_that_fits(case):
    """Return the largest power of two up to `batch` whose textbook step fits, 0 where one image does not."""
    positions, channels = case["shape"][0] * case["shape"][1], case["shape"][2]
    # Forward and backward hold the map about four times; the pairs three times; images and projections ten.
    numbers = 4 * positions**2 + 10 * positions * channels
    if case["pairwise"] == "concatenation":
        numbers += 3 * positions**2 * channels
    fits = int(GIB * 2**30 / (4 * numbers))
    return min(case["batch"], 1 << fits.bit_length() - 1) if fits else 0


# ---- in the process of a case ----


def run_case(case):
    import numpy as np
    from blocks import build_others, build_pair

    shape, pairwise = case["shape"], case["pairwise"]
    images = np.random.default_rng(0).normal(size=(case["batch"], *shape)).astype("float32")
    pair = dict(zip(("textbook", "layer"), build_pair(pairwise, shape), strict=True))
    if case["measure"] == "memory":
        return peak_mebibytes(pair[case["blocks"][0]], images)
    steps = {name: compiled_step(pair[name], images) for name in case["blocks"]}
    for name, block in build_others(pairwise, shape).items():
        steps[name] = compiled_step(block, images) if name == "MHA" else torch_step(block, images)
    taken = take_turns(steps, turns=5, lasting=case["seconds"])
    times = {name: ratio(taken, name, "layer", processor=True) for name in taken}
    if "textbook" in taken:
        times["textbook, by the clock"] = ratio(taken, "textbook", "layer")
    return times | {"layer": 1e3 * median(taken["layer"]) / len(images)}


def peak_mebibytes(block, images):
    """Return the growth of the resident set in the first step of a process that has its images already."""
    compiled_step(block, images[:1, :2, :2])()  # the backend's own memory, on four positions
    step = compiled_step(block, images)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to the present
    step()
    return (resident("VmHWM") - before) / 1024


def resident(key):
    """Return KiB, from Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1])


def compiled_step(block, images):
    """Return forward and backward of a Keras block on images as a function that returns when the work is done."""
    import tensorflow as tf

    images = tf.constant(images)
    variables = [variable.value for variable in block.trainable_variables]

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(block(x, training=True)))
        return tape.gradient(loss, [x, *variables])

    traced = step.get_concrete_function(images)  # here, so that the memory of tracing is no part of the step's
    return lambda: traced(images)


def torch_step(module, images):
    """Return the same of a PyTorch module on images (batch, height, width, channels)."""
    import torch

    x = torch.tensor(images.transpose(0, 3, 1, 2).copy(), requires_grad=True)

    def step():
        module.zero_grad()
        x.grad = None
        (module(x) ** 2).sum().backward()

    return step


if __name__ == "__main__":
    main()
