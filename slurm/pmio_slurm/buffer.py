"""A persistent buffer, STATE/buffer.NAME: pools on memory nodes that stay when the job that made them has ended."""
from __future__ import annotations

import os
import time

from . import clock, files, memory_nodes
from .config import Config
from .errors import Failure
from .job import Job, all_jobs
from .lease import Lease


class Buffer(Lease):
    def __init__(self, config: Config, name: str) -> None:
        super().__init__(config, f"buffer.{name}")
        self.label = name

    def is_ready(self) -> bool:
        return self.has("ready")

    def is_made_by(self, job: Job) -> bool:
        return self.value("job") == job.id

    def check_usable(self, uid: int) -> None:
        if not self.is_ready():
            raise Failure(f"there is no persistent buffer {self.label}")
        if self.value("uid") != str(uid):
            raise Failure(f"the persistent buffer {self.label} is not this user's")

    # ---- made

    def make(self, job: Job, size: int, count: int) -> None:
        """Make the buffer, with pools on `count` memory nodes; 0: on all that are up."""
        if self.is_ready() and self.is_made_by(job):
            return
        count = count or len(memory_nodes.up(self.config))
        if count == 0:
            raise Failure("create_persistent: no memory node is up")
        self.drop_unmade(job)
        self._make_folder(job, size)
        self.take(count, -(-size // count))
        self.put("ready")

    def _make_folder(self, job: Job, size: int) -> None:
        new = self._new_folder(job)
        uid, gid = job.user()
        files.remove_folder(new)
        files.make_folder(new, 0o711)
        files.put(f"{new}/spec", f"uid {uid}\ngid {gid}\nborn {born()}\njob {job.id}\nbytes {size}")
        try:
            files.rename(new, self.path)
        except OSError:
            files.remove_folder(new)
            raise Failure(f"create_persistent: there is a buffer {self.label} already") from None

    def _new_folder(self, job: Job) -> str:
        return f"{self.config.state}/.new.{self.name}.{job.id}"

    def drop_unmade(self, job: Job) -> None:
        """Discard the buffer if this job has begun to make it and it is not complete."""
        files.remove_folder(self._new_folder(job))
        if self.exists() and not self.is_ready() and self.is_made_by(job):
            self.discard()

    # ---- destroyed

    def users(self, job: Job) -> list[str]:
        """Return the other jobs that use it."""
        return [other.id for other in all_jobs(self.config) if other.number != job.number and self.label in other.values("use")]

    def destroy(self, job: Job) -> list[str]:
        """Wait until no other job uses it, and destroy it; return what failed."""
        mark = f"destroys.{self.label}"
        if self.is_ready():
            clock.wait_for(lambda: self._is_unused(job), 1)
            job.remove("waits")
            job.put(mark)
            try:
                # no job can begin to use it from here on
                files.rename(self.file("ready"), self.file("going"))
            except FileNotFoundError:
                return []  # another job destroys it
        elif not (self.has("going") and job.has(mark)):
            return []  # it does not exist, or another job destroys it; else a call that was killed had begun
        failures = job.request(self, "drain")
        if failures:
            self.keep(job)
        else:
            self.discard()
        job.remove(mark)
        return failures

    def keep(self, job: Job) -> None:
        """If this job has begun to destroy the buffer, make it usable again."""
        if job.has(f"destroys.{self.label}"):
            try:
                files.rename(self.file("going"), self.file("ready"))
            except FileNotFoundError:
                pass

    def _is_unused(self, job: Job) -> bool:
        users = self.users(job)
        if users:
            job.put("waits", f"destroy_persistent: buffer {self.label} is used by job {' '.join(users)}")
            job.check_exists("the job was torn down")
        return not users


def born() -> str:
    """Return a mark that distinguishes folders of one name that existed at different times."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return f"{seconds}.{nanoseconds:09d}.{os.getpid()}"


def all_buffers(config: Config) -> list[Buffer]:
    buffers = [Buffer(config, name) for name in files.endings(config.state, "buffer.")]
    return [buffer for buffer in buffers if buffer.exists()]
