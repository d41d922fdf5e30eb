"""Study folders made by hand, and what a reader finds on their page."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from fer_lib.errors import ParameterError, RunError
from fer_lib.parameters import build_parameters, read_parameters, write_parameters
from fer_lib.report.page import write_report
from fer_lib.training import runs

BASELINE, STAGE_1, STAGE_3 = "resnet14v2", "resnet14v2-nl1", "resnet14v2-nl3"
VOID = {"meta", "link", "img", "line", "circle", "br", "hr", "input"}


class Page(HTMLParser):
    """The page as a list of (tag, attributes), and its text; fails where tags are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def write_run(study, study_parameters, variant, correct, splits=("validation",), seed=0, images=100, **identity):
    """A finished run that has the first `correct` images of each split right."""
    folder = study / "runs" / variant / f"seed-{seed}"
    folder.mkdir(parents=True)
    identity = {
        "variant": variant,
        "seed": seed,
        "parameters": study_parameters.training_hash(),
        "data": "d" * 64,
        "results_version": runs.RESULTS_VERSION,
    } | identity
    (folder / "config.json").write_text(json.dumps({"variant": variant, "seed": seed, "identity": identity}))
    (folder / "history.csv").write_text("epoch,loss\n1,2.0\n")
    (folder / "seconds.csv").write_text("epoch,seconds\n1,3600\n")
    labels = np.arange(images) % 7
    named = np.where(np.arange(images) < correct, labels, (labels + 1) % 7)
    arrays = {}
    for split in splits:
        arrays[f"{split}_ids"] = np.array([f"{split}/{i:03d}" for i in range(images)])
        arrays[f"{split}_labels"] = labels
        arrays[f"{split}_probabilities"] = np.eye(7, dtype="float32")[named]
    np.savez(folder / "predictions.npz", **arrays)
    runs.finish(folder, identity, epochs=1)


def png(width=40, height=20):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def study(tmp_path):
    """A study without runs: parameters, data, environment, a table, a figure and a notebook."""
    parameters = build_parameters({"study": "tiny", "title": "Blocks & <b>bold</b> claims", "protocol": "paper"})
    (tmp_path / "params.yaml").write_text(write_parameters(parameters))
    counts = {"train": {"happy": 1200, "sad": 34, "total": 1234}}
    data = {"fingerprint": "d" * 64, "counts": counts, "notes": ["108 images are copies."]}
    (tmp_path / "data.json").write_text(json.dumps(data))
    environment = {
        "python": "3.11.9", "platform": "Linux x86_64", "processor": "A processor", "cpus": 2, "gpus": [],
        "backend": "tensorflow", "packages": {"keras": "3.14.7"},
        "git": {"commit": "c0ffee" * 6, "changed": False},
    }  # fmt: skip
    (tmp_path / "environment.json").write_text(json.dumps(environment))
    for name in ("tables", "figures", "notebooks"):
        (tmp_path / name).mkdir()
    (tmp_path / "tables" / "2.1-accuracy.csv").write_text("variant,n,accuracy,p_value\nresnet14v2,1432,0.61728,\n")
    words = {"caption": "Accuracy by `variant`, a < b.", "formats": {"accuracy": "{:.1%}"}}
    (tmp_path / "tables" / "2.1-accuracy.json").write_text(json.dumps(words))
    (tmp_path / "tables" / "10.1-late.csv").write_text("a\n1\n")
    (tmp_path / "figures" / "1.2-curves.png").write_bytes(png())
    words = {"caption": "Loss over epochs.", "alt": 'A falling "curve".'}
    (tmp_path / "figures" / "1.2-curves.json").write_text(json.dumps(words))
    picture = new_output(
        "display_data",
        data={"image/png": base64.b64encode(png()).decode()},
        metadata={"image/png": {"alt": "From the notebook."}},
    )
    cells = [
        new_markdown_cell("# 01 · The plain network\n\nA question with a [link](https://example.org)."),
        new_code_cell("x = 1", outputs=[picture, new_output("stream", text="a < b\n")]),
        new_markdown_cell("## A part"),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "01_baseline.ipynb")
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "02_next.failed.ipynb")
    return tmp_path


def parameters_of(study):
    return read_parameters(study / "params.yaml")


def page_of(study):
    path = write_report(study)
    assert path == study / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def finish(study):
    parameters = parameters_of(study)
    for variant, number in zip((BASELINE, STAGE_1, STAGE_3), (60, 62, 85), strict=True):
        write_run(study, parameters, variant, number)


def test_the_page_loads_nothing_and_every_picture_is_described(study):
    finish(study)
    page = page_of(study)
    assert not page.all("script") and not page.all("iframe") and not page.all("object")
    for tag, attributes in page.tags:
        for name in ("src", "srcset", "poster", "data"):
            assert attributes.get(name, "data:").startswith("data:"), tag
        if tag != "a":
            assert attributes.get("href", "data:").startswith("data:"), tag
    source = (study / "report.html").read_text()
    assert not re.findall(r"@import|url\((?!data:)", source)
    assert [image["alt"] for image in page.all("img")] == ['A falling "curve".', "From the notebook."]
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("meta")[1]["content"].startswith("width=device-width")


def test_the_answer_comes_first_and_its_numbers_are_those_of_the_runs(study):
    finish(study)
    page = page_of(study)
    order = [attributes["id"] for attributes in page.all("section")]
    assert order == ["answer", "data", "tables", "figures", "notebooks", "environment", "parameters"]
    assert "One seed cannot answer whether non-local blocks help" in page.text
    # 60, 62 and 85 of 100 right; Wilson's interval of 60 of 100 is 50.2 to 69.1.
    assert "plain 60.0 % 50.2 to 69.1 %" in page.text
    assert "stage 1 62.0 %" in page.text and "+2.0" in page.text
    # The 25 images that differ all go one way: exact McNemar 2 / 2^25 < 0.001.
    assert re.search(r"stage 3 85\.0 % .* \+25\.0 .* < 0\.001", page.text)
    assert "100 validation images" in page.text
    assert "3 of 3 finished" in page.text and "3 h 00 min in all" in page.text
    assert "Made with Keras 3.14.7 on tensorflow; 2 CPUs, no GPU" in page.text


@pytest.mark.parametrize(
    ("dataset", "protocol", "said", "unsaid"),
    [
        ("fer2013", "paper", "The people shown were not asked.", "Swed"),
        ("kdef", "random", "who agreed to be photographed", "were not asked"),
        ("synthetic", "official", "nobody is shown", "were not asked"),
    ],
)
def test_what_the_numbers_cannot_say_depends_on_the_faces(study, dataset, protocol, said, unsaid):
    parameters = parameters_of(study).model_copy(update={"dataset": dataset, "protocol": protocol})
    (study / "params.yaml").write_text(write_parameters(parameters))
    text = page_of(study).text
    assert said in text and unsaid not in text
    assert "A face is no reading of what somebody feels" in text


def test_where_runs_were_trained_is_said_when_they_were_evaluated_elsewhere(study):
    finish(study)
    path = study / "runs" / STAGE_1 / "seed-0" / "config.json"
    elsewhere = {"packages": {"keras": "3.15.1"}, "backend": "jax", "gpus": ["A GPU", "A GPU"], "cpus": 16}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"environment": elsewhere}))
    text = page_of(study).text
    assert "Trained on Keras 3.15.1 on jax; A GPU, A GPU" in text
    assert "Evaluated on Keras 3.14.7 on tensorflow; 2 CPUs, no GPU" in text


def test_the_test_split_is_what_counts_once_every_run_has_opened_it(study):
    parameters = parameters_of(study)
    write_run(study, parameters, BASELINE, 50, ("validation", "test"))
    write_run(study, parameters, STAGE_1, 50, ("validation", "test"))
    assert "100 test images" in page_of(study).text
    write_run(study, parameters, STAGE_3, 50)
    assert "100 validation images" in page_of(study).text


def test_runs_of_other_parameters_other_data_or_no_variant_of_the_study_are_left_out(study):
    parameters = parameters_of(study)
    write_run(study, parameters, BASELINE, 60)
    write_run(study, parameters, STAGE_1, 99, parameters="0" * 64)
    write_run(study, parameters, STAGE_3, 99, data="0" * 64)
    write_run(study, parameters, "resnet14v2-nl2", 99)
    page = page_of(study)
    assert "1 of 3 finished" in page.text and "60.0 %" in page.text
    assert "99.0 %" not in page.text
    assert "No answer yet." in page.text and "2 of the study’s runs have not finished" in page.text


def test_whole_numbers_with_gaps_stay_whole(study):
    table = study / "tables" / "3.1-parameters.csv"
    table.write_text("at,built,published\nplain,23527431,23527431\nstage 1,5,\n")
    table.with_suffix(".json").write_text('{"formats": {"published": "{:,}"}}')
    assert "plain 23,527,431 23,527,431 stage 1 5 –" in page_of(study).text


def test_tables_figures_and_notebooks(study):
    page = page_of(study)
    assert "No run of this study has finished yet." in page.text
    assert "Blocks & <b>bold</b> claims" in page.text  # escaped, not bold
    assert (
        "Table 2.1. Accuracy by variant , a < b. variant n accuracy p value resnet14v2 1,432 61.7% –" in page.text
    )
    ids = [attributes["id"] for attributes in page.all("figure") if "id" in attributes]
    assert ids == ["table-2.1-accuracy", "table-10.1-late", "figure-1.2-curves"]
    assert "Figure 1.2. Loss over epochs." in page.text
    assert [attributes["id"] for attributes in page.all("details") if "id" in attributes] == ["notebook-01"]
    assert page.text.count("01 · The plain network") == 2  # in the contents and above the notebook
    assert "a < b" in page.text
    assert {"href": "https://example.org"}.items() <= page.all("a")[-1].items()
    assert "108 images are copies." in page.text and "1,234" in page.text
    assert "3.14.7" in page.text and "learning_rate 0.001" in page.text


def test_headings_lie_below_those_of_the_page(study):
    page = page_of(study)
    assert len(page.all("h1")) == 1
    assert len(page.all("h2")) == 7
    assert len(page.all("h4")) == 1  # `## A part`


def test_a_bare_folder_and_a_damaged_one(study, tmp_path):
    with pytest.raises(ParameterError, match=r"no study's folder"):
        write_report(tmp_path / "nowhere")
    (study / "figures" / "1.2-curves.png").write_bytes(b"no picture")
    with pytest.raises(RunError, match="A figure cannot be read"):
        write_report(study)


def test_parameters_alone_are_enough(tmp_path):
    (tmp_path / "params.yaml").write_text(write_parameters(build_parameters({})))
    page = page_of(tmp_path)
    assert [attributes["id"] for attributes in page.all("section")] == ["answer", "environment", "parameters"]
