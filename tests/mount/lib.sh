# lib.sh -- sourced after env.sh and tests/cli/lib.sh: $M is where $PFS is mounted, with its data in the pool

. "$top_srcdir/tests/redirect/files.sh" || exit 99
M=$T/mnt
mkdir "$M"
COPY=$top_builddir/tests/mount/copy
LEN=300000

has_mount() { mountpoint -q "$M"; }
mount_options=() # of mount_m and remount
# mount_m [OPTION...]: with the settings as they are now
mount_m() {
	expect 0 "$PMIO" mount --source "$PFS" "${mount_options[@]}" "$@" "$M" && has_mount
}
unmount_m() {
	expect 0 "$PMIO" unmount "$M" && silent && ! has_mount
}
# remount [VARIABLE=VALUE...]: so that the mount has other settings
remount() {
	unmount_m && env "$@" "$PMIO" mount --source "$PFS" "${mount_options[@]}" "$M" && has_mount
}
# the process that serves it
mount_pid() { python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.pmio.mount").decode())' "$M"; }
# sizes are those, here and through the pool
is_size() {
	[ "$(size "$1")" = "$2" ] && return 0
	echo "$1: size $(size "$1"), should be $2"
	return 1
}
# python CODE [ARGUMENT...]
python() { timeout -k 5 "${TEST_TIMEOUT:-600}" python3 -c "$@"; }

end_mount() {
	local pid
	has_mount || return 0
	pid=$(mount_pid 2>/dev/null)
	timeout 60 "$PMIO" unmount "$M" >/dev/null 2>&1
	has_mount || return 0
	[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
	fusermount3 -u -z "$M" 2>/dev/null || umount -l "$M" 2>/dev/null
}
# shellcheck disable=SC2086
trap 'kill -9 $bgs 2>/dev/null; end_mount; cleanup' EXIT

[ -x "$top_builddir/tests/fuse/faultfs" ] || skip_all "built without libfuse3 (libfuse3-dev)"
[ -e /dev/fuse ] || skip_all "no /dev/fuse"
"$PMIO" mount --source "$PFS" "$M" >"$T/first.log" 2>&1
has_mount || ! grep -q 'cannot be mounted\|/dev/fuse\|fusermount3' "$T/first.log" || skip_all "cannot mount: $(tail -n 1 "$T/first.log")"
has_mount || { cat "$T/first.log"; exit 99; }
