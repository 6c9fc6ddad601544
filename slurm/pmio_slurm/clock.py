"""Time, and waiting for others: the state is on a shared file system, which tells of no changes, so it is polled."""
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
    """Until condition() is true, which it returns; after `limit` seconds what it returned last.

    A condition that can never become true any more raises; a file system that does not answer is asked again for a while.
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
