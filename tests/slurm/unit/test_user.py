"""Commands of users: real processes of this user."""
import os
import signal
import tempfile
import time
import unittest

from fakes import write
from pmio_slurm import config, user

LONG_S = 200


class SameUser(user.User):
    def _prefix(self):
        return ["env"]


def living(group):
    """Processes of a group, without those that nobody has waited for."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(pid)
    return found


class Commands(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="user.")
        write(f"{self.folder}/conf", f"STATE={self.folder}\nPMEM={self.folder}\nNODE_CAPACITY=1\n")
        self.config = config.Config(f"{self.folder}/conf")
        self.progress = f"{self.folder}/progress"
        self.user = SameUser(self.config, 1, 1, "/pool", ["PMIO_DRAIN=hold"], self.progress)

    def sh(self, script, **more):
        return self.user.run("sh", "-c", script, **more)

    def content(self):
        with open(self.progress) as file:
            return file.read()

    def test_lines(self):
        """the last lines are kept, also one without an end"""
        found = self.sh("seq 9; printf ten")
        self.assertEqual((found.ok, found.lines), (True, ["8", "9", "ten"]))
        self.assertEqual(self.sh("seq 9; printf ten", keep=2).lines, ["9", "ten"])

    def test_status(self):
        """why a command failed: what it said, or its status"""
        self.assertEqual(self.sh("echo a; echo b >&2; exit 3").why, "a b")
        self.assertEqual(self.sh("exit 3").why, "sh -c ... has ended with status 3")
        self.assertEqual(self.sh("kill -9 $$").why, "sh -c ... has ended with status 137")
        self.assertFalse(self.user.run("/none").ok)

    def test_environment(self):
        """a command has the job's settings"""
        found = self.sh('echo "$PMIO_DRAIN $PMIO_POOL $PMIO_AGENT $PMIO_IDLE_TIMEOUT $(umask)"')
        self.assertEqual(found.lines, ["hold /pool pmiod 0 0022"])

    def test_files(self):
        """a command has no file of its caller's open"""
        with open(self.progress, "w") as file:
            os.set_inheritable(file.fileno(), True)
            found = self.sh('for f in /proc/$$/fd/*; do readlink "$f"; done', keep=100)
        for line in found.lines:
            self.assertRegex(line, "^(pipe:.*|/dev/null)$")

    def test_session(self):
        """a command leads a session of its own"""
        pid, group, session = self.sh("set -- $(cat /proc/$$/stat); echo $$ $5 $6").lines[0].split()
        self.assertEqual((group, session), (pid, pid))

    def test_binary(self):
        """any bytes are taken, and lines without an end are cut"""
        found = self.sh("head -c 100000 /dev/zero; printf '\\377\\n'", keep=1000)
        self.assertTrue(found.ok)
        self.assertEqual(sum(map(len, found.lines)), 100001)
        self.assertLessEqual(max(map(len, found.lines)), user.CHUNK)

    def test_progress(self):
        """progress is noted, for numbers only, and is no message"""
        event = '{"event":"progress","command":"drain","bytes":%s,"bytes_done":%s}'
        found = self.sh(f"echo '{event % (9, 5)}'; echo '{event % ('x[$(a)]', 5)}'; echo '{event % (9, 4)}'; echo end")
        self.assertEqual((found.lines, self.content()), (["end"], "5 9\n"))
        self.assertEqual(self.user.run("echo", event % (9, 8), is_shown=False).lines, [])
        self.assertEqual(self.content(), "5 9\n")

    def ended(self, script):
        self.config.stall, self.config.longest = 2, 4
        begun = time.monotonic()
        found = self.sh(f"echo $$ >{self.folder}/pid; {script}")
        self.assertTrue(found.no_end)
        self.assertRegex(found.why, "^killed, as it had not ended after [0-9]+ seconds: sh -c [.]{3}$")
        self.assertLess(time.monotonic() - begun, LONG_S - 40)
        with open(f"{self.folder}/pid") as file:
            group = int(file.read())
        end = time.monotonic() + 20
        while living(group) and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(living(group), [])

    def test_hang(self):
        """a command that does nothing is ended, with what it has started"""
        self.ended(f"trap '' TERM; sleep {LONG_S} & sleep {LONG_S}")

    def test_flood(self):
        """a command that says the same all the time is ended"""
        self.ended("""exec yes '{"event":"progress","command":"drain","bytes":9,"bytes_done":1}'""")

    def test_slow(self):
        """a command that moves on for too long is ended"""
        event = """'{"event":"progress","bytes":9,"bytes_done":'$i'}'"""
        self.ended(f"i=0; while :; do i=$((i + 1)); echo {event}; sleep 0.2; done")

    def test_closed(self):
        """a command that lives on without its pipe is ended"""
        self.ended(f"exec sleep {LONG_S} >/dev/null 2>&1")

    def test_left(self):
        """what a command has started does not hold it up"""
        begun = time.monotonic()
        found = self.sh(f"sleep {LONG_S} & echo $!")
        os.kill(int(found.lines[0]), signal.SIGKILL)
        self.assertTrue(found.ok)
        self.assertLess(time.monotonic() - begun, LONG_S - 40)
