#!/bin/bash
# redirect.sh -- scripts and MPI programs on several hosts with the same files: pmio run --paths
NR_HOSTS=3
. "${top_srcdir:-.}/tests/cluster/lib.sh" || exit 99
STEPS=$top_builddir/tests/cluster/steps
[ -x "$STEPS" ] || skip_all "built without an MPI"
export PMIO_LIBDIR=$top_builddir/.libs D=$SHARED/data
mkdir "$D"

# script HOST 'SHELL COMMANDS': with the files below $D redirected
script() {
	local host=$1
	printf '%s\n' "$2" >"$T/script"
	cp "$T/script" "$SHARED/script.$host"
	on "$host" "$PMIO run --paths '$D/*' -- bash -e $SHARED/script.$host"
}
is() { [ "$1" = "$2" ] && return; echo "\"$1\", not \"$2\""; return 1; }

# an MPI program goes on in the background: begin RANKS "HOSTS" FILE STEP...
begin() {
	local n=$1 hosts=$2 file=$3
	shift 3
	rm -f "$SHARED"/say.*
	job "$n" "$hosts" "$STEPS" "pmem:$file" "$@" >"$SHARED/steps.out" 2>&1 &
	mpi=$!
}
ended() { wait $mpi || { cat "$SHARED/steps.out"; return 1; }; }
said() { until_ok test -e "$SHARED/say.$1"; }
say() { touch "$SHARED/say.$1"; }

# an MPI program on one host has the file open, a script on the other reads and appends; what the file system has is behind
mpi_then_script() { # RANKS HOSTS NAME [HOST]
	local f=$D/$3
	begin "$1" "$2" "$f" write:0:0123456789 last:10:abcdef say:"$SHARED/say.1" await:"$SHARED/say.2" print:"$SHARED/printed" || return
	said 1 && script "${4:-h2}" "cat $f; stat -c %s $f; cp $f $D/$3.copy; cat $D/$3.copy; python3 -c 'print(open(\"$f\").read())'; printf XYZ >>$f; cat $f" >"$T/out"
	local rc=$?
	say 2
	ended && [ $rc = 0 ] && is "$(tr '\n' ' ' <"$T/out")" "0123456789abcdef16 0123456789abcdef0123456789abcdef 0123456789abcdefXYZ" &&
		is "$(cat "$SHARED/printed")" 0123456789abcdefXYZ && { [ "${PMIO_DRAIN:-close}" = close ] || on h1 "$PMIO drain $f"; } && is "$(cat "$f")" 0123456789abcdefXYZ
}

# a script on one host has it open, one on another reads and appends, and both see it
script_to_script() { # NAME
	local f=$D/$1 first rc
	rm -f "$SHARED"/say.*
	script h1 "exec 3>>$f; echo one >&3; touch $SHARED/say.1; until [ -e $SHARED/say.2 ]; do sleep 0.05; done; echo three >&3; cat $f" >"$SHARED/first.out" 2>&1 &
	first=$!
	said 1 && script h2 "cat $f; echo two >>$f; (cat $f; echo sub >>$f); wc -c <$f" >"$T/out"
	rc=$?
	say 2
	wait $first && [ $rc = 0 ] && is "$(tr '\n' ' ' <"$T/out")" "one one two 12 " && is "$(tr '\n' ' ' <"$SHARED/first.out")" "one two sub three " &&
		is "$(tr '\n' ' ' <"$f")" "one two sub three "
}

# a script has it open, an MPI program on another host reads and writes it meanwhile
script_and_mpi() { # NAME
	local f=$D/$1 first rc
	rm -f "$SHARED"/say.*
	script h1 "exec 3>>$f; echo script >&3; touch $SHARED/say.1; until [ -e $SHARED/say.2 ]; do sleep 0.05; done; echo again >&3; cat $f" >"$SHARED/first.out" 2>&1 &
	first=$!
	said 1 && job 2 h2 "$STEPS" "pmem:$f" print:"$SHARED/printed" write:0:SCR last:7:MPI
	rc=$?
	say 2
	wait $first && [ $rc = 0 ] && is "$(cat "$SHARED/printed")" script && is "$(tr '\n' ' ' <"$SHARED/first.out")" "SCRipt MPIagain " && cmp "$f" "$SHARED/first.out"
}

# ranks of a step on two hosts that are no MPI programs: with owner=auto
ranks() {
	local f=$D/ranks
	job 4 "h1 h2" "$PMIO" run --paths "$D/*" -- bash -c "for i in \$(seq 25); do echo rank \$OMPI_COMM_WORLD_RANK >>$f; done" && is "$(sort "$f" | uniq -c | tr -s ' \n' ' ')" " 25 rank 0 25 rank 1 25 rank 2 25 rank 3 "
}

# ... and has left it
script_then_mpi() { # DRAIN
	local f=$D/then.$1
	local -x PMIO_DRAIN=$1
	script h1 "printf hello >$f; dd if=/dev/zero bs=1M count=3 status=none | tr '\0' x >>$f" &&
		job 1 h2 "$STEPS" "pmem:$f" print:"$SHARED/printed" && is "$(wc -c <"$SHARED/printed")" 3145733 && is "$(head -c 8 "$SHARED/printed")" helloxxx &&
		cmp "$f" "$SHARED/printed"
}
held_elsewhere() {
	local f=$D/held
	local -x PMIO_DRAIN=hold
	script h1 "echo held >$f" || return
	! script h2 "stat -c %s $f" 2>"$T/err" && grep -q 'data for it wait in pool .* on h1' "$T/err" && ! script h2 "cat $f" 2>"$T/err" && grep -q 'data for it wait in pool .* on h1' "$T/err" && [ ! -s "$f" ] &&
		! job 1 h2 "$STEPS" "pmem:$f" && script h1 "cat $f" && on h1 "$PMIO drain $f" && is "$(script h2 "cat $f")" held
}

PY='import mmap, os, sys
f = open(sys.argv[1], "r+b")
m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
print(m[:].decode())
try:
    mmap.mmap(f.fileno(), 0)
    print("mapped")
except OSError as e:
    print(e.strerror)
try:
    mmap.mmap(f.fileno(), 0)
except OSError as e:
    print(e.strerror)
print(os.path.getsize(sys.argv[1]))'
# the way in which it is open decides
maps() {
	local f=$D/maps rc
	echo "$PY" >"$SHARED/maps.py"
	begin 1 "h1" "$f" write:0:mapped say:"$SHARED/say.1" await:"$SHARED/say.2" || return
	said 1 && script h2 "python3 $SHARED/maps.py $f" >"$T/out" 2>"$T/err"
	rc=$?
	say 2
	ended && [ $rc = 0 ] && is "$(tr '\n' ';' <"$T/out")" "mapped;No such device;No such device;6;" && is "$(wc -l <"$T/err")" 1 && grep -q 'parts of it are on other nodes' "$T/err"
}

# a mount on one host, an MPI program on another; a mount on each
mounted() {
	local f=$D/mounted rc
	[ -e /dev/fuse ] || { echo "no /dev/fuse"; return 77; }
	begin 1 "h1" "$f" write:0:0123456789 last:10:abcdef say:"$SHARED/say.1" await:"$SHARED/say.2" print:"$SHARED/printed" || return
	said 1 && on h2 "mkdir -p /dev/shm/m && $PMIO mount --source=$D /dev/shm/m && cat /dev/shm/m/mounted && stat -c %s /dev/shm/m/mounted && printf XYZ >>/dev/shm/m/mounted && cat /dev/shm/m/mounted" >"$T/out"
	rc=$?
	say 2
	ended && [ $rc = 0 ] && is "$(tr '\n' ' ' <"$T/out")" "0123456789abcdef16 0123456789abcdefXYZ" && is "$(cat "$SHARED/printed" "$f")" 0123456789abcdefXYZ0123456789abcdefXYZ || return
	on h1 "mkdir -p /dev/shm/m && $PMIO mount --source=$D /dev/shm/m && python3 -c 'import os, time
f = os.open(\"/dev/shm/m/both\", os.O_RDWR | os.O_CREAT)
os.write(f, b\"one\")
open(\"$SHARED/say.3\", \"w\").close()
while not os.path.exists(\"$SHARED/say.4\"): time.sleep(0.05)
print(os.pread(f, 100, 0).decode())'" >"$SHARED/first.out" &
	first=$!
	said 3 && on h2 "cat /dev/shm/m/both; printf ' and two' >>/dev/shm/m/both; stat -c %s /dev/shm/m/both" >"$T/out"
	rc=$?
	say 4
	wait $first && [ $rc = 0 ] && is "$(tr '\n' ' ' <"$T/out")" "one11 " && is "$(cat "$SHARED/first.out" "$D/both")" "one and two
one and two" && on h1 "$PMIO unmount /dev/shm/m" && on h2 "$PMIO unmount /dev/shm/m"
}

names() {
	local f=$D/names rc
	mkdir -p "$D/sub"
	begin 1 "h1" "$f" write:0:named say:"$SHARED/say.1" await:"$SHARED/say.2" print:"$SHARED/printed" || return
	said 1 && script h2 "mv $f $f.new; cat $f.new; python3 -c 'import os
try:
    os.rename(\"$f.new\", \"$D/sub/x\")
except OSError as e:
    print(e.strerror)'; mv $f.new $D/sub/y; cat $D/sub/y; ls $D" >"$T/out" 2>"$T/err"
	rc=$?
	say 2
	ended && [ $rc = 0 ] && grep -q 'namedInvalid cross-device link' "$T/out" && grep -q '^named' "$T/out" && is "$(cat "$D/sub/y")" named && ! [ -e "$f.new" ]
}

# a script's file goes to the memory node and not into its own node's pool, another host's script and MPI programs find it there
on_memory_node() { # NAME
	local f=$D/$1
	script h1 "printf 12345 >$f; printf 678 >>$f; dd if=/dev/zero bs=1M count=2 status=none | tr '\0' m >>$f; stat -c %s $f; head -c 9 $f" >"$T/out" || return
	is "$(tr '\n' ' ' <"$T/out")" "2097160 12345678m" && not_in_pool h1 "$f" &&
		is "$(script h2 "stat -c %s $f; head -c 9 $f; printf end >>$f" | tr '\n' ' ')" "2097160 12345678m" && not_in_pool h2 "$f" &&
		job 1 h2 "$STEPS" "pmem:$f" write:0:ABC print:"$SHARED/printed" && is "$(head -c 9 "$SHARED/printed")" ABC45678m && is "$(tail -c 4 "$SHARED/printed")" mend &&
		is "$(script h1 "head -c 9 $f")" ABC45678m
}
not_in_pool() {
	on "$1" "exec $PMIO ls --json --pool=$PMIO_POOL" >"$T/ls" 2>/dev/null
	! grep -q "$2" "$T/ls" || { cat "$T/ls"; return 1; }
}
# what the memory node has of it comes to the file system
drained() { until_ok cmp "$SHARED/printed" "$D/$1" && until_ok eval '[ -z "$(find "$D" -name ".pmio-owner.*")" ]'; }
memory_mpi_first() {
	local f=$D/memory.mpi rc
	begin 1 "h1" "$f" write:0:mem say:"$SHARED/say.1" await:"$SHARED/say.2" print:"$SHARED/printed" || return
	said 1 && script h2 "cat $f; echo ory >>$f" >"$T/out"
	rc=$?
	say 2
	ended && [ $rc = 0 ] && is "$(cat "$T/out")" mem && is "$(cat "$SHARED/printed")" memory && not_in_pool h1 "$f"
}
memory_node_down() {
	local f=$D/down rc
	rm -f "$SHARED"/say.*
	script h1 "exec 3>>$f; echo a >&3; touch $SHARED/say.1; until [ -e $SHARED/say.2 ]; do sleep 0.05; done; echo b >&3 || echo failed; cat $f || echo failed, too" >"$SHARED/first.out" 2>"$SHARED/first.err" &
	first=$!
	said 1
	kill -9 "$(cat "$HOSTS_DIR/h3")"
	say 2
	wait $first
	cat "$SHARED/first.out" "$SHARED/first.err"
	grep -q '^failed$' "$SHARED/first.out" && grep -q '^failed, too$' "$SHARED/first.out" && grep -q 'node h3' "$SHARED/first.err" && [ ! -s "$f" ] &&
		! script h2 "cat $f" 2>"$T/err" && grep -q 'h3' "$T/err"
}

kill_target() { on "$1" "kill -9 \$(cat $PMIO_POOL/target.lock)"; }
# the metadata server is killed while a script on another host has the file open: its calls fail, and nothing comes from the plain file
target_killed() {
	local f=$D/killed rc
	begin 1 "h1" "$f" write:0:good say:"$SHARED/say.1" await:"$SHARED/say.2" print:"$SHARED/printed" || return
	said 1
	script h2 "exec 3<$f; read -N 2 -u 3 x; echo \$x; touch $SHARED/say.3; until [ -e $SHARED/say.4 ]; do sleep 0.05; done; read -N 2 -u 3 x || echo failed" >"$SHARED/first.out" 2>&1 &
	first=$!
	said 3
	kill_target h1 && say 4
	wait $first
	say 2
	cat "$SHARED/first.out"
	grep -q '^go$' "$SHARED/first.out" && grep -q '^failed$' "$SHARED/first.out" && grep -q 'node h1: lost' "$SHARED/first.out" && grep -q 'Input/output error' "$SHARED/first.out" &&
		ended && is "$(cat "$SHARED/printed")" good && ! script h2 "cat $f" 2>"$T/err" && grep -q 'run .pmio drain FILE. there' "$T/err" &&
		on h1 "$PMIO drain $f" && is "$(script h2 "cat $f")" good && [ -z "$(find "$D" -name '.pmio-owner.*')" ]
}

# a rank on h2 makes its part longer without telling h1, the file's metadata server, and is killed: a script on h3 that has the file open sees all of it
grown_then_killed() {
	local f=$D/grown rc at=2097152
	begin 2 "h1 h2" "$f" write:0:first last:$at:aaaa last:$((at + 4)):bbbb last:$((at + 8)):cccc last:$((at + 12)):dddd say:"$SHARED/say.1" await:"$SHARED/say.2" || return
	said 1
	script h3 "exec 3<$f; stat -c %s $f; touch $SHARED/say.3; until [ -e $SHARED/say.4 ]; do sleep 0.05; done; stat -c %s $f; tail -c 18 $f | tr '\\0' 0" >"$SHARED/first.out" 2>&1 &
	first=$!
	said 3
	on h2 "pkill -KILL -x steps"
	! ended >"$T/killed" && say 4
	wait $first
	rc=$?
	[ $rc = 0 ] && is "$(tr '\n' ' ' <"$SHARED/first.out")" "2097168 2097168 00aaaabbbbccccdddd" || { cat "$SHARED/first.out"; return 1; }
	until_ok eval '[ -z "$(find "$D" -name ".pmio-owner.*")" ]' && is "$(wc -c <"$f")" 2097168 && is "$(tail -c 16 "$f")" aaaabbbbccccdddd
}

plan 22
pools "$PMIO_POOL" h1 h2 h3 || fatal
export PMIO_OWNER=always
check "close: MPI on one host, a script on another reads and appends" mpi_then_script 1 h1 one
check "the same with an MPI program on two hosts" mpi_then_script 1 "h1 h3" two
check "a script on one of its hosts" mpi_then_script 1 "h1 h3" three h3
check "script to script" script_to_script scripts
check "a script, and MPI meanwhile" script_and_mpi meanwhile
export PMIO_DRAIN=hold
check "hold: MPI to script" mpi_then_script 1 h1 one.hold
export PMIO_DRAIN=async
check "async: script to script" script_to_script scripts.async
export PMIO_DRAIN=close
check "close: a script, then MPI" script_then_mpi close
check "held elsewhere" held_elsewhere
check "maps" maps
check "mounts" mounted
check "names" names
check "target killed" target_killed
check "a rank that makes it longer is killed" grown_then_killed
unset PMIO_OWNER
check "ranks on two hosts append to one file" ranks
memory_node h3 /dev/shm/memory || fatal
export PMIO_TARGETS=$SHARED/h3.card PMIO_PLACEMENT=remote
check "memory node" on_memory_node memory.close
check "memory node: MPI first" memory_mpi_first
export PMIO_DRAIN=async
check "memory node, async" on_memory_node memory.async
check "drained" drained memory.async
unset PMIO_PLACEMENT
export PMIO_DRAIN=aggregate
check "memory node, aggregate" on_memory_node memory.aggregate
export PMIO_DRAIN=hold PMIO_PLACEMENT=remote
check "memory node, hold" on_memory_node memory.hold
export PMIO_DRAIN=close
check "memory node down" memory_node_down
logs h1 h2
exit $tap_failed
