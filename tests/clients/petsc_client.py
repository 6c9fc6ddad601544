"""petsc_client.py FILE: PETSc's binary viewer by MPI-IO, with its side file FILE.info; written, added to, read"""
import glob
import sys

for found in sorted(glob.glob("/usr/lib/petscdir/petsc*/*/lib/python3/dist-packages")):
    if "-real/" in found:
        sys.path.insert(0, found)
try:
    import petsc4py
    petsc4py.init([sys.argv[0], "-viewer_binary_mpiio"])
    from petsc4py import PETSc
except ImportError as why:
    print("skip: no petsc4py (%s)" % why)
    sys.exit(77)

ROWS = 3000
name = sys.argv[1]


def viewer(mode):
    v = PETSc.Viewer().create(comm=PETSc.COMM_WORLD)
    v.setType("binary")
    v.setFileMode(mode)
    v.setFileName(name)
    return v


x = PETSc.Vec().createMPI(ROWS)
first, last = x.getOwnershipRange()
for i in range(first, last):
    x[i] = 3 * i + 1
x.assemble()
matrix = PETSc.Mat().createAIJ((ROWS, ROWS), nnz=2)
for i in range(*matrix.getOwnershipRange()):
    matrix[i, i] = i
    matrix[i, (i + 7) % ROWS] = -1
matrix.assemble()
v = viewer("w")
matrix.view(v)
v.destroy()
v = viewer("a")
x.view(v)
v.destroy()
v = viewer("r")
matrix_read, x_read = PETSc.Mat().load(v), PETSc.Vec().load(v)
v.destroy()
if not matrix.equal(matrix_read) or not x.equal(x_read):
    sys.exit("what was read is not what was written")
