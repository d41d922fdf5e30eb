"""Write the README's answer from the files of a study: `make readme`. No number in it is typed by hand."""

import re
import sys
from pathlib import Path

from fer_lib.display import are_numeric
from fer_lib.errors import RunError
from fer_lib.files import write_atomically
from fer_lib.report.answer import INTRODUCTION, answer
from fer_lib.report.page import describe, numbered, with_units

BEGIN, END = "<!-- result: begin, made by `make readme` -->", "<!-- result: end -->"
PAPER_STUDY = "fer2013_paper"  # beside the other study; its Table I comes first as soon as it has a finished run
PREREGISTERED = "fer2013_power"  # beside it too; its answer comes second when the last of its runs is there
DIAGRAM = "![A generated face with the attention of one position, and the non-local block.](docs/images/block.png)"


def update_readme(readme: str | Path, study_dir: str | Path) -> None:
    """Write the answer of a study (`outputs/<study>`) between the two marks of README.md.

    RunError where the study has no finished run, or the marks are missing.
    """
    before, begin, rest = Path(readme).read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise RunError("The README has no place for the answer", where=readme, expected=f"{BEGIN} ... {END}")
    write_atomically(readme, f"{before}{begin}\n{result_block(study_dir)}\n{end}{after}")


def result_block(study_dir: str | Path) -> str:
    """Return verdict, answer, introduction, table and figure as Markdown; the paper's Table I first if trained.

    The answer of the preregistered study stands second.
    """
    study_dir = Path(study_dir)
    result, paper_dir, parts = answer(study_dir), study_dir.with_name(PAPER_STUDY), []
    if not result.runs:
        raise RunError("There is no finished run", where=study_dir, advice="`fer-study run` makes them")
    paper = answer(paper_dir) if (paper_dir / "params.yaml").is_file() else result
    if len(paper.table_one):
        parts = [f"**The paper’s Table I beside the same networks trained here.** {paper.table_one_note}"]
        parts += [_markdown(paper.table_one)]
    parts += [f"**{result.verdict}** {with_units(result.text)}"]
    parts += [*_preregistered(study_dir.with_name(PREREGISTERED)), INTRODUCTION.replace("\n", " "), DIAGRAM]
    place = study_dir.as_posix()
    more = f"The whole study: [its report]({place}/report.html), [its files]({place})."
    parts += [_markdown(result.table), f"{result.caption} Each network is scored after its last epoch. {more}"]
    figures = map(describe, numbered(study_dir / "figures", ".png"))
    headline = [figure for figure in figures if figure["question"] == "help" and figure["rank"] == 1]
    parts += [f"![{re.sub(r'[][]', '', one['alt'])}]({place}/figures/{one['name']}.png)" for one in headline[:1]]
    return "\n\n".join(parts)


def _preregistered(study_dir):
    """The answer of the preregistered study as one paragraph; nothing before all of its runs are there."""
    if not (study_dir / "params.yaml").is_file():
        return []
    result = answer(study_dir)
    if len(result.runs) < len(result.parameters.cells()):
        return []
    more = f"[Its report]({study_dir.as_posix()}/report.html); [its plan](docs/preregistration.md)."
    return [f"**Preregistered: {result.parameters.title} {result.verdict}** {with_units(result.text)} {more}"]


def _markdown(table):
    """A DataFrame of str as a table; an interval stays on one line, however narrow GitHub makes its column."""
    numeric = are_numeric(table)
    shown = table.assign(**table.loc[:, numeric].replace(" ", "\u00a0", regex=True))
    rules = "|".join("---:" if is_numeric else "---" for is_numeric in numeric)
    rows = [f"| {' | '.join(text.replace('|', '&#124;') for text in row)} |" for row in shown.to_numpy()]
    return "\n".join([f"| {' | '.join(table.columns)} |", f"|{rules}|", *rows])


if __name__ == "__main__":
    update_readme(*sys.argv[1:])
