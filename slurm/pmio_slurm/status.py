"""The output of scontrol show bbstat, which all users can see."""
from __future__ import annotations

from . import files, memory_nodes, text
from .buffer import Buffer, all_buffers
from .config import Config
from .errors import Failure
from .job import Job, all_jobs
from .lease import Lease


def status(config: Config, *numbers: str) -> None:
    asked = [text.number(word) for word in numbers]
    for word, value in zip(numbers, asked):
        if value is None:
            raise Failure(f"'{word}' is not a job's number")
    if asked:
        for value in asked:
            show_job(Job(config, value))
        return
    for job in all_jobs(config):
        show_job(job)
    for buffer in all_buffers(config):
        show_buffer(buffer)
    for node in memory_nodes.up(config):
        text.show(f"memory node {node.name}: {node.free} of {node.size} bytes free")
        for line in files.lines(f"{config.state}/memory.{node.name}")[1:]:
            text.show(f"  {line}")


def show_job(job: Job) -> None:
    if not job.exists():
        text.show(f"job {job.id}: pmio has nothing for it")
        return
    capacity = job.value("capacity")
    if capacity:
        text.show(f"job {job.id}: uid {job.value('uid')}, {capacity} bytes on each node, pool {job.value('pool')}")
    else:
        text.show(f"job {job.id}: uid {job.value('uid')}, no pools on its nodes")
    if job.value("use"):
        text.show(f"  uses buffer {job.value('use')}")
    show_memory(job)
    if not job.nodes():
        text.show("  has no nodes yet")
    for node in job.nodes():
        text.show(f"  {node}: {state_of(job, node)}")
        show_if_there(job, f"warning.{node}", f"{node}: ")


def state_of(job: Job, node: str) -> str:
    if job.has(f"drained.{node}"):
        result, _, why = files.first_line(job.file(f"drained.{node}")).partition(" ")
        return "all data are out" if result == "0" else why
    if job.has(f"failed.{node}"):
        return f"no pool: {job.read('failed.' + node)}"
    if job.has(f"progress.{node}"):
        return f"stage-out{progress_of(job, 'progress.' + node)}"
    if job.has(f"ready.{node}"):
        return "pool ready"
    return "making a pool" if job.has(f"begun.{node}") else "not begun"


def show_memory(job: Job) -> None:
    show_if_there(job, "waits")
    for node in job.memory_nodes():
        text.show(f"  memory node {node}: pool ready")
    for node in files.endings(job.path, "do."):
        what = files.first_line(job.file(f"do.{node}")).split(" ")[0]
        text.show(f"  memory node {node}: {what}{progress_of(job, 'memory_progress.' + node)}")


def show_buffer(buffer: Buffer) -> None:
    nodes = "".join(f" {node}" for node in buffer.memory_nodes())
    text.show(f"buffer {buffer.label}: uid {buffer.value('uid')}, {buffer.value('bytes')} bytes on memory nodes{nodes}")
    if buffer.has("going"):
        text.show("  is being destroyed")
    elif not buffer.is_ready():
        text.show(f"  is being made by job {buffer.value('job')}")
    show_if_there(buffer, "waits")


def show_if_there(lease: Lease, name: str, label: str = "") -> None:
    if lease.has(name):
        text.show(f"  {label}{lease.read(name)}")


def progress_of(job: Job, name: str) -> str:
    """Return the progress of a command of pmio, from the job's file `name`."""
    done, _, total = files.first_line(job.file(name)).partition(" ")
    return f": {done} of {total} bytes" if total else ""
