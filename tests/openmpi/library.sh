#!/bin/bash
# library.sh -- tests/library/library.sh, with the library for Open MPI
PMIO_TEST_MPI=openmpi-library
. "${top_srcdir:-.}/tests/library/library.sh"
