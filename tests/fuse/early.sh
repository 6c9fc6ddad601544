#!/bin/bash
# drain_early: full chunks are on the file system before the close; the file is right whatever comes then
. "${top_srcdir:-.}/tests/env.sh" || exit 99
export PMIO_CHUNK_SIZE=64KiB # 16 of them are worth a drain
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/fuse/lib.sh" || exit 99
plan 8
export PMIO_DRAIN_EARLY=on

LEN=5000000
FULL=4980736 # in whole chunks

# file_is FILE EXPRESSION of f
file_is() { expect 0 "$PMIO" stat --json "$1" && json "[f for f in o['files'] if $2] != []"; }
drained() { until_ok file_is "$PFS/$1" "f['drained'] == $2 and f['state'] == '${3:-dirty}'"; }
# begins FILE operation...: writes the file, has all that is full drained, then waits for $T/go
begins() {
	rm -f "$T/go"
	background "$PFS/$1" write 0 $LEN 7 wait "$T/go" "${@:2}"
	bg_says waiting && drained "$1" $FULL
}

while_open() {
	begins a && file_is "$PFS/a" "f['dirty'] == $LEN - $FULL and f['handles'] == 1" &&
		expect 0 "$FILEIO" -p "$BACK/a" is $FULL verify 0 $FULL 7 && touch "$T/go" && bg_ends &&
		file_is "$PFS/a" "f['drained'] == $LEN and f['dirty'] == 0" &&
		expect 0 "$FILEIO" -p "$BACK/a" is $LEN verify 0 $LEN 7
}
check "the close has only the rest" while_open

again() {
	begins b write 100000 300000 8 wait "$T/go2" && touch "$T/go" && until_ok bg_waits 2 &&
		sleep 1.5 && touch "$T/go2" && bg_ends && # long enough to drain it more than once
		file_is "$PFS/b" "$LEN + 300000 <= f['drained'] <= $LEN + 300000 + 512" &&
		expect 0 "$FILEIO" -p "$BACK/b" is $LEN verify 0 100000 7 verify 100000 300000 8 verify 400000 4600000 7
}
check "what is written again is drained again, once" again
rm -f "$T/go2"

truncated() {
	begins c truncate 1000000 && touch "$T/go" && bg_ends &&
		expect 0 "$FILEIO" -p "$BACK/c" is 1000000 verify 0 1000000 7
}
check "then truncated" truncated

off() {
	rm -f "$T/go"
	PMIO_DRAIN_EARLY=off background "$PFS/d" write 0 $LEN 7 wait "$T/go" && local off=$BG
	PMIO_DRAIN=hold background "$PFS/d2" write 0 $LEN 7 wait "$T/go"
	bg_says waiting && sleep 2 && file_is "$PFS/d" "f['drained'] == 0" && file_is "$PFS/d2" "f['drained'] == 0" &&
		touch "$T/go" && bg_ends && wait $off
}
check "not when it is off, nor with drain=hold" off

# the agent and the program die before, while and after chunks go early
crash() {
	local pid
	pid=$(agent_pid) && kill -9 "$BG" "$pid" && no_fault && until_ok gone "$pid" && until_ok gone "$BG"
}
recovers() {
	expect 0 "$PMIO" agent start && until_ok file_is "$PFS/$1" "f['state'] == 'clean'" &&
		expect 0 "$FILEIO" -p "$BACK/$1" is $LEN "${@:2}"
}
killed_while() {
	rm -f "$T/go"
	fault "write hang after=2000000" && background "$PFS/e" write 0 $LEN 7 wait "$T/go" &&
		until_ok file_is "$PFS/e" "f['state'] == 'draining'" && crash && recovers e verify 0 $LEN 7
}
check "all are killed while chunks go early" killed_while
no_fault

killed_after() {
	begins f write 100000 300000 8 wait "$T/never" && touch "$T/go" &&
		until_ok file_is "$PFS/f" "f['dirty'] > $LEN - $FULL + 200000" && until_ok bg_waits 2 && crash &&
		recovers f verify 0 100000 7 verify 100000 300000 8 verify 400000 4600000 7
}
check "all are killed when some of it was written again" killed_after

# one failure is enough: the close tries again, and says it
fails_early() {
	rm -f "$T/go"
	fault "write ENOSPC after=1000000" && background "$PFS/g" write 0 $LEN 7 wait "$T/go" &&
		until_ok file_is "$PFS/g" "f['state'] == 'failed' and f['errno'] == 'ENOSPC' and f['left'] == $LEN" && sleep 1.5 &&
		[ "$(grep -c "drain $PFS/g: No space" "$PMIO_POOL/agent.log")" = 1 ] && touch "$T/go" || return 1
	bg_ends && { echo "the close went well"; return 1; }
	grep -q '^ENOSPC$' "$T/bg" && no_fault && expect 0 "$PMIO" drain "$PFS/g" && expect 0 "$FILEIO" -p "$BACK/g" is $LEN verify 0 $LEN 7
}
check "a failure: once, and the close says it" fails_early
no_fault

recovers_by_close() {
	rm -f "$T/go"
	fault "write EIO" && background "$PFS/h" write 0 $LEN 7 wait "$T/go" &&
		until_ok file_is "$PFS/h" "f['state'] == 'failed'" && no_fault && touch "$T/go" && bg_ends &&
		expect 0 "$FILEIO" -p "$BACK/h" is $LEN verify 0 $LEN 7
}
check "a failure that is over by the close does no harm" recovers_by_close

exit $tap_failed
