"""The README's answer, made from the files of a study, so that no number in it is typed by hand."""

from pathlib import Path

from fer_lib.display import are_numeric, count
from fer_lib.errors import RunError
from fer_lib.files import write_atomically
from fer_lib.report.answer import answer
from fer_lib.report.page import headline_figure

BEGIN, END = "<!-- result: begin, made by `make readme` -->", "<!-- result: end -->"


def update_readme(readme, study_dir):
    """Write the answer of a study (`outputs/<study>`) between the two marks of README.md.

    RunError where the study has no finished run, or the marks are missing.
    """
    text = Path(readme).read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise RunError("The README has no place for the answer", where=readme, expected=f"{BEGIN} ... {END}")
    write_atomically(readme, f"{before}{begin}\n{result_block(study_dir)}\n{end}{after}")


def result_block(study_dir):
    """Return the answer, its table and its figure as Markdown."""
    study_dir = Path(study_dir)
    result = answer(study_dir)
    if not result.runs:
        raise RunError("There is no finished run", where=study_dir, advice="`fer-study run` makes them")
    parameters, place, numeric = result.parameters, study_dir.as_posix(), are_numeric(result.table)
    # An interval stays on one line, however narrow GitHub makes its column.
    table = result.table.assign(**result.table.loc[:, numeric].replace(" ", "\u00a0", regex=True))
    lines = [
        result.text,
        "",
        f"| {' | '.join(table.columns)} |",
        f"|{'|'.join('---:' if is_numeric else '---' for is_numeric in numeric)}|",
        *(f"| {' | '.join(row)} |" for row in table.to_numpy()),
        "",
        f"{parameters.baseline}, {parameters.epochs} epochs, {count(result.images)} {result.split} images, "
        f"protocol `{parameters.protocol}`; the last epoch is scored, none is chosen. The whole study: "
        f"[`{place}/report.html`]({place}/report.html).",
    ]
    if figure := headline_figure(study_dir):
        alt = "Accuracy of every network minus the baseline's, with 95 % CIs"
        lines += ["", f"![{alt}]({figure.as_posix()})"]
    return "\n".join(lines)


if __name__ == "__main__":
    import sys

    update_readme(*sys.argv[1:])
