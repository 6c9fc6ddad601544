#!/bin/bash
# stage-in, stage-out, drain: of files, directories and patterns; again; what does not fit; events
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
# an agent that leaves, on a slow machine, takes its counters along
export PMIO_IDLE_TIMEOUT=600
plan 18

# counter NAME: of the agent, since its start
counter() { "$PMIO" stat --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
# the file's number of this name is this
of_file() {
	expect 0 "$PMIO" stat --json "$1" && json "o['files'][0]['$2'] == $3"
}
# events 'EXPRESSION of e, all events in order': what was printed with --json
events() {
	python3 -c 'import json, sys
e = [json.loads(l) for l in open(sys.argv[1])]
assert e[0]["event"] == "start" and e[-1]["event"] == "done" and e[-2]["event"] == "progress"
assert all(x["event"] in ("progress", "file", "error") for x in e[1:-1])
assert e[-1]["files_done"] == sum(x["event"] == "file" for x in e)
assert e[-1]["files_failed"] == sum(x["event"] == "error" for x in e)
assert e[0]["files"] == e[-1]["files"] == e[-1]["files_done"] + e[-1]["files_failed"]
assert e[-1]["seconds"] >= 0 and len(set(x["command"] for x in e)) == 1
if not eval(sys.argv[2]):
	sys.exit("not so: %s\n%s" % (sys.argv[2], "\n".join(map(str, e))))' "$OUT" "$1"
}

mkdir -p "$PFS/in/sub/deep" "$PFS/in/empty"
for f in in/a:3000000 in/b:1 in/none:0 in/sub/c:1048576 in/sub/deep/d:5000001 one:700000 r1:10 r2:20 x1:30; do
	head -c "${f#*:}" /dev/urandom >"$PFS/${f%:*}"
done
ln -s a "$PFS/in/1-link"
ln -s nowhere "$PFS/in/dangling"
ln -s ../.. "$PFS/in/sub/out"
below_in=9048578 # bytes

one_file() {
	expect 0 "$PMIO" stage-in "$PFS/one" && silent && says "^staged in $PFS/one\$" &&
		says '^stage-in: 1 of 1 files, 683.6 KiB in ' &&
		[ "$(counter filled)" = 700000 ] && of_file "$PFS/one" size 700000 &&
		expect 0 "$FILEIO" -r "$PFS/one" is 700000
}
check "stage-in of a file" one_file

# what a program reads of it through pmio is what is in the file
reads_right() { expect 0 "$FILEIO" -r "$1" same "$1" "$(stat -c %s "$1")"; }

tree() {
	(cd "$PFS" && expect 0 "$PMIO" stage-in in) && silent && [ "$(counter filled)" = $((700000 + below_in)) ] &&
		says "^staged in $PFS/in/sub/deep/d\$" && says '^stage-in: 5 of 5 files' &&
		of_file "$PFS/in/sub/deep/d" filled 5000001
}
check "stage-in of a directory, each file once" tree

pattern() {
	expect 0 "$PMIO" stage-in "$PFS/r?" && silent && says '^stage-in: 2 of 2 files, 30 B' &&
		expect 0 "$PMIO" stage-in "$PFS/[a-r]*[12]" "$PFS/r1" && says '^stage-in: 2 of 2 files, 0 B' &&
		expect 0 "$PMIO" ls && ! grep -q "$PFS/x1" "$OUT"
}
check "stage-in of a pattern" pattern

no_reads() {
	local before f
	before=$(counter pfs_read)
	for f in one in/a in/sub/c in/sub/deep/d r1; do reads_right "$PFS/$f" || return 1; done
	[ "$(counter pfs_read)" = "$before" ] && [ "$(counter read_missed)" = 0 ] && [ "$(counter read)" = 9748587 ]
}
check "the next program reads nothing from the file system" no_reads

next_agent() {
	expect 0 "$PMIO" agent stop && reads_right "$PFS/in/sub/deep/d" && [ "$(counter pfs_read)" = 0 ] &&
		[ "$(counter read)" = 5000001 ]
}
check "nor when another agent has come" next_agent

undrained() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/held" write 0 2000000 5 &&
		expect 0 "$FILEIO" -r "$PFS/held" verify 0 2000000 5 && [ "$(counter pfs_read)" = 0 ] &&
		[ "$(stat -c %s "$PFS/held")" = 0 ]
}
check "nor of a file that is not drained" undrained

again() {
	local before
	before=$(counter filled)
	expect 0 "$PMIO" stage-in "$PFS/in" "$PFS/one" && says '^stage-in: 6 of 6 files, 0 B' &&
		[ "$(counter filled)" = "$before" ] && head -c 100000 /dev/urandom >"$PFS/one" &&
		expect 0 "$PMIO" stage-in "$PFS/in" "$PFS/one" && [ "$(counter filled)" = $((before + 100000)) ] &&
		reads_right "$PFS/one"
}
check "a second run reads only what has changed" again

the_rest() {
	head -c 10000000 /dev/urandom >"$PFS/half" && expect 0 "$PMIO" agent stop &&
		expect 0 "$FILEIO" -r "$PFS/half" same "$PFS/half" 3000000 && local before &&
		before=$(counter filled) && [ "$before" -ge 3000000 ] && [ "$before" -lt 9000000 ] &&
		expect 0 "$PMIO" stage-in --json "$PFS/half" && [ "$(counter filled)" = 10000000 ] &&
		events "e[-1]['status'] == 'done' and 0 < e[-1]['bytes_done'] <= 10000000 - 3000000"
}
check "a file that is there in part: only the rest is read" the_rest

has_filled() { [ "$(counter filled)" -gt 0 ]; }
killed() {
	head -c 100000000 /dev/urandom >"$PFS/big" && expect 0 "$PMIO" agent stop || return 1
	"$PMIO" stage-in "$PFS/big" >/dev/null 2>&1 &
	local pid=$! before
	until_ok has_filled
	kill -9 $pid
	wait $pid 2>/dev/null
	before=$(counter filled)
	[ "$before" -gt 0 ] && expect 0 "$PMIO" stage-in "$PFS/big" && [ "$(counter filled)" = 100000000 ] &&
		reads_right "$PFS/big" && [ "$(counter pfs_read)" = 100000000 ]
}
check "killed on its way: the second run reads only the rest" killed

does_not_fit() {
	expect 0 "$PMIO" pool create -q --size=8MiB "$T/small" && local PMIO_POOL=$T/small && export PMIO_POOL &&
		expect 3 "$PMIO" stage-in --jobs=1 "$PFS/r1" "$PFS/in/sub/c" "$PFS/big" "$PFS/r2" &&
		one_line "stage in $PFS/big: the pool is full" && says "^staged in $PFS/r2\$" &&
		says '^stage-in: 3 of 4 files' && of_file "$PFS/in/sub/c" resident 1048576 &&
		expect 1 "$PMIO" stage-in "$PFS/big" && one_line 'the pool is full' &&
		reads_right "$PFS/big" && expect 0 "$PMIO" agent stop
}
check "what does not fit is said, and takes no room from the rest" does_not_fit

refusals() {
	mkfifo "$PFS/fifo" && expect 3 "$PMIO" stage-in "$PFS/r1" "$PFS/no" "$PFS/fifo" "$PFS/no*" --json &&
		err_lines 3 "$PFS/fifo: neither a file nor a directory" && grep -q "$PFS/no: No such file" "$ERR" &&
		grep -q "$PFS/no\*: No such file" "$ERR" &&
		events "e[-1]['status'] == 'partly' and e[-1]['files_failed'] == 3" &&
		expect 1 "$PMIO" stage-in "$PFS/no" && expect 0 "$PMIO" stage-in "$PFS/in/empty" &&
		mv "$PFS/r2" "$PFS/r*" && expect 0 "$PMIO" stage-in "$PFS/r*" && says '^stage-in: 1 of 1'
}
check "stage-in of what cannot be staged" refusals

gone_bad() {
	head -c 3000000 /dev/urandom >"$PFS/shrinks" && expect 0 "$FILEIO" -r "$PFS/shrinks" is 3000000 &&
		truncate -s 1000 "$PFS/shrinks" && expect 0 "$PMIO" stage-in "$PFS/shrinks" &&
		of_file "$PFS/shrinks" size 1000 && reads_right "$PFS/shrinks"
}
check "stage-in of a file that was changed" gone_bad

# the agent's reads fail from 4 MiB on, through a library that it is started with
failing_reads() {
	command -v "${CC:-cc}" >/dev/null || { echo "no compiler"; return 77; }
	! grep -q fsanitize "$top_builddir/config.status" || { echo "not with sanitizers"; return 77; }
	cat >"$T/eio.c" <<-'END' && ${CC:-cc} -shared -fPIC -o "$T/eio.so" "$T/eio.c" -ldl || return 1
	#define _GNU_SOURCE
	#include <dlfcn.h>
	#include <errno.h>
	#include <unistd.h>
	ssize_t pread(int fd, void *buf, size_t n, off_t off)
	{
		ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, "pread");

		if (off < 4 << 20 || n <= 4096)
			return real(fd, buf, n, off);
		errno = EIO;
		return -1;
	}
	END
	printf '#!/bin/sh\nLD_PRELOAD=%s exec %s "$@"\n' "$T/eio.so" "$PMIO_AGENT" >"$T/agent" && chmod +x "$T/agent" &&
		expect 0 "$PMIO" agent stop && PMIO_AGENT=$T/agent expect 0 "$PMIO" agent start &&
		head -c 20000000 /dev/urandom >"$PFS/bad" && head -c 2000000 /dev/urandom >"$PFS/good" &&
		expect 3 "$PMIO" stage-in "$PFS/bad" "$PFS/good" && one_line "stage in $PFS/bad: Input/output error" &&
		[ "$(counter filled)" -le $((2000000 + (4 << 20))) ] && reads_right "$PFS/good" && expect 0 "$PMIO" agent stop
}
check "a file system that fails to read" failing_reads

hold() { PMIO_DRAIN=hold expect 0 "$FILEIO" "$@"; }
drain_some() {
	mkdir -p "$PFS/out/sub" && hold "$PFS/out/1" write 0 1000 1 && hold "$PFS/out/sub/2" write 0 2000000 2 &&
		hold "$PFS/o3" write 0 3000 3 && hold "$PFS/outer" write 0 4000 4 &&
		expect 0 "$PMIO" drain --json "$PFS/out" && silent &&
		events "sorted(x['path'][-6:] for x in e if x['event'] == 'file') == ['/out/1', '/sub/2']" &&
		events "e[-1]['bytes_done'] >= 2001000 and e[0]['bytes'] == e[-1]['bytes']" &&
		expect 0 "$FILEIO" -p "$PFS/out/sub/2" is 2000000 verify 0 2000000 2 &&
		expect 0 "$FILEIO" -p "$PFS/o3" is 0 && expect 0 "$PMIO" drain "$PFS/out" && [ ! -s "$OUT" ] &&
		expect 0 "$PMIO" drain "$PFS/o[0-9]" && says "^drained $PFS/o3\$" &&
		expect 0 "$FILEIO" -p "$PFS/o3" is 3000 verify 0 3000 3 && expect 0 "$FILEIO" -p "$PFS/outer" is 0 &&
		expect 3 "$PMIO" drain "$PFS/outer" "$PFS/no*" "$PFS/x1" && one_line "$PFS/no\*: not in the pool"
}
check "drain of a directory, and of a pattern" drain_some

renamed() {
	hold "$PFS/old" write 0 1000 1 && mv "$PFS/old" "$PFS/new" && expect 0 "$PMIO" drain "$PFS/new" &&
		expect 0 "$FILEIO" -p "$PFS/new" is 1000 verify 0 1000 1
}
check "drain of a file that was renamed" renamed

stage_out() {
	hold "$PFS/out/1" write 0 1000 6 && ln -s out "$PFS/way" && expect 0 "$PMIO" stage-out "$PFS/way/" && silent &&
		says "^staged out $PFS/out/1\$" && says '^stage-out: 1 of 1 files' && ! says 'staged out .*/way' &&
		expect 0 "$FILEIO" -p "$PFS/out/1" is 1000 verify 0 1000 6 &&
		expect 0 "$PMIO" ls && ! grep -q "$PFS/out/" "$OUT" && says "$PFS/in/a\$" &&
		background "$PFS/open" write 0 5000 1 wait "$T/go" && bg_says waiting &&
		expect 0 "$PMIO" stage-out "$PFS/open" && expect 0 "$FILEIO" -p "$PFS/open" is 5000 verify 0 5000 1 &&
		of_file "$PFS/open" handles 1 && touch "$T/go" && bg_ends &&
		expect 0 "$PMIO" stage-out --all && expect 0 "$PMIO" ls --json && json "o['files'] == []" &&
		[ "$(counter size)" = "$(counter free)" ]
}
check "stage-out leaves nothing in the pool" stage_out

bars() {
	on_terminal "$PMIO" stage-in "$PFS/in" && says 'stage-in 5/5 \[#+\] 100% +8.6 MiB of 8.6 MiB .* left' &&
		says 'staged in .*/in/a' && on_terminal "$PMIO" stage-in -q "$PFS/one" && [ ! -s "$OUT" ] &&
		hold "$PFS/held" write 0 1000 1 && on_terminal "$PMIO" drain --all && says 'drain \[#+\] 100% .* left' &&
		on_terminal "$PMIO" stage-in --json "$PFS/in" && ! grep -q '#' "$OUT"
}
check "bars on a terminal" bars

usage() {
	local args
	while read -r args; do
		expect 2 "$PMIO" $args && [ -s "$ERR" ] && [ ! -s "$OUT" ] || return 1
	done <<-'END'
		stage-in
		stage-out
		stage-out --all x
		stage-in --jobs=0 x
		stage-in --jobs=65 x
		drain --jobs=many x
	END
	expect 1 "$PMIO" -p "$T/no" stage-in "$PFS/one" && one_line "$T/no" &&
		expect 1 "$PMIO" -p "$T/no" stage-out "$PFS/one" && one_line "$T/no"
}
check "mistakes" usage

exit $tap_failed
