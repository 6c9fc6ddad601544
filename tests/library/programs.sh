#!/bin/bash
# programs.sh -- programs of tests/mpi once more, by the library of the MPI that PMIO_TEST_MPI says
#
# On 3 ranks.  PMIO_TEST_PROGRAMS: which; all: each of them, on 1 to 4, compared with what the MPI's own leave (make check-library)
. "${top_srcdir:-.}/tests/env.sh"
all=$(cd "$MPI_PROGRAMS" 2>/dev/null && ls ./*.mpi 2>/dev/null | sed 's/^..\(.*\)\.mpi/\1/' | grep -vx handles)
[ -r "$MPI_LIBRARY" ] && [ -n "$all" ] || skip_all "there was no such MPI when this was configured"
[ "${PMIO_TEST_MPI%-*}" != abi ] || [ -r "$LD_LIBRARY_PATH/libmpi_abi.so.1" ] || skip_all "this MPI has no library of the ABI"
# where it is what tests/mpi/*.mpi are run with, that was it
[ -n "${PMIO_TEST_PROGRAMS:-}" ] || [ "$PMIO_TEST_MPI:$OPENMPI_ADAPTER" != openmpi-library:library ] || skip_all "tests/mpi/*.mpi are run with the library"

reference=no ranks=3
programs=${PMIO_TEST_PROGRAMS:-$(echo "$all" | grep -vx 'large\|long\|many\|perm')} # without the longest
if [ "$programs" = all ]; then
	programs=$all reference= ranks=
fi

export PMIO_TEST_REFERENCE=$reference PMIO_TEST_RANKS=$ranks

plan $(echo $programs | wc -w)
for p in $programs; do
	check "tests/mpi/$p.mpi" another_test "$top_srcdir/tests/mpi/run.sh" "$p.mpi"
done
exit $tap_failed
