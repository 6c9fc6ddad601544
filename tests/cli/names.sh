#!/bin/bash
# files that are renamed, replaced and removed by others while data of them wait
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 24

LEN=300000
put() { PMIO_DRAIN=${drain:-hold} expect 0 "$FILEIO" "$1" write 0 $LEN "$2"; }
is_plain() { expect 0 "$FILEIO" -p "$1" is $LEN verify 0 $LEN "$2"; }
drained() { expect 0 "$PMIO" drain --all && says "^drained $1\$" && expect 0 "$PMIO" ls && ! says "^(held|waiting|failed)"; }
fresh() { expect 0 "$PMIO" pool create -q --size=64MiB; }
fresh

renamed() {
	put "$PFS/a" 1 && mv "$PFS/a" "$PFS/a.old" && expect 0 "$PMIO" ls && says "^held .* $PFS/a.old\$" &&
		drained "$PFS/a.old" && is_plain "$PFS/a.old" 1 && [ ! -e "$PFS/a" ]
}
check "mv" renamed

rotated() {
	put "$PFS/b" 1 && mv "$PFS/b" "$PFS/b.old" && put "$PFS/b.new" 2 && mv "$PFS/b.new" "$PFS/b" &&
		drained "$PFS/b" && says "clean .* $PFS/b\$" && says "clean .* $PFS/b.old\$" &&
		is_plain "$PFS/b" 2 && is_plain "$PFS/b.old" 1 && expect 0 "$PMIO" stage-out "$PFS" && ! says "held"
}
check "a name is moved on to the next file: two entries are two" rotated

swapped() {
	put "$PFS/c" 1 && put "$PFS/d" 2 && mv "$PFS/c" "$PFS/x" && mv "$PFS/d" "$PFS/c" && mv "$PFS/x" "$PFS/d" &&
		drained "$PFS/c" && is_plain "$PFS/c" 2 && is_plain "$PFS/d" 1
}
check "two names are swapped" swapped

plain_in_place() {
	put "$PFS/e" 1 && mv "$PFS/e" "$PFS/e2" && echo plain >"$PFS/e" && drained "$PFS/e2" &&
		[ "$(cat "$PFS/e")" = plain ] && is_plain "$PFS/e2" 1
}
check "a plain file takes the old name" plain_in_place

opened_anew() {
	put "$PFS/f" 1 && mv "$PFS/f" "$PFS/f2" && expect 0 "$FILEIO" -r "$PFS/f2" is $LEN verify 0 $LEN 1 &&
		put "$PFS/f" 3 && drained "$PFS/f" && is_plain "$PFS/f" 3 && is_plain "$PFS/f2" 1
}
check "it is read under its new name, and another is made under the old one" opened_anew

linked() {
	put "$PFS/g" 1 && ln "$PFS/g" "$PFS/g2" && rm "$PFS/g" && expect 0 "$PMIO" drain --all && is_plain "$PFS/g2" 1 &&
		[ ! -e "$PFS/g" ] && expect 0 "$PMIO" ls && says "^clean .* $PFS/g2\$"
}
check "one of two hard links goes" linked

folder() {
	mkdir "$PFS/run.tmp" && put "$PFS/run.tmp/o" 1 && mv "$PFS/run.tmp" "$PFS/run" && drained "$PFS/run/o" &&
		is_plain "$PFS/run/o" 1 && [ ! -e "$PFS/run.tmp" ]
}
check "its folder is renamed" folder

symbolic() {
	mkdir "$PFS/r1" "$PFS/r2" "$PFS/r3" && ln -sfn r1 "$PFS/cur" && put "$PFS/cur/out" 1 && ln -sfn r2 "$PFS/cur" &&
		put "$PFS/cur/out" 2 && ln -sfn r3 "$PFS/cur" && expect 0 "$PMIO" ls && says "^held .* $PFS/r2/out\$" &&
		drained "$PFS/r1/out" && is_plain "$PFS/r1/out" 1 && is_plain "$PFS/r2/out" 2 && [ ! -e "$PFS/r3/out" ]
}
check "a symbolic link on the way moves on" symbolic

# the next agent has no descriptor, only what the catalog says
after_a_crash() {
	mkdir -p "$PFS/p/q" && put "$PFS/h" 1 && put "$PFS/p/q/i" 2 && put "$PFS/k" 3 && kill_agent &&
		mv "$PFS/h" "$PFS/h2" && echo plain >"$PFS/h" && mv "$PFS/p" "$PFS/p2" && drained "$PFS/h2" &&
		is_plain "$PFS/h2" 1 && is_plain "$PFS/p2/q/i" 2 && is_plain "$PFS/k" 3 && [ "$(cat "$PFS/h")" = plain ]
}
check "renamed while no agent is there" after_a_crash

moved_far() {
	mkdir -p "$PFS/far/away/from" && put "$PFS/l" 1 && kill_agent && mv "$PFS/l" "$PFS/far/away/from/m" &&
		expect 1 "$PMIO" drain --all && one_line "drain $PFS/l: No such file" &&
		expect 0 "$PMIO" ls && says "^failed .* $PFS/l \(No such file" &&
		expect 0 "$PMIO" drain "$PFS/far/away/from/m" && is_plain "$PFS/far/away/from/m" 1 && expect 0 "$PMIO" drain --all
}
check "moved where nobody looks: kept, and drained by its new name" moved_far

async_renamed() {
	local drain=async
	export PMIO_DRAIN_RATE=10KiB
	expect 0 "$PMIO" agent stop --force && put "$PFS/as" 1 && mv "$PFS/as" "$PFS/as.old" && put "$PFS/as" 2 &&
		expect 0 "$PMIO" agent rate 0 && expect 0 "$PMIO" drain --all && expect 0 "$PMIO" ls && ! says "^(held|waiting|failed)" &&
		is_plain "$PFS/as" 2 && is_plain "$PFS/as.old" 1
	local rc=$?
	unset PMIO_DRAIN_RATE
	return $rc
}
check "drain=async: renamed on the way, and the name is free at once" async_renamed

frames_free() { expect 0 "$PMIO" stat --json && json "o['frames_free'] $1"; }
async_removed() {
	local drain=async
	export PMIO_DRAIN_RATE=10KiB
	expect 0 "$PMIO" agent stop --force && put "$PFS/ar" 1 && rm "$PFS/ar" && put "$PFS/ar" 2 &&
		expect 0 "$PMIO" agent rate 0 && expect 0 "$PMIO" drain --all && is_plain "$PFS/ar" 2 &&
		expect 0 "$PMIO" ls && [ "$(grep -c "$PFS/ar" "$OUT")" = 1 ]
	local rc=$?
	unset PMIO_DRAIN_RATE
	return $rc
}
check "drain=async: removed on the way, its data are given up" async_removed

free_bytes() { "$PMIO" stat --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["free"])'; }
async_removed_and_stopped() {
	local drain=async free
	export PMIO_DRAIN_RATE=10KiB
	expect 0 "$PMIO" agent stop --force && expect 0 "$PMIO" agent start && free=$(free_bytes) && put "$PFS/ars" 1 &&
		[ "$(free_bytes)" -lt "$free" ] && expect 0 "$PMIO" rm "$PFS/ars" && expect 0 "$PMIO" agent stop --force &&
		expect 0 "$PMIO" agent start && [ "$(free_bytes)" -ge "$free" ]
	local rc=$?
	unset PMIO_DRAIN_RATE
	return $rc
}
check "... and its frames are free when the next agent comes" async_removed_and_stopped

is_gone() { "$PMIO" ls | grep -q "^gone .* $1 "; }
held_removed() {
	expect 0 "$PMIO" agent stop --force && put "$PFS/n" 1 && rm "$PFS/n" && until_ok is_gone "$PFS/n" &&
		expect 1 "$PMIO" drain --all && one_line 'was removed on the file system.*pmio forget' && [ ! -e "$PFS/n" ] &&
		put "$PFS/n" 2 && expect 3 "$PMIO" drain --all && is_plain "$PFS/n" 2 &&
		expect 0 "$PMIO" forget --gone && says "^forgotten $PFS/n \(293.0 KiB" && expect 0 "$PMIO" drain --all &&
		is_plain "$PFS/n" 2 && ! is_gone "$PFS/n"
}
check "drain=hold: removed, it is gone until forget" held_removed

# as a file of the agent that has no descriptor of it
held_removed_crash() {
	put "$PFS/o" 1 && kill_agent && put "$PFS/none" 1 && kill_agent && rm "$PFS/o" && expect 1 "$PMIO" drain "$PFS/o" &&
		expect 0 "$PMIO" forget "$PFS/o" && says "^forgotten" && drained "$PFS/none" && is_plain "$PFS/none" 1
}
check "removed while no agent is there: forget by its name" held_removed_crash

replaced() {
	put "$PFS/q" 1 && echo plain >"$PFS/q.new" && mv "$PFS/q.new" "$PFS/q" && until_ok is_gone "$PFS/q" &&
		expect 1 "$PMIO" drain --all && [ "$(cat "$PFS/q")" = plain ] &&
		expect 1 "$PMIO" rm "$PFS/q" && one_line "another file has this name now.*--force removes.*pmio forget" &&
		[ "$(cat "$PFS/q")" = plain ] && expect 0 "$PMIO" forget "$PFS/q" && [ "$(cat "$PFS/q")" = plain ] &&
		expect 0 "$PMIO" rm "$PFS/q" && says "^removed $PFS/q\$" && [ ! -e "$PFS/q" ]
}
check "replaced by rename: rm does not take the good file" replaced

forced_rm() {
	put "$PFS/r" 1 && mv "$PFS/r" "$PFS/r.old" && put "$PFS/r" 2 && expect 0 "$PMIO" rm "$PFS/r" &&
		says "removed $PFS/r \(293.0 KiB that waited" && [ ! -e "$PFS/r" ] && drained "$PFS/r.old" && is_plain "$PFS/r.old" 1 &&
		put "$PFS/s" 1 && echo plain >"$PFS/s.new" && mv "$PFS/s.new" "$PFS/s" && until_ok is_gone "$PFS/s" &&
		expect 0 "$PMIO" rm --force "$PFS/s" && [ ! -e "$PFS/s" ] && is_gone "$PFS/s" &&
		expect 1 "$PMIO" rm "$PFS/s" && one_line 'no longer exists.*pmio forget' && expect 0 "$PMIO" forget --gone
}
check "rm removes the file that it names, and says so" forced_rm

open_removed() {
	background "$PFS/t" write 0 $LEN 1 wait "$T/go" verify 0 $LEN 1
	bg_says waiting && rm "$PFS/t" && put "$PFS/t" 2 && touch "$T/go" && bg_ends && drained "$PFS/t" && is_plain "$PFS/t" 2 &&
		expect 0 "$PMIO" ls && [ "$(grep -c "$PFS/t\$" "$OUT")" = 1 ]
}
check "removed while it is open: data go with the last close" open_removed

open_renamed_crash() {
	background "$PFS/u" write 0 $LEN 1 wait "$T/go2" write $LEN $LEN 1
	bg_says waiting && mv "$PFS/u" "$PFS/u2" && echo plain >"$PFS/u" && kill_agent && touch "$T/go2" && bg_ends &&
		expect 0 "$FILEIO" -p "$PFS/u2" is $((2 * LEN)) verify 0 $((2 * LEN)) 1 && [ "$(cat "$PFS/u")" = plain ]
}
check "renamed while it is open, and the agent is killed" open_renamed_crash

dots() {
	put "$PFS/./v" 1 && expect 0 "$PMIO" ls && says "^held .* $PFS/v\$" && expect 0 "$PMIO" drain "$PFS//./v" && is_plain "$PFS/v" 1
}
check "/./ is no other file" dots

# more files than an agent may have open
few_descriptors() {
	local i
	expect 0 "$PMIO" agent stop --force && for i in $(seq 60); do
		bash -c 'ulimit -n 40; PMIO_DRAIN=hold exec "$0" "$@"' "$FILEIO" "$PFS/few.$i" write 0 1000 "$i" || return 1
	done && mv "$PFS/few.1" "$PFS/few.one" && expect 0 "$PMIO" drain --all &&
		expect 0 "$FILEIO" -p "$PFS/few.one" is 1000 verify 0 1000 1 && for i in $(seq 2 60); do
		expect 0 "$FILEIO" -p "$PFS/few.$i" is 1000 verify 0 1000 "$i" || return 1
	done
}
check "more files that wait than descriptors" few_descriptors

socket_removed() {
	local pid
	expect 0 "$PMIO" agent stop --force && put "$PFS/sock" 1 && pid=$(agent_pid) && rm "$PMIO_POOL/agent.sock" &&
		until_ok grep -q 'its socket was removed; created it again' "$PMIO_POOL/agent.log" && drained "$PFS/sock" &&
		[ "$(agent_pid)" = "$pid" ]
}
check "only the agent's socket is removed: it makes another" socket_removed

pool_removed() {
	local pid
	expect 0 "$PMIO" agent stop --force && put "$PFS/w" 1 && pid=$(agent_pid) && rm -rf "$PMIO_POOL" &&
		until_ok "$FILEIO" -p "$PFS/w" is $LEN verify 0 $LEN 1 && until_ok eval '! kill -0 '"$pid" &&
		grep -q 'removed while it was in use: draining .* bytes' "$PMIO_POOL/agent.log" &&
		grep -q 'which was removed: all data are on the file system' "$PMIO_POOL/agent.log" && fresh && put "$PFS/w" 2 && drained "$PFS/w"
}
check "the pool's folder is removed: what is held is drained" pool_removed

pool_removed_open() {
	background "$PFS/x" write 0 $LEN 1 wait "$T/go3" write $LEN $LEN 1
	bg_says waiting && rm -rf "$PMIO_POOL" && until_ok grep -q 'removed while it was in use' "$PMIO_POOL/agent.log" && touch "$T/go3" && bg_ends &&
		expect 0 "$FILEIO" -p "$PFS/x" is $((2 * LEN)) verify 0 $((2 * LEN)) 1
}
check "... while a program has a file open: it goes on to its close" pool_removed_open

exit $tap_failed
