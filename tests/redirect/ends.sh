#!/bin/bash
# what becomes of the data if a redirected program is killed, the agent is, the pool is full or the file system
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/lib.sh" || exit 99
plan 10

wait_drained() {
	until_ok cmp "$1" "$2"
}
killed() {
	seq 1000 >"$T/ref1"
	redirected --drain close -- python3 -c "import os, signal
f = open('$PFS/k1', 'w'); f.write(''.join('%d\n' % i for i in range(1, 1001))); f.flush(); os.kill(os.getpid(), signal.SIGKILL)"
	[ $? = 137 ] && wait_drained "$T/ref1" "$PFS/k1"
}
killed_held() {
	redirected --drain hold -- python3 -c "import os
f = open('$PFS/k2', 'w'); f.write('kept'); f.flush(); os.abort()" 2>/dev/null
	[ "$(redirected -- cat "$PFS/k2")" = kept ] && [ "$(size "$PFS/k2")" = 0 ] && drain_all && [ "$(cat "$PFS/k2")" = kept ]
}
killed_child() {
	redirected --drain close -- bash -c "exec >$PFS/k3; echo one; (echo two; kill -9 \$BASHPID); echo three" 2>/dev/null
	[ "$(tr '\n' ' ' <"$PFS/k3")" = 'one two three ' ]
}
agent_killed() {
	redirected --drain close -- bash -c "exec 3>$PFS/k4; echo one >&3; kill -9 \$('$PMIO' --json agent status | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"pid\"])'); echo two >&3; /bin/echo three >&3" 2>"$ERR"
	[ "$(tr '\n' ' ' <"$PFS/k4")" = 'one two three ' ]
}
no_agent() {
	# nothing is written past the pool if there is none
	expect 1 env PMIO_POOL="$T/pool" "$PMIO" run --paths "$PFS/*" -- env PMIO_POOL=/proc/none bash -c "echo 1 >$PFS/k5" && [ "$(size "$PFS/k5")" = 0 ] &&
		grep -q 'Input/output error\|No such file' "$ERR"
}
lost_in_child() {
	redirected --drain hold -- bash -c "exec 3>$PFS/k6; echo one >&3; PMIO_POOL=/proc/none PMIO_AGENT=/bin/false /bin/echo two >&3; echo \$?; cat $PFS/k6" >"$OUT" 2>"$ERR"
	[ "$(tr '\n' ' ' <"$OUT")" = '1 one ' ] && [ "$(size "$PFS/k6")" = 0 ]
}
# what libpmio says of it goes to a file that cannot be reached either
lost_with_errors() {
	redirected --drain hold -- bash -c "exec 3>$PFS/k7; echo one >&3; PMIO_POOL=/proc/none PMIO_AGENT=/bin/false timeout -k 1 60 /bin/echo two >&3 2>$PFS/k7.err; echo \$?; cat $PFS/k7" >"$OUT" 2>"$ERR"
	[ "$(tr '\n' ' ' <"$OUT")" = '1 one ' ]
}
pool_full() {
	head -c 40000000 /dev/urandom >"$T/big"
	mkdir -m 700 "$T/small" && PMIO_POOL=$T/small PMIO_POOL_SIZE=16MiB redirected --drain hold -- sh -c "cp $T/big $PFS/big; cmp $T/big $PFS/big" &&
		PMIO_POOL=$T/small "$PMIO" drain --all >/dev/null && cmp "$T/big" "$PFS/big"
	local rc=$?
	PMIO_POOL=$T/small "$PMIO" agent stop --force >/dev/null 2>&1
	return $rc
}
# a limit on the size of files stands for a full file system
file_system_full() {
	"$PMIO" agent stop --force
	limited_agent --fsize=1048576 && head -c 3000000 "$T/big" >"$T/three" || return
	expect 1 "$PMIO" run --paths "$PFS/*" -- cp "$T/three" "$PFS/full" && grep -q 'File too large' "$ERR" && redirected -- cmp "$T/three" "$PFS/full" &&
		"$PMIO" agent stop --force && expect 0 "$PMIO" drain "$PFS/full" && cmp "$T/three" "$PFS/full"
}
# what it has said to be written is there, and nothing else
random_kills() {
	local i pid last nr
	for i in $(seq 8); do
		: >"$T/said"
		"$PMIO" run --paths "$PFS/*" --drain $([ $((i % 2)) = 0 ] && echo hold || echo close) -- python3 -c 'import os, sys
f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
i = 0
while True:
    if os.pwrite(f, b"%07d\n" % i, i * 8) != 8: os._exit(1)
    os.write(1, b"%d\n" % i)
    i += 1' "$PFS/rk$i" >"$T/said" 2>"$ERR" &
		pid=$!
		until_ok test -s "$T/said" || return
		sleep "0.$((RANDOM % 5 + 2))"
		[ $((i % 3)) != 0 ] || "$PMIO" agent stop --force
		kill -9 $pid
		wait $pid 2>/dev/null
		last=$(tail -n 1 "$T/said" | tr -dc 0-9)
		redirected -- cat "$PFS/rk$i" >"$T/there" && nr=$(wc -l <"$T/there") && [ -n "$last" ] && [ "$nr" -ge "$last" ] || return
		seq -f %07g 0 $((nr - 1)) | cmp - "$T/there" && drain_all && cmp "$T/there" "$PFS/rk$i" || return
	done
}
check "a program is killed: what it wrote is drained" killed
check "... or held" killed_held
check "a child is killed" killed_child
check "programs are killed at any moment, and agents" random_kills
check "the agent is killed" agent_killed
check "without a pool a file cannot be opened" no_agent
check "a child that cannot reach the agent gets an error" lost_in_child
check "... and ends, with its standard error in such a file" lost_with_errors
check "the pool is full" pool_full
check "the file system is full: the program is told at close" file_system_full
exit $tap_failed
