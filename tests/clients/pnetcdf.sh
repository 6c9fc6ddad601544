#!/bin/bash
# pnetcdf.sh -- PnetCDF in C: the files are what ROMIO leaves, and netCDF's tools read them
. "${top_srcdir:-.}/tests/clients/compare.sh"
need_program pnetcdf_client "PnetCDF (on Debian: libpnetcdf-dev)"

same_nc() {
	same_bytes "$1.nc" "$1.nb.nc" "$1.again.nc"
}

tools_agree() {
	tool=$(command -v ncmpidump || command -v ncdump) || { echo "no ncmpidump (on Debian: pnetcdf-bin)"; return 77; }
	"$tool" -v rec "$PFS/pmem/$1.nc" >"$T/dump" && grep -q 'record = UNLIMITED ; // (5 currently)' "$T/dump"
}

# from 1.14 on it tests names by POSIX, from 1.15 on it does without MPI-IO unless it is told
on_pmio=on_pmem
if pkg-config --atleast-version=1.14 pnetcdf 2>/dev/null; then on_pmio=by_paths; fi
if pkg-config --atleast-version=1.15 pnetcdf 2>/dev/null; then export PNETCDF_HINTS="nc_driver=mpiio"; fi

plan 12
for n in 1 2 4; do
	check "pnetcdf_client on $n, pmem:" $on_pmio $n p$n "$bin/pnetcdf_client"
	check "pnetcdf_client on $n, plain" on_romio $n p$n "$bin/pnetcdf_client"
	check "pnetcdf_client on $n: same bytes" same_nc p$n
	check "pnetcdf_client on $n: ncmpidump" tools_agree p$n
done
exit $tap_failed
