#!/bin/sh
# limit.sh COMMAND... -- run one test; what takes too long is shown and ended
#
# The test's output goes to a file first: an agent or another process that a test left
# behind with its output open would keep Automake's driver waiting for the end of it.
#
# PMIO_TEST_LIMIT  seconds for one test program or script (1200)
# PMIO_TEST_AGAIN  1: what fails is run once more, and passes if that does; what failed at first is shown
#
# After that, all processes of the test are listed with where they wait, then killed,
# and the test ends with an error (99).  A test's processes are those with its mark in
# their environment, whoever their parents are by then.
limit=${PMIO_TEST_LIMIT:-1200}
out=$(mktemp "${TMPDIR:-/tmp}/pmio-limit.XXXXXX") || exit 99
mark=TEST_MARK_$$=$(basename "$out")
began=$(date +%s)

marked() {
	for dir in /proc/[0-9]*; do
		pid=${dir#/proc/}
		[ "$pid" != $$ ] && tr '\0' '\n' <"$dir/environ" | grep -qxF "$mark" && echo "$pid"
	done 2>/dev/null
}

# where it is: its threads' stacks, or what the kernel says
show_process() {
	ps -o pid=,ppid=,stat=,etimes=,wchan:24=,args= -p "$1" | cut -c 1-200
	if command -v gdb >/dev/null; then
		timeout 30 gdb -nx -batch -p "$1" -ex 'thread apply all bt 24' </dev/null 2>&1 |
			grep -E '^(Thread|#)' | cut -c 1-200
	fi
}

watch() {
	sleep "$limit" &
	sleeper=$!
	trap 'kill $sleeper 2>/dev/null; exit 0' TERM
	wait $sleeper
	{
		echo "Bail out! not finished after $limit s; its processes:"
		for pid in $(marked); do show_process "$pid" | sed 's/^/# /'; done
	} >"$out.late" 2>&1
	kill -9 $(marked) 2>/dev/null
}

watch </dev/null >/dev/null 2>&1 &
watcher=$!
env "$mark" "$@" >"$out" 2>&1
rc=$?
# a script may fail by what it prints alone
failed() { [ $rc != 77 ] && [ $rc != 99 ] && { [ $rc != 0 ] || grep -q '^not ok' "$out"; }; }
if [ "${PMIO_TEST_AGAIN:-}" = 1 ] && [ ! -f "$out.late" ] && failed; then
	{
		echo "# failed at first:"
		awk '/^not ok|^Bail out/ { left = 20 } left-- > 0 || /^# +(FAIL|ERROR): / { print "#   " $0 }' "$out"
		echo "# and then:"
	} >"$out.first"
	env "$mark" "$@" >"$out" 2>&1
	rc=$?
	cat "$out.first"
	rm -f "$out.first"
fi
if [ -f "$out.late" ]; then
	wait $watcher 2>/dev/null
	rc=99
else
	kill $watcher 2>/dev/null
fi
cat "$out"
[ $rc != 99 ] || cat "$out.late" 2>/dev/null
rm -f "$out" "$out.late"
echo "# took $(($(date +%s) - began)) s"
exit $rc
