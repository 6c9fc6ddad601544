#!/bin/bash
# pmio run --paths: which files, how it ends, what it tells, and what it cannot redirect
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/lib.sh" || exit 99
plan 34
export PMIO_DRAIN=hold

run() { expect 0 "$PMIO" run "$@"; }
held_size() { [ "$(state_of "$1")" = held ] && [ "$(size "$1")" = 0 ] && [ "$(redirected -- stat -c %s "$1")" = "$2" ]; }

patterns() {
	run --paths "$PFS/*.a:$PFS/b*" -- sh -c "echo 1 >$PFS/x.a; echo 2 >$PFS/b1; echo 3 >$PFS/other" &&
		[ "$(size "$PFS/x.a") $(size "$PFS/b1") $(size "$PFS/other")" = "0 0 2" ] && held_size "$PFS/x.a" 2
}
relative() {
	(cd "$PFS" && run --paths 'rel*' -- sh -c "echo 1 >rel1; echo 2 >$PFS/rel2") && held_size "$PFS/rel1" 2 && held_size "$PFS/rel2" 2 &&
		HOME=$PFS run --paths "/none/*:~/hom*" -- sh -c "echo 1 >$PFS/home1" && held_size "$PFS/home1" 2
}
several() {
	run --paths "$PFS/se1*" --paths "$PFS/se2*" -- "$PMIO" run --paths "$PFS/se3*:$PFS/se1*" -- sh -c "for i in 1 2 3 4; do echo \$i >$PFS/se\$i; done; echo \$PMIO_REDIRECT_PATHS; echo \$LD_PRELOAD" &&
		held_size "$PFS/se1" 2 && held_size "$PFS/se2" 2 && held_size "$PFS/se3" 2 && [ "$(size "$PFS/se4")" = 2 ] &&
		says "^$PFS/se1\*:$PFS/se2\*:$PFS/se3\*$" && [ "$(tail -n 1 "$OUT" | grep -o libpmio-redirect.so | wc -l)" = 1 ]
}
# a file system that is mounted below the pattern's folder, before and while a program runs
mounted_below() {
	local m=$PFS/mounted rc
	mkdir "$m" "$m.late" && mount -t tmpfs -o size=4m pmio-test "$m" 2>/dev/null || { echo "cannot mount"; return 77; }
	run --paths "$PFS/*" -- sh -c "stat /etc/passwd >/dev/null; echo held >$m/a; stat -c %s $m/a; echo gone >$m/b; rm $m/b; mv $m/a $m/c; cat $m/c; cat $m/c >$m.late/d
python3 -c \"import os, subprocess; os.stat('$m/c'); subprocess.run(['mount', '-t', 'tmpfs', 'pmio-test', '$m.late']); f = open('$m.late/e', 'w'); f.write('late'); f.close(); print(os.stat('$m.late/e').st_size)\"" &&
		[ "$(tail -n 3 "$OUT" | tr '\n' ' ')" = '5 held 4 ' ] && held_size "$m/c" 5 && ! "$PMIO" ls | grep -q mounted/b && drain_all && [ "$(cat "$m/c")" = held ]
	rc=$?
	"$PMIO" agent stop --force
	umount "$m" "$m.late"
	return $rc
}
# a file keeps the name by which it was opened, also when that has gone and it has others
linked_removed() {
	run --paths "$PFS/*.lr" -- python3 -c "import os, subprocess
os.chdir('$PFS')
f = os.open('a.lr', os.O_RDWR | os.O_CREAT); os.link('a.lr', 'b.lr'); os.write(f, b'parent ')
os.unlink('a.lr'); subprocess.run(['sh', '-c', 'echo child; cat b.lr >&2'], stdout=f); os.write(f, b'end')
with open('c.lr', 'w') as g: g.write('old ')
os.link('c.lr', 'backup.lr'); g = open('c.lr', 'a')
with open('new.lr', 'w') as n: n.write('new ')
os.rename('new.lr', 'c.lr'); subprocess.run(['echo', 'more'], stdout=g); g.close()
with open('d.lr (deleted)', 'w') as d: d.write('other')
print(open('b.lr').read(), open('backup.lr').read(), open('c.lr').read())" && [ "$(cat "$ERR")" = 'parent child' ] && says '^end old more$' && says '^ new $' &&
		[ "$(size "$PFS/b.lr")" = 0 ] && [ "$(size "$PFS/d.lr (deleted)")" = 5 ] && drain_all && [ "$(cat "$PFS/b.lr" "$PFS/backup.lr" "$PFS/c.lr" | tr '\n' ' ')" = 'parent child endold more new ' ]
}
linked() {
	ln -s "$PFS" "$T/link" && run --paths "$T/link/l*" -- sh -c "echo 1 >$T/link/l1; echo 2 >$PFS/l2" && held_size "$PFS/l1" 2 &&
		held_size "$PFS/l2" 2 && ln -s "$PFS/l3" "$T/l3" && echo old >"$PFS/l3" && run --paths "$PFS/*" -- sh -c "echo new3 >$T/l3" &&
		[ "$(redirected -- cat "$PFS/l3")" = new3 ] && [ "$(cat "$PFS/l3")" != new3 ]
}
prefix() {
	run --paths "/nonexistent/*" -- sh -c "echo 1 >pmem:$PFS/p1; cat pmem:$PFS/p1; cat <$PFS/p1 >>$PFS/p1.copy; head -c 1 $PFS/p1" &&
		[ "$(tr '\n' ' ' <"$OUT")" = '1 1' ] && [ "$(cat "$PFS/p1.copy")" = 1 ] && held_size "$PFS/p1" 2 && [ ! -e pmem: ]
}
prefix_inherited() {
	run --paths "/nonexistent/*" -- bash -c "exec 3>pmem:$PFS/p2; /bin/echo by a child >&3; cat pmem:$PFS/p2" && says '^by a child$' &&
		held_size "$PFS/p2" 11
}
# in calls that have nothing to do with data
prefix_elsewhere() {
	run --paths "/nonexistent/*" -- bash -c "p=pmem:$PFS/pe; mkdir \$p && mkdir -p \$p/a/b && echo 1 >\$p/a/b/f && ls \$p/a/b && mv \$p/a \$p/c && ln -s c \$p/l && readlink \$p/l && cat \$p/l/b/f &&
		mkfifo \$p/p && [ -p $PFS/pe/p ] && cd \$p/c && pwd && find \$p -name f && rm -r \$p/c && df \$p >/dev/null && ls -A \$p" &&
		[ "$(tr '\n' ' ' <"$OUT")" = "f c 1 $PFS/pe/c pmem:$PFS/pe/c/b/f l p " ]
}
status() {
	expect 7 "$PMIO" run --paths "$PFS/*" -- sh -c 'exit 7' && expect 7 "$PMIO" run --paths "$PFS/*" --report -- sh -c 'exit 7' &&
		expect 143 "$PMIO" run --paths "$PFS/*" --report -- sh -c 'kill -TERM $$' && expect 127 "$PMIO" run --paths "$PFS/*" --check -- none
}
passes_signals() {
	timeout 60 "$PMIO" run --paths "$PFS/*" --report -- bash -c 'trap "echo got it; exit 3" TERM; echo ready; while :; do sleep 0.1; done' >"$T/sig.out" 2>/dev/null &
	local pid=$! child
	until_ok grep -q ready "$T/sig.out" || return
	child=$(pgrep -P "$pid" | head -n 1)
	kill -TERM "${child:-$pid}"
	wait "$pid"
	[ $? = 3 ] && grep -q 'got it' "$T/sig.out"
}
usage() {
	expect 2 "$PMIO" run -- true && expect 2 "$PMIO" run --check -- true && expect 2 "$PMIO" run --paths x --drain=sometimes -- true &&
		expect 125 "$PMIO" run --paths : -- true && one_line 'no pattern'
}
checks() {
	run --paths "$PFS/*" --check -- bash -c "echo 1 >$PFS/c1; cat $PFS/c1 >/dev/null; cp $PFS/c1 $PFS/c2" &&
		grep -Eq "^check: redirected +[0-9]+ bash +$PFS/c1$" "$ERR" && grep -Eq "^check: redirected +[0-9]+ cp +$PFS/c2$" "$ERR" &&
		grep -q '^check: .* redirected, 0 bypassed the pool$' "$ERR" && ! ls "$T"/pmio-run.* 2>/dev/null
}
# the file with its notes may be longer than the program's may, and names have newlines
checks_limited() {
	run --paths "$PFS/*" --check -- bash -c 'for i in $(seq 40); do echo x >'"$PFS"'/"cl
$i"; done; ulimit -f 1; head -c 3000 /dev/zero 2>/dev/null >'"$PFS/cl"'; stat -c %s '"$PFS/cl" && says '^1024$' && grep -Eq '^check: redirected +[0-9]+ bash .*cl.*40' "$ERR" &&
		grep -q '^check: the list is incomplete' "$ERR"
}
reports() {
	run --paths "$PFS/*" --report --drain close -- sh -c "head -c 3000000 /dev/zero >$PFS/r1" && grep -q '^report: programs wrote 2.9 MiB to PMEM' "$ERR" &&
		grep -q '2.9 MiB were written to the file system' "$ERR" && run --paths "$PFS/*" --report -- sh -c "echo 1 >$PFS/r2" &&
		grep -Eq '^report: [0-9]+ files with .* wait in the pool' "$ERR" && drain_all && run --paths "$PFS/*" --report -- cat "$PFS/r1" && grep -q 'all data are on the file system' "$ERR"
}
# "report: redirected calls took 0.512 s; ... would have taken [at least ]1.733 s: 120.0 MiB written at 100.0 MiB/s, ..." is calculated from what it says
adds_up() {
	python3 - "$ERR" "$1" "$2" "$3" <<-'END'
	import re, sys
	text, verdict, written, read = open(sys.argv[1]).read(), *sys.argv[2:]
	units = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
	size = lambda n, unit: float(n) * units[unit]
	line = re.search(r"^report: redirected calls took ([\d.]+) s; the file system would have taken (at least )?([\d.]+) s: (.*) written at (.*), (.*) read at (.*)$", text, re.M)
	calls, least, plain = float(line[1]), line[2], float(line[3])
	sum, off = 0, 0
	for what, speed, want in ((line[4], line[5], written), (line[6], line[7], read)):
	    n = size(*what.split())
	    if want != "any" and n != size(*want.split()):
	        sys.exit("%s in place of %s" % (what, want))
	    if "unknown" not in speed:
	        one = n / size(*speed[:-2].split())
	        sum, off = sum + one, off + one / 10 + 0.001 # both are rounded
	said = re.search(r"^report: time saved: (.*)$", text, re.M)[1]
	print(line[0], said, sep="\n")
	if abs(sum - plain) > off:
	    sys.exit("it is %.3f s" % sum)
	if bool(least) != ("unknown speed" in line[0]) or not re.match(verdict, said):
	    sys.exit("not " + verdict)
	number = re.match(r"(about|at least|none, the calls took) ([\d.]+) s", said)
	if number and abs(abs(plain - calls) - float(number[2])) > 0.0021:
	    sys.exit("it is %.3f s" % (plain - calls))
	END
}
# with an agent of its own, as others' drains would count
time_saved() {
	local dir=$PFS/saved rc
	mkdir -p "$dir" && mkdir -m 700 "$T/timed" && local -x PMIO_POOL=$T/timed PMIO_POOL_SIZE=256MiB
	# nothing was drained
	run --paths "$dir/*" --report -- sh -c "head -c 3145728 /dev/zero >$dir/a; cat $dir/a >/dev/null" && adds_up '^unknown, as too little' '3.0 MiB' '3.0 MiB' &&
		expect 0 "$PMIO" drain "$dir/a" &&
		# written: known from the drain before; read: not.  What is said depends on how fast the drain was
		run --paths "$dir/*" --report -- sh -c "head -c 2097152 /dev/zero >$dir/b; cat $dir/b >/dev/null" && adds_up '^(at least|unknown)' '2.0 MiB' '2.0 MiB' &&
		# what is read comes from the file system
		head -c 8388608 /dev/urandom >"$dir/c" && run --paths "$dir/*" --drain close --report -- sh -c "cat $dir/c >$dir/d; cat $dir/c >/dev/null" &&
		adds_up '^(about|none, the calls took)' '8.0 MiB' '16.0 MiB' &&
		# a hundred times as much as was drained of late, or ever
		run --paths "$dir/*" --report -- sh -c 'for i in $(seq 75); do head -c 2097152 /dev/zero; done >'"$dir/e" && adds_up '^unknown, as too little' '150.0 MiB' '0 B' &&
		run --paths "$dir/*" --report -- true && says_of_err '^report: time saved: none, as no redirected call' &&
		# a limit of drains is not the file system's speed
		expect 0 "$PMIO" agent rate 1MiB && run --paths "$dir/*" --report -- sh -c "head -c 1048576 /dev/zero >$dir/f" && adds_up '^unknown, as too little' '1.0 MiB' '0 B' &&
		expect 0 "$PMIO" agent rate 0 && drain_all && ! ls "$T"/pmio-run.* 2>/dev/null
	rc=$?
	"$PMIO" agent stop --force >/dev/null 2>&1
	return $rc
}
says_of_err() { grep -Eq "$1" "$ERR"; }
# processes that are killed count; who cannot add to it says so
time_of_killed() {
	run --paths "$PFS/*" --report -- sh -c "python3 -c \"import os; f = os.open('$PFS/tk', os.O_WRONLY | os.O_CREAT); os.write(f, bytes(1 << 20)); os.kill(os.getpid(), 9)\"; :" &&
		grep -q ': 1.0 MiB written at ' "$ERR" && run --paths "$PFS/*" --report -- env PMIO_REDIRECT_TIMES=/nonexistent/x sh -c "echo 1 >$PFS/tk2" &&
		grep -q 'warn: /nonexistent/x: this process is not included in the report: No such file' "$ERR" && says_of_err 'no redirected call read or wrote'
}
static_command() {
	echo data >"$T/in" && run --paths "$PFS/*" -- "$top_builddir/tests/mount/copy" "$T/in" "$T/out.copy" && one_line 'linked statically.*pmio mount'
}
static_child() {
	run --paths "$PFS/*" --check -- bash -c "for i in 1 2 3; do $top_builddir/tests/mount/copy $T/in $T/out.copy; done" &&
		[ "$(grep -c 'linked statically, so it uses' "$ERR")" = 1 ] && grep -q 'copy: it is linked statically, so it uses the plain files' "$ERR" && grep -Eq '^check: past .*copy: it is linked statically' "$ERR"
}
# it sees what waits, and what it writes is seen
settled_before() {
	local copy=$top_builddir/tests/mount/copy
	run --paths "$PFS/*" -- bash -c "echo held >$PFS/sb; echo other >$PFS/sb.other; exec 3>>$PFS/sb; echo open >&3; $copy $PFS/sb $PFS/sb2; cat $PFS/sb2; echo more >>$PFS/sb2; $copy $PFS/sb2 $T/sb3; cat $T/sb3
python3 -c \"import subprocess; open('$PFS/sb4', 'w').write('by vfork'); subprocess.run(['$copy', '$PFS/sb4', '$T/sb5'], close_fds=False)\"; cat $T/sb5" &&
		[ "$(tr '\n' ' ' <"$OUT")" = "held open held open more by vfork" ] && [ "$(cat "$PFS/sb.other")" = other ] && run --paths "$PFS/*" -- sh -c "echo again >$PFS/sb6" && held_size "$PFS/sb6" 6 &&
		run --paths "$PFS/*" -- "$copy" "$PFS/sb6" "$T/sb7" && [ "$(cat "$T/sb7")" = again ] && run --paths "$PFS/*" -- sh -c "echo kept >$PFS/sb8" && run --paths "$PFS/x*" -- "$copy" "$T/sb7" "$T/sb9" && held_size "$PFS/sb8" 5
}
# the kernel reads a program by itself, and the interpreters of a script; cp gives the mode that makes it one
reads_programs() {
	printf '#!/bin/sh\necho "ran $2"\n' >"$T/interpreter" && printf '#!%s\n' "$PFS/rp.i" >"$T/script" && printf '#!%s\n' "$PFS/rp.s" >"$T/outer" && chmod 755 "$T/interpreter" "$T/script" "$T/outer" || return
	copy_programs() { run --paths "$PFS/*" -- sh -c "rm -f $PFS/rp.*; cp $T/interpreter $PFS/rp.i; cp $T/script $PFS/rp.s; cp $T/outer $PFS/rp.o" && [ "$(size "$PFS/rp.i")" = 0 ]; }
	copy_programs && run --paths "$PFS/*" -- sh -c "$PFS/rp.s one; $PFS/rp.o two" && says '^ran one$' && says "^ran $PFS/rp.o$" &&
		copy_programs && run --paths "$PFS/*" -- python3 -c "import subprocess; subprocess.run(['$PFS/rp.o', 'three'], close_fds=False)" && says "^ran $PFS/rp.o$" &&
		copy_programs && run --paths "$PFS/*" -- "$PFS/rp.s" four && says '^ran four$' && copy_programs && run --paths "$PFS/*" --report -- "$PFS/rp.i" x five && says '^ran five$'
}
# it is linked to nothing, but preloads what it is told to
by_the_loader() {
	local loader
	loader=$(readelf -l /bin/sh 2>/dev/null | sed -n 's/.*interpreter: \(.*\)]/\1/p') && [ -x "$loader" ] || { echo "it is not known"; return 77; }
	run --paths "$PFS/*" -- "$loader" /bin/sh -c "echo one >$PFS/ld; $loader /bin/cat $PFS/ld; $loader /bin/sh -c 'echo two >$PFS/ld2'" && silent && says '^one$' && held_size "$PFS/ld2" 4
}
# a Go program is known by the note of its linker
go_program() {
	command -v gcc >/dev/null || { echo "no gcc"; return 77; }
	printf '__asm__(".section .note.go.buildid,\\"a\\",@note\\n.long 4,4,4\\n.ascii \\"Go\\\\0\\\\0\\"\\n.long 0\\n.previous");\nint main(void) { return 0; }\n' >"$T/go.c" && gcc -o "$T/go" "$T/go.c" || return
	run --paths "$PFS/*" -- sh -c "echo held >$PFS/go; $T/go; $T/go" && one_line 'go: it is a Go program.*uses the plain files' && [ "$(cat "$PFS/go")" = held ] &&
		run --paths "$PFS/*" -- "$T/go" && one_line 'go: it is a Go program.*uses the plain files'
}
# what is mapped has to be in the pool, all of it
refuses_to_map() {
	mkdir -m 700 "$T/small" && expect 0 env PMIO_POOL="$T/small" PMIO_POOL_SIZE=16MiB "$PMIO" run --paths "$PFS/*" --check -- python3 -c "import mmap
f = open('$PFS/map', 'w+b'); f.truncate(40000000)
try: mmap.mmap(f.fileno(), 0)
except OSError as e: print(e.errno)"
	PMIO_POOL=$T/small "$PMIO" agent stop --force >/dev/null 2>&1
	says '^12$' && grep -q 'error: redirect: mmap .*: the pool has no room' "$ERR" && grep -q '^check: past ' "$ERR"
}
no_io_uring() {
	run --paths "$PFS/*" -- python3 -c "import ctypes
c = ctypes.CDLL(None, use_errno=True); print(c.syscall(425, 1, 0), ctypes.get_errno())" && says '^-1 38$'
}
with_asan() {
	printf '#include <stdio.h>\nint main(int n, char **v) { FILE *f = fopen(v[n - 1], "w"); fputs("asan", f); return fclose(f); }\n' >"$T/asan.c"
	gcc -fsanitize=address -o "$T/asan" "$T/asan.c" 2>/dev/null || { echo "no compiler with it"; return 77; }
	run --paths "$PFS/*" -- "$T/asan" "$PFS/asan" && silent && held_size "$PFS/asan" 4
}
by_symbols() {
	run --paths "$PFS/*" -- env PMIO_REDIRECT=symbols python3 -c "import os
f = os.open('$PFS/sym', os.O_RDWR | os.O_CREAT); os.write(f, b'symbols'); print(os.pread(f, 10, 0))" && says symbols && held_size "$PFS/sym" 7
}
# what costs time at the start is loading libraries: there is one more, which needs the C library alone
libraries() { sh -c 'cat /proc/self/maps' | grep -o '/[^ ]*\.so[.0-9]*$' | sort -u; }
quick_start() {
	libraries >"$T/libraries" && LD_PRELOAD=$PMIO_LIBDIR/libpmio-redirect.so PMIO_REDIRECT_PATHS='/nonexistent/*' libraries >"$T/libraries.more" || return
	diff "$T/libraries" "$T/libraries.more" | grep '^[<>]' >"$T/libraries.diff"
	cat "$T/libraries.diff"
	[ "$(sed 's,.*/,,' "$T/libraries.diff")" = libpmio-redirect.so ]
}
own_xattr() {
	echo 1 >"$PFS/xa" && run --paths "$PFS/*" -- sh -c "echo 2 >$PFS/xa" && [ "$(python3 -c "import os; print(os.listxattr('$PFS/xa'))")" != '[]' ] || { echo "no mark here"; return 77; }
	run --paths "$PFS/*" -- python3 -c "import os; print(os.listxattr('$PFS/xa'))" && says '^\[\]$'
}
CAPABILITY='bytes.fromhex("0100000200200000000000000000000000000000")' # cap_net_raw=ep
keeps_capabilities() {
	: >"$T/cap" && python3 -c "import os; os.setxattr('$T/cap', 'security.capability', $CAPABILITY)" 2>/dev/null || { echo "not permitted"; return 77; }
	run --paths "$PFS/*" -- python3 -c "import os
open('$PFS/cap', 'w').write('data')
os.setxattr('$PFS/cap', 'security.capability', $CAPABILITY)
with open('$PFS/cap2', 'w') as f: f.write('data'); f.flush(); os.setxattr(f.fileno(), 'security.capability', $CAPABILITY)
open('$PFS/cap3', 'w').write('data')
os.setxattr('$PFS/cap3', 'user.x', b'value')" && held_size "$PFS/cap3" 4 && drain_all &&
		python3 -c "import os; [print(os.getxattr('$PFS/' + f, 'security.capability') == $CAPABILITY) for f in ('cap', 'cap2')]" >"$OUT" && [ "$(tr '\n' ' ' <"$OUT")" = 'True True ' ]
}
# chattr +i
immutable() {
	cat >"$T/flags.py" <<-'END'
	import array, fcntl, os, sys
	fd = os.open(sys.argv[1], os.O_RDONLY)
	flags = array.array("i", [0])
	fcntl.ioctl(fd, 0x80086601, flags)
	flags[0] = flags[0] & ~0x10 | int(sys.argv[2], 16)
	fcntl.ioctl(fd, 0x40086602, flags)
	END
	: >"$T/im" && python3 "$T/flags.py" "$T/im" 10 2>/dev/null && python3 "$T/flags.py" "$T/im" 0 || { echo "not possible here"; return 77; }
	run --paths "$PFS/*" -- sh -c "echo data >$PFS/im; python3 $T/flags.py $PFS/im 10; cat $PFS/im; python3 $T/flags.py $PFS/im 0; echo more >>$PFS/im" && says '^data$' && silent && [ "$(size "$PFS/im")" = 5 ] &&
		drain_all && [ "$(tr '\n' ' ' <"$PFS/im")" = 'data more ' ]
}
# those of libpmio are above its limit, also when it has none left itself
no_descriptors() {
	cat >"$T/limit.py" <<-'END'
	import os, resource, sys
	folder = sys.argv[1]
	def all_but(n):
	    have = []
	    try:
	        while True: have.append(os.open("/dev/null", os.O_RDONLY))
	    except OSError: pass
	    for fd in have[len(have) - n:]: os.close(fd)
	    return have[:len(have) - n]
	resource.setrlimit(resource.RLIMIT_NOFILE, (24, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
	have = all_but(1)
	fd = os.open(folder + "/a", os.O_RDWR | os.O_CREAT) # the last one, and the first of these files
	os.write(fd, b"text")
	assert os.stat(folder + "/held").st_size == 4
	os.truncate(folder + "/held", 2)
	os.chmod(folder + "/held", 0o600)
	os.rename(folder + "/held", folder + "/new")
	assert os.stat(folder + "/new").st_size == 2
	os.unlink(folder + "/gone")
	assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 24
	try: os.dup(fd)
	except OSError as e: print(e.errno)
	END
	mkdir "$PFS/nd" && run --paths "$PFS/*" -- sh -c "echo 123 >$PFS/nd/held; echo gone >$PFS/nd/gone" && run --paths "$PFS/*" -- python3 "$T/limit.py" "$PFS/nd" && says '^24$' && silent &&
		! "$PMIO" ls | grep -q nd/gone && held_size "$PFS/nd/a" 4 && drain_all && [ "$(cat "$PFS/nd/new" "$PFS/nd/a")" = 12text ]
}
own_commands() {
	run --paths "$PFS/*" -- sh -c "echo 1 >$PFS/own; '$PMIO' ls | grep own; '$PMIO' drain $PFS/own; cat $PFS/own" && [ "$(cat "$PFS/own")" = 1 ]
}
keeps_descriptors() {
	run --paths "$PFS/*" -- bash -c "exec 3>$PFS/k3 4>$PFS/k4; ls /proc/\$\$/fd | sort -n | tr '\n' ' '; for i in \$(seq 3 255); do eval \"exec \$i>&-\"; done; echo again >$PFS/k5; cat $PFS/k5" && says '^0 1 2 3 4 ' && says again
}

check "patterns select files" patterns
check "relative patterns, and those below the home directory" relative
check "patterns in several options, and of a pmio run around it" several
check "a file system that is mounted further down" mounted_below
check "patterns and names with symbolic links" linked
check "names that have gone, of files with others" linked_removed
check "names with pmem:" prefix
check "... in calls that have nothing to do with data" prefix_elsewhere
check "a descriptor of such a name that a child inherits" prefix_inherited
check "the exit status is the program's" status
check "signals reach the program" passes_signals
check "usage" usage
check "--check" checks
check "... with a limit on the size of files" checks_limited
check "--report" reports
check "... the time saved is what it says" time_saved
check "... with killed processes, and without its file" time_of_killed
check "a static program is told of" static_command
check "a static child is told of" static_child
check "what cannot be redirected sees what waits" settled_before
check "a Go program is told of" go_program
check "programs that wait, and interpreters, can be run" reads_programs
check "programs that the loader is told to run" by_the_loader
check "a mapping that the pool has no room for is refused" refuses_to_map
check "io_uring is not there" no_io_uring
check "a program with AddressSanitizer" with_asan
check "PMIO_REDIRECT=symbols" by_symbols
check "a program that touches no such file loads one library more" quick_start
check "marks of pmio are not shown" own_xattr
check "capabilities stay" keeps_capabilities
check "a file that is made immutable is there" immutable
check "a program has no descriptors left" no_descriptors
check "pmio's own commands see the plain files" own_commands
check "descriptors of libpmio are out of the way" keeps_descriptors
exit $tap_failed
