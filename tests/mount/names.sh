#!/bin/bash
# names in a mount: files are their inodes, and with the last name the data go
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/mount/lib.sh" || exit 99
plan 18

pattern "$T/p1" $LEN 1
pattern "$T/p2" $LEN 2
unmount_m || fatal
export PMIO_DRAIN=hold
mount_m || fatal
put() { cp "$T/p$2" "$M/$1"; }
# nothing of it is in the pool
unknown() { expect 0 "$PMIO" ls && ! says "$1"; }
drained() { expect 0 "$PMIO" drain "$PFS/$1" && cmp "$T/p$2" "$PFS/$1"; }

renamed() {
	put a 1 && mv "$M/a" "$M/b" && cmp "$T/p1" "$M/b" && [ ! -e "$M/a" ] && [ ! -e "$PFS/a" ] && put a 2 && cmp "$T/p2" "$M/a" &&
		drained b 1 && drained a 2
}
check "rename" renamed

over_closed() {
	put c 1 && put d 2 && mv "$M/d" "$M/c" && cmp "$T/p2" "$M/c" && drained c 2 && expect 0 "$PMIO" ls && ! says '^gone' &&
		[ "$(grep -c "$PFS/[cd]" "$OUT")" = 1 ]
}
check "rename over a file that is held: what it had is given up" over_closed

over_open() {
	put e 1 && put f 2 && python 'import os, sys
e, f, want = sys.argv[1:]
fd = os.open(e, os.O_RDWR)
os.write(fd, b"mine")
os.rename(f, e)
assert os.pread(fd, 9000000, 0) == b"mine" + open(want, "rb").read()[4:]
os.pwrite(fd, b"x", 4)
os.close(os.dup(fd))
assert os.pread(fd, 5, 0) == b"minex" and os.fstat(fd).st_nlink == 0
os.close(fd)' "$M/e" "$M/f" "$T/p1" && cmp "$T/p2" "$M/e" && drained e 2 && until_ok eval 'unknown "^(gone|held)"'
}
check "rename over a file that is open" over_open

unlinked_open() {
	python 'import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(fd, b"one")
os.close(os.dup(fd))  # a close in between, after which it is held
os.unlink(sys.argv[1])
assert not os.path.exists(sys.argv[1])
assert os.pread(fd, 9, 0) == b"one"
os.write(fd, b"two")
pid = os.fork()
if pid == 0: os._exit(0)
os.waitpid(pid, 0)
assert os.pread(fd, 9, 0) == b"onetwo" and os.fstat(fd).st_size == 6
os.ftruncate(fd, 2)
assert os.fstat(fd).st_size == 2
os.close(fd)' "$M/g" && [ ! -e "$PFS/g" ] && until_ok eval 'unknown "$PFS/g"'
}
check "unlink while it is open" unlinked_open

removed() {
	put h 1 && rm "$M/h" && unknown "$PFS/h" && [ ! -e "$PFS/h" ] && put h 2 && drained h 2 && rm "$M/h" && unknown "$PFS/h"
}
check "rm: what the pool has of it goes" removed

below() {
	put i 1 && mv "$PFS/i" "$PFS/i2" && [ ! -e "$M/i" ] && cmp "$T/p1" "$M/i2" && drained i2 1
}
check "renamed below the mount" below

links() {
	put j 1 && ln "$M/j" "$M/j2" && [ "$(stat -c %i "$M/j")" = "$(stat -c %i "$M/j2")" ] && [ "$(stat -c %h "$M/j")" = 2 ] &&
		rm "$M/j" && cmp "$T/p1" "$M/j2" && drained j2 1 && ln -s j2 "$M/j3" && [ "$(readlink "$M/j3")" = j2 ] &&
		cmp "$T/p1" "$M/j3" && ln "$M/j3" "$M/j4" && [ "$(readlink "$PFS/j4")" = j2 ]
}
check "links, hard and symbolic" links

exchanged() {
	put k 1 && put l 2 && python 'import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def rename(flags): return libc.renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), flags)
assert rename(1) == -1 and ctypes.get_errno() == 17
assert rename(2) == 0' "$M/k" "$M/l" && cmp "$T/p2" "$M/k" && drained k 2 && drained l 1
}
check "renameat2: not over a file; exchanged" exchanged

folders() {
	mkdir -p "$M/x/y/z" && put x/y/z/f 1 && mv "$M/x" "$M/w" && cmp "$T/p1" "$M/w/y/z/f" && drained w/y/z/f 1 &&
		! rmdir "$M/w/y" 2>/dev/null && rm -r "$M/w/y" && rmdir "$M/w" && [ ! -e "$PFS/w" ] && mkdir "$M/many" &&
		(cd "$M/many" && seq 2000 | xargs touch) && [ "$(find "$M/many" -type f | wc -l)" = 2000 ] && rm -r "$M/many" &&
		[ ! -e "$PFS/many" ]
}
check "directories" folders

attributes() {
	put m 1 && chmod 640 "$M/m" && [ "$(stat -c %a "$PFS/m")" = 640 ] && mkfifo "$M/fifo" && [ -p "$PFS/fifo" ] &&
		(echo through >"$M/fifo" & cat "$M/fifo") | grep -q through && cmp "$T/p1" "$M/m" && python 'import os, sys
m, p = sys.argv[1:]
os.utime(m, ns=(1, 1234567890123456789))
assert os.stat(p).st_mtime_ns == 1234567890123456789 == os.stat(m).st_mtime_ns
try: os.setxattr(m, "user.mine", b"value")
except OSError as e: sys.exit(0 if e.errno == 95 else str(e))
assert os.getxattr(p, "user.mine") == b"value" and "user.mine" in os.listxattr(m)
os.removexattr(m, "user.mine")
assert not os.listxattr(p) or os.listxattr(p) == ["user.pmio.waits"]' "$M/m" "$PFS/m" && drained m 1
}
check "modes, times, extended attributes, a fifo" attributes

# the umask counts, unless the folder has a default access control list
masks() {
	(umask 027 && mkdir "$M/mask" && mkdir "$M/mask/d" && echo x >"$M/mask/f" && mkfifo "$M/mask/p") &&
		[ "$(cd "$PFS/mask" && stat -c %a . d f p | tr '\n' ' ')" = "750 750 640 640 " ] || return
	command -v setfacl >/dev/null && setfacl -d -m u::rwx,u:1:rwx,g::rwx,o::r "$PFS/mask" 2>/dev/null || { echo "no access control lists"; return 77; }
	(umask 027 && mkdir "$M/mask/d2" && echo x >"$M/mask/f2") && [ "$(cd "$PFS/mask" && stat -c %a d2 f2 | tr '\n' ' ')" = "774 664 " ]
}
check "modes of what is made" masks

# a mark of the pool must not go to a copy
mark_is_hidden() {
	put n 1 && python 'import os, sys
m, p = sys.argv[1:]
if "user.pmio.waits" not in os.listxattr(p): sys.exit(77)
assert "user.pmio.waits" not in os.listxattr(m)
try: os.setxattr(m, "user.pmio.waits", b"x"); sys.exit("was set")
except PermissionError: pass' "$M/n" "$PFS/n"
}
check "what pmio has written on a file is not shown" mark_is_hidden

statfs() {
	[ "$(stat -f -c '%b %S %l' "$M")" = "$(stat -f -c '%b %S %l' "$PFS")" ] && df "$M" >/dev/null && sync -f "$M" && sync "$M"
}
check "statfs; sync" statfs

refused_pmem() {
	put o 1 && fails PMIO_EOTHER 'in a `pmio mount`' "$M/o" write 0 10 1 && fails PMIO_EOTHER 'in a `pmio mount`' -r "$M/o" is 1 &&
		cmp "$T/p1" "$M/o" && drained o 1
}
check "nobody opens a file of the mount through the pool" refused_pmem

unmount_m || fatal
# the mount and the pool are below its source: neither is to be reached through it
inside() {
	mkdir -p "$T/w" && expect 0 "$PMIO" mount --source "$T" "$M" && has_mount && [ -d "$M/pfs" ] && [ -d "$M/w" ] &&
		! ls "$M/mnt" 2>"$ERR" && one_line 'Too many levels of symbolic links' && ! cat "$M/pool/data" 2>"$ERR" >/dev/null &&
		one_line 'Too many levels' && ! mkdir "$M/mnt" 2>/dev/null && cp "$T/p1" "$M/pfs/in" && cmp "$T/p1" "$M/pfs/in" &&
		[ "$(state_of "$PFS/in")" = held ] && ! timeout 60 find "$M" -maxdepth 2 >/dev/null 2>&1
	local rc=$?
	unmount_m && [ $rc = 0 ] && expect 0 "$PMIO" drain "$PFS/in" && cmp "$T/p1" "$PFS/in"
}
check "the mount below its source: ELOOP; the pool, too" inside

whole() {
	expect 0 "$PMIO" mount "$M" && has_mount && cp "$T/p1" "$M$PFS/root" && [ "$(state_of "$PFS/root")" = held ] &&
		cmp "$T/p1" "$M$PFS/root" && [ "$(cat "$M/proc/self/comm")" != '' ] && [ "$(cat "$M/proc/sys/kernel/ostype")" = Linux ] &&
		cmp "$(type -P bash)" "$M$(readlink -f "$(type -P bash)")" && ! ls "$M$M" 2>/dev/null
	local rc=$?
	unmount_m && return $rc
}
check "the whole tree is the source; files of /proc are as they are" whole

two_mounts() {
	mkdir "$T/mnt2" && mount_m && expect 0 "$PMIO" mount --source "$PFS" "$T/mnt2" && cp "$T/p1" "$M/q" && cmp "$T/p1" "$T/mnt2/q" &&
		echo more >>"$T/mnt2/q" && [ "$(tail -c 5 "$M/q")" = more ] && is_size "$M/q" $((LEN + 5)) && is_size "$PFS/q" 0
	local rc=$?
	expect 0 "$PMIO" unmount "$T/mnt2" && unmount_m && return $rc
}
check "two mounts of one source" two_mounts

# each is below the source of the other
mutual() {
	expect 0 "$PMIO" mount --source "$T" "$M" && expect 0 "$PMIO" mount --source "$T" "$T/mnt2" && ! ls "$M/mnt2" 2>"$ERR" &&
		one_line 'Too many levels' && ! ls "$T/mnt2/mnt" 2>/dev/null && [ -d "$T/mnt2/pfs" ] && ls "$M" >/dev/null &&
		expect 1 "$PMIO" mount --source "$T/mnt2/pfs" "$PFS" && one_line 'in a mount of pmio already'
	local rc=$?
	expect 0 "$PMIO" unmount "$T/mnt2" && unmount_m && return $rc
}
check "two mounts that see each other" mutual

exit $tap_failed
