"""One notebook executed by papermill: `python -m fer_lib.execution.papermill_process SOURCE TARGET PARAMETERS`.

The parameters are JSON. Ends with 1 where a cell failed.
Standard input is held open by whoever started it: its end means that the parent is gone, and this process with it.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.localinterfaces import localhost
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.paths import jupyter_runtime_dir
from papermill import PapermillExecutionError, execute_notebook
from traitlets import default


class OwnKernelManager(AsyncKernelManager):
    """Starts a kernel of the Python that runs this, whichever kernels are installed under that name.

    Unix sockets instead of ports, in the folder of this execution and not, as Jupyter has it, in the one that the
    notebooks share: two kernels that start together cannot take each other's.
    """

    @default("transport")
    def _transport(self):
        return "ipc" if os.name == "posix" else "tcp"

    @default("ip")
    def _ip(self):
        return str(Path(jupyter_runtime_dir()) / "kernel") if self.transport == "ipc" else localhost()

    @property
    def kernel_spec(self):
        return KernelSpec(**get_kernel_dict())


def main(arguments):
    """Executes the notebook; returns the exit status."""
    source, target, parameters = arguments
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        # Relative paths and the working directory of the process: absolute ones would get into the metadata.
        execute_notebook(
            source,
            target,
            json.loads(parameters),
            kernel_name="python3",
            language="python",
            kernel_manager_class=OwnKernelManager,
            progress_bar=False,
            stdout_file=sys.stdout,
        )
    except PapermillExecutionError:
        return 1  # the cell, with its error, stands in the target
    return 0


def _end_with_parent():
    # os.read and not sys.stdin: a thread that waits in the latter blocks the interpreter's own end.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # nbclient takes the kernel down with it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
