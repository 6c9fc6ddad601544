#!/bin/bash
# library-mpich.sh -- tests/library/library.sh, with the library for the MPI-5.0 ABI, by MPICH
PMIO_TEST_MPI=abi-mpich
. "${top_srcdir:-.}/tests/library/library.sh"
