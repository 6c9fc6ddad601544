#!/bin/bash
# failures.sh -- several jobs with one file; and jobs of several hosts of which something dies, or is cut off
NR_HOSTS=4
. "${top_srcdir:-.}/tests/cluster/lib.sh" || exit 99
steady=$top_builddir/tests/cluster/steady
export PMIO_TIMEOUT=${PMIO_TIMEOUT:-6} # seconds until a node counts as lost
job= # under way: its process, its files are in $D

until_ready() { # RANKS: all write
	until_ok eval "[ \"\$(find '$D' -name 'pid.*' | wc -l)\" = $1 ]" || { cat "$D/out"; return 1; }
}

# start NAME RANKS HOSTS [LIMIT]
start() {
	D=$SHARED/$1
	mkdir "$D" && mkdir "$D/pfs" || return
	job "$2" "$3" "$steady" run "pmem:$D/pfs/f" "$D" ${4:+$4} >"$D/out" 2>&1 &
	job=$!
	until_ready "$2"
}

# stop STATUS: the job ends, with 0 or any other exit status
stop() {
	local rc
	touch "$D/stop"
	wait "$job"
	rc=$?
	job=
	[ $rc = 124 ] || [ $((rc != 0)) != "$1" ] || return 0
	echo "the job's exit status is $rc"
	cat "$D/out"
	return 1
}

# what the job wrote is in the file on the parallel file system
verify() {
	job 1 h1 "$steady" verify "$D/pfs/f" "$D"
}

# another job finds and changes it
next() { # RANKS HOSTS
	job "$1" "$2" "$steady" verify "pmem:$D/pfs/f" "$D" && job "$1" "$2" "$top_builddir/mpi-examples/hello_pmem" "pmem:$D/pfs/f"
}

has_failed() { # RANK... have been told; the output names NODE
	local r
	for r; do until_ok test -e "$D/failed.$r" || { cat "$D/out"; return 1; }; done
}
says() {
	grep -q "$1" "$D/out" || { echo "nowhere: $1"; cat "$D/out"; return 1; }
}

# the process of the pool's agent or target, in that host's numbers
daemon() { # HOST POOL agent|target
	local t='[ $t = agent ]'
	[ "$3" = agent ] || t='[ $t = target ]'
	on "$1" 'for p in /proc/[0-9]*; do
		t=$(tr "\0" " " <$p/cmdline 2>/dev/null) || continue
		case "$t" in pmiod\ *" --pool '"$2"' "*) ;; *) continue ;; esac
		case "$t" in *" --target "*) t=target ;; *) t=agent ;; esac
		'"$t"' && echo ${p#/proc/}
		done; true'
}

self() {
	mkdir "$SHARED/self" && job 4 "h1 h2" "$steady" self "pmem:$SHARED/self/f"
}
# process numbers are as equal as on two nodes that were started alike
self_equal_numbers() {
	mkdir "$SHARED/equal" && job 2 "h1 h2" unshare --pid --fork "$steady" self "pmem:$SHARED/equal/f"
}

groups() { # PLACEMENT
	mkdir "$SHARED/groups.$1" && PMIO_PLACEMENT=$1 job 4 "h1 h2" "$steady" groups "pmem:$SHARED/groups.$1/f"
}

plan 4
pools "$PMIO_POOL" h1 h2 h3 || exit 99
export PMIO_TARGETS=$SHARED/h3.card,$SHARED/h4.card
for h in h3 h4; do memory_node $h /dev/shm/memory || exit 99; done
check "each process opens it for itself, on 2 hosts" self
check "the same, with equal process numbers" self_equal_numbers
check "two groups open it at the same time" groups auto
check "two groups open it at the same time, on memory nodes" groups remote
exit $tap_failed
