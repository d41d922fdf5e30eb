"""A study as a notebook sees it: parameters, images, runs, and where figures and tables go.

IPython is imported where something is shown: a run that is trained on a rented machine needs none.
"""

import os
import platform
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_lib import datasets
from fer_lib.display import QUESTIONS, are_numeric, count, network, percent, readable
from fer_lib.environment import keras_backend, package_versions
from fer_lib.errors import DataError, ParameterError
from fer_lib.files import find_file, project, write_atomically
from fer_lib.parameters import Parameters, build_parameters, read_parameters, write_parameters
from fer_lib.training import runs

_PAPERMILL = "papermill -p passes a list as text: write -y 'seeds: [0, 1]'; and 007 as 7: write -r study 007"


@dataclass(frozen=True)
class Study:
    """One study, opened by a notebook; its folder is `outputs/<study>`."""

    parameters: Parameters
    folder: Path
    data: str | None = None  # path of the data; by default what the runner says (`FER_DATA`), else the parameter

    @classmethod
    def open(cls, params: str | Path, **values: Any) -> "Study":
        """Open the study of a notebook's `parameters` cell.

        `params`: the YAML file, looked up from the working directory, the project's folder and its `notebooks/`.
        `params.yaml` of a study's own folder opens the study there, another one `outputs/<study>`. `values`: of
        parameters, by name; each that is not None overrides the file. ParameterError where one is unknown or
        cannot be used, or the folder is another study's.
        """
        given = {name: value for name, value in values.items() if value is not None}
        if isinstance(given.get("study"), cls):  # the cell is executed once more
            given["study"] = given["study"].parameters.study
        root = project()
        source = find_file(params, "The parameters file `params`", (Path(), root, root / "notebooks"))
        parameters = read_parameters(source)
        if given:
            parameters = build_parameters(parameters.model_dump() | given, "the notebook's parameters", _PAPERMILL)
        own = (source.name, source.parent.name) == ("params.yaml", parameters.study)
        folder = Path(os.path.relpath(source.parent if own else root / "outputs" / parameters.study))
        claim(folder, parameters)
        return cls(parameters, folder)

    @cached_property
    def splits(self) -> datasets.Splits:
        """Return the images; DataError where they are not those that the runner checked (`FER_FINGERPRINT`)."""
        data = self.data or find_data(self.parameters, os.environ.get("FER_DATA"))
        splits = datasets.load(self.parameters, data)
        checked = os.environ.get("FER_FINGERPRINT", splits.fingerprint)
        if splits.fingerprint != checked:
            expected, found = f"fingerprint {checked[:12]}", splits.fingerprint[:12]
            advice = "Run the study again: it checks them first"
            raise DataError("The data changed while the study was running", None, expected, found, advice)
        return splits

    def runs(self, variants: list[str] | None = None, seeds: list[int] | None = None) -> list[runs.Run]:
        """Return the runs of these variants and seeds, by default all, seed by seed; missing ones are trained."""
        seeds, variants = seeds or self.parameters.seeds, variants or self.parameters.variants
        cells = [(variant, seed) for seed in seeds for variant in variants]
        trained: dict[tuple, runs.Run] = {}
        if missing := [cell for cell in cells if not self._is_finished(*cell)]:
            keras_backend()  # an error before Keras' own, which says less
            from fer_lib.analysis.recorder import record_attention  # who only reads need not wait for Keras
            from fer_lib.training.loop import train_run

            made_from = self.splits, self.folder, record_attention
            for number, cell in enumerate(missing, 1):
                trained[cell] = train_run(self.parameters, *cell, *made_from, position=(number, len(missing)))
        return [trained.get(cell) or runs.read_run(runs.run_folder(self.folder, *cell)) for cell in cells]

    def _is_finished(self, variant, seed):
        folder = runs.run_folder(self.folder, variant, seed)
        identity = runs.run_identity(self.parameters, variant, seed, self.splits.fingerprint)
        return runs.is_finished(folder, identity) and not runs.leftovers(folder)

    @property
    def split(self) -> str:
        """Return the split that is scored: the test set where the protocol has one, else validation."""
        return "validation" if self.splits.test is None else "test"

    def describe_runs(self, variants: list[str] | None = None, split: str | None = None) -> str:
        """Return words for a caption: which runs, epochs and images a figure or table is of."""
        split, seeds = split or self.split, self.parameters.seeds
        networks, images = len(variants or self.parameters.variants), count(len(getattr(self.splits, split)))
        return (
            f"{networks} network{'s' * (networks > 1)}, {len(seeds)} seed{'s' * (len(seeds) > 1)} each, "
            f"{self.parameters.epochs} epochs, {images} {split} images, protocol {self.splits.protocol}"
        )

    def images_of(self, chosen: pd.DataFrame) -> np.ndarray:
        """Return uint8 images for a figure, one per row of `chosen` (class and id): these validation images.

        Where the study shows no single faces (`faces: mean`), the mean training image of the class instead.
        """
        if self.parameters.shows_faces:
            images = self.splits.validation
            assert images is not None
            return images.images[pd.Index(images.ids).get_indexer(chosen["id"])]
        from fer_lib.figures.data import mean_images

        means = mean_images(self.splits.train)
        return np.stack([means[name] for name in chosen["class"]])

    def variants(self) -> list[str]:
        """Return the baseline, then the variants with the paper's own function and placement."""
        return [self.parameters.baseline, *(name for name in self.parameters.variants if name.count("-") == 1)]

    def comparison(self) -> pd.DataFrame:
        """Return the one table of all networks against the baseline; kept as `tables/comparison.csv`."""
        from fer_lib.analysis.tables import comparison

        table = comparison(self.runs(), self.parameters.baseline, self.split)
        write_atomically(self.folder / "tables" / "comparison.csv", table.to_csv(index=False))
        return table

    def costs(self) -> pd.DataFrame:
        """Return `complexity.COSTS` of each network, one row per variant; kept as `tables/costs.csv`."""
        from fer_lib.analysis.complexity import COSTS, count_costs
        from fer_lib.training.recipe import build_classifier

        names, classes = self.parameters.variants, len(self.splits.class_names)
        costs = [count_costs(build_classifier(self.parameters, name, 0, classes))[list(COSTS)] for name in names]
        table = pd.DataFrame([each.sum().astype("int64") for each in costs])
        table.insert(0, "variant", names)
        write_atomically(self.folder / "tables" / "costs.csv", table.to_csv(index=False))
        return table

    def warn_unless_learned(self, runs: list) -> None:
        """Show a box that names the runs that did not learn; `comparison` leaves their networks out."""
        from fer_lib.analysis.tables import check_learned

        failed = check_learned(runs, self.split).query("~learned")
        if failed.empty:
            return
        head = "> **These runs did not learn**: two predicted classes or fewer, or not above the commonest class."
        lines = [
            f"> - {network(run.variant)}, seed {run.seed}: accuracy {percent(run.accuracy)}, commonest class "
            f"{percent(run.majority_share)}, {run.classes_predicted} predicted classes"
            for run in failed.itertuples()
        ]
        _show("\n".join([f"{head} Their networks are not compared.", ">", *lines]))

    def show_parameters(self) -> None:
        """Show the parameters that are not at their default, and the others folded; not where the data are."""
        from IPython.display import HTML

        fields, values = Parameters.model_fields, self.parameters.model_dump(exclude={"data"})
        texts = {name: ", ".join(map(str, value)) for name, value in values.items() if isinstance(value, list)}
        texts |= {name: str(value) for name, value in values.items() if name not in texts and value is not None}
        rows = [(name, texts.get(name), fields[name].description) for name in values]
        table = pd.DataFrame(rows, columns=["parameter", "value", "meaning"])
        is_default = np.array([fields[name].default == value for name, value in values.items()])
        summary = f"<summary>{is_default.sum()} parameters with their default values</summary>"
        folded = _styled(table[is_default], "defaults").data
        _show(_styled(table[~is_default], "parameters"), HTML(f"<details>{summary}{folded}</details>"))

    def finding(self, text: str, question: str | None = None, rank: int = 1) -> None:
        """Show one sentence, computed from the numbers, as a finding; nothing where it is empty.

        In the report rank 1 is the conclusion that opens the section of this question, of which there is one, 2 to
        4 follow it; without a question it is in the notebook only.
        """
        _known_question(question, text)
        place = {"metadata": {"question": question, "rank": rank}} if question else {}
        if text:
            _show(f"**Finding.** {text}", **place)

    def show_figure(
        self, figure: Any, name: str, caption: str, alt: str, question: str | None = None, rank: int = 1,
        touch: dict | None = None,
    ) -> None:  # fmt: skip
        """Show a matplotlib `Figure`, which is then cleared, and keep it as `figures/<name>.png`, words beside it.

        Args:
            name: number and words, such as `3.2-attention-memory`; the number opens the caption.
            caption: one sentence of Markdown; `alt`: what the figure shows, for somebody who does not see it.
            question: the one that it answers, a key of `display.QUESTIONS`; None: it is in the appendix only.
            rank: its place among the answers to this question, from 1; of a higher rank than 2 it is folded.
            touch: the maps behind the figure, of `figures.explorer.touch_data`, for a reader to point at.
        """
        from IPython.display import Image

        from fer_lib.figures.style import png

        if len(content := png(figure)) > 2**18:  # photographs are large, and no sharper for more pixels
            content = png(figure, 100)
        write_atomically(self.folder / "figures" / f"{name}.png", content)
        words = {"caption": caption, "alt": alt} | ({"touch": touch} if touch else {})
        self._keep_words("figures", name, question, rank, words)
        figure.clear()  # else the inline backend shows it once more at the cell's end
        width = round(figure.get_figwidth() * 72)
        _show(Image(content, width=width), metadata={"image/png": {"alt": alt, "width": width}})
        _show(f"**Figure {name.split('-')[0]}.** {caption}")

    def show_table(
        self, table: pd.DataFrame, name: str, caption: str, question: str | None = None, rank: int = 1
    ) -> None:
        """Show a DataFrame as `display.readable` has it and keep it, unrounded, as `tables/<name>.csv`.

        The index is left out: reset it where it matters. The other arguments are those of `show_figure`.
        """
        kept = table.replace(r"^(?=[=+@-])", "'", regex=True)  # else a spreadsheet takes the text for a formula
        write_atomically(self.folder / "tables" / f"{name}.csv", kept.to_csv(index=False))
        self._keep_words("tables", name, question, rank, {"caption": caption})
        _show(f"**Table {name.split('-')[0]}.** {caption}", _styled(table, name))

    def _keep_words(self, kind, name, question, rank, words):
        """Write what the report needs beside a figure or table; ValueError for an unknown question."""
        _known_question(question, name)
        runs.write_json(self.folder / kind / f"{name}.json", words | {"question": question, "rank": rank})

    def show_versions(self) -> None:
        """Print what the notebook ran on."""
        versions = package_versions()
        print(f"Python {platform.python_version()}, Keras {versions['keras']} on {keras_backend()}")
        print(", ".join(f"{name} {versions[name]}" for name in ("numpy", "pandas", "seaborn")))


def _known_question(question, where):
    if question not in (None, *QUESTIONS):
        raise ValueError(f"{where}: question {question!r} is none of {', '.join(QUESTIONS)}")


def find_data(parameters: Parameters, data: str | None = None) -> str | None:
    """Return the absolute path of the data: `data`, else the parameter; None where both are None."""
    path = parameters.data if data is None else data
    return None if path is None else str(find_file(path, "The data"))


def claim(folder: Path, parameters: Parameters) -> None:
    """Make the folder this study's; ParameterError where it is another's of the same name."""
    path = folder / "params.yaml"
    if not path.exists():
        write_atomically(path, write_parameters(parameters.model_copy(update={"data": None})))
    elif differing := parameters.differences(read_parameters(path)):
        what, found = "The folder is that of another study of this name", f"other values of {', '.join(differing)}"
        advice = "Give this study a name of its own with the parameter `study`"
        raise ParameterError(what, path, None, found, advice)


def _show(*things, **settings):
    """Display things in the notebook, text as Markdown without formulas: a class may be called `$x$`."""
    from IPython.display import Markdown, display

    for thing in things:
        display(Markdown(thing.replace("$", r"\$")) if isinstance(thing, str) else thing, **settings)


def _styled(table, name):
    """A table for the page: escaped, text left and wrapped, numbers right, the same bytes for the same table."""
    from IPython.display import HTML

    shown = readable(table.reset_index(drop=True))
    left = {"text-align": "left", "white-space": "normal", "overflow-wrap": "break-word"}
    numeric = np.array(are_numeric(shown))
    style = shown.style.set_uuid(name.replace(".", "-")).set_properties(subset=shown.columns[~numeric], **left)
    style.set_properties(subset=shown.columns[numeric], **{"white-space": "nowrap"})
    style.set_table_attributes('class="tex2jax_ignore mathjax_ignore"')  # a class may be called `$x$`
    style.format(escape="html").format_index(escape="html", axis="columns")
    style.set_table_styles([{"selector": "th", "props": list(left.items())}]).hide(axis="index")
    return HTML(style.to_html())  # a Styler would print its address, another one every time
