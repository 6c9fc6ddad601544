#!/bin/bash
# together.sh -- as in tests/mpi, by the library; and shared file pointers, which then are in a window of MPI
PMIO_TEST_MPI=openmpi-library
. "${top_srcdir:-.}/tests/mpi/together.sh"
