#!/bin/bash
# crowded.sh -- connections to a memory node's two ports that say nothing, more than it may have descriptors; TAP

. "${top_srcdir:-.}/tests/env.sh"

load=$top_builddir/tests/load/load
export PMIO_IDLE_TIMEOUT=0 PMIO_TIMEOUT=20 PMIO_TARGETS=$T/card
plan 7

target= others=
trap '[ -z "$target$others" ] || kill $target $others 2>/dev/null; wait; cleanup' EXIT

start() {
	"$PMIO" agent start || return
	prlimit --nofile=1024 "$PMIO_AGENT" --target --listen 127.0.0.1 --card "$T/card" --foreground >"$T/target.log" 2>&1 &
	target=$!
	until_ok test -s "$T/card"
}

nr_fds() { find "/proc/$target/fd" -mindepth 1 | wc -l; }
reached() { for _ in 1 2 3; do "$PMIO" target stat || return; done; }

come() {
	"$load" strangers "$T/card" 1100 "$1" >"$T/strangers" &
	others=$!
	until_ok grep -q there "$T/strangers"
}

go() {
	kill "$others"
	wait "$others"
	others=
	until_ok few_fds
}
few_fds() { [ "$(nr_fds)" -lt $((before + 10)) ]; }

counted() {
	awk '/^key = / { $3 = (substr($3, 1, 1) == "0" ? "1" : "0") substr($3, 2) } { print }' "$T/card" >"$T/wrong"
	! cmp -s "$T/card" "$T/wrong" || return
	chmod 600 "$T/wrong"
	! PMIO_TARGETS=$T/wrong "$PMIO" target stat || return
	"$PMIO" target stat --json | python3 -c 'import json, sys
t = json.load(sys.stdin)[0]
print(t)
sys.exit(t["refused_proofs"] < 1 or t["refused_accesses"] != 0)'
}

check "a memory node with 1,024 descriptors" start
before=$(nr_fds)
check "1,100 idle connections to libfabric's port" come fabric
check "others get in" reached
check "they go, and so do their descriptors" go
check "1,100 idle connections to its own port" come liveness
check "others get in" reached
check "clients with another key are counted" counted
