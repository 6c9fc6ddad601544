#!/bin/bash
# nonblocking reads of a file that is on the file system only: they wait, and the program does not
. "${top_srcdir:-.}/tests/env.sh" || exit 99
need_mpi
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/fuse/lib.sh" || exit 99
prog=$MPI_PROGRAMS/pending
mkdir "$T/flags"

make() { MPI_LIBRARY='' run 1 "$prog" "$BACK/$1" "$T/flags" make; }
all_pending() { [ "$(ls "$T/flags" | grep -c pending)" = 2 ]; }

hang() {
	make hang && fault "read hang name=hang" || return
	(run 2 "$prog" "pmem:$PFS/hang" "$T/flags" hang >"$T/hang" 2>&1; echo "ended $?" >>"$T/hang") &
	local pid=$!
	until_ok all_pending || { cat "$T/hang"; return 1; }
	no_fault && touch "$T/flags/go" && wait $pid && grep -qx 'ended 0' "$T/hang" || { cat "$T/hang"; return 1; }
}

fails() {
	make "$1" && fault "read EIO name=$1" && run 2 "$prog" "pmem:$PFS/$1" "$T/flags" fail
}

answers() {
	make whole && run 2 "$prog" "pmem:$PFS/whole" "$T/flags" answer
}

plan 3
check "requests wait, the program goes on" hang
no_fault
check "they fail: the class of the error, in the result and in the statuses" fails fails
no_fault
check "the file system answers" answers
exit $tap_failed
