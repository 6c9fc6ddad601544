#!/bin/bash
# wrong uses of pmio mount and unmount: one line, and the status that other commands have
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/mount/lib.sh" || exit 99
plan 10

# refused PATTERN ARGUMENT...
refused() {
	local pattern=$1
	shift
	expect 1 "$PMIO" mount "$@" && one_line "$pattern"
}
twice() { refused 'in a mount of pmio already' --source "$PFS" "$M" && mkdir "$M/sub" && refused 'in a mount of pmio already' --source "$PFS" "$M/sub"; }
check "a mount upon a mount" twice

drained_in_it() {
	echo text >"$M/file" && expect 1 "$PMIO" drain "$M/file" && one_line 'it is in a `pmio mount`; use the path' &&
		expect 1 "$PMIO" stage-out "$M" && expect 0 "$PMIO" drain "$PFS/file" && expect 0 "$PMIO" rm "$PFS/file"
}
check "a drain by the name that a file has in it" drained_in_it

not_the_root() {
	expect 1 "$PMIO" unmount "$M/sub" && one_line 'it is not a pmio mount' && has_mount && rmdir "$M/sub" && expect 1 "$PMIO" unmount "$T" &&
		one_line 'it is not a pmio mount' && expect 1 "$PMIO" unmount "$T/none" && one_line 'No such file' && unmount_m &&
		expect 1 "$PMIO" unmount "$M" && one_line 'it is not a pmio mount'
}
check "unmount of what is none" not_the_root

usage() {
	expect 2 "$PMIO" mount && expect 2 "$PMIO" mount a b && expect 2 "$PMIO" unmount && expect 2 "$PMIO" unmount a b &&
		expect 2 "$PMIO" mount --nonsense "$M" && expect 2 "$PMIO" mount -o nonsense "$M" && grep -q nonsense "$ERR" &&
		expect 0 "$PMIO" mount --help && says '^Usage: pmio mount .*MOUNTPOINT' && expect 0 "$PMIO" unmount --help
}
check "wrong usage" usage

places() {
	mkdir -p "$T/over/pool" "$PFS/in" && refused 'No such file' "$T/none" && refused 'No such file' --source "$T/none" "$M" &&
		: >"$T/file" && refused 'Not a directory' "$T/file" && refused 'Not a directory' --source "$T/file" "$M" &&
		refused 'would hide the pool' --source "$PFS" "$PMIO_POOL" && refused 'would hide the pool' --source "$PFS" "$T" &&
		refused 'would hide the files of its source' --source "$PFS" "$PFS" && refused 'would hide the files of its source' --source "$PFS/in" "$PFS" &&
		mkdir "$PMIO_POOL/sub" && refused 'would hide the pool' --source "$PFS" "$PMIO_POOL/sub" && refused 'this is the pool' --source "$PMIO_POOL" "$M" &&
		rmdir "$PMIO_POOL/sub" && ! has_mount
}
check "over the pool, in it, or over the source" places

bad_pools() {
	mkdir "$T/other" && : >"$T/other/file" && chmod 700 "$T/other" && expect 1 "$PMIO" mount --pool "$T/other" --source "$PFS" "$M" &&
		one_line 'other: there is no pool' && expect 1 env PMIO_DRAIN=nonsense "$PMIO" mount --source "$PFS" "$M" && one_line nonsense && ! has_mount
}
check "no pool; a bad setting" bad_pools

read_only() {
	echo text >"$PFS/t" && mount_m -o ro && [ "$(cat "$M/t")" = text ] && ! echo more 2>/dev/null >>"$M/t" && unmount_m && [ "$(cat "$PFS/t")" = text ]
}
check "-o ro" read_only

relative() {
	(cd "$T" && expect 0 "$PMIO" mount --source pfs mnt && cp "$FILEIO" mnt/r && cmp "$FILEIO" pfs/r && expect 0 "$PMIO" unmount mnt) && ! has_mount
}
check "relative names" relative

as_user() {
	local user="setpriv --reuid=65534 --regid=65534 --clear-groups"
	[ "$(id -u)" = 0 ] && $user true 2>/dev/null || { echo "not root"; return 77; }
	[ -u "$(type -P fusermount3)" ] && $user test -r /dev/fuse || { echo "users may not mount here"; return 77; }
	mkdir -m 700 "$T/upool" && mkdir "$T/usrc" "$T/umnt" && chmod 755 "$T" && chown 65534:65534 "$T/upool" "$T/usrc" "$T/umnt" &&
		export PMIO_POOL=$T/upool && expect 0 $user "$PMIO" mount --source "$T/usrc" "$T/umnt" &&
		$user cp "$FILEIO" "$T/umnt/x" && cmp "$FILEIO" "$T/usrc/x" && ! ls "$T/umnt" 2>/dev/null && expect 0 $user "$PMIO" unmount "$T/umnt" &&
		expect 0 $user "$PMIO" agent stop --force
}
check "as a user; others do not get in" as_user

# root's mount, and another user in it
for_others() {
	local user="setpriv --reuid=65534 --regid=65534 --clear-groups"
	[ "$(id -u)" = 0 ] && $user true 2>/dev/null || { echo "not root"; return 77; }
	rm -rf "${PFS:?}"/* && chmod 755 "$T" && mkdir -m 777 "$PFS/all" && echo text >"$PFS/text" && mount_m -o allow_other &&
		[ "$($user cat "$M/text")" = text ] && chmod 600 "$PFS/text" && ! $user cat "$M/text" 2>/dev/null &&
		! $user touch "$M/new" 2>/dev/null && $user cp "$T/first.log" "$M/all/copy" && $user mkdir "$M/all/dir" &&
		[ "$(stat -c %u "$PFS/all/copy" "$PFS/all/dir" | sort -u)" = 65534 ] &&
		$user /usr/bin/python3 -c 'import os, sys
os.umask(0)
os.close(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o6755))' "$M/all/suid" && [ "$(stat -c %a "$PFS/all/suid")" = 755 ] &&
		! $user "$PMIO" unmount "$M" 2>"$ERR" && one_line 'not permitted' && has_mount && unmount_m
}
check "-o allow_other" for_others

exit $tap_failed
