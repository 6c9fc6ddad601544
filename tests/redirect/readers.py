# readers.py NAME: one process replaces a file, and removes another, again and again; two read both.  They have what it was before,
# or after, and no error (but ESTALE for what is removed, in a mount); prints the exit statuses
import errno, os, re, sys, time
name, end = sys.argv[1], time.time() + 3
def one(what):
    if os.fork() == 0:
        what()
        os._exit(0)
def write():
    i = 0
    while time.time() < end:
        i += 1
        with open(name + ".new", "w") as f:
            f.write("version %d\n" % i)
        os.rename(name + ".new", name)
        with open(name + ".gone", "w") as f:
            f.write("version %d\n" % i)
        os.unlink(name + ".gone")
def read():
    while time.time() < end:
        fd = os.open(name, os.O_RDONLY)
        text = os.read(fd, 100)
        os.close(fd)
        assert re.fullmatch(rb"version \d+\n", text), text
        size = os.stat(name).st_size
        assert size >= len("version 1\n"), size
        try:
            with open(name + ".gone", "rb") as f:
                text = f.read()
            assert re.fullmatch(rb"(version \d+\n)?", text), text
        except OSError as e:
            assert e.errno == errno.ENOENT or (e.errno == errno.ESTALE and len(sys.argv) > 2), e
with open(name, "w") as f:
    f.write("version 0\n")
for what in write, read, read:
    one(what)
print([os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(3)])
