"""What the benchmarks keep: measurements, found again after a cut, and the tables of README.md."""

import json
import os
from pathlib import Path

from fer_lib.environment import describe_environment

FOLDER = Path(__file__).resolve().parent


class Kept:
    """Measurements by their case, in memory and in a file of JSON lines.

    A case is a dictionary of everything that its result depends on. The file is only ever added to, a line a
    measurement as it is made, so a command that was cut loses at most the one under way; a line that was cut is
    passed over.

    Args:
        path: of the file; None keeps in memory alone.
    """

    def __init__(self, path):
        self.path, self.results = path, {}
        lines = path.read_text(encoding="utf8").splitlines() if path is not None and path.is_file() else []
        for line in lines:
            try:
                kept = json.loads(line)
            except json.JSONDecodeError:
                continue
            self.results[json.dumps(kept["case"])] = kept["result"]

    def found(self, case):
        """The result of a case, None where it was not measured."""
        return self.results.get(json.dumps(case))

    def add(self, case, result, lasting=True):
        """Keeps a result and returns it; one that is not `lasting`, a failure, does not go into the file."""
        self.results[json.dumps(case)] = result
        if self.path is not None and lasting:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf8") as file:
                # The line break first: the line before may have been cut.
                file.write("\n" + json.dumps({"case": case, "result": result}))
        return result


def write_table(name, columns, rows, about=""):
    """Puts a table between the marks of its benchmark in README.md, with the machine that made it."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    path = FOLDER / "README.md"
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = path.read_text(encoding="utf8").partition(start)
    _, _, after = rest.partition(end)
    table = "\n".join([start, "", " ".join(filter(None, [about, machine()])), "", *lines, "", end])
    path.write_text(before + table + after, encoding="utf8")


def machine():
    """One sentence: processor, cores, memory, backend and versions."""
    found = describe_environment()
    backend, versions = found["backend"], found["packages"]
    # TensorFlow comes as one package for CPUs and as another for GPUs.
    version_of_backend = versions.get(backend) or versions[f"{backend}-cpu"]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{found['processor']}, {found['cpus']} cores, {memory:.0f} GiB, Linux; Python {found['python']}, Keras "
        f"{versions['keras']}, {backend} {version_of_backend}, NumPy {versions['numpy']}."
    )
