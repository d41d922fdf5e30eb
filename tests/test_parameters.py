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


def write(folder, **values):
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_projects_own_studies(path):
    parameters = read_parameters(path)
    assert parameters.study == path.stem
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("Question", "Data", "Device"):
        assert any(line.startswith(f"# {word} ") for line in header), f"{path.name} does not say its {word}"


def test_the_papers_study_is_the_papers():
    # Section 3.2 of the paper and its Table I.
    paper = read_parameters(STUDIES[0].with_name("fer2013_paper.yaml"))
    assert (paper.image_size, paper.batch_size, paper.epochs) == (96, 64, 50)
    assert (paper.width, paper.stem, paper.pooling, paper.shift, paper.flip) == (1.0, "imagenet", "max", 0.1, True)
    stages = ["", "-nl1", "-nl2", "-nl3", "-nl4", "-nl12", "-nl34"]
    assert sorted(paper.variants) == sorted(f"resnet50v2{stage}" for stage in stages)
    official = read_parameters(STUDIES[0].with_name("fer2013_official.yaml"))
    differ = {key for key, value in paper.model_dump().items() if getattr(official, key) != value}
    assert differ == {"study", "title", "protocol"}


def test_an_unknown_key_names_the_near_miss(tmp_path):
    with pytest.raises(ParameterError, match=r"unknown\. Where: .*, key epoch\. Did you mean `epochs`\?"):
        read_parameters(write(tmp_path, epoch=3))


def test_an_unknown_key_that_is_near_nothing_says_where_all_are(tmp_path):
    with pytest.raises(ParameterError, match="`fer-study parameters` lists all"):
        read_parameters(write(tmp_path, xyzzy=3))


def test_1e_3_is_text_in_yaml_and_the_error_says_so(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("learning_rate: 1e-3\n")
    with pytest.raises(
        ParameterError, match=r"key learning_rate.*Found: '1e-3'\. YAML reads 1e-3 as text: write 1\.0e-3"
    ):
        read_parameters(path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epochs": "3"}, "key epochs. Expected: a whole number. Found: '3'."),
        ({"epochs": 2.5}, "key epochs"),
        ({"epochs": True}, "key epochs"),
        ({"epochs": 0}, "key epochs.*greater than or equal to 1"),
        ({"flip": 1}, "key flip. Expected: true or false. Found: 1."),
        ({"seeds": [0, -1]}, r"key seeds\.1"),
        ({"seeds": []}, r"key seeds\. Expected: at least one, each once"),
        ({"seeds": [1, 1]}, "each once"),
        ({"study": "My study"}, "key study"),
        ({"study": "../up"}, "key study"),
        ({"optimizer": "adamw"}, "key optimizer.*'sgd' or 'adam'"),
        ({"dropout": 1.0}, "key dropout"),
        ({"image_size": 8}, "key image_size"),
        ({"variants": ["resnet14v2-nl1"]}, "exactly one network without blocks"),
        ({"variants": ["resnet14v2", "resnet26v2"]}, "exactly one network without blocks"),
        ({"variants": ["resnet14v2", "resnet14v2-nl3", "resnet14v2-nl3-embedded_gaussian"]}, "each variant once"),
        ({"variants": ["resnet14v2", "resnet14v2-nl7"]}, "^A variant names its stages wrongly.*Found: nl7"),
        ({"dataset": "kdef", "protocol": "paper"}, "kdef has protocol random or subject, found protocol: paper"),
        ({"colour": True}, "colour needs dataset: kdef or folders"),
        ({"warmup_epochs": 2.0, "epochs": 2}, r"warmup_epochs \(2\.0\) must be below epochs \(2\)"),
        ({"angles": []}, r"key angles\. Expected: at least one, each once"),
    ],
)
def test_values_that_cannot_be_meant(values, words):
    with pytest.raises(ParameterError, match=words):
        build_parameters(values)


def test_several_problems_are_counted():
    with pytest.raises(ParameterError, match="1 more after this one"):
        build_parameters({"epochs": 0, "batch_size": 0})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no parameters"),
        ("- a\n- b\n", "no parameters"),
        ("a: 1\nb: [1\n", "not YAML.*params.yaml, line 3, column 1.*Found: while parsing"),
        ("a: 1\na: 2\n", "line 2, column 1. Found: the key a is there twice"),
        (b"\xff\xfe\x00", "not YAML"),
    ],
)
def test_files_that_are_no_parameters(tmp_path, content, words):
    path = tmp_path / "params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ParameterError, match=words):
        read_parameters(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(ParameterError, match=r"cannot be read.*No such file"):
        read_parameters(tmp_path / "none.yaml")


def test_overrides_win_and_are_yaml(tmp_path):
    path = write(tmp_path, epochs=3)
    parameters = read_parameters(path, ["epochs=5", "seeds=[0, 1]", "flip = false", "title=a=b"])
    assert (parameters.epochs, parameters.seeds, parameters.flip, parameters.title) == (5, [0, 1], False, "a=b")
    for override, words in (
        ("epochs", "KEY=VALUE"),
        ("epochs=[1", "no YAML value"),
        ("epoch=1", "Where: --set, key epoch. Did you mean `epochs`"),
    ):
        with pytest.raises(ParameterError, match=words):
            read_parameters(path, [override])


def test_what_is_written_is_read_the_same(tmp_path):
    parameters = build_parameters({"learning_rate": 1e-05, "variants": ["resnet50v2", "resnet50v2-nl34"]})
    (tmp_path / "params.yaml").write_text(write_parameters(parameters))
    assert read_parameters(tmp_path / "params.yaml") == parameters


def test_cells_give_every_variant_early():
    parameters = build_parameters({"variants": ["resnet14v2", "resnet14v2-nl3"], "seeds": [4, 7]})
    assert parameters.cells() == [
        ("resnet14v2", 4), ("resnet14v2-nl3", 4), ("resnet14v2", 7), ("resnet14v2-nl3", 7)
    ]  # fmt: skip
    assert parameters.baseline == "resnet14v2"


def test_the_hash_is_of_what_the_numbers_depend_on():
    base = Parameters().training_hash()
    for key, value in {"study": "other", "seeds": [3], "data": "x", "steps_per_execution": 8}.items():
        assert build_parameters({key: value}).training_hash() == base
    changed = {"epochs": 3, "batch_size": 64, "width": 0.5, "precision": "mixed_bfloat16", "flip": False}
    hashes = {build_parameters({key: value}).training_hash() for key, value in changed.items()}
    assert len(hashes | {base}) == len(changed) + 1


def test_the_hash_is_of_the_keys_that_are_marked_and_not_the_default():
    for name, field in Parameters.model_fields.items():
        marked = bool(field.json_schema_extra)
        other = Parameters.model_construct(**{name: "another value"})
        assert (other.training_hash() != Parameters().training_hash()) == marked, name
    assert build_parameters({"epochs": 2}).training_hash() == Parameters().training_hash()  # the default


def test_the_earlier_flag_for_subsampling_is_read():
    assert build_parameters({"subsample": False}).subsample is None
    assert build_parameters({"subsample": True}).subsample == "keys"
    with pytest.raises(ParameterError, match=r"key subsample.*'keys' or 'input'"):
        build_parameters({"subsample": "values"})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"variants": ["resnet14v2", "resnet14v2-nl1-before_last"]}, "at least 2 bottlenecks in each stage"),
        ({"image_size": 16, "subsample": "keys", "variants": ["resnet14v2", "resnet14v2-nl4"]}, "1 x 1 positions"),
    ],
)
def test_networks_that_cannot_be_built_are_refused_before_anything_runs(values, words):
    with pytest.raises(ParameterError, match=words):
        build_parameters(values)


def test_keys_that_make_another_study():
    base = Parameters()
    for key, value in {"title": "x", "variants": ["resnet14v2"], "seeds": [3], "data": "x"}.items():
        assert base.differences(build_parameters({key: value})) == []
    assert base.differences(build_parameters({"epochs": 3, "protocol": "paper"})) == ["protocol", "epochs"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1: 2", "key 1. Expected: Keys should be strings"),
        ("? [a]\n: 1", "unhashable key"),
        ("null: 1", "key None. Expected: Keys should be strings"),
        ("epochs: 1\nepochs: 2", "epochs is there twice"),
        ("a: &x [1]\nb: *x", "anchors, aliases and tags"),
        ("epochs: !!int 0x1f", "anchors, aliases and tags"),
        ("epochs: 1\n---\nepochs: 1", "single document"),
        ("epochs: " + "9" * 5000, "key epochs"),
        ("epochs: 0x" + "f" * 100_000, "key epochs"),
        ("epochs: 1:30", "key epochs"),
        ("epochs: 1000000000000", "key epochs"),
        ("steps_per_execution: 1000000000000", "key steps_per_execution"),
        ("generated_images: 100000000", "key generated_images"),
        ("epochs: 2020-99-99", "key epochs"),
        ("flip: yes", "key flip"),
        ("learning_rate: .inf", "key learning_rate"),
        ("learning_rate: .nan", "key learning_rate"),
        ("learning_rate: 1.0e999", "key learning_rate"),
        ("seeds: [4294967296]", r"key seeds\.0"),
        ("<<: {epochs: 3}", "unknown"),
        ("a: " + "[" * 5000, "recursion"),
        ("- a\n" * 20_000, "no parameters"),
        ('study: "a\\x1b[31m"', "key study"),
        ("epochs: 1\x00", "not YAML"),
    ],
)
def test_hostile_files_are_one_short_printable_line(tmp_path, line, words):
    (tmp_path / "params.yaml").write_text(line)
    with pytest.raises(ParameterError, match=words) as error:
        read_parameters(tmp_path / "params.yaml")
    assert str(error.value).isprintable() and len(str(error.value)) < 1500


@pytest.mark.parametrize("override", ["=", "=3", " = 3", "seeds=" + "[" * 5000, "epochs=0x1f", "epochs=*x"])
def test_hostile_overrides(tmp_path, override):
    with pytest.raises(ParameterError) as error:
        read_parameters(write(tmp_path, epochs=3), [override])
    assert str(error.value).isprintable()


def test_only_small_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * 1_000_001)
    (tmp_path / "link").symlink_to("/dev/zero")
    for name, words in (("pipe", "not a regular file"), ("large", "1,000,001 bytes"), ("link", "not a regular")):
        with pytest.raises(ParameterError, match=words):
            read_parameters(tmp_path / name)


@given(
    st.dictionaries(
        st.text(),
        st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists),
        max_size=3,
    )
)
@settings(max_examples=40, deadline=None)
def test_whatever_stands_in_a_file_it_is_parameters_or_refused(values):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
        try:
            read_parameters(path)
        except ParameterError as error:
            assert str(error).isprintable()
