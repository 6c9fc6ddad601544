#!/bin/bash
# answers.sh -- what an error class says is not printed besides: programs expect such answers, and
# test suites take any output for a failure.  With log=info it is.
. "${top_srcdir:-.}/tests/env.sh" || exit 99
need_mpi
. "$top_srcdir/tests/cli/lib.sh" || exit 99
prog=$MPI_PROGRAMS/answers
plan 2

quiet() { run 3 "$prog" "pmem:$PFS/f" >"$OUT" 2>"$ERR" && silent; }
check "no line for what the class says" quiet

aloud() {
	PMIO_LOG=info run 3 "$prog" "pmem:$PFS/f" >"$OUT" 2>"$ERR" && grep -q "delete $PFS/f: No such file" "$ERR" &&
		grep -q "open $PFS/f: No such file" "$ERR" && grep -q "open $PFS/f: File exists" "$ERR" &&
		grep -q "open $PFS/f: access mode .* is not one that MPI allows" "$ERR"
}
check "with log=info there is one" aloud
exit $tap_failed
