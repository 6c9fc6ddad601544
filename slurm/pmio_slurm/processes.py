"""Agents and targets: processes of pmiod that serve a pool."""
from __future__ import annotations

import os
import signal

from . import clock, text
from .errors import Failure

END_S = 10  # time for a process to end before it is killed


def read(path: str) -> bytes:
    """Return the contents of a file of /proc; nothing if the process has ended, or is not visible."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def real_uid(pid: str) -> int | None:
    for line in read(f"/proc/{pid}/status").split(b"\n"):
        if line.startswith(b"Uid:"):
            return int(line.split()[1])
    return None


def serving(pool: str, uid: int, option: str = "--pool") -> list[int]:
    """Return processes of this user that are named pmiod and have this pool and this option; users can name any program so.
    The program's file is not compared, as users may have a pmiod of their own, which then still is the pool's agent."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        if read(f"/proc/{pid}/comm").strip() != b"pmiod" or real_uid(pid) != uid:
            continue
        arguments = b" " + b" ".join(read(f"/proc/{pid}/cmdline").split(b"\0")) + b" "
        if all(b" " + text.encode(word) + b" " in arguments for word in (pool, option)):
            found.append(int(pid))
    return found


def end(pool: str, uid: int, option: str = "--pool") -> None:
    """End the processes with TERM, and those that do not react with KILL; their data are in the pool."""
    begun = clock.now()
    kill_all(serving(pool, uid, option), signal.SIGTERM)

    def are_gone() -> bool:
        pids = serving(pool, uid, option)
        late = clock.now() - begun
        if pids and late >= 2 * END_S:
            raise Failure(f"{pool}: processes of pmiod do not end: {' '.join(map(str, pids))}")
        if late >= END_S:
            kill_all(pids, signal.SIGKILL)
        return not pids

    clock.wait_for(are_gone, 0.1)


def kill_all(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass
