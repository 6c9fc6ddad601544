#!/bin/bash
# killed.sh -- a rank dies while it writes: what was promised is on the file system all the same
. "${top_srcdir:-.}/tests/env.sh"
need_mpi
file=$PFS/file

job_ends() {
	run 2 "$MPI_PROGRAMS/killed" "pmem:$file" >"$T/out" 2>&1
	rc=$?
	[ $rc != 124 ] && { [ $rc != 0 ] || loses_status; } && return 0
	echo "exit status $rc"
	cat "$T/out"
	return 1
}

all_drained() { "$PMIO" ls --json >"$T/ls" && ! grep -E '"state": *"(open|dirty|draining)"' "$T/ls"; }
# the agent drains a file whose last process has gone, without being asked
drained() {
	until_ok all_drained && "$PMIO" drain "$file"
}

complete() {
	for i in 1 2 3 4 5 6 7 8; do
		head -c 100000 /dev/zero | tr '\0' a
		head -c 100000 /dev/zero | tr '\0' b
	done >"$T/want"
	cmp -n 1600000 "$T/want" "$file"
}

again() { # the file can be used by the next job
	run 2 "$MPI_EXAMPLES/hello_pmem" "pmem:$PFS/next" && run 1 "$MPI_EXAMPLES/hello_pmem" "pmem:$file"
}

plan 4
check "the job ends when a rank is killed" job_ends
check "the agent drains what the job left" drained
check "every write that returned is there" complete
check "the next jobs run" again
