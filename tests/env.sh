# env.sh -- sourced by the shell tests: a pool, a folder and an agent of their own
#
# Sets   T        a new folder in memory, removed at the end
#        PFS      $T/pfs, stands for the parallel file system
#        PMIO_POOL, PMIO_POOL_SIZE, PMIO_AGENT and what Open MPI needs to find
#        the component that was built, not an installed one
# Tests print TAP: plan N, then ok/not_ok/skip lines through the functions below.

: "${top_builddir:=.}" "${top_srcdir:=.}"
top_builddir=$(cd "$top_builddir" && pwd)
top_srcdir=$(cd "$top_srcdir" && pwd)

shm=${PMIO_TEST_DIR:-/dev/shm}
[ -d "$shm" ] && [ -w "$shm" ] || shm=${TMPDIR:-/tmp}
T=$(mktemp -d "$shm/pmio-test.XXXXXX") || exit 99
PFS=$T/pfs
mkdir "$PFS"
mkdir -m 700 "$T/pool" # an empty directory becomes a pool when it is first used

export PMIO_POOL=$T/pool PMIO_POOL_SIZE=${PMIO_POOL_SIZE:-256MiB} PMIO_IDLE_TIMEOUT=${PMIO_IDLE_TIMEOUT:-20}
export PMIO_AGENT=${PMIO_AGENT:-$top_builddir/pmiod} PMIO_CONF=/dev/null
export OMPI_MCA_mca_base_component_path=$top_builddir/.libs:${OMPI_PKGLIBDIR:-$(ompi_info --path pkglibdir --parsable | sed 's/^path:pkglibdir://')}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader OMPI_MCA_osc=^ucx
# Open MPI keeps its session below TMPDIR, and its socket's name must be short
export TMPDIR=$T
PMIO=$top_builddir/pmio
MPIRUN=${MPIRUN:-mpirun}

cleanup() {
	"$PMIO" agent stop --force >/dev/null 2>&1
	rm -rf "$T"
}
trap cleanup EXIT
trap 'exit 99' INT TERM

tap_n=0
tap_failed=0
plan() { echo "1..$1"; }
ok() { tap_n=$((tap_n + 1)); echo "ok $tap_n - $*"; }
not_ok() { tap_n=$((tap_n + 1)); tap_failed=1; echo "not ok $tap_n - $*"; }
skip() { tap_n=$((tap_n + 1)); echo "ok $tap_n - $1 # SKIP $2"; }
skip_all() { echo "1..0 # SKIP $*"; exit 0; }
# check NAME cmd...: one test that passes when cmd does; its output is shown if not
check() {
	local name=$1 log=$T/check.log rc
	shift
	"$@" >"$log" 2>&1
	rc=$?
	if [ $rc = 0 ]; then
		ok "$name"
	elif [ $rc = 77 ]; then
		skip "$name" "$(tail -n 1 "$log")"
	else
		not_ok "$name"
		echo "# exit status $rc: $*"
		sed 's/^/#   /' "$log"
	fi
}
# limited_agent OPTION...: an agent with limits, as prlimit(1) takes them.  One that detaches leaves its
# caller's limits, or is replaced for a program that has higher ones; this one is kept.  The pool is made before
limited_agent() {
	"$PMIO" agent start && "$PMIO" agent stop || return
	prlimit "$@" "$PMIO" agent start --foreground >"$T/limited.log" 2>&1 </dev/null &
	for _ in $(seq 600); do
		"$PMIO" agent status >/dev/null 2>&1 && return
		sleep 0.1
	done
	cat "$T/limited.log"
	return 1
}
# run N prog...: under mpirun, with a limit of time
run() {
	local n=$1
	shift
	timeout -k 5 "${TEST_TIMEOUT:-120}" "$MPIRUN" -n "$n" "$@"
}
