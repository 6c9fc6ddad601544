#!/bin/bash
# the data of files in a mount: written and read in all ways, with the right size, and the same for others at once
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/mount/lib.sh" || exit 99
plan 22

pattern "$T/ref" 3300000 1

copied() {
	cp "$T/ref" "$M/a" && cmp "$T/ref" "$M/a" && cmp "$T/ref" "$PFS/a" && cat "$M/a" | cmp "$T/ref" - &&
		cp "$M/a" "$M/a2" && cmp "$T/ref" "$PFS/a2" && expect 0 "$FILEIO" -r "$PFS/a2" is 3300000 verify 0 3300000 1
}
check "cp and cat" copied

blocks() {
	local bs
	for bs in 1 7 511 512 4095 4097 65536 65537 262145 1048575 1048576 3000001; do
		head -c $((bs < 1000 ? bs * 999 : 3300000)) "$T/ref" >"$T/part"
		dd if="$T/part" of="$M/d" bs=$bs status=none && cmp "$T/part" "$M/d" && cmp "$T/part" "$PFS/d" &&
			dd if="$M/d" of="$T/back" bs=$bs status=none && cmp "$T/part" "$T/back" || { echo "bs=$bs"; return 1; }
	done
}
check "dd in blocks of many sizes" blocks

in_place() {
	cp "$T/ref" "$T/mine" && cp "$T/ref" "$M/e" || return
	for at in 0 1 4096 70001 1048570 3299999; do
		for f in "$T/mine" "$M/e"; do
			printf 'inserted text' | dd of="$f" bs=1 seek=$at conv=notrunc status=none || return
		done
		cmp "$T/mine" "$M/e" && cmp "$T/mine" "$PFS/e" || return
	done
	printf x | dd of="$M/e" bs=1M seek=9 conv=notrunc status=none && printf x | dd of="$T/mine" bs=1M seek=9 conv=notrunc status=none &&
		cmp "$T/mine" "$M/e" && is_size "$M/e" 9437185 && cmp "$T/mine" "$PFS/e"
}
check "written in place, and far beyond the end" in_place

direct() {
	dd if="$T/ref" of="$M/direct" bs=4096 oflag=direct status=none && cmp "$T/ref" "$PFS/direct" &&
		dd if="$M/direct" of="$T/back" bs=65536 iflag=direct status=none && cmp "$T/ref" "$T/back"
}
check "O_DIRECT" direct

shortened() {
	cp "$T/ref" "$M/t" && truncate -s 100001 "$M/t" && is_size "$M/t" 100001 && is_size "$PFS/t" 100001 &&
		truncate -s 3000000 "$M/t" && is_size "$M/t" 3000000 && is_size "$PFS/t" 3000000 &&
		head -c 100001 "$T/ref" >"$T/mine" && truncate -s 3000000 "$T/mine" && cmp "$T/mine" "$M/t" && cmp "$T/mine" "$PFS/t" &&
		: >"$M/t" && is_size "$M/t" 0 && is_size "$PFS/t" 0
}
check "truncate" shortened

two_append() {
	local i pids=
	for i in 1 2; do
		(for n in $(seq 150); do echo "writer $i line $n, with some text behind it" >>"$M/log" || exit 1; done) &
		pids="$pids $!"
	done
	for i in $pids; do wait "$i" || return 1; done
	[ "$(wc -l <"$M/log")" = 300 ] && [ "$(grep -cE '^writer [12] line [0-9]+, with some text behind it$' "$PFS/log")" = 300 ] &&
		[ "$(sort -u "$PFS/log" | wc -l)" = 300 ]
}
check "two append, and open it each time" two_append

# each has it open all the time, and one of them a second mount's
two_append_open() {
	python 'import os, sys
def child(path, n):
    pid = os.fork()
    if pid == 0:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for i in range(500):
            if os.write(fd, b"%d %04d\n" % (n, i)) != 7: os._exit(1)
        os.close(fd)
        os._exit(0)
    return pid
pids = [child(sys.argv[1], n) for n in range(3)]
sys.exit(any([os.waitpid(p, 0)[1] for p in pids]))' "$M/log2" && is_size "$PFS/log2" 10500 && [ "$(sort -u "$PFS/log2" | wc -l)" = 1500 ]
}
check "three append, and have it open" two_append_open

flags() {
	python 'import os, sys, errno
m, p = sys.argv[1:]
fd = os.open(m, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444)
assert os.write(fd, b"first") == 5 and os.pread(fd, 9, 0) == b"first"
try: os.open(m, os.O_RDWR | os.O_CREAT | os.O_EXCL); sys.exit("O_EXCL")
except OSError as e: assert e.errno == errno.EEXIST
os.close(fd)
assert os.stat(m).st_mode & 0o777 == 0o444 == os.stat(p).st_mode & 0o777
os.chmod(m, 0o644)
fd = os.open(m, os.O_WRONLY | os.O_SYNC)
os.write(fd, b"FI")
assert open(p, "rb").read() == b"FIrst"  # as sync=auto says
os.close(fd)
fd = os.open(m, os.O_WRONLY | os.O_TRUNC)
assert os.stat(m).st_size == 0
os.close(fd)
assert os.stat(p).st_size == 0
fd = os.open(m, os.O_RDONLY)
try: os.write(fd, b"x"); sys.exit("O_RDONLY")
except OSError as e: assert e.errno == errno.EBADF' "$M/fl" "$PFS/fl"
}
check "O_EXCL, O_SYNC, O_TRUNC, and a new file that nobody may write to" flags

synced() {
	python 'import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(fd, b"some"); os.fsync(fd)
assert open(sys.argv[2], "rb").read() == b"some"
os.write(fd, b" more"); os.fdatasync(fd)
assert open(sys.argv[2], "rb").read() == b"some more"' "$M/sy" "$PFS/sy"
}
check "fsync: on the file system" synced

holes() {
	python 'import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.pwrite(fd, b"x", 5000000)
assert os.lseek(fd, 100, os.SEEK_DATA) == 100 and os.lseek(fd, 100, os.SEEK_HOLE) == 5000001
try: os.lseek(fd, 5000001, os.SEEK_DATA); sys.exit("SEEK_DATA at the end")
except OSError: pass
assert os.pread(fd, 10, 4000000) == bytes(10)
os.posix_fallocate(fd, 0, 6000000)
assert os.fstat(fd).st_size == 6000000 and os.pread(fd, 1, 5000000) == b"x"' "$M/ho" && is_size "$PFS/ho" 6000000
}
check "SEEK_DATA, SEEK_HOLE, posix_fallocate" holes

mapped() {
	cp "$T/ref" "$M/map" && python 'import mmap, os, sys, errno
want = open(sys.argv[2], "rb").read()
fd = os.open(sys.argv[1], os.O_RDWR)
p = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE)
assert p[:] == want
p[0:4] = b"mine"
assert os.pread(fd, 4, 0) == want[:4]
try: mmap.mmap(fd, 0, flags=mmap.MAP_SHARED); print("shared mappings work here")
except OSError as e: assert e.errno == errno.ENODEV' "$M/map" "$T/ref" && cp "$(type -P true)" "$M/true" && "$M/true"
}
check "mmap: private ones, and a program is run; shared ones are refused" mapped

in_kernel() {
	python 'import os, sys
src, dst = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDWR | os.O_CREAT | os.O_TRUNC)
n = os.fstat(src).st_size
at = 0
while at < n: at += os.sendfile(dst, src, at, n - at)
os.ftruncate(dst, 0); os.lseek(dst, 0, 0)
while os.copy_file_range(src, dst, 1 << 20): pass' "$M/map" "$M/copied" && cmp "$T/ref" "$M/copied" && cmp "$T/ref" "$PFS/copied"
}
check "sendfile, copy_file_range" in_kernel

static() {
	file_is_static=$(od -An -c -N4 "$COPY" | tr -d ' ')
	[ "$file_is_static" = '177ELF' ] && ! ldd "$COPY" >/dev/null 2>&1 || { echo "no static program here"; return 77; }
	"$COPY" "$T/ref" "$M/st" && cmp "$T/ref" "$PFS/st" && "$COPY" "$M/st" "$T/back" && cmp "$T/ref" "$T/back"
}
check "a static program" static

locks() {
	python 'import fcntl, os, subprocess, sys, time
m, p, prog = sys.argv[1:]
f = open(p, "r+b")
fcntl.lockf(f, fcntl.LOCK_EX, 10)
g = open(m, "r+b")
try: fcntl.lockf(g, fcntl.LOCK_SH | fcntl.LOCK_NB); sys.exit("another has the lock below")
except BlockingIOError: pass
child = subprocess.Popen([prog, "-l", m], stdout=subprocess.PIPE)
time.sleep(0.3)
assert child.poll() is None
fcntl.lockf(f, fcntl.LOCK_UN)
assert child.stdout.read() == b"locked\n" and child.wait() == 0
fcntl.lockf(g, fcntl.LOCK_EX)
child = subprocess.Popen([prog, "-l", m], stdout=subprocess.PIPE)
time.sleep(0.1)
child.kill(); child.wait()
os.dup(g.fileno())
g.close()  # and with it all locks of the process
assert subprocess.run([prog, "-l", m], stdout=subprocess.PIPE, timeout=60).stdout == b"locked\n"
a, b, c = open(m), open(m), open(p)
fcntl.flock(a, fcntl.LOCK_EX)
for other in b, c:
    try: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB); sys.exit("flock")
    except BlockingIOError: pass
a.close()
for i in range(600):  # the kernel lets go of it a moment later
    try: fcntl.flock(c, fcntl.LOCK_EX | fcntl.LOCK_NB); break
    except BlockingIOError: time.sleep(0.1)
else: sys.exit("still locked")' "$M/map" "$PFS/map" "$COPY"
}
check "locks: also with those who use the file below" locks
# of an open file description: the kernel tells of no close by who has it
ofd_locks() {
	python 'import fcntl, os, struct, sys, time
SETLK, GETLK = 37, 36
def lock(f, kind, how=SETLK): return struct.unpack("hhqqi4x", fcntl.fcntl(f, how, struct.pack("hhqqi4x", kind, 0, 0, 10, 0)))[0]
def refused(f):
    try: lock(f, fcntl.F_WRLCK)
    except BlockingIOError: return True
m, p = sys.argv[1:]
a, b, c = open(m, "r+b"), open(m, "r+b"), open(p, "r+b")
lock(a, fcntl.F_WRLCK)
assert refused(b) and refused(c) and lock(b, fcntl.F_WRLCK, GETLK) == fcntl.F_WRLCK and lock(a, fcntl.F_WRLCK, GETLK) == fcntl.F_UNLCK
d = os.dup(a.fileno())
a.close()
time.sleep(0.2)
assert refused(b) and refused(c)
os.close(d)
for f in c, b:
    for i in range(600):  # as with flock()
        if not refused(f): break
        time.sleep(0.1)
    else: sys.exit("still locked")
    lock(f, fcntl.F_UNLCK)' "$M/map" "$PFS/map"
}
check "locks of open file descriptions" ofd_locks

# fileio has it open, as an MPI program would
both_ways() {
	background "$PFS/both" write 0 $LEN 3 wait "$T/go1" verify 0 $LEN 4 write $LEN $LEN 5 wait "$T/go2"
	bg_says waiting && is_size "$M/both" $LEN && pattern "$T/p3" $LEN 3 && cmp "$T/p3" "$M/both" && [ "$(size "$PFS/both")" = 0 ] &&
		pattern "$T/p4" $LEN 4 && python 'import os, subprocess, sys, time
m, data, go, log = sys.argv[1:]
fd = os.open(m, os.O_RDWR)
os.write(fd, open(data, "rb").read())
open(go, "w").close()
for i in range(1200):
    if open(log).read().count("waiting") == 2: break
    time.sleep(0.1)
assert os.fstat(fd).st_size == 600000 == os.stat(m).st_size
o = 300001
assert os.pread(fd, 1, o)[0] == (o * 131 + (o >> 8) * 17 + (o >> 20) * 5 + 5) & 255' "$M/both" "$T/p4" "$T/go1" "$T/bg" &&
		touch "$T/go2" && bg_ends && is_size "$PFS/both" 600000
}
check "what is written is seen by who has it open through the pool, and the reverse" both_ways

unmount_m || fatal
export PMIO_DRAIN=hold
held() {
	mount_m && cp "$T/ref" "$M/h" && is_size "$M/h" 3300000 && is_size "$PFS/h" 0 && [ "$(ls -l "$M" | awk '$NF == "h" { print $5 }')" = 3300000 ] &&
		[ "$(du -k --apparent-size "$M/h" | cut -f1)" -gt 3000 ] && [ "$(stat -c %b "$M/h")" -gt 6000 ] &&
		[ "$(state_of "$PFS/h")" = held ] && cmp "$T/ref" "$M/h" && tar -C "$M" -cSf "$T/h.tar" h && tar -xOf "$T/h.tar" h | cmp "$T/ref" -
}
check "held: ls -l shows the file's size, and all read it" held

held_more() {
	truncate -s 1000 "$M/h" && is_size "$M/h" 1000 && echo more >>"$M/h" && is_size "$M/h" 1005 && is_size "$PFS/h" 0 &&
		expect 0 "$FILEIO" -r "$PFS/h" is 1005 verify 0 1000 1 && expect 0 "$PMIO" drain "$PFS/h" && is_size "$PFS/h" 1005 &&
		cmp "$PFS/h" "$M/h"
}
check "held: written again, then drained" held_more

held_times() {
	cp "$T/ref" "$M/ht" && is_size "$PFS/ht" 0 && touch -d '2001-02-03 04:05:06' "$M/ht" && cmp "$T/ref" "$PFS/ht" &&
		[ "$(stat -c %y "$PFS/ht")" = "$(stat -c %y "$M/ht")" ] && stat -c %y "$PFS/ht" | grep -q '^2001-02-03' &&
		cp -p "$PFS/ht" "$M/ht2" && expect 0 "$PMIO" drain --all && stat -c %y "$PFS/ht2" | grep -q '^2001-02-03' && cmp "$T/ref" "$M/ht2"
}
check "held: a time that is set stays" held_times

# a later write would take capabilities away
held_rights() {
	cp "$T/ref" "$M/hc" && is_size "$PFS/hc" 0 || return
	python 'import os, sys
os.setxattr(sys.argv[1], "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))' "$M/hc" 2>/dev/null || { echo "not permitted"; return 77; }
	is_size "$PFS/hc" 3300000 && cp "$T/ref" "$M/hm" && chmod 444 "$M/hm" && cmp "$T/ref" "$PFS/hm" && expect 0 "$PMIO" drain --all &&
		python 'import os, sys; os.getxattr(sys.argv[1], "security.capability")' "$PFS/hc"
}
check "held: capabilities and modes that are set stay" held_rights
unmount_m || fatal
unset PMIO_DRAIN

selected() {
	PMIO_PATHS="$PFS/*.in" PMIO_DRAIN=hold mount_m && cp "$T/ref" "$M/x.in" && cp "$T/ref" "$M/x.out" &&
		is_size "$PFS/x.in" 0 && cmp "$T/ref" "$PFS/x.out" && cmp "$T/ref" "$M/x.in" && is_size "$M/x.in" 3300000 &&
		mv "$M/x.in" "$M/x.other" && cmp "$T/ref" "$M/x.other" && is_size "$M/x.other" 3300000 && unmount_m &&
		expect 0 "$PMIO" drain --all && cmp "$T/ref" "$PFS/x.other"
}
check "paths: others go past the pool; a file with data there does not, whatever it is called" selected

full() {
	head -c 40000000 /dev/urandom >"$T/large" && expect 0 "$PMIO" agent stop && expect 0 "$PMIO" pool destroy "$PMIO_POOL" && mkdir -m 700 "$PMIO_POOL" &&
		PMIO_POOL_SIZE=16MiB mount_m && cp "$T/large" "$M/large" && cmp "$T/large" "$M/large" && cmp "$T/large" "$PFS/large" && unmount_m
}
check "a file that is larger than the pool" full

exit $tap_failed
