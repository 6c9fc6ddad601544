"""Emptying a job's pool; pools that were kept because that failed, and `pmio-slurm retry`, as root."""
from __future__ import annotations

import os
import re

from . import files, text
from .config import Config, node_name
from .errors import Failure, explain
from .job import Job
from .pool import Pool
from .user import User


def empty(pool: Pool) -> None:
    """Drain the pool and remove it; raise if data remain in it.

    The job's agent may be paused, or stopped: its processes are ended, and the drain starts a new agent.
    """
    if pool.has_data():
        pool.try_to_end_processes("--target")
        pool.try_to_end_processes()
        pool.drain_all()
        pool.drain_by_name()
        pool.stop_agent()
        pool.destroy()
    pool.remove()  # without the file `data` it is not a pool


def progress_file(job: Job, node: str) -> str:
    """Return the name of the job's progress file; nothing if the job's folder does not exist, or is not visible."""
    return job.file(f"progress.{node}") if os.path.isdir(job.path) else ""


# ---- pools that are kept


def kept_name(config: Config, number: int) -> str:
    base = path = f"{config.pmem}/kept.{number}"
    count = 1
    while os.path.lexists(path):
        count += 1
        path = f"{base}.{count}"
    return path


def owner_file(path: str) -> str:
    """Return the name of the file, beside a kept pool, that records its owner."""
    folder, name = os.path.split(path)
    return f"{folder}/.{name}.owner"


def owner_of(path: str) -> tuple[int, int]:
    """Return the owner of a kept pool.  One that the administrator has renamed has no such file: its folder's owner."""
    words = files.first_line(owner_file(path)).split()
    if not words:
        return files.owner(path)
    numbers = [text.number(word) for word in words]
    if len(numbers) != 2 or None in numbers:
        raise Failure(f"unknown owner: write the numbers of the user and the group into {owner_file(path)}")
    return numbers[0], numbers[1]


def lock(pool: Pool) -> None:
    """Give the pool to root until retry, so that no data are added to it."""
    files.put(owner_file(pool.path), f"{pool.user.uid} {pool.user.gid}")
    pool.lock()


def retry(config: Config) -> None:
    results = [retry_pool(config, f"{config.pmem}/kept.{name}") for name in files.endings(config.pmem, "kept.")]
    if not all(results):
        raise SystemExit(1)


def retry_pool(config: Config, path: str) -> bool:
    if not files.is_folder(path):
        return True
    match = re.match("[0-9]+", os.path.basename(path)[len("kept.") :])
    number = text.number(match.group()) if match else None
    if number is None:
        return complain(path, "unknown job: its name must be kept.ID")
    job, node = Job(config, number), node_name()
    try:
        pool = Pool(path, User(config, *owner_of(path), path, progress=progress_file(job, node)))
        pool.give_to_user()
    except (Failure, OSError) as error:
        return complain(path, explain(error))
    try:
        empty(pool)
    except (Failure, OSError) as error:
        why = text.plain(explain(error))
        keep_again(pool)
        job.try_to_put(f"drained.{node}", f"1 data wait in {path}: {why}")
        return complain(path, why)
    files.remove(owner_file(path))
    text.show(f"{path}: all data are out")
    job.try_to_put(f"drained.{node}", "0")
    return True


def keep_again(pool: Pool) -> None:
    pool.try_to_end_processes()
    try:
        lock(pool)
    except OSError as error:
        text.say(explain(error))


def complain(path: str, why: str) -> bool:
    text.write(2, f"{path}: {why}\n")
    return False
