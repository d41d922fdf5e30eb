"""The README's answer, made from the files of a study, so that no number in it is typed by hand."""

import re
from pathlib import Path

from fer_lib.analysis.tables import accuracy_by_variant, comparison, read_costs
from fer_lib.errors import RunError
from fer_lib.files import write_atomically
from fer_lib.parameters import read_parameters
from fer_lib.report.answer import answer
from fer_lib.training.runs import study_runs
from fer_lib.variants import Variant

BEGIN, END = "<!-- result: begin, made by `make readme` -->", "<!-- result: end -->"


def update_readme(readme, study_dir):
    """Writes the answer of a study between the two marks of the README.

    Args:
        readme: path of README.md.
        study_dir: `outputs/<study>`, finished.

    Raises:
        RunError: the study has no finished run, or the marks are missing.
    """
    text = Path(readme).read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if not pattern.search(text):
        raise RunError("The README has no place for the answer", where=readme, expected=f"{BEGIN} ... {END}")
    block = f"{BEGIN}\n{result_block(study_dir)}\n{END}"
    write_atomically(readme, pattern.sub(lambda _: block, text))


def result_block(study_dir):
    """The answer, its table and its figure, as Markdown."""
    study_dir = Path(study_dir)
    parameters = read_parameters(study_dir / "params.yaml")
    runs = study_runs(study_dir, parameters)
    if not runs:
        raise RunError("There is no finished run", where=study_dir, advice="`fer-study run` makes them")
    seeds, summary = len(parameters.seeds), accuracy_by_variant(runs)
    compared = comparison(runs, parameters.baseline)
    differences = compared.set_index("variant").to_dict("index")
    lines = [
        f"**{answer(compared, read_costs(study_dir, parameters.baseline))}**",
        "",
        "| Network | 7-class accuracy | 95 % interval | Points over plain | 95 % interval | p (Holm) |",
        "|---|---|---|---|---|---|",
        *(_line(row, differences.get(row["variant"])) for row in summary.to_dict("records")),
        "",
        f"{parameters.baseline}, {parameters.epochs} epochs, {seeds} seed{'s' if seeds > 1 else ''}, "
        f"{int(summary['n'].iloc[0]):,} validation images, protocol `{parameters.protocol}`; "
        "the last epoch is scored, none is chosen. "
        f"All of it: [`{study_dir.as_posix()}/report.html`]({study_dir.as_posix()}/report.html).",
        *_figure(study_dir),
    ]
    return "\n".join(lines)


def _line(row, difference):
    cells = [
        Variant.from_name(row["variant"]).label,
        f"{row['mean']:.1%}",
        f"{row['low']:.1%} to {row['high']:.1%}",
    ]
    if difference is None:
        cells += ["", "", ""]
    else:
        low, high = 100 * difference["low"], 100 * difference["high"]
        cells += [f"{100 * difference['difference']:+.1f}", f"{low:+.1f} to {high:+.1f}"]
        cells += ["< 0.001" if difference["p_holm"] < 0.001 else f"{difference['p_holm']:.2g}"]
    return "| " + " | ".join(cells) + " |"


def _figure(study_dir):
    """The forest plot of notebook 04, of every network, where it was made."""
    found = sorted((study_dir / "figures").glob("4.*-differences.png"))
    if not found:
        return []
    alt = "Accuracy of every network minus that of the plain one, with 95 % intervals"
    return ["", f"![{alt}]({found[0].as_posix()})"]


if __name__ == "__main__":
    import sys

    update_readme(*sys.argv[1:])
