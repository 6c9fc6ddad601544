#!/bin/bash
# programs.sh -- tests/library/programs.sh, with the library for Open MPI
PMIO_TEST_MPI=openmpi-library
. "${top_srcdir:-.}/tests/library/programs.sh"
