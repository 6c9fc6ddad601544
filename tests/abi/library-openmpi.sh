#!/bin/bash
# library-openmpi.sh -- tests/library/library.sh, with the library for the MPI-5.0 ABI, by Open MPI
PMIO_TEST_MPI=abi-openmpi
. "${top_srcdir:-.}/tests/library/library.sh"
