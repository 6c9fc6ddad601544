#!/bin/bash
# small files that are held: many more than the pool has frames, as they share these
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/lib.sh" || exit 99
plan 10

NR=10000 # files of 4 KiB; the pool has 256 MiB, 254 frames
export PMIO_IDLE_TIMEOUT=600
mkdir "$PFS/many" "$T/plain"
cat >"$T/files.py" <<'END'
import os, sys
how, folder, nr = sys.argv[1], sys.argv[2], int(sys.argv[3])
def name(i): return "%s/%d" % (folder, i)
def first(i): return b"%08d" % i * 512
def put(i, data, mode="wb"):
    with open(name(i), mode) as f: f.write(data)
for i in range(nr):
    if how == "make":
        put(i, first(i))
    elif how == "check":
        with open(name(i), "rb") as f: assert f.read() == first(i), i
    elif how == "change" and i % 10 == 1: # in place
        with open(name(i), "r+b") as f: f.seek(100 + i % 3000); f.write(b"x" * 50)
    elif how == "change" and i % 10 == 2: # within what is shared, and beyond it
        put(i, b"longer" * (i % 5000), "ab")
    elif how == "change" and i % 10 == 3:
        os.truncate(name(i), i % 5000)
    elif how == "change" and i % 10 == 4:
        os.rename(name(i), name(i) + ".new")
    elif how == "change" and i % 10 == 5:
        os.unlink(name(i))
    elif how == "change" and i % 10 == 6:
        put(i, b"anew")
END
files() { redirected --drain hold -- python3 "$T/files.py" "$@"; }
# nr_held N: so many files are held
nr_held() {
	local n
	n=$("$PMIO" ls | grep -c '^held')
	[ "$n" = "$1" ] || { echo "held: $n, should be $1"; return 1; }
}
# each frame was enough, and the file system has none of their bytes
nothing_went_past() { expect 0 "$PMIO" stat --json && json 'o["fallback_chunks"] == 0' && [ "$(plain_bytes "$PFS/many")" = 0 ]; }

made() { files make "$PFS/many" $NR && nr_held $NR && nothing_went_past; }
check "$NR files of 4 KiB are held in 256 MiB" made

read_back() { files check "$PFS/many" $NR && nr_held $NR && nothing_went_past; }
check "they are read" read_back

killed() { kill_agent && files check "$PFS/many" $NR && nr_held $NR && [ "$(plain_bytes "$PFS/many")" = 0 ]; }
check "the agent is killed: its successor has them" killed

in_order() {
	stop_agent && expect 0 "$PMIO" pool check && says ': 0 problems' && mkdir "$T/to" && expect 0 "$PMIO" recover --to "$T/to" &&
		python3 "$T/files.py" check "$T/to$PFS/many" $NR
}
check "the pool is in order, and read-only recovery copies them" in_order

changed() {
	python3 "$T/files.py" make "$T/plain" 2000 && python3 "$T/files.py" change "$T/plain" 2000 && files change "$PFS/many" 2000 &&
		redirected -- diff -r "$T/plain" "$PFS/many" | grep -v "^Only in $PFS/many: " | grep . && return 1
	[ "$(ls "$T/plain" | grep -c new)" = 200 ] && [ "$(ls "$PFS/many" | grep -c new)" = 200 ]
}
check "they are rewritten, made longer and shorter, renamed and removed" changed

drained() {
	drain_all && nr_held 0 && diff -r "$T/plain" "$PFS/many" | grep -v "^Only in $PFS/many: " | grep . && return 1
	cmp <(python3 -c 'print("%08d" % 9999 * 512, end="")') "$PFS/many/9999" && expect 0 "$PMIO" stat --json && json 'o["dirty"] == 0'
}
check "they are drained, each from where it is" drained

# ---- a pool that is full ----

small_pool() { stop_agent && mkdir -m 700 "$T/small" && export PMIO_POOL=$T/small PMIO_POOL_SIZE=8MiB && mkdir "$PFS/few" && files make "$PFS/few" 100 && nr_held 100; }
check "100 files in a pool of 8 MiB" small_pool

# the frames that are not shared by them all belong to a file that is open
no_frame() {
	redirected --drain hold -- python3 -c 'import sys
folder = sys.argv[1]
with open(folder + "/large", "wb") as large:
    large.write(b"l" * (16 << 20))
    for i in 3, 50, 99:
        with open("%s/%d" % (folder, i), "r+b") as f:
            assert f.read() == b"%08d" % i * 512
            f.seek(10)
            f.write(b"changed")' "$PFS/few" || return
	files check "$PFS/few" 3 && [ "$(redirected -- python3 -c 'print(open("'"$PFS/few/50"'").read()[8:18])')" = 00changed0 ] || return
	drain_all && for i in 3 50 99; do
		cmp <(python3 -c 'print(("%08d" % '$i' * 512)[:10] + "changed" + ("%08d" % '$i' * 512)[17:], end="")') "$PFS/few/$i" || return
	done
}
check "one that is opened when no frame is free is drained first" no_frame

removed() {
	files make "$PFS/few" 100 && redirected --drain hold -- sh -c "rm $PFS/few/*" && nr_held 0 && expect 0 "$PMIO" stat --json &&
		json 'o["files"] == 0 or o["dirty"] == 0' && stop_agent && expect 0 "$PMIO" pool check && says ': 0 problems; 0 of'
}
check "all are removed: no frame is in use any more" removed

# what finds no frame meanwhile is on the file system: no frame changes hands for some seconds after an agent's death
killed_meanwhile() {
	files make "$PFS/few" 1500 &
	kill_agents $! 8 0.1 && files check "$PFS/few" 1500 && kill_agent && files check "$PFS/few" 1500 && drain_all &&
		python3 "$T/files.py" check "$PFS/few" 1500 && stop_agent && expect 0 "$PMIO" pool check && says ': 0 problems'
}
check "agents are killed while files are written and packed" killed_meanwhile
