import time

import pytest

from fer_lib.errors import TimeLimitError
from fer_lib.training.loop import deadline


@pytest.fixture(autouse=True)
def no_deadline(monkeypatch):
    monkeypatch.setenv(deadline.VARIABLE, "")
    monkeypatch.delenv(deadline.VARIABLE)


def test_without_a_limit_the_work_goes_on():
    deadline.set_deadline(None)
    deadline.check_deadline(needed=1e9)


def test_the_work_stops_where_the_next_step_would_not_fit(monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    deadline.set_deadline(2)
    deadline.check_deadline(needed=119)
    with pytest.raises(TimeLimitError, match=r"time limit is reached. .* goes on from there"):
        deadline.check_deadline(needed=121)
    monkeypatch.setattr(time, "time", lambda: now + 121)
    with pytest.raises(TimeLimitError) as stopped:
        deadline.check_deadline()
    assert stopped.value.exit_status == 75
