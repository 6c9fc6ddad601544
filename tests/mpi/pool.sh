#!/bin/bash
# pool.sh -- what the counters of `pmio stat` say an MPI program cost: updates in place touch
# what they write, a full pool gives up clean chunks of closed files before it goes to the file system
. "${top_srcdir:-.}/tests/env.sh" || exit 99
need_mpi
. "$top_srcdir/tests/cli/lib.sh" || exit 99
mpi=$top_builddir/tests/mpi
plan 13

# sets filled, drained, fallback, evicted: what the counters are now
counters() {
	expect 0 "$PMIO" stat --json || return 1
	read -r filled drained fallback evicted < <(python3 -c 'import json, sys
o = json.load(sys.stdin)
print(o["filled"], o["drained"], o["fallback_chunks"], o["evicted_chunks"])' <"$OUT")
}

# update HOW FILLED DRAINED: blocks read and written for each of a rank's 20 pieces; 2 ranks
update() {
	local f d
	"$PMIO" agent start && counters || return 1
	f=$filled d=$drained
	run 2 "$mpi/update" "pmem:$PFS/update" "$1" || return 1
	counters && f=$(((filled - f) / 4096)) d=$(((drained - d) / 4096))
	[ $f = $(($2 * 40)) ] && [ $d = $(($3 * 40)) ] && return
	echo "$f blocks were read, $d were written; should be $(($2 * 40)) and $(($3 * 40))"
	return 1
}

check "whole blocks: nothing is read" update whole 0 1
check "a part of a block: that block is read" update part 1 1
check "parts of two blocks: those" update two_parts 2 2
check "blocks with a part at each end: the ends are read" update ends 2 6
check "whole blocks through a view: nothing is read" update view_whole 0 1
check "parts of blocks through a view: those blocks, and nothing between" update view_part 1 1
check "whole blocks with a part at each end, through a view" update view_ends 2 5
check "whole blocks from memory with gaps: nothing is read" update scattered 0 2

# ---- a small pool, of 7 chunks or so ------------------------------------------------
"$PMIO" agent stop >/dev/null
mkdir -m 700 "$T/small"
export PMIO_POOL=$T/small PMIO_POOL_SIZE=8MiB

frames() { expect 0 "$PMIO" stat --json && python3 -c 'import json, sys
o = json.load(sys.stdin)
print(o["size"] // o["chunk_size"])' <"$OUT"; }

# closed and drained files go, the one that was used longest ago first
evicts_first() {
	local n
	"$PMIO" agent start && n=$(frames) || return 1
	expect 0 "$FILEIO" "$PFS/old" write 0 2097152 1 && expect 0 "$FILEIO" "$PFS/new" write 0 2097152 2 &&
		expect 0 "$FILEIO" -r "$PFS/new" verify 0 2097152 2 && counters && [ "$evicted" = 0 ] || return 1
	expect 0 "$FILEIO" "$PFS/big" write 0 $(((n - 3) * 1048576)) 3 && counters || return 1
	expect 0 "$PMIO" ls
	[ "$evicted" = 2 ] && [ "$fallback" = 0 ] && says " $PFS/new\$" && ! grep " $PFS/old\$" "$OUT" && return
	echo "$n frames; $evicted evicted, $fallback on the file system"
	cat "$OUT"
	return 1
}
check "clean chunks of closed files are given up first, the oldest first" evicts_first

# an open file's chunks stay, however clean: reads of a file larger than the pool
then_the_file_system() {
	local n before=$evicted
	n=$(frames) && expect 0 "$FILEIO" "$PFS/huge" write 0 $(((n + 5) * 1048576)) 4 && counters || return 1
	[ "$evicted" -gt "$before" ] && [ "$fallback" = 5 ] && expect 0 "$FILEIO" -p "$PFS/huge" verify 0 $(((n + 5) * 1048576)) 4 &&
		return
	echo "$n frames; $evicted evicted, $fallback on the file system"
	return 1
}
check "what does not fit goes to the file system, chunk by chunk" then_the_file_system

# all of it through MPI: no call fails, and the data are right
program_sees_nothing() {
	local before=$fallback
	run 4 "$mpi/contig.mpi" "pmem:$PFS/contig" && counters && [ "$fallback" -gt "$before" ]
}
check "an MPI program sees nothing of it" program_sees_nothing

held_stays() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/held" write 0 2097152 5 && expect 0 "$FILEIO" "$PFS/huge" write 0 12000000 6 &&
		expect 0 "$PMIO" ls && says "^held .* $PFS/held\$" && expect 0 "$PMIO" drain "$PFS/held" &&
		expect 0 "$FILEIO" -p "$PFS/held" is 2097152 verify 0 2097152 5
}
check "data that wait are not given up" held_stays

dropped() {
	expect 0 "$PMIO" agent stop && expect 0 "$PMIO" agent start && PMIO_CACHE=drop expect 0 "$FILEIO" "$PFS/held" write 0 2097152 7 &&
		expect 0 "$PMIO" ls && ! grep " $PFS/held\$" "$OUT" && expect 0 "$FILEIO" -p "$PFS/held" verify 0 2097152 7
}
check "cache=drop frees them at the close" dropped
exit $tap_failed
