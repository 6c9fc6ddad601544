"""Memory nodes, as the controller sees them: each writes STATE/memory.NODE every few seconds."""
from __future__ import annotations

import os

from . import files, text
from .config import Config

GONE_S = 30  # a memory node that has not written for this long is down


class MemoryNode:
    def __init__(self, name: str, free: int, size: int) -> None:
        self.name = name
        self.free = free  # bytes
        self.size = size


def up(config: Config) -> list[MemoryNode]:
    now = _time_of_file_system(config)
    found = (_read(config, name, now) for name in files.endings(config.state, "memory."))
    return [node for node in found if node]


def _time_of_file_system(config: Config) -> int:
    path = f"{config.state}/.now.{os.getpid()}"
    files.put(path, "")
    try:
        return int(os.stat(path).st_mtime)
    finally:
        files.remove(path)


def _read(config: Config, name: str, now: int) -> MemoryNode | None:
    path = f"{config.state}/memory.{name}"
    try:
        written = int(os.stat(path).st_mtime)
    except FileNotFoundError:
        return None  # it has just been stopped
    numbers = [text.number(word) for word in files.first_line(path).split()]
    if now - written > GONE_S or len(numbers) != 2 or None in numbers:
        return None
    return MemoryNode(name, *numbers)


def is_up(config: Config, name: str) -> bool:
    return any(node.name == name for node in up(config))


def choose(config: Config, count: int, size: int) -> tuple[int, list[str]]:
    """Return how many nodes are large enough, and up to `count` nodes that have room now, those with most free first."""
    nodes = up(config)
    fitting = sorted(((node.free, node.name) for node in nodes if node.free >= size), reverse=True)
    able = sum(node.size >= size for node in nodes)
    return able, [name for _, name in fitting[:count]]
