#!/bin/bash
# netcdf4.sh -- parallel NetCDF-4 in C: the file is what ROMIO leaves, and ncdump reads it
. "${top_srcdir:-.}/tests/clients/compare.sh"
need_program netcdf4_client "parallel NetCDF-4 (on Debian: libnetcdf-mpi-dev)"

tools_agree() {
	command -v ncdump >/dev/null || { echo "no ncdump (on Debian: netcdf-bin)"; return 77; }
	ncdump "$PFS/plain/$1" | sed 1d >"$T/plain.cdl" && ncdump "$PFS/pmem/$1" | sed 1d >"$T/pmem.cdl" &&
		grep -q 'records =' "$T/pmem.cdl" && cmp "$T/plain.cdl" "$T/pmem.cdl"
}

plan 13
for n in 1 2 4; do
	check "netcdf4_client on $n, pmem:" on_pmem $n n$n "$bin/netcdf4_client"
	check "netcdf4_client on $n, plain" on_romio $n n$n "$bin/netcdf4_client"
	check "netcdf4_client on $n: same bytes" same_bytes n$n.nc4
	check "netcdf4_client on $n: ncdump" tools_agree n$n.nc4
done
by_paths() (
	mkdir -p "$PFS/paths" && export PMIO_PATHS="$PFS/paths/*" && quietly run 2 "$bin/netcdf4_client" "$PFS/paths/n2" &&
		"$PMIO" ls | grep -q "$PFS/paths/n2.nc4" && cmp "$PFS/plain/n2.nc4" "$PFS/paths/n2.nc4"
)
check "netcdf4_client on 2, a name that paths selects" by_paths
exit $tap_failed
