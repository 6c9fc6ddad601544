"""Time, and waiting for other machines: the state is on a shared file system, which reports no changes, so it is polled."""
from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.2  # for files that another machine writes
TROUBLE_S = 60


def now() -> float:
    return time.monotonic()


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def wait_for(condition: Callable[[], object], interval: float = POLL_S, limit: float | None = None):
    """Wait until condition() is true, and return its value; after `limit` seconds return its last value.

    A condition that can no longer become true must raise; while a file system does not answer, retry for a while.
    """
    answered = now()
    end = None if limit is None else answered + limit
    while True:
        try:
            value, answered = condition(), now()
        except OSError:
            if now() - answered >= TROUBLE_S:
                raise
            value = None
        if value or (end is not None and now() >= end):
            return value
        sleep(interval)
