"""Study folders made by hand, and what a reader finds on their page."""

import base64
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import struct
import zlib
from html.parser import HTMLParser

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from test_readme import dead_links
from update_readme import BEGIN, END, PREREGISTERED, update_readme

from fer_lib.cli import main
from fer_lib.parameters import build_parameters, read_parameters, write_parameters
from fer_lib.report.page import write_report
from fer_lib.training.runs import Predictions, finish, run_folder, run_identity, write_json, write_predictions

BASELINE, STAGE_1, STAGE_3 = "resnet14v2", "resnet14v2-nl1", "resnet14v2-nl3"
RUN = f"runs/{BASELINE}/seed-0"
VOID = {"meta", "link", "img", "br", "hr"}


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


def write_run(study, of, variant, correct, splits=("validation",), images=100):
    """A finished run that classifies the first `correct` images of each split correctly."""
    folder, identity = run_folder(study, variant, 0), run_identity(of, variant, 0, "d" * 64)
    config = {"variant": variant, "seed": 0, "identity": identity, "parameters": of.model_dump()}
    write_json(folder / "config.json", config)
    (folder / "history.csv").write_text("epoch,loss\n1,2.0\n")
    (folder / "seconds.csv").write_text("epoch,seconds\n1,3600\n")
    y_true = np.arange(images) % 7
    y_pred = np.where(np.arange(images) < correct, y_true, (y_true + 1) % 7)
    ids, probabilities = np.array([f"{i:03d}" for i in range(images)]), np.eye(7, dtype="float32")[y_pred]
    write_predictions(folder, {split: Predictions(ids, y_true, probabilities) for split in splits})
    finish(folder, identity, epochs=1)
    return folder


def png(colour="teal"):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), colour).save(buffer, "PNG")
    return buffer.getvalue()


def finding(text, question=None, rank=1):
    place = {"question": question, "rank": rank} if question else {}
    return new_output("display_data", data={"text/markdown": f"**Finding.** {text}"}, metadata=place)


@pytest.fixture
def study(tmp_path):
    """A study without runs: parameters, data, environment, tables, figures and notebooks."""
    folder = tmp_path / "outputs" / "tiny"
    for name in ("tables", "figures", "notebooks"):
        (folder / name).mkdir(parents=True)
    plan = "plan.md in abc123. Departures: <none>."
    words = {"title": "Blocks & <b>bold</b> claims", "preregistration": plan}
    parameters = build_parameters({"study": "tiny", "protocol": "paper", **words})
    (folder / "params.yaml").write_text(write_parameters(parameters))
    counts = {"train": {"happy": 1200, "split": 34, "total": 1234}}
    write_json(folder / "data.json", {"fingerprint": "d" * 64, "counts": counts, "notes": ["108 are copies."]})
    environment = {"cpus": 2, "gpus": [], "backend": "tensorflow", "packages": {"keras": "3.14.7"}}
    write_json(folder / "environment.json", environment | {"git": {"commit": "c0ffee", "changed": False}})
    write_table(
        folder, "2.1-accuracy", "variant,n,accuracy,p_value,class\n"
        "resnet14v2,1432,0.61728,,NA\nresnet14v2-nl3,1432,0.7,0.0001,$x$\n",
        caption="Accuracy by `variant`, a < b, $x$.", question="stage", rank=2,
    )  # fmt: skip
    write_table(folder, "2.2-more", "a,difference\n1,-0.25\n", question="stage", rank=3)
    write_table(folder, "10.1-late", "class,n\n007,1\n1e3,2\n")
    write_figure(folder, "2.1-curves", png(), caption="Loss.", alt='A falling "curve".', question="stage")
    write_figure(folder, "2.3-block", png("blue"), caption="Block.", alt="Blue.", question="help", rank=2)
    write_figure(folder, "2.4-differences", png("green"), caption="All.", alt="All [of] them.", question="help")
    outputs = [finding("The loss *falls*.", "stage", 2), finding("It *matters*.", "stage"), finding("Unplaced.")]
    cells = [
        new_markdown_cell("# 02 · Per stage\n\nA question with a [link](https://example.org)."),
        new_code_cell("x = 1", outputs=[*outputs, new_output("stream", text="a < b\n")]),
    ]
    nbformat.write(new_notebook(cells=cells), folder / "notebooks" / "02_per_stage.ipynb")
    nbformat.write(new_notebook(cells=cells), folder / "notebooks" / "03_next.failed.ipynb")
    return folder


def write_table(folder, name, content, **words):
    (folder / "tables" / f"{name}.csv").write_text(content)
    write_json(folder / "tables" / f"{name}.json", words)


def write_figure(folder, name, content, **words):
    (folder / "figures" / f"{name}.png").write_bytes(content)
    write_json(folder / "figures" / f"{name}.json", words)


def parameters_of(study):
    return read_parameters(study / "params.yaml")


def page_of(study):
    path = write_report(study)
    assert path == study / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def finish_all(study):
    for variant, number in zip((BASELINE, STAGE_1, STAGE_3), (60, 62, 85), strict=True):
        write_run(study, parameters_of(study), variant, number)


def test_the_page_loads_nothing_and_every_image_is_described(study):
    page = page_of(study)
    assert not page.all("iframe") and not page.all("object")
    for tag, attributes in page.tags:
        for name in {"src", "srcset", "poster", "data", "href"} - ({"href"} if tag == "a" else set()):
            assert attributes.get(name, "data:").startswith("data:"), tag
    assert not re.findall(r"@import|url\((?!data:)", (study / "report.html").read_text())
    assert [image["alt"] for image in page.all("img")] == ["Blue.", "All [of] them.", 'A falling "curve".']
    assert page.all("html")[0]["lang"] == "en"


def test_the_policy_allows_the_pages_own_script_and_style_and_no_other(study):
    write_report(study)
    text = (study / "report.html").read_text(encoding="utf-8")
    (policy,) = [meta["content"] for meta in Page(text).all("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; img-src data:; ") and "unsafe" not in policy
    for tag in ("script", "style"):
        ((content,),) = [re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_answer_comes_first_and_its_numbers_are_those_of_the_runs(study):
    finish_all(study)
    page = page_of(study)
    assert page.text.index("One seed cannot tell.") < page.text.index("One paper")
    # 60, 62 and 85 of 100 right; Wilson's interval of 60 of 100 is 50.2 to 69.1.
    assert "baseline 60.0 50.2 to 69.1 – – –" in page.text
    assert "stage 1 62.0" in page.text and "+2.0" in page.text
    # The 25 images that differ all go one way: exact McNemar 2 / 2^25 < 0.001.
    assert re.search(r"stage 3 85\.0 .* \+25\.0 .* < 0\.001", page.text)
    assert "3 of 3 finished, 2 epochs each, 3.0 h in all" in page.text
    assert "Evaluated on Keras 3.14.7 on tensorflow; 2 CPUs, no GPU" in page.text
    assert "commit c0ffee" in page.text
    assert "Preregistered plan.md in abc123. Departures: <none>." in page.text


def test_sections_are_questions_and_what_is_shown_follows_question_and_rank(study):
    page = page_of(study)
    assert [attributes["id"] for attributes in page.all("h2")] == ["help", "stage", "data", "others", "made"]
    figures = [attributes["id"] for attributes in page.all("figure")]
    assert figures == [
        "figure-2.3-block", "figure-2.4-differences", "figure-2.1-curves", "table-2.1-accuracy", "table-2.2-more",
        "counts", "table-10.1-late",
    ]  # fmt: skip
    assert page.text.index("It matters .") < page.text.index("The loss falls .")
    assert "Unplaced." not in page.text and "108 are copies." in page.text


def test_every_link_of_the_page_leads_somewhere(study):
    page = page_of(study)
    links = [attributes["href"] for attributes in page.all("a")]
    assert not list(dead_links(study / "report.html"))
    (study / "notebooks" / "02_per_stage.ipynb").rename(study / "elsewhere.ipynb")
    assert len(list(dead_links(study / "report.html"))) == 1
    assert "notebooks/02_per_stage.ipynb" in links and "#figure-2.1-curves" in links
    csv = next(a["href"] for a in page.all("a") if a.get("download") == "2.1-accuracy.csv")
    assert base64.b64decode(csv.partition(",")[2]) == (study / "tables/2.1-accuracy.csv").read_bytes()


def test_tables_have_readable_headers_and_class_names_are_text(study):
    page = page_of(study)
    assert "Accuracy by variant , a < b, $x$." in page.text
    header = "network images accuracy (%) p class"
    assert f"{header} baseline 1,432 61.7 – NA stage 3 1,432 70.0 < 0.001 $x$" in page.text
    assert "a difference (pp) 1 −25.0" in page.text
    assert "class images 007 1 1e3 2" in page.text
    assert "class train happy 1,200 split 34 total 1,234" in page.text
    right = [attributes.get("class") for attributes in page.all("th") if attributes["scope"] == "col"]
    assert right[:5] == [None, "number", "number", "number", None]


def test_a_figure_to_touch_carries_its_maps_escaped_and_stays_a_figure(study):
    maps = {"faces": [{"name": 'a"><b>', "image": "data:image/png;base64,AAAA"}], "networks": []}
    write_figure(study, "6.5-explorer", png("red"), alt="Still.", question="attention", touch=maps)
    page = page_of(study)
    (figure,) = [figure for figure in page.all("figure") if "data-touch" in figure]
    assert json.loads(figure["data-touch"]) == maps
    assert "Still." in [image["alt"] for image in page.all("img")]


def test_headings_have_no_gaps_and_the_title_is_text(study):
    page = page_of(study)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert "Blocks & <b>bold</b> claims" in page.text and not page.all("b")


@pytest.mark.parametrize(
    ("dataset", "protocol", "said", "unsaid"),
    [
        ("fer2013", "paper", "The people shown were not asked.", "Swed"),
        ("kdef", "random", "who agreed to be photographed", "were not asked"),
        ("synthetic", "official", "nobody is shown", "were not asked"),
        ("folders", "random", "This study does not record", "nobody is shown"),
    ],
)
def test_what_the_numbers_cannot_say_depends_on_the_faces(study, dataset, protocol, said, unsaid):
    parameters = parameters_of(study).model_copy(update={"dataset": dataset, "protocol": protocol})
    (study / "params.yaml").write_text(write_parameters(parameters))
    text = page_of(study).text
    assert said in text and unsaid not in text


def test_the_test_split_is_scored_once_every_run_has_opened_it(study):
    parameters = parameters_of(study)
    write_run(study, parameters, BASELINE, 50, ("validation", "test"))
    write_run(study, parameters, STAGE_1, 50, ("validation", "test"))
    assert "on 100 test images" in page_of(study).text
    write_run(study, parameters, STAGE_3, 50)
    assert "on 100 validation images" in page_of(study).text


def test_other_runs_are_left_out_and_may_be_broken(study):
    parameters = parameters_of(study)
    write_run(study, parameters, BASELINE, 60)
    write_run(study, parameters.model_copy(update={"epochs": 9}), STAGE_1, 99)
    (write_run(study, parameters, "resnet14v2-nl2", 99) / "predictions.npz").write_bytes(b"broken")
    page = page_of(study)
    assert "1 of 3 finished" in page.text and "baseline 60.0" in page.text
    assert "99.0" not in page.text
    assert "No network with non-local blocks has been compared with the baseline." in page.text


def test_parameters_alone_are_enough(tmp_path):
    (tmp_path / "params.yaml").write_text(write_parameters(build_parameters({})))
    page = page_of(tmp_path)
    assert [attributes["id"] for attributes in page.all("h2")] == ["help", "data", "made"]
    assert "No answer yet. No run of this study has finished." in page.text


# The paper's setup, with the baseline and stages 3-4.
PAPER = {
    "study": "fer2013_paper", "dataset": "fer2013", "protocol": "paper", "image_size": 96, "pooling": "max",
    "width": 1.0, "stem": "imagenet", "batch_size": 64, "epochs": 50,
    "variants": ["resnet50v2", "resnet50v2-nl34"],
}  # fmt: skip


def test_the_papers_table_stands_first_as_soon_as_one_of_its_networks_is_trained(study, tmp_path):
    finish_all(study)
    (readme := tmp_path / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    parameters, folder = build_parameters(PAPER), study.with_name("fer2013_paper")
    folder.mkdir()
    (folder / "params.yaml").write_text(write_parameters(parameters))
    update_readme(readme, study)
    assert "Table I beside" not in readme.read_text() and "Table I beside" not in page_of(folder).text
    write_run(folder, parameters, "resnet50v2", 55)
    write_run(folder, parameters, "resnet50v2-nl34", 60)
    # 45 of 100 images have two wrong decisions of seven, so BinaryAccuracy is 1 - 90 / 700; then 1 - 80 / 700.
    baseline = r"baseline 89\.21 87\.1 55\.0 45\.2 to 64\.4 – – –"
    assert re.search(rf"{baseline} stages 3-4 90\.13 88\.6 60\.0 .* \+5\.0 .* 0\.062", page_of(folder).text)
    update_readme(readme, study)
    block = readme.read_text().partition(BEGIN)[2]
    assert re.search(r"Table I beside.* 1 seed, 100 images.*\| 89\.21 \| 87\.1 \| 55\.0.*One seed", block, re.S)


def test_the_readme_has_verdict_answer_and_table_between_the_marks(study, tmp_path):
    finish_all(study)
    planned = shutil.copytree(study, study.with_name(PREREGISTERED))
    (planned / RUN / "done.json").unlink()
    (readme := tmp_path / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    update_readme(readme, study)
    lines = readme.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "before" and lines[-1] == "after" and "old" not in lines
    assert lines[2].startswith("**One seed cannot tell.** ") and len(lines[2].split()) <= 90
    assert lines[4].startswith("One paper (Xue")
    table = lines.index("|---|---:|---:|---:|---:|---:|")
    assert lines[table + 1] == "| baseline | 60.0 | 50.2\u00a0to\u00a069.1 | – | – | – |"
    assert lines[-3].startswith("![All of them.](") and lines[-3].endswith("figures/2.4-differences.png)")
    finish_all(planned)
    update_readme(readme, study)
    second = readme.read_text(encoding="utf-8").splitlines()[4]
    assert re.match(r"\*\*Preregistered: .*bold.* One seed cannot tell\.\*\* .*_power/report\.html\)", second)


HOSTILE = 'x<img src=x onerror=alert(1)><script>alert(1)</script>"onload="alert(1)'


def test_no_text_from_files_becomes_markup(study):
    parameters = parameters_of(study).model_copy(update={"title": HOSTILE})
    (study / "params.yaml").write_text(write_parameters(parameters))
    finish_all(study)
    table = pd.DataFrame({"id": [f"{HOSTILE}.jpg", "b"], HOSTILE: ["c", HOSTILE]})
    links = "[a](javascript:alert(1)) [b](data:text/html,x) <a href=x onclick=y> ![c](https://example.org/x.png)"
    words = {"caption": f"{HOSTILE} {links}", "alt": HOSTILE, "touch": {HOSTILE: HOSTILE}}
    write_table(study, "0.1-images", table.to_csv(index=False), **words)
    write_table(study, "0.2<img src=x onerror=alert(1)>", "a\n1\n", caption=HOSTILE)
    write_figure(study, "0.1-<svg onload=alert(1)>", png("pink"), question=HOSTILE, **words)
    write_json(study / "data.json", {"counts": {HOSTILE: {HOSTILE: 1}}, "notes": [HOSTILE + links]})
    write_json(study / "environment.json", {"packages": {"keras": HOSTILE, HOSTILE: "1"}, "gpus": [HOSTILE]})
    outputs = [finding(HOSTILE + links, "stage")]
    cells = [new_markdown_cell(f"# {HOSTILE}\n"), new_code_cell(HOSTILE, outputs=outputs)]
    nbformat.write(new_notebook(cells=cells), study / "notebooks" / "00_data<img src=x onerror=alert(1)>.ipynb")
    page = page_of(study)
    assert len(page.all("script")) == 1 and not page.all("script")[0]
    assert not {"iframe", "svg", "object", "base"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert not re.match(r"\s*(javascript|vbscript|data:(?!text/csv;|,)):?.", attributes.get("href", ""))


def huge_png():
    """The header of a PNG of 50,000 x 50,000 pixels."""
    header = struct.pack(">4sIIBBBBB", b"IHDR", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.json", b'{"counts": 3}'), ("data.json", b"\xff\xfe"), ("data.json", None),
        ("environment.json", b'{"packages": [1]}'), ("environment.json", b"[" * 100_000),
        ("tables/2.1-accuracy.json", b'{"caption": ["{}"]}'), ("tables/2.1-accuracy.csv", b""),
        ("tables/2.1-accuracy.csv", b"a,b\n1,2,3\n1,2,3,4\n"), ("tables/2.1-accuracy.csv", b"accuracy\nmany\n"),
        ("tables/2.1-accuracy.csv", None), ("figures/2.1-curves.json", b'{"touch": 3}'),
        ("figures/2.1-curves.png", png()[:60]), ("figures/2.1-curves.png", huge_png()),
        ("notebooks/02_per_stage.ipynb", b'{"cells": 3, "nbformat": 4}'),
        ("notebooks/02_per_stage.ipynb", b"\xff"),
        (f"{RUN}/predictions.npz", b"PK\x03\x04"), (f"{RUN}/seconds.csv", b"\x00"),
        (f"{RUN}/config.json", b"[]"), (f"{RUN}/done.json", b"{}"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_in_one_paragraph(study, capsys, name, content):
    finish_all(study)
    (study / name).unlink(missing_ok=True)
    os.mkfifo(study / name) if content is None else (study / name).write_bytes(content)
    assert main(["report", str(study)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert name.split("/")[-1] in line and len(line) < 600
