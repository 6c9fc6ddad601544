#!/bin/bash
# others write to the plain file while data for it wait, or are on their way to it
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 16

LEN=4000000
words='changed on the file system while data for it wait in the pool: .pmio drain --force. .* .pmio forget. '
expect 0 "$PMIO" pool create -q --size=64MiB

# slow DRAIN NAME: written and closed; its drain begins, or waits
slow() {
	expect 0 "$PMIO" agent stop --force
	export PMIO_DRAIN=$1 PMIO_DRAIN_RATE=200KiB
	expect 0 "$FILEIO" "$PFS/$2" write 0 $LEN 1
	local rc=$?
	unset PMIO_DRAIN PMIO_DRAIN_RATE
	[ $rc = 0 ] && { [ "$1" = hold ] || until_ok test -s "$PFS/$2"; }
}
three() { head -c $LEN /dev/zero | tr '\0' 3; }
is_changed() { "$PMIO" ls | grep -q "^changed .* $PFS/$1 (the file was $words"; }
fast() { expect 0 "$PMIO" agent rate 0; }
# all of the plain file is what the others wrote, and the pool still has its own
kept() {
	until_ok is_changed "$1" && expect 1 "$PMIO" drain --all && one_line "$words" && cmp "$T/want" "$PFS/$1" &&
		expect 1 "$PMIO" stage-out "$PFS/$1" && cmp "$T/want" "$PFS/$1" && fails PMIO_ECHANGED "$words" -r "$PFS/$1" &&
		{ [ ! -s "$T/want" ] || fails PMIO_ECHANGED "$words" "$PFS/$1"; }
}
resolved() {
	expect 0 "$PMIO" drain --force "$PFS/$1" && expect 0 "$FILEIO" -p "$PFS/$1" verify 0 $LEN 1 &&
		expect 0 "$FILEIO" -r "$PFS/$1" verify 0 $LEN 1
}

has_mark() { python3 -c 'import os, sys; sys.exit(not [a for a in os.listxattr(sys.argv[1]) if "pmio" in a])' "$1"; }

for drain in async hold; do
	truncated() {
		slow $drain tr && : >"$PFS/tr" && : >"$T/want" && fast && { [ $drain = async ] || expect 1 "$PMIO" drain "$PFS/tr"; } &&
			kept tr && resolved tr && rm "$PFS/tr"
	}
	check "drain=$drain: cut to nothing" truncated
	# as PnetCDF creates a file anew
	cut_and_written() {
		slow $drain cw && : >"$PFS/cw" || return
		PMIO_DRAIN=$drain expect 0 "$FILEIO" "$PFS/cw" is 0 write 0 1000 2 && grep -q "cw was truncated to 0 on the file system" "$PMIO_POOL/agent.log" || return
		if [ $drain = async ]; then
			expect 0 "$PMIO" drain --all
		else # what was held is not lost
			expect 3 "$PMIO" drain --all && expect 0 "$PMIO" ls && says "^gone .* 3.8 MiB .*$PFS/cw \\(the file was removed on the file system, or truncated" &&
				expect 0 "$PMIO" forget --gone
		fi && expect 0 "$FILEIO" -p "$PFS/cw" is 1000 verify 0 1000 2 && expect 0 "$PMIO" drain --all &&
			expect 0 "$FILEIO" -r "$PFS/cw" is 1000 verify 0 1000 2 && ! has_mark "$PFS/cw"
	}
	check "drain=$drain: cut to nothing, then opened for writing" cut_and_written
	rewritten() {
		slow $drain rw && echo new-contents >"$PFS/rw" && echo new-contents >"$T/want" && fast &&
			{ [ $drain = async ] || expect 1 "$PMIO" drain "$PFS/rw"; } && kept rw &&
			expect 0 "$PMIO" forget "$PFS/rw" && cmp "$T/want" "$PFS/rw" && expect 0 "$FILEIO" -r "$PFS/rw" is 13 &&
			expect 0 "$PMIO" drain --all
	}
	check "drain=$drain: written anew, shorter; forget" rewritten
	same_size() {
		slow $drain sz && three >"$T/want" && cp "$T/want" "$PFS/sz" && fast &&
			{ [ $drain = async ] || expect 1 "$PMIO" drain "$PFS/sz"; } && kept sz && resolved sz && rm "$PFS/sz"
	}
	check "drain=$drain: another file copied over it" same_size
	appended() {
		slow $drain ap && { [ $drain = hold ] || expect 0 "$PMIO" drain --all; } && echo more >>"$PFS/ap" && cp "$PFS/ap" "$T/want" || return 1
		[ $drain = async ] || { fast && expect 1 "$PMIO" drain "$PFS/ap" && kept ap && resolved ap; }
		expect 0 "$FILEIO" -p "$PFS/ap" verify 0 $LEN 1
	}
	check "drain=$drain: appended to" appended
done

touched() {
	slow hold to && sleep 0.02 && touch "$PFS/to" && fails PMIO_ECHANGED "$words" "$PFS/to" &&
		expect 0 "$PMIO" drain --force "$PFS/to" && expect 0 "$FILEIO" -p "$PFS/to" is $LEN verify 0 $LEN 1
}
check "touched: that empties no file" touched

cut_after_failed_close() {
	export PMIO_DRAIN_RATE=200KiB
	expect 0 "$PMIO" agent stop --force
	background "$PFS/cf" write 0 $LEN 1 close
	until_ok test -s "$PFS/cf" && : >"$PFS/cf"
	unset PMIO_DRAIN_RATE
	fast
	wait "$BG"
	expect 0 "$FILEIO" "$PFS/cf" is 0 write 0 1000 2 && expect 0 "$FILEIO" -p "$PFS/cf" is 1000 verify 0 1000 2 &&
		expect 0 "$PMIO" ls && says "^gone .*$PFS/cf" && expect 0 "$PMIO" forget --gone
}
check "a close failed as the file was cut: what it wrote is kept aside" cut_after_failed_close

open_meanwhile() {
	slow async om && echo hello >"$PFS/om" && fails PMIO_ECHANGED "$words" -r "$PFS/om" &&
		fails PMIO_ECHANGED "$words" "$PFS/om" && fast && until_ok is_changed om && [ "$(cat "$PFS/om")" = hello ] &&
		expect 0 "$PMIO" forget "$PFS/om"
}
check "opened again while its drain is on the way" open_meanwhile

by_others_beside() {
	background "$PFS/bs" write 0 1000000 1 wait "$T/go"
	bg_says waiting && three | dd of="$PFS/bs" bs=1000000 count=1 seek=2 conv=notrunc status=none iflag=fullblock &&
		touch "$T/go" && bg_ends && expect 0 "$FILEIO" -p "$PFS/bs" is 3000000 verify 0 1000000 1 &&
		[ "$(tail -c 1000000 "$PFS/bs" | tr -d 3 | wc -c)" = 0 ] && expect 0 "$FILEIO" -r "$PFS/bs" is 3000000
}
check "a plain program appends while it is open: not cut off" by_others_beside

chmod_and_rename() {
	slow async cr && chmod 600 "$PFS/cr" && mv "$PFS/cr" "$PFS/cr2" && fast && expect 0 "$PMIO" drain --all &&
		expect 0 "$FILEIO" -p "$PFS/cr2" is $LEN verify 0 $LEN 1
}
check "chmod and mv are no changes of what is in it" chmod_and_rename

survives_crash() {
	slow hold sc && echo other >"$PFS/sc" && echo other >"$T/want" && expect 1 "$PMIO" drain "$PFS/sc" && kill_agent &&
		kept sc && kill_agent && expect 0 "$PMIO" agent start && kept sc && resolved sc
}
check "the next agent knows it, too" survives_crash

exit $tap_failed
