"""A cluster in a folder: a clock that the tests turn, a pmio that is a function, and a process that is killed at each step."""
import contextlib
import os
import shutil
import tempfile
import types
import unittest

from pmio_slurm import clock, commands, config, files, processes, quota, text, user
from pmio_slurm.user import Result

MIB = 1 << 20
CHANGES = ("put", "put_for", "remove", "remove_folder", "make_folder", "rename", "give", "close_to_others")


class Killed(BaseException):
    pass


class Waits(BaseException):
    """Nothing happens any more: what is waited for never comes."""


class FakePmio:
    """What users' commands do to a pool's folder."""

    def __init__(self):
        self.commands = []
        self.fails = {}  # beginning of a command: its result
        self.serving = set()
        self.marks = 0  # so often there are files of which others have the layout file

    def run(self, self_user, *command, keep=3, is_shown=True):
        words = [os.path.basename(command[0]), *command[1:]]
        line = " ".join(words)
        self.commands.append(line)
        for beginning, result in self.fails.items():
            if line.startswith(beginning):
                return result
        path = self_user.pool
        if line.startswith("pmio pool create"):
            write(f"{path}/data", "")
        elif line.startswith("pmio agent start"):
            if not os.path.exists(f"{path}/data"):
                return Result("no pool")
        elif line.startswith("pmio pool destroy"):
            os.unlink(f"{path}/data")
        elif line.startswith("pmiod --target"):
            self.serving.add(path)
        elif line.startswith("head -c"):
            return Result("", ["card of", path])
        elif line.startswith("env PMIO=pmio sh -c") and "pmio-owner" in line:
            self.marks -= 1
            return Result("" if self.marks >= 0 else "no marks")
        elif line.startswith("du "):
            return Result("", ["1000\tx"])
        elif line.startswith("test -e"):
            return Result("" if os.path.exists(words[2]) else "no such file")
        return Result("", [])

    def end(self, path, uid, option="--pool"):
        self.serving.discard(path)

    def drained(self, after=0):
        return any(command.startswith("pmio drain --all") for command in self.commands[after:])


def write(path, content):
    with open(path, "w") as file:
        file.write(content)


class ClusterTest(unittest.TestCase):
    def setUp(self):
        self.changed = []
        self.new_cluster()
        self.addCleanup(self.restore)
        self.addCleanup(os.umask, os.umask(0o027))
        self.set(clock, "now", lambda: self.time)
        self.set(clock, "sleep", self.sleep)
        self.set(text, "show", lambda line: self.shown.append(line))
        self.set(text, "say", lambda message: self.said.append(text.plain(message)))
        self.set(text, "write", lambda fd, message: self.said.append(message))
        self.set(quota, "limit", lambda *args: None)
        self.set(quota, "release", lambda *args: None)
        self.set(user.User, "run", lambda own, *command, **more: self.pmio.run(own, *command, **more))
        self.set(processes, "end", lambda *args: self.pmio.end(*args))
        self.set(processes, "serving", lambda path, uid, option="--pool": [1] if path in self.pmio.serving else [])
        self.set(commands, "output", lambda *words, **more: self.slurm(*words))
        self.set(files, "give", lambda path, uid, gid: self.owners.__setitem__(os.stat(path).st_ino, (uid, gid)))
        self.set(files, "owner", self.owner)
        self.set(os, "statvfs", lambda path: types.SimpleNamespace(f_bavail=self.free, f_blocks=2 * self.free, f_frsize=1))
        self.kill_at = 0
        for name in CHANGES:
            self.set(files, name, self.killable(name, getattr(files, name)))
        self.set(os, "fchown", lambda *args: None)

    def set(self, place, name, value):
        self.changed.append((place, name, getattr(place, name)))
        setattr(place, name, value)

    def restore(self):
        for place, name, value in reversed(self.changed):
            setattr(place, name, value)

    def new_cluster(self):
        self.time = 1000.0
        self.shown, self.said = [], []
        self.owners = {}
        self.pmio = FakePmio()
        self.free = 100 * MIB
        self.steps = []  # what others do meanwhile
        self.slurm_commands = []
        self.top = tempfile.mkdtemp(prefix="slurm.")
        self.addCleanup(shutil.rmtree, self.top, True)
        for name in ("state", "pmem"):
            os.mkdir(f"{self.top}/{name}", 0o755)
        write(f"{self.top}/conf", f"STATE={self.top}/state\nPMEM={self.top}/pmem\nNODE_CAPACITY=64MiB\n")
        self.config = config.Config(f"{self.top}/conf")
        self.state, self.pmem = self.config.state, self.config.pmem

    def owner(self, path):
        found = os.stat(path)
        return self.owners.get(found.st_ino, (found.st_uid, found.st_gid))

    def slurm(self, *words):
        """Slurm's commands, and others that are root's."""
        self.slurm_commands.append(" ".join(words))
        return ""

    # ---- time

    def sleep(self, seconds):
        self.check_alive()
        self.time += seconds
        if self.time > 5000:
            raise Waits
        for step in list(self.steps):
            step()

    # ---- death

    def killable(self, name, function):
        def call(*args, **more):
            if self.is_dead():
                if name == "remove_folder" and os.path.isdir(args[0]):
                    for entry in sorted(os.listdir(args[0]))[:1]:
                        shutil.rmtree(os.path.join(args[0], entry), True)
                        with contextlib.suppress(OSError):
                            os.unlink(os.path.join(args[0], entry))
                raise Killed(name)
            return function(*args, **more)

        return call

    def is_dead(self):
        if self.kill_at == 0:
            return False
        self.kill_at -= 1
        return self.kill_at == 0

    def check_alive(self):
        if self.is_dead():
            raise Killed("sleep")

    def killed_at_each_step(self, prepare, run, check, least):
        """prepare(); run(), killed at its n-th step; run() again; check(): for each n that it has."""
        for n in range(1, 1000):
            self.new_cluster()
            prepare()
            self.kill_at = n
            try:
                run()
            except Killed as killed:
                where = f"killed at step {n} ({killed})"
            else:
                where = ""
            self.kill_at = 0
            if where:
                run()
            with self.subTest(where or "not killed"):
                check()
            if not where:
                self.assertGreater(n, least)
                return

    # ---- others

    def memory_node(self, name, free=100 * MIB, size=100 * MIB):
        write(f"{self.state}/memory.{name}", f"{free} {size}\n")

    def answering(self, *names, failing=()):
        """Memory nodes that give what is wanted, and do what is asked for."""

        def step():
            for lease in os.listdir(self.state):
                for name in names:
                    self.answer(f"{self.state}/{lease}", name, name in failing)

        self.steps.append(step)

    def answer(self, folder, name, fails):
        if os.path.exists(f"{folder}/want.{name}") and not os.path.exists(f"{folder}/card.{name}"):
            write(f"{folder}/{'nocard' if fails else 'card'}.{name}", "why not\n")
        if os.path.exists(f"{folder}/do.{name}") and not os.path.exists(f"{folder}/did.{name}"):
            self.pmio.commands.append(f"{name}: {self.content(folder, 'do.' + name)}")
            write(f"{folder}/did.{name}", "1 it failed\n" if fails else "0\n")

    def content(self, folder, name):
        with open(f"{folder}/{name}") as file:
            return file.read().rstrip("\n")

    def names(self, folder):
        return sorted(os.listdir(folder))

    def environment(self, **variables):
        for name, value in variables.items():
            before = os.environ.get(name)
            os.environ[name] = value
            self.addCleanup(os.environ.pop if before is None else os.environ.__setitem__, name, before)

