#!/bin/bash
# closefail.sh -- the file system does not take a file: what an MPI program gets to know, and
# that the data wait in the pool
. "${top_srcdir:-.}/tests/env.sh"
need_mpi
prog=$MPI_PROGRAMS/closefail

# a limit on the size of files stands for a full file system
limited_agent --fsize=1048576 || fatal

handler_is_called() {
	run 2 "$prog" "pmem:$PFS/user" user
}

fatal_ends() {
	run 2 "$prog" "pmem:$PFS/fatal" fatal >"$T/out" 2>&1
	rc=$?
	cat "$T/out"
	[ $rc != 0 ] || { loses_status && grep -q 'Abort(' "$T/out"; } || return
	[ $rc != 124 ] && ! grep -q 'went on' "$T/out"
}

said_once() { # by the rank that drains; the agent's own line is in its log
	run 2 "$prog" "pmem:$PFS/return" return >"$T/out" 2>&1
	rc=$?
	cat "$T/out"
	[ $rc = 0 ] && [ "$(grep -c "close $PFS/return: File too large" "$T/out")" = 1 ]
}

drained_later() {
	"$PMIO" agent stop --force && for f in user fatal return; do
		"$PMIO" drain "$PFS/$f" && cmp -n 8388608 /dev/zero "$PFS/$f" || return 1
	done
}

plan 4
check "a handler of the program's is called" handler_is_called
check "MPI_ERRORS_ARE_FATAL ends the program" fatal_ends
check "MPI_ERRORS_RETURN: one line says it" said_once
check "the data are kept, and drained by another agent" drained_later
