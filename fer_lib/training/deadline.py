"""The moment at which a study has to stop: set by the command line, known to all the processes under it."""

import os
import time

from fer_lib.errors import TimeLimitError

# Seconds since the epoch, so that it means the same in every process and on every machine of a cluster.
VARIABLE = "FER_DEADLINE"


def set_deadline(minutes):
    """Lets the work of this process and of those that it starts end `minutes` from now; None lets it go on."""
    if minutes is not None:
        os.environ[VARIABLE] = str(time.time() + 60 * minutes)


def check_deadline(needed=0.0):
    """Stops the work where the next step would not be done in time.

    Args:
        needed: seconds that this step takes.

    Raises:
        TimeLimitError: the deadline comes before.
    """
    deadline = os.environ.get(VARIABLE)
    if deadline is not None and time.time() + needed > float(deadline):
        raise TimeLimitError()
