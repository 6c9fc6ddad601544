#!/bin/bash
# fsx.sh [--seed N] [--count N] -- random calls on a redirected file are what they are on a plain one
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/lib.sh" || exit 99
seed=1 count=6000
while [ $# -gt 1 ]; do
	case $1 in
	--seed) seed=$2 ;;
	--count) count=$2 ;;
	esac
	shift 2
done
FSX=$top_builddir/tests/redirect/fsx
plan 5

# one FILE SEED OPTION...: and then the file system has the same
one() {
	local name=$1 at=$2
	shift 2
	redirected "$@" -- "$FSX" "$PFS/$name" "$T/$name.plain" "$at" "$count" && wait && { expect 0 "$PMIO" drain --all || [ ! -s "$ERR" ]; } && cmp "$T/$name.plain" "$PFS/$name"
}
several() {
	local i pids= rc=0
	for i in 1 2 3; do
		redirected --drain async -- "$FSX" "$PFS/s$i" "$T/s$i.plain" $((seed + 10 + i)) $((count / 3)) &
		pids="$pids $!"
	done
	for i in $pids; do wait "$i" || rc=1; done
	[ $rc = 0 ] && expect 0 "$PMIO" drain --all && for i in 1 2 3; do cmp "$T/s$i.plain" "$PFS/s$i" || return; done
}
check "drain=hold" one h "$seed" --drain hold
check "drain=close" one c $((seed + 1)) --drain close
check "three at once" several
agent_dies() {
	(sleep 0.5; "$PMIO" agent stop --force; sleep 0.5; "$PMIO" agent stop --force) >/dev/null 2>&1 &
	one a $((seed + 2)) --drain hold
}
check "the agent is replaced" agent_dies
small_pool() {
	mkdir -m 700 "$T/tiny" && PMIO_POOL=$T/tiny PMIO_POOL_SIZE=8MiB redirected --drain hold -- "$FSX" "$PFS/t" "$T/t.plain" $((seed + 3)) "$count"
	local rc=$?
	PMIO_POOL=$T/tiny "$PMIO" agent stop --force >/dev/null 2>&1
	return $rc
}
check "a small pool" small_pool
exit $tap_failed
