#!/bin/bash
# MPICH 4.0.2 (Debian 12, mpich 4.0.2-3+b1): MPI_CONVERSION_FN_NULL in Fortran
#
# expected  MPI-4.0, 14.5.3 and A.1.3: a program that says "use mpi" can pass it to MPI_Register_datarep(), as with mpif.h
# seen      it compiles with mpif.h, while the module mpi does not declare it: "has no IMPLICIT type"
#
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
version=4.0.2-3+b1
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
[ "$(dpkg-query -W -f '${Version}' libmpich-dev 2>/dev/null)" = $version ] && command -v gfortran >/dev/null ||
	apt-get -q install -y --no-install-recommends libmpich-dev=$version mpich=$version gfortran >/dev/null 2>&1 ||
	{ echo "MPICH $version cannot be had here"; exit 77; }
program() { # AT-THE-TOP AFTER-IMPLICIT
	cat <<END
subroutine register(name, extent, extra, ierr)
	$1
	implicit none
	$2
	character(len=*) :: name
	external :: extent
	integer(kind=MPI_ADDRESS_KIND) :: extra
	integer :: ierr
	call MPI_Register_datarep(name, MPI_CONVERSION_FN_NULL, MPI_CONVERSION_FN_NULL, extent, extra, ierr)
end subroutine
END
}
program '' "include 'mpif.h'" >"$T/header.f90"
program 'use mpi' '' >"$T/module.f90"
seen=
for from in header module; do
	if mpif90.mpich -c "$T/$from.f90" -o "$T/$from.o" >"$T/$from.out" 2>&1; then
		seen="$seen $from: compiles;"
	elif grep -qi 'mpi_conversion_fn_null.*has no IMPLICIT type' "$T/$from.out"; then
		seen="$seen $from: not declared;"
	else
		cat "$T/$from.out"
		exit 1
	fi
done
echo "MPICH $version:$seen"
[ "$seen" = " header: compiles; module: not declared;" ] || { echo "it has changed"; exit 1; }
