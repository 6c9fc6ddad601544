#!/bin/bash
# programs-openmpi.sh -- tests/library/programs.sh, with the library for the MPI-5.0 ABI, by Open MPI
PMIO_TEST_MPI=abi-openmpi
. "${top_srcdir:-.}/tests/library/programs.sh"
