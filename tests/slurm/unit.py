"""Runs the tests of tests/slurm/unit, prints TAP.  unit.py SLURM FOLDER [NAME]: of those, for the tests' files, that match."""
import os
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [sys.argv[1], os.path.join(HERE, "unit")]
tempfile.tempdir = sys.argv[2]
os.environ["PMIO_UNIT_SLURM"] = os.path.realpath(sys.argv[1])


class Tap(unittest.TestResult):
    count = 0

    def line(self, test: unittest.TestCase, start: str, why: str = "") -> None:
        self.count += 1
        print(f"{start} {self.count} - {test.shortDescription() or test.id()}{why}", flush=True)

    def failed(self, test: unittest.TestCase, error: tuple) -> None:
        self.line(test, "not ok")
        for line in self._exc_info_to_string(error, test).split("\n"):
            print("#", line)

    def addSuccess(self, test):
        self.line(test, "ok")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.failed(test, error)

    def addError(self, test, error):
        super().addError(test, error)
        self.failed(test, error)

    def addSubTest(self, test, subtest, error):
        if error is not None:
            super().addSubTest(test, subtest, error)
            self.failed(subtest, error)

    def addSkip(self, test, reason):
        self.line(test, "ok", f" # SKIP {reason}")


loader = unittest.TestLoader()
loader.testNamePatterns = [f"*{name}*" for name in sys.argv[3:]] or None
suite = loader.discover(os.path.join(HERE, "unit"), "test_*.py")
result = Tap()
suite.run(result)
print(f"1..{result.count}")
sys.exit(not result.wasSuccessful() or result.count == 0)
