# lib.sh -- sourced by the tests that run jobs on pretended hosts
#
# The script says how many hosts it wants (NR_HOSTS) before it sources this.  It is then
# started a second time, on the head of their network, and what follows runs only there.
#
# Sets   SHARED   a folder that all hosts see, the parallel file system: in memory, or below CLUSTER_DIR
#        PMIO_POOL and the like, as tests/env.sh does: for jobs on the hosts

. "${top_srcdir:-.}/tests/env.sh" || exit 99
need_mpi
HOSTS=$top_srcdir/tests/cluster/hosts

if [ -z "${HOSTS_DIR:-}" ]; then
	if ! "$HOSTS" 2 on-host h2 hostname >"$T/hosts" 2>&1; then
		skip_all "no namespaces for pretended hosts: $(tail -n 1 "$T/hosts")"
	fi
	SHARED=$(mktemp -d "${CLUSTER_DIR:-/tmp}/pmio-cluster.XXXXXX") || exit 99
	export SHARED
	network=
	# shellcheck disable=SC2086
	trap '[ -z "$network" ] || kill $network; rm -rf "$SHARED"; cleanup' EXIT
	user=
	[ "$(id -u)" = 0 ] || user="--user --map-root-user"
	# shellcheck disable=SC2086,SC2016
	unshare $user --mount --propagation private --kill-child --fork sh -c '
		[ "$0" = disk ] || mount -t tmpfs -o mode=755 tmpfs "$SHARED" || exit
		exec "$@"' "${CLUSTER_DIR:+disk}" "$HOSTS" "$NR_HOSTS" bash "$0" "$@" &
	network=$!
	wait $network
	rc=$?
	network=
	exit $rc
fi

export TMPDIR=$SHARED OMPI_MCA_btl=self,vader,tcp
export PMIO_POOL=/dev/shm/pool
# what is said of the pool on the head
trap 'rm -rf "$T"' EXIT

# limit cmd...: nothing may hang
limit() { timeout -k 5 "${TEST_TIMEOUT:-600}" "$@"; }

# on HOST cmd...: a command line there
on() {
	local host=$1
	shift
	limit on-host "$host" "$*"
}

# job RANKS HOSTS cmd...: in turn on HOSTS, as "h1 h2"
job() {
	local n=$1 at
	# shellcheck disable=SC2086
	at=$(printf ",%s:$n" $2)
	shift 2
	# shellcheck disable=SC2046
	limit "$MPIRUN" -H "${at#,}" --map-by node -n "$n" -x OMPI_MCA_mca_base_component_path \
		$(env | sed -n 's/^\(PMIO_[A-Z_]*\)=.*/-x \1/p') "$@"
}

# pools POOL HOST...: empty folders that become pools when they are first used
pools() {
	local pool=$1 h
	shift
	for h; do on "$h" "mkdir -m 700 $pool" || return; done
}

# memory_node HOST POOL: its endpoint descriptor is in $SHARED/HOST.card
memory_node() {
	on "$1" "[ -d $2 ] || mkdir -m 700 $2; exec $PMIO_AGENT --target --listen 10.77.0.${1#h}:7000 --card $SHARED/$1.card --pool $2"
}

# in that pool nothing is open, and nothing waits
is_clean() {
	on "$1" "exec $PMIO ls --json --pool=$2" >"$T/ls" && ! grep -v '"state": *"clean"' "$T/ls" | grep '"state"'
}

# nothing_left HOST:POOL...: of the jobs before: no layout file (below D, if that is set), and no data in the pools
nothing_left() {
	local p
	until_ok eval '[ -z "$(find "${D:-$SHARED}" -name ".pmio-owner.*" | tee /dev/stderr)" ]' || return
	for p; do until_ok is_clean "${p%%:*}" "${p#*:}" || return; done
}

# what daemons on the hosts have to say of trouble
logs() {
	local h
	for h; do
		on "$h" 'tail -qn 10 /dev/shm/*/*.log' | sed "s/^/$h: /"
	done
}
