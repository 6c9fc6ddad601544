#!/bin/bash
# the file system below a mount fails: programs are told, by close, fsync or unmount, and nothing is lost
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/fuse/lib.sh" || exit 99
end_fuse=$(trap -p EXIT | sed "s/^trap -- '//; s/' EXIT\$//")
. "$top_srcdir/tests/mount/lib.sh" || exit 99
trap 'end_mount; eval "$end_fuse"' EXIT
plan 16

pattern "$T/ref" 3000000 1

# the errno of what fails: writes MOUNTED ACTION, close or fsync
writes() {
	python 'import errno, os, sys
path, data, what = sys.argv[1:]
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.write(fd, open(data, "rb").read())
try:
    os.close(fd) if what == "close" else os.fsync(fd)
    print("none")
except OSError as e:
    print(errno.errorcode[e.errno])' "$1" "$T/ref" "$2" 2>&1
}
# nothing is lost: all is there through the mount, and once it can be, on the file system
kept() {
	cmp "$T/ref" "$M/$1" && is_size "$M/$1" 3000000 && no_fault && expect 0 "$PMIO" drain "$PFS/$1" && cmp "$T/ref" "$BACK/$1"
}
fails_at() {
	local what=$1 code=$2 file=$3 is
	shift 3
	: >"$M/$file" && fault "$@" # a new file is made durable: that would fail
	is=$(writes "$M/$file" "$what")
	[ "$is" = "$code" ] || { echo "$what: $is"; return 1; }
	kept "$file"
}
check "ENOSPC: close says so" fails_at close ENOSPC a "write ENOSPC after=1000000"
check "EIO: close says so" fails_at close EIO b "write EIO"
check "EDQUOT of fsync below: close says so" fails_at close EDQUOT c "fsync EDQUOT"
check "EIO: fsync says so" fails_at fsync EIO d "write EIO"

by_cp() {
	fault "write ENOSPC after=500000" && ! LC_ALL=C cp "$T/ref" "$M/e" 2>"$ERR" && grep -q 'No space left' "$ERR" && kept e
}
check "cp fails, with the reason" by_cp

at_open() {
	: >"$M/f" && fault "open EACCES name=f" && ! cat "$M/f" 2>"$ERR" && grep -q 'Permission denied' "$ERR" && no_fault && cat "$M/f"
}
check "open" at_open

unmount_fails() {
	fault "write ENOSPC" || return
	python3 -c 'import os, sys, time
path, data, says = sys.argv[1:]
fds = [os.open(path + n, os.O_RDWR | os.O_CREAT) for n in ("1", "2")]
os.write(fds[0], open(data, "rb").read())
open(says, "w").close()
time.sleep(1000)' "$M/g" "$T/ref" "$T/holder" </dev/null >/dev/null 2>&1 &
	local pid=$!
	bgs="$bgs $pid"
	until_ok test -e "$T/holder" && expect 3 "$PMIO" unmount "$M" && one_line '1 of 2 open files could not be drained.*in the pool' &&
		! has_mount && expect 0 "$PMIO" ls && says "^failed .*$PFS/g1" && no_fault &&
		expect 0 "$PMIO" drain --all && cmp "$T/ref" "$BACK/g1"
	local rc=$?
	kill $pid
	wait $pid 2>/dev/null
	return $rc
}
check "unmount says what could not be drained, and it is kept" unmount_fails

# a drain that hangs keeps its own program waiting, and nobody else
hangs() {
	mount_m && echo other >"$M/other" && fault "write hang name=hang" || return
	cp "$T/ref" "$M/hang" &
	local pid=$!
	bgs="$bgs $pid"
	until_ok state_is "$PFS/hang" draining || return
	[ "$(timeout 60 cat "$M/other")" = other ] && timeout 60 ls -l "$M" >/dev/null && timeout 60 cp "$T/ref" "$M/free" && cmp "$T/ref" "$BACK/free" &&
		! gone $pid && no_fault && wait $pid && cmp "$T/ref" "$BACK/hang" && unmount_m
}
check "a drain hangs: others go on" hangs

# ---- shared mappings -----------------------------------------------------------------------

# neither the pool nor the file system has room: in the log once, and told to those that can be told; munmap() has no errors
no_room() {
	local file=$1 error=$2
	shift 2
	: >"$M/$file" && expect 0 "$PMIO" drain --all && fault "write ENOSPC" || return
	"$top_builddir/tests/mount/mapped" "$M/$file" open:rw size:40000000 map:0:40000000 "$@" >"$OUT" 2>&1
	no_fault && [ "$(cat "$OUT")" = "$error" ] && until_ok logged "$file" && rm "$M/$file" && return 0
	cat "$OUT" "$PMIO_POOL/mount.log"
	return 1
}
logged() { [ "$(grep -c "/$1: what was stored in a shared mapping could not be written back, and is lost: No space" "$PMIO_POOL/mount.log")" = 1 ]; }
with_mappings() {
	! has_mount || unmount_m || return
	mount_m --shared-mappings
}
small_pool() { expect 0 "$PMIO" agent stop && expect 0 "$PMIO" pool destroy "$PMIO_POOL" && mkdir -m 700 "$PMIO_POOL" && export PMIO_POOL_SIZE=16MiB; }
check "a small pool" small_pool
for how in "" ", as with older kernels"; do
	[ -z "$how" ] || export PMIO_MOUNT_CACHED=1
	check "shared mappings$how" with_mappings
	check "no room: msync says so$how" no_room "w1${how:+o}" 'msync ENOSPC' fill:0:40000000:x msync
	check "no room: close says so$how" no_room "w2${how:+o}" 'close ENOSPC' fill:0:40000000:x close
	[ -n "$how" ] || check "no room: munmap$how" no_room "w3" '' close fill:0:40000000:x unmap
done

exit $tap_failed
