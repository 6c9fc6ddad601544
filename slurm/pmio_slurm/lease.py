"""A lease: a folder in STATE that represents the pools of a job or of a persistent buffer on memory nodes."""
from __future__ import annotations

import os
import re

from . import clock, files, memory_nodes, text
from .config import Config
from .errors import Failure, explain

GONE = ".gone."  # beginning of the names of folders that are being removed
ANSWER_S = 60  # limit for the answer of a memory node; after that only a node that is up is waited for
NAMES = re.compile(r"job\.[0-9]+|buffer\.[A-Za-z0-9][A-Za-z0-9_-]*")


def is_name(name: str) -> bool:
    return NAMES.fullmatch(name) is not None


class Lease:
    def __init__(self, config: Config, name: str) -> None:
        self.config = config
        self.name = name
        self.path = f"{config.state}/{name}"

    # ---- its files

    def file(self, name: str) -> str:
        return f"{self.path}/{name}"

    def exists(self) -> bool:
        return files.is_folder(self.path)

    def has(self, name: str) -> bool:
        return files.exists(self.file(name))

    def read(self, name: str) -> str:
        return files.read(self.file(name)).rstrip("\n")

    def put(self, name: str, content: str = "") -> None:
        files.put(self.file(name), content)

    def try_to_put(self, name: str, content: str = "") -> None:
        """Write a file of the lease; log it if that fails, as the work that it records is done."""
        try:
            self.put(name, content)
        except OSError as error:
            text.say(f"{self.name}: {explain(error)}")

    def remove(self, name: str) -> None:
        files.remove(self.file(name))

    def values(self, word: str) -> list[str]:
        """Return the rest of each line of spec that begins with this word."""
        return [line[len(word) + 1 :] for line in files.lines(self.file("spec")) if line.startswith(word + " ")]

    def value(self, word: str) -> str:
        return "\n".join(self.values(word))

    def user(self) -> tuple[int, int]:
        uid, gid = text.number(self.value("uid")), text.number(self.value("gid"))
        if uid is None or gid is None:
            raise Failure(f"{self.file('spec')} has no user")
        return uid, gid

    def check_exists(self, why: str) -> None:
        if not self.exists():
            raise Failure(why)

    def discard(self) -> None:
        """Remove the folder, atomically for other processes.  If this is killed the next job's setup removes the rest."""
        gone = f"{self.config.state}/{GONE}{self.name}.{os.getpid()}"
        files.remove_folder(gone)
        try:
            files.rename(self.path, gone)
        except FileNotFoundError:
            return
        files.try_to_remove_folder(gone)

    # ---- its pools on memory nodes

    def memory_nodes(self) -> list[str]:
        return files.lines(self.file("memory_nodes"))

    def cards(self) -> list[str]:
        return [self.file(f"card.{node}") for node in self.memory_nodes()]

    def take(self, count: int, size: int) -> None:
        """Get pools on `count` memory nodes; wait until they have room."""
        if self.has("memory_nodes"):
            return  # a call that was killed had got them
        able, _ = memory_nodes.choose(self.config, count, size)
        if able < count:
            raise Failure(f"{count} memory nodes with {size} bytes each are requested, {able} are available")
        self._withdraw()
        # from here on wait, also for nodes that are down for a while
        nodes = clock.wait_for(lambda: self._try_to_take(count, size), 1)
        self.remove("waits")
        self.put("memory_nodes", "\n".join(nodes))

    def _try_to_take(self, count: int, size: int) -> list[str]:
        nodes = memory_nodes.choose(self.config, count, size)[1]
        if len(nodes) < count:
            self.put("waits", f"waits until {count} memory nodes have {size} bytes free")
            nodes = []
        elif not self._ask_for_pools(nodes, size):
            nodes = []
        self.check_exists("it was torn down")
        return nodes

    def _ask_for_pools(self, nodes: list[str], size: int) -> bool:
        for node in nodes:
            self.put(f"want.{node}", str(size))
        failed = [node for node in nodes if not self._wait_for_card(node)]
        if not failed:
            return True
        self.put("waits", f"waits for memory nodes: {failed[-1]}: {self.read('nocard.' + failed[-1])}")
        self._withdraw()
        return False

    def _withdraw(self) -> None:
        files.remove_all(self.path, "want.", "card.", "nocard.")

    def _wait_for_card(self, node: str) -> bool:
        """Wait for the node's answer; False: it has no pool, and nocard.NODE says why."""
        end = clock.now() + ANSWER_S

        def is_answered() -> bool:
            if self.has(f"card.{node}") or self.has(f"nocard.{node}"):
                return True
            if clock.now() >= end and not memory_nodes.is_up(self.config, node):
                raise Failure(f"memory node {node} does not answer")
            self.check_exists("it was torn down")
            return False

        clock.wait_for(is_answered)
        return self.has(f"card.{node}")
