#!/bin/bash
# files of several nodes in redirected programs, without several nodes: two pools with a target each, and a memory node,
# on this machine.  tests/cluster/redirect.sh has hosts
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/lib.sh" || exit 99
plan 21
. "$top_srcdir/tests/redirect/two_pools.sh" || exit 99
LATE=$top_builddir/tests/redirect/late
end_all() {
	stop_others
	cleanup
}
trap end_all EXIT

here() { expect 0 "$PMIO" run --paths "$PFS/*" -- bash -ec "$1"; }
there() { PMIO_POOL=$THERE here "$1"; }
# a program HERE has FILE open until the next let_go
hold_open() {
	rm -f "$T/go" "$T/open"
	redirected -- bash -ec "exec 3>>$1; printf begun >&3; touch $T/open; until [ -e $T/go ]; do sleep 0.05; done; cat $1; exec 3>&-" >"$T/holder.out" 2>"$T/holder.err" &
	holder=$!
	until_ok test -e "$T/open"
}

# ---- processes that have nothing to do with other nodes do not load what is for these
libraries() { here "echo 1 >$PFS/plain; cat $PFS/plain /proc/self/maps" && says redirect-pool && ! grep -e redirect-nodes -e libfabric "$OUT"; }
check "nothing is loaded for files of this node" libraries

# ---- setting owner
export PMIO_OWNER=always
read_there() {
	hold_open "$PFS/a" && there "cat $PFS/a; stat -c ' %s' $PFS/a; cp $PFS/a $PFS/b; cat $PFS/b; echo; python3 -c 'print(open(\"$PFS/a\").read())'" && printed "begun 5 begun begun " && silent &&
		[ ! -s "$PFS/a" ] && let_go begun && no_owner && [ "$(cat "$PFS/a" "$PFS/b")" = begunbegun ]
}
append_there() {
	hold_open "$PFS/c" && there "echo , appended >>$PFS/c; (echo in a child; cat $PFS/c) | tail -n 1; for i in 1 2 3; do echo \$i & done >>$PFS/c; wait; sort $PFS/c | wc -l" && printed "begun, appended 4 " && silent &&
		let_go && no_owner && [ "$(sort "$PFS/c" | tr '\n' ' ')" = "1 2 3 begun, appended " ] && cmp "$PFS/c" "$T/holder.out"
}
change_there() {
	hold_open "$PFS/d" && there "truncate -s 3 $PFS/d; printf xyz | dd of=$PFS/d bs=1 seek=1 conv=notrunc status=none; touch -d 2001-02-03 $PFS/d; stat -c '%s %y' $PFS/d | cut -c 1-12; chmod 640 $PFS/d; cp -p $PFS/d $PFS/e; stat -c '%y %a' $PFS/e" &&
		says '^4 2001-02-03$' && says '^2001-02-03.* 640$' && let_go bxyz && [ "$(cat "$PFS/d")" = bxyz ]
}
replace_there() {
	hold_open "$PFS/f" && there "echo new >$PFS/f.new; mv $PFS/f.new $PFS/f; cat $PFS/f" && printed "new " && let_go new && [ "$(cat "$PFS/f")" = new ]
}
remove_there() { hold_open "$PFS/g" && there "rm $PFS/g; ls $PFS/g 2>&1 | wc -l" && printed "1 " && touch "$T/go" && { wait $holder; [ ! -e "$PFS/g" ]; } && no_owner; }
rename_there() {
	mkdir "$PFS/folder"
	hold_open "$PFS/h" && there "mv $PFS/h $PFS/i; cat $PFS/i; python3 -c 'import os
try: os.rename(\"$PFS/i\", \"$PFS/folder/i\")
except OSError as e: print(\" \" + e.strerror)'; mv $PFS/i $PFS/folder/i; cat $PFS/folder/i" && printed "begun Invalid cross-device link begun" && touch "$T/go" && { wait $holder; [ "$(cat "$PFS/folder/i")" = begun ]; } && no_owner
}
cat >"$T/maps.py" <<'END'
import mmap, sys
f = open(sys.argv[1], "r+b")
print(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)[:].decode())
for i in range(2):
    try:
        print(mmap.mmap(f.fileno(), 0)[:].decode())
    except OSError as e:
        print(e.strerror)
END
map_there() { hold_open "$PFS/j" && there "python3 $T/maps.py $PFS/j" && printed "begun No such device No such device " && one_line "mmap $PFS/j: parts of it are on other nodes" && let_go begun; }
map_here() { hold_open "$PFS/k" && here "python3 $T/maps.py $PFS/k" && printed "begun begun begun " && silent && let_go begun; }
at_the_end() {
	local how
	for how in atexit stdio; do
		hold_open "$PFS/$how" && there "truncate -s 0 $PFS/$how; $LATE $how $PFS/$how; cat $PFS/$how" && printed "early late " && let_go "$(printf 'early\nlate')" || return
	done
}
with_threads() { hold_open "$PFS/threads" && there "$LATE threads $PFS/threads; stat -c %s $PFS/threads" && printed "101 " && touch "$T/go" && wait $holder; }
killed_there() {
	hold_open "$PFS/l" && PMIO_POOL=$THERE expect 137 "$PMIO" run --paths "$PFS/*" -- bash -c "echo ! >>$PFS/l; exec 3>>$PFS/l; echo more >&3; kill -9 \$\$" && let_go "$(printf 'begun!\nmore')" && until_ok no_owner
}
# the agent and the target of the other pool: nothing comes from the plain file instead
lost() {
	hold_open "$PFS/m" || return
	PMIO_POOL=$THERE redirected -- bash -c "exec 4<$PFS/m; read -N 1 -u 4 x && echo \$x; touch $T/reads; until [ -e $T/lost ]; do sleep 0.05; done; read -N 1 -u 4 x || echo failed" >"$T/reader.out" 2>"$T/reader.err" &
	reader=$!
	until_ok test -e "$T/reads" && kill -9 "$(cat "$HERE/target.lock")" && touch "$T/lost" && wait $reader
	cat "$T/reader.out" "$T/reader.err"
	[ "$(tr '\n' ' ' <"$T/reader.out")" = "b failed " ] && [ "$(grep -c 'node .*: lost' "$T/reader.err")" = 1 ] && grep -q 'Input/output error' "$T/reader.err"
	local rc=$?
	touch "$T/go"
	wait $holder
	"$PMIO" drain "$PFS/m" && [ "$(cat "$PFS/m")" = begun ] && return $rc
}
check "read there what is open here" read_there
check "append there" append_there
check "change size, bytes, times and mode there" change_there
check "replace there" replace_there
check "remove there" remove_there
check "rename there" rename_there
check "mappings there are copies, or refused" map_there
check "mappings where all of it is" map_here
check "written at a program's end" at_the_end
check "threads that go on when it ends" with_threads
check "killed there" killed_there
check "the other node is lost" lost
held() {
	local -x PMIO_DRAIN=hold
	here "echo held >$PFS/n; cat $PFS/n" && printed "held " && PMIO_POOL=$THERE expect 1 "$PMIO" run --paths "$PFS/*" -- cat "$PFS/n" && err_lines 2 'data for it wait in pool' &&
		PMIO_POOL=$THERE expect 1 "$PMIO" run --paths "$PFS/*" -- stat "$PFS/n" && err_lines 2 'data for it wait in pool' && "$PMIO" drain "$PFS/n" && there "cat $PFS/n" && printed "held "
}
check "held here, and not to be had there" held
never() {
	local -x PMIO_OWNER=never
	hold_open "$PFS/o" && PMIO_POOL=$THERE expect 1 "$PMIO" run --paths "$PFS/*" -- cat "$PFS/o" && err_lines 2 "(in use|wait) in pool $HERE" && let_go begun
}
check "without a layout file it is not to be had there" never
unset PMIO_OWNER

# ---- memory nodes
"$PMIO_AGENT" --target --listen 127.0.0.1:0 --card "$T/card" --pool "$MEMORY" 2>"$T/memory.err" || "$PMIO_AGENT" --target --listen "127.0.0.1:$((20000 + $$ % 10000 * 2))" --card "$T/card" --pool "$MEMORY"
export PMIO_TARGETS=$T/card
on_memory_node() { # NAME
	here "printf 12345 >$PFS/$1; dd if=/dev/zero bs=1M count=3 status=none | tr '\0' m >>$PFS/$1; stat -c %s $PFS/$1; head -c 7 $PFS/$1" && printed "3145733 12345mm" && silent && ! in_pool "$HERE" "$PFS/$1" && in_pool "$MEMORY" "$PFS/$1" &&
		there "stat -c %s $PFS/$1; printf end >>$PFS/$1; tail -c 5 $PFS/$1" && printed "3145733 mmend" && silent && ! in_pool "$THERE" "$PFS/$1"
}
drained() { until_ok no_owner && [ "$(size "$PFS/$1")" = 3145736 ] && [ "$(tail -c 4 "$PFS/$1")" = mend ]; }
PMIO_PLACEMENT=remote check "placement=remote" on_memory_node remote
check "on the file system" drained remote
PMIO_PLACEMENT=remote PMIO_DRAIN=async check "placement=remote, drain=async" on_memory_node async
PMIO_DRAIN=aggregate check "drain=aggregate" on_memory_node aggregate
check "on the file system" eval "drained async && drained aggregate"
# the pool has room for a part only: the rest goes to the memory node
spill() {
	local -x PMIO_POOL=$T/small PMIO_POOL_SIZE=32MiB
	mkdir -m 700 "$PMIO_POOL"
	here "dd if=/dev/urandom of=$PFS/spill bs=1M count=60 status=none; cp $PFS/spill $T/copy; cmp $PFS/spill $T/copy" && silent && cmp "$PFS/spill" "$T/copy" && no_owner
	local rc=$?
	"$PMIO" agent stop --force
	return $rc
}
check "a pool that is full" spill
exit $tap_failed
