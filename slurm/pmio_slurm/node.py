"""Prolog and epilog on the nodes, as root.

The pool of a job is PMEM/job.ID, which belongs to the job's user.  Agent and target are started here, so that they do not
belong to a step of the job and end with it.
"""
from __future__ import annotations

import errno
import os

from . import clock, commands, files, text
from .config import Config, node_name
from .errors import Failure, explain
from .job import Job
from .pool import Pool, room
from .retry import empty, kept_name, lock, progress_file
from .user import User

SLURM_S = 60  # for each of Slurm's commands


# ---- prolog
#
# Slurm takes a node out of service when its prolog fails.  So the prolog fails if something is wrong with the node, and not
# for anything that a user can cause: requesting too much, or ending processes that run as the user here.


class Fault(Failure):
    """Something is wrong with the node."""


class Never(Failure):
    """The job requests something that no node can provide."""


class NoRoom(Failure):
    """The job cannot have its pool on this node now."""


class Node:
    def __init__(self, config: Config) -> None:
        number = text.number(os.environ.get("SLURM_JOB_ID") or "0")
        if number is None:
            raise Failure("SLURM_JOB_ID is not a number")
        self.config = config
        self.job = Job(config, number)
        self.name = node_name()
        self.path = config.pool_of_job(number)

    def mark(self, name: str, content: str = "") -> None:
        self.job.put(f"{name}.{self.name}", content)

    def try_to_mark(self, name: str, content: str = "") -> None:
        self.job.try_to_put(f"{name}.{self.name}", content)


def prolog(config: Config) -> None:
    node = Node(config)
    capacity, user = wish_of(node)
    if not capacity:
        return
    pool = Pool(node.path, user)
    try:
        begin(node)
        make_pool(node, pool, capacity)
    except Failure as error:
        refuse(node, pool, error)
        return
    stage_in(node, pool)
    node.try_to_mark("ready")


def wish_of(node: Node) -> tuple[str, User | None]:
    """Return the job's capacity on each node, and its user: from its folder, else from --pmem; or nothing for other jobs."""
    if node.job.has("spec"):
        return node.job.value("capacity"), User(node.config, *node.job.user(), node.path, node.job.settings())
    capacity = os.environ.get("SPANK_PMIO_CAPACITY", "")
    if not capacity:
        return "", None
    owner = user_of_job(node)
    if owner is None:
        raise Failure(f"job {node.job.id}: its owner is unknown: Slurm has not set SLURM_JOB_UID and SLURM_JOB_GID")
    return capacity, User(node.config, *owner, node.path)


def begin(node: Node) -> None:
    """Mark that the node may have data: the stage-out waits for nodes with this mark, so without it no pool is made."""
    try:
        node.mark("begun")
    except OSError as error:
        raise NoRoom(f"no pool is made, as that cannot be noted in STATE: {explain(error)}") from None


def make_pool(node: Node, pool: Pool, capacity: str) -> None:
    size = text.number(capacity)
    if size is None:
        raise Never(f"'{capacity}' is not a number of bytes")
    if size > node.config.node_capacity:
        raise Never(f"the job requests {size} bytes on each node, but a node has {node.config.node_capacity}")
    if os.path.lexists(pool.path):
        raise Fault(f"{pool.path} exists already")
    check_room(node.config, size)
    try:
        pool.make_folder(size)
        pool.give_to_user()
    except OSError as error:
        raise (NoRoom if is_full(error) else Fault)(f"cannot make {explain(error)}") from None
    try:
        pool.create(size)
        pool.start_agent()
        if is_of_several_nodes():
            pool.start_target().check()
    except Failure as error:
        raise users_fault(node.config)(f"no pool could be made: {error}") from None


def check_room(config: Config, size: int) -> None:
    if not files.is_folder(config.pmem):
        raise Fault(f"{config.pmem} is not there")
    try:
        free, _ = room(config)
    except Failure as error:
        raise Fault(str(error)) from None
    if free < size:
        raise NoRoom(f"{config.pmem} has {free} bytes free, but the job requests {size}")


def is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_of_several_nodes() -> bool:
    nodes = os.environ.get("SLURM_NODELIST") or os.environ.get("SLURM_JOB_NODELIST") or ""
    return "," in nodes or "[" in nodes


def users_fault(config: Config) -> type[Failure]:
    """Classify the failure of a user's command: the user has caused it, unless root cannot run the program either."""
    runs = all(commands.output(program, "--version") is not None for program in (config.pmio, config.pmiod))
    return NoRoom if runs else Fault


def stage_in(node: Node, pool: Pool) -> None:
    paths = node.job.values("stage_in")
    if not paths or node.job.has("staged"):  # to memory nodes
        return
    done = pool.user.pmio("stage-in", "--json", "--", *paths)
    if not done.ok:
        why = text.plain(done.why)
        node.try_to_mark("warning", f"stage_in: {why}")
        text.say(f"job {node.job.id}: stage_in: {why}")


# ---- a prolog that has no pool


def refuse(node: Node, pool: Pool, error: Failure) -> None:
    why = text.plain(str(error))
    node.try_to_mark("failed", why)
    if pool.made:  # no program of the job has run: there are no data in it
        remove(pool)
    text.say(f"job {node.job.id}: {why}")
    if not isinstance(error, (NoRoom, Never)) or not end_job(node, why, hold=isinstance(error, NoRoom)):
        raise SystemExit(1)


def remove(pool: Pool) -> None:
    pool.try_to_end_processes()
    try:
        pool.remove()
    except OSError as error:
        text.say(explain(error))


def end_job(node: Node, why: str, hold: bool) -> bool:
    """Prevent the start of the job's script.  With `hold` the job is requeued and held until it is released, as after a
    failed prolog.  Jobs that must not wait, and those of srun and salloc, which cannot, are cancelled: programs of srun may
    start before they are killed.  False: Slurm was not reached."""
    job, message = node.job.id, f"pmio: {node.name}: {why}"
    slurm("scontrol", "update", f"jobid={job}", f"admincomment={message}")
    if not (hold and slurm("scontrol", "requeuehold", job) is not None) and is_running(job):
        slurm("scontrol", "notify", job, message)
        if slurm("scancel", job) is None:
            return False
    # the messages of slurmctld must arrive before the script could start
    clock.wait_for(lambda: not is_running(job), 0.5, limit=10)
    clock.sleep(1)
    return True


def is_running(job: str) -> bool:
    """Return whether the job is still running: another node may have ended it already."""
    return (slurm("squeue", "-h", "-j", job, "-o", "%T") or "").strip() in ("RUNNING", "CONFIGURING")


def slurm(*words: str) -> str | None:
    """Return the output of one of Slurm's commands; None if it fails."""
    return commands.output(*words, limit=SLURM_S)


# ---- epilog


def epilog(config: Config) -> None:
    """Run the epilog.  It succeeds in any case, as Slurm would otherwise take the node out of service."""
    try:
        leave(Node(config))
    except Exception as error:
        text.say(f"epilog: {explain(error)}")


def leave(node: Node) -> None:
    if not files.is_folder(node.path):
        return
    user = User(node.config, *owner_of(node), node.path, settings_of(node), progress_file(node.job, node.name))
    pool = Pool(node.path, user)
    try:
        empty(pool)
    except (Failure, OSError) as error:
        keep(node, pool, text.plain(explain(error)))
    else:
        node.try_to_mark("drained", "0")


def owner_of(node: Node) -> tuple[int, int]:
    """Return the owner of the pool.  If root owns the pool of another user's job, making or removing it was interrupted: then
    it is given to the job's user.  Its contents are not accessed as root."""
    uid, gid = files.owner(node.path)
    if uid == 0:
        uid, gid = user_of_job(node) or (uid, gid)
        files.give(node.path, uid, gid)
    return uid, gid


def settings_of(node: Node) -> list[str]:
    """Return the job's settings; none if they cannot be read, as data are drained without them, too."""
    try:
        return node.job.settings()
    except OSError as error:
        text.say(f"job {node.job.id}: {explain(error)}")
        return []


def user_of_job(node: Node) -> tuple[int, int] | None:
    if node.job.has("spec"):
        return node.job.user()
    uid, gid = (text.number(os.environ.get(name, "")) for name in ("SLURM_JOB_UID", "SLURM_JOB_GID"))
    return None if uid is None or gid is None else (uid, gid)


def keep(node: Node, pool: Pool, why: str) -> None:
    """Keep the pool under another name, as the job may run on this node again."""
    pool.try_to_end_processes()
    path = pool.path
    try:
        to = kept_name(node.config, node.job.number)
        files.rename(path, to)
        path = to
        lock(Pool(to, pool.user))
    except OSError as error:
        text.say(f"job {node.job.id}: {explain(error)}")
    message = f"data wait in {path}: {why}"
    text.say(f"job {node.job.id}: {message}")
    node.try_to_mark("drained", f"1 {message}")
