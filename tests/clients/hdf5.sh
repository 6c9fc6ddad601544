#!/bin/bash
# hdf5.sh -- parallel HDF5 in C: the file is what ROMIO leaves, and HDF5's tools read it
. "${top_srcdir:-.}/tests/clients/compare.sh"
need_program hdf5_client "parallel HDF5 (on Debian: libhdf5-openmpi-dev)"

same_h5() {
	same_bytes "$1.h5" "$1.old.h5"
}

# h5diff knows nothing of our test's values: it compares objects, types and data
tools_agree() {
	command -v h5diff >/dev/null && command -v h5dump >/dev/null || { echo "no h5diff (on Debian: hdf5-tools)"; return 77; }
	h5diff "$PFS/plain/$1.h5" "$PFS/pmem/$1.h5" &&
		h5dump -d /chunked_coll "$PFS/pmem/$1.h5" >"$T/dump" &&
		grep -q '(0,0): 340000000, 340000001' "$T/dump"
}

plan 12
for n in 1 2 4; do
	check "hdf5_client on $n, pmem:" on_pmem $n h$n "$bin/hdf5_client"
	check "hdf5_client on $n, plain" on_romio $n h$n "$bin/hdf5_client"
	check "hdf5_client on $n: same bytes" same_h5 h$n
	check "hdf5_client on $n: h5diff and h5dump" tools_agree h$n
done
exit $tap_failed
