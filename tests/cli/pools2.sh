#!/bin/bash
# one file, two pools: they see one file, or the second is refused
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 12

A=$PMIO_POOL B=$T/pool-b LEN=1000000
expect 0 "$PMIO" pool create -q --size=32MiB "$A" && expect 0 "$PMIO" pool create -q --size=32MiB "$B" || fatal
in_b() { PMIO_POOL=$B "$@"; }
# b_refused PATTERN args of fileio
b_refused() {
	local pattern=$1
	shift
	in_b expect 1 "$FILEIO" "$@" && says '^PMIO_EOTHER$' && one_line "$pattern"
}
in_use="in use in pool $A \(agent: process [0-9]+\), and this program uses pool $B"
trap 'kill -9 $bgs 2>/dev/null; PMIO_POOL=$B "$PMIO" agent stop --force >/dev/null 2>&1; cleanup' EXIT

both_write() {
	background "$PFS/a" write 0 $LEN 1 wait "$T/go"
	bg_says waiting && b_refused "$in_use" "$PFS/a" write $((2 * LEN)) $LEN 1 && b_refused "$in_use" -r "$PFS/a" &&
		touch "$T/go" && bg_ends && expect 0 "$FILEIO" -p "$PFS/a" is $LEN verify 0 $LEN 1 &&
		in_b expect 0 "$FILEIO" "$PFS/a" write $LEN $LEN 1 && expect 0 "$FILEIO" -r "$PFS/a" is $((2 * LEN)) verify 0 $((2 * LEN)) 1
}
check "both write" both_write

b_reads() {
	in_b background -r "$PFS/a" wait "$T/go2"
	bg_says waiting && expect 0 "$FILEIO" -r "$PFS/a" is $((2 * LEN)) verify 0 $((2 * LEN)) 1 &&
		expect 1 "$FILEIO" "$PFS/a" write 0 1 1 && says '^PMIO_EOTHER$' && one_line "in use in pool $B" && touch "$T/go2" &&
		bg_ends && expect 0 "$FILEIO" "$PFS/a" write 0 10 1
}
check "both read: nobody is refused; one reads: the other may not write" b_reads

# the agent of A has gone, or lives
for how in lives killed; do
	held() {
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/h" write 0 $LEN 1 || return 1
		[ $how = lives ] || kill_agent || return 1
		b_refused "in use in pool $A|data for it wait in pool $A on .*pmio drain --pool=$A $PFS/h" -r "$PFS/h" &&
			b_refused . "$PFS/h" write 0 10 2 && expect 0 "$PMIO" drain "$PFS/h" &&
			in_b expect 0 "$FILEIO" "$PFS/h" is $LEN verify 0 $LEN 1 write 0 $LEN 2 &&
			expect 0 "$FILEIO" -r "$PFS/h" is $LEN verify 0 $LEN 2
	}
	check "held by A, whose agent is $how: not size 0" held
done

has_xattrs() { [ -n "$(python3 -c 'import os, sys; print(os.listxattr(sys.argv[1]))' "$1" 2>/dev/null | grep pmio)" ]; }
renamed_mark() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/i" write 0 $LEN 1 && until_ok has_xattrs "$PFS/i" && kill_agent &&
		mv "$PFS/i" "$PFS/i2" && b_refused "data for it wait in pool $A" -r "$PFS/i2" && expect 0 "$PMIO" drain --all &&
		! has_xattrs "$PFS/i2" && in_b expect 0 "$FILEIO" -r "$PFS/i2" verify 0 $LEN 1
}
check "the mark goes with the file, and with the drain" renamed_mark

copied_mark() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/j" write 0 $LEN 1 && until_ok has_xattrs "$PFS/j" && cp -a "$PFS/j" "$PFS/j2" &&
		in_b expect 0 "$FILEIO" "$PFS/j2" write 0 10 1 && expect 0 "$PMIO" drain --all
}
check "a copy with the mark is another file" copied_mark

lost_pool() {
	PMIO_POOL=$T/pool-c expect 0 "$PMIO" pool create -q --size=16MiB &&
		PMIO_POOL=$T/pool-c PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/k" write 0 $LEN 1 && until_ok has_xattrs "$PFS/k" &&
		PMIO_POOL=$T/pool-c kill_agent && rm -rf "$T/pool-c" && expect 1 "$FILEIO" -r "$PFS/k" &&
		one_line "pool $T/pool-c of .*, which does not exist here.*pmio forget $PFS/k" && expect 0 "$PMIO" forget "$PFS/k" &&
		expect 0 "$FILEIO" -r "$PFS/k" is 0 && silent
}
check "a pool that is no more: forget" lost_pool

forgotten() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/l" write 0 $LEN 1 && until_ok has_xattrs "$PFS/l" &&
		expect 0 "$PMIO" forget "$PFS/l" && in_b expect 0 "$FILEIO" -r "$PFS/l" is 0
}
check "forget takes the mark away" forgotten

agent_replaced() {
	background "$PFS/m" write 0 $LEN 1 wait "$T/go3" write 0 $LEN 1
	bg_says waiting && kill_agent && b_refused "in use in " "$PFS/m" && touch "$T/go3" && bg_ends &&
		in_b expect 0 "$FILEIO" -r "$PFS/m" verify 0 $LEN 1
}
check "while A's agent is replaced" agent_replaced

# with all its processes, before any close
job_killed() {
	background "$PFS/o" write 0 $LEN 1 wait "$T/never"
	bg_says waiting && until_ok has_xattrs "$PFS/o" && kill -9 "$(agent_pid)" "$BG" && until_ok gone "$BG" &&
		b_refused "data for it wait in pool $A on .*pmio drain --pool=$A $PFS/o" -r "$PFS/o" && expect 0 "$PMIO" drain --all &&
		! has_xattrs "$PFS/o" && in_b expect 0 "$FILEIO" -r "$PFS/o" is $LEN verify 0 $LEN 1
}
check "A's job and agent are killed while it is open" job_killed

nothing_written() {
	echo old >"$PFS/p" && background "$PFS/p" wait "$T/go4"
	bg_says waiting && until_ok has_xattrs "$PFS/p" && touch "$T/go4" && bg_ends && ! has_xattrs "$PFS/p" &&
		expect 0 "$FILEIO" -r "$PFS/p" is 4 && ! says "changed" && in_b expect 0 "$FILEIO" "$PFS/p" is 4 write 0 10 1
}
check "opened for writing, and nothing is written: the mark goes at the close" nothing_written

quick_succession() {
	local i
	for i in $(seq 20); do
		expect 0 "$FILEIO" "$PFS/n" write 0 1000 "$i" && in_b expect 0 "$FILEIO" "$PFS/n" verify 0 1000 "$i" write 0 1000 "$i" ||
			return 1
	done
}
check "one after the other, at once" quick_succession

exit $tap_failed
