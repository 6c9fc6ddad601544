"""pmio-slurm.conf: lines KEY=VALUE, which burst_buffer.lua reads as well."""
from __future__ import annotations

import os
import re

from . import files, text
from .errors import Failure

SPACE = " \t\n\v\f\r"
DEFAULTS = {
    "STATE": "", "PMEM": "", "PMIO": "pmio", "PMIOD": "pmiod", "MEMORY_ADDRESS": "", "NODE_CAPACITY": "", "STALL": "900",
    "LONGEST": "86400", "LIBDIR": "",
}  # fmt: skip


class Config:
    def __init__(self, path: str) -> None:
        values = dict(DEFAULTS)
        for key, value in settings(path):
            if key in values:
                values[key] = value
        for key in ("STATE", "PMEM"):
            if not values[key]:
                raise Failure(f"{path}: {key} is not set")
        self.state = values["STATE"]
        self.pmem = values["PMEM"]
        self.pmio = values["PMIO"]
        self.pmiod = values["PMIOD"]
        self.libraries = values["LIBDIR"]
        self.memory_address = values["MEMORY_ADDRESS"]
        stall, longest = text.number(values["STALL"]), text.number(values["LONGEST"])
        if stall is None or longest is None:
            raise Failure(f"{path}: STALL and LONGEST are numbers of seconds")
        self.stall = stall
        self.longest = longest
        capacity = text.size(values["NODE_CAPACITY"])
        if capacity is None:
            raise Failure(f"{path}: NODE_CAPACITY is not a size, such as 1.5TiB")
        self.node_capacity = capacity

    def pool_of_job(self, number: int) -> str:
        return f"{self.pmem}/job.{number}"


def settings(path: str) -> list[tuple[str, str]]:
    try:
        with open(path, "rb") as file:
            content = text.decode(file.read())
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from None
    found = [re.fullmatch(rf"[{SPACE}]*([A-Z_]+)=(.*)", line, re.DOTALL) for line in content.split("\n")]
    return [(match.group(1), match.group(2).rstrip(SPACE)) for match in found if match]


def node_name() -> str:
    """Return this node's name in STATE."""
    return os.environ.get("SLURMD_NODENAME") or host_name()


def host_name() -> str:
    return os.uname().nodename.split(".")[0]


def find() -> str:
    named = os.environ.get("PMIO_SLURM_CONF")
    if named:
        return named
    beside = os.path.join(os.path.dirname(os.environ.get("SLURM_CONF", "")), "pmio-slurm.conf")
    if os.environ.get("SLURM_CONF") and files.exists(beside):
        return beside
    return "/etc/slurm/pmio-slurm.conf"
