#!/bin/bash
# drain_rate, pmio agent rate, pause and resume
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
export PMIO_IDLE_TIMEOUT=600
plan 8

LEN=3000000
whole() { expect 0 "$FILEIO" -p "$PFS/$1" is $LEN verify 0 $LEN 7; }
# of the last drain of a file, in bytes per second
slower_than() { expect 0 "$PMIO" stat --json "$1" && json "0 < o['files'][0]['drain_rate'] < $2"; }

setting() {
	PMIO_DRAIN_RATE=8MiB expect 0 "$PMIO" agent start && expect 0 "$PMIO" agent status --json &&
		json "o['drain_rate_limit'] == 8 << 20 and o['paused'] is False" &&
		expect 0 "$PMIO" agent status && says 'drains at most 8.0 MiB/s, ' &&
		expect 0 "$FILEIO" "$PFS/r" write 0 12582912 7 && slower_than "$PFS/r" 11000000 &&
		expect 0 "$FILEIO" -p "$PFS/r" is 12582912 verify 0 12582912 7
}
check "drain_rate: the agent keeps it" setting

# the limit is for all together
together() {
	expect 0 "$PMIO" agent rate 6MiB && silent || return 1
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/t1" write 0 6291456 7 &&
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/t2" write 0 6291456 7 &&
		expect 0 "$PMIO" drain --json "$PFS/t1" "$PFS/t2" || return 1
	python3 -c 'import json, sys
d = [json.loads(l) for l in open(sys.argv[1])][-1]
sys.exit(0 if d["status"] == "done" and d["seconds"] > 1.2 else str(d))' "$OUT"
}
check "agent rate: one for all drains" together

no_limit() {
	expect 0 "$PMIO" agent rate 0 && expect 0 "$PMIO" agent status --json && json "o['drain_rate_limit'] == 0" &&
		expect 0 "$PMIO" stat && ! grep '^drains' "$OUT"
}
check "agent rate 0: no limit" no_limit

paused() {
	expect 0 "$PMIO" agent pause && silent && PMIO_DRAIN=async expect 0 "$FILEIO" "$PFS/a" write 0 $LEN 7 &&
		state_is "$PFS/a" draining && json "o['files'][0]['left'] == $LEN" && [ ! -s "$PFS/a" ] &&
		expect 0 "$PMIO" stat && says '^drains +paused$' && expect 0 "$PMIO" stat --json && json "o['paused'] is True" &&
		expect 0 "$PMIO" agent status && says 'drains are paused' &&
		expect 0 "$PMIO" stat --prometheus && says '^pmio_drain_paused.* 1$'
}
check "a pause: nothing is written" paused

# more drains wait than there are threads, and programs go on
others() {
	local i
	for i in 1 2 3 4 5 6; do
		PMIO_DRAIN=async expect 0 "$FILEIO" "$PFS/w$i" write 0 $LEN 7 || return 1
	done
	cp "$PFS/r" "$PFS/new" && expect 0 "$FILEIO" -r "$PFS/new" is 12582912 verify 0 12582912 7 &&
		expect 0 "$FILEIO" -r "$PFS/w1" verify 0 $LEN 7
}
check "others read and write meanwhile" others

close_waits() {
	local rc
	background "$PFS/c" write 0 $LEN 7
	until_ok state_is "$PFS/c" draining && sleep 0.3 && ! gone "$BG" && kill "$BG" || return 1
	bg_ends
	rc=$?
	"$PMIO" drain "$PFS/c" >"$OUT" 2>"$ERR" </dev/null &
	BG=$! bgs="$bgs $!"
	until_ok grep -q 'drains are paused' "$ERR" && ! gone "$BG" && kill "$BG" || return 1
	bg_ends
	[ $? = 143 ] && [ $rc = 143 ] && one_line 'drains are paused' && [ ! -s "$PFS/c" ]
}
check "a close waits, and so does pmio drain; a signal ends both" close_waits

resumed() {
	local f
	expect 0 "$PMIO" agent resume && silent && expect 0 "$PMIO" drain --all && silent || return 1
	for f in a c w1 w2 w3 w4 w5 w6; do whole $f || return 1; done
}
check "resume: all of it arrives" resumed

# the next agent is not paused
stopped() {
	expect 0 "$PMIO" agent pause && PMIO_DRAIN=async expect 0 "$FILEIO" "$PFS/s" write 0 $LEN 7 &&
		expect 0 "$PMIO" agent stop && until_ok no_agent && [ ! -s "$PFS/s" ] &&
		expect 1 "$PMIO" agent pause && one_line 'no agent runs' && expect 1 "$PMIO" agent rate 1GiB && one_line 'no agent' &&
		expect 2 "$PMIO" agent rate fast && expect 2 "$PMIO" agent rate && expect 2 "$PMIO" agent rate 1 2 &&
		expect 0 "$PMIO" agent start && until_ok state_is "$PFS/s" clean && whole s
}
check "stop while paused: the data wait for the next agent" stopped

exit $tap_failed
