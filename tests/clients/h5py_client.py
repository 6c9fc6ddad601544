"""h5py with driver "mpio": contiguous and chunked datasets, collective and independent,
read by other ranks in the same open, reopened"""
import sys

import h5py
import numpy as np
from mpi4py import MPI

comm = MPI.COMM_WORLD
me, n = comm.rank, comm.size
if not h5py.get_config().mpi:
    if me == 0:
        print("skip: this h5py is not built for MPI (on Debian: python3-h5py-mpi)", flush=True)
    MPI.Finalize()
    sys.exit(77)
url = sys.argv[1]
ROWS, COLS = 60, 50
other = (me + 1) % n


def rows(rank, gen):
    i = np.arange(rank * ROWS, (rank + 1) * ROWS)[:, None]
    return (i * 1000 + np.arange(COLS)[None, :] + gen * 10000000).astype("i4")


def same(got, want, what):
    if not np.array_equal(got, want):
        bad = np.argwhere(got != want)[0]
        print(f"rank {me}: {what}: {tuple(bad)} is {got[tuple(bad)]}, should be {want[tuple(bad)]}", file=sys.stderr)
        comm.Abort(1)


def check(sets, gens, rank, what):
    for name, gen in gens.items():
        same(sets[name][rank * ROWS : (rank + 1) * ROWS], rows(rank, gen), f"{name}, {what}")


shape = (n * ROWS, COLS)
mine = slice(me * ROWS, (me + 1) * ROWS)
gens = {"contiguous": 1, "chunked": 2, "collective": 3}
with h5py.File(url, "w", driver="mpio", comm=comm) as f:
    f.create_dataset("contiguous", shape, "i4", track_times=False)
    f.create_dataset("chunked", shape, "i4", chunks=(25, 32), fillvalue=-1, track_times=False)
    f.create_dataset("collective", shape, "i4", chunks=(16, 50), track_times=False)
    f.attrs["ranks"] = n
    f["contiguous"][mine] = rows(me, 1)
    f["chunked"][mine] = rows(me, 2)
    with f["collective"].collective:
        f["collective"][mine] = rows(me, 3)
    comm.Barrier()
    check(f, gens, other, "same open")
    comm.Barrier()
    f["chunked"][mine] = rows(me, 4)
    gens["chunked"] = 4
    comm.Barrier()
    check(f, gens, other, "written twice")

with h5py.File(url, "r", driver="mpio", comm=comm) as f:
    assert f.attrs["ranks"] == n
    for r in range(n):
        check(f, gens, r, "reopened")

# the file without MPI, after the last close
comm.Barrier()
with h5py.File(url.split(":", 1)[-1], "r") as f:
    check(f, gens, other, "without MPI")
