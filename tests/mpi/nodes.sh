#!/bin/sh
# nodes.sh -- ranks with different pools, as on two nodes, cannot share a file yet: all are told
. "${top_srcdir:-.}/tests/env.sh"
prog=$top_builddir/mpi-examples/hello_pmem

refused() {
	mkdir -m 700 "$T/other"
	timeout -k 5 60 "$MPIRUN" -n 1 -x PMIO_POOL="$T/pool" "$prog" "pmem:$PFS/f" : \
		-n 1 -x PMIO_POOL="$T/other" "$prog" "pmem:$PFS/f" >"$T/out" 2>&1
	rc=$?
	PMIO_POOL=$T/other "$PMIO" agent stop --force >/dev/null
	cat "$T/out"
	[ $rc != 0 ] && [ $rc != 124 ] && [ "$(grep -c 'different pools' "$T/out")" = 1 ] &&
		[ "$(grep -c MPI_ERR_UNSUPPORTED_OPERATION "$T/out")" = 2 ]
}

plan 1
check "an open with two pools fails on all ranks, with one line why" refused
