#!/bin/bash
# the file system hangs: programs that need it wait, all others go on
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/fuse/lib.sh" || exit 99
plan 15

LEN=3000000
mkdir "$T/other" # on another file system
mkdir "$PFS/hung" # the kernel lets one process at a time add or remove names of a folder

# programs with other files, there and elsewhere, and all commands
others_go_on() {
	local f
	for f in "$PFS/good.$1" "$T/other/good.$1"; do
		expect 0 "$FILEIO" "$f" write 0 $LEN 3 sync truncate 2000000 write 2000000 1000000 3 &&
			expect 0 "$FILEIO" "$f" is $LEN verify 0 $LEN 3 || return 1
	done
	expect 0 "$FILEIO" -p "$BACK/good.$1" is $LEN verify 0 $LEN 3 &&
		expect 0 "$PMIO" ls && expect 0 "$PMIO" stat && expect 0 "$PMIO" agent status &&
		expect 0 "$PMIO" drain "$T/other/good.$1" && expect 0 "$PMIO" rm "$T/other/good.$1"
}

# hangs NAME RULE OPERATION...: a program with the file hung.NAME does not get on, until it may
hangs() {
	local name=$1 rule=$2
	shift 2
	rm -f "$T/go"
	background "$PFS/hung/$name" write 0 $LEN 7 wait "$T/go" "$@"
	bg_says waiting && fault "$rule hang name=hung" && touch "$T/go" && others_go_on "$name" || return 1
	! gone "$BG" || { echo "it did not hang"; cat "$T/bg" "$T/bg.err"; return 1; }
	no_fault && bg_ends
}
whole() { expect 0 "$FILEIO" -p "$BACK/hung/$1" is $LEN verify 0 $LEN 7; }

in_call() { hangs "$1" "$1" && whole "$1"; }
for call in write fsync close; do
	check "a close that hangs in $call" in_call $call
	no_fault
done

in_getattr() { hangs getattr getattr && whole getattr; }
check "a close that hangs in getattr" in_getattr
no_fault

in_truncate() { hangs cut truncate drain truncate 1000 && expect 0 "$FILEIO" -p "$BACK/hung/cut" is 1000 verify 0 1000 7; }
check "a truncation" in_truncate
no_fault

in_open() {
	fault "open hang name=hung" || return 1
	background "$PFS/hung/open" write 0 $LEN 7
	others_go_on open && ! gone "$BG" && no_fault && bg_ends && whole open
}
check "an open" in_open
no_fault

in_read() {
	expect 0 "$FILEIO" "$PFS/hung/read" write 0 $LEN 7 && expect 0 "$PMIO" rm "$PFS/hung/read" &&
		cp "$BACK/hung/write" "$BACK/hung/read" && fault "read hang name=hung/read" || return 1
	background -r "$PFS/hung/read" is $LEN verify 0 $LEN 7
	others_go_on read && ! gone "$BG" && no_fault && bg_ends
}
check "a read" in_read
no_fault

in_unlink() {
	fault "unlink hang name=hung/write" || return 1
	"$PMIO" rm "$PFS/hung/write" >"$T/rm" 2>&1 &
	BG=$! bgs="$bgs $!"
	others_go_on unlink && ! gone "$BG" && no_fault && bg_ends && [ ! -e "$BACK/hung/write" ]
}
check "a remove" in_unlink
no_fault

# the agent dies in it: the next one ends it, and the program goes on
in_unlink_killed() {
	local pid
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/hung/rm" write 0 $LEN 7 && fault "unlink hang name=hung/rm" || return 1
	pid=$(agent_pid)
	background "$T/other/keeper" delete "$PFS/hung/rm"
	others_go_on killed && ! gone "$BG" && kill -9 "$pid" && no_fault && until_ok gone "$pid" && bg_ends &&
		[ ! -e "$BACK/hung/rm" ] && expect 0 "$PMIO" ls && ! says hung/rm
}
check "a remove, and the agent is killed" in_unlink_killed
no_fault

# more drains than threads
many() {
	local i pids= bad=0 pid
	fault "write hang name=hung"
	for i in $(seq 12); do
		"$FILEIO" "$PFS/hung/$i" write 0 $LEN 7 >"$T/many.$i" 2>&1 </dev/null &
		pids="$pids $!"
	done
	bgs="$bgs $pids"
	others_go_on many || return 1
	for pid in $pids; do ! gone "$pid" || { echo "$pid did not hang"; bad=1; }; done
	no_fault
	for pid in $pids; do wait "$pid" || { echo "process $pid: $?"; bad=1; }; done
	for i in $(seq 12); do whole "$i" || bad=1; done
	return $bad
}
check "more drains than there are threads to drain" many
no_fault

# of a file that another program has open
of_open_file() {
	rm -f "$T/go"
	background "$PFS/hung/same" write 0 $LEN 7 wait "$T/go" drain
	bg_says waiting && fault "write hang name=hung" && touch "$T/go" && until_ok state_is "$PFS/hung/same" draining &&
		expect 0 "$PMIO" ls && says "$PFS/hung/same" && others_go_on same && no_fault && bg_ends && whole same
}
check "a drain of an open file" of_open_file
no_fault

client_killed() {
	rm -f "$T/go"
	background "$PFS/hung/client" write 0 $LEN 7 wait "$T/go"
	bg_says waiting && fault "fsync hang name=hung" && touch "$T/go" && others_go_on client && kill -9 "$BG" &&
		until_ok gone "$BG" && others_go_on client2 && no_fault &&
		expect 0 "$PMIO" drain "$PFS/hung/client" && whole client
}
check "a program that waits is killed" client_killed
no_fault

# an agent that finds data for a file system that hangs starts all the same
agent_starts() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/hung/start" write 0 $LEN 7 && kill_agent || return 1
	rm -f "$T/go"
	background "$PFS/hung/start2" write 0 $LEN 7 wait "$T/go"
	bg_says waiting && kill_agent && kill -9 "$BG" && until_ok gone "$BG" && fault "any hang name=hung" &&
		expect 0 "$PMIO" agent start && expect 0 "$FILEIO" "$T/other/start" write 0 $LEN 3 &&
		expect 0 "$PMIO" ls && says "^held .*$PFS/hung/start\$" && says "$PFS/hung/start2 " && no_fault &&
		expect 0 "$PMIO" drain --all && whole start && whole start2
}
check "an agent starts with data for a file system that hangs" agent_starts
no_fault

# told to go by force it goes; the pool is free for the next when the call has returned
stopped() {
	local pid
	rm -f "$T/go"
	pid=$(agent_pid)
	background "$PFS/hung/stop" write 0 $LEN 7 wait "$T/go"
	bg_says waiting && fault "write hang name=hung" && touch "$T/go" && others_go_on stop && kill -9 "$BG" &&
		until_ok gone "$BG" && expect 1 "$PMIO" agent stop --force && one_line 'in progress' &&
		expect 1 "$PMIO" agent status && [ "$(wc -c <"$BACK/hung/stop")" = 0 ] || return 1
	no_fault
	until_ok gone "$pid" && expect 0 "$PMIO" agent start && expect 0 "$PMIO" drain --all && whole stop
}
check "agent stop --force" stopped
no_fault

check "after all that the pool has no problem" eval 'stop_agent && expect 0 "$PMIO" pool check && says ": 0 problems"'
exit $tap_failed
