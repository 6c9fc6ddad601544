#!/bin/bash
# fabric.sh -- lib/fabric between hosts: nothing is lost, what is dead is known to be, what was cut off comes back
. "${top_srcdir:-.}/tests/env.sh" || exit 99
HOSTS=$top_srcdir/tests/cluster/hosts
MESH=$top_builddir/tests/cluster/mesh
# shared by the hosts, which have a /dev/shm of their own
SHARED=$(mktemp -d "${CLUSTER_DIR:-/tmp}/pmio-cluster.XXXXXX") || fatal
trap 'rm -rf "$SHARED"; cleanup' EXIT
export TMPDIR=$SHARED

# mesh PROCESSES HOSTS SECONDS [LOST [AFTER]]: AFTER some seconds the host of the process LOST is gone;
# or, with LOST = cut, its first host's link for 2 seconds
mesh() {
	export NR=$1 NHOSTS=$2 SECS=$3 LOST=${4:-} AFTER=${5:-} MESH DIR
	DIR=$(mktemp -d "$SHARED/mesh.XXXXXX")
	timeout -k 5 "${TEST_TIMEOUT:-600}" "$HOSTS" "$2" bash -c '
		pids= bad=0
		who=${LOST#cut}
		for i in $(seq 0 $((NR - 1))); do
			h=$((i % NHOSTS + 1))
			on-host h$h "exec $MESH $DIR $i $NR 10.77.0.$h $SECS $who" >"$DIR/out.$i" 2>&1 &
			pids="$pids $!"
		done
		if [ -n "$LOST" ]; then
			while [ "$(ls "$DIR" | grep -c "^connected")" -lt "$NR" ]; do sleep 0.05; done
			sleep "$AFTER"
			if [ "$LOST" = cut ]; then
				ip link set v1 down && sleep 2 && ip link set v1 up
			else
				kill -9 "$(cat "$HOSTS_DIR/h$((LOST % NHOSTS + 1))")"
			fi
		fi
		i=0
		for pid in $pids; do
			wait "$pid" || [ "$i" = "$LOST" ] || { echo "process $i: exit status $?"; bad=1; }
			i=$((i + 1))
		done
		cat "$DIR"/out.*
		exit $bad'
}

if ! "$HOSTS" 2 on-host h2 hostname >"$T/hosts" 2>&1; then
	skip_all "no namespaces for pretended hosts: $(tail -n 1 "$T/hosts")"
fi
plan 4
check "a mesh of 4 processes on 2 hosts" mesh 4 2 8
check "a mesh of 12 processes on 3 hosts" mesh 12 3 "${MESH_SECONDS:-10}"
check "a link is cut for 2 seconds" mesh 4 2 10 cut 2
check "a host is lost" mesh 3 3 14 2 2
exit $tap_failed
