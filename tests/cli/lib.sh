# lib.sh -- sourced after env.sh: what the tests of commands and of bad input share

FILEIO=$top_builddir/tests/cli/fileio
OUT=$T/out ERR=$T/err
export LC_ALL=C

# expect STATUS cmd...: its exit status; keeps $OUT and $ERR; no command may hang
expect() {
	local want=$1 rc
	shift
	timeout -k 5 "${TEST_TIMEOUT:-600}" "$@" >"$OUT" 2>"$ERR" </dev/null
	rc=$?
	[ $rc = "$want" ] && return 0
	echo "exit status $rc, not $want: $*"
	cat "$OUT" "$ERR"
	return 1
}

# a sanitizer's library looks for leaks as a debugger does, and has to come first in a process: where neither goes
unsanitized() { ! grep -q fsanitize "$top_builddir/config.status" || { echo "not with sanitizers"; return 77; }; }

# standard error has exactly this many lines, and one of them matches
err_lines() {
	local n=$1 pattern=$2
	[ "$(wc -l <"$ERR")" = "$n" ] && grep -Eq -- "$pattern" "$ERR" && return 0
	echo "on standard error should be $n lines, one of them like: $pattern"
	cat "$ERR"
	return 1
}
one_line() { err_lines 1 "$1"; }
silent() {
	[ ! -s "$ERR" ] && return 0
	echo "on standard error should be nothing:"
	cat "$ERR"
	return 1
}
# one of the lines that the command printed matches
says() {
	grep -Eq -- "$1" "$OUT" && return 0
	echo "should say: $1"
	cat "$OUT"
	return 1
}
# fails CODE PATTERN operation...: fileio fails so, with one line at the cause
fails() {
	local code=$1 pattern=$2
	shift 2
	expect 1 "$FILEIO" "$@" && says "^$code\$" && one_line "$pattern"
}

# on_terminal cmd...: with a terminal as its standard output and error; $OUT has what that got
on_terminal() {
	timeout -k 5 "${TEST_TIMEOUT:-600}" python3 -c 'import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))' "$@" >"$OUT" 2>"$ERR" </dev/null
}
# json 'EXPRESSION': what was printed is JSON, and with it in o the expression is true
json() {
	python3 -m json.tool <"$OUT" >/dev/null &&
		python3 -c 'import json, sys
o = json.load(open(sys.argv[1]))
if not eval(sys.argv[2]):
	sys.exit("not so: %s\n%s" % (sys.argv[2], json.dumps(o, indent=1)))' "$OUT" "$1"
}
# patch FILE OFFSET BYTES: overwrite some bytes of the pool, given as for printf
# shellcheck disable=SC2059
patch() { printf "$3" | dd of="$PMIO_POOL/$1" bs=1 seek="$2" conv=notrunc status=none; }
# state_is PATH STATE [EXPRESSION of f]: of all files there, and there is one
state_is() {
	expect 0 "$PMIO" stat --json "$1" &&
		json "[f for f in o['files'] if f['state'] == '$2' and (${3:-True})] == o['files'] != []"
}
# an agent's process number
agent_pid() {
	"$PMIO" agent status --json | python3 -c 'import json, sys; print(json.load(sys.stdin).get("pid", ""))'
}
no_agent() { ! "$PMIO" agent status >/dev/null 2>&1; }
stop_agent() { "$PMIO" agent stop --force && until_ok no_agent; }
# the process is gone, also as a zombie of ours.  With SIGKILL its first thread may be a zombie
# while others still end: they have its files open, so with them its locks
gone() {
	local status
	kill -0 "$1" 2>/dev/null || return 0
	status=$(cat "/proc/$1/status" 2>/dev/null) || return 0
	case $status in
	*State:[[:space:]]Z*Threads:[[:space:]]1[[:space:]]*) return 0 ;;
	esac
	return 1
}
# other_python WITH...: a python3 that the user of `WITH... COMMAND` can run; the one in root's path may be out of his reach
other_python() {
	"$@" env PATH=/usr/bin:/bin sh -c 'command -v python3' || { echo "no python3 for the other user" >&2; return 77; }
}
kill_agent() {
	local pid
	pid=$(agent_pid)
	[ -n "$pid" ] && kill -9 "$pid" && until_ok gone "$pid"
}
# kill_agents PID N SECONDS: the agent, again and again, until the process has ended, or N times; its exit status
kill_agents() {
	local n=0 rc
	while ! gone "$1" && [ $n -lt "$2" ]; do
		sleep "$3"
		n=$((n + 1))
		kill_agent
	done >/dev/null 2>&1
	wait "$1"
	rc=$?
	echo "agents killed: $n"
	return $rc
}
# start fileio in the background; BG is its process number, $T/bg what it prints
bgs=
background() {
	: >"$T/bg"
	"$FILEIO" "$@" >"$T/bg" 2>"$T/bg.err" </dev/null &
	BG=$!
	bgs="$bgs $BG"
}
bg_says() { until_ok grep -q "$1" "$T/bg"; }
# it is at its Nth wait
bg_waits() { [ "$(grep -c waiting "$T/bg")" = "$1" ]; }
# its exit status
bg_ends() {
	until_ok gone "$BG" || return 1
	wait "$BG"
}
# shellcheck disable=SC2086
trap 'kill -9 $bgs 2>/dev/null; cleanup' EXIT
