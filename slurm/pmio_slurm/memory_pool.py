"""The pool of a lease on this memory node: PMEM/memory.job.ID or PMEM/memory.buffer.NAME.  Runs as root, beside the loop."""
from __future__ import annotations

from . import files, text
from .config import Config
from .errors import Failure, NoEnd, explain
from .job import Job
from .lease import Lease, is_name
from .pool import Pool, room
from .user import User

MARKS_S = 60  # for how long files that other nodes use keep a pool
CARD_MAX = 8192
CARD_LINES = 100


class MemoryPool(Pool):
    def __init__(self, config: Config, node: str, lease: str) -> None:
        self.node = node
        self.lease = Lease(config, lease)
        self.name = f"memory.{lease}"
        path = f"{config.pmem}/{self.name}"
        super().__init__(path, User(config, -1, -1, path))

    # ---- files beside the pool

    def born_file(self) -> str:
        """Return the name of the file that tells for which lease of that name the pool was made."""
        return f"{self.config.pmem}/.{self.name}.born"

    def why_file(self) -> str:
        """Return the name of the file that tells why the pool cannot be emptied."""
        return f"{self.config.pmem}/.{self.name}.why"

    def is_of_lease(self) -> bool:
        """Return whether the pool belongs to the current lease, not to an earlier one of the same name."""
        return self.lease.value("born") == files.read(self.born_file()).rstrip("\n")

    # ---- the user that runs its commands

    def run_as(self, uid: int, gid: int, settings: list[str] | None = None, progress: str = "") -> None:
        self.user = User(self.config, uid, gid, self.path, settings, progress)

    def run_as_owner(self, settings: list[str] | None = None, progress: str = "") -> bool:
        """Run commands as the owner of the pool's folder; False: there is no pool."""
        try:
            uid, gid = files.owner(self.path)
        except FileNotFoundError:
            return False
        if uid == 0 and self.has_data():  # root cannot submit such jobs
            raise Failure(f"{self.path} belongs to root, not to its user: remove it, or chown it to the user")
        self.run_as(uid, gid, settings, progress)
        return True

    # ---- making it

    def make(self) -> None:
        """Make the pool that the lease wants; write its card, or why there is none."""
        try:
            self.run_as(*self.lease.user())
        except Failure:
            return  # the lease is going
        try:
            self._make()
            self.start()
        except (Failure, OSError) as error:
            self.lease.put(f"nocard.{self.node}", text.plain(explain(error)))
            self.try_to_end_processes()
            if self.made:  # else there may be data in it: it is emptied when the lease does not want it any more
                files.remove_folder(self.path)
                files.remove(self.born_file())

    def _make(self) -> None:
        wanted = files.first_line(self.lease.file(f"want.{self.node}")).strip()
        size = text.number(wanted)
        if size is None:
            raise Failure(f"'{wanted}' is not a number of bytes")
        if self.has_data():
            return
        free, _ = room(self.config)
        if free < size:
            raise Failure(f"{self.config.pmem} has {free} bytes free, but {size} are requested")
        files.remove_folder(self.path)
        self.make_folder(size)
        self.give_to_user()
        files.put(self.born_file(), self.lease.value("born"))
        self.create(size)

    def start(self) -> None:
        """Start agent and target, and give the user the card by which programs find them."""
        self.start_processes()
        self.give_card()

    def start_processes(self) -> None:
        address = self.config.memory_address
        user = User(self.config, self.user.uid, self.user.gid, self.path, [f"PMIO_ADDRESS={address}"] if address else [])
        user.pmio("agent", "start").check()
        started = Pool(self.path, user).start_target("--card", f"{self.path}/card")
        if not started.ok and not self.has_target():  # the loop, which looks at the lease meanwhile, may have begun one
            started.check()

    def give_card(self) -> None:
        """Copy the card to STATE.  It is read as the user, as it may be any file, even an endless one."""
        found = self.user.run("head", "-c", str(CARD_MAX), "--", f"{self.path}/card", keep=CARD_LINES).check()
        content = "".join(f"{line}\n" for line in found.lines)
        if not self.is_of_lease():
            raise Failure("the job or buffer that wanted the pool has gone")
        files.put_for(self.lease.file(f"card.{self.node}"), content, self.user.uid, self.user.gid)

    def restart(self) -> None:
        """Start agent and target again, after a restart of this node or the death of the processes."""
        try:
            if self.run_as_owner():
                self.start()
        except (Failure, OSError) as error:
            text.say(f"{self.name}: {explain(error)}")

    def serves(self) -> bool:
        return self.run_as_owner() and self.has_target()

    # ---- its end

    def end(self) -> None:
        """Drain the pool and remove it; the loop retries if that fails."""
        try:
            if self.run_as_owner():
                self._empty()
                self.remove()
        except (Failure, OSError) as error:
            why = text.plain(explain(error))
            if why != files.read(self.why_file()).rstrip("\n"):
                text.say(f"{self.name}: {why}")
            files.put(self.why_file(), why)
            return
        files.remove(self.born_file())
        files.remove(self.why_file())

    def _empty(self) -> None:
        if not self.has_data():
            return
        if not self.has_target():
            self.start_processes()
        self.drain()
        self.drain_by_name()
        self.wait_without_marks(MARKS_S)
        self.try_to_end_processes("--target")
        self.stop_agent()
        self.destroy()

    def drain(self) -> None:
        """Drain the pool.  If the agent makes no progress (it may be stopped, or blocked), restart it and the target; not at
        once, as other nodes may read pending data through the target."""
        self.user.pmio("agent", "resume")
        try:
            self.drain_all()
        except NoEnd:
            self.try_to_end_processes("--target")
            self.try_to_end_processes()
            self.start_processes()
            self.drain_all()

    # ---- requests of jobs

    def do(self, what: str, job: Job) -> None:
        if what == "stage-in":
            self.user.pmio("stage-in", "--json", "--", *job.values("stage_in")).check()
        elif what == "stage-out":
            paths = [path for path in job.values("stage_out") if self.user.run("test", "-e", path).ok]
            if paths:
                self.user.pmio("drain", "--json", "--", *paths).check()
        elif what == "drain":
            self.drain()
        else:
            raise Failure("unknown request")


def answer(config: Config, node: str, job: Job) -> None:
    """Carry out the request do.NODE (WHAT LEASE), and write the result to did.NODE: 0, or 1 and why."""
    what, _, name = files.first_line(job.file(f"do.{node}")).partition(" ")
    try:
        if not is_name(name):
            raise Failure(f"'{name}' is not the name of a lease")
        pool = MemoryPool(config, node, name)
        if not pool.run_as_owner(job.settings(), job.file(f"memory_progress.{node}")):
            raise Failure("there is no pool")
        pool.do(what, job)
    except (Failure, OSError) as error:
        job.put(f"did.{node}", text.plain(f"1 {what}: {explain(error)}"))
    else:
        job.put(f"did.{node}", "0")
