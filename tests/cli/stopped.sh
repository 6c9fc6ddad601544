#!/bin/bash
# stopped.sh -- the agent is suspended, as with the job whose program started it
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
export PMIO_TIMEOUT=2 PMIO_IDLE_TIMEOUT=600
older=$top_builddir/tests/cli/older
stopped= # processes to be continued at the end
# shellcheck disable=SC2086
trap 'kill -CONT $stopped 2>/dev/null; kill -9 $bgs 2>/dev/null; cleanup' EXIT
plan 15

# a new agent, then stopped; its process number is in $pid
stop_it() {
	"$PMIO" agent start && pid=$(agent_pid) && stopped="$stopped $pid" && kill -STOP "$pid" &&
		until_ok grep -q 'State:.T' "/proc/$pid/status"
}
names_it() { one_line "from the agent \(process $pid\), which is stopped by a signal \(state T; .kill -CONT. .*pmio agent stop --force"; }

programs() {
	stop_it && expect 1 "$FILEIO" "$PFS/no" write 0 1000 1 && says '^PMIO_ESTUCK$' && names_it && [ ! -e "$PFS/no" ]
}
check "a program gets an error that names it" programs

commands() {
	expect 1 "$PMIO" agent status && names_it && expect 1 "$PMIO" ls && names_it &&
		expect 1 "$PMIO" drain --all && names_it && expect 1 "$PMIO" agent stop && names_it && ! gone "$pid"
}
check "so do commands" commands

goes_on() {
	kill -CONT "$pid" && expect 0 "$FILEIO" "$PFS/on" write 0 1000 1 && [ "$(agent_pid)" = "$pid" ] &&
		expect 0 "$FILEIO" -p "$PFS/on" verify 0 1000 1
}
check "it goes on, and all is well" goes_on

under_way() {
	background "$PFS/under" write 0 1000 1 wait "$T/go1" write 5000000 1000 1
	bg_says waiting && stop_it && touch "$T/go1" && { bg_ends; [ $? = 1 ]; } && grep -q '^PMIO_ESTUCK$' "$T/bg" &&
		grep -q "process $pid), which is stopped" "$T/bg.err" && kill -CONT "$pid" &&
		until_ok expect 0 "$FILEIO" -p "$PFS/under" verify 0 1000 1
}
check "a call under way ends, too; what was written before is drained when it goes on" under_way

# longer than the time after which it asks whether the agent is there
long_wait() {
	expect 0 "$PMIO" agent start && expect 0 "$PMIO" agent pause || return
	background "$PFS/long" write 0 1000 1
	sleep 7
	! gone "$BG" && expect 0 "$PMIO" agent resume && bg_ends && expect 0 "$FILEIO" -p "$PFS/long" verify 0 1000 1
}
check "a close that waits long for its drain is not taken for that" long_wait

# forced cmd...: the stopped agent is ended so
forced() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/held.$1" write 0 3000000 3 || return
	background "$PFS/open.$1" write 0 3000000 4 wait "$T/go.$1" write 3000000 1000 4
	bg_says waiting && stop_it && shift || return
	expect 0 "$@" "$PMIO" agent stop --force && one_line 'did not answer, and was killed' && gone "$pid"
}
# and nothing was lost
nothing_lost() {
	touch "$T/go.$1" && bg_ends && expect 0 "$PMIO" drain --all &&
		expect 0 "$FILEIO" -p "$PFS/held.$1" is 3000000 verify 0 3000000 3 &&
		expect 0 "$FILEIO" -p "$PFS/open.$1" is 3001000 verify 0 3001000 4
}
check "agent stop --force ends it" forced a
check "another takes over, and no byte is lost" nothing_lost a
check "the same without pidfd_open" forced b "$older" ENOSYS
check "and no byte is lost" nothing_lost b

all_dead() {
	stop_agent
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/dead" write 0 2000000 5 && background "$PFS/dead2" write 0 2000000 6 wait "$T/never"
	bg_says waiting && stop_it && kill -9 "$BG" && until_ok gone "$BG" && expect 0 "$PMIO" agent stop --force &&
		expect 0 "$PMIO" drain --all && expect 0 "$FILEIO" -p "$PFS/dead" is 2000000 verify 0 2000000 5 &&
		expect 0 "$FILEIO" -p "$PFS/dead2" is 2000000 verify 0 2000000 6
}
check "programs and agent end: the next agent drains what they left" all_dead

# the lock says another process, which is none of ours: that one must live
not_another() {
	local other line
	stop_it || return
	sleep 600 &
	other=$!
	bgs="$bgs $other"
	line=$(cat "$PMIO_POOL/lock")
	echo "${line% *} $other" >"$PMIO_POOL/lock"
	expect 1 "$PMIO" agent stop --force && err_lines 2 "is held by process $other" || return
	! gone "$other" && ! gone "$pid" && echo "$line" >"$PMIO_POOL/lock" && expect 0 "$PMIO" agent stop --force && gone "$pid"
}
check "only a process that has the pool's lock open is killed" not_another

before_ready() {
	# it has the pool, and no socket that answers
	stop_it && rm "$PMIO_POOL/agent.sock" && expect 1 "$FILEIO" "$PFS/no" write 0 1000 1 && says '^PMIO_ESTUCK$' &&
		one_line "in use by process $pid, which is stopped" && expect 0 "$PMIO" agent stop --force && gone "$pid"
}
check "one that has the pool, but is not reached" before_ready

# a client that has the lock under which agents are started
starter() {
	stop_agent || return
	python3 -c 'import fcntl, os, signal, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_EX)
os.kill(os.getpid(), signal.SIGSTOP)' "$PMIO_POOL" &
	local pid=$!
	stopped="$stopped $pid"
	until_ok grep -q 'State:.T' "/proc/$pid/status" &&
		TEST_TIMEOUT=60 expect 1 "$FILEIO" "$PFS/no" write 0 1000 1 && says '^PMIO_ESTUCK$' &&
		one_line "process $pid, which was starting its agent, is stopped by a signal"
	local rc=$?
	kill -CONT "$pid" && [ $rc = 0 ] && wait "$pid" && expect 0 "$FILEIO" "$PFS/yes" write 0 1000 1
}
check "a program that is suspended while it starts the agent" starter

target() {
	export PMIO_ADDRESS=127.0.0.1
	local target
	expect 0 "$top_builddir/pmiod" --target --listen 127.0.0.1 --card "$T/card" || return
	target=$(cat "$PMIO_POOL/target.lock")
	[ "$(cat "/proc/$target/comm")" = pmiod ] && stopped="$stopped $target" && kill -STOP "$target" && stop_it &&
		expect 0 "$PMIO" agent stop --force && gone "$target" && gone "$pid"
}
check "a target that is stopped" target

# version 1's freezer: the process looks as if it waited for a device
frozen() {
	local group
	group=/sys/fs/cgroup/freezer/pmio-test.$$
	mkdir "$group" 2>/dev/null || { echo "no cgroup to freeze with"; return 77; }
	"$PMIO" agent start && pid=$(agent_pid) && echo "$pid" >"$group/cgroup.procs" && echo FROZEN >"$group/freezer.state" &&
		until_ok grep -q FROZEN "$group/freezer.state" && expect 1 "$PMIO" ls && one_line "process $pid\), which is frozen with its cgroup"
	local rc=$?
	echo THAWED >"$group/freezer.state"
	[ $rc = 0 ] && expect 0 "$PMIO" ls && stop_agent
	rc=$?
	until_ok rmdir "$group" || rc=1
	return $rc
}
check "a cgroup that is frozen" frozen

exit $tap_failed
