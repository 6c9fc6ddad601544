#!/bin/bash
# processes killed at bad moments: what was promised is there afterwards
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 13

agent_killed_client_goes_on() {
	background "$PFS/a" write 0 3000000 1 wait "$T/go1" verify 0 3000000 1 write 3000000 3000000 1 verify 0 6000000 1
	bg_says waiting && kill_agent && touch "$T/go1" && bg_ends &&
		expect 0 "$FILEIO" -p "$PFS/a" is 6000000 verify 0 6000000 1 &&
		[ "$(grep -c 'the agent is gone' "$T/bg.err")" = 1 ] && ! grep 'error:' "$T/bg.err"
}
check "kill -9 of the agent: its client goes on with another" agent_killed_client_goes_on

agent_killed_many_clients() {
	local i pids= bad=0 pid
	for i in 1 2 3 4 5 6; do
		timeout 100 "$FILEIO" "$PFS/m.$i" write 0 500000 "$i" wait "$T/go2" write 500000 500000 "$i" \
			verify 0 1000000 "$i" >"$T/m.$i" 2>&1 &
		pids="$pids $!"
	done
	for i in 1 2 3 4 5 6; do until_ok grep -q waiting "$T/m.$i" || return 1; done
	kill_agent && touch "$T/go2"
	for pid in $pids; do wait "$pid" || { echo "process $pid: $?"; bad=1; }; done
	[ $bad = 0 ] || { cat "$T"/m.*; return 1; }
	for i in 1 2 3 4 5 6; do
		expect 0 "$FILEIO" -p "$PFS/m.$i" is 1000000 verify 0 1000000 "$i" || return 1
	done
}
check "the same with six clients" agent_killed_many_clients

held_survives() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/held" write 12345 2000000 7 && kill_agent &&
		expect 0 "$PMIO" ls && says "^held .* $PFS/held\$" && kill_agent &&
		expect 0 "$FILEIO" -r "$PFS/held" is 2012345 zero 0 12345 verify 12345 2000000 7 &&
		expect 0 "$PMIO" drain --all &&
		expect 0 "$FILEIO" -p "$PFS/held" is 2012345 zero 0 12345 verify 12345 2000000 7
}
check "kill -9 of the agent: held data are drained later" held_survives

# a child has copies of the socket and of the mapping
child_lives() { ! gone "$(sed -n 's/^child //p' "$1")"; }

client_killed_child_lives() {
	background "$PFS/orphan" write 0 2500000 5 child "$T/grown" wait "$T/never"
	bg_says waiting && kill -9 "$BG" && until_ok gone "$BG" &&
		until_ok "$FILEIO" -p "$PFS/orphan" is 2500000 verify 0 2500000 5 && child_lives "$T/bg"
	local rc=$?
	touch "$T/grown"
	return $rc
}
check "kill -9 of a client whose child lives: its file is drained" client_killed_child_lives

has_clients() { expect 0 "$PMIO" agent status --json && json "o['clients'] == $1"; }

client_left_child_lives() {
	has_clients 1 && expect 0 "$FILEIO" "$PFS/left" child "$T/grown2" write 0 1000 5 && cp "$OUT" "$T/left" &&
		until_ok has_clients 1 && child_lives "$T/left"
	local rc=$?
	touch "$T/grown2"
	return $rc
}
check "a client that left is gone, whatever its child holds" client_left_child_lives

both_killed() {
	background "$PFS/both" write 0 2500000 5 wait "$T/never"
	bg_says waiting && kill_agent && kill -9 "$BG" && until_ok gone "$BG" || return 1
	expect 0 "$PMIO" agent start && expect 0 "$PMIO" drain "$PFS/both" &&
		expect 0 "$FILEIO" -p "$PFS/both" is 2500000 verify 0 2500000 5
}
check "kill -9 of agent and writer: what was written is drained" both_killed

both_killed_new_open() {
	background "$PFS/both2" write 0 2500000 5 wait "$T/never"
	bg_says waiting && kill_agent && kill -9 "$BG" && until_ok gone "$BG" || return 1
	expect 0 "$FILEIO" "$PFS/both2" is 2500000 verify 0 2500000 5 write 100 50 6 &&
		expect 0 "$FILEIO" -p "$PFS/both2" is 2500000 verify 0 100 5 verify 100 50 6 verify 150 2499850 5
}
check "kill -9 of agent and writer: the next program reads it" both_killed_new_open

client_killed() {
	local i pid
	expect 0 "$FILEIO" "$PFS/loop" write 0 4000000 1 && pid=$(agent_pid) || return 1
	for i in 1 2 3 4 5 6; do
		background "$PFS/loop" loop 4000000 2
		bg_says running && sleep 0.0$((i * 7)) && kill -9 "$BG" && until_ok gone "$BG" || return 1
		expect 0 "$FILEIO" "$PFS/loop" is 4000000 either 0 4000000 1 2 || return 1
		expect 0 "$FILEIO" -p "$PFS/loop" is 4000000 either 0 4000000 1 2 || return 1
	done
	expect 0 "$FILEIO" "$PFS/loop" write 0 4000000 3 &&
		expect 0 "$FILEIO" -p "$PFS/loop" is 4000000 verify 0 4000000 3 && [ "$(agent_pid)" = "$pid" ]
}
check "kill -9 of a client while it writes" client_killed

client_killed_new_file() {
	local i size
	for i in 1 2 3 4 5; do
		background -t "$PFS/new" loop 40000000 4
		bg_says running && sleep 0.00$i && kill -9 "$BG" && until_ok gone "$BG" || return 1
		expect 0 "$FILEIO" "$PFS/new" && size=$(stat -c %s "$PFS/new") && [ "$size" -le 40000000 ] &&
			expect 0 "$FILEIO" -p "$PFS/new" verify 0 "$size" 4 || { echo "size $size"; return 1; }
	done
}
check "kill -9 of a client while it writes a new file" client_killed_new_file

both_killed_while_writing() {
	local i
	expect 0 "$FILEIO" "$PFS/loop2" write 0 4000000 1 || return 1
	for i in 1 2 3 4; do
		background "$PFS/loop2" loop 4000000 2
		bg_says running && sleep 0.0$((i * 9)) && kill_agent && kill -9 "$BG" && until_ok gone "$BG" || return 1
		expect 0 "$FILEIO" "$PFS/loop2" is 4000000 either 0 4000000 1 2 &&
			expect 0 "$FILEIO" -p "$PFS/loop2" is 4000000 either 0 4000000 1 2 || return 1
	done
}
check "kill -9 of agent and client while it writes" both_killed_while_writing

drain_killed() {
	local i pid
	for i in 1 2 3; do
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/big" write 0 100000000 "$i" && pid=$(agent_pid) || return 1
		timeout 60 "$PMIO" drain --all >"$OUT" 2>"$ERR" &
		sleep 0.0$((i * 2 - 1)) && kill -9 "$pid"
		wait $!
		until_ok gone "$pid" && expect 0 "$PMIO" drain --all &&
			expect 0 "$FILEIO" -p "$PFS/big" is 100000000 verify 0 100000000 "$i" || return 1
	done
}
check "kill -9 of the agent while it drains" drain_killed

truncate_killed() {
	expect 0 "$FILEIO" "$PFS/cut" write 0 3000000 1 || return 1
	background "$PFS/cut" truncate 1000000 truncate 2000000 wait "$T/never"
	bg_says waiting && kill_agent && kill -9 "$BG" && until_ok gone "$BG" &&
		expect 0 "$FILEIO" "$PFS/cut" is 2000000 verify 0 1000000 1 zero 1000000 1000000 &&
		expect 0 "$FILEIO" -p "$PFS/cut" is 2000000 verify 0 1000000 1 zero 1000000 1000000
}
check "kill -9 of both after a truncation" truncate_killed

pool_is_whole() {
	stop_agent && expect 0 "$PMIO" pool check && says ': 0 problems'
}
check "after all that the pool has no problem" pool_is_whole

exit $tap_failed
