"""What holds for the project as a whole: layers, pins, commands, notebooks, and nothing of anybody's machine."""

import ast
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
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
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
    nodes = ast.walk(tree) if lazy else tree.body
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(module):
    """Number of the layer of a dotted name in fer_lib."""
    noun = module.split(".")[1]
    found = [number for number, nouns in enumerate(LAYERS) if noun in nouns]
    assert found, f"fer_lib.{noun} has no place among the layers"
    return found[0]


def library():
    for path in sorted((ROOT / "fer_lib").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name != "fer_lib":
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
        assert not {imported.split(".")[0] for imported in imports(path, lazy=False)} & BACKENDS, name
        roots = {imported.split(".")[0] for imported in imports(path)} - allowed.get(name, set())
        assert not roots & BACKENDS, f"{name} imports {roots & BACKENDS}"


def test_reading_a_study_loads_neither_keras_nor_a_backend():
    # Function-level imports are left out: those are the ones that wait until a command needs them.
    graph = {name: set(imports(path, lazy=False)) for name, path in library()}
    for name in graph:
        if any(name == module or name.startswith(f"{module}.") for module in WITH_KERAS):
            continue
        seen, waiting = set(), [name]
        while waiting:
            module = waiting.pop()
            # `from fer_lib.training import runs` names a module, `from fer_lib.training.runs import Run` more.
            found = {imported for imported in graph.get(module, ()) if imported not in seen}
            seen |= found
            waiting += found
        roots = {imported.split(".")[0] for imported in seen}
        assert not roots & {"keras", *BACKENDS}, f"importing {name} loads {roots & {'keras', *BACKENDS}}"


def test_importing_the_package_loads_nothing_heavy():
    assert not set(imports(ROOT / "fer_lib" / "__init__.py"))


def pins():
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ \\]+)", (ROOT / "requirements.lock").read_text(), re.M))


def direct_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for line in [*project["dependencies"], *extras["study"], *extras["tensorflow"], *extras["test"]]:
        yield re.fullmatch(r"([a-z0-9-]+)(?:>=([0-9.]+))?(?:,<([0-9.]+))?(?:; (.*))?", line).groups()


def numbers(version):
    return tuple(int(part) for part in version.split("."))


def test_the_lock_satisfies_the_project():
    for name, lowest, below, _ in direct_dependencies():
        assert numbers(pins()[name]) >= numbers(lowest), name
        assert below is None or numbers(pins()[name]) < numbers(below), name


def test_what_make_backends_adds_satisfies_the_extras():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    recipe = re.search(r"^\$\(VENV\)/\.backends:.*?\n(?:\t.*\n)+", (ROOT / "Makefile").read_text(), re.M)[0]
    added = dict(re.findall(r'"([a-z]+)==([0-9.]+)"', recipe))
    assert set(added) == {"jax", "torch", "ray"}
    for name, version in added.items():
        (extra,) = extras[name]
        assert extra.startswith(f"{name}>=") and numbers(version) >= numbers(extra.partition(">=")[2])


def test_conda_gets_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *_, pip = environment["dependencies"]
    expected = {"-e ."}
    for name, _, _, marker in direct_dependencies():
        expected.add(f"{name}=={pins()[name]}" + (f"; {marker}" if marker else ""))
    assert set(pip["pip"]) == expected
    assert environment["name"] == "fer-study"
    assert "python=3.11" in environment["dependencies"]


def test_the_lock_has_a_hash_for_every_pin_and_no_index():
    text = (ROOT / "requirements.lock").read_text()
    for block in re.split(r"\n(?=[a-z])", text):
        assert "--hash=sha256:" in block, block[:60]
    assert "index-url" not in text and "://" not in text


def test_the_layer_alone_needs_keras_and_numpy():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [re.match(r"[a-z]+", line)[0] for line in project["dependencies"]] == ["keras", "numpy"]
    assert {"study", "test", "tensorflow", "jax", "torch", "gpu", "ray", "fetch"} == set(
        project["optional-dependencies"]
    )


# Import name -> distribution, where they differ.
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn", "IPython": "ipython"}


def test_what_the_library_imports_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    declared = {re.match(r"[a-z0-9-]+", line)[0] for line in lines}
    for name, path in library():
        roots = {imported.split(".")[0] for imported in imports(path)} - sys.stdlib_module_names - {"fer_lib"}
        missing = {DISTRIBUTIONS.get(root, root) for root in roots} - declared
        assert not missing, f"{name} imports {missing}"


def tracked_files():
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_tracked_file_tells_of_a_machine_or_an_index():
    # Letters, digits and slashes before it: part of a longer path or of a picture in base64.
    home = re.compile(rb"(?<![\w./+~-])/(home|root|work|Users|opt|mnt|srv)/\w")
    index = re.compile(rb"(index-url[ =]+\S|pypi\.org|pythonhosted|://[^/\s]*:[^/\s@]*@)")
    for path in tracked_files():
        content = path.read_bytes()
        for pattern in (home, index):
            found = pattern.search(content)
            assert path == Path(__file__) or found is None, f"{path.relative_to(ROOT)}: {found[0]}"


def test_no_data_and_no_weights_are_tracked():
    for path in tracked_files():
        assert path.suffix not in (".h5", ".zip", ".keras") and path.stat().st_size < 8_000_000, path
        assert not path.name.startswith(("fer2013.csv", "icml_face_data", "checkpoint-")), path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebooks_parameters_are_the_studys_own(path):
    (cell,) = [cell for cell in read_notebook(path).cells if "parameters" in cell.metadata.get("tags", [])]
    declared = {line.target.id: ast.literal_eval(line.value) for line in ast.parse(cell.source).body}
    base = declared.pop("params")
    assert (path.parent / base).is_file()
    # None: as the file has it; a literal here would win over the study that the runner gives.
    assert set(declared) <= set(Parameters.model_fields) and set(declared.values()) <= {None}
    opened = [
        call
        for cell in read_notebook(path).cells
        if cell.cell_type == "code"
        for call in ast.walk(ast.parse(cell.source))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "Study.open"
    ]
    assert [ast.unparse(call) for call in opened] == [
        f"Study.open(params, {', '.join(f'{name}={name}' for name in declared)})"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_as_executed_in_order(path):
    notebook = read_notebook(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert notebook.metadata.kernelspec.name == "python3"
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    for cell in code:
        functions = [
            node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        ]
        assert not functions, f"{path.name} defines {functions[0].name}"
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert output.metadata.get("image/png", {}).get("alt"), f"{path.name}: a picture without words"
