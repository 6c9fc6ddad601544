# lib.sh -- sourced by the tests of Slurm; starts the cluster, and the test again inside of it
#
# Tests print TAP, as those that source tests/env.sh.

: "${top_builddir:=.}" "${top_srcdir:=.}"
top_builddir=$(cd "$top_builddir" && pwd)
top_srcdir=$(cd "$top_srcdir" && pwd)
# which adapter serves Open MPI's programs here
: "${OPENMPI_ADAPTER=$(sed -n 's/^OPENMPI_ADAPTER = //p' "$top_builddir/Makefile" 2>/dev/null)}"
export top_builddir top_srcdir OPENMPI_ADAPTER

. "$top_srcdir/tests/tap.sh" || exit 99
if [ "${CLUSTER_INSIDE:-}" != yes ]; then
	[ "$(id -u)" = 0 ] || skip_all "needs root"
	for program in slurmctld slurmd sbatch munged ip setpriv; do
		command -v $program >/dev/null || skip_all "$program is missing (scripts/packages-slurm.txt)"
	done
	unshare --net --uts --mount --ipc --pid --fork true 2>/dev/null || skip_all "no namespaces here"
	exec timeout -k 10 "${TEST_TIMEOUT:-900}" "$top_srcdir/tests/slurm/cluster" bash "$0" "$@"
fi

T=$C
# beside what a check that fails has printed: what Slurm knows
slurm_knows() {
	squeue -o '%i %T %r %N'
	scontrol show bbstat
	scontrol -o show job "${job:-}"
	grep -h pmio: "$C"/log/* | tail -n 20
	tail -n 20 "$C"/jobs/*.out 2>/dev/null
}
CHECK_SHOWS=slurm_knows

user=nobody
as_nobody() { setpriv --reuid=$user --regid=nogroup --clear-groups --reset-env env SLURM_CONF="$SLURM_CONF" "$@"; }

# what programs of jobs need to know here; job scripts begin with it.  Open MPI 5 hands a path of components on to PMIx, which
# would look for its own ones there
components="export OMPI_MCA_mca_base_component_path=$C/bin:$OMPI_PKGLIBDIR" btl=self,vader,tcp
[ "$OPENMPI_ADAPTER" != library ] || components='' btl=self,sm,tcp
cat >"$C/bin/env.sh" <<EOF
$components
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe PRTE_MCA_hwloc_default_binding_policy=none # Open MPI 5
export PRTE_MCA_mapby=:oversubscribe PRTE_MCA_bindto=none # 6
export OMPI_MCA_btl_tcp_if_include=$NET.0/24 # Debian 14 has lo in its file of parameters
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=$btl OMPI_MCA_btl_vader_single_copy_mechanism=none
PATH=$C/bin:\$PATH
EOF

# submit NAME [OPTION...]: the script is standard input, its output goes to jobs/NAME.out; sets job
submit() {
	local name=$1
	shift
	{
		echo '#!/bin/bash'
		cat
	} >"$C/jobs/$name.sh"
	job=$(cd "$C/jobs" && as_nobody sbatch --parsable -o "$C/jobs/$name.out" "$@" "$C/jobs/$name.sh" 2>"$C/jobs/$name.err")
}

# hold STAGE, release STAGE: pmio-slurm STAGE waits meanwhile, on all nodes
hold() { touch "$C/run/hold.$1"; }
release() { rm -f "$C/run/hold.$1"; }

restart_controller() {
	local pid
	pid=$(cat "$C/run/slurmctld")
	kill -TERM "$pid"
	await 60 eval "! grep -q '^State:.[^ZX]' /proc/$pid/status" || return 1
	slurmctld -D -f "$SLURM_CONF" >>"$C/log/slurmctld.out" 2>&1 &
	echo $! >"$C/run/slurmctld"
	await 60 scontrol ping
}

field() { scontrol -o show job "$1" | grep -oE "(^| )$2=[^ ]*" | sed 's/^[^=]*=//'; }
bb_is() { [ "$(field "$1" BurstBufferState)" = "$2" ]; }
state_is() { [ "$(field "$1" JobState)" = "$2" ]; }
says() { scontrol -o show job "$1" | grep -qF -- "$2"; }
is_held() { state_is "$job" PENDING && says "$job" "Reason=JobHeldUser"; }
nodes_in_service() { ! sinfo -h -N -o '%N %T' | grep -E 'drain|down'; }
memory_nodes_up() { [ "$(scontrol show bbstat | grep -c '^memory node mem[12]: ')" = 2 ]; }
is_over() { bb_is "$1" complete && [ -z "$(squeue -h -j "$1" 2>/dev/null)" ] && ! scontrol show burst | grep -q "JobID=$1 "; }
# Slurm may kill its own teardown of a job that is cancelled, and thinks of it again when it is started anew
is_stuck() { grep -q "teardown for JobId=$1 terminated by slurmctld" "$C/log/slurmctld.log"; }
over() {
	await 120 eval "is_over $1 || is_stuck $1"
	! is_over "$1" && is_stuck "$1" && { restart_controller || return 1; }
	await 120 is_over "$1" || { echo "job $1 does not end"; return 1; }
}
ended() { over "$1" && { state_is "$1" "$2" || { echo "job $1 is $(field "$1" JobState)"; return 1; }; }; }

# what jobs have left on the nodes and beside them
left_over() {
	local n
	for n in node1 node2; do
		on_node $n sh -c 'find "$0" -mindepth 1; ps -eo comm= | grep pmiod; grep " $0/" /proc/mounts; grep -F "$0/" /proc/net/unix' "$PMEM" |
			sed "s/^/$n: /"
	done
	find "$STATE" -mindepth 1 ! -name 'memory.*'
	find "$PFS" -name '.pmio-owner.*'
}
# what the killed teardown of a job (see is_stuck) has left goes with the next job
nothing_left() {
	if ! await "${1:-60}" eval '[ -z "$(left_over)" ]'; then
		grep -q "teardown for JobId=.* terminated by slurmctld" "$C/log/slurmctld.log" &&
			submit next -N1 <<<"#PMEM capacity=16MiB" && over "$job" && await 60 eval '[ -z "$(left_over)" ]' || {
			left_over
			return 1
		}
	fi
}
