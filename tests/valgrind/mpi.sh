#!/bin/bash
# mpi.sh -- programs of tests/mpi on 2 ranks, ranks and agent under valgrind; TAP
. "${top_srcdir:-.}/tests/env.sh"
need_mpi
. "$top_srcdir/tests/valgrind/lib.sh"

programs="contig views coll nonblock shared split"

ranks() {
	# shellcheck disable=SC2086
	run 2 $vg_rank "$top_builddir/tests/mpi/$1.mpi" "pmem:$PFS/$1"
	rc=$?
	"$PMIO" agent stop --force
	clean && [ $rc = 0 ]
}

# shellcheck disable=SC2086
plan "$(echo $programs | wc -w)"
for name in $programs; do
	check "$name on 2" ranks "$name"
done
exit $tap_failed
