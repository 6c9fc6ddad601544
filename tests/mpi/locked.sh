#!/bin/bash
# locked.sh -- a process dies while it has the lock of atomic mode: the others go on
. "${top_srcdir:-.}/tests/env.sh" || exit 99
need_mpi
. "$top_srcdir/tests/cli/lib.sh" || exit 99
prog=$MPI_PROGRAMS/locked
[ -r /proc/locks ] || skip_all "no /proc/locks to see who has a lock"
plan 3

# the locks are on bytes of the pool's data
locks() { grep ":$(stat -c %i "$PMIO_POOL/data") " /proc/locks; }
held() { locks | grep -v -- '->' | grep -q OFDLCK; }
waited_for() { locks | grep -q -- '->.*OFDLCK'; }

# stopped at a moment when it has the lock
holds_the_lock() {
	local i
	run 1 "$prog" "pmem:$PFS/f" loop >"$T/first" 2>&1 &
	bgs="$bgs $!"
	until_ok grep -q '^pid' "$T/first" || return 1
	holder=$(sed -n 's/^pid //p' "$T/first")
	bgs="$bgs $holder"
	for i in $(seq 500); do
		kill -STOP "$holder" || return 1
		held && return
		kill -CONT "$holder"
		sleep 0.01
	done
	echo "was never seen with the lock"
	return 1
}

others_wait() {
	run 1 "$prog" "pmem:$PFS/f" once >"$T/second" 2>&1 &
	second=$!
	bgs="$bgs $second"
	until_ok waited_for && ! gone $second
}

others_go_on() {
	kill -KILL "$holder" && wait $second
	local rc=$?
	cat "$T/second"
	return $rc
}

check "a process is stopped while it writes in atomic mode" holds_the_lock
check "another one waits" others_wait
check "when the first is killed the other goes on" others_go_on
exit $tap_failed
