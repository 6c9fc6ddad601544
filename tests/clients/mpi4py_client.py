"""mpi4py: collective, independent and strided access with numpy arrays; sizes and errors"""
import sys

import numpy as np
from mpi4py import MPI

comm = MPI.COMM_WORLD
me, n = comm.rank, comm.size
url = sys.argv[1]
LEN = 30000


def part(rank, gen):
    return np.arange(LEN, dtype="i4") * 3 + rank * 1000000 + gen


def same(got, want, what):
    if not np.array_equal(got, want):
        i = int(np.flatnonzero(got != want)[0])
        print(f"rank {me}: {what}: element {i} is {got[i]}, should be {want[i]}", file=sys.stderr)
        comm.Abort(1)


f = MPI.File.Open(comm, url, MPI.MODE_RDWR | MPI.MODE_CREATE)
f.Write_at_all(me * LEN * 4, part(me, 1))
comm.Barrier()
got = np.empty(LEN, dtype="i4")
other = (me + 1) % n
f.Read_at(other * LEN * 4, got)
same(got, part(other, 1), "read_at")
comm.Barrier()
assert f.Get_size() == n * LEN * 4, f.Get_size()

# each n-th int of a second part belongs to one rank
column = MPI.INT.Create_resized(0, 4 * n).Commit()
f.Set_view(n * LEN * 4 + 4 * me, MPI.INT, column)
f.Write_all(part(me, 2))
f.Set_view(0, MPI.INT, MPI.INT)
comm.Barrier()
everything = np.empty(n * LEN, dtype="i4")
f.Read_at(n * LEN, everything)
same(everything, np.stack([part(r, 2) for r in range(n)], axis=1).reshape(-1), "strided")
column.Free()
comm.Barrier()

request = f.Iwrite_at(me * LEN, part(me, 3))
request.Wait()
comm.Barrier()
f.Read_at_all(other * LEN, got)
same(got, part(other, 3), "iwrite_at")

status = MPI.Status()
f.Read_at(2 * n * LEN - 5, got, status)
assert status.Get_count(MPI.INT) == 5, status.Get_count(MPI.INT)
f.Close()

try:
    MPI.File.Open(comm, url + ".none", MPI.MODE_RDONLY)
except MPI.Exception as e:
    assert e.Get_error_class() == MPI.ERR_NO_SUCH_FILE, e.Get_error_class()
else:
    raise AssertionError("a missing file is opened")

data = np.fromfile(url.split(":", 1)[-1], dtype="i4")
same(data[: n * LEN], np.concatenate([part(r, 3) for r in range(n)]), "after close")
