#!/bin/bash
# what a crash left: a new agent drains it or waits, as configured
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 3

# crash FILE operation...: a program and its agent die, what it wrote waits
crash() {
	background "$@" wait "$T/never"
	bg_says waiting && kill_agent && kill -9 "$BG" && until_ok gone "$BG"
}

drains() {
	crash "$PFS/a" write 0 2500000 1 && expect 0 "$PMIO" agent start &&
		grep -q "recovered $PFS/a: 25[0-9]* bytes wait to be drained; draining them" "$ERR" &&
		until_ok state_is "$PFS/a" clean && expect 0 "$FILEIO" -p "$PFS/a" is 2500000 verify 0 2500000 1
}
check "recover=drain: a new agent says what it found, and drains it" drains

export PMIO_RECOVER=hold
waits() {
	crash "$PFS/a" write 0 1000000 2 && expect 0 "$PMIO" agent start &&
		one_line "recovered $PFS/a: 10[0-9]* bytes wait to be drained; .pmio drain. writes them" &&
		state_is "$PFS/a" held && expect 0 "$FILEIO" -p "$PFS/a" is 2500000 verify 0 2500000 1 &&
		expect 0 "$FILEIO" -r "$PFS/a" verify 0 1000000 2 verify 1000000 1500000 1 &&
		state_is "$PFS/a" held && kill_agent && expect 0 "$PMIO" ls && says "^held .*$PFS/a" &&
		expect 0 "$PMIO" drain "$PFS/a" &&
		expect 0 "$FILEIO" -p "$PFS/a" is 2500000 verify 0 1000000 2 verify 1000000 1500000 1
}
check "recover=hold: it waits for pmio drain" waits

goes_on() {
	crash "$PFS/a" write 0 1000 3 && expect 0 "$FILEIO" "$PFS/a" verify 0 1000 3 write 1000 1000 3 &&
		expect 0 "$FILEIO" -p "$PFS/a" is 2500000 verify 0 2000 3 verify 2000 998000 2
}
check "recover=hold: a program that opens the file for writing takes it over" goes_on

exit $tap_failed
