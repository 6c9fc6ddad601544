"""Commands that run as a job's user, who can modify, stop and end them: their output may be any text.

They inherit a pipe and no other file of root's, lead a session of their own, and their run time is limited.
"""
from __future__ import annotations

import os
import re
import select
import signal
import subprocess

from . import clock, files, text
from .config import Config
from .errors import Failure, NoEnd

CHUNK = 4096  # a longer line is split
PROGRESS = re.compile(r'\{"event":"progress".*"bytes":([0-9]{1,18}),"bytes_done":([0-9]{1,18})[,}]', re.DOTALL)
EVENT = '{"event":'
KEPT_LINES = 3


class Result:
    def __init__(self, why: str = "", lines: list[str] | None = None, no_end: bool = False) -> None:
        self.why = why  # empty: it ended with status 0
        self.lines = lines or []
        self.no_end = no_end

    @property
    def ok(self) -> bool:
        return not self.why

    def check(self) -> Result:
        if self.no_end:
            raise NoEnd(self.why)
        if not self.ok:
            raise Failure(self.why)
        return self


class Output:
    """The last lines of a command's output, and its progress."""

    def __init__(self, keep: int, progress: str) -> None:
        self.lines: list[str] = []
        self.begun = self.moved = clock.now()
        self._keep = keep
        self._progress = progress
        self._shown = -1
        self._done = -1
        self._part = b""

    def take(self, data: bytes) -> None:
        self._part += data
        while b"\n" in self._part or len(self._part) >= CHUNK:
            line, found, rest = self._part[:CHUNK].partition(b"\n")
            self._part = (rest if found else b"") + self._part[CHUNK:]
            self._line(text.decode(line))

    def end(self) -> None:
        if self._part:
            self._line(text.decode(self._part))
            self._part = b""

    def _line(self, line: str) -> None:
        match = PROGRESS.match(line)
        if match:
            self._advance(int(match.group(2)), int(match.group(1)))
        elif not line.startswith(EVENT):
            self.lines = [*self.lines, line][-self._keep :]

    def _advance(self, done: int, total: int) -> None:
        if done <= self._done:
            return
        self._done, self.moved = done, clock.now()
        if self._progress and int(self.moved) != self._shown:
            self._shown = int(self.moved)
            try:
                files.put(self._progress, f"{done} {total}")
            except OSError:
                pass  # it is only for display


class User:
    """The owner of a job and its pool, with the job's settings: lines PMIO_NAME=VALUE."""

    def __init__(
        self, config: Config, uid: int, gid: int, pool: str, settings: list[str] | None = None, progress: str = ""
    ) -> None:
        self.config = config
        self.uid = uid
        self.gid = gid
        self.pool = pool
        self.settings = settings or []
        self.progress = progress  # file for the progress of commands

    def run(self, *command: str, keep: int = KEPT_LINES, is_shown: bool = True) -> Result:
        """Run a command; kill it if it makes no progress for STALL seconds, or runs for LONGEST.  `is_shown`: its progress."""
        output = Output(keep, self.progress if is_shown else "")
        try:
            process = subprocess.Popen(
                [*self._prefix(), *self._environment(), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o022,
            )
        except OSError as error:
            return Result(f"{self._prefix()[0]} cannot be run: {error.strerror}")
        with process.stdout:
            self._follow(process, output)
            output.end()
            # it may continue without the pipe
            clock.wait_for(lambda: process.poll() is not None or self._is_late(output), 0.05)
            if process.poll() is None:
                end_command(process)
                seconds = int(clock.now() - output.begun)
                return Result(f"killed, as it had not ended after {seconds} seconds: {' '.join(command[:2])} ...", output.lines, no_end=True)
        status = process.returncode if process.returncode >= 0 else 128 - process.returncode
        if status == 0:
            return Result("", output.lines)
        why = " ".join(output.lines) or f"{' '.join(command[:2])} ... has ended with status {status}"
        return Result(why, output.lines)

    def pmio(self, *arguments: str) -> Result:
        return self.run(self.config.pmio, *arguments)

    def pmiod(self, *arguments: str) -> Result:
        return self.run(self.config.pmiod, *arguments)

    def shell(self, script: str) -> Result:
        """Run a pipeline, all of it as the user."""
        return self.run("env", f"PMIO={self.config.pmio}", "sh", "-c", script, is_shown=False)

    def _prefix(self) -> list[str]:
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--init-groups", "--reset-env", "--"]

    def _environment(self) -> list[str]:
        return ["env", *self.settings, f"PMIO_POOL={self.pool}", f"PMIO_AGENT={self.config.pmiod}", "PMIO_IDLE_TIMEOUT=0"]

    def _is_late(self, output: Output) -> bool:
        now = clock.now()
        return now - output.moved >= self.config.stall or now - output.begun >= self.config.longest

    def _follow(self, process: subprocess.Popen, output: Output) -> None:
        fd = process.stdout.fileno()
        while not self._is_late(output):
            if select.select([fd], [], [], 0.5)[0]:
                data = os.read(fd, CHUNK)
                if not data:
                    return
                output.take(data)
            elif process.poll() is not None:
                return  # its child processes may have the pipe, too


def end_command(process: subprocess.Popen) -> None:
    """Kill the command, and its session.  It may be one that not even KILL ends now."""
    for kill in (os.kill, os.killpg):
        try:
            kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    clock.wait_for(lambda: process.poll() is not None, 0.1, limit=5)


def settings_of(path: str) -> list[str]:
    """The lines of a job's file `environment`."""
    return [line for line in files.lines(path) if re.match("PMIO_[A-Z_]*=", line)]
