"""The command line `fer-study`.

Exit status: 0 done, 1 the work failed, 2 bad arguments, parameters or data, 75 stopped by SIGTERM or by the time
limit, 130 by Ctrl-C; after the last two the same command goes on.
"""

import functools
import os
import signal
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fer_lib.environment import TENSORFLOW_SETTINGS
from fer_lib.errors import FerError, ParameterError, RunError
from fer_lib.parameters import read_parameters
from fer_lib.training.deadline import set_deadline

_STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 75}

app = typer.Typer(
    help="Do non-local blocks help a ResNetV2 recognise facial expressions? Studies from parameters to a report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Params = Annotated[Path, typer.Argument(metavar="PARAMS.yaml", help="A study's parameters, see params/.")]
Data = Annotated[str | None, typer.Option("--data", metavar="PATH", help="The data; written nowhere.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Wins over the file; may be given several times."),
]
OutputRoot = Annotated[Path, typer.Option("--output-root", help="Studies are written to folders in this one.")]
TimeLimit = Annotated[
    float | None,
    typer.Option("--time-limit", metavar="MINUTES", min=0, help="Stop before, at an epoch's end, with status 75."),
]


class Engine(StrEnum):
    """Where the runs of a study are trained."""

    local = "local"
    ray = "ray"


class Dataset(StrEnum):
    """Data that can be downloaded."""

    fer2013 = "fer2013"


class _Stopped(BaseException):
    """A signal that asks for the end; its own class, since Typer makes exit status 1 of KeyboardInterrupt."""

    def __init__(self, signal_number):
        super().__init__(signal_number)
        self.exit_status = _STOPPED[signal_number]


@app.command()
def run(
    params: Params,
    data: Data = None,
    overrides: Overrides = None,
    notebook: Annotated[
        list[str] | None,
        typer.Option("--notebook", metavar="01", help="Only this one; may be given several times."),
    ] = None,
    engine: Annotated[Engine, typer.Option(help="Train here, or each run as a task of Ray.")] = Engine.local,
    ray_address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Of a running Ray cluster; `auto` finds one here.")
    ] = None,
    time_limit: TimeLimit = None,
    output_root: OutputRoot = Path("outputs"),
):
    """Run a study: check the data, execute the notebooks, write the report. What is finished is not done again."""
    set_deadline(time_limit)
    if ray_address is not None and engine is not Engine.ray:
        raise ParameterError("There is a cluster, but no engine for it", "--ray-address", "--engine ray", engine)
    from fer_lib.execution.runner import run_study

    train_grid = None
    if engine is Engine.ray:
        from fer_lib.execution.ray_grid import train_on_ray

        train_grid = functools.partial(train_on_ray, address=ray_address)
    report = run_study(
        read_parameters(params, overrides or ()), data, notebook, output_root, train_grid=train_grid
    )
    typer.echo(f"Report: {report}")


@app.command()
def check(params: Params, data: Data = None, overrides: Overrides = None):
    """Read all of the data; print counts, flaws, and copies across splits."""
    from fer_lib import datasets
    from fer_lib.datasets import checks
    from fer_lib.execution.runner import refuse_problems

    splits = datasets.load(read_parameters(params, overrides or ()), data)
    found = checks.check(splits)
    typer.echo(found)
    for note in splits.notes:
        typer.echo(f"Note: {note}")
    refuse_problems(found)


@app.command()
def cells(params: Params, overrides: Overrides = None):
    """List the grid of a study: index, variant, seed."""
    for index, (variant, seed) in enumerate(read_parameters(params, overrides or ()).cells()):
        typer.echo(f"{index}\t{variant}\t{seed}")


@app.command()
def cell(
    params: Params,
    index: Annotated[int, typer.Option(help="Of the cell in the list of `fer-study cells`.")],
    data: Data = None,
    overrides: Overrides = None,
    time_limit: TimeLimit = None,
    output_root: OutputRoot = Path("outputs"),
):
    """Train one cell of a study, as a job of a batch system; `fer-study run` then finds it finished."""
    parameters = read_parameters(params, overrides or ())
    grid = parameters.cells()
    if not 0 <= index < len(grid):
        raise ParameterError(
            "There is no such cell", where="--index", expected=f"0 to {len(grid) - 1}", found=index
        )
    set_deadline(time_limit)
    os.environ.update({"FER_PROGRESS": "lines", **TENSORFLOW_SETTINGS, **os.environ})
    from fer_lib import datasets
    from fer_lib.training.loop import train_run

    splits = datasets.load(parameters, data)
    variant, seed = grid[index]
    # As the runner does: where the data lie is no part of a result.
    parameters = parameters.model_copy(update={"data": None})
    typer.echo(f"Run: {train_run(parameters, variant, seed, splits, output_root / parameters.study).folder}")


@app.command()
def report(study_dir: Annotated[Path, typer.Argument(metavar="STUDY_DIR", help="Such as outputs/demo.")]):
    """Write the report of a study again, from its files alone."""
    from fer_lib.report.page import write_report

    typer.echo(f"Report: {write_report(study_dir)}")


@app.command()
def fetch(
    dataset: Annotated[Dataset, typer.Argument(help="What to download.")],
    target: Annotated[Path, typer.Argument(help="The folder to make.")] = Path("data/fer2013"),
):
    """Download a data set (needs network and the extra `fetch`)."""
    from fer_lib.datasets.fetch import fetch_fer2013

    typer.echo(f"Data: {fetch_fer2013(target)}")


@app.command("reorganise-kdef")
def reorganise(source: Path, target: Path):
    """Copy KDEF into a folder a class, the two misnamed pictures under their right names."""
    from fer_lib.datasets.kdef import reorganise_kdef

    done = reorganise_kdef(source, target)
    for note in done.notes:
        typer.echo(f"Note: {note}")
    typer.echo(f"{done.copied:,} pictures copied to {target}, {done.kept:,} stood there already")


def main(arguments=None):
    """Runs a command; returns the exit status.

    Args:
        arguments: list of str; those of the process by default.
    """
    if threading.current_thread() is threading.main_thread():
        for number in _STOPPED:
            signal.signal(number, _stop)
    try:
        app(args=arguments, prog_name="fer-study")
    except SystemExit as end:  # how Typer ends, usage errors included
        return end.code or 0
    except FerError as error:
        return _fail(error, error.exit_status)
    except _Stopped as stopped:
        return _fail("Stopped. The same command goes on from here.", stopped.exit_status)
    except OSError as error:
        return _fail(_readable(error), RunError.exit_status)
    return 0


def _stop(signal_number, frame):
    raise _Stopped(signal_number)


def _readable(error):
    return RunError(
        "The work failed: the system refused",
        where=error.filename,
        found=error.strerror or str(error),
        advice="What was finished stays: the same command goes on from there",
    )


def _fail(message, status):
    print(message, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
