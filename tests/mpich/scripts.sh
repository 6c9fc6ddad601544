#!/bin/bash
# scripts.sh -- tests/library/scripts.sh, with the library for MPICH
PMIO_TEST_MPI=mpich
. "${top_srcdir:-.}/tests/library/scripts.sh"
