#!/bin/bash
# fuzz.sh -- tests/mpi/fuzz.sh, by the library
PMIO_TEST_MPI=mpich
. "${top_srcdir:-.}/tests/mpi/fuzz.sh"
