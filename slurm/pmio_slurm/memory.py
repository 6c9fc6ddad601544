"""pmio-slurm memory: a loop on each memory node that runs as root.

This node has a pool for each lease that has a file want.NODE, with an agent and a target that run as the user.  When the file
or the lease has been removed, the pool is drained, and then removed.  If that fails it is retried without limit.

Work that takes long is done by a process beside the loop, one at a time for each pool.
"""
from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

from . import clock, files, text
from .config import Config, host_name
from .errors import Failure, explain
from .job import Job
from .lease import is_name
from .memory_pool import MemoryPool, answer
from .pool import room
from .quota import CATALOG

TICK_S = 0.5
ANNOUNCE_S = 2
RETRY_S = 5
ENDS = {signal.SIGTERM, signal.SIGINT}


class Workers:
    """Processes beside the loop; they continue when it ends."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}

    def start(self, key: str, work: Callable[[], None]) -> None:
        pid = os.fork()
        if pid == 0:
            run_and_exit(work)
        self._pids[key] = pid

    def is_busy(self, key: str) -> bool:
        pid = self._pids.get(key)
        if pid is None:
            return False
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            return True
        del self._pids[key]
        return False

    def reap(self) -> None:
        """Collect all processes that have ended, also those of pools that no longer exist."""
        for key in list(self._pids):
            self.is_busy(key)


def run_and_exit(work: Callable[[], None]) -> None:
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        work()
        status = 0
    except BaseException as error:
        text.say(f"{type(error).__name__}: {explain(error)}")
    finally:
        os._exit(status)


class MemoryNode:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.name = os.environ.get("PMIO_MEMORY_NODE") or host_name()
        self.workers = Workers()
        self._next: dict[str, float] = {}  # when to look again
        self._warned: dict[str, str] = {}

    def sign(self) -> str:
        return f"{self.config.state}/memory.{self.name}"

    def is_due(self, key: str, interval: float) -> bool:
        now = clock.now()
        if now < self._next.get(key, 0):
            return False
        self._next = {other: time for other, time in self._next.items() if time > now}
        self._next[key] = now + interval
        return True

    # ---- the loop

    def run(self) -> None:
        if not files.is_folder(self.config.pmem):
            raise Failure(f"the directory PMEM={self.config.pmem} of pmio-slurm.conf does not exist")
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        while True:
            self.guarded(self.step, "")
            if signal.sigtimedwait(ENDS, TICK_S):
                break
        files.remove(self.sign())

    def guarded(self, look: Callable[..., None], name: str, *arguments: object) -> None:
        """Call `look`; log an error once.  The loop tries again, and continues with the other leases."""
        try:
            look(*arguments)
            self._warned.pop(name, None)
        except (Failure, OSError) as error:
            why = explain(error)
            if self._warned.get(name) != why:
                self._warned[name] = why
                text.say(f"{name}: {why}" if name else why)

    def step(self) -> None:
        """Do one round: everything that is due."""
        self.workers.reap()
        if self.is_due("announce", ANNOUNCE_S):
            self.announce()
        # if the folder of all leases cannot be read, a lease that is not found has not been removed
        if files.exists(self.sign()):
            names = [name for name in sorted(os.listdir(self.config.state)) if is_name(name)]
            self.look_at_leases(names)
            self.look_at_pools()
            self.look_at_requests(names)

    def announce(self) -> None:
        """Write the size that a pool may have now, and if there was no other; and why pools could not be drained."""
        lines = [" ".join(str(max(0, size - CATALOG)) for size in room(self.config))]
        for name in files.endings(self.config.pmem, ".memory."):
            if name.endswith(".why"):
                why = files.first_line(f"{self.config.pmem}/.memory.{name}")
                lines.append(f"{name[: -len('.why')]}: {text.plain(why)}")
        files.put(self.sign(), "\n".join(lines))

    # ---- what there is to do

    def pool(self, lease: str) -> MemoryPool:
        return MemoryPool(self.config, self.name, lease)

    def look_at_leases(self, names: list[str]) -> None:
        for name in names:
            self.guarded(self._look_at_lease, name, name)

    def _look_at_lease(self, name: str) -> None:
        pool = self.pool(name)
        if not pool.lease.has(f"want.{self.name}") or self.workers.is_busy(name):
            return
        if not pool.lease.has(f"card.{self.name}") and not pool.lease.has(f"nocard.{self.name}"):
            if not pool.is_there() or pool.is_of_lease():
                self.workers.start(name, pool.make)
        elif pool.has_data() and pool.is_of_lease() and self.is_due(f"restart {name}", RETRY_S):
            if not pool.serves():
                self.workers.start(name, pool.restart)

    def look_at_pools(self) -> None:
        for name in files.endings(self.config.pmem, "memory."):
            if is_name(name):
                self.guarded(self._look_at_pool, f"memory.{name}", name)

    def _look_at_pool(self, name: str) -> None:
        pool = self.pool(name)
        if self.workers.is_busy(name) or not pool.is_there():
            return
        if pool.lease.has(f"want.{self.name}") and pool.is_of_lease():
            return
        if self.is_due(f"end {name}", RETRY_S):
            self.workers.start(name, pool.end)

    def look_at_requests(self, names: list[str]) -> None:
        for name in names:
            match = re.fullmatch("job[.]([0-9]{1,18})", name)
            if match:
                self.guarded(self._look_at_request, f"do {name}", Job(self.config, int(match.group(1))))

    def _look_at_request(self, job: Job) -> None:
        if job.has(f"do.{self.name}") and not job.has(f"did.{self.name}") and not self.workers.is_busy(f"do {job.name}"):
            self.workers.start(f"do {job.name}", lambda: answer(self.config, self.name, job))


def memory(config: Config) -> None:
    MemoryNode(config).run()
