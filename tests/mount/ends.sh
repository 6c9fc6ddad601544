#!/bin/bash
# ends: of the mount, as wanted and by a kill, and of the agent; nothing that was written is lost
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/mount/lib.sh" || exit 99
plan 12

pattern "$T/p1" $LEN 1
pattern "$T/p2" $LEN 2

# holder FILE: has it open in the mount with the pattern 1 in it, until $T/go is there; then writes the pattern 2 behind it
holder() {
	rm -f "$T/go" "$T/holder"
	python3 -c 'import os, sys, time
path, p1, p2, go, says = sys.argv[1:]
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.write(fd, open(p1, "rb").read())
open(says, "w").close()
while not os.path.exists(go): time.sleep(0.02)
try:
    os.write(fd, open(p2, "rb").read())
    os.close(fd)
except OSError as e:
    sys.exit(str(e))' "$1" "$T/p1" "$T/p2" "$T/go" "$T/holder" >"$T/holder.out" 2>&1 </dev/null &
	HOLDER=$!
	bgs="$bgs $HOLDER"
	until_ok test -e "$T/holder"
}
# its exit status
holder_ends() {
	touch "$T/go"
	until_ok gone "$HOLDER" || return 99
	wait "$HOLDER"
}
both() { cat "$T/p1" "$T/p2" | cmp - "$1"; }

agent_killed() {
	holder "$M/a" && kill_agent && is_size "$M/a" $LEN && cmp "$T/p1" "$M/a" && kill_agent && holder_ends && both "$M/a" && both "$PFS/a"
}
check "the agent is killed while a file is open" agent_killed

# a program that has a file of the mount open: so has the agent that it starts, until this closes it, and the mount then drains the file
started_by_user() {
	local agent
	agent=$(agent_pid)
	TEST_TIMEOUT=60 python 'import os, signal, subprocess, sys
path, p1, p2, agent, *start = sys.argv[1:]
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.write(fd, open(p1, "rb").read())
os.kill(int(agent), signal.SIGKILL)
subprocess.run(start, pass_fds=(fd,), check=True, stdin=subprocess.DEVNULL)
os.write(fd, open(p2, "rb").read())' "$M/u" "$T/p1" "$T/p2" "$agent" "$PMIO" agent start || return
	both "$M/u" && both "$PFS/u"
}
check "the agent is killed, and started by a program with a file of the mount open" started_by_user

agent_killed_idle() {
	remount PMIO_DRAIN=hold && cp "$T/p1" "$M/b" && kill_agent && is_size "$M/b" $LEN && cmp "$T/p1" "$M/b" && kill_agent &&
		mv "$M/b" "$M/b2" && kill_agent && rm "$M/b2" && [ ! -e "$PFS/b2" ] && expect 0 "$PMIO" ls && ! says "$PFS/b"
}
check "the agent is killed between" agent_killed_idle

agent_stopped() {
	holder "$M/c" && expect 0 "$PMIO" agent stop --force && cmp "$T/p1" "$M/c" && holder_ends && both "$M/c" && expect 0 "$PMIO" drain "$PFS/c" && both "$PFS/c"
}
check "the agent is told to go" agent_stopped

# with hold the data stay there
unmounted_held() {
	holder "$M/d" && unmount_m && ! holder_ends && cat "$T/holder.out" && [ "$(state_of "$PFS/d")" = held ] &&
		expect 0 "$PMIO" drain "$PFS/d" && cmp "$T/p1" "$PFS/d"
}
check "drain=hold: unmounted with an open file: held" unmounted_held

unmounted_open() {
	mount_m && holder "$M/e" && unmount_m && cmp "$T/p1" "$PFS/e" && ! holder_ends && cmp "$T/p1" "$PFS/e"
}
check "unmounted with an open file: its data are drained, and its program gets an error" unmounted_open

nameless() {
	mount_m && holder "$M/n" && rm "$M/n" && unmount_m && ! holder_ends && [ ! -e "$PFS/n" ] && until_ok eval '! "$PMIO" ls | grep -q "$PFS/n"'
}
check "unmounted with an open file that has no name" nameless

foreground() {
	local sig=$1 pid rc
	"$PMIO" mount --source "$PFS" --foreground "$M" >"$T/fg" 2>&1 </dev/null &
	pid=$!
	bgs="$bgs $pid"
	until_ok has_mount && holder "$M/f$sig" && kill -"$sig" $pid && until_ok gone $pid || return 1
	wait $pid
	rc=$?
	[ $rc = 0 ] && ! has_mount && cmp "$T/p1" "$PFS/f$sig" && ! holder_ends && [ ! -s "$T/fg" ] || { echo "status $rc"; cat "$T/fg"; return 1; }
}
check "in the foreground: SIGTERM" foreground TERM

sighup() {
	local pid
	mount_m && holder "$M/h" && pid=$(mount_pid) && kill -TERM "$pid" && until_ok gone "$pid" && ! has_mount && cmp "$T/p1" "$PFS/h" && ! holder_ends
}
check "detached: SIGTERM" sighup

# as a program that is killed
mount_killed() {
	local pid
	mount_m && holder "$M/k" && pid=$(mount_pid) && kill -9 "$pid" && until_ok gone "$pid" && ! holder_ends && grep -q 'not connected\|abort' "$T/holder.out" &&
		until_ok cmp "$T/p1" "$PFS/k" && ! ls "$M" 2>/dev/null && expect 1 "$PMIO" mount --source "$PFS" "$M" &&
		one_line 'pmio unmount' && expect 0 "$PMIO" unmount "$M" && one_line 'its process had ended' && ! has_mount && mount_m && cmp "$T/p1" "$M/k"
}
check "its process is killed: the agent drains, unmount cleans up" mount_killed

all_killed() {
	local pid
	holder "$M/l" && pid=$(mount_pid) && kill_agent && kill -9 "$pid" && until_ok gone "$pid" && ! holder_ends && expect 0 "$PMIO" unmount -q "$M" &&
		! has_mount && mount_m && cmp "$T/p1" "$M/l" && unmount_m && expect 0 "$PMIO" drain --all && cmp "$T/p1" "$PFS/l"
}
check "the mount and the agent are killed" all_killed

logged() { [ -e "$PMIO_POOL/mount.log" ] && ! grep ': error: ' "$PMIO_POOL/mount.log"; }
check "its log has no errors" logged

exit $tap_failed
