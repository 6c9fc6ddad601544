"""The stages of a job on the controller, which burst_buffer.lua calls as SlurmUser.

squeue and scontrol show the user what these write to standard output or error before a failure.
"""
from __future__ import annotations

import os
import re

from . import commands, files, text
from .buffer import Buffer, born
from .config import Config
from .errors import Failure
from .job import Job, all_jobs, numbered
from .lease import GONE, Lease


# ---- setup


def setup(config: Config, number: str, uid: str, gid: str, *wishes: str) -> None:
    """Make the job's folder.  `wishes`: lines of spec."""
    job = Job(config, numbered(number))
    if not files.is_folder(config.state):
        raise Failure(f"the directory STATE={config.state} of pmio-slurm.conf does not exist")
    if text.number(uid) is None or text.number(gid) is None:
        raise Failure(f"job {job.id}: '{uid}' and '{gid}' are not a user's and a group's numbers")
    if any("\n" in wish for wish in wishes):
        raise Failure(f"job {job.id}: a directive contains a newline")
    pool = config.pool_of_job(job.number)
    settings = environment(config, pool, wishes)
    new = new_folder(job)
    files.remove_folder(new.path)
    job.discard()
    files.make_folder(new.path, 0o711)
    new.put("spec", "\n".join([f"uid {uid}", f"gid {gid}", f"born {born()}", f"pool {pool}", *wishes]))
    files.put(new.file("environment"), "".join(f"{line}\n" for line in settings), end="")
    try:
        check_buffers(new, int(uid), job)
    except Failure:
        files.remove_folder(new.path)
        raise
    files.rename(new.path, job.path)
    forget_others(job)


def new_folder(job: Job) -> Lease:
    """Return the job's folder under the name that it has until it is complete."""
    return Lease(job.config, f".new.{job.number}")


def environment(config: Config, pool: str, wishes: tuple[str, ...]) -> list[str]:
    found = []
    if any(wish.startswith("capacity ") for wish in wishes):
        found = [f"PMIO_POOL={pool}", f"PMIO_AGENT={config.pmiod}", "PMIO_IDLE_TIMEOUT=0"]
    settings = [re.fullmatch("set ([a-z_]+) (.*)", wish, re.DOTALL) for wish in wishes]
    found += [f"PMIO_{match.group(1).upper()}={match.group(2)}" for match in settings if match]
    for patterns in [wish.partition(" ")[2] for wish in wishes if wish.startswith("redirect ")]:
        if not config.libraries:
            raise Failure("LIBDIR of pmio-slurm.conf, where the library for redirect= is, is not set")
        found += [f"PMIO_REDIRECT_PATHS={patterns}", f"LD_PRELOAD={config.libraries}/libpmio-redirect.so"]
    return found


def check_buffers(new: Lease, uid: int, job: Job) -> None:
    """Raise unless buffers that the job does not make exist and are its user's, and those that it makes do not exist."""
    made = [value.split(" ")[0] for value in new.values("create")]
    for name in new.values("use") + new.values("destroy"):
        if name not in made:
            Buffer(job.config, name).check_usable(uid)
    for name in made:
        buffer = Buffer(job.config, name)
        if buffer.exists() and not buffer.is_made_by(job):
            raise Failure(f"there is a persistent buffer {name} already")


def forget_others(job: Job) -> None:
    """Remove the folders of jobs that Slurm no longer knows and that have nothing in PMEM: Slurm 22.05 may kill the teardown
    of a cancelled job, and does not call it again."""
    for name in files.endings(job.config.state, GONE):
        files.try_to_remove_folder(f"{job.config.state}/{GONE}{name}")
    others = [other for other in all_jobs(job.config) if other.has_nothing() and other.number != job.number]
    if not others:
        return
    queries = [("squeue", "-h", "-o", "%A"), ("squeue", "-h", "-t", "stage_out", "-o", "%A")]
    answers = [commands.output(*query) for query in queries]
    known = "".join(answer or "" for answer in answers).split("\n")
    if None in answers or job.id not in known:
        return  # Slurm does not answer, or does not show all
    for other in others:
        if other.id not in known:
            other.discard()


# ---- before the job has nodes: get memory nodes, and stage in to them; or check whether staging is possible


def data_in(config: Config, number: str) -> None:
    job = load(config, number)
    for line in job.values("create"):
        name, size, count = numbers_of(line, "create_persistent", 3)
        Buffer(config, name).make(job, size, count)
    lease, room = take_memory_nodes(job)
    if lease is None:
        check_stage_in(job, text.number(job.value("capacity")) or 0, "on each node")
        return
    if not job.has_setting("PMIO_TARGETS"):
        job.use_memory_nodes(lease)
    if not job.values("stage_in"):
        return
    check_stage_in(job, room, "on memory nodes")
    # each memory node reads its part, whichever gets the request
    failures = job.request(lease, "stage-in", lease.memory_nodes()[:1])
    if failures:
        raise Failure("stage_in: " + "; ".join(failures))
    job.put("staged")


def take_memory_nodes(job: Job) -> tuple[Lease | None, int]:
    """Return the lease for the job's files, and its size in bytes."""
    name, targets = job.value("use"), job.value("targets")
    if name:
        buffer = Buffer(job.config, name)
        buffer.check_usable(job.user()[0])
        return buffer, text.number(buffer.value("bytes")) or 0
    if targets:
        count, size = numbers_of(targets, "targets", 2)
        check_stage_in(job, count * size, "on memory nodes")
        job.take(count, size)
        return job, count * size
    return None, 0


def numbers_of(line: str, what: str, words: int) -> list:
    """Parse `[NAME] NUMBER NUMBER`."""
    found = line.split(" ")
    numbers = [text.number(word) for word in found[-2:]]
    if len(found) != words or None in numbers:
        raise Failure(f"{what}: '{' '.join(found[words - 2 :])}' are no numbers")
    return [*found[:-2], *numbers]


def check_stage_in(job: Job, room: int, where: str) -> None:
    """Raise if the user cannot read the files to be staged in, or if they do not fit."""
    if os.geteuid() != 0:
        return  # SlurmUser cannot check it as the user; the nodes will
    user = job.run_as()
    total = 0
    for path in job.values("stage_in"):
        if not user.run("test", "-r", path).ok:
            raise Failure(f"stage_in: {path} cannot be read by the job's user")
        found = user.run("du", "-sbL", "--", path)
        if found.no_end:
            raise Failure(f"stage_in: {path}: {found.why}")
        # it is the user's process, and may print anything
        last = found.lines[-1] if found.lines else ""
        size = text.number(last.split("\t")[0])
        if size is None:
            raise Failure(f"stage_in: {path}: cannot determine its size: {last}")
        total += size
        if total > room:
            raise Failure(f"stage_in: {total} bytes are more than the {room} that the job asked for {where}")


# ---- the job's start and its end


def pre_run(config: Config, number: str) -> None:
    job = load(config, number)
    allocated = (commands.output("squeue", "-h", "-j", job.id, "-o", "%N", errors=None) or "").strip()
    nodes = (commands.output("scontrol", "show", "hostnames", allocated, errors=None) or "").strip() if allocated else ""
    if not nodes:
        raise Failure("the job's nodes are not known: squeue or scontrol did not name them")
    job.put("nodes", nodes)


def post_run(config: Config, number: str) -> None:
    pass


def data_out(config: Config, number: str) -> None:
    """Wait until the nodes' epilogs have drained the data, and have the memory nodes drain theirs."""
    job = load(config, number)
    if not job.nodes():
        return  # it did not get any
    check_out([why for why in map(job.wait_for_node, job.nodes()) if why])
    name = job.value("use")
    if name:
        if job.values("stage_out"):
            check_out(job.request(Buffer(config, name), "stage-out"))
    elif job.has("memory_nodes") and "PMIO_DRAIN=aggregate" not in job.settings():
        check_out(job.request(job, "drain"))
    for name in job.values("destroy"):
        check_out(Buffer(config, name).destroy(job))
    job.put("out")


def check_out(failures: list[str]) -> None:
    if failures:
        raise Failure("stage-out: " + "; ".join(failures))


def teardown(config: Config, number: str, hurry: str = "") -> None:
    """Remove what is left of the job.  May be called twice, and while a data_out still runs."""
    job = Job(config, numbered(number))
    for name in job.buffer_names("create"):
        Buffer(config, name).drop_unmade(job)
    for name in job.values("destroy"):
        Buffer(config, name).keep(job)
    job.discard()
    files.remove_folder(new_folder(job).path)


def load(config: Config, number: str) -> Job:
    job = Job(config, numbered(number))
    if not job.has("spec"):
        raise Failure(f"{job.file('spec')} is not there")
    job.user()
    return job
