"""What the benchmarks share: taking turns, a process per case, measurements that are kept, tables of README.md."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))

from fer_lib.environment import TENSORFLOW_SETTINGS, describe_environment  # noqa: E402

os.environ.update({**TENSORFLOW_SETTINGS, **os.environ})
CLASSES, SIDE = 7, 48  # of FER-2013


class OurStep:
    """A variant trained as `fer-study run` trains it; `train(steps, epoch)` runs so many steps.

    A step draws rows and transforms on the host, gathers, translates, flips and scales the images on the device,
    goes forward and backward, and updates.
    """

    def __init__(self, parameters, variant, images):
        import numpy as np

        from fer_lib.training.recipe import build_classifier, build_trainer

        self.parameters, self.images = parameters, len(images)
        self.classifier = build_classifier(parameters, variant, seed=0)
        self.trainer = build_trainer(parameters, self.classifier, images, len(images) // parameters.batch_size)
        self.labels = np.arange(len(images)) % CLASSES

    def train(self, steps, epoch=0):
        from fer_lib.training.batches import batches

        rows, transforms = drawn(self.parameters, self.images, steps, epoch)
        given = {"row": rows, "transform": transforms}
        fed = batches(given, self.labels[rows], self.parameters.batch_size)
        self.trainer.fit(fed, shuffle=False, verbose=0)


def drawn(parameters, images, steps, epoch):
    """Rows, int32, and transforms, float32 `(n, 3)`, of an epoch of so many steps, as a run draws them."""
    import numpy as np

    from fer_lib.training.batches import draw_order, draw_transforms

    number = steps * parameters.batch_size
    rows = np.resize(draw_order(images, 0, epoch), number)
    return rows, draw_transforms(number, 0, epoch, parameters.shift, parameters.flip)


def random_images(number, channels=1):
    import numpy as np

    return np.random.default_rng(0).integers(256, size=(number, SIDE, SIDE, channels), dtype="uint8")


def take_turns(contestants, turns, lasting=0.0):
    """Let all contestants take turns, so that other work on the machine meets all alike.

    Every other turn goes the other way round: whoever comes second finds a warmer cache. The first turn compiles
    and does not count. There are at least so many `turns`, for at least `lasting` seconds.

    Returns name -> list of (seconds by the clock, seconds of processor time of all threads), one per turn.
    """
    taken = {name: [] for name in contestants}
    turn, end = 0, 0.0
    while turn <= turns or time.perf_counter() < end:
        for name in list(contestants)[:: -1 if turn % 2 else 1]:
            clock, processor = time.perf_counter(), time.process_time()
            contestants[name]()
            taken[name].append((time.perf_counter() - clock, time.process_time() - processor))
        turn, end = turn + 1, end or time.perf_counter() + lasting
    return {name: seconds[1:] for name, seconds in taken.items()}


def median(seconds):
    """Median seconds by the clock."""
    return statistics.median(clock for clock, _ in seconds)


def ratio(taken, name, other, processor=False):
    """Median over the turns of the time of one contestant over that of another."""
    pairs = zip(taken[name], taken[other], strict=True)
    return statistics.median(one[processor] / two[processor] for one, two in pairs)


def in_process(script, case, **environment):
    """Return the finished process of `script --case CASE`, whose last line is a result as JSON."""
    return subprocess.run(
        [sys.executable, script, "--case", json.dumps(case)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def write_table(name, columns, rows, about=""):
    """Put a table between the marks of its benchmark in README.md, with the machine that made it."""
    path = FOLDER / "README.md"
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = path.read_text(encoding="utf8").partition(start)
    _, _, after = rest.partition(end)
    lines = [columns, ["---"] * len(columns), *rows]
    table = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    words = " ".join(filter(None, [about, machine()]))
    path.write_text(f"{before}{start}\n\n{words}\n\n{table}\n\n{end}{after}", encoding="utf8")


def machine():
    """One sentence: processor, cores, memory, backend and versions."""
    here = describe_environment()
    backend, versions = here["backend"], here["packages"]
    # TensorFlow comes as one package for CPUs and as another for GPUs.
    versions = {"Python": here["python"], **versions, backend: versions.get(backend) or versions[f"{backend}-cpu"]}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    named = ", ".join(f"{name} {versions[name]}" for name in ("Python", "keras", backend, "numpy"))
    return f"{here['processor']}, {here['cpus']} cores, {memory:.0f} GiB, Linux; {named}."
