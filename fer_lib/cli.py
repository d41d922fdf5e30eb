"""The command line `fer-study`: signals, errors and the exit status. The commands themselves are in `commands.py`.

Exit status: 0 done, 1 the work failed, 2 bad arguments, parameters or data, 75 stopped by SIGTERM, 130 by Ctrl-C;
after the last two the same command goes on.
"""

import os
import signal
import sys
import threading

from fer_lib.errors import FerError, RunError

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


def main(arguments=None):
    """Run a command, of the process's own arguments (list of str) by default; return the exit status."""
    signals = _Signals()
    try:
        for number in _STOPPED:
            signal.signal(number, signals.take)
        # Imported after the handlers are there: it takes its time.
        from fer_lib.commands import app
        from fer_lib.execution.processes import end_with_parent

        if os.environ.pop("FER_PARENT", None):
            end_with_parent()
        app(args=arguments, prog_name="fer-study")
    except BaseException as error:
        if signals.status is not None:
            print("Stopped. The same command goes on from here.", file=sys.stderr, flush=True)
            if arguments is None:
                # At its own end Python sets signals back, and TensorFlow makes that end last a second.
                os._exit(signals.status)
            return signals.status
        return _status(error)
    finally:
        if signals.timer is not None:
            signals.timer.cancel()
    return 0


def _status(error):
    """Prints an error that a user can cause; returns the exit status. Any other goes on its way."""
    if isinstance(error, SystemExit):  # how Typer ends, usage errors included
        return error.code or 0
    if isinstance(error, (OSError, MemoryError)):
        where = getattr(error, "filename", None)
        found = getattr(error, "strerror", None) or str(error) or "out of memory"
        advice = "What was finished stays: the same command goes on from there"
        error = RunError("The work failed: the system refused", where, found=found, advice=advice)
    if not isinstance(error, FerError):
        raise error
    print(error, file=sys.stderr)
    return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
