"""One notebook executed by papermill: `python -m fer_lib.execution.papermill_process SOURCE TARGET PARAMETERS`.

The parameters are JSON. Ends with 1 where a cell failed, with 2 where it refused parameters or data.
"""

import json
import os
import signal
import sys
from pathlib import Path

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.paths import jupyter_runtime_dir
from nbclient.exceptions import DeadKernelError
from papermill import PapermillExecutionError, execute_notebook

from fer_lib.environment import KERNEL_ARGUMENTS
from fer_lib.execution.processes import end_with_parent, why_ended


class OwnKernelManager(AsyncKernelManager):
    """Starts a kernel of the Python that runs this, whichever kernels are installed under that name.

    Unix sockets instead of ports, in the folder of this execution and not, as Jupyter has it, in the one that the
    notebooks share: two kernels that start together cannot take each other's.
    """

    ended = None  # the exit status of the kernel of this process, negative the signal that killed it

    def _transport_default(self):
        return "ipc" if os.name == "posix" else "tcp"

    def _ip_default(self):
        return str(Path(jupyter_runtime_dir()) / "kernel") if self.transport == "ipc" else super()._ip_default()

    @property
    def kernel_spec(self):
        return KernelSpec(**get_kernel_dict(extra_arguments=KERNEL_ARGUMENTS))

    async def is_alive(self):
        if self.has_kernel:
            OwnKernelManager.ended = await self.provisioner.poll()
        return await super().is_alive()

    _async_is_alive = is_alive


def main(arguments):
    """Executes the notebook; returns the exit status."""
    source, target, parameters = arguments
    end_with_parent()  # nbclient takes the kernel down at SIGTERM
    try:
        # Relative paths and the working directory of the process: absolute ones would get into the metadata.
        execute_notebook(
            source, target, json.loads(parameters), kernel_name="python3", language="python", progress_bar=False,
            kernel_manager_class=OwnKernelManager, stdout_file=sys.stdout,
        )  # fmt: skip
    except PapermillExecutionError as error:  # the cell, with its error, is in the target
        return 2 if error.ename in ("ParameterError", "DataError") else 1
    except DeadKernelError as error:
        status = OwnKernelManager.ended
        found = why_ended(status, os.devnull) if status and status < 0 else error
        print(f"DeadKernelError: the kernel died, {found}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process in order
    sys.exit(main(sys.argv[1:]))
