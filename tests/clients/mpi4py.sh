#!/bin/bash
# mpi4py.sh -- mpi4py: the file is what ROMIO leaves
. "${top_srcdir:-.}/tests/clients/compare.sh"
need_python "mpi4py, numpy"
plan 9
for n in 1 2 4; do
	both $n mpi4py$n "$PYTHON" "$here/mpi4py_client.py"
done
exit $tap_failed
