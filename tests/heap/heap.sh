#!/bin/bash
# heap.sh -- pmio run --heap: malloc() of unmodified programs in a file of the pool's directory; TAP
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99

[ -e "$top_builddir/.libs/libpmio-heap.so" ] || {
	# built without memkind: that is said
	PMIO_LIBDIR=$T "$PMIO" run --heap=64MiB -- true 2>"$T/err" && exit 1
	grep -q 'pmio was built without memkind' "$T/err" || exit 1
	skip_all "built without memkind"
}
! grep -q fsanitize "$top_builddir/config.status" || skip_all "sanitizers have a malloc() of their own"
plan 18

export PMIO_LIBDIR=$top_builddir/.libs
values=$top_builddir/tests/heap/values
expect 0 "$PMIO" pool create -q --size=16MiB
heap() { expect 0 "$PMIO" run --heap=256MiB -- "$@" && silent; }

for how in basic fork threads spawn closed; do
	check "$how: the values stay" heap "$values" $how
done

# KiB of anonymous and of shared memory of a Python program with a list of many objects, and what it prints
python='
def kib(what): return [int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(what)][0]
before = kib("RssAnon:")
a = [("%d" % i) * 20 for i in range(300000)]
print(sum(map(len, a)), kib("RssAnon:") - before, kib("RssShmem:"))'
in_python() {
	local sum anon shared
	heap python3 -c "$python" && read -r sum anon shared <"$OUT" && [ "$sum" = 33777800 ] && [ "$anon" -lt 4000 ] && [ "$shared" -gt 30000 ] ||
		{ cat "$OUT"; return 1; }
	expect 0 python3 -c "$python" && read -r sum anon shared <"$OUT" && [ "$sum" = 33777800 ] && [ "$anon" -gt 30000 ] || cat "$OUT"
}
check "Python's objects are in the file, not in the system's memory" in_python
python_forks() {
	heap python3 -c '
import multiprocessing, subprocess
def square(n): return sum([x * n for x in range(1000)]) // 499500 * n
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(3) as p:
        assert p.map(square, range(200)) == [n * n for n in range(200)]
    assert subprocess.run(["echo", "hello"], capture_output=True, check=True).stdout == b"hello\n"
    print("right")' && says '^right$'
}
check "Python: multiprocessing and subprocess" python_forks
sorts() {
	seq 200000 | shuf --random-source=/dev/zero >"$T/numbers" && sort -n "$T/numbers" >"$T/plain" &&
		heap sh -c "sort -n -S 50M '$T/numbers' | cat >'$T/sorted'" && cmp "$T/plain" "$T/sorted"
}
check "sort, in a pipe of a shell" sorts
mpi() {
	local why
	! why=$(no_mpi) || { echo "$why"; return 77; }
	run 3 "$PMIO" run --heap=128MiB -- "$MPI_PROGRAMS/contig.mpi" "pmem:$PFS/c" >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
	! grep -i heap "$OUT"
}
check "an MPI program, its file in the pool as well" mpi
launcher() {
	local why
	! why=$(no_mpi) || { echo "$why"; return 77; }
	heap "$MPIRUN" -n 2 "$MPI_PROGRAMS/contig.mpi" "pmem:$PFS/d"
}
[ $MPI_FAMILY = openmpi ] && [ -z "$MPI_LIBRARY" ] && check "its launcher, too" launcher || skip "its launcher, too" "the library has to be preloaded"

no_name() { ! find "$PMIO_POOL" -type f | grep -vE '/(catalog|data|lock|agent.*)$'; }
check "no file is left" no_name

full_dram() {
	expect 0 "$PMIO" run --heap=48MiB -- "$values" fill 100 && says '^100$' && one_line 'heap: process .* no room .* allocated from DRAM'
}
check "full: the system's memory, and one line" full_dram
full_fails() {
	expect 0 "$PMIO" run --heap=48MiB --heap-full=fail -- "$values" fill 100 && silent && [ "$(cat "$OUT")" -gt 10 ] && [ "$(cat "$OUT")" -lt 48 ]
}
check "full: fail" full_fails
# a file system that fills up meanwhile: no SIGBUS
full_fs() {
	[ "$(id -u)" = 0 ] || { echo "not root"; return 77; }
	unshare --mount true 2>/dev/null || { echo "no mount namespaces here"; return 77; }
	mkdir -p "$T/small"
	expect 0 unshare --mount sh -c '
		mount -t tmpfs -o size=96m tmpfs "$1" && mkdir -m 700 "$1/pool" && PMIO_POOL=$1/pool "$2" pool create -q --size=16MiB || exit
		PMIO_POOL=$1/pool "$2" run --heap=40MiB -- sh -c "head -c 30000000 /dev/zero >$1/other 2>/dev/null; \"$3\" fill 60; \"$3\" fork; echo \$?"' \
		- "$T/small" "$PMIO" "$values" && says '^60$' && says '^(0|127|1)$' && grep -q 'no room' "$ERR"
}
check "the file system fills up: no signal" full_fs

fork_refused() {
	expect 1 "$PMIO" run --heap=64MiB --heap-fork=refuse -- "$values" fork && err_lines 2 'heap: cannot copy the heap of process .* PMIO_HEAP_FORK=refuse' &&
		grep -qx 'values: a child failed' "$ERR" && expect 0 "$PMIO" run --heap=64MiB --heap-fork=refuse -- "$values" spawn && silent
}
check "--heap-fork=refuse" fork_refused

bad() {
	expect 2 "$PMIO" run --heap=x -- true && expect 2 "$PMIO" run --heap=64MiB --heap-full=maybe -- true &&
		expect 2 "$PMIO" run --heap-fork=copy -- true && expect 125 "$PMIO" run --heap=1MiB -- true && one_line 'at least 32 MiB' &&
		expect 125 "$PMIO" run --heap=1000TiB -- true && one_line 'MiB requested, but the file system of .* has only .* MiB free' &&
		PMIO_POOL=$T/none expect 125 "$PMIO" run --heap=64MiB -- true && one_line 'pmio pool create' &&
		PMIO_LIBDIR=$T expect 125 "$PMIO" run --heap=64MiB -- true && one_line 'built without memkind'
}
check "bad options, no pool, no library" bad
went() {
	PMIO_HEAP_DIR=$T/none PMIO_HEAP_SIZE=67108864 LD_PRELOAD=$PMIO_LIBDIR/libpmio-heap.so expect 0 "$values" basic &&
		grep -q "heap: cannot create a file in $T/none: No such file" "$ERR" &&
		PMIO_HEAP_FULL=fail PMIO_HEAP_DIR=$T/none PMIO_HEAP_SIZE=67108864 LD_PRELOAD=$PMIO_LIBDIR/libpmio-heap.so expect 125 "$values" basic
}
check "the directory has gone" went
status() {
	expect 7 "$PMIO" run --heap=64MiB -- sh -c 'exit 7' && expect 127 "$PMIO" run --heap=64MiB -- no-such-program
}
check "the program's exit status" status

exit $tap_failed
