"""The commands of `fer-study`, see `cli.py`. What takes long to import is imported where it is used."""

import functools
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from fer_lib.environment import TENSORFLOW_SETTINGS, install_kernel
from fer_lib.errors import ParameterError
from fer_lib.parameters import Parameters, read_parameters

app = typer.Typer(
    help="Do non-local blocks help a ResNetV2 recognise facial expressions? Studies from parameters to a report.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip

Params = Annotated[Path, typer.Argument(metavar="PARAMS.yaml", help="A study's parameters, see params/.")]
Data = Annotated[str | None, typer.Option("--data", metavar="PATH", help="The data; written nowhere.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Overrides the file.")]
Chosen = Annotated[list[str] | None, typer.Option(metavar="01", help="Only this one; repeatable.")]
Engine = Annotated[Literal["local", "ray"], typer.Option(help="Train here, or each run as a task of Ray.")]
Address = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Of a Ray cluster; `auto` finds one here.")]
JOBS = typer.Option(min=1, max=1000, metavar="N", help="Train N runs at a time first; on Ray, N share a GPU.")
OutputRoot = Annotated[Path, typer.Option(help="Studies are written to folders in this one.")]
Index = Annotated[int, typer.Option(help="Of the run in the list of `fer-study list`.")]
StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY_DIR", help="Such as outputs/demo.")]


@app.command()
def run(
    params: Params, data: Data = None, overrides: Overrides = None, notebook: Chosen = None,
    engine: Engine = "local", ray_address: Address = None, jobs: Annotated[int | None, JOBS] = None,
    output_root: OutputRoot = Path("outputs"),
) -> None:  # fmt: skip
    """Run a study: check the data, execute the notebooks, write the report. What is finished is not done again."""
    if ray_address is not None and engine != "ray":
        raise ParameterError("There is a cluster, but no engine for it", "--ray-address", "--engine ray", engine)
    parameters = read_parameters(params, overrides or ())
    from fer_lib.execution.jobs import train_here, train_on_ray
    from fer_lib.execution.runner import run_study

    train_grid = None if jobs is None else functools.partial(train_here, jobs=jobs)
    if engine == "ray":
        train_grid = functools.partial(train_on_ray, address=ray_address, jobs=jobs or 1)
    typer.echo(f"Report: {run_study(parameters, data, notebook, output_root, train_grid=train_grid)}")


@app.command()
def check(params: Params, data: Data = None, overrides: Overrides = None) -> None:
    """Read all of the data; print counts, flaws, and duplicates across splits."""
    parameters = read_parameters(params, overrides or ())
    from fer_lib.datasets import checks
    from fer_lib.execution.runner import refuse_problems
    from fer_lib.study import Study, find_data

    splits = Study(parameters, Path(), find_data(parameters, data)).splits
    found = checks.check(splits)
    typer.echo("\n".join([str(found), *(f"Note: {note}" for note in splits.notes)]))
    refuse_problems(found)


@app.command("cells", hidden=True)  # the earlier name
@app.command("list")
def list_runs(params: Params, overrides: Overrides = None) -> None:
    """List the runs of a study: index, variant, seed."""
    for index, (variant, seed) in enumerate(read_parameters(params, overrides or ()).cells()):
        typer.echo(f"{index}\t{variant}\t{seed}")


@app.command("cell", hidden=True)  # the earlier name
@app.command()
def train(
    params: Params, index: Index, data: Data = None, overrides: Overrides = None,
    output_root: OutputRoot = Path("outputs"),
) -> None:  # fmt: skip
    """Train one run of a study, as a job of a batch system; `fer-study run` then finds it finished."""
    parameters = read_parameters(params, overrides or ())
    grid = parameters.cells()
    if not 0 <= index < len(grid):
        raise ParameterError("There is no such run", "--index", f"0 to {len(grid) - 1}", index)
    study_dir = output_root / parameters.study
    os.environ.update({**TENSORFLOW_SETTINGS, **os.environ})
    from fer_lib.study import Study, claim, find_data

    data = find_data(parameters, data if data is not None else os.environ.get("FER_DATA"))
    # As the runner does: where the data are is no part of a result.
    study = Study(parameters.model_copy(update={"data": None}), study_dir, data)
    claim(study_dir, study.parameters)
    variant, seed = grid[index]
    (run,) = study.runs([variant], [seed])
    typer.echo(f"Run: {run.folder}")


@app.command("parameters")
def list_parameters() -> None:
    """List the parameters of a study: name, default, meaning."""
    for name, field in Parameters.model_fields.items():
        typer.echo(f"{name:20} {field.default!s:44} {field.description}")


@app.command()
def kernel() -> None:
    """Install the kernel `python3` into this environment, so that imports print nothing into notebooks."""
    typer.echo(f"Kernel: {install_kernel()}")


@app.command()
def report(study_dir: StudyFolder) -> None:
    """Write the report of a study again, from its files alone."""
    from fer_lib.report.page import write_report

    typer.echo(f"Report: {write_report(study_dir)}")
