#!/bin/bash
# pmio recover --to: pools damaged in every way; what can be read is saved byte for byte, what
# cannot is named, and the pool is left as it was
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 14

TO=$T/to
# where things lie in data: 1024 client records, 16384 slots, headers, frames
slots=69632 headers=1118208 frames=2097152

# a new file of 2,500,000 bytes, and the middle of an old one of 3,000,000
prepare() {
	expect 0 "$PMIO" pool create -q --size=16MiB && expect 0 "$FILEIO" "$PFS/old" write 0 3000000 3 &&
		stop_agent && rm -r "$PMIO_POOL" && expect 0 "$PMIO" pool create -q --size=16MiB &&
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/new" write 0 2500000 1 &&
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/old" write 1048576 1048576 2 && stop_agent &&
		[ ! -s "$PFS/new" ] && mv "$PMIO_POOL" "$T/good" || return 1
	# what is to come out
	python3 - "$T/ref" <<-'END'
	import sys
	def pattern(n, seed):
	    return bytes((o * 131 + (o >> 8) * 17 + (o >> 20) * 5 + seed) & 255 for o in range(n))
	open(sys.argv[1] + ".new", "wb").write(pattern(2500000, 1))
	old = bytearray(pattern(3000000, 3))
	old[1048576:2097152] = pattern(2097152, 2)[1048576:]
	open(sys.argv[1] + ".old", "wb").write(old)
	END
	[ -s "$T/ref.old" ]
}
check "a pool to be spoilt" prepare

fresh() { rm -rf "$PMIO_POOL" "$TO" && cp -a --sparse=always "$T/good" "$PMIO_POOL" && mkdir "$TO"; }
sums() { (cd "$PMIO_POOL" && cksum catalog data lock 2>/dev/null); }
# another byte than the one that is there
turn() { patch "$1" "$2" "\\$(printf %03o $((255 - $(od -An -tu1 -j "$2" -N 1 "$PMIO_POOL/$1"))))"; }
# recover_to STATUS ARG...: to $TO, and the pool is as before
recover_to() {
	local want=$1 before
	shift
	before=$(sums)
	expect "$want" "$PMIO" recover --to "$TO" "$@" || return 1
	[ "$before" = "$(sums)" ] || { echo "the pool was changed"; return 1; }
	find "$TO" -name '*.pmio-part' | grep . && return 1
	return 0
}
# NAME is saved, whole
whole() { [ ! -e "$TO$PFS/$1.pmio-partial" ] && cmp "$TO$PFS/$1" "$T/ref.$1"; }
# partly NAME FROM LEN...: these bytes of it are there, and it is not called whole
partly() {
	local name=$1
	shift
	[ ! -e "$TO$PFS/$name" ] || return 1
	while [ $# -gt 0 ]; do
		cmp -i "$1" -n "$2" "$TO$PFS/$name.pmio-partial" "$T/ref.$name" || return 1
		shift 2
	done
}
# lost NAME FROM TO: it was said that these bytes are
lost() {
	grep -q "$1: bytes $2 to $3: " "$ERR" && return 0
	echo "should say that bytes $2 to $3 of $1 are lost"
	cat "$ERR"
	return 1
}

intact() {
	fresh && recover_to 0 && silent && says "^saved $PFS/old as $TO$PFS/old\$" && whole new && whole old &&
		recover_to 0 && recover_to 0 "$PFS/new" && whole new && expect 0 "$PMIO" recover --dry-run && says " $PFS/old\$" &&
		expect 0 "$PMIO" recover -n --json "$PFS/ne*" && json 'len(o["files"]) == 1 and o["files"][0]["size"] == 2500000' &&
		expect 1 "$PMIO" recover -n "$PFS/none" && one_line 'none: not in the pool'
}
check "an intact one: again and again, and files by name; --dry-run" intact

one_file() {
	fresh && expect 0 "$PMIO" recover --to "$TO/x" "$PFS/new" && cmp "$TO/x" "$T/ref.new" &&
		expect 1 "$PMIO" recover --to "$TO/y" && one_line 'there are 2 files' && [ ! -e "$TO/y" ] &&
		echo mine >"$TO/z" && expect 1 "$PMIO" recover --to "$TO/z" "$PFS/new" && one_line 'exists already, with different contents' &&
		[ "$(cat "$TO/z")" = mine ] && expect 0 "$PMIO" recover --to "$TO/new/" "$PFS/new" &&
		cmp "$TO/new/$PFS/new" "$T/ref.new" && [ "$(ls "$TO")" = "new
x
z" ]
}
check "to a file; what is there already is not replaced" one_file

cut_off() {
	fresh && for ms in 01 02 03; do timeout -s KILL 0.$ms "$PMIO" recover --to "$TO" >"$OUT" 2>&1; done
	rm -f "$TO$PFS/old.pmio-part"
	recover_to 0 && whole new && whole old
}
check "killed in the middle: run again it finishes" cut_off

no_base() {
	fresh && mv "$PFS/old" "$T/away" && recover_to 3 && whole new && partly old 1048576 1048576 && lost "$PFS/old" 0 1048575 &&
		lost "$PFS/old" 2097152 2999999
	local rc=$?
	mv "$T/away" "$PFS/old"
	[ $rc = 0 ] || return 1
	cp -p "$PFS/old" "$T/keep" && echo >>"$PFS/old" && fresh && recover_to 3 && whole new && partly old 0 3000000 &&
		grep -q "$PFS/old: was changed on the file system" "$ERR" && cp -p "$T/keep" "$T/keep2" && cat "$T/keep" >"$PFS/old" &&
		touch -r "$T/keep" "$PFS/old" && fresh && recover_to 0 && whole old
}
check "without the file on the file system, or when it was changed" no_base

no_names() {
	fresh && rm "$PMIO_POOL/catalog" && recover_to 3 && cmp "$TO/slot-0" "$T/ref.new" &&
		cmp -i 1048576 -n 1048576 "$TO/slot-1.pmio-partial" "$T/ref.old" && lost slot-1 0 1048575 &&
		grep -q 'name of the file in slot 0 is lost' "$ERR" || return 1
	fresh && truncate -s 4096 "$PMIO_POOL/catalog" && recover_to 3 slot-0 && cmp "$TO/slot-0" "$T/ref.new" &&
		[ ! -e "$TO/slot-1.pmio-partial" ] || return 1
	fresh && head -c 40000000 /dev/zero >"$PMIO_POOL/catalog" && recover_to 3 && cmp "$TO/slot-0" "$T/ref.new"
}
check "catalog missing, cut off, or zeros: files without names" no_names

bad_catalog() {
	fresh && patch catalog 0 XYZXYZXYZ && recover_to 3 && grep -q 'catalog: damaged$' "$ERR" && whole new &&
		partly old 0 3000000 && lost "$PFS/old" 0 1048575 || return 1
	fresh && head -c 3000 /dev/urandom | dd of="$PMIO_POOL/catalog" bs=1 seek=4096 conv=notrunc status=none &&
		recover_to 3 && whole new
}
check "catalog that libpmemobj refuses: names are found, what they say of the file system is doubtful" bad_catalog

superblock() {
	local at
	for at in 0 12 20 33 41 57 72 90 96; do # magic, checksum, uuid, sizes, offsets, counts
		fresh && turn data $at && recover_to 3 && whole new && whole old &&
			grep -q 'damaged: superblock' "$ERR" || { echo "byte $at"; return 1; }
	done
	fresh && head -c 4096 /dev/zero | dd of="$PMIO_POOL/data" conv=notrunc status=none && recover_to 1 &&
		grep -q 'too little of the superblock is left to locate the data' "$ERR" && [ -z "$(ls "$TO")" ] || return 1
	fresh && patch data 8 '\007' && recover_to 1 && grep -q 'another version' "$ERR" && [ -z "$(ls "$TO")" ]
}
check "superblock: what is left of it and the rest say where all lies" superblock

truncated() {
	# in the middle of a block of the third chunk of the first file
	fresh && truncate -s $((frames + 2097152 + 100000)) "$PMIO_POOL/data" && recover_to 3 && partly new 0 2195456 &&
		lost "$PFS/new" 2195456 2499999 && partly old 0 1048576 2097152 902848 && lost "$PFS/old" 1048576 2097151 || return 1
	fresh && truncate -s $frames "$PMIO_POOL/data" && recover_to 3 && lost "$PFS/new" 0 2499999 &&
		partly old 0 1048576 || return 1
	fresh && truncate -s 1000 "$PMIO_POOL/data" && recover_to 1 && [ -z "$(ls "$TO")" ]
}
check "data cut off" truncated

header() {
	local at
	# owner's slot, reserved bytes, zeroed: nobody knows whose the frame was
	for at in 2 127 114; do
		fresh && patch data $((headers + 128 + at)) '\252' && recover_to 3 &&
			grep -q 'header of frame 1: its owner' "$ERR" && partly new 0 1048576 2097152 402848 &&
			lost "$PFS/new" 1048576 2097151 && partly old 1048576 1048576 && lost "$PFS/old" 0 1048575 || return 1
	done
	# its generation, and its chunk
	fresh && patch data $((headers + 128 + 4)) '\377' && recover_to 3 && lost "$PFS/new" 1048576 2097151 &&
		fresh && patch data $((headers + 128 + 9)) '\001' && recover_to 3 && lost "$PFS/new" 1048576 2097151 &&
		grep -q 'beyond the end of' "$ERR" && partly new 0 1048576 2097152 402848 && whole old
}
check "a frame's header" header

doubles() {
	fresh && patch data $((headers + 128 + 8)) '\000' && recover_to 3 && partly new 2097152 402848 &&
		lost "$PFS/new" 0 1048575 && lost "$PFS/new" 1048576 2097151 && whole old
}
check "two frames with the same piece: neither is taken" doubles

slot() {
	local at
	for at in 7 10 40; do # size, generation, reserved
		fresh && patch data $((slots + at)) '\377' && recover_to 3 && grep -Eq 'damaged: (slot 0|catalog and data)' "$ERR" &&
			partly new 0 2500000 && whole old || return 1
	done
}
check "a file's slot" slot

random_bytes() {
	local i
	for i in $(seq 12); do
		fresh && python3 -c 'import random, sys
r = random.Random(int(sys.argv[2]))
with open(sys.argv[1], "r+b") as f:
	for _ in range(r.randrange(1, 40)):
		f.seek(r.choice([0, 69632, 1118208]) + r.randrange(4096))
		f.write(bytes([r.randrange(256)]))' "$PMIO_POOL/data" "$i"
		timeout 60 "$PMIO" recover --to "$TO" >"$OUT" 2>"$ERR"
		case $? in 0 | 1 | 3) ;; *) echo "seed $i"; cat "$ERR"; return 1 ;; esac
		# what is called whole is as long as it was: no size came from nowhere
		[ ! -e "$TO$PFS/new" ] || [ "$(stat -c %s "$TO$PFS/new")" = 2500000 ] || grep -q 'slot 0' "$ERR" || return 1
	done
}
check "random bytes in tables: no crash, no hang" random_bytes

in_use() {
	fresh && expect 0 "$PMIO" agent start && expect 1 "$PMIO" recover --to "$TO" && one_line 'in use by (an agent|process)' &&
		[ -z "$(ls "$TO")" ] && expect 0 "$PMIO" recover -n && says " $PFS/new\$" &&
		expect 0 "$PMIO" recover -n --json && json 'sorted(f["dirty"] for f in o["files"])[0] == 1048576' && stop_agent
}
check "an agent has the pool: it is not read beside it" in_use

exit $tap_failed
