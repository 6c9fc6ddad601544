"""A job: its folder STATE/job.ID."""
from __future__ import annotations

import re

from . import clock, files, text
from .config import Config
from .errors import Failure
from .lease import Lease
from .user import User, settings_of


class Job(Lease):
    def __init__(self, config: Config, number: int) -> None:
        super().__init__(config, f"job.{number}")
        self.number = number

    @property
    def id(self) -> str:
        return str(self.number)

    # ---- what it has requested

    def run_as(self) -> User:
        return User(self.config, *self.user(), self.value("pool"), self.settings())

    def buffer_names(self, word: str) -> list[str]:
        """Return the names in the lines `create NAME BYTES COUNT`, `use NAME` or `destroy NAME`."""
        return [value.split(" ")[0] for value in self.values(word)]

    # ---- the settings of its programs

    def settings(self) -> list[str]:
        return settings_of(self.file("environment"))

    def has_setting(self, name: str) -> bool:
        return any(line.startswith(name + "=") for line in self.settings())

    def use_memory_nodes(self, lease: Lease) -> None:
        """Add settings by which its programs find the memory nodes, through their endpoint descriptors ("cards")."""
        added = ["PMIO_TARGETS=" + ",".join(lease.cards())]
        is_buffer = lease.name != self.name
        if is_buffer and not self.has_setting("PMIO_DRAIN"):
            added.append("PMIO_DRAIN=hold")
        if (is_buffer or self.values("stage_in")) and not self.has_setting("PMIO_PLACEMENT"):
            added.append("PMIO_PLACEMENT=remote")
        self.put("environment", "\n".join([*files.lines(self.file("environment")), *added]))

    # ---- requests to memory nodes

    def request(self, lease: Lease, what: str, nodes: list[str] | None = None) -> list[str]:
        """Have `what` done for this job on the lease's memory nodes, or on `nodes`; return what failed."""
        if nodes is None:
            nodes = lease.memory_nodes()
        files.remove_all(self.path, "do.", "did.")
        for node in nodes:
            self.put(f"do.{node}", f"{what} {lease.name}")
        failures = [why for why in map(self._wait_for_request, nodes) if why]
        files.remove_all(self.path, "do.")
        return failures

    def _wait_for_request(self, node: str) -> str:
        def is_done() -> bool:
            if self.has(f"did.{node}"):
                return True
            self.check_exists("the job was torn down")
            return False

        clock.wait_for(is_done)
        return failure_of(node, files.first_line(self.file(f"did.{node}")))

    # ---- its nodes

    def nodes(self) -> list[str]:
        return [node for node in files.lines(self.file("nodes")) if node]

    def wait_for_node(self, node: str) -> str:
        """Wait until the node's epilog has drained the data; return why it could not."""
        if not self.has(f"begun.{node}") or self.has(f"failed.{node}"):
            return ""

        def is_drained() -> bool:
            if self.has(f"drained.{node}") or self.has(f"failed.{node}"):
                return True
            self.check_exists("the job was torn down before its data were out")
            return False

        clock.wait_for(is_drained)
        if not self.has(f"drained.{node}"):
            return ""
        return failure_of(node, files.first_line(self.file(f"drained.{node}")))

    def has_nothing(self) -> bool:
        """Return whether no data are left in PMEM: it had no nodes, or its data are drained."""
        if self.has("out"):
            return True
        for node in files.endings(self.path, "begun."):
            if not self.has(f"failed.{node}") and not self.read(f"drained.{node}").startswith("0"):
                return False
        return not self.has("nodes") or not self.has("memory_nodes")


def failure_of(node: str, line: str) -> str:
    """Return the failure in a result line `0`, or `1 WHY`; an empty string for 0."""
    status, _, why = line.partition(" ")
    return "" if status == "0" else f"{node}: {why}"


def numbered(word: str) -> int:
    number = text.number(word)
    if number is None:
        raise Failure(f"'{word}' is not a job's number")
    return number


def all_jobs(config: Config) -> list[Job]:
    jobs = [Job(config, int(name)) for name in files.endings(config.state, "job.") if re.fullmatch("0|[1-9][0-9]*", name)]
    return [job for job in jobs if job.exists()]
