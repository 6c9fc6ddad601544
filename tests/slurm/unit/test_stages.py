"""The stages on the controller."""
import os
import stat

from fakes import MIB, ClusterTest, Killed, Waits, write
from pmio_slurm import stages, status
from pmio_slurm.buffer import Buffer
from pmio_slurm.errors import Failure
from pmio_slurm.job import Job


class StagesTest(ClusterTest):
    def setup_job(self, number=1, *wishes, uid=1000):
        stages.setup(self.config, str(number), str(uid), "100", *wishes)
        return Job(self.config, number)

    def fails(self, why, function, *arguments):
        with self.assertRaisesRegex(Failure, why):
            function(self.config, *arguments)


class Setup(StagesTest):
    def test_files(self):
        """setup writes what the job asked for, and its programs' settings"""
        job = self.setup_job(7, "capacity 5", "stage_in /a  b", "set drain hold", "set sync")
        lines = self.content(job.path, "spec").split("\n")
        self.assertRegex(lines.pop(2), r"^born [0-9]+\.[0-9]{9}\.[0-9]+$")
        pool = f"{self.pmem}/job.7"
        wishes = ["capacity 5", "stage_in /a  b", "set drain hold", "set sync"]
        self.assertEqual(lines, ["uid 1000", "gid 100", f"pool {pool}", *wishes])
        wanted = [f"PMIO_POOL={pool}", "PMIO_AGENT=pmiod", "PMIO_IDLE_TIMEOUT=0", "PMIO_DRAIN=hold"]
        self.assertEqual(self.content(job.path, "environment").split("\n"), wanted)
        self.assertEqual(stat.S_IMODE(os.stat(job.path).st_mode), 0o711)
        for name in ("spec", "environment"):
            self.assertEqual(stat.S_IMODE(os.stat(job.file(name)).st_mode), 0o640)
        self.assertEqual(self.names(self.state), ["job.7"])

    def test_redirect(self):
        """redirect= preloads the library, for the job's programs and not for commands that run as its user"""
        self.fails("LIBDIR", stages.setup, "7", "1", "1", "capacity 5", "redirect /a/*")
        self.assertEqual(self.names(self.state), [])
        self.config.libraries = "/lib"
        job = self.setup_job(7, "capacity 5", "redirect /a/*:/b c/*")
        lines = self.content(job.path, "environment").split("\n")
        self.assertEqual(lines[3:], ["PMIO_REDIRECT_PATHS=/a/*:/b c/*", "LD_PRELOAD=/lib/libpmio-redirect.so"])
        self.assertFalse(job.has_setting("LD_PRELOAD"))

    def test_empty(self):
        """without settings the environment is an empty file"""
        job = self.setup_job(7, "create a 5 0")
        self.assertEqual(os.stat(job.file("environment")).st_size, 0)

    def test_refused(self):
        """setup refuses what is no number, and lines that are several"""
        self.fails("is not a job's number", stages.setup, "../x", "1", "1")
        self.fails("numbers", stages.setup, "1", "root", "1")
        self.fails("newline", stages.setup, "1", "1", "1", "stage_in /a\nuid 0")
        self.assertEqual(self.names(self.state), [])

    def test_again(self):
        """setup that is killed and called again leaves the job's folder alone"""

        def check():
            self.assertEqual(self.names(self.state), ["job.1"])
            self.assertEqual(self.names(f"{self.state}/job.1"), ["environment", "spec"])

        def prepare():
            self.setup_job(1, "capacity 4")

        self.killed_at_each_step(prepare, lambda: self.setup_job(1, "capacity 5"), check, 6)

    def test_forgotten(self):
        """folders of jobs that Slurm has forgotten go, if nothing of theirs waits"""
        for number in (1, 2, 3):
            self.setup_job(number, "capacity 5")
        Job(self.config, 2).put("begun.n")
        self.slurm = lambda *words: "3\n4\n"
        self.setup_job(4)
        self.assertEqual(self.names(self.state), ["job.2", "job.3", "job.4"])
        self.slurm = lambda *words: None
        Job(self.config, 2).put("out")
        self.setup_job(5)
        self.assertEqual(self.names(self.state), ["job.2", "job.3", "job.4", "job.5"])

    def test_buffers(self):
        """setup looks at buffers' names and owners"""
        self.fails("there is no persistent buffer b", stages.setup, "1", "1", "1", "use b")
        os.mkdir(f"{self.state}/buffer.b")
        write(f"{self.state}/buffer.b/spec", "uid 1000\njob 9\n")
        write(f"{self.state}/buffer.b/ready", "\n")
        self.fails("the persistent buffer b is not this user's", stages.setup, "1", "1001", "1", "destroy b")
        self.fails("there is a persistent buffer b already", stages.setup, "1", "1000", "1", "create b 1 1")
        self.assertEqual(self.names(self.state), ["buffer.b"])
        self.setup_job(1, "use b")


class DataIn(StagesTest):
    def targets(self):
        for name in ("a", "b", "c"):
            self.memory_node(name, 50 * MIB + ord(name))
        self.answering("a", "b", "c")
        return self.setup_job(1, "capacity 5", f"targets 2 {MIB}", "stage_in /in")

    def test_targets(self):
        """pools on the memory nodes with most room, and a stage-in by the first"""
        job = self.targets()
        stages.data_in(self.config, "1")
        self.assertEqual(self.content(job.path, "memory_nodes"), "c\nb")
        self.assertIn(f"PMIO_TARGETS={job.path}/card.c,{job.path}/card.b", job.settings())
        self.assertIn("PMIO_PLACEMENT=remote", job.settings())
        self.assertIn("c: stage-in job.1", self.pmio.commands)
        self.assertEqual(
            self.names(job.path),
            ["card.b", "card.c", "did.c", "environment", "memory_nodes", "spec", "staged", "want.b", "want.c"],
        )

    def test_killed(self):
        """data_in that is killed and called again has pools and settings once"""

        def check():
            job = Job(self.config, 1)
            self.assertTrue(job.has("staged"))
            self.assertEqual(len(job.memory_nodes()), 2)
            self.assertEqual(len([line for line in job.settings() if line.startswith("PMIO_TARGETS=")]), 1)
            self.assertTrue(job.has_setting("PMIO_PLACEMENT"))
            wanted = sorted(name[5:] for name in self.names(job.path) if name.startswith("want."))
            self.assertEqual(wanted, sorted(job.memory_nodes()))

        self.killed_at_each_step(self.targets, lambda: stages.data_in(self.config, "1"), check, 14)

    def test_left(self):
        """what a call had asked of other memory nodes before it was killed is withdrawn"""
        job = self.targets()
        job.put("want.a", "5")
        job.put("nocard.a", "why not")
        stages.data_in(self.config, "1")
        self.assertFalse(job.has("want.a") or job.has("nocard.a"))

    def test_again(self):
        """pools that the job has are not asked for once more"""
        job = self.targets()
        stages.data_in(self.config, "1")
        for name in ("a", "b", "c"):
            self.memory_node(name, free=0)
        stages.data_in(self.config, "1")
        self.assertEqual(self.content(job.path, "memory_nodes"), "c\nb")

    def test_too_few(self):
        """more than memory nodes have is refused; those that do not write any more do not count"""
        self.memory_node("a")
        self.memory_node("b")
        os.utime(f"{self.state}/memory.b", (1, 1))
        write(f"{self.state}/memory.c", "x[1] 5\n")
        self.setup_job(1, "capacity 5", "targets 2 1000")
        self.fails("2 memory nodes with 1000 bytes each are requested, 1 are available", stages.data_in, "1")

    def test_waits(self):
        """a job waits for room, says so, and gets it"""
        self.memory_node("a", free=0)
        job = self.setup_job(1, "capacity 5", "targets 1 1000")

        def later():
            if self.time > 1010:
                self.memory_node("a")
            else:
                self.assertEqual(job.read("waits"), "waits until 1 memory nodes have 1000 bytes free")

        self.steps.append(later)
        self.answering("a")
        stages.data_in(self.config, "1")
        self.assertFalse(job.has("waits"))

    def test_failing(self):
        """a memory node that cannot: the job waits and says why, and has asked for nothing else"""
        self.memory_node("a")
        self.answering("a", failing=["a"])
        job = self.setup_job(1, "capacity 5", "targets 1 1000")
        with self.assertRaises(Waits):
            stages.data_in(self.config, "1")
        self.assertEqual(job.read("waits"), "waits for memory nodes: a: why not")

    def test_silent(self):
        """a memory node that dies meanwhile is said not to answer"""
        self.memory_node("a")
        self.setup_job(1, "capacity 5", "targets 1 1000")
        self.steps.append(lambda: os.utime(f"{self.state}/memory.a", (1, 1)))
        self.fails("memory node a does not answer", stages.data_in, "1")

    def test_torn_down(self):
        """a job that is torn down does not wait any longer"""
        self.memory_node("a")
        self.setup_job(1, "capacity 5", "targets 1 1000")
        self.steps.append(lambda: stages.teardown(self.config, "1", "true"))
        self.fails("it was torn down", stages.data_in, "1")
        self.assertEqual(self.names(self.state), ["memory.a"])

    def test_buffer_of_another(self):
        """a buffer that has become another user's since is not used"""
        os.mkdir(f"{self.state}/buffer.b")
        write(f"{self.state}/buffer.b/spec", "uid 1000\njob 9\nbytes 5\n")
        write(f"{self.state}/buffer.b/ready", "\n")
        self.setup_job(1, "use b")
        write(f"{self.state}/buffer.b/spec", "uid 1001\njob 9\nbytes 5\n")
        self.fails("is not this user's", stages.data_in, "1")


class Buffers(StagesTest):
    def create(self):
        self.memory_node("a")
        self.memory_node("b")
        self.answering("a", "b")
        self.setup_job(1, "create keep 1001 0", "use keep")

    def test_make(self):
        """a buffer that is killed while it is made is there once in the end"""

        def check():
            buffer, job = Buffer(self.config, "keep"), Job(self.config, 1)
            self.assertTrue(buffer.is_ready())
            self.assertEqual(buffer.values("job") + buffer.values("bytes"), ["1", "1001"])
            self.assertEqual(self.content(buffer.path, "want.a"), "501")
            self.assertTrue({"PMIO_DRAIN=hold", "PMIO_PLACEMENT=remote"} <= set(job.settings()))
            self.assertEqual([name for name in self.names(self.state) if name[0] == "."], [])

        self.killed_at_each_step(self.create, lambda: self.data_in_after_setup(), check, 14)

    def data_in_after_setup(self):
        stages.data_in(self.config, "1")
        stages.forget_others(Job(self.config, 1))

    def test_unmade(self):
        """teardown removes what its job had begun to make, at each step"""
        for n in range(1, 40):
            self.new_cluster()
            self.create()
            self.kill_at = n
            try:
                stages.data_in(self.config, "1")
                break
            except Killed:
                pass
            self.kill_at = 0
            stages.teardown(self.config, "1")
            is_made = Buffer(self.config, "keep").is_ready()
            left = [name for name in self.names(self.state) if not name.startswith(("memory.", ".gone.", ".now.", "..now"))]
            self.assertEqual(left, ["buffer.keep"] if is_made else [], f"killed at step {n}")
        self.assertGreater(n, 10)

    def destroyer(self):
        self.create()
        stages.data_in(self.config, "1")
        Job(self.config, 1).put("nodes", "n")
        stages.teardown(self.config, "1")
        job = self.setup_job(2, "destroy keep")
        job.put("nodes", "n")
        self.pmio.commands = []

    def test_destroy(self):
        """a buffer that is killed while it is destroyed is drained and goes"""

        def check():
            self.assertIn("a: drain buffer.keep", self.pmio.commands)
            self.assertIn("b: drain buffer.keep", self.pmio.commands)
            self.assertTrue(Job(self.config, 2).has("out"))
            self.assertFalse(Buffer(self.config, "keep").exists())

        self.killed_at_each_step(self.destroyer, lambda: stages.data_out(self.config, "2"), check, 8)

    def test_keep(self):
        """a buffer that cannot be drained stays, also when its destroyer is torn down in between"""
        self.destroyer()
        self.steps = []
        self.answering("a", "b", failing=["b"])
        self.fails("stage-out: b: it failed", stages.data_out, "2")
        self.assertTrue(Buffer(self.config, "keep").is_ready())
        self.steps = [lambda: stages.teardown(self.config, "2", "true")]
        self.fails("torn down", stages.data_out, "2")
        self.assertTrue(Buffer(self.config, "keep").is_ready())

    def test_used(self):
        """a buffer that another job uses is not destroyed before that has ended"""
        self.destroyer()
        self.setup_job(3, "use keep")

        def later():
            if self.time > 1100 and Job(self.config, 3).exists():
                self.assertIn("is used by job 3", Job(self.config, 2).read("waits"))
                stages.teardown(self.config, "3")

        self.steps.append(later)
        stages.data_out(self.config, "2")
        self.assertFalse(Buffer(self.config, "keep").exists())


class DataOut(StagesTest):
    def job(self):
        job = self.setup_job(1, "capacity 5")
        self.slurm = lambda *words: {"squeue": "n[1-3]\n", "scontrol": "n1\nn2\nn3\n"}[words[0]]
        stages.pre_run(self.config, "1")
        job.put("begun.n1")
        job.put("begun.n2")
        job.put("failed.n2", "no room")
        self.steps.append(lambda: self.time > 1005 and job.put("drained.n1", "0"))
        return job

    def test_out(self):
        """stage-out waits for the nodes that have a pool; killed at each step"""
        run = lambda: stages.data_out(self.config, "1")
        self.killed_at_each_step(self.job, run, lambda: self.assertTrue(Job(self.config, 1).has("out")), 5)

    def test_failed(self):
        """a node that could not drain is named, and the job's data are not called out"""
        job = self.job()
        job.put("drained.n1", "1 data wait in /x")
        self.fails("stage-out: n1: data wait in /x", stages.data_out, "1")
        self.assertFalse(job.has("out"))

    def test_no_nodes(self):
        """a job whose nodes Slurm does not name does not begin"""
        job = self.setup_job(1, "capacity 5")
        self.fails("nodes are not known", stages.pre_run, "1")
        stages.data_out(self.config, "1")
        self.assertFalse(job.has("out"))

    def test_torn_down(self):
        """stage-out ends when the job is torn down"""
        self.job()
        self.steps = [lambda: stages.teardown(self.config, "1", "true")]
        self.fails("torn down before its data were out", stages.data_out, "1")

    def test_memory(self):
        """memory nodes bring out, but not with drain=aggregate"""
        for drain, asked in (("hold", True), ("aggregate", False)):
            self.new_cluster()
            job = self.setup_job(1, "capacity 5", f"set drain {drain}")
            job.put("nodes", "n")
            job.put("memory_nodes", "a")
            self.answering("a")
            stages.data_out(self.config, "1")
            self.assertEqual("a: drain job.1" in self.pmio.commands, asked)


class Status(StagesTest):
    def test_status(self):
        """status shows jobs, nodes, buffers and memory nodes"""
        self.memory_node("a", 5, 7)
        write(f"{self.state}/memory.a", "5 7\njob.3: no room\n")
        job = self.setup_job(1, "capacity 5", "use b") if self.buffer() else None
        job.put("nodes", "n1\nn2\nn3\nn4\nn5")
        job.put("drained.n1", "1 why")
        job.put("failed.n2", "no room")
        job.put("progress.n3", "1 2")
        job.put("ready.n4")
        job.put("warning.n4", "stage_in: x")
        job.put("do.a", "drain job.1")
        status.status(self.config)
        self.assertEqual(
            "\n".join(self.shown),
            f"job 1: uid 1000, 5 bytes on each node, pool {self.pmem}/job.1\n  uses buffer b\n"
            "  memory node a: drain\n  n1: why\n  n2: no pool: no room\n  n3: stage-out: 1 of 2 bytes\n"
            "  n4: pool ready\n  n4: stage_in: x\n  n5: not begun\n"
            "buffer b: uid 1000, 9 bytes on memory nodes a\n"
            "memory node a: 5 of 7 bytes free\n  job.3: no room",
        )
        self.shown.clear()
        status.status(self.config, "2")
        self.assertEqual(self.shown, ["job 2: pmio has nothing for it"])
        self.fails("'x' is not a job's number", status.status, "x")

    def buffer(self):
        os.mkdir(f"{self.state}/buffer.b")
        for name, content in (("spec", "uid 1000\njob 9\nbytes 9"), ("ready", ""), ("memory_nodes", "a")):
            write(f"{self.state}/buffer.b/{name}", content + "\n")
        return True
