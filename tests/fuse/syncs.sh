#!/bin/bash
# drain_sync=later: files that are durable only some time after they were closed or created, and what may happen until then
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/fuse/lib.sh" || exit 99
plan 13

LEN=300000
export PMIO_DRAIN_SYNC=later
put() { expect 0 "$FILEIO" "$PFS/$1" write 0 $LEN "${2:-7}"; }
# a file that exists: an fsync of a new one that hangs would keep its drain waiting, on FUSE
old() { : >"$BACK/$1"; }
is_plain() { expect 0 "$FILEIO" -p "$BACK/$1" is $LEN verify 0 $LEN "${2:-7}"; }
ls_says() { expect 0 "$PMIO" ls && says "$1"; }
# a worker that is in a call to FUSE ends when that does
cut() {
	local pid
	pid=$(agent_pid) && kill -9 "$pid" && no_fault && until_ok gone "$pid"
}
# the machine was started anew since: what the kernel says of that is not what the pool has
new_boot() { head -c 16 /dev/zero | dd of="$PMIO_POOL/data" bs=1 seek=4040 conv=notrunc status=none; }
# what a power cut may leave of a file that was not durable yet: the times are older
lost() { : >"$PFS/$1" && touch -d "1 hour ago" "$PFS/$1"; }

closes() {
	old a && fault "fsync hang" && put a && is_plain a && state_is "$PFS/a" clean "f['dirty'] == 0"
}
check "a close does not wait for fsync" closes

drain_waits() {
	"$PMIO" drain "$PFS/a" >"$T/drain" 2>&1 &
	local pid=$!
	bgs="$bgs $pid"
	sleep 0.3 # it waits all the time
	gone $pid && return 1
	no_fault && wait $pid && state_is "$PFS/a" clean
}
check "pmio drain does" drain_waits
no_fault

stop_waits() {
	old b && fault "fsync slow=300" && put b && expect 0 "$PMIO" agent stop && no_fault && new_boot && lost b &&
		expect 0 "$PMIO" drain --all && ! says "drained" && [ ! -s "$BACK/b" ]
}
check "agent stop, too: after it nothing is left to be done" stop_waits
no_fault

close_waits() {
	fault "fsync EDQUOT" && PMIO_DRAIN_SYNC=close fails EDQUOT 'Disk quota exceeded' "$PFS/c" write 0 10 7 &&
		PMIO_DRAIN_SYNC=auto fails EDQUOT 'Disk quota exceeded' "$PFS/c2" write 0 10 7 && no_fault
}
check "close and auto: creation and close wait for fsync here" close_waits
no_fault
"$PMIO" drain --all >/dev/null 2>&1

fsync_fails() {
	old d && fault "fsync EIO" && put d && until_ok state_is "$PFS/d" failed "f['errno'] == 'EIO' and f['dirty'] == $LEN" && no_fault &&
		lost d && expect 1 "$PMIO" drain "$PFS/d" && expect 0 "$PMIO" drain --force "$PFS/d" && is_plain d
}
check "fsync fails: the data are kept, and all written again" fsync_fails
no_fault

# the file system has lost what it had taken, and nothing else is to be seen of that
fsync_fails_while_open() {
	rm -f "$T/go"
	old e && fault "fsync EIO" && put e && background "$PFS/e" wait "$T/go" write 0 100 8
	bg_says waiting && until_ok grep -q "$PFS/e: fsync: " "$PMIO_POOL/agent.log" && no_fault && touch -r "$BACK/e" "$T/time" &&
		echo lost | dd of="$BACK/e" bs=1 seek=100000 conv=notrunc status=none && touch -r "$T/time" "$BACK/e" &&
		touch "$T/go" && bg_ends && state_is "$PFS/e" clean &&
		expect 0 "$FILEIO" -p "$BACK/e" is $LEN verify 0 100 8 verify 100 $((LEN - 100)) 7
}
check "fsync fails while a program has it open again" fsync_fails_while_open
no_fault

agent_killed() {
	old f && fault "fsync hang" && put f && cut && echo plain >"$PFS/f" && expect 0 "$PMIO" agent start &&
		expect 0 "$PMIO" drain --all && [ "$(cat "$BACK/f")" = plain ]
}
check "the agent is killed: what others have made of a closed file since is theirs" agent_killed
no_fault

power_cut() {
	old g && fault "fsync hang" && put g && cut && lost g && new_boot && no_fault && expect 0 "$PMIO" drain --all && is_plain g
}
check "a power cut: what was closed is drained once more" power_cut
no_fault

power_cut_twice() {
	old h && fault "fsync hang" && put h && cut && lost h && new_boot && fault "write hang" && expect 0 "$PMIO" agent start && cut && expect 0 "$PMIO" drain --all && is_plain h
}
check "... and the agent is killed while it does so" power_cut_twice
no_fault

power_cut_and_others() {
	old i && fault "fsync hang" && put i && cut && echo others >"$PFS/i" && new_boot && no_fault &&
		expect 1 "$PMIO" drain --all && state_is "$PFS/i" changed && [ "$(cat "$BACK/i")" = others ] &&
		expect 0 "$PMIO" drain --force "$PFS/i" && is_plain i
}
check "... and others have changed it since: somebody has to decide" power_cut_and_others
no_fault

name_lost() {
	fault "fsync hang" "fsyncdir hang" && (umask 027 && PMIO_DRAIN=hold put j) && cut && rm "$PFS/j" && new_boot &&
		no_fault && expect 0 "$PMIO" drain --all && is_plain j &&
		[ "$(stat -c %a "$BACK/j")" = 640 ] && grep -q "created again" "$PMIO_POOL/agent.log"
}
check "a power cut: a new file whose name is lost is made anew" name_lost
no_fault

name_taken() {
	fault "fsync hang" "fsyncdir hang" && PMIO_DRAIN=hold put k && cut && rm "$PFS/k" && echo others >"$PFS/k" &&
		new_boot && no_fault && expect 0 "$PMIO" agent start && until_ok ls_says "^gone +293.0 KiB .* $PFS/k \\(" &&
		[ "$(cat "$BACK/k")" = others ] && expect 0 "$PMIO" forget --gone && [ "$(cat "$BACK/k")" = others ]
}
check "... another file has its name: what was written is kept, and that file" name_taken
no_fault

removed() {
	fault "fsync hang" "fsyncdir hang" && PMIO_DRAIN=hold put l && cut && rm "$PFS/l" && no_fault &&
		expect 1 "$PMIO" drain --all && [ ! -e "$BACK/l" ]
}
check "no power cut: a new file that was removed stays so" removed

exit $tap_failed
