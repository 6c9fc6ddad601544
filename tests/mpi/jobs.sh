#!/bin/bash
# jobs.sh -- two jobs on one node with one file, at the same time
. "${top_srcdir:-.}/tests/env.sh" || exit 99
need_mpi
. "$top_srcdir/tests/cli/lib.sh" || exit 99
prog=$MPI_PROGRAMS/jobs
plan 3

# together RANKS RANKS FILE
together() {
	local a b ra rb
	rm -rf "$T/flags" && mkdir "$T/flags"
	run "$1" "$prog" "$3" "$T/flags" first >"$T/first" 2>&1 &
	a=$!
	run "$2" "$prog" "$3" "$T/flags" second >"$T/second" 2>&1 &
	b=$!
	bgs="$bgs $a $b"
	wait $a
	ra=$?
	wait $b
	rb=$?
	cat "$T/first" "$T/second"
	[ $ra = 0 ] && [ $rb = 0 ] && return
	echo "exit status $ra, $rb"
	return 1
}

# data that wait take nearly all of it
full_pool() (
	export PMIO_POOL=$T/full PMIO_POOL_SIZE=8MiB
	mkdir -m 700 "$PMIO_POOL" && PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/held" write 0 6000000 1 &&
		together 2 2 "pmem:$PFS/h" && expect 0 "$PMIO" stat --json && json "o['fallback_chunks'] > 0"
	rc=$?
	"$PMIO" agent stop --force
	exit $rc
)

check "2 and 3 ranks" together 2 3 "pmem:$PFS/f"
check "1 and 1 rank" together 1 1 "pmem:$PFS/g"
check "2 and 2 ranks, in a pool that is full" full_pool
exit $tap_failed
