#!/bin/bash
# pmio mount --shared-mappings: when stores reach others, when those of others are seen, and what is lost in which case
export PMIO_POOL_SIZE=16MiB
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/mount/lib.sh" || exit 99
plan 47

export MAPPED=$top_builddir/tests/mount/mapped
rm -f "$T/first.log"
# mapped FILE STEP...: what it says is in $OUT
mapped() { expect 0 "$MAPPED" "$@"; }
# the same by a program whose files are redirected
redirected() { PMIO_LIBDIR=$top_builddir/.libs timeout -k 5 "${TEST_TIMEOUT:-600}" "$PMIO" run --paths "$PFS/*" -- "$@"; }
# in the background, until the file $T/there is there; what it says is in $T/held
hold() {
	rm -f "$T/there" "$T/go"
	timeout -k 5 "${TEST_TIMEOUT:-600}" "$MAPPED" "$@" >"$T/held" 2>&1 </dev/null &
	HELD=$!
	bgs="$bgs $HELD"
	until_ok test -e "$T/there"
}
there="say:$T/there" go="until:$T/go"
# its exit status
held_ends() {
	touch "$T/go"
	until_ok gone "$HELD" || return 99
	wait "$HELD"
}
# words TEXT...: the lines of a file
words() {
	local file=$1
	shift
	[ "$(tr '\n' ' ' <"$file")" = "$* " ] && return 0
	echo "should be: $*"
	cat "$file"
	return 1
}
# others FILE OFF TEXT: what a redirected reader finds there
others() { redirected "$MAPPED" "$PFS/$1" open:r "read:$2:${#3}" >"$OUT" && words "$OUT" "$3"; }
# as seen by others and, when drained, in the plain file
everywhere() { others "$@" && expect 0 "$PMIO" drain --all && [ "$(tail -c +$(($2 + 1)) "$PFS/$1" | head -c ${#3})" = "$3" ]; }

synced() {
	hold "$M/a" open:rw size:100000 map:0:100000 put:70000:hello msync "$there" "$go" close unmap && others a 70000 hello && held_ends &&
		everywhere a 70000 hello
}
ended() { mapped "$M/b" open:rw size:5000 map:0:5000 put:4000:late && everywhere b 4000 late; }
closed_before() {
	hold "$M/c" open:rw size:5000 map:0:5000 close "$there" "$go" put:4000:later unmap && held_ends && others c 4000 later &&
		until_ok eval '[ "$(tail -c +4001 "$PFS/c" | head -c 5)" = later ]'
}
killed() {
	expect 137 "$MAPPED" "$M/d" open:rw size:5000 map:0:5000 put:0:killed kill && everywhere d 0 killed
}

# a process that has the file in the mount, and redirected.  With older kernels what others have written may be seen a moment later
coherent() {
	unsanitized || return
	redirected python3 -c 'import mmap, os, sys, time
mounted, plain = sys.argv[1:]
fd, there = os.open(mounted, os.O_RDWR | os.O_CREAT), os.open(plain, os.O_RDWR)
os.ftruncate(fd, 20000)
m = mmap.mmap(fd, 20000)
def read(should, at, what):
    while older and os.pread(fd, len(should) + 1, at)[:len(should)] != should: time.sleep(0.01)
    assert os.pread(fd, len(should) + 1, at)[:len(should)] == should, what
older = "PMIO_MOUNT_CACHED" in os.environ
for i in range(200):
    at = i * 89
    text = lambda who: b"%s%05d" % (who, i)
    sum(m[::4096])
    os.pwrite(there, text(b"r"), at)
    read(text(b"r"), at, "read() after a write of another process")
    os.pwrite(fd, text(b"w"), at)
    assert os.pread(there, 6, at) == text(b"w"), "a write() in the mount"
    assert m[at:at + 6] == text(b"w"), "a mapping after a write() in the mount"
    m[at:at + 6] = text(b"s")
    assert os.pread(fd, 6, at) == text(b"s"), "read() after a store in the mount"
    m.flush()
    assert os.pread(there, 6, at) == text(b"s"), "a store after msync()"
    size = 20000 + i
    os.pwrite(there, b"e", size)
    read(b"e", size, "read() of what another process has appended")
    assert os.fstat(fd).st_size == size + 1, "the size"
' "$M/e" "$PFS/e"
}
# the mapping has the old page until that is dropped
stores_arrive() {
	hold "$M/f" open:rw size:5000 map:0:5000 put:0:old msync get:0:3 "$there" get_until:0:new && redirected "$MAPPED" "$PFS/f" open:rw write:0:new && held_ends
}
# without any call
stores_leave() {
	hold "$M/g" open:rw size:5000 map:0:5000 put:0:unsynced "$there" "$go" close unmap && redirected "$MAPPED" "$PFS/g" open:r read_until:0:unsynced && held_ends
}
other_pages() {
	hold "$M/h" open:rw size:20000 map:0:20000 put:4096:mine "$there" "$go" msync read:0:20 && redirected "$MAPPED" "$PFS/h" open:rw write:0:theirs write:8192:theirs &&
		held_ends && words "$T/held" theirs.............. && others h 0 theirs && others h 8192 theirs && everywhere h 4096 mine
}

two() {
	hold "$M/i" open:rw size:5000 map:0:5000 put:0:ping "$there" get_until:4090:pong get:0:4 && mapped "$M/i" open:rw map:0:5000 get_until:0:ping put:4090:pong &&
		held_ends && words "$T/held" ping && everywhere i 4090 pong
}
appended() {
	mapped "$M/j" open:rw size:3 map:0:3 put:0:one close open:a append:two read:0:9 close && words "$OUT" onetwo &&
		redirected "$MAPPED" "$PFS/j" open:a append:red && mapped "$M/j" open:rw map:0:9 put:1:N open:a append:four read:0:20 get:0:9 &&
		words "$OUT" oNetworedfour oNetwored && everywhere j 0 oNetworedfour
}
write_only() {
	mapped "$M/k" open:rw size:5000 map:0:5000 put:0:abcdefgh close open:w write:2:XX get:0:8 write:4998:end close get:0:8 && words "$OUT" abXXefgh abXXefgh &&
		everywhere k 0 abXXefgh && everywhere k 4998 end
}
read_only() { redirected "$MAPPED" "$PFS/l" open:rw write:0:text && mapped "$M/l" open:r map_ro:0:4 get:0:4 && words "$OUT" text; }
cut() {
	hold "$M/m" open:rw size:20000 map:0:20000 fill:0:20000:x "$there" "$go" get:0:3 put:10000:beyond get:0:3 && expect 0 "$MAPPED" "$M/m" open:rw size:5000 &&
		is_size "$M/m" 5000 && ! held_ends && words "$T/held" xxx put SIGBUS xxx && everywhere m 4990 xxxxxxxxxx && is_size "$PFS/m" 5000
}
removed() {
	hold "$M/n" open:rw size:5000 map:0:5000 put:0:data msync "$there" "$go" put:10:more msync read:0:14 && rm "$M/n" && held_ends &&
		words "$T/held" data......more && [ ! -e "$PFS/n" ] && until_ok eval '! "$PMIO" ls | grep -q "$PFS/n"'
}
replaced() {
	hold "$M/o" open:rw size:5000 map:0:5000 put:0:old close "$there" "$go" put:10:old msync get:0:13 unmap && echo new >"$M/o2" && mv "$M/o2" "$M/o" && held_ends &&
		words "$T/held" old.......old && [ "$(cat "$M/o")" = new ] && everywhere o 0 new
}
renamed() {
	hold "$M/p" open:rw size:5000 map:0:5000 put:0:before close "$there" "$go" put:10:after unmap && mv "$M/p" "$M/p2" && held_ends && others p2 0 before &&
		everywhere p2 10 after && [ ! -e "$PFS/p" ]
}
bypassing() {
	remount PMIO_PATHS="$PFS/*.pool" && mapped "$M/q" open:rw size:5000 map:0:5000 put:0:plain && [ "$(head -c 5 "$PFS/q")" = plain ] && remount
}

agent_killed() {
	hold "$M/r" open:rw size:5000 map:0:5000 put:0:one msync "$there" "$go" put:10:two msync put:20:three && kill_agent && held_ends && others r 0 one &&
		others r 10 two && everywhere r 20 three
}
unmounted() {
	hold "$M/s" open:rw size:3000000 map:0:3000000 fill:0:3000000:s put:2999990:last "$there" "$go" get:0:1 && unmount_m && [ "$(tail -c +2999991 "$PFS/s" | head -c 4)" = last ] &&
		[ "$(tr -d s <"$PFS/s" | wc -c)" = 3 ] && ! held_ends && words "$T/held" get SIGBUS
}
terminated() {
	local pid
	mount_m && hold "$M/t" open:rw size:3000000 map:0:3000000 close fill:0:3000000:t "$there" "$go" && pid=$(mount_pid) && kill -TERM "$pid" &&
		until_ok gone "$pid" && ! has_mount && [ "$(tr -d t <"$PFS/t" | wc -c)" = 0 ] && held_ends
}
# the kernel sends requests, which nobody answers, while the mount ends
storm() {
	for _ in 1 2 3 4 5; do
		mount_m && hold "$M/storm" open:rw size:4000000 map:0:4000000 "$there" storm && unmount_m && ! held_ends && words "$T/held" storm SIGBUS || return 1
	done
}
unmounted_held() {
	PMIO_DRAIN=hold mount_m && hold "$M/u" open:rw size:5000 map:0:5000 put:0:held "$there" "$go" && unmount_m && [ "$(state_of "$PFS/u")" = held ] && held_ends &&
		everywhere u 0 held
}
# what was stored since may be lost, or not
mount_killed() {
	local pid
	mount_m && hold "$M/v" open:rw size:5000 map:0:5000 put:0:synced msync "$there" "$go" put:4096:perhaps msync && pid=$(mount_pid) && kill -9 "$pid" &&
		until_ok gone "$pid" && ! held_ends && grep '^msync E' "$T/held" && expect 0 "$PMIO" unmount "$M" && everywhere v 0 synced && mount_m
}

both() {
	local how=$1
	check "msync$how" synced
	check "an end without msync$how" ended
	check "stores after close$how" closed_before
	check "SIGKILL$how" killed
	check "read, write and msync are seen at once$how" coherent
	check "what others write arrives in a mapping$how" stores_arrive
	check "stores leave a mapping without any call$how" stores_leave
	check "others write to other pages$how" other_pages
	check "two mappings$how" two
	check "appends$how" appended
	check "a write-only descriptor$how" write_only
	check "a mapping that is only read$how" read_only
	check "truncated$how" cut
	check "removed$how" removed
	check "replaced$how" replaced
	check "renamed$how" renamed
	check "a file that does not go through the pool$how" bypassing
	check "the agent is killed$how" agent_killed
	check "unmounted with dirty pages$how" unmounted
	check "SIGTERM with dirty pages$how" terminated
	check "unmounted while a program stores$how" storm
	check "drain=hold: unmounted with dirty pages$how" unmounted_held
	check "the mount is killed$how" mount_killed
}
mount_options=(--shared-mappings)
remount || exit 99
both ""
rm -rf "${M:?}"/*
export PMIO_MOUNT_CACHED=1
remount || exit 99
both ", as with older kernels"
logged() { ! grep ': error: ' "$PMIO_POOL/mount.log"; }
check "the log has no errors" logged

exit $tap_failed
