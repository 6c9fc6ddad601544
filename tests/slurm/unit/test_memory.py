"""The loop of memory nodes."""
import os
import signal
import stat
import time

from fakes import MIB, ClusterTest, Killed, write
from pmio_slurm import clock, config, files, memory, processes, quota
from pmio_slurm.job import Job
from pmio_slurm.lease import Lease
from pmio_slurm.memory_pool import MemoryPool
from pmio_slurm.user import Result

NAME = "job.1"


class MemoryTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.environment(PMIO_MEMORY_NODE="m")
        self.set(memory.Workers, "start", lambda own, key, work: work())
        self.new_node()

    def new_node(self):
        self.node = memory.MemoryNode(self.config)
        self.lease = Lease(self.config, NAME)

    def want(self, born="1.5", size=MIB):
        if not self.lease.exists():
            os.mkdir(self.lease.path)
        self.lease.put("spec", f"uid 1000\ngid 100\nborn {born}\nstage_in /in\nstage_out /\nstage_out /none")
        self.lease.put("want.m", str(size))

    def loop(self, seconds=12):
        """As often as it takes for all that is tried again."""
        for _ in range(int(seconds / memory.TICK_S)):
            self.node.guarded(self.node.step, "")
            clock.sleep(memory.TICK_S)

    def wanted(self):
        self.new_node()
        self.want()

    def pools(self):
        return [name for name in self.names(self.pmem) if not name.startswith(".")]


class Pools(MemoryTest):
    def test_make(self):
        """a lease that wants a pool gets it, with a card that is its user's alone"""
        given = []
        self.set(os, "fchown", lambda fd, uid, gid: given.append((uid, gid)))
        self.want()
        self.loop()
        path = f"{self.pmem}/memory.{NAME}"
        self.assertEqual(self.content(self.lease.path, "card.m"), f"card of\n{path}")
        self.assertEqual(stat.S_IMODE(os.stat(self.lease.file("card.m")).st_mode), 0o600)
        self.assertEqual((given, self.owner(path)), ([(1000, 100)], (1000, 100)))
        self.assertEqual(self.content(self.pmem, f".memory.{NAME}.born"), "1.5")
        self.assertEqual(sum(command.startswith("pmio pool create") for command in self.pmio.commands), 1)

    def test_make_killed(self):
        """a pool whose making is killed at each step is there in the end, once"""

        def check():
            self.assertTrue(self.lease.has("card.m"))
            self.assertEqual(self.pools(), [f"memory.{NAME}"])
            self.assertTrue(MemoryPool(self.config, "m", NAME).is_of_lease())

        self.killed_at_each_step(self.wanted, self.loop, check, 20)

    def made(self):
        self.wanted()
        self.loop()
        self.lease.discard()
        self.pmio.commands.clear()

    def test_end_killed(self):
        """a pool whose end is killed at each step is drained before it goes"""

        def check():
            self.assertEqual([name for name in self.names(self.pmem) if not name.endswith(".born")], [])
            self.assertTrue(self.pmio.drained())

        self.killed_at_each_step(self.made, self.loop, check, 20)

    def test_end(self):
        """a lease that has gone leaves nothing"""
        self.made()
        self.loop()
        self.assertEqual(self.names(self.pmem), [])

    def test_no_room(self):
        """a pool that cannot be made: why not, and nothing stays"""
        for fails, why in (({}, "bytes free"), ({"pmio agent start": Result("a\033b")}, "a[?]b")):
            self.new_cluster()
            self.wanted()
            self.free = 100 * MIB if fails else 5
            self.pmio.fails = fails
            self.loop()
            self.assertRegex(self.lease.read("nocard.m"), why)
            self.assertEqual(self.names(self.pmem), [])

    def test_stays(self):
        """a pool that cannot be drained stays, is announced, and goes when it can"""
        self.made()
        self.pmio.fails["pmio drain"] = Result("No space left")
        self.loop(60)
        self.assertEqual(self.pools(), [f"memory.{NAME}"])
        self.assertEqual(len([line for line in self.said if "No space left" in line]), 1)
        self.assertEqual(self.content(self.state, "memory.m").split("\n")[1], f"{NAME}: No space left")
        self.pmio.fails.clear()
        self.loop()
        self.assertEqual(self.names(self.pmem), [])
        self.assertEqual(self.content(self.state, "memory.m"), f"{60 * MIB} {160 * MIB}")

    def test_asked_again(self):
        """a pool that is asked for once more keeps what is in it, also if its agent does not start"""
        self.wanted()
        self.loop()
        for fails, name in (({}, "card.m"), ({"pmio agent start": Result("no")}, "nocard.m")):
            self.pmio.commands.clear()
            self.pmio.fails = fails
            self.lease.remove("card.m")
            self.node.step()
            self.assertTrue(self.lease.has(name))
            self.assertTrue(os.path.exists(f"{self.pmem}/memory.{NAME}/data"))
            self.assertFalse([command for command in self.pmio.commands if command.startswith("pmio pool create")])

    def test_marks(self):
        """a pool stays while others have the layout files of its files, but not for ever"""
        for marks, seconds in ((3, 1.5), (10**6, 60)):
            self.made()
            self.pmio.marks = marks
            begun = self.time
            self.node.step()
            self.assertEqual((self.time - begun, self.names(self.pmem)), (seconds, []))
            clock.sleep(60)

    def test_reborn(self):
        """a lease of the same name gets a pool of its own, when the other's data are out"""
        self.made()
        self.want(born="2.5")
        self.loop()
        self.assertTrue(self.pmio.drained())
        self.assertEqual(sum(command.startswith("pmio pool create") for command in self.pmio.commands), 1)
        self.assertTrue(self.lease.has("card.m"))

    def test_restart(self):
        """a target that has gone is started anew"""
        self.wanted()
        self.loop()
        self.pmio.serving.clear()
        self.loop()
        self.assertEqual(self.pmio.serving, {f"{self.pmem}/memory.{NAME}"})

    def test_paused(self):
        """an agent that does not bring out is replaced"""
        self.made()
        ends = []
        drains = [Result("no end", no_end=True)]
        run = self.pmio.run
        self.set(processes, "end", lambda path, uid, option: ends.append(option))
        self.pmio.run = lambda user, *words, **more: (
            drains.pop() if words[1:3] == ("drain", "--all") and drains else run(user, *words, **more)
        )
        self.loop()
        self.assertEqual((ends[:2], self.names(self.pmem)), (["--target", "--pool"], []))

    def test_not_seen(self):
        """a lease that cannot be seen has not gone"""
        self.wanted()
        self.loop()
        exists = files.exists

        def unseen(path):
            if path.startswith(self.lease.path):
                raise OSError(116, "Stale file handle", path)
            return exists(path)

        self.set(files, "exists", unseen)
        self.loop()
        self.assertEqual(self.pools(), [f"memory.{NAME}"])
        self.assertFalse(self.pmio.drained())
        self.assertEqual(len([line for line in self.said if "Stale" in line]), 3)

    def test_roots(self):
        """nothing is done as root with a pool that has become root's, and others go on"""
        self.made()
        self.owners[os.stat(f"{self.pmem}/memory.{NAME}").st_ino] = (0, 0)
        self.loop()
        self.assertEqual(self.pmio.commands, [])
        self.assertIn("belongs to root", self.content(self.state, "memory.m"))

    def test_names(self):
        """folders of other names are left alone"""
        for name in ("memory.job.x", "memory.buffer.-a", "memory.other", "job.1"):
            os.mkdir(f"{self.pmem}/{name}")
        for name in ("job.x", "buffer.a b"):
            os.mkdir(f"{self.state}/{name}")
            write(f"{self.state}/{name}/want.m", "5\n")
        self.loop()
        self.assertEqual((len(self.names(self.pmem)), self.pmio.commands), (4, []))

    def test_announce(self):
        """what is free is announced, without the room of a catalog"""
        self.node.announce()
        self.assertEqual(self.content(self.state, "memory.m"), f"{100 * MIB - quota.CATALOG} {200 * MIB - quota.CATALOG}")


class Requests(MemoryTest):
    def ask(self, what, lease=NAME):
        job = Job(self.config, 1)
        files.remove_all(job.path, "do.", "did.")
        self.want()
        self.loop()
        job.put("environment", "PMIO_DRAIN=hold")
        job.put("do.m", f"{what} {lease}")
        self.pmio.commands.clear()
        self.loop(2)
        return job.read("did.m")

    def test_requests(self):
        """what jobs ask for is done once, with their settings"""
        self.assertEqual(self.ask("stage-in"), "0")
        self.assertEqual(self.pmio.commands, ["pmio stage-in --json -- /in"])
        self.assertEqual(self.ask("stage-out"), "0")
        self.assertEqual(self.pmio.commands[-1], "pmio drain --json -- /")
        self.assertEqual(self.ask("drain"), "0")
        self.assertEqual(self.pmio.commands, ["pmio agent resume", "pmio drain --all --json"])

    def test_failures(self):
        """what cannot be done is answered with the reason"""
        self.pmio.fails["pmio stage-in"] = Result("a\nb")
        self.assertEqual(self.ask("stage-in"), "1 stage-in: a?b")
        for what, lease, why in (("x", NAME, "unknown request"), ("drain", "job.5", "there is no pool"), ("drain", "../x", "is not the name of a lease")):
            self.assertRegex(self.ask(what, lease), f"1 {what}: .*{why}")

    def test_killed(self):
        """a request that is killed is done again"""
        self.want()
        self.loop()
        self.lease.put("do.m", f"drain {NAME}")
        self.pmio.run = lambda *args, **more: (_ for _ in ()).throw(Killed())
        with self.assertRaises(Killed):
            self.loop(1)
        del self.pmio.run
        self.node = memory.MemoryNode(self.config)
        self.loop(1)
        self.assertEqual(self.lease.read("did.m"), "0")


class Processes(ClusterTest):
    def test_workers(self):
        """what takes long is done beside the loop, in one process for each key"""
        workers = memory.Workers()
        read, written = os.pipe()
        workers.start("a", lambda: os.read(read, 1) and write(f"{self.top}/done", ""))
        self.assertTrue(workers.is_busy("a"))
        self.assertFalse(workers.is_busy("b"))
        os.write(written, b"x")
        while workers.is_busy("a"):
            pass
        self.assertTrue(os.path.exists(f"{self.top}/done"))

    def test_end(self):
        """the loop ends at TERM, and does not announce its node any more"""
        pid = os.fork()
        if pid == 0:
            memory.memory(self.config)
            os._exit(7)
        sign = f"{self.state}/memory.{config.host_name()}"
        end = time.monotonic() + 60
        while not os.path.exists(sign) and time.monotonic() < end:
            time.sleep(0.05)
        self.assertTrue(os.path.exists(sign))
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 7)
        self.assertEqual(self.names(self.state), [])
