#!/bin/bash
# scripts.sh -- tests/library/scripts.sh, with the library for Open MPI
PMIO_TEST_MPI=openmpi-library
. "${top_srcdir:-.}/tests/library/scripts.sh"
