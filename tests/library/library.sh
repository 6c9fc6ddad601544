#!/bin/bash
# library.sh -- the library over MPI_File_* of the MPI that PMIO_TEST_MPI says: Fortran, programs that it is not for,
# handles after their close

. "${top_srcdir:-.}/tests/env.sh"

handles=$LIBRARY_PROGRAMS/handles.mpi
library=$MPI_LIBRARY
[ -r "$library" ] && [ -x "$handles" ] || skip_all "there was no such MPI when this was configured"
case $PMIO_TEST_MPI in
abi-*) other=$MPI_FAMILY compiler= ;; # the same MPI's programs that are not of the ABI
mpich) other=openmpi compiler=${MPIFORT_MPICH:-mpifort.mpich} ;;
openmpi-library) other=mpich compiler=${MPIFORT_OPENMPI:-mpifort.openmpi} ;;
esac
case $other in mpich) other_name=MPICH ;; openmpi) other_name="Open MPI" ;; esac
[ "${PMIO_TEST_MPI%-*}" != abi ] || [ -r "$LD_LIBRARY_PATH/libmpi_abi.so.1" ] || skip_all "this MPI has no library of the ABI"

closed_handles() {
	run "$1" "$handles" "pmem:$PFS/closed.$1" >"$T/out" 2>&1 || {
		cat "$T/out"
		return 1
	}
	[ "$(grep -c 'this file handle is already closed' "$T/out")" = $((3 * $1)) ] || {
		cat "$T/out"
		return 1
	}
}

early() {
	! run 1 "$handles" "pmem:$PFS/early" early >"$T/out" 2>&1 && grep 'pmio: error: pmem:.*MPI is not initialised' "$T/out"
}

# what other programs of a job's script see of it
without_mpi() {
	[ -z "$(LD_PRELOAD=$MPI_LIBRARY ls "$T/pool" 2>&1 >/dev/null)" ]
}

# a program of another MPI: one line, and all is as it was
other_family() {
	(
		use_mpi $other
		bin=$MPI_PROGRAMS/contig.mpi
		[ -x "$bin" ] || {
			echo "no other MPI"
			exit 77
		}
		served=$MPI_LIBRARY
		mkdir "$PFS/with" "$PFS/without"
		MPI_LIBRARY='' run 2 "$bin" "$PFS/without/f" && MPI_LIBRARY=$library run 2 "$bin" "$PFS/with/f" || exit
		# by the component, or by the library that is the right one
		MPI_LIBRARY=$library${served:+:$served} run 2 "$bin" "pmem:$PFS/ours" || exit
		[ -n "$served" ] || echo "(and once more where the component serves)"
	) >"$T/out" 2>&1 || {
		local rc=$?
		cat "$T/out"
		return $rc
	}
	diff -r "$PFS/with" "$PFS/without" || return
	[ "$(grep -c "$(basename "$library") is for .*program.s MPI is \"$other_name" "$T/out")" = $((1 + $(grep -c 'once more' "$T/out"))) ] || {
		cat "$T/out"
		return 1
	}
}

# ---- what else may be wrong ----

# two of them at once: a copy of it
twice() {
	cp "$library" "$T/copy.so" && MPI_LIBRARY=$library:$T/copy.so run 2 "$MPI_EXAMPLES/hello_pmem" "pmem:$PFS/twice" >"$T/out" 2>&1 &&
		[ "$(grep -c "$(basename "$library") and $(basename "$library") are both loaded.*the first one is used" "$T/out")" = 1 ] &&
		[ "$(grep -c pmio: "$T/out")" = 1 ] && return
	cat "$T/out"
	return 1
}

# for several MPIs, in any order: the one for this MPI serves, and no other says that it does not
all_there() {
	local another=$top_builddir/.libs/libpmio-mpi-$other.so order
	[ -r "$another" ] && [ "$another" != "$library" ] || {
		echo "no library for another MPI"
		return 77
	}
	cp "$another" "$T/another.so" || return
	for order in "$library:$another" "$another:$library" "$library:$another:$T/another.so" "$another:$T/another.so:$library"; do
		MPI_LIBRARY=$order run 2 "$MPI_EXAMPLES/hello_pmem" "pmem:$PFS/all" >"$T/out" 2>&1 && [ -e "$PFS/all" ] && ! grep pmio: "$T/out" || {
			echo "$order"
			cat "$T/out"
			return 1
		}
		rm "$PFS/all"
	done
}

# by the other MPI's launcher: each is alone, which is said once, and both write
launcher() {
	local program=$MPI_EXAMPLES/hello_pmem command
	case $MPI_FAMILY in
	mpich) command="$MPIRUN_OPENMPI -n 2 -x LD_PRELOAD=$library" ;;
	openmpi) command="${MPIRUN_MPICH:-mpirun.mpich} -n 2 -env LD_PRELOAD $library" ;;
	esac
	command -v ${command%% *} >/dev/null || {
		echo "no launcher of another MPI"
		return 77
	}
	timeout -k 5 60 $command sh -c "$program pmem:$PFS/launched.\$\$" >"$T/out" 2>&1
	grep -q 'MPI_Init.* failed' "$T/out" && {
		echo "this MPI itself refuses to start there" # MPICH 5
		return 77
	}
	[ "$(ls "$PFS"/launched.* | wc -l)" = 2 ] && [ "$(grep -c '2 processes were started together, but MPI_COMM_WORLD has one rank in each' "$T/out")" = 1 ] && return
	cat "$T/out"
	return 1
}

# an MPI with calls that the library does not know, or the other way round
version() {
	nm -D --defined-only "$library" | grep -q ' MPI_File_read_at_c$' && {
		echo "the library has all calls that there are"
		return 77
	}
	cat >"$T/calls.c" <<-'END'
		int MPI_Get_library_version(char *version, int *length);
		int PMPI_Get_library_version(char *version, int *length) { return MPI_Get_library_version(version, length); }
		int MPI_File_read_at_c(void) { return 0; }
	END
	${CC:-cc} -shared -fPIC -o "$T/calls.so" "$T/calls.c" || return
	! MPI_LIBRARY=$library:$T/calls.so run 2 "$MPI_EXAMPLES/hello_pmem" "pmem:$PFS/version" >"$T/out" 2>&1 &&
		[ "$(grep -c "$(basename "$library") was built for another version" "$T/out")" = 1 ] && return
	cat "$T/out"
	return 1
}

has_fortran() {
	command -v "$compiler" >/dev/null || {
		echo "${compiler:-the ABI has no Fortran}${compiler:+ is not there}"
		return 77
	}
	echo end >"$T/empty.f90" # what it wraps may be missing
	"$compiler" -c -o "$T/empty.o" "$T/empty.f90" >"$T/compiler" 2>&1 || {
		echo "$compiler: $(head -n 1 "$T/compiler")"
		return 77
	}
}

fortran() {
	has_fortran || return
	"$compiler" -cpp $1 -ffree-line-length-none -o "$T/fortran$1" "$top_srcdir/tests/library/library.f90" &&
		run 2 "$T/fortran$1" "pmem:$PFS/fortran$1" && MPI_LIBRARY='' run 2 "$T/fortran$1" "$PFS/plain$1" &&
		cmp "$PFS/fortran$1" "$PFS/plain$1" && [ "$(stat -c %s "$PFS/fortran$1")" = 800 ]
}

# functions of Fortran, which take all arguments by reference
fortran_datarep() {
	has_fortran || return
	local family=
	[ $PMIO_TEST_MPI = mpich ] || family=-DOPENMPI
	# shellcheck disable=SC2086
	"$compiler" -cpp $1 $family -ffree-line-length-none -fallow-argument-mismatch -J"$T" -o "$T/datarep$1" "$top_srcdir/tests/library/datarep.f90" &&
		run 2 "$T/datarep$1" "pmem:$PFS/datarep$1"
}

# an example on a pmem: name and, without the library, on a plain one
same_bytes() {
	local n
	[ -x "$MPI_EXAMPLES/$1" ] || {
		echo "no HDF5 for this MPI"
		return 77
	}
	for n in 1 3; do
		run $n "$MPI_EXAMPLES/$1" "pmem:$PFS/$1.$n" && MPI_LIBRARY='' run $n "$MPI_EXAMPLES/$1" "$PFS/$1.$n.plain" &&
			same_file "$PFS/$1.$n" "$PFS/$1.$n.plain" || return
	done
}

# nothing preloaded; the MPI itself knows no such file system
linked() {
	MPI_LIBRARY='' run 2 "$LIBRARY_PROGRAMS/linked" "pmem:$PFS/linked" && [ ! -e pmem: ] &&
		MPI_LIBRARY='' run 2 "$LIBRARY_PROGRAMS/linked" "$PFS/linked.plain" && cmp "$PFS/linked" "$PFS/linked.plain"
}

# requests and their statuses say what those of the MPI say
requests() {
	[ -x "$LIBRARY_PROGRAMS/requests" ] || {
		echo "this MPI's own are not compared"
		return 77
	}
	MPI_LIBRARY='' run 1 "$LIBRARY_PROGRAMS/requests" "$PFS/requests.plain" >"$T/theirs" 2>&1 || {
		cat "$T/theirs"
		return 1
	}
	run 1 "$LIBRARY_PROGRAMS/requests" "pmem:$PFS/requests" >"$T/ours" 2>&1
	[ "$(wc -l <"$T/theirs")" -gt 15 ] && diff "$T/theirs" "$T/ours" && cmp "$PFS/requests" "$PFS/requests.plain"
}

# all names that the MPI has, but for those of error handlers and of Fortran's handles, and no others
names() {
	local so
	so=$(ldd "$handles" | sed -n 's/.*libmpi[^ ]* => \([^ ]*\).*/\1/p')
	nm -D --defined-only "$so" | sed -n 's/.* P\?\(MPI_\(File_\|Register_datarep\).*\)/\1\nP\1/p' | grep -v 'errhandler\|[cf]2[cf]\|toint\|fromint' | sort -u >"$T/theirs"
	nm -D --defined-only "$MPI_LIBRARY" | sed -n 's/.* [A-Z] \([A-Za-z].*\)/\1/p' | grep -vx 'pmio_mpi_library\|.*_REGISTER_DATAREP\|p\?mpi.*' | sort >"$T/names"
	[ "$(wc -l <"$T/names")" -gt 100 ] && diff "$T/theirs" "$T/names"
}

# ---- Open MPI 4.1: the component is there as well ----

both_there() {
	grep -c 'the component mca_io_pmem.so and libpmio-mpi-openmpi.so are both loaded: the library is used' "$T/out"
}

# both [ARGUMENT OF MPIRUN...]: which are to say what serves the file, in $T/out
both() {
	[ -e "$top_builddir/.libs/mca_io_pmem.so" ] || {
		echo "no component for this Open MPI"
		return 77
	}
	OMPI_MCA_mca_base_component_path=$top_builddir/.libs:$OMPI_MCA_mca_base_component_path \
		run 2 "$@" "$MPI_EXAMPLES/hello_pmem" "pmem:$PFS/both" >"$T/out" 2>&1
}

component_too() {
	both || {
		local rc=$?
		[ $rc = 77 ] || cat "$T/out"
		return $rc
	}
	[ "$(both_there)" = 1 ] || {
		cat "$T/out"
		return 1
	}
}

# which the component minds, but not the library
component_shut_out() {
	both --mca io ^pmem || {
		local rc=$?
		[ $rc = 77 ] || cat "$T/out"
		return $rc
	}
	! grep pmio: "$T/out"
}

# nobody is left who could open the library's /dev/null
component_alone() {
	both --mca io pmem
	case $? in
	0) return 1 ;;
	77) return 77 ;;
	esac
	grep 'pmio: error: .*the MPI cannot open /dev/null' "$T/out"
}

plan $([ $PMIO_TEST_MPI = openmpi-library ] && echo 23 || echo 20)
check "the library has the names of the MPI's file calls, and no others" names
check "hello_pmem leaves the same bytes" same_bytes hello_pmem
check "hdf5_parallel leaves the same bytes" same_bytes hdf5_parallel
check "a program that is linked to the library" linked
check "requests, statuses and handlers are as the MPI's own" requests
check "handles are refused after their close" closed_handles 1
check "handles are refused after their close, on 3" closed_handles 3
check "a file is opened before MPI" early
check "a program without MPI" without_mpi
check "a program of another MPI" other_family
check "two libraries at once" twice
check "libraries for several MPIs at once, in any order" all_there
check "a program that another MPI's launcher has started" launcher
check "an MPI of another version" version
check "Fortran, mpif.h" fortran
check "Fortran, use mpi" fortran -DMODULE
check "Fortran, mpi_f08" fortran -DF08
check "data representations in Fortran, mpif.h" fortran_datarep
check "data representations in Fortran, use mpi" fortran_datarep -DMODULE
check "data representations in Fortran, mpi_f08" fortran_datarep -DF08
if [ $PMIO_TEST_MPI = openmpi-library ]; then
	check "the component is there too: the library serves, and says so" component_too
	check "--mca io ^pmem: the library does not mind" component_shut_out
	check "--mca io pmem: no handle can be had, which is said" component_alone
fi
exit $tap_failed
