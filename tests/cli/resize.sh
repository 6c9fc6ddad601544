#!/bin/bash
# pmio pool resize: larger and smaller, never with data that wait, cut off in the middle
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 7

size() { expect 0 "$PMIO" pool list --json && json "o['pools'][0]['size'] == $1"; }
sums() { (cd "$PMIO_POOL" && cksum catalog data); }
# refused PATTERN ARG...: the pool has its old size, and is in order
refused() {
	local pattern=$1
	shift
	expect 1 "$PMIO" pool resize "$@" && one_line "$pattern" && expect 0 "$PMIO" pool check && size 7340032
}
damaged() {
	local before
	printf '\252' | dd of="$PMIO_POOL/data" bs=1 seek=41 conv=notrunc status=none && before=$(sums) &&
		expect 1 "$PMIO" pool resize --size=20MiB && one_line damaged && [ "$before" = "$(sums)" ]
}

both_ways() {
	expect 0 "$PMIO" pool create -q --size=16MiB --chunk-size=64KiB && expect 0 "$FILEIO" "$PFS/a" write 0 1000000 1 &&
		stop_agent && expect 0 "$PMIO" pool resize --size=0.03125GiB && silent && says ': room for .* in frames of 64.0 KiB' &&
		expect 0 "$PMIO" pool check && expect 0 "$PMIO" pool list --json &&
		json "o['pools'][0]['size'] == 30 << 20" && [ "$(stat -c %s "$PMIO_POOL/data")" = 33554432 ] &&
		expect 0 "$FILEIO" "$PFS/a" verify 0 1000000 1 write 0 20000000 2 && stop_agent &&
		expect 0 "$FILEIO" -p "$PFS/a" verify 0 20000000 2 &&
		expect 0 "$PMIO" pool resize --json --size=9MiB "$PMIO_POOL" && json 'o["chunk_size"] == 65536' &&
		[ "$(stat -c %s "$PMIO_POOL/data")" = 9437184 ] && expect 0 "$FILEIO" "$PFS/a" verify 0 20000000 2 && stop_agent &&
		[ "$(ls -A "$PMIO_POOL" | grep -c new)" = 0 ]
}
check "larger, smaller; files are there, and the pool is in order" both_ways

with_agent() {
	expect 0 "$PMIO" agent start && expect 1 "$PMIO" pool resize --size=20MiB && one_line 'in use by an agent' &&
		size 7340032 && stop_agent
}
check "not while an agent has it" with_agent

waiting() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/b" write 0 100000 3 && stop_agent &&
		expect 1 "$PMIO" pool resize --size=20MiB && one_line 'data of 1 files wait.*drain --all' &&
		expect 0 "$PMIO" drain --all && expect 0 "$FILEIO" -p "$PFS/b" verify 0 100000 3 &&
		PMIO_DRAIN=hold expect 0 "$FILEIO" -t "$PFS/b" truncate 5 && stop_agent &&
		expect 1 "$PMIO" pool resize --size=20MiB && one_line 'wait' && expect 0 "$PMIO" drain --all && stop_agent
}
check "not while something waits, be it only a size" waiting

destroy() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" -t "$PFS/b" truncate 7 && stop_agent && expect 1 "$PMIO" pool destroy "$PMIO_POOL" &&
		one_line 'data of 1 files wait' && expect 0 "$PMIO" drain --all && expect 0 "$FILEIO" -p "$PFS/b" is 7 && stop_agent
}
check "nor is it destroyed then" destroy

bad() {
	refused 'No space left|File too large' --size=1000TiB && expect 2 "$PMIO" pool resize --size=1MiB &&
		expect 2 "$PMIO" pool resize && expect 2 "$PMIO" pool resize --size=12XB &&
		damaged &&
		expect 0 "$PMIO" pool destroy --force "$PMIO_POOL" && expect 1 "$PMIO" pool resize --size=20MiB &&
		one_line 'No such file'
}
check "no room, too small, damaged, no pool: the old one stays" bad

cut_off() {
	local ms
	expect 0 "$PMIO" pool create -q --size=16MiB || return 1
	for ms in 002 004 008 016 032 064; do
		timeout -s KILL 0.$ms "$PMIO" pool resize --size=24MiB >"$OUT" 2>&1
		# the old one, the new one, or none: then the next program makes it
		PMIO_POOL_SIZE=16MiB expect 0 "$FILEIO" "$PFS/c" write 0 3000000 4 && stop_agent &&
			expect 0 "$PMIO" pool check && expect 0 "$FILEIO" -p "$PFS/c" verify 0 3000000 4 &&
			expect 0 "$PMIO" pool resize -q --size=16MiB || return 1
	done
}
check "killed in the middle: a pool can be used again, and is whole" cut_off

locked() {
	PMIO_POOL=$T/pool expect 0 "$PMIO" pool check && [ ! -s "$PMIO_POOL/lock" ]
}
check "nobody is left in its lock" locked

exit $tap_failed
