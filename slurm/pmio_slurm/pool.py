"""A pool: a folder in PMEM.  The folder belongs to the job's user, PMEM to root."""
from __future__ import annotations

import os

from . import clock, files, processes, quota, text
from .config import Config
from .errors import Failure, explain
from .user import Result, User

REMOVE_S = 300

# files of which the pool had data, one a line
LIST_FILES = '"$PMIO" ls --json | sed -n "s/.*\\"path\\": *\\"\\([^\\"]*\\)\\".*/\\1/p"'
DRAIN_BY_NAME = LIST_FILES + ' | xargs -r -d "\\n" "$PMIO" drain --json --'


def room(config: Config) -> tuple[int, int]:
    """Return the free and the total bytes of PMEM."""
    try:
        found = os.statvfs(config.pmem)
    except OSError as error:
        raise Failure(f"{config.pmem}: cannot determine its size: {explain(error)}") from None
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


class Pool:
    def __init__(self, path: str, user: User) -> None:
        self.path = path
        self.user = user
        self.config = user.config
        self.made = False  # by this process

    def is_there(self) -> bool:
        return files.is_folder(self.path)

    def has_data(self) -> bool:
        """Return whether the folder has a pool in it.  A symbolic link that the user may have put there is not followed."""
        return os.path.lexists(f"{self.path}/data")

    # ---- making it

    def make_folder(self, size: int) -> None:
        files.make_folder(self.path, 0o700)
        self.made = True
        quota.limit(self.config, self.path, size)

    def give_to_user(self) -> None:
        files.give(self.path, self.user.uid, self.user.gid)

    def create(self, size: int) -> None:
        self.user.pmio("pool", "create", "--quiet", f"--size={size}", self.path).check()

    # ---- agent and target

    def start_agent(self) -> None:
        self.user.pmio("agent", "start").check()

    def start_target(self, *options: str) -> Result:
        return self.user.pmiod("--target", *options, "--pool", self.path)

    def has_target(self) -> bool:
        return bool(processes.serving(self.path, self.user.uid, "--target"))

    def end_processes(self, option: str = "--pool") -> None:
        processes.end(self.path, self.user.uid, option)

    def try_to_end_processes(self, option: str = "--pool") -> None:
        try:
            self.end_processes(option)
        except Failure as error:
            text.say(explain(error))

    def stop_agent(self) -> None:
        """Stop the agent, by force if needed."""
        if not self.user.pmio("agent", "stop").ok:
            self.user.pmio("agent", "stop", "--force")
        self.try_to_end_processes()

    # ---- draining it

    def drain_all(self) -> None:
        first = self.user.pmio("drain", "--all", "--json")
        if first.ok or first.no_end:
            first.check()
            return
        # files that were removed while they were held have no name any more, so no process could read them
        if not self.user.pmio("forget", "--gone", "--quiet").ok:
            first.check()
        self.user.pmio("drain", "--all", "--json").check()

    def drain_by_name(self) -> None:
        """Drain each file by its name, so that marks of files of several nodes that the agent has drained are removed."""
        self.user.shell(DRAIN_BY_NAME)

    # ---- its end

    def destroy(self) -> None:
        self.user.pmio("pool", "destroy", self.path).check()

    def remove(self) -> None:
        """Remove the folder.  It is given to root first, so that no file can be added to it, except in a folder in it."""
        project = quota.project_of(self.path)
        self.lock()
        try:
            files.remove_folder(self.path, REMOVE_S, one_file_system=True)
        except OSError:
            files.remove_folder(self.path, REMOVE_S, one_file_system=True)
        quota.release(self.config, project)

    def lock(self) -> None:
        files.give(self.path, 0, 0)
        files.close_to_others(self.path)

    def wait_without_marks(self, limit: float) -> None:
        """Wait for the marks of files whose layout file is in use: they are removed when all memory nodes have drained."""
        clock.wait_for(lambda: not self.user.shell(HAS_MARKS).ok, 0.5, limit)


HAS_MARKS = (
    LIST_FILES
    + """ | { while IFS= read -r path; do
		inode=$(stat -c %i -- "$path" 2>/dev/null) || continue
		mark=$(dirname "$path")/.pmio-owner.$inode
		[ ! -e "$mark" ] && [ ! -e "$mark.$(id -u)" ] || exit 0
	done; exit 1; }"""
)
