#!/bin/bash
# what an MPI program gets to know of a file system that fails
. "${top_srcdir:-.}/tests/env.sh" || exit 99
need_mpi
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/fuse/lib.sh" || exit 99
prog=$top_builddir/tests/mpi/closefail

# the class of the error, through the file's error handler; later the file is whole
class_is() {
	local file=$1 class=$2
	shift 2
	: >"$BACK/$file" # a new one would be synced at its open
	fault "$@" && run 2 "$prog" "pmem:$PFS/$file" user "$class" && expect 0 "$PMIO" ls &&
		says "^failed .*$PFS/$file " && no_fault && expect 0 "$PMIO" drain "$PFS/$file" &&
		[ "$(stat -c %s "$BACK/$file")" = 8388608 ] && cmp -n 8388608 /dev/zero "$BACK/$file"
}

fatal_ends() {
	local rc
	fault "write EIO"
	run 2 "$prog" "pmem:$PFS/fatal" fatal >"$T/out" 2>&1
	rc=$?
	cat "$T/out"
	no_fault
	[ $rc != 0 ] && [ $rc != 124 ] && ! grep -q 'went on' "$T/out" &&
		expect 0 "$PMIO" drain "$PFS/fatal" && cmp -n 8388608 /dev/zero "$BACK/fatal"
}

# the job waits, and comes to its end
hangs() {
	fault "write hang name=hung"
	(run 2 "$prog" "pmem:$PFS/hung" none >"$T/hung" 2>&1; echo "ended $?" >>"$T/hung") &
	local pid=$!
	until_ok eval "'$PMIO' ls | grep -q ' $PFS/hung'" && run 2 "$prog" "pmem:$PFS/good" none &&
		cmp -n 8388608 /dev/zero "$BACK/good" && ! grep ended "$T/hung" && no_fault && wait $pid &&
		grep -q 'ended 0' "$T/hung" && cmp -n 8388608 /dev/zero "$BACK/hung"
}

plan 8
check "ENOSPC is MPI_ERR_NO_SPACE" class_is a MPI_ERR_NO_SPACE "write ENOSPC after=5000000"
check "EDQUOT is MPI_ERR_QUOTA" class_is b MPI_ERR_QUOTA "write EDQUOT after=5000000"
check "EIO is MPI_ERR_IO" class_is c MPI_ERR_IO "write EIO"
check "ESTALE is MPI_ERR_IO" class_is d MPI_ERR_IO "fsync ESTALE"
check "a failing fsync" class_is e MPI_ERR_IO "fsync EIO"
check "a failing close" class_is f MPI_ERR_QUOTA "close EDQUOT"
check "MPI_ERRORS_ARE_FATAL ends the program" fatal_ends
check "one job hangs, another does not" hangs
exit $tap_failed
