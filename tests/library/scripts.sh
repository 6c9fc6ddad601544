#!/bin/bash
# scripts.sh -- scripts of tests/mpi and of tests/redirect once more, by the library of the MPI that PMIO_TEST_MPI says
. "${top_srcdir:-.}/tests/env.sh"
[ -r "$MPI_LIBRARY" ] && [ -x "$MPI_PROGRAMS/closefail" ] || skip_all "there was no such MPI when this was configured"

scripts="answers closefail jobs killed left locked nospace pending"
plan $(($(echo $scripts | wc -w) + 1))
for s in $scripts; do
	check "tests/mpi/$s.sh" another_test "$top_srcdir/tests/mpi/$s.sh"
done
check "tests/redirect/mpi.sh" another_test "$top_srcdir/tests/redirect/mpi.sh"
exit $tap_failed
