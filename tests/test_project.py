"""What holds for the project as a whole: layers, pins, commands, notebooks, and nothing of anybody's machine."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from fer_lib.notebooks import read_notebook
from fer_lib.parameters import Parameters

ROOT = Path(__file__).parents[1]
BACKENDS = {"tensorflow", "jax", "torch"}

# The folders are the pipeline: a module imports from its own layer and from those above it.
LAYERS = [
    {"errors", "files", "display", "variants", "paper", "dataset_specs", "parameters", "notebooks", "environment"},
    {"datasets", "models"},
    {"training"},
    {"analysis"},
    {"figures", "report"},
    {"study"},
    {"execution"},
    {"cli", "commands"},
]
# The others are read by people who have no backend at hand, or must not wait for one.
WITH_KERAS = {
    "fer_lib.models", "fer_lib.training.batches", "fer_lib.training.recipe", "fer_lib.training.loop",
    "fer_lib.analysis.complexity", "fer_lib.analysis.recorder",
    "fer_lib.figures.explorer",
}  # fmt: skip


def imports(path, lazy=True):
    """Dotted names of the modules that a file imports; those inside of functions only if `lazy`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(modules):
    return {module.split(".")[0] for module in modules}


def layer(module):
    """Number of the layer of a dotted name in fer_lib."""
    (number,) = [number for number, nouns in enumerate(LAYERS) if module.split(".")[1] in nouns]
    return number


def library():
    for path in sorted((ROOT / "fer_lib").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name == "fer_lib":
            assert not set(imports(path)), "importing the package loads nothing"
        else:
            yield name, path


def test_nothing_imports_to_its_right():
    for name, path in library():
        for imported in imports(path):
            if imported.startswith("fer_lib."):
                assert layer(imported) <= layer(name), f"{name} imports {imported}"


def test_the_library_imports_keras_and_no_backend():
    # Exceptions where Keras is slow: TensorFlow's own batches, and operations that a backend has fused.
    allowed = {"fer_lib.training.batches": {"tensorflow"}, "fer_lib.models.layers": BACKENDS}
    for name, path in library():
        assert not roots(imports(path, lazy=False)) & BACKENDS, name
        assert roots(imports(path)) & BACKENDS <= allowed.get(name, set()), name


def test_reading_a_study_loads_neither_keras_nor_a_backend():
    # Function-level imports are left out: those are the ones that wait until a command needs them.
    graph = {name: set(imports(path, lazy=False)) for name, path in library()}
    for name in graph:
        if any(name == module or name.startswith(f"{module}.") for module in WITH_KERAS):
            continue
        seen, waiting = set(), [name]
        while waiting:
            # `from fer_lib.training import runs` names a module, `from fer_lib.training.runs import Run` more.
            found = graph.get(waiting.pop(), set()) - seen
            seen |= found
            waiting += found
        assert not roots(seen) & {"keras", *BACKENDS}, f"importing {name} loads a backend"


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINS = dict(re.findall(r"^([a-z0-9._-]+)==([^ \\]+)", (ROOT / "requirements.lock").read_text(), re.M))
# Name, lowest and first excluded version, marker of what the lock is made of.
DIRECT = [
    re.fullmatch(r"([a-z0-9-]+)(?:>=([0-9.]+))?(?:,<([0-9.]+))?(?:; (.*))?", line).groups()
    for line in [*PROJECT["dependencies"], *EXTRAS["study"], *EXTRAS["tensorflow"], *EXTRAS["test"]]
]


def numbers(version):
    return tuple(int(part) for part in version.split("."))


def test_the_lock_satisfies_the_project_and_conda_gets_the_same_pins():
    for name, lowest, below, _ in DIRECT:
        assert numbers(PINS[name]) >= numbers(lowest), name
        assert below is None or numbers(PINS[name]) < numbers(below), name
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pinned = {f"{name}=={PINS[name]}" + (f"; {marker}" if marker else "") for name, _, _, marker in DIRECT}
    assert set(pip["pip"]) == {"-e .", *pinned}
    assert "python=3.11" in conda


# Import name -> distribution, where they differ.
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn", "IPython": "ipython"}


def test_what_the_library_imports_is_declared():
    lines = itertools.chain(PROJECT["dependencies"], *EXTRAS.values())
    declared = {re.match(r"[a-z0-9-]+", line)[0] for line in lines}
    for name, path in library():
        outside = roots(imports(path)) - sys.stdlib_module_names - {"fer_lib"}
        assert {DISTRIBUTIONS.get(root, root) for root in outside} <= declared, name


@pytest.fixture(scope="module")
def tracked_files():
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_tracked_file_tells_of_a_machine_or_an_index(tracked_files):
    # Letters, digits and slashes before it: part of a longer path or of a picture in base64.
    home = re.compile(rb"(?<![\w./+~-])/(home|root|work|Users|opt|mnt|srv)/\w")
    index = re.compile(rb"(index-url[ =]+\S|pypi\.org|pythonhosted|://[^/\s]*:[^/\s@]*@)")
    for path in tracked_files:
        for pattern in (home, index):
            found = pattern.search(path.read_bytes())
            assert path == Path(__file__) or found is None, f"{path.relative_to(ROOT)}: {found[0]}"


def test_no_data_and_no_weights_are_tracked(tracked_files):
    for path in tracked_files:
        assert path.suffix not in (".h5", ".zip", ".keras") and path.stat().st_size < 8_000_000, path
        assert not path.name.startswith(("fer2013.csv", "icml_face_data", "checkpoint-")), path


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_declares_parameters_of_the_study_and_is_kept_as_executed_in_order(path):
    notebook = read_notebook(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert notebook.metadata.kernelspec.name == "python3"
    (cell,) = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    declared = {line.target.id: ast.literal_eval(line.value) for line in ast.parse(cell.source).body}
    assert (path.parent / declared.pop("params")).is_file()
    # None: as the file has it; a literal here would win over the study that the runner gives.
    assert set(declared) <= set(Parameters.model_fields) and set(declared.values()) <= {None}
    nodes = [node for cell in code for node in ast.walk(ast.parse(cell.source))]
    (opened,) = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "Study.open"]
    assert ast.unparse(opened) == f"Study.open(params, {', '.join(f'{name}={name}' for name in declared)})"
    assert not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in nodes), "a definition"
    for output in (output for cell in code for output in cell.outputs):
        assert output.output_type != "error"
        if "image/png" in output.get("data", {}):
            assert output.metadata.get("image/png", {}).get("alt"), "a picture without words"
