#!/bin/bash
# MPICH 5.0.2 (Debian 14, libmpich12 5.0.2-2): libmpi_abi, the library for the MPI-5.0 ABI, and the profiling interface
#
# expected  each MPI_ function has a PMPI_ name too (MPI 5.0, section 15.2.1), as in the package's own libmpich: a library that puts itself before
#           MPI_File_close calls PMPI_File_close
# seen      of the functions that are in the standard, MPI_File_close alone has none; such a library does not link, or ends the program
#           at its first call (functions that MPI 3.0 removed lack it too).  Of Open MPI 6.0.0rc2's libmpi_abi, all have it
#
# Downloads the package and looks at its symbols; nothing is run.
# Ends with 0 while that is so, with 1 when it changes, with 77 if the package cannot be had.
set -u
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
skip() { echo "$*"; exit 77; }
command -v nm >/dev/null && command -v dpkg-deb >/dev/null || skip "needs binutils and dpkg"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 2>/dev/null | head -n 1)
echo "deb ${mirror:-http://deb.debian.org/debian} forky main" >"$T/list"
mkdir -p "$T/state/lists/partial" "$T/cache/archives/partial"
own="-o Dir::State=$T/state -o Dir::State::status=/dev/null -o Dir::Cache=$T/cache -o Dir::Etc::SourceList=$T/list -o Dir::Etc::SourceParts=/dev/null
	-o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root"
# shellcheck disable=SC2086
(cd "$T" && apt-get -q $own update && apt-get -q $own download libmpich12=5.0.2-2) >"$T/log" 2>&1 || skip "no package: $(tail -n 1 "$T/log")"
dpkg-deb -x "$T"/libmpich12_*.deb "$T/root" || skip "the package cannot be unpacked"
# functions of a library that have only the name with MPI_
lacks() {
	local library
	library=$(find "$T/root" -name "$1" -type f)
	[ -n "$library" ] || skip "no $1 in the package"
	nm -D --defined-only "$library" | sed -n 's/.* [TW] P*\(MPI_[A-Z][a-z].*\)/\1/p' | sort | uniq -u
}
removed="MPI_Address MPI_Errhandler_create MPI_Errhandler_get MPI_Errhandler_set MPI_Type_extent MPI_Type_hindexed MPI_Type_hvector MPI_Type_lb MPI_Type_struct MPI_Type_ub"
abi=$(lacks 'libmpi_abi_mpich.so.*' | grep -vxF "$(printf '%s\n' $removed)" | tr '\n' ' ')
native=$(lacks 'libmpich.so.*' | tr '\n' ' ')
echo "without a PMPI_ name: in libmpi_abi: ${abi:-none}; in libmpich: ${native:-none}"
[ "$abi" = "MPI_File_close " ] && [ -z "$native" ]
