#!/bin/bash
# h5py.sh -- h5py: the file is what ROMIO leaves
. "${top_srcdir:-.}/tests/clients/compare.sh"
need_python "mpi4py, h5py; h5py.get_config" # else it is only a folder of that name
plan 9
for n in 1 2 4; do
	both $n h5py$n "$PYTHON" "$here/h5py_client.py"
done
exit $tap_failed
