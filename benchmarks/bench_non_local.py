"""Time and memory of `NonLocal2D` beside the textbook block, at the shapes of ResNetV2's four stages.

    python benchmarks/bench_non_local.py            all shapes; writes the table of benchmarks/README.md
    python benchmarks/bench_non_local.py --quick    two shapes, printed only

Both blocks have the same weights and get the same images, compiled by the backend (PyTorch: run eagerly). Their
steps take turns in one process, so that other work on the machine meets both alike; a ratio is the median over
the turns of textbook / `NonLocal2D`: above 1, the layer is faster. The second ratio is of processor time, which
other work disturbs least. Peak memory is the growth of the resident set
in the first forward and backward, each block in a process of its own: allocators keep what they once had. Linux.
The last columns are the same ratio of forward and backward for other blocks (`contestants.py`), where they
are installed and compute the function: Keras' MultiHeadAttention, mmcv's NonLocal2d, PyTorch's fused attention.

A row is kept in `--results` when it is measured: the same command after a cut goes on from there, as long as
machine, versions and the two blocks are the same.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from results import Kept, machine, write_table  # noqa: E402

from fer_lib.environment import TENSORFLOW_SETTINGS  # noqa: E402

SIDES = {48: (12, 6, 3, 2), 96: (24, 12, 6, 3), 224: (56, 28, 14, 7)}
CHANNELS = (256, 512, 1024, 2048)
# (px, stage)
QUICK = ((96, 1), (96, 3))
FUNCTIONS = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
COLUMNS = (
    "px", "stage", "map", "function", "batch", "forward ms/image", "ratio", "CPU ratio",
    "forward + backward ms/image",
    "ratio", "CPU ratio", "peak MiB", "textbook MiB", "ratio", "MHA ratio", "mmcv ratio", "SDPA ratio",
)  # fmt: skip


def main():
    arguments = read_arguments()
    if arguments.case:
        print(json.dumps(run_case(json.loads(arguments.case))))
        return
    rows, kept = [], Kept(None if arguments.quick else arguments.results)
    here = {} if arguments.quick else conditions()
    for px, sides in SIDES.items():
        for stage, (side, channels) in enumerate(zip(sides, CHANNELS, strict=True), start=1):
            if not arguments.quick or (px, stage) in QUICK:
                for pairwise in FUNCTIONS:
                    case = {"side": side, "channels": channels, "pairwise": pairwise, **here}
                    case |= {name: getattr(arguments, name) for name in ("batch", "gib", "seconds")}
                    row = kept.found(case) or kept.add(case, bench((side, side, channels), pairwise, arguments))
                    rows.append([px, stage, f"{side} x {side} x {channels}", pairwise, *row])
                    print(" | ".join(rows[-1][2:]), flush=True)
    if not arguments.quick:
        write_table("bench_non_local", COLUMNS, rows)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two shapes only, nothing written")
    parser.add_argument("--batch", type=int, default=64, help="images a step where memory allows (64)")
    parser.add_argument("--gib", type=float, default=4, help="memory that a step may take (4)")
    parser.add_argument("--seconds", type=float, default=8, help="time for the turns of one function (8)")
    usual = FOLDER.parent / ".cache" / "bench_non_local.jsonl"
    parser.add_argument("--results", type=Path, default=usual, help="where rows are kept (in .cache)")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser.parse_args()


def conditions():
    """What a kept row holds for: this machine and its versions, and the code that is timed."""
    blocks = (FOLDER.parent / "fer_lib" / "models" / "non_local.py", FOLDER / "textbook.py")
    timed = (*blocks, FOLDER / "contestants.py", Path(__file__))
    code = hashlib.sha256(b"".join(file.read_bytes() for file in timed)).hexdigest()
    return {"machine": machine(), "code": code}


def bench(shape, pairwise, arguments):
    """One case in three processes: the rest of its row, as text."""
    batch = batch_that_fits(pairwise, shape[0] * shape[1], shape[2], arguments)
    case = {"pairwise": pairwise, "shape": shape, "batch": batch or 1, "seconds": arguments.seconds}
    # Where the textbook block does not fit, the layer runs alone.
    blocks = ["textbook", "layer"] if batch else ["layer"]
    times = in_process({**case, "blocks": blocks, "measure": "times"})
    # Memory, unlike time, can be measured side by side.
    with ThreadPoolExecutor() as side_by_side:
        cases = [{**case, "blocks": [block], "measure": "memory"} for block in blocks]
        peaks = list(side_by_side.map(in_process, cases))
    return [
        str(case["batch"]),
        *(ratio(number) for name in ("forward", "both") for number in times[name]),
        f"{peaks[-1]:.0f}",
        f"{peaks[0]:.0f}" if batch else "does not fit",
        ratio(peaks[0] / peaks[-1] if batch and peaks[-1] else None),
        *(ratio(times["others"].get(name)) for name in ("MHA", "mmcv", "SDPA")),
    ]


def ratio(value):
    return f"{value:.2f}" if value else "-"


def in_process(case):
    run = subprocess.run(
        [sys.executable, __file__, "--case", json.dumps(case)],
        env={**TENSORFLOW_SETTINGS, **os.environ},
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(f"This case ended with status {run.returncode}: {case}\n{run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def batch_that_fits(pairwise, positions, channels, arguments):
    """The largest power of two up to `--batch` whose textbook step fits, 0 where one image does not."""
    # Forward and backward hold the map about four times; the pairs three times; images and projections ten.
    numbers = 4 * positions**2 + 10 * positions * channels
    if pairwise == "concatenation":
        numbers += 3 * positions**2 * channels
    fits = int(arguments.gib * 2**30 / (4 * numbers))
    return 0 if fits == 0 else min(arguments.batch, 1 << fits.bit_length() - 1)


# ---- in the process of a case ----


def run_case(case):
    import numpy as np
    from contestants import contestants, module_step
    from textbook import built_pair

    images = np.random.default_rng(0).normal(size=(case["batch"], *case["shape"])).astype("float32")
    pair = dict(zip(("textbook", "layer"), built_pair(case["pairwise"], *case["shape"]), strict=True))
    blocks = [pair[name] for name in case["blocks"]]
    if case["measure"] == "memory":
        return peak_mebibytes(blocks[0], images)
    forward, both = zip(*(steps(block, images) for block in blocks), strict=True)
    others = contestants(case["pairwise"], *case["shape"])
    other_steps = [
        steps(block, images)[1] if name == "MHA" else module_step(block, images) for name, block in others.items()
    ]
    _, *of_both = both_turns = in_turns([*other_steps, *both], len(images), case["seconds"])
    return {
        "forward": beside_textbook(in_turns(forward, len(images), case["seconds"] / 2), len(forward) > 1),
        "both": beside_textbook(both_turns, len(both) > 1),
        "others": {name: wall for name, (wall, _) in zip(others, of_both, strict=False)},
    }


def in_turns(functions, images, lasting):
    """[ms an image of the last function, median ratios (wall, processor time) to it of each of the others]."""
    for function in functions:
        function()
        function()
    turns, end = [], time.perf_counter() + lasting
    while len(turns) < 5 or (time.perf_counter() < end and len(turns) < 200):
        # Every other turn the other way round: whoever comes second finds a warmer cache.
        order = functions if len(turns) % 2 else functions[::-1]
        taken = {function: seconds(function) for function in order}
        turns.append([taken[function] for function in functions])
    milliseconds = 1e3 * statistics.median(turn[-1][0] for turn in turns) / images
    others = range(len(functions) - 1)
    return [
        milliseconds,
        *([statistics.median(turn[other][i] / turn[-1][i] for turn in turns) for i in (0, 1)] for other in others),
    ]


def beside_textbook(turns, has_textbook):
    """[ms an image of the layer, textbook's wall and processor ratio]: the textbook block is the last but one."""
    return [turns[0], *(turns[-1] if has_textbook else (None, None))]


def seconds(function):
    """(wall, processor) time, the second summed over threads."""
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - processor


def peak_mebibytes(block, images):
    """Growth of the resident set in the first forward and backward of a process that has its images already."""
    _, small = steps(block, images[:1, :2, :2])  # the backend's own memory, on four positions
    small()
    _, step = steps(block, images)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to the present
    step()
    return (resident("VmHWM") - before) / 1024


def resident(key):
    """KiB, from Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1])


def steps(block, images):
    """(forward, forward and backward) of a block on images, as functions that return when the work is done."""
    import keras

    return {"tensorflow": tensorflow_steps, "jax": jax_steps, "torch": torch_steps}[keras.config.backend()](
        block, images
    )


def tensorflow_steps(block, images):
    import tensorflow as tf

    images = tf.constant(images)
    variables = [variable.value for variable in block.trainable_variables]

    def forward(x):
        return block(x, training=False)

    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(block(x, training=True)))
        return tape.gradient(loss, [x, *variables])

    # Traced here, so that the memory of tracing is no part of the step's.
    forward, both = (tf.function(step).get_concrete_function(images) for step in (forward, both))
    return lambda: forward(images), lambda: both(images)


def jax_steps(block, images):
    import jax

    images = jax.numpy.asarray(images)
    trainable = [variable.value for variable in block.trainable_variables]
    fixed = [variable.value for variable in block.non_trainable_variables]

    def forward(trainable, x):
        return block.stateless_call(trainable, fixed, x, training=False)[0]

    def both(trainable, x):
        def loss(trainable, x):
            return (block.stateless_call(trainable, fixed, x, training=True)[0] ** 2).sum()

        return jax.grad(loss, argnums=(0, 1))(trainable, x)

    def compiled(step):
        # Here, so that the memory of compiling is no part of the step's.
        step = jax.jit(step).lower(trainable, images).compile()
        return lambda: jax.block_until_ready(step(trainable, images))

    return compiled(forward), compiled(both)


def torch_steps(block, images):
    import torch

    images = torch.tensor(images, requires_grad=True)

    def forward():
        with torch.no_grad():
            return block(images, training=False)

    def both():
        loss = (block(images, training=True) ** 2).sum()
        loss.backward()
        images.grad = None
        for variable in block.trainable_variables:
            variable.value.grad = None

    return forward, both


if __name__ == "__main__":
    main()
