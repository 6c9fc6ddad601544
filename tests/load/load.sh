#!/bin/bash
# load.sh -- 2,000 sessions come to a target while 1,000 strangers connect, say garbage or nothing; TAP
#
# For `make check-load`, not for `make check`: it says how long an open takes, which is this machine's.
# LOAD_SESSIONS, LOAD_STRANGERS, LOAD_PROCESSES: other numbers; LOAD_MS: what an open may take, if that is to be a test;
# LOAD_MIB: what the target may take, which is its own memory: what it has of the pool's is the agent's, too

. "${top_srcdir:-.}/tests/env.sh"

sessions=${LOAD_SESSIONS:-2000} strangers=${LOAD_STRANGERS:-1000} processes=${LOAD_PROCESSES:-40}
load=$top_builddir/tests/load/load
ulimit -n "$(ulimit -Hn)"
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge $((sessions * 3)) ] || skip_all "ulimit -Hn: $(ulimit -Hn)"
export PMIO_IDLE_TIMEOUT=0
plan 4

target= others= looks=
trap '[ -z "$target$others$looks" ] || kill $target $others $looks 2>/dev/null; wait; cleanup' EXIT

start() {
	"$PMIO" agent start && {
		"$PMIO_AGENT" --target --listen "127.0.0.1:${LOAD_PORT:-7600}" --card "$T/card" --foreground >"$T/target.log" 2>&1 &
		target=$!
		until_ok test -s "$T/card" && { look & looks=$!; }
	}
}

# kB of its own, now and then
look() {
	trap - DEBUG # these are no steps
	while awk '/^Rss(Anon|File)/ { n += $2 } END { print n }' "/proc/$target/status" 2>/dev/null; do sleep 0.1; done >"$T/memory"
}
peak() { awk '$1 > n { n = $1 } END { print int(n / 1024) }' "$T/memory"; }
say() { echo "# $*"; }

come() {
	timeout -k 5 600 "$load" honest "$T/card" "$sessions" "$processes" "$PFS" "${LOAD_MS:-600000}" >"$T/honest"
	local rc=$?
	cat "$T/honest"
	return $rc
}

strangers_come() {
	"$load" strangers "$T/card" "$strangers" >"$T/strangers" &
	others=$!
	until_ok grep -q there "$T/strangers"
}

is_small() {
	echo "the target took $(peak) MiB"
	[ "$(peak)" -lt "${LOAD_MIB:-128}" ]
}

check "a target" start
check "alone" come
say "alone: $(cat "$T/honest")"
check "among $strangers strangers" eval 'strangers_come && come'
say "among strangers: $(cat "$T/honest"), the target has had $(peak) MiB"
check "the target stays small" is_small
