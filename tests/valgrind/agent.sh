#!/bin/bash
# agent.sh -- an agent under valgrind, from start to end, and the commands that keep it busy; TAP
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/valgrind/lib.sh" || exit 99

agent_runs() { "$PMIO" agent status && grep -aq valgrind "/proc/$(agent_pid)/cmdline"; }

files() {
	under_valgrind "$FILEIO" "$PFS/a" write 0 3000000 1 write 5000001 333 2 &&
		under_valgrind "$FILEIO" "$PFS/a" is 5000334 verify 0 3000000 1 zero 3000000 2000001 verify 5000001 333 2 \
			truncate 1000 truncate 2000000 write 4097 1 3 &&
		under_valgrind "$FILEIO" -p "$PFS/a" is 2000000 verify 0 1000 1 && clean
}

held() {
	PMIO_DRAIN=hold under_valgrind "$FILEIO" "$PFS/held" write 12345 2000000 7 &&
		under_valgrind "$PMIO" ls && under_valgrind "$PMIO" ls --json && under_valgrind "$PMIO" stat &&
		under_valgrind "$PMIO" drain --all && under_valgrind "$FILEIO" -p "$PFS/held" is 2012345 verify 12345 2000000 7 && clean
}

staged() {
	head -c 3000001 /dev/urandom >"$PFS/in" && under_valgrind "$PMIO" stage-in "$PFS/in" &&
		under_valgrind "$PMIO" rm "$PFS/in" && clean
}

# a client that is killed, and one that is still there when the agent goes
left_behind() {
	background "$PFS/b" write 0 2500000 5 wait "$T/never"
	bg_says waiting && kill -9 "$BG" && until_ok gone "$BG" && until_ok "$FILEIO" -p "$PFS/b" is 2500000 || return 1
	background "$PFS/c" write 0 2500000 5 wait "$T/never"
	bg_says waiting && kill -9 "$BG" && clean
}

agent_ends() {
	local pid
	pid=$(agent_pid)
	under_valgrind "$PMIO" agent stop --force && until_ok gone "$pid" && clean
}

plan 6
check "the agent starts, under valgrind" eval '"$PMIO" agent start && agent_runs'
check "files are written, read and cut" files
check "held, listed and drained" held
check "staged in and removed" staged
check "clients that die" left_behind
check "the agent ends, and has freed everything" agent_ends
exit $tap_failed
