#!/bin/bash
# nodes: files of several nodes in a mount, without several nodes: the mount's pool and another, with a target each, and a
# memory node, on this machine.  Who has the other pool is a redirected program; tests/cluster/redirect.sh has hosts
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/mount/lib.sh" || exit 99
plan 17
export PMIO_LIBDIR=$top_builddir/.libs
. "$top_srcdir/tests/redirect/two_pools.sh" || exit 99
end_all() {
	# shellcheck disable=SC2086
	kill -9 $bgs 2>/dev/null
	end_mount
	stop_others
	cleanup
}
trap end_all EXIT

there() { PMIO_POOL=$THERE PMIO_OWNER=always expect 0 "$PMIO" run --paths "$PFS/*" -- bash -ec "$1"; }
here() { expect 0 bash -ec "$1"; }
# a program has FILE open until the next let_go; one descriptor, as a mount drains a file when any of it is closed
cat >"$T/hold.py" <<'PY'
import os, sys, time
path, opened, go = sys.argv[1:]
fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
os.write(fd, b"begun")
open(opened, "w").close()
while not os.path.exists(go):
    time.sleep(0.05)
os.write(1, os.pread(fd, 10000000, 0))
PY
hold_open() { # NAME [HOW...]
	local name=$1
	shift
	rm -f "$T/go" "$T/open"
	"$@" python3 "$T/hold.py" "$name" "$T/open" "$T/go" >"$T/holder.out" 2>"$T/holder.err" &
	holder=$!
	bgs="$bgs $holder"
	until_ok test -e "$T/open"
}
hold_there() { hold_open "$PFS/$1" env PMIO_POOL="$THERE" PMIO_OWNER=always "$PMIO" run --paths "$PFS/*" --; }
loaded() { grep -qe libfabric "/proc/$(mount_pid)/maps"; }

nothing() { here "echo 1 >$M/plain; cat $M/plain; stat -c %s $M/plain; rm $M/plain" && printed "1 2 " && ! loaded; }
read_here() {
	hold_there a && here "cat $M/a; stat -c ' %s' $M/a; cp $M/a $M/b; cat $M/b; echo; ls -s $M/a >/dev/null; $COPY $M/a $T/copied; cat $T/copied" && printed "begun 5 begun begun" && [ ! -s "$PFS/a" ] && loaded &&
		let_go begun && until_ok no_owner && [ "$(cat "$PFS/a" "$PFS/b")" = begunbegun ]
}
append_here() {
	hold_there c && here "echo , appended >>$M/c; (echo in a child; cat $M/c) | tail -n 1; for i in 1 2 3; do echo \$i & done >>$M/c; wait; sort $M/c | wc -l" && printed "begun, appended 4 " && let_go && until_ok no_owner &&
		[ "$(sort "$PFS/c" | tr '\n' ' ')" = "1 2 3 begun, appended " ] && cmp "$PFS/c" "$T/holder.out"
}
# a close tells how the drain went, though the other has it open still
drained_at_close() { hold_there cd && here "printf ', here' >>$M/cd" && [ "$(cat "$PFS/cd")" = "begun, here" ] && here "exec 3>>$M/cd; printf '!' >&3; python3 -c 'import os; os.fsync(3)'; cat $PFS/cd" && printed "begun, here!" && let_go "begun, here!"; }
change_here() {
	hold_there d && here "truncate -s 3 $M/d; printf xyz | dd of=$M/d bs=1 seek=1 conv=notrunc status=none; touch -d 2001-02-03 $M/d; stat -c '%s %y' $M/d | cut -c 1-12; chmod 640 $M/d; cp -p $M/d $M/e; stat -c '%y %a' $M/e" &&
		says '^4 2001-02-03$' && says '^2001-02-03.* 640$' && let_go bxyz && [ "$(cat "$PFS/d")" = bxyz ]
}
random_pieces() {
	hold_there r && here "python3 - $M/r $T/model <<'PY'
import os, random, sys
a, b = os.open(sys.argv[1], os.O_RDWR), os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
os.write(b, b'begun')
r = random.Random(7)
for i in range(300):
    off, n = r.randrange(3000000), r.choice((1, 100, 5000, 300000))
    if r.random() < 0.6:
        data = r.randbytes(n)
        assert os.pwrite(a, data, off) == n and os.pwrite(b, data, off) == n
    elif r.random() < 0.1:
        os.ftruncate(a, off), os.ftruncate(b, off)
    else:
        assert os.pread(a, n, off) == os.pread(b, n, off), (i, off, n)
    assert os.fstat(a).st_size == os.fstat(b).st_size
PY" && let_go && cmp "$PFS/r" "$T/model" && cmp "$T/holder.out" "$T/model"
}
replace_here() { hold_there f && here "echo new >$M/f.new; mv $M/f.new $M/f; cat $M/f" && printed "new " && let_go begun && [ "$(cat "$PFS/f")" = new ]; }
remove_here() { hold_there g && here "rm $M/g; ls $M/g 2>&1 | wc -l" && printed "1 " && touch "$T/go" && { wait $holder; [ ! -e "$PFS/g" ]; } && until_ok no_owner; }
rename_here() {
	mkdir "$PFS/folder"
	hold_there h && here "mv $M/h $M/i; cat $M/i; python3 -c 'import os
try: os.rename(\"$M/i\", \"$M/folder/i\")
except OSError as e: print(\" \" + e.strerror)'; mv $M/i $M/folder/i; cat $M/folder/i" && printed "begun Invalid cross-device link begun" && touch "$T/go" && { wait $holder; [ "$(cat "$PFS/folder/i")" = begun ]; } && until_ok no_owner
}
# the other node's target: nothing comes from the plain file instead
lost() {
	hold_there l && here "head -c 1 $M/l" && printed b || return
	(exec 4<"$M/l"; read -r -N 1 -u 4 x && echo "$x"; kill -9 "$(cat "$THERE/target.lock")"; read -r -N 1 -u 4 x || echo failed) >"$T/reader.out" 2>"$T/reader.err"
	cat "$T/reader.out" "$T/reader.err"
	[ "$(tr '\n' ' ' <"$T/reader.out")" = "b failed " ] && grep -q 'Input/output error' "$T/reader.err"
	local rc=$?
	touch "$T/go"
	wait $holder
	PMIO_POOL=$THERE "$PMIO" drain "$PFS/l" && [ "$(cat "$PFS/l")" = begun ] && return $rc
}
# the mount's own files, with owner=always: it has to tell others
found_there() {
	remount PMIO_OWNER=always && hold_open "$M/o" && there "cat $PFS/o; stat -c ' %s' $PFS/o; printf ', there' >>$PFS/o" && printed "begun 5 " && let_go "begun, there" && until_ok no_owner && [ "$(cat "$PFS/o")" = "begun, there" ]
}
not_told() { remount && hold_open "$M/p" && PMIO_POOL=$THERE expect 1 "$PMIO" run --paths "$PFS/*" -- cat "$PFS/p" && grep -Eq "(in use|wait) in pool $HERE" "$ERR" && let_go begun; }
ends_open() {
	remount && hold_there q && exec 5<>"$M/q" && printf xx >&5 && expect 0 "$PMIO" unmount "$M"
	exec 5>&-
	let_go xxgun && [ "$(cat "$PFS/q")" = xxgun ] && until_ok no_owner && expect 0 "$PMIO" mount --source "$PFS" "$M"
}

check "nothing is loaded for files of this node" nothing
check "read what is open on another node" read_here
check "append to it" append_here
check "closes and fsyncs drain it" drained_at_close
check "change size, bytes, times and mode" change_here
check "random pieces against a plain file" random_pieces
check "replace it" replace_here
check "remove it" remove_here
check "rename it" rename_here
check "the other node is lost" lost
check "owner=always: others find what is open in the mount" found_there
check "owner=auto: they do not, and are told" not_told
check "unmounted with such a file open" ends_open

# ---- memory nodes
"$PMIO_AGENT" --target --listen 127.0.0.1:0 --card "$T/card" --pool "$MEMORY" 2>"$T/memory.err" || "$PMIO_AGENT" --target --listen "127.0.0.1:$((20000 + $$ % 10000 * 2))" --card "$T/card" --pool "$MEMORY"
export PMIO_TARGETS=$T/card
on_memory_node() { # NAME VARIABLE=VALUE
	remount "$2" && here "printf 12345 >$M/$1; dd if=/dev/zero bs=1M count=3 status=none | tr '\0' m >>$M/$1; stat -c %s $M/$1; head -c 7 $M/$1" && printed "3145733 12345mm" && ! in_pool "$HERE" "$PFS/$1" && in_pool "$MEMORY" "$PFS/$1" &&
		local -x "${2?}" && there "stat -c %s $PFS/$1; printf end >>$PFS/$1; tail -c 5 $PFS/$1" && printed "3145733 mmend" && here "tail -c 5 $M/$1" && printed mmend
}
drained() { until_ok no_owner && [ "$(size "$PFS/$1")" = 3145736 ] && [ "$(tail -c 4 "$PFS/$1")" = mend ]; }
check "placement=remote" on_memory_node remote PMIO_PLACEMENT=remote
check "drain=aggregate" on_memory_node aggregate PMIO_DRAIN=aggregate
check "on the file system" eval "drained remote && drained aggregate"
# the pool has room for a part only: the rest goes to the memory node
spill() {
	unmount_m && mkdir -m 700 "$T/small" || return
	local -x PMIO_POOL=$T/small PMIO_POOL_SIZE=32MiB
	mount_m && here "dd if=/dev/urandom of=$M/spill bs=1M count=60 status=none; cp $M/spill $T/copy; cmp $M/spill $T/copy" && cmp "$PFS/spill" "$T/copy" && until_ok no_owner
	local rc=$?
	unmount_m
	"$PMIO" agent stop --force
	return $rc
}
check "a pool that is full" spill
exit $tap_failed
