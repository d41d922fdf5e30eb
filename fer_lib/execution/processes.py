"""Processes that a study starts: each ends with the process that started it, and says why it ended."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from fer_lib.environment import TENSORFLOW_SETTINGS

_GRACE = 20  # seconds for a process to end after SIGTERM, before it is killed


def start(command: list[str], log: Path, variables: dict[str, str]) -> subprocess.Popen:
    """Start a process in the environment `variables`, its output in the file `log`, see `end_with_parent`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)  # of this attempt alone, so that `why_ended` finds its own reason
    with open(log, "xb") as file:
        # Of a session of its own: Ctrl-C reaches this process alone, which then ends the other in order.
        return subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=file, stderr=file, start_new_session=True
        )


def end(processes: list[subprocess.Popen]) -> None:
    """End those processes that still run, all of them at the same time."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + _GRACE
    for process in processes:
        with process:  # closes its streams and waits for its end
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, until - time.monotonic()))
            process.kill()


def end_with_parent() -> None:
    """Let this process end, as by SIGTERM, once the one that called `start` is gone: its standard input ends."""

    def watch():
        # os.read and not sys.stdin: a thread that waits in the latter blocks the interpreter's own end.
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE)
        os._exit(75)

    threading.Thread(target=watch, daemon=True).start()


def variables(data: str | None, fingerprint: str) -> dict[str, str]:
    """Return the environment of such a process, or of a kernel; what the user has set of the backend's stays.

    It holds the path `data`, which a command line would show; other data than of `fingerprint` are refused.
    """
    own = {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    own |= {"FER_FINGERPRINT": fingerprint} | ({} if data is None else {"FER_DATA": data})
    return {**TENSORFLOW_SETTINGS, **os.environ, **own}


def why_ended(status: int, log: Path) -> str:
    """Return why a process failed: the signal that killed it, or the line of its log that names the error."""
    if status < 0:
        perhaps = ", perhaps out of memory" if status == -signal.SIGKILL else ""
        return f"killed by {signal.Signals(-status).name}{perhaps}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]
    return (named or lines or [f"exit status {status}"])[-1]
