# env.sh -- sourced by the shell tests: a pool, a folder and an agent of their own
#
# Sets   T        a new folder in memory, removed at the end
#        PFS      $T/pfs, stands for the parallel file system
#        PMIO_POOL, PMIO_POOL_SIZE, PMIO_AGENT and what Open MPI needs to find
#        the component that was built, not an installed one
# Tests print TAP: plan N, then ok/not_ok/skip lines through the functions of tap.sh.

: "${top_builddir:=.}" "${top_srcdir:=.}"
top_builddir=$(cd "$top_builddir" && pwd)
top_srcdir=$(cd "$top_srcdir" && pwd)
. "$top_srcdir/tests/tap.sh" || exit 99

shm=${PMIO_TEST_DIR:-/dev/shm}
[ -d "$shm" ] && [ -w "$shm" ] || shm=${TMPDIR:-/tmp}
T=$(mktemp -d "$shm/pmio-test.XXXXXX") || exit 99
PFS=$T/pfs
mkdir "$PFS"
mkdir -m 700 "$T/pool" # an empty directory becomes a pool when it is first used

export PMIO_POOL=$T/pool PMIO_POOL_SIZE=${PMIO_POOL_SIZE:-256MiB} PMIO_IDLE_TIMEOUT=${PMIO_IDLE_TIMEOUT:-20}
export PMIO_AGENT=${PMIO_AGENT:-$top_builddir/pmiod} PMIO_CONF=/dev/null
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1
# the same for Open MPI 5, and for 6
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe PRTE_MCA_hwloc_default_binding_policy=none PRTE_MCA_mapby=:oversubscribe PRTE_MCA_bindto=none
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader OMPI_MCA_osc=^ucx
# Open MPI keeps its session below TMPDIR, and its socket's name must be short
export TMPDIR=$T
PMIO=$top_builddir/pmio
# use_mpi WHICH: whose programs are run from now on, and by which adapter: openmpi-component, openmpi-library, mpich, or
# abi-openmpi and abi-mpich, those of the MPI-5.0 ABI.  openmpi: that which it has here
use_mpi() {
	PMIO_TEST_MPI=$1
	[ "$1" != openmpi ] || PMIO_TEST_MPI=openmpi-${OPENMPI_ADAPTER:-component}
	MPI_FAMILY=openmpi
	MPIRUN=$MPIRUN_OPENMPI
	MPI_PROGRAMS=$top_builddir/tests/mpi MPI_EXAMPLES=$top_builddir/mpi-examples # compiled for it
	MPI_LIBRARY=						      # what is preloaded
	LIBRARY_PROGRAMS=$top_builddir/tests/openmpi		      # what is about the library
	case $PMIO_TEST_MPI in
	openmpi-library)
		MPI_LIBRARY=$top_builddir/.libs/libpmio-mpi-openmpi.so
		without_component
		;;
	*mpich)
		MPI_FAMILY=mpich
		MPIRUN=${MPIRUN_MPICH:-mpirun.mpich}
		LIBRARY_PROGRAMS=$top_builddir/tests/mpich
		MPI_PROGRAMS=$LIBRARY_PROGRAMS MPI_EXAMPLES=$LIBRARY_PROGRAMS
		MPI_LIBRARY=$top_builddir/.libs/libpmio-mpi-mpich.so
		;;
	esac
	case $PMIO_TEST_MPI in abi-*) use_abi ;; esac
}
# neither that which was built, nor one that is installed in the folder of Open MPI's own
without_component() {
	OMPI_MCA_mca_base_component_path=${OMPI_MCA_mca_base_component_path#"$top_builddir/.libs:"}
	[ -e "$OMPI_MCA_mca_base_component_path/mca_io_pmem.so" ] || return 0
	mkdir -p "$T/components"
	ln -sf "$OMPI_MCA_mca_base_component_path"/* "$T/components" && rm -f "$T/components"/mca_*_pmem.*
	OMPI_MCA_mca_base_component_path=$T/components
}
# the program finds the library of the one MPI under the name that both have
use_abi() {
	LIBRARY_PROGRAMS=$top_builddir/tests/abi
	MPI_PROGRAMS=$LIBRARY_PROGRAMS MPI_EXAMPLES=$LIBRARY_PROGRAMS
	MPI_LIBRARY=$top_builddir/.libs/libpmio-mpi-abi.so
	export LD_LIBRARY_PATH=$T/abi-$MPI_FAMILY
	mkdir -p "$LD_LIBRARY_PATH"
	abi_library=$(sed -n "s/^MPI_ABI_$(echo $MPI_FAMILY | tr a-z A-Z) = //p" "$top_builddir/Makefile")
	[ -z "$abi_library" ] || ln -sf "$abi_library" "$LD_LIBRARY_PATH/libmpi_abi.so.1"
}
MPIRUN_OPENMPI=${MPIRUN_OPENMPI:-${MPIRUN:-mpirun}}
: "${OPENMPI_ADAPTER=$(sed -n 's/^OPENMPI_ADAPTER = //p' "$top_builddir/Makefile" 2>/dev/null)}"
case $OPENMPI_ADAPTER in
component)
	: "${OMPI_PKGLIBDIR:=$(ompi_info --path pkglibdir --parsable 2>/dev/null | sed 's/^path:pkglibdir://')}"
	export OMPI_MCA_mca_base_component_path=$top_builddir/.libs:$OMPI_PKGLIBDIR
	;;
library) export OMPI_MCA_btl=self,sm ;; # 5 has another name for it
esac
use_mpi "${PMIO_TEST_MPI:-openmpi}"

cleanup() {
	"$PMIO" agent stop --force >/dev/null 2>&1
	rm -rf "$T"
}
trap cleanup EXIT
trap 'exit 99' INT TERM

# for what is about the component and Open MPI's parameters
need_component() {
	[ $PMIO_TEST_MPI = openmpi-component ] || skip_all "about the component, which was not built for this Open MPI"
}
# for what runs MPI programs through pmem:, with the reason that configure found
no_mpi() { sed -n 's/^NO_MPI_ADAPTER = //p' "$top_builddir/Makefile" | grep .; }
need_mpi() {
	local why
	[ $MPI_FAMILY = openmpi ] || return 0 # the library's tests look for it themselves
	! why=$(no_mpi) || skip_all "no adapter for an MPI was built ($why)"
}
# limited_agent OPTION...: an agent with limits, as prlimit(1) takes them.  One that detaches leaves its
# caller's limits, or is replaced for a program that has higher ones; this one is kept.  The pool is made before
limited_agent() {
	"$PMIO" agent start && "$PMIO" agent stop || return
	prlimit "$@" "$PMIO" agent start --foreground >"$T/limited.log" 2>&1 </dev/null &
	until_ok "$PMIO" agent status && return
	cat "$T/limited.log"
	return 1
}
# quietly cmd...: what a program under mpirun said, or only why, if it was skipped (77)
quietly() {
	local rc
	"$@" >"$T/out" 2>&1
	rc=$?
	if [ $rc = 77 ]; then
		sed -n 's/^skip: //p' "$T/out" | head -n 1
	else
		[ $rc != 124 ] || echo "took more than ${TEST_TIMEOUT:-600} s"
		cat "$T/out"
	fi
	return $rc
}
# same_file A B: the same bytes; of HDF5 2, which leaves times and checksums that differ from run to run, the same objects and data
same_file() {
	[ "$(head -c 4 "$1" | tail -c 3)" = HDF ] && h5diff --version 2>/dev/null | grep -q 'Version 2\.' || {
		cmp "$1" "$2"
		return
	}
	cmp -s "$1" "$2" || h5diff "$1" "$2"
}
# this launcher's exit status may be 0 though the ranks were ended: findings/mpich-mpiexec-loses-abort-status.sh
loses_status() { [ $MPI_FAMILY = mpich ] && "$MPIRUN" --version 2>/dev/null | grep -q 'Version: *4\.2\.'; }
# what programs of MPICH are run with
preloads() {
	local yield=$top_builddir/tests/mpich/yield.so
	[ -r "$yield" ] && [ -z "${BENCH_RUN:-}" ] || yield=
	echo "$MPI_LIBRARY${MPI_LIBRARY:+${yield:+:}}$yield"
}
# another_test SCRIPT [ARGUMENT...]: one of these scripts is a test of this one, by PMIO_TEST_MPI; all skipped is skipped
another_test() {
	local rc
	PMIO_TEST_MPI=$PMIO_TEST_MPI top_srcdir=$top_srcdir top_builddir=$top_builddir bash "$@" >"$T/tap" 2>&1
	rc=$?
	if [ $rc = 0 ] && grep -q '# SKIP' "$T/tap" && ! grep '^ok' "$T/tap" | grep -qv '# SKIP'; then
		sed -n 's/.*# SKIP //p' "$T/tap" | head -n 1
		return 77
	fi
	cat "$T/tap"
	[ $rc = 0 ] && grep -q '^ok' "$T/tap" && ! grep -q '^not ok' "$T/tap"
}
# run N prog...: under mpirun; run_as: a command that mpirun is run by.  TEST_TIMEOUT: it hangs if it takes more seconds; not a bound on speed
run() {
	local n=$1
	shift
	case $MPI_FAMILY:$MPI_LIBRARY in
	mpich:*) set -- -env LD_PRELOAD "$(preloads)" "$@" ;;
	*:) ;;
	openmpi:*) set -- -x LD_PRELOAD="$MPI_LIBRARY" "$@" ;;
	esac
	timeout -k 5 "${TEST_TIMEOUT:-600}" ${run_as:-} "$MPIRUN" -n "$n" "$@"
}
