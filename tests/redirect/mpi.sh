#!/bin/bash
# MPI programs and others on the same redirected files: pmio run --mpi and --paths together
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/lib.sh" || exit 99
need_mpi
export PMIO_DRAIN=hold
HELLO=$MPI_EXAMPLES/hello_pmem
[ -x "$HELLO" ] || skip_all "no MPI programs were built"
plan 4

held() { [ "$(size "$1")" = 0 ] && [ "$(redirected -- stat -c %s "$1")" = 2097152 ] && [ "$(state_of "$1")" = held ]; }
per_rank() {
	timeout 300 "$MPIRUN" -n 2 "$PMIO" run --mpi --paths "$PFS/*" -- "$HELLO" "pmem:$PFS/a" && held "$PFS/a"
}
all_of_it() {
	expect 0 "$PMIO" run --mpi=$MPI_FAMILY --paths "$PFS/*" -- bash -c "echo first >$PFS/log; $MPIRUN -n 2 $HELLO pmem:$PFS/b >>$PFS/log && cp $PFS/b $PFS/c && cat $PFS/log" &&
		says 'each read all of them' && says '^first$' && held "$PFS/b" && held "$PFS/c"
}
# MPI-IO of the MPI itself makes plain calls
without_prefix() {
	expect 0 "$PMIO" run --paths "$PFS/*" -- "$MPIRUN" -n 2 "$HELLO" "$PFS/d" && held "$PFS/d"
}
all_the_same() { drain_all && cmp "$PFS/a" "$PFS/b" && cmp "$PFS/a" "$PFS/c" && cmp "$PFS/a" "$PFS/d" && [ "$(size "$PFS/a")" = 2097152 ]; }
check "below the launcher" per_rank
check "a script with an MPI program in it" all_of_it
check "an MPI program with plain names" without_prefix
check "all have written the same" all_the_same
exit $tap_failed
