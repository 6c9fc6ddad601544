# lib.sh -- sourced after env.sh and tests/cli/lib.sh: $PFS is a faultfs, $BACK the folder behind it

FAULTFS=$top_builddir/tests/fuse/faultfs
BACK=$T/back CTL=$T/control
mkdir "$BACK"
ffpid=

mounted() { mountpoint -q "$PFS"; }
mount_pfs() {
	"$FAULTFS" "$BACK" "$PFS" "$CTL" >"$T/faultfs.log" 2>&1 </dev/null &
	ffpid=$!
	until_ok eval "mounted || gone $ffpid" && mounted
}
unmount_pfs() {
	[ -n "$ffpid" ] || return 0
	rm -f "$CTL" # what hangs must go on
	fusermount3 -u -z "$PFS" 2>/dev/null || umount -l "$PFS" 2>/dev/null
	until_ok gone "$ffpid" || kill -9 "$ffpid"
	ffpid=
}
# the server is gone: each call to the file system fails
vanish() {
	kill -9 "$ffpid" && until_ok gone "$ffpid"
}
come_back() {
	fusermount3 -u -z "$PFS" 2>/dev/null || umount -l "$PFS" || return 1
	mount_pfs
}
# fault RULE...: from now on, a line each
fault() {
	printf '%s\n' "$@" >"$CTL.new" && mv "$CTL.new" "$CTL"
}
no_fault() { rm -f "$CTL"; }

# shellcheck disable=SC2086
trap 'kill -9 $bgs 2>/dev/null; rm -f "$CTL"; "$PMIO" agent stop --force >/dev/null 2>&1; unmount_pfs; cleanup' EXIT

[ -x "$FAULTFS" ] || skip_all "built without libfuse3 (libfuse3-dev)"
[ -w /dev/fuse ] || skip_all "no /dev/fuse to write to"
mount_pfs || skip_all "cannot mount: $(tail -n 1 "$T/faultfs.log")"
