#!/bin/bash
# what the program that starts an agent is limited to is not the agent's, and it notices nothing of the start
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
older=$top_builddir/tests/cli/older children=$top_builddir/tests/cli/children
plan 17

"$PMIO" pool create --size=64MiB "$PMIO_POOL" >/dev/null && stop_agent || fatal

# started with OPTIONS cmd...: an agent that a client starts under them
started() {
	stop_agent && expect 0 "$@" "$FILEIO" "$PFS/started" write 0 1000 1 && silent && pid=$(agent_pid) && [ -n "$pid" ]
}
field() { awk -v name="$1:" '$1 == name { print $2 }' "/proc/$pid/status"; }
limit() { awk -v name="$1" 'index($0, name) == 1 { sub(name, ""); print $1, $2 }' "/proc/$pid/limits"; }
same() { [ "$1" = "$2" ] || { echo "$1, not $2"; return 1; }; }

processors() {
	local all first
	all=$(awk '$1 == "Cpus_allowed_list:" { print $2 }' /proc/self/status)
	first=${all%%[-,]*}
	[ "$all" != "$first" ] || { echo "one processor"; return 77; }
	started taskset -c "$first" && same "$(field Cpus_allowed_list)" "$all"
}
check "the agent has all processors, not those of a rank" processors

priority() {
	started nice -n 7 chrt --batch 0 ionice -c 3 || return
	ionice -p "$pid" | grep -q '^none' || { ionice -p "$pid"; return 1; }
	chrt -p "$pid" | grep -q SCHED_OTHER || { chrt -p "$pid"; return 1; }
	# an ordinary user cannot take it back
	[ "$(id -u)" != 0 ] || ! nice -n -1 true 2>/dev/null || same "$(ps -o ni= -p "$pid" | tr -d ' ')" 0
}
check "ordinary priority" priority

victim() {
	sh -c 'echo 900 >/proc/$$/oom_score_adj; echo 0 >/proc/$$/oom_score_adj' 2>/dev/null ||
		{ echo "it cannot be taken back here"; return 77; }
	# shellcheck disable=SC2016
	started sh -c 'echo 900 >/proc/$$/oom_score_adj; exec "$@"' sh && same "$(cat "/proc/$pid/oom_score_adj")" 0
}
check "a job that is to be killed first when memory is short takes no agent with it" victim

soft_limits() {
	local name
	started prlimit --fsize=65536: --nofile=64: --memlock=65536: || return
	for name in 'Max open files' 'Max file size' 'Max locked memory'; do
		# shellcheck disable=SC2046
		same $(limit "$name") || return
	done
}
check "soft limits are raised to the hard ones" soft_limits

session() {
	local ignored
	started || return
	same "$(ps -o sid= -p "$pid" | tr -d ' ')" "$pid" || return
	ignored=$(field SigIgn)
	# SIGTSTP, SIGTTIN, SIGTTOU
	[ $((0x$ignored >> 19 & 7)) = 7 ] || { echo "ignores $ignored"; return 1; }
}
check "a session of its own; a terminal does not stop it" session

# descriptors that came from the caller: none but what the agent has opened itself
descriptors() {
	stop_agent && expect 0 "$@" "$FILEIO" "$PFS/fds" write 0 1000 1 && silent && pid=$(agent_pid) || return
	ls -l "/proc/$pid/fd" >"$T/fds"
	! grep -E "$T/(inherited|pipe)" "$T/fds"
}
inherited() { descriptors "$@" 7>"$T/inherited" 43>"$T/inherited" 200>"$T/inherited"; }
check "no descriptors of its caller" inherited
check "nor on a kernel without close_range" inherited "$older" ENOSYS
check "nor in a container that forbids it" inherited "$older" EPERM

no_locks() { stop_agent && expect 1 "$older" ENOLCK "$PMIO" agent start && one_line 'directory cannot be locked: No locks'; }
check "a pool's file system without locks: one line says so" no_locks

pipe_ends() {
	local rc
	stop_agent || return
	# shellcheck disable=SC2016
	timeout 60 bash -c '"$@" 9>&1 | cat >/dev/null' - "$older" ENOSYS "$FILEIO" "$PFS/pipe" write 0 1000 1
	rc=$?
	[ $rc = 0 ] && expect 0 "$PMIO" agent status
}
check "a pipe of its caller ends with it, without close_range and pidfd_open" pipe_ends

no_signal() { stop_agent && expect 0 "$children" "$1" "$PFS/children.$1" && silent && expect 0 "$PMIO" agent status; }
check "the program gets no SIGCHLD" no_signal handler
check "a program that ignores SIGCHLD" no_signal ignore
check "a program that waits for any child finds its own" no_signal wait

# as strace -f does, and managers of jobs
subreaper() {
	stop_agent && PMIO_IDLE_TIMEOUT=600 expect 0 "$PMIO" agent start || return
	PMIO_IDLE_TIMEOUT=600 TEST_TIMEOUT=60 expect 0 python3 -c 'import ctypes, os, subprocess, sys
if ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) != 0: # PR_SET_CHILD_SUBREAPER
	sys.exit(77)
rc = subprocess.call(sys.argv[1:])
try:
	while True:
		os.wait()
except ChildProcessError:
	sys.exit(rc)' "$FILEIO" "$PFS/reaped" write 0 1000 1
}
check "a process that waits for all descendants does not wait for an agent that was there" subreaper

# with hard limits, which an ordinary user cannot raise
low() { prlimit --fsize=2097152:2097152 "$@"; }
hard_limits() {
	local first second
	stop_agent && low "$FILEIO" "$PFS/low" write 0 1000 1 wait "$T/go" write 1000 1000 1 >"$T/low.out" 2>"$T/low.err" &
	first=$!
	until_ok grep -q waiting "$T/low.out" && pid=$(agent_pid) || return
	expect 0 "$FILEIO" "$PFS/high" write 0 3000000 2 || return
	second=$(agent_pid)
	if [ "$(limit 'Max file size')" = "unlimited unlimited" ]; then
		silent && same "$pid" "$second" || return
	fi
	expect 0 "$FILEIO" -p "$PFS/high" is 3000000 verify 0 3000000 2 && touch "$T/go" && wait $first &&
		expect 0 "$FILEIO" -p "$PFS/low" is 2000 verify 0 2000 1 &&
		pid=$second && same "$(limit 'Max file size')" "unlimited unlimited"
}
check "a later program with a higher limit on file sizes is not the worse for it" hard_limits

replaced_once() {
	local i pids= rc=0
	stop_agent && low "$PMIO" agent start && pid=$(agent_pid) || return
	[ "$(limit 'Max file size')" != "unlimited unlimited" ] || { echo "this user may raise limits"; return 77; }
	for i in $(seq 12); do
		timeout 120 "$FILEIO" "$PFS/once.$i" write 0 3000000 "$i" >"$T/once.$i" 2>&1 &
		pids="$pids $!"
	done
	for i in $pids; do wait "$i" || rc=1; done
	[ $rc = 0 ] && same "$(cat "$T"/once.* | grep -c 'has a lower limit on the size of files')" 1 ||
		{ cat "$T"/once.*; return 1; }
	# a client with the lower one uses the agent as it is
	pid=$(agent_pid)
	expect 0 prlimit --fsize=2097152:2097152 "$FILEIO" "$PFS/after" write 0 1000 1 && silent && same "$(agent_pid)" "$pid"
}
check "many such programs at once: one replaces the agent" replaced_once

# enough is enough: for a batch system's agent to be ended with a step it takes more than that
open_files() {
	stop_agent && prlimit --nofile=5000:5000 "$PMIO" agent start && pid=$(agent_pid) &&
		expect 0 "$FILEIO" "$PFS/files" write 0 1000 1 && silent && same "$(agent_pid)" "$pid" || return
	stop_agent && prlimit --nofile=500:500 "$PMIO" agent start && pid=$(agent_pid) || return
	[ "$(limit 'Max open files')" = "500 500" ] || { echo "this user may raise limits"; return 77; }
	expect 0 "$FILEIO" "$PFS/files" write 0 1000 2 && one_line "process $pid, has a lower limit on open files" &&
		expect 0 "$FILEIO" -p "$PFS/files" verify 0 1000 2
}
check "a few open files are too few, many are not" open_files

exit $tap_failed
