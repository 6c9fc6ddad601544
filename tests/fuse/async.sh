#!/bin/bash
# drain=async: the close does not wait, the data arrive later, whatever ends in between
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/fuse/lib.sh" || exit 99
plan 8
export PMIO_DRAIN=async

LEN=3000000

whole() { expect 0 "$FILEIO" -p "$BACK/$1" is $LEN verify 0 $LEN 7; }
# written NAME: by a program that has ended while nothing got through
written() {
	fault "write hang name=$1" && expect 0 "$FILEIO" "$PFS/$1" write 0 $LEN 7 && silent &&
		until_ok state_is "$PFS/$1" draining && [ "$(wc -c <"$BACK/$1")" = 0 ]
}

later() {
	written a && expect 0 "$FILEIO" -r "$PFS/a" is $LEN verify 0 $LEN 7 && no_fault &&
		until_ok state_is "$PFS/a" clean && whole a
}
check "the program ends, the data arrive later" later
no_fault

waits() {
	written b || return 1
	"$PMIO" drain "$PFS/b" >"$T/drain" 2>&1 </dev/null &
	BG=$! bgs="$bgs $!"
	sleep 0.3 # it waits all the time
	! gone $BG && no_fault && bg_ends && grep -q "^drained $PFS/b\$" "$T/drain" && whole b
}
check "pmio drain waits for it" waits
no_fault

fails_later() {
	fault "write ENOSPC after=1000000" && expect 0 "$FILEIO" "$PFS/c" write 0 $LEN 7 && silent &&
		until_ok state_is "$PFS/c" failed && json "o['files'][0]['left'] == $LEN" &&
		grep -q "drain $PFS/c: No space left on device; the data stay in the pool" "$PMIO_POOL/agent.log" &&
		expect 1 "$PMIO" drain "$PFS/c" && one_line 'No space left on device' && no_fault
}
check "a failure is in the log, in the state, in the next drain" fails_later

# a program that opens it goes on with all data, and its close tries again
next_open() {
	expect 0 "$FILEIO" -r "$PFS/c" verify 0 $LEN 7 && one_line "warn: open $PFS/c: data of an earlier program .* No space left" &&
		PMIO_DRAIN=close expect 0 "$FILEIO" "$PFS/c" verify 0 $LEN 7 && one_line "warn: open $PFS/c: data of an earlier" &&
		whole c && expect 0 "$FILEIO" -r "$PFS/c" verify 0 $LEN 7 && silent
}
check "and at the next open" next_open

# what the agent has just handed to the file system may get there
killed() {
	local pid
	written d && pid=$(agent_pid) && kill -9 "$pid" && no_fault && until_ok gone "$pid" && ! cmp -s "$BACK/a" "$BACK/d" &&
		expect 0 "$PMIO" agent start && grep -q "recovered $PFS/d: $LEN bytes wait" "$ERR" &&
		until_ok state_is "$PFS/d" clean && whole d
}
check "the agent is killed in between: the next one goes on" killed
no_fault

# as at the end of a job step: it drains, and goes
terminated() {
	local pid
	written e && pid=$(agent_pid) && kill "$pid" && kill -HUP "$pid" && sleep 0.3 && ! gone "$pid" &&
		no_fault && until_ok gone "$pid" && whole e && expect 0 "$PMIO" ls && says "^clean .* $PFS/e\$"
}
check "SIGTERM while it drains: it leaves when that is done" terminated
no_fault

# the program gets its SIGTERM a little later than the agent
with_program() {
	local pid
	background "$PFS/f" write 0 $LEN 7 wait "$T/never"
	bg_says waiting && pid=$(agent_pid) && kill "$pid" && sleep 0.2 && kill "$BG" && until_ok gone "$pid" && whole f
}
check "SIGTERM to the agent, then to a program: its file is drained" with_program

# a program that stays has another agent
program_stays() {
	local pid
	rm -f "$T/go"
	background "$PFS/g" write 0 1000 7 wait "$T/go" write 1000 2999000 7
	bg_says waiting && pid=$(agent_pid) && kill "$pid" && until_ok gone "$pid" && touch "$T/go" && bg_ends &&
		expect 0 "$PMIO" drain "$PFS/g" && whole g
}
check "SIGTERM to the agent of a program that goes on" program_stays

exit $tap_failed
