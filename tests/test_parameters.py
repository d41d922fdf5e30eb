import os
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_lib.errors import ParameterError
from fer_lib.parameters import Parameters, build_parameters, read_parameters, write_parameters

STUDIES = sorted((Path(__file__).parents[1] / "params").glob("*.yaml"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "params.yaml"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_projects_own_studies(path):
    parameters = read_parameters(path)
    assert parameters.study == path.stem
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("Question", "Data", "Device"):
        assert any(line.startswith(f"# {word} ") for line in header), f"{path.name} does not say its {word}"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epoch": 3}, r"unknown\. Where: key epoch\. Did you mean `epochs`\?"),
        ({"xyzzy": 3}, "`fer-study parameters` lists all"),
        ({"epochs": "3"}, "key epochs. Expected: a whole number. Found: '3'."),
        ({"epochs": 2.5}, "key epochs"),
        ({"epochs": True}, "key epochs"),
        ({"epochs": 0}, "key epochs.*greater than or equal to 1"),
        ({"epochs": 0, "batch_size": 0}, "1 more after this one"),
        ({"flip": 1}, "key flip. Expected: true or false. Found: 1."),
        ({"seeds": [0, -1]}, r"key seeds\.1"),
        ({"seeds": []}, r"key seeds\. Expected: at least one, each once"),
        ({"seeds": [1, 1]}, "each once"),
        ({"study": "../up"}, "key study"),
        ({"optimizer": "adamw"}, "key optimizer.*'sgd' or 'adam'"),
        ({"train_limit": 100}, "unknown"),
        ({"planned": ["resnet14v2 minus resnet14v2"]}, "contrasts of two networks, such as"),
        ({"planned": ["resnet14v2 plus a"]}, "A variant's name cannot be read.*'resnet14v2 plus a'"),
        ({"group": "("}, "key group. Expected: `parent`, or a regular expression"),
        ({"variants": ["resnet14v2-nl1"]}, "exactly one network without blocks"),
        ({"variants": ["resnet14v2", "resnet26v2"]}, "exactly one network without blocks"),
        ({"variants": ["resnet14v2", "resnet14v2-nl3", "resnet14v2-nl3-embedded_gaussian"]}, "each variant once"),
        ({"variants": ["resnet14v2", "resnet14v2-nl7"]}, "^A variant names its stages wrongly.*Found: nl7"),
        ({"variants": ["resnet14v2", "resnet14v2-nl1-before_last"]}, "at least 2 bottlenecks in each stage"),
        ({"dataset": "kdef", "protocol": "paper"}, "kdef has protocol random or subject, found protocol: paper"),
        ({"dataset": "kdef", "protocol": "random", "faces": "all"}, "cannot be used with dataset: kdef"),
        ({"labels": "ferplus"}, "labels: ferplus needs dataset: fer2013"),
        ({"colour": True}, "colour needs dataset: kdef or folders"),
        ({"warmup_epochs": 2.0, "epochs": 2}, r"warmup_epochs \(2\.0\) must be below epochs \(2\)"),
    ],
    ids=str,
)
def test_values_that_cannot_be_meant(values, words):
    with pytest.raises(ParameterError, match=words):
        build_parameters(values)


def test_overrides_win_and_are_yaml(path):
    path.write_text("epochs: 3")
    parameters = read_parameters(path, ["epochs=5", "seeds=[0, 1]", "flip = false", "title=a=b"])
    assert (parameters.epochs, parameters.seeds, parameters.flip, parameters.title) == (5, [0, 1], False, "a=b")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epochs", "KEY=VALUE"),
        (" = 3", "KEY=VALUE"),
        ("epochs=[1", "no YAML value"),
        ("seeds=" + "[" * 5000, "no YAML value"),
        ("epochs=*x", "no YAML value"),
        ("epoch=1", "Where: --set, key epoch. Did you mean `epochs`"),
    ],
)
def test_overrides_that_cannot_be_meant(path, override, words):
    path.write_text("epochs: 3")
    with pytest.raises(ParameterError, match=words) as error:
        read_parameters(path, [override])
    assert str(error.value).isprintable()


def test_what_is_written_is_read_the_same(path):
    parameters = build_parameters({"learning_rate": 1e-05, "variants": ["resnet50v2", "resnet50v2-nl34"]})
    path.write_text(write_parameters(parameters))
    assert read_parameters(path) == parameters


def test_cells_give_every_variant_early():
    parameters = build_parameters({"variants": ["resnet14v2", "resnet14v2-nl3"], "seeds": [4, 7]})
    assert parameters.cells() == [
        ("resnet14v2", 4), ("resnet14v2-nl3", 4), ("resnet14v2", 7), ("resnet14v2-nl3", 7)
    ]  # fmt: skip
    assert parameters.baseline == "resnet14v2"


def test_the_hash_is_of_the_keys_that_the_numbers_depend_on():
    free = {"study", "title", "variants", "seeds", "dataset", "data", "protocol", "labels", "generated_images"}
    free |= {"preregistration", "planned", "margin", "colour", "angles", "faces", "aspect", "group"}
    free.add("steps_per_execution")
    for name in Parameters.model_fields:
        other = Parameters.model_construct(**{name: "another value"})
        assert (other.training_hash() == Parameters().training_hash()) == (name in free), name
    assert build_parameters({"epochs": 2}).training_hash() == Parameters().training_hash()  # the default


def test_earlier_values_are_read():
    assert build_parameters({"subsample": False, "train_limit": None}) == Parameters()


def test_keys_that_make_another_study():
    base = Parameters()
    same = build_parameters({"title": "x", "variants": ["resnet14v2"], "seeds": [3], "data": "x"})
    assert base.differences(same) == []
    assert base.differences(build_parameters({"epochs": 3, "protocol": "paper"})) == ["protocol", "epochs"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no parameters"),
        ("- a\n" * 20_000, "no parameters"),
        ("a: 1\nb: [1\n", "not YAML.*params.yaml, line 3, column 1.*Found: while parsing"),
        ("1: 2", "key 1. Expected: Keys should be strings"),
        ("? [a]\n: 1", "unhashable key"),
        ("epochs: 1\nepochs: 2", "line 2, column 1. Found: the key epochs is there twice"),
        ("epochs: !!python/name:os.system", "could not determine a constructor"),
        ("epochs: 1\n---\nepochs: 1", "single document"),
        ("study: 2020-01-01", "key study. Expected: text"),
        ("epochs: 2020-99-99", "month must be in"),
        ("learning_rate: 1e-3", r"key learning_rate.*Found: '1e-3'\. YAML reads 1e-3 as text: write 1\.0e-3"),
        ("learning_rate: .inf", "key learning_rate"),
        ("learning_rate: 1.0e999", "key learning_rate"),
        ("a: " + "[" * 5000, "recursion"),
        ('study: "a\\x1b[31m"', "key study"),
        ("epochs: 1\x00", "not YAML"),
        ("\udcff", "not YAML"),
    ],
    ids=lambda text: text[:20],
)
def test_files_that_are_no_parameters_are_refused_in_one_short_printable_line(path, text, words):
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ParameterError, match=words) as error:
        read_parameters(path)
    assert str(error.value).isprintable() and len(str(error.value)) < 1500


def test_only_small_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * 1_000_001)
    (tmp_path / "link").symlink_to("/dev/zero")
    refused = {
        "pipe": "not a regular file",
        "large": "1,000,001 bytes",
        "link": "not a regular",
        "none": "No such",
    }
    for name, words in refused.items():
        with pytest.raises(ParameterError, match=f"cannot be read.*{words}"):
            read_parameters(tmp_path / name)


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists)


@given(st.dictionaries(st.text(), VALUES, max_size=3))
@settings(max_examples=40, deadline=None)
def test_whatever_stands_in_a_file_it_is_parameters_or_refused(values):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
        try:
            read_parameters(path)
        except ParameterError as error:
            assert str(error).isprintable()
