"""The command line `fer-study`: signals, errors and the exit status; the commands are in `commands.py`.

Exit status: 0 done, 1 the work failed, 2 bad arguments, parameters or data, 75 stopped by SIGTERM, 130 by Ctrl-C;
after the last two the same command resumes. What takes long to import is imported after the handlers are there.
"""

import os
import signal
import sys
import tempfile
import threading

from fer_lib.errors import FerError, ParameterError, RunError

_STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 75}
_GRACE = 60  # seconds to end in order, children included, even where something swallows the exception


class _Signals:
    """Takes the first signal that asks for the end; those that follow change nothing."""

    status = timer = None

    def take(self, number, frame):
        for each in _STOPPED:
            signal.signal(each, signal.SIG_IGN)
        self.status = _STOPPED[number]
        self.timer = threading.Timer(_GRACE, os._exit, [self.status])
        self.timer.daemon = True
        self.timer.start()
        sys.exit(self.status)


def main(arguments: list[str] | None = None) -> int:
    """Run a command, of the process's own arguments by default; return the exit status."""
    signals = _Signals()
    try:
        for number in _STOPPED:
            signal.signal(number, signals.take)
        _prepare()
        from fer_lib.commands import app
        from fer_lib.execution.processes import end_with_parent

        if os.environ.pop("FER_PARENT", None):
            end_with_parent()
        app(args=arguments, prog_name="fer-study")
    except BaseException as error:
        if signals.status is None:
            return _status(error)
        print("Stopped. The same command resumes.", file=sys.stderr, flush=True)
        if arguments is None:
            # At its own end Python sets signals back, and TensorFlow makes that end last a second.
            os._exit(signals.status)
        return signals.status
    finally:
        if signals.timer is not None:
            signals.timer.cancel()
    return 0


def _prepare() -> None:
    """Make up for a terminal that lacks characters, and for a user without a home, as in a container."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if not os.access(os.path.expanduser("~"), os.W_OK):
        os.environ["HOME"] = tempfile.mkdtemp(prefix="fer-study-")


def _status(error: BaseException) -> int:
    """Print an error that a user can cause and return the exit status. Raise any other."""
    if isinstance(error, SystemExit):  # how Typer ends, usage errors included
        return int(error.code or 0)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("fer_lib"):
        advice = "In a checkout: pip install '.[study,tensorflow]'; jax, torch and ray are extras, too"
        error = ParameterError(f"The package {error.name} is not installed", advice=advice)
    if isinstance(error, (OSError, MemoryError)):
        found = getattr(error, "strerror", None) or str(error) or "out of memory"
        what, advice = "The work failed: the system refused", "What was finished is kept: the same command resumes"
        error = RunError(what, getattr(error, "filename", None), found=found, advice=advice)
    if not isinstance(error, FerError):
        raise error
    print(error, file=sys.stderr)
    return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
