#!/bin/bash
# examples.sh -- the programs of mpi-examples, as a user would run them
. "${top_srcdir:-.}/tests/clients/compare.sh"
examples=$top_builddir/mpi-examples

hdf5_example() {
	[ -x "$examples/hdf5_parallel" ] || { echo "built without parallel HDF5 (on Debian: libhdf5-openmpi-dev)"; return 77; }
	"$1" $n hdf5_parallel$n "$examples/hdf5_parallel" && { [ "$1" = on_pmem ] || same_bytes hdf5_parallel$n; }
}

# 60 steps in one go, and 25 + 35 on other numbers of ranks
heat() {
	on_pmem 4 heat.whole "$examples/heat2d" --steps 60 &&
		on_pmem 2 heat.first "$examples/heat2d" --steps 25 &&
		on_pmem 3 heat.then "$examples/heat2d" --steps 35 --restart-from "pmem:$PFS/pmem/heat.first" &&
		cmp "$PFS/pmem/heat.whole" "$PFS/pmem/heat.then" &&
		! cmp -s "$PFS/pmem/heat.whole" "$PFS/pmem/heat.first"
}

# a restart from a file that a program without pmem: left, and the other way round
heat_plain() {
	on_romio 2 heat.first "$examples/heat2d" --steps 25 &&
		on_romio 1 heat.whole "$examples/heat2d" --steps 60 &&
		on_romio 4 heat.then "$examples/heat2d" --steps 35 --restart-from "$PFS/pmem/heat.first" &&
		on_pmem 1 heat.mixed "$examples/heat2d" --steps 35 --restart-from "pmem:$PFS/plain/heat.first" &&
		same_bytes heat.first heat.whole heat.then && cmp "$PFS/plain/heat.whole" "$PFS/pmem/heat.mixed"
}

not_a_checkpoint() {
	! on_pmem 2 heat.bad "$examples/heat2d" --restart-from "pmem:$PFS/pmem/hello_pmem1" && grep -q 'is no checkpoint' "$T/out"
}

missing_file() {
	! on_pmem 2 heat.bad "$examples/heat2d" --restart-from "pmem:$PFS/none" && grep -q 'MPI_ERR_NO_SUCH_FILE' "$T/out"
}

plan 28
for n in 1 2 4; do
	both $n hello_pmem$n "$examples/hello_pmem"
	reference=ompio # plain ROMIO ends a program that uses nonblocking collectives
	both $n overlap_io$n "$examples/overlap_io"
	reference=
	check "hdf5_parallel on $n, pmem:" hdf5_example on_pmem
	check "hdf5_parallel on $n, plain: same bytes" hdf5_example on_romio
done
check "heat2d: a restart ends where a run without one ends" heat
check "heat2d: checkpoints of plain runs are the same" heat_plain
check "heat2d: a file that is no checkpoint" not_a_checkpoint
check "heat2d: no such file" missing_file
exit $tap_failed
