"""Prolog, epilog and retry."""
import os
import stat

from fakes import MIB, ClusterTest, write
from pmio_slurm import files, node, processes, retry
from pmio_slurm.job import Job
from pmio_slurm.user import Result

USER = (1000, 100)


class NodeTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.environment(SLURM_JOB_ID="7", SLURMD_NODENAME="n1", SLURM_JOB_UID="1000", SLURM_JOB_GID="100", SLURM_NODELIST="n1")
        self.new_job()

    def new_job(self, *lines):
        self.job = Job(self.config, 7)
        if not self.job.exists():
            os.mkdir(self.job.path)
        self.job.put("spec", "\n".join(["uid 1000", "gid 100", f"capacity {MIB}", *lines]))
        self.job.put("environment", "PMIO_DRAIN=hold\nOTHER=x")
        self.pool = f"{self.pmem}/job.7"

    def prolog(self):
        """Its exit status."""
        try:
            node.prolog(self.config)
        except SystemExit as end:
            return end.code
        return 0

    def epilog(self):
        node.epilog(self.config)

    def mark(self, name):
        return self.job.read(f"{name}.n1") if self.job.has(f"{name}.n1") else None


class Prolog(NodeTest):
    def test_pool(self):
        """the prolog makes a pool of the job's user"""
        self.assertEqual(self.prolog(), 0)
        self.assertEqual((self.mark("begun"), self.mark("ready"), self.mark("failed")), ("", "", None))
        self.assertEqual(stat.S_IMODE(os.stat(self.pool).st_mode), 0o700)
        self.assertEqual(self.owner(self.pool), USER)
        self.assertEqual(self.pmio.commands, [f"pmio pool create --quiet --size={MIB} {self.pool}", "pmio agent start"])

    def test_several(self):
        """a job of several nodes has targets"""
        self.environment(SLURM_NODELIST="n[1-2]")
        self.prolog()
        self.assertEqual(self.pmio.commands[-1], f"pmiod --target --pool {self.pool}")

    def test_none(self):
        """a job that wants nothing here gets nothing"""
        self.job.put("spec", "uid 1000\ngid 100")
        self.assertEqual(self.prolog(), 0)
        self.job.discard()
        self.assertEqual((self.prolog(), self.names(self.pmem)), (0, []))

    def test_spank(self):
        """--pmem: user and size are Slurm's"""
        self.job.discard()
        self.environment(SPANK_PMIO_CAPACITY=str(MIB))
        self.assertEqual((self.prolog(), self.owner(self.pool)), (0, USER))

    def test_stage_in(self):
        """a stage-in that fails is a warning; what is on memory nodes is not staged in again"""
        self.job.put("spec", self.job.read("spec") + "\nstage_in /a\nstage_in /b c")
        self.pmio.fails["pmio stage-in"] = Result("not\033there")
        self.assertEqual(self.prolog(), 0)
        self.assertEqual(self.pmio.commands[-1], "pmio stage-in --json -- /a /b c")
        self.assertEqual((self.mark("warning"), self.mark("ready")), ("stage_in: not?there", ""))

    def refused(self, why, status, *asked):
        self.assertEqual(self.prolog(), status)
        self.assertRegex(self.mark("failed"), why)
        self.assertEqual(self.mark("ready"), None)
        commands = [command for command in self.slurm_commands if command.split()[0] in ("scontrol", "scancel")]
        ends = [command for command in commands if "admincomment" not in command and "notify" not in command]
        self.assertEqual(ends, list(asked))

    def running(self):
        self.slurm = lambda *words: self.slurm_commands.append(" ".join(words)) or ("RUNNING\n" if "squeue" in words else "")

    def test_no_room(self):
        """no room: the job is held, the node stays in service"""
        self.free = 5
        self.refused(f"has 5 bytes free, but the job requests {MIB}", 0, "scontrol requeuehold 7")
        self.assertEqual(self.names(self.pmem), [])

    def test_unnoted(self):
        """a pool that the stage-out would not wait for is not made: the job is held"""

        def full(path, *more):
            raise OSError(28, "No space left on device", path)

        self.set(files, "put", full)
        self.assertEqual((self.prolog(), self.names(self.pmem)), (0, []))
        self.assertIn("scontrol requeuehold 7", self.slurm_commands)

    def test_never(self):
        """more than any node has, or no number: the job is cancelled"""
        self.running()
        self.job.put("spec", "uid 1000\ngid 100\ncapacity 99999999999")
        self.refused("the job requests 99999999999 bytes on each node, but a node has 67108864", 0, "scancel 7")
        self.slurm_commands.clear()
        self.job.put("spec", "uid 1000\ngid 100\ncapacity x[$(touch y)]")
        self.refused("is not a number of bytes", 0, "scancel 7")

    def test_user(self):
        """a user's process that fails: the job is held, and its folder removed"""
        self.pmio.fails["pmio agent start"] = Result("a\033b")
        self.refused("no pool could be made: a[?]b", 0, "scontrol requeuehold 7")
        self.assertEqual(self.names(self.pmem), [])

    def test_fault(self):
        """what is wrong with the node is a failure of the prolog"""
        os.mkdir(self.pool)
        self.refused("exists already", 1)
        self.assertEqual(self.names(self.pmem), ["job.7"])
        self.slurm = lambda *words: None
        os.rmdir(self.pool)
        self.pmio.fails["pmio pool create"] = Result("no such program")
        self.refused("no pool could be made: no such program", 1)
        os.rmdir(self.pmem)
        self.refused("pmem is not there", 1)

    def test_deaf(self):
        """a job that Slurm neither holds nor cancels must not begin: the prolog fails"""
        self.slurm = lambda *words: "RUNNING\n" if words[0] == "squeue" else None
        self.free = 5
        self.refused("bytes free", 1)


class Epilog(NodeTest):
    def prepared(self):
        self.new_job()
        self.prolog()
        self.pmio.commands.clear()

    def test_empty(self):
        """the epilog drains, removes the pool and says so"""
        self.prepared()
        self.epilog()
        self.assertEqual((self.mark("drained"), self.names(self.pmem)), ("0", []))
        self.assertTrue(self.pmio.drained())

    def test_killed(self):
        """an epilog that is killed at each step and called again drains before it removes"""

        def check():
            self.assertEqual(self.names(self.pmem), [])
            self.assertTrue(self.pmio.drained())
            self.assertIn(self.mark("drained"), ("0", None))  # None: killed after the pool had gone

        self.killed_at_each_step(self.prepared, self.epilog, check, 4)

    def test_kept_killed(self):
        """a pool that cannot be drained is kept, whenever the epilog is killed"""

        def prepare():
            self.prepared()
            self.pmio.fails["pmio drain"] = Result("No space left")
            self.pmio.fails["pmio forget"] = Result("no")

        def check():
            kept = [name for name in self.names(self.pmem) if not name.startswith(".")]
            self.assertEqual(kept, ["kept.7"])
            self.assertTrue(os.path.exists(f"{self.pmem}/kept.7/data"))

        self.killed_at_each_step(prepare, self.epilog, check, 4)

    def test_kept(self):
        """a pool that is kept is root's, with its user's name beside it, and retry brings it out"""
        self.prepared()
        self.pmio.fails["pmio drain"] = Result("No space left\033")
        self.epilog()
        kept = f"{self.pmem}/kept.7"
        self.assertEqual(self.mark("drained"), f"1 data wait in {kept}: No space left?")
        self.assertEqual(self.owner(kept), (0, 0))
        self.assertEqual(self.content(self.pmem, ".kept.7.owner"), "1000 100")
        with self.assertRaises(SystemExit):
            retry.retry(self.config)
        self.assertEqual((self.owner(kept), self.names(self.pmem)), ((0, 0), [".kept.7.owner", "kept.7"]))
        self.pmio.fails.clear()
        users = []
        run = self.pmio.run
        self.pmio.run = lambda user, *words, **more: users.append((user.uid, user.gid)) or run(user, *words, **more)
        retry.retry(self.config)
        self.assertEqual((set(users), self.names(self.pmem), self.mark("drained")), ({USER}, [], "0"))
        self.assertEqual(self.shown, [f"{kept}: all data are out"])

    def test_again(self):
        """kept pools of several runs have several names"""
        for name in ("kept.7", "kept.7.2"):
            self.prepared()
            self.pmio.fails["pmio drain"] = Result("full")
            self.epilog()
            self.pmio.fails.clear()
            self.assertTrue(os.path.isdir(f"{self.pmem}/{name}"))

    def test_retry_killed(self):
        """retry that is killed at each step and called again brings the data out"""

        def prepare():
            self.prepared()
            self.pmio.fails["pmio drain"] = Result("full")
            self.epilog()
            self.pmio.fails.clear()
            self.pmio.commands.clear()

        def check():
            self.assertEqual([name for name in self.names(self.pmem) if name.startswith("kept")], [])
            self.assertTrue(self.pmio.drained())

        self.killed_at_each_step(prepare, lambda: retry.retry(self.config), check, 5)

    def test_stopped(self):
        """the job's processes, which may be stopped, are ended before the drain"""
        self.prepared()
        self.set(processes, "end", lambda path, uid, option: self.pmio.commands.append(f"end {option}"))
        self.epilog()
        self.assertEqual(self.pmio.commands[:3], ["end --target", "end --pool", "pmio drain --all --json"])

    def test_forget(self):
        """names that are gone are forgotten, and then the rest is drained"""
        self.prepared()
        results = [Result("gone"), Result("")]
        run = self.pmio.run

        def drains(user, *words, **more):
            if words[1:3] == ("drain", "--all"):
                return results.pop(0)
            return run(user, *words, **more)

        self.pmio.run = drains
        self.epilog()
        self.assertIn("pmio forget --gone --quiet", self.pmio.commands)
        self.assertEqual((self.mark("drained"), results), ("0", []))

    def test_no_end(self):
        """a drain without an end: the pool is kept, nothing is forgotten"""
        self.prepared()
        self.pmio.fails["pmio drain --all"] = Result("no end in sight", no_end=True)
        self.epilog()
        self.assertNotIn("pmio forget --gone --quiet", self.pmio.commands)
        self.assertIn("kept.7: no end in sight", self.mark("drained"))

    def test_never_fails(self):
        """the epilog ends well whatever happens"""
        self.prepared()
        self.job.discard()
        write(self.job.path, "no folder")
        self.pmio.fails["pmio"] = Result("no")
        self.epilog()
        self.assertIn("kept.7", self.names(self.pmem))
        self.environment(SLURM_JOB_ID="x")
        self.epilog()

    def test_not_seen(self):
        """a pool is emptied also when STATE does not answer, by epilog and retry"""
        for after in (None, "full"):
            self.prepared()
            if after:
                self.pmio.fails["pmio drain"] = Result(after)
                self.epilog()
                self.pmio.fails.clear()
            read, put = files.read, files.put

            def unseen(path):
                if path.startswith(self.state):
                    raise OSError(5, "Input/output error", path)
                return read(path)

            self.set(files, "read", unseen)
            self.set(files, "put", lambda path, *more: unseen(path))
            retry.retry(self.config) if after else self.epilog()
            self.set(files, "read", read)
            self.set(files, "put", put)
            self.assertEqual(self.names(self.pmem), [])
            self.assertTrue(self.pmio.drained())

    def test_roots(self):
        """a pool that is root's since its making or removal was ended is used as its user, not as root"""
        self.prepared()
        self.owners[os.stat(self.pool).st_ino] = (0, 0)
        users = set()
        run = self.pmio.run
        self.pmio.run = lambda user, *words, **more: users.add(user.uid) or run(user, *words, **more)
        self.epilog()
        self.assertEqual(users, {1000})

    def test_data_link(self):
        """what the user puts in the place of the pool's data is not followed"""
        self.prepared()
        os.unlink(f"{self.pool}/data")
        os.symlink("data", f"{self.pool}/data")
        self.epilog()
        self.assertEqual((self.mark("drained"), self.names(self.pmem)), ("0", []))
        self.assertTrue(self.pmio.drained())

    def test_other_names(self):
        """retry says of which names it knows no job, and goes on"""
        os.mkdir(f"{self.pmem}/kept.x")
        os.mkdir(f"{self.pmem}/kept.9")
        with self.assertRaises(SystemExit):
            retry.retry(self.config)
        self.assertEqual(self.names(self.pmem), ["kept.x"])
