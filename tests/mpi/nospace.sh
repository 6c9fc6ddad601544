#!/bin/bash
# nospace.sh -- a pool and a file system that are full: the MPI call that finds no room says so
. "${top_srcdir:-.}/tests/env.sh" || exit 99
need_mpi
. "$top_srcdir/tests/cli/lib.sh" || exit 99
[ "$(id -u)" = 0 ] || skip_all "needs root, for a small file system"
mkdir "$T/tiny" && mount -t tmpfs -o size=8m tmpfs "$T/tiny" 2>/dev/null || skip_all "cannot mount a small file system"
trap 'kill -9 $bgs 2>/dev/null; "$PMIO" agent stop --force >/dev/null 2>&1; umount "$T/tiny"; cleanup' EXIT
export PMIO_POOL_SIZE=8MiB
plan 3

# data that wait leave room for next to nothing
fill_pool() { PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/held" write 0 6000000 1; }
check "a pool that is nearly full" fill_pool

no_space() {
	run 2 "$MPI_PROGRAMS/nospace" "pmem:$T/tiny/f" >"$T/out" 2>&1
	rc=$?
	cat "$T/out"
	[ $rc = 0 ] && grep -q 'the pool is full, and writing to the file system failed: No space' "$T/out"
}
check "the write that finds no room says MPI_ERR_NO_SPACE, and the program goes on" no_space

held_is_there() { expect 0 "$PMIO" drain "$PFS/held" && expect 0 "$FILEIO" -p "$PFS/held" is 6000000 verify 0 6000000 1; }
check "data that waited are there" held_is_there
exit $tap_failed
