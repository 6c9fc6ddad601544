#!/bin/bash
# library.sh -- tests/library/library.sh, with the library for MPICH
PMIO_TEST_MPI=mpich
. "${top_srcdir:-.}/tests/library/library.sh"
