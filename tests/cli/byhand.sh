#!/bin/bash
# pmio recover: what a crash or another machine left in a pool, by hand
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 8

# left FILE SEED: a program and its agent die, 2,500,000 bytes wait
left() {
	background "$1" write 0 2500000 "$2" wait "$T/never"
	bg_says waiting && kill_agent && kill -9 "$BG" && until_ok gone "$BG"
}
# both FILE SEED FILE SEED: the same, of two files at a time
both() {
	background "$1" write 0 2500000 "$2" wait "$T/never"
	local first=$BG
	bg_says waiting || return 1
	background "$3" write 0 2500000 "$4" wait "$T/never"
	bg_says waiting && kill_agent && kill -9 "$BG" "$first" && until_ok gone "$BG" && until_ok gone "$first"
}
is_whole() { expect 0 "$FILEIO" -p "$1" is 2500000 verify 0 2500000 "$2"; }
is_empty() { [ -f "$1" ] && [ ! -s "$1" ]; }

in_place() {
	left "$PFS/a" 1 && is_empty "$PFS/a" && expect 0 "$PMIO" recover && says "^recovered $PFS/a\$" &&
		says '^recover: 1 of 1 files, 2.4 MiB' && is_whole "$PFS/a" 1 && no_agent && [ ! -s "$PMIO_POOL/lock" ] &&
		expect 0 "$PMIO" pool check && says ' 0 of them with 0 B not' && expect 0 "$PMIO" recover && says 'no data to recover'
}
check "no agent: one is started, recovers, and is gone" in_place

one_of_two() {
	both "$PFS/b" 2 "$PFS/c" 3 && expect 0 "$PMIO" recover "$PFS/b" && is_whole "$PFS/b" 2 && is_empty "$PFS/c" &&
		expect 0 "$PMIO" pool check && says ' 1 of them with 2.4 MiB not' &&
		expect 1 "$PMIO" recover "$PFS/none" && one_line 'none: not in the pool' && is_empty "$PFS/c" &&
		expect 3 "$PMIO" recover --json "$PFS/none" "$PFS/c" && grep -q '"event":"done".*"status":"partly"' "$OUT" &&
		is_whole "$PFS/c" 3
}
check "file by file" one_of_two

partly() {
	mkdir -p "$PFS/gone" "$PFS/far/away" && both "$PFS/gone/d" 4 "$PFS/e" 5 && mv "$PFS/gone" "$PFS/far/away" &&
		expect 3 "$PMIO" recover && grep -q "$PFS/gone/d: No such file" "$ERR" && is_whole "$PFS/e" 5 && no_agent &&
		expect 1 "$PMIO" recover "$PFS/gone/d" && no_agent &&
		mv "$PFS/far/away/gone" "$PFS/gone" && expect 0 "$PMIO" recover && is_whole "$PFS/gone/d" 4
}
check "what cannot go to its place stays in the pool, and can later" partly

elsewhere() {
	left "$PFS/f" 6 && grep -q "^$(uname -n) [0-9]*\$" "$PMIO_POOL/lock" && mv "$PMIO_POOL" "$T/mounted" &&
		echo 'node17.example 4711' >"$T/mounted/lock" &&
		expect 1 "$PMIO" recover --pool="$T/mounted" && one_line 'on node17.example .process 4711. has not released it.*--force' &&
		is_empty "$PFS/f" && expect 1 "$PMIO" agent status --pool="$T/mounted" &&
		expect 0 "$PMIO" recover --pool="$T/mounted" --force && is_whole "$PFS/f" 6 && [ ! -s "$T/mounted/lock" ] &&
		expect 0 "$PMIO" recover --pool="$T/mounted" && mv "$T/mounted" "$PMIO_POOL"
}
check "of another machine: not before somebody says that its agent is no more" elsewhere

through_agent() {
	local pid
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/g" write 0 2500000 7 && pid=$(agent_pid) && is_empty "$PFS/g" &&
		expect 0 "$PMIO" recover "$PFS/g" && is_whole "$PFS/g" 7 && [ "$pid" = "$(agent_pid)" ]
}
check "an agent runs: it does it, and stays" through_agent

live_agent() {
	[ -S "$PMIO_POOL/agent.sock" ] && mv "$PMIO_POOL/agent.sock" "$T/hidden" && expect 1 "$PMIO" recover &&
		one_line 'in use by process [0-9]* on .*, which cannot be reached'
	local rc=$?
	mv "$T/hidden" "$PMIO_POOL/agent.sock"
	return $rc
}
check "an agent has the pool and cannot be reached: refused" live_agent

cut_off() {
	stop_agent && left "$PFS/h" 8 && for ms in 005 02 04; do
		timeout -s KILL 0.$ms "$PMIO" recover >"$OUT" 2>&1
		pid=$(awk '{ print $2 }' "$PMIO_POOL/lock")
		[ -z "$pid" ] || [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != pmiod ] || kill -9 "$pid" 2>/dev/null
		[ -z "$pid" ] || until_ok gone "$pid" || return 1
	done
	expect 0 "$PMIO" recover && is_whole "$PFS/h" 8
}
check "killed in the middle, with its agent: run again it finishes" cut_off

damaged() {
	left "$PFS/i" 9 && cp -a "$PMIO_POOL" "$T/copy" &&
		printf '\252' | dd of="$PMIO_POOL/data" bs=1 seek=41 conv=notrunc status=none &&
		cksum <"$PMIO_POOL/data" >"$T/sum" && expect 1 "$PMIO" recover && grep -q damaged "$ERR" && no_agent &&
		cksum <"$PMIO_POOL/data" | cmp - "$T/sum" && is_empty "$PFS/i" && rm -r "$PMIO_POOL" && mv "$T/copy" "$PMIO_POOL" &&
		expect 0 "$PMIO" recover && is_whole "$PFS/i" 9
}
check "a damaged pool is left as it is" damaged

exit $tap_failed
