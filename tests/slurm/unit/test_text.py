"""What users have written, and the command itself."""
import ast
import os
import subprocess
import sys
import tempfile
import unittest

from fakes import write
import pmio_slurm
from pmio_slurm import config, files, text
from pmio_slurm.errors import Failure

PROGRAM = os.path.join(os.environ["PMIO_UNIT_SLURM"], "pmio-slurm")


class Text(unittest.TestCase):
    def test_number(self):
        """numbers are 1 to 18 digits and nothing else"""
        for word, value in (("0", 0), ("007", 7), ("9" * 18, 10**18 - 1)):
            self.assertEqual(text.number(word), value)
        for word in ("", "-1", "+1", "1 ", "1\n", "0x1", "1_0", "\u0661", "9" * 19, "x[$(touch y)]"):
            self.assertIsNone(text.number(word), word)

    def test_size(self):
        """sizes, with units of 1000 and of 1024"""
        sizes = {"5": 5, "5b": 5, "1k": 1024, "1KB": 1000, "1KiB": 1024, "1.5TiB": 3 << 39, "2.g": 2 << 30, "1P": 1 << 50}
        for word, value in sizes.items():
            self.assertEqual(text.size(word), value, word)
        for word in ("", "K", "1.5.2G", "-1", "1Gig", "1i", "1e3", "1 G", "9999999P", "1\u212a"):
            self.assertIsNone(text.size(word), word)

    def test_plain(self):
        """what people read is one line without control characters, of limited length"""
        self.assertEqual(text.plain("a\033[31mred\n\x7f \u009bword \u00e9"), "a?[31mred?? ?word \u00e9")
        self.assertEqual(len(text.plain("x" * 10**6)), text.MESSAGE_MAX)
        self.assertEqual(text.encode(text.plain(text.decode(b"\xff\x1b"))), b"\xff?")


class Files(unittest.TestCase):
    def test_unknown(self):
        """a file that cannot be looked at has not gone"""
        with tempfile.TemporaryDirectory() as folder:
            os.symlink("loop", f"{folder}/loop")
            for look in (files.exists, files.is_folder, files.read, lambda path: files.endings(path, "")):
                with self.assertRaises(OSError):
                    look(f"{folder}/loop")
            self.assertFalse(files.exists(f"{folder}/none") or files.is_folder(f"{folder}/none"))
            self.assertEqual((files.lines(f"{folder}/none"), files.endings(f"{folder}/none", "")), ([], []))

    def test_lines(self):
        """only a line feed ends a line, and any bytes are kept"""
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/file", "wb") as file:
                file.write(b"a\rb\x0b\xc2\x85\xff\n\nc")
            found = files.lines(f"{folder}/file")
            self.assertEqual([text.encode(line) for line in found], [b"a\rb\x0b\xc2\x85\xff", b"", b"c"])
            files.put(f"{folder}/copy", "\n".join(found))
            with open(f"{folder}/copy", "rb") as file:
                self.assertEqual(file.read(), b"a\rb\x0b\xc2\x85\xff\n\nc\n")


class Modules(unittest.TestCase):
    def test_imports(self):
        """modules import only those before them in the package's list, which has all"""
        modules = []
        for line in pmio_slurm.__doc__.partition("Modules,")[2].split("\n")[2:-1]:
            modules += line[:39].split()
        folder = os.path.dirname(pmio_slurm.__file__)
        files = [name[:-3] for name in os.listdir(folder) if name.endswith(".py") and name != "__init__.py"]
        self.assertEqual(sorted(modules), sorted(files))
        for number, module in enumerate(modules):
            with open(f"{folder}/{module}.py") as file:
                tree = ast.parse(file.read())
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.level:
                    for name in [node.module] if node.module else [alias.name for alias in node.names]:
                        self.assertIn(name, modules[:number], module)


class Conf(unittest.TestCase):
    def read(self, content):
        with tempfile.TemporaryDirectory() as folder:
            write(f"{folder}/conf", content)
            return config.Config(f"{folder}/conf")

    def test_conf(self):
        """pmio-slurm.conf: the last of a key counts, comments and other keys do not"""
        found = self.read("#STATE=x\nSTATE=/a\n STATE=/s b \t\nPMEM=/p\nOTHER=1\nNODE_CAPACITY=1GiB\nSTALL=7")
        self.assertEqual((found.state, found.pmem, found.stall, found.longest), ("/s b", "/p", 7, 86400))
        self.assertEqual(found.node_capacity, 1 << 30)

    def test_conf_errors(self):
        """what is wrong with pmio-slurm.conf is said"""
        for content, why in (
            ("PMEM=/p\n", "STATE is not set"),
            ("STATE=/s\n", "PMEM is not set"),
            ("STATE=/s\nPMEM=/p\nSTALL=a[1]\nNODE_CAPACITY=1\n", "numbers of seconds"),
            ("STATE=/s\nPMEM=/p\n", "NODE_CAPACITY is not a size"),
        ):
            with self.assertRaisesRegex(Failure, why):
                self.read(content)
        with self.assertRaisesRegex(Failure, "cannot read /none: No such file or directory"):
            config.Config("/none")


class Program(unittest.TestCase):
    def call(self, *arguments, **more):
        return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, **more)

    def test_usage(self):
        """a wrong command line is refused with status 2"""
        for arguments in ((), ("other",), ("setup", "1")):
            done = self.call(*arguments)
            self.assertEqual((done.returncode, done.stderr[:17]), (2, "usage: pmio-slurm"))

    def test_no_conf(self):
        """what fails is one line"""
        done = self.call("status", env={"PMIO_SLURM_CONF": "/none"})
        self.assertEqual((done.returncode, done.stderr), (1, "pmio: cannot read /none: No such file or directory\n"))

    def test_isolated(self):
        """no module is taken from the environment or the current folder"""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("re", "subprocess", "sitecustomize", "usercustomize", "pmio_slurm"):
                write(f"{folder}/{name}.py", f"open({folder + '/taken'!r}, 'w')\n")
            os.mkdir(f"{folder}/state")
            write(f"{folder}/conf", f"STATE={folder}/state\nPMEM={folder}\nNODE_CAPACITY=1\n")
            os.symlink(PROGRAM, f"{folder}/link")
            hostile = {
                "PMIO_SLURM_CONF": f"{folder}/conf", "PYTHONPATH": folder, "PYTHONHOME": folder, "HOME": folder,
                "PYTHONUSERBASE": folder, "PYTHONSTARTUP": f"{folder}/re.py", "LC_ALL": "de_DE.ISO-8859-1", "PATH": folder,
            }  # fmt: skip
            done = subprocess.run([f"{folder}/link", "status", "1"], env=hostile, cwd=folder, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (0, "job 1: pmio has nothing for it\n"), done.stderr)
            self.assertFalse(os.path.exists(f"{folder}/taken"))

    def test_light(self):
        """what it does not need is not loaded: slurmctld and slurmd wait for it"""
        heavy = "{'typing', 'dataclasses', 'pathlib', 'shutil', 'tempfile', 'logging', 'argparse', 'inspect', 'site'}"
        code = f"import sys; sys.path.insert(0, {os.path.dirname(PROGRAM)!r}); import pmio_slurm.stages, pmio_slurm.node, "
        code += f"pmio_slurm.memory; print(sorted({heavy} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-ISB", "-c", code], capture_output=True, text=True)
        self.assertEqual(done.stdout, "[]\n", done.stderr)
