#!/bin/bash
# tree-build.sh -- make check-mpich-tree: an MPICH with the driver in its own ROMIO, and the programs of tests/mpi on it
#
#	MPICH_SOURCE   a source tree, as `apt-get source mpich` unpacks it; it is copied
#	MPICH_WORK     where to build; what has been built there is taken as it is.  Default: mpich-tree in the build folder
#	MPICH_TESTS    which programs; default: those of tests/mpich
#
# Takes half an hour and 2 GiB.  Ends with "N passed, N failed".
set -u

fail() {
	echo "check-mpich-tree: $*" >&2
	exit 1
}

top_srcdir=$(cd "${top_srcdir:-.}" && pwd) && top_builddir=$(cd "${top_builddir:-.}" && pwd) || exit
[ -n "${MPICH_SOURCE:-}" ] && [ -d "$MPICH_SOURCE" ] || fail "say MPICH_SOURCE=, a source tree of MPICH (apt-get source mpich)"
work=${MPICH_WORK:-$top_builddir/mpich-tree}
mkdir -p "$work/pmio/lib" "$work/build" "$work/view/tests/mpich" && work=$(cd "$work" && pwd) || exit

# step NAME COMMAND...: with a log of its own, and once.  MPICH's scripts take top_srcdir for their own
step() {
	local name=$1
	shift
	[ ! -e "$work/$name.done" ] || return 0
	echo "== $name"
	(unset top_srcdir top_builddir; "$@") >"$work/$name.log" 2>&1 || { tail -n 30 "$work/$name.log"; fail "$name failed, see $work/$name.log"; }
	: >"$work/$name.done"
}
# the least that the programs need
configure_it() {
	(cd "$work/build" && ../source/configure --prefix="$work/inst" --with-device=ch3:nemesis --disable-fortran --disable-cxx --disable-static \
		--enable-fast=O2,ndebug --without-yaksa --disable-opencl --with-file-system=ufs+pmem --with-pmio="$work/pmio" LDFLAGS="-Wl,-rpath,$work/pmio/lib")
}

cp -f "$top_builddir"/.libs/libpmio-driver-*.so "$work/pmio/lib/" || fail "make has not been run"
step copy cp -R --preserve=timestamps "$MPICH_SOURCE" "$work/source"
step driver "$top_srcdir/adio/romio/mpich-tree" "$work/source"
step configure configure_it
step make make -C "$work/build" -j"$(nproc)"
step install make -C "$work/build" install

# for tests/env.sh: a build folder whose programs for MPICH are those of this one
for f in pmio pmiod .libs Makefile; do ln -sfn "$top_builddir/$f" "$work/view/$f" || exit; done
# names: of remarks that an adapter makes on names that are not its, which a driver is not asked about; datarep:
# external32 is ROMIO's own here, and 4.0 ends over that of structs
tests=$(sed -n 's/^	tests\/mpich\/\(.*\)\.mpi.*/\1/p' "$top_srcdir/tests/mpich/Makefile.mk" | grep -vx 'names\|datarep')
passed=0 failed=0
for name in ${MPICH_TESTS:-$tests}; do
	program=$work/view/tests/mpich/$name.mpi
	"$work/inst/bin/mpicc" -std=gnu11 -D_GNU_SOURCE -I"$top_builddir" -I"$top_srcdir/lib" -I"$top_srcdir/lib/include" \
		-o "$program" "$top_srcdir/tests/mpi/$name.c" || fail "$name.c"
	if (export top_srcdir top_builddir="$work/view" MPIRUN_MPICH="$work/inst/bin/mpiexec" MPI_LIBRARY='' PMIO_TEST_TREE=1 &&
		bash "$top_srcdir/tests/mpi/run.sh" "$program") >"$work/$name.tap" 2>&1; then
		passed=$((passed + 1))
		echo "ok $name"
	else
		failed=$((failed + 1))
		echo "not ok $name, see $work/$name.tap"
	fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
