#!/bin/bash
# configure.sh -- configure, where there is no MPI, or one that pmio does not know; TAP
. "${top_srcdir:-.}/tests/env.sh" || exit 99
[ ! -e "$top_srcdir/config.status" ] || skip_all "the tree is configured in place"
plan 6

# an Open MPI, by what it says of itself; the real MPI's files are not looked at
mkdir "$T/bin" "$T/include"
echo 'int MPI_Init(int *, char ***);' >"$T/include/mpi.h"
cat >"$T/bin/ompi_info" <<END
#!/bin/sh
case \$1 in
--version) echo "Open MPI v9.8.7" ;;
--path) echo "path:\$2:$T/include" ;;
esac
END
printf '#!/bin/sh\necho "mpirun (Open MPI) 9.8.7"\n' >"$T/bin/mpirun.openmpi"
chmod +x "$T/bin"/*

# configured OPTION...: what it says is in $T/out, its exit status is returned; checks that do not differ are made once
configured() {
	rm -rf "$T/build" && mkdir "$T/build" && cd "$T/build" || exit
	"$top_srcdir/configure" --cache-file="$T/cache" --prefix="$T/inst" --disable-dependency-tracking "$@" >"$T/out" 2>&1
	local rc=$?
	sed -i '/^ac_cv_.*\(OMPI_INFO\|MPIRUN\|MPICC\|mpi_h\|io_h\)/d' "$T/cache"
	return $rc
}
table() { grep -Eq "^  $1 +$2 *$3" "$T/out" || { tail -n 30 "$T/out"; return 1; }; }
variable() { sed -n "s/^$1 = //p" "$T/build/Makefile"; }

none() (
	configured --with-mpi=none || { tail -n 30 "$T/out"; exit 1; }
	table "library, commands, agent" yes && table "Open MPI: component" no "not requested" && table "MPICH: library" no "not requested" &&
		table "MPI examples and tests" no && [ -n "$(variable NO_MPI_ADAPTER)" ] && [ -z "$(variable OMPI_LIBS)" ] &&
		[ -z "$(variable MPICC_MPICH)" ]
)
check "--with-mpi=none: the rest is built, and the table says so" none

other() (
	PATH=$T/bin:$PATH
	configured || { tail -n 30 "$T/out"; exit 1; }
	table "Open MPI 9.8.7: component" no "the component is for 4.1" &&
		table "Open MPI 9.8.7: library" no "the library is for 4.1, 5 and 6" && table "MPI examples and tests" yes "with Open MPI 9.8.7" &&
		variable NO_MPI_ADAPTER | grep -q "Open MPI 9.8.7: the library is for 4.1, 5 and 6"
)
check "an Open MPI of another version: neither component nor library" other

# one without a ROMIO to plug into: the library is what serves
without_romio() (
	PATH=$T/bin:$PATH
	sed -i s/9.8.7/5.0.7/ "$T/bin"/*
	configured --with-mpi=openmpi
	rc=$?
	sed -i s/5.0.7/9.8.7/ "$T/bin"/*
	[ $rc = 0 ] && table "Open MPI 5.0.7: component" no "the component is for 4.1" &&
		table "Open MPI 5.0.7: library" yes libpmio-mpi-openmpi.so && [ "$(variable OPENMPI_ADAPTER)" = library ] && [ -z "$(variable NO_MPI_ADAPTER)" ]
)
check "Open MPI 5: the library alone" without_romio

# refused TEXT OPTION...
refused() (
	text=$1
	shift
	! configured "$@" && grep -q "^configure: error: .*$text" "$T/out" || { tail -n 30 "$T/out"; exit 1; }
)
asked() (
	PATH=$T/bin:$PATH
	refused "Open MPI 9.8.7: the library is for 4.1, 5 and 6" --with-mpi=openmpi
)
check "... which is an error where Open MPI was asked for" asked

missing() (
	mkdir "$T/none" && printf '#!/bin/sh\nexit 1\n' >"$T/none/mpicc.mpich" && chmod +x "$T/none/mpicc.mpich" || exit
	PATH=$T/none:$PATH
	refused "MPICH: no compiler of MPICH found" --with-mpi=mpich
)
check "an MPICH that was asked for, and is not there" missing
check "an MPI that nobody knows" refused "with-mpi=lam: use auto" --with-mpi=lam
exit $tap_failed
