#!/bin/bash
# kills.sh -- ranks and agents die by SIGKILL at random moments (kills.c); TAP
#
# kills.sh --kills N [--seed S]: so many in each of the two pools, instead of a few
. "${top_srcdir:-.}/tests/env.sh"

kills=12 seed=1
while [ $# -gt 1 ]; do
	case $1 in
	--kills) kills=$2 ;;
	--seed) seed=$2 ;;
	*) break ;;
	esac
	shift 2
done
[ $# = 0 ] || { echo "usage: kills.sh [--kills N] [--seed S]" >&2; exit 2; }

in_pool() {
	export PMIO_POOL="$T/pool.$1" PMIO_POOL_SIZE=$1
	mkdir -m 700 "$PMIO_POOL" && mkdir "$PFS/$1" || return 1
	timeout -k 5 "${TEST_TIMEOUT:-600}" "$top_builddir/tests/kill/kills" "$PFS/$1" --kills "$kills" --seed "$seed" 2>"$T/err" ||
		{ grep -v 'the agent is gone' "$T/err" | tail -n 40; tail -n 40 "$PMIO_POOL/agent.log"; return 1; }
	# all was drained, and is known to be
	"$PMIO" ls >"$T/ls" && ! grep -E '^(open|held|failed|draining)' "$T/ls"
	rc=$?
	"$PMIO" agent stop --force >/dev/null 2>&1
	return $rc
}

plan 2
check "$kills kills, seed $seed" in_pool 256MiB
check "$kills kills, seed $seed, a pool too small" in_pool 8MiB
exit $tap_failed
