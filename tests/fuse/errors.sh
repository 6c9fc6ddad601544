#!/bin/bash
# the file system fails: close says how, the data stay in the pool, and a later drain
# makes the file whole; never is there a success with a short file
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/fuse/lib.sh" || exit 99

LEN=3000000

# what the pool has of the file, and nothing but it, is all there; then it is on the file system
kept_then_drained() {
	local file=$1 error=$2
	expect 0 "$PMIO" ls && says "^failed .* 2.9 MiB .*$PFS/$file \($error; 2.9 MiB left\)" &&
		expect 0 "$FILEIO" -r "$PFS/$file" is $LEN verify 0 $LEN 7 &&
		expect 0 "$PMIO" drain "$PFS/$file" && silent &&
		expect 0 "$FILEIO" -p "$BACK/$file" is $LEN verify 0 $LEN 7 &&
		expect 0 "$PMIO" ls && says "^clean .*$PFS/$file\$"
}

# close_fails FILE CODE MESSAGE RULE...: the faults come when all is written
close_fails() {
	local file=$1 code=$2 error=$3
	shift 3
	rm -f "$T/go"
	background "$PFS/$file" write 0 $LEN 7 wait "$T/go"
	bg_says waiting && fault "$@" && touch "$T/go" || return 1
	bg_ends && { echo "the close went well"; return 1; }
	grep -q "^$code\$" "$T/bg" && [ "$(grep -c "close $PFS/$file: $error" "$T/bg.err")" = 1 ] || {
		cat "$T/bg" "$T/bg.err"
		return 1
	}
	# it is not better yet: the next try says so too
	expect 1 "$PMIO" drain "$PFS/$file" && one_line "$error" && no_fault && kept_then_drained "$file" "$error"
}

# RULE CODE MESSAGE
cases="
write ENOSPC after=1500000|ENOSPC|No space left on device
write ENOSPC|ENOSPC|No space left on device
write EDQUOT after=2000000|EDQUOT|Disk quota exceeded
write EIO|EIO|Input/output error
write ESTALE|ESTALE|Stale file handle
fsync EIO|EIO|Input/output error
fsync ENOSPC|ENOSPC|No space left on device
fsync EDQUOT|EDQUOT|Disk quota exceeded
fsync ESTALE|ESTALE|Stale file handle
close EIO|EIO|Input/output error
close EDQUOT|EDQUOT|Disk quota exceeded
getattr EIO|EIO|Input/output error
any ESTALE|ESTALE|Stale file handle
write lose|EIO|Input/output error"

plan $(($(echo "$cases" | grep -c .) + 17))

n=0
while IFS='|' read -r rule code error; do
	n=$((n + 1))
	[ -n "$rule" ] || { n=0; continue; }
	check "$rule: close fails, nothing is lost" close_fails "f$n" "$code" "$error" "$rule"
	no_fault
done <<END
$cases
END

# what the file system says nothing about
unnoticed() {
	fault "write corrupt" && expect 0 "$FILEIO" "$PFS/bad" write 0 $LEN 7 && no_fault &&
		expect 3 "$FILEIO" -p "$BACK/bad" verify 0 $LEN 7
}
check "write corrupt: not noticed without verify=drain" unnoticed
export PMIO_VERIFY=drain
check "write corrupt, verify=drain: close fails, nothing is lost" \
	close_fails corrupt EIO "Input/output error" "write corrupt"
no_fault
check "it cannot be read back, verify=drain: close fails, nothing is lost" \
	close_fails noread EIO "Input/output error" "read EIO"
no_fault
# the next agent knows it from its own settings
verified_after_a_crash() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/later" write 0 $LEN 7 && kill_agent && fault "write corrupt" &&
		expect 1 "$PMIO" drain "$PFS/later" && one_line 'Input/output error' &&
		grep -q "later: bytes 0 to 1048575, read back, differ from what was written" "$PMIO_POOL/agent.log" &&
		no_fault && kept_then_drained later 'Input/output error'
}
check "write corrupt, verify=drain, by the next agent" verified_after_a_crash
no_fault
unset PMIO_VERIFY

# a file that waits, and the file system does not open it
open_fails() {
	PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/open" write 0 $LEN 7 && kill_agent && fault "open EIO" &&
		expect 1 "$PMIO" drain "$PFS/open" && one_line 'Input/output error' &&
		fails EIO 'Input/output error' "$PFS/open" && no_fault && kept_then_drained open 'Input/output error'
}
check "open EIO: drain and open fail, nothing is lost" open_fails
no_fault

read_fails() {
	expect 0 "$FILEIO" "$PFS/read" write 0 $LEN 7 && expect 0 "$PMIO" agent stop --force &&
		expect 0 "$PMIO" pool destroy --force "$PMIO_POOL" && mkdir -m 700 "$PMIO_POOL" &&
		fault "read EIO" && fails EIO 'Input/output error' "$PFS/read" verify 0 10 7 &&
		fails EIO 'Input/output error' "$PFS/read" write 5 10 8 && no_fault &&
		expect 0 "$FILEIO" "$PFS/read" is $LEN verify 0 $LEN 7
}
check "read EIO: reads fail, and go on when it is over" read_fails
no_fault

truncate_fails() {
	expect 0 "$FILEIO" "$PFS/cut" write 0 $LEN 7 && fault "truncate EIO" &&
		fails EIO 'Input/output error' "$PFS/cut" truncate 1000 &&
		[ "$(stat -c %s "$BACK/cut")" = $LEN ] && expect 1 "$PMIO" drain "$PFS/cut" &&
		one_line 'Input/output error' && no_fault &&
		expect 0 "$PMIO" drain "$PFS/cut" && expect 0 "$FILEIO" -p "$BACK/cut" is 1000 verify 0 1000 7
}
check "truncate EIO: the file is cut by a later drain" truncate_fails
no_fault

cut_not_synced() {
	expect 0 "$FILEIO" "$PFS/cut2" write 0 $LEN 7 && fault "fsync EIO" &&
		fails EIO 'Input/output error' "$PFS/cut2" truncate 1000 && no_fault &&
		expect 0 "$PMIO" drain "$PFS/cut2" && expect 0 "$FILEIO" -p "$BACK/cut2" is 1000 verify 0 1000 7
}
check "fsync EIO: a truncation fails, and a later drain makes it durable" cut_not_synced
no_fault

# a power cut could take the file, and what was promised with it
new_not_synced() {
	fault "$1 EIO" && fails EIO 'Input/output error' "$PFS/new.$1" write 0 10 7 &&
		expect 0 "$PMIO" ls && ! says "$PFS/new.$1" && no_fault &&
		expect 0 "$FILEIO" "$PFS/new.$1" write 0 10 7 && expect 0 "$FILEIO" -p "$BACK/new.$1" is 10 verify 0 10 7
}
for call in fsync fsyncdir; do
	check "$call EIO: nobody gets a new file that a power cut could take" new_not_synced $call
	no_fault
done

unlink_fails() {
	expect 0 "$FILEIO" "$PFS/rm" write 0 $LEN 7 && fault "unlink EIO" && expect 1 "$PMIO" rm "$PFS/rm" &&
		one_line 'Input/output error' && no_fault && expect 0 "$FILEIO" -r "$PFS/rm" verify 0 $LEN 7 &&
		expect 0 "$PMIO" rm "$PFS/rm" && [ ! -e "$BACK/rm" ]
}
check "unlink EIO: rm fails, the file stays" unlink_fails
no_fault

# gone it is, and a power cut may bring it back: nobody can do more about that
unlink_not_synced() {
	expect 0 "$FILEIO" "$PFS/rm2" write 0 $LEN 7 && fault "fsyncdir EIO" && expect 0 "$PMIO" rm "$PFS/rm2" &&
		one_line "error: remove $PFS/rm2: fsync of its directory: Input/output error" && [ ! -e "$BACK/rm2" ] && expect 0 "$PMIO" ls && ! says "$PFS/rm2"
}
check "fsyncdir EIO: rm says so" unlink_not_synced
no_fault

vanishes() {
	rm -f "$T/go"
	background "$PFS/gone" write 0 $LEN 7 wait "$T/go"
	bg_says waiting && vanish && touch "$T/go" || return 1
	bg_ends && { echo "the close went well"; return 1; }
	grep -q "^ENOTCONN\$" "$T/bg" || { cat "$T/bg" "$T/bg.err"; return 1; }
	expect 1 "$PMIO" drain "$PFS/gone" && one_line 'not connected' &&
		expect 0 "$PMIO" ls && says "^failed .*$PFS/gone \(Transport endpoint is not connected; 2.9 MiB left\)" &&
		come_back && kept_then_drained gone 'Transport endpoint is not connected'
}
check "it vanishes and comes back" vanishes

# what the program has open is of the old mount: the agent finds the file again by its name
vanishes_meanwhile() {
	rm -f "$T/go"
	background "$PFS/meanwhile" write 0 $LEN 7 wait "$T/go"
	bg_says waiting && vanish || return 1
	expect 1 "$PMIO" drain "$PFS/meanwhile" && one_line 'not connected' && come_back && touch "$T/go" && bg_ends &&
		expect 0 "$FILEIO" -p "$BACK/meanwhile" is $LEN verify 0 $LEN 7
}
check "it vanishes and comes back while a program has the file open" vanishes_meanwhile

# nor does the agent's death help it to forget
agent_dies() {
	rm -f "$T/go"
	fault "write ENOSPC after=100000" && fails ENOSPC 'No space left' "$PFS/killed" write 0 $LEN 7 &&
		kill_agent && expect 0 "$PMIO" agent start &&
		until_ok eval "'$PMIO' ls | grep '^failed .*$PFS/killed (No space left on device;'" &&
		no_fault && kept_then_drained killed 'No space left on device'
}
check "the agent is killed with data that could not be drained" agent_dies

# small files that share frames, in a pool that has 7
small_files() {
	local i
	mkdir -m 700 "$T/small" || return
	for i in $(seq 12); do
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/s$i" write 0 4000 "$i" || return
	done
	fault "write EIO" && expect 1 "$PMIO" drain --all && err_lines 12 'drain .*/s12: Input/output error' && no_fault &&
		expect 0 "$PMIO" ls && [ "$(grep -c '^failed .*/s.* (Input/output error; 3.9 KiB left)$' "$OUT")" = 12 ] && kill_agent || return
	for i in $(seq 12); do
		expect 0 "$FILEIO" -r "$PFS/s$i" is 4000 verify 0 4000 "$i" && expect 0 "$PMIO" drain "$PFS/s$i" &&
			expect 0 "$FILEIO" -p "$BACK/s$i" is 4000 verify 0 4000 "$i" || return
	done
}
stop_agent >/dev/null 2>&1
export PMIO_POOL=$T/small PMIO_POOL_SIZE=8MiB PMIO_RECOVER=hold
check "write EIO: small files that share a frame stay, and are drained later" small_files
no_fault

# all frames are another's: it would have to be drained first
small_open_fails() {
	local i
	for i in $(seq 12); do
		PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/s$i" write 0 4000 "$((i + 1))" || return
	done
	rm -f "$T/go"
	background "$PFS/large" write 0 10000000 7 wait "$T/go"
	bg_says waiting && fault "write EIO name=/s" && fails ENOSPC 'open .*/s3: No space left' -r "$PFS/s3" verify 0 4000 4 &&
		grep -q 'open .*/s3: the pool is full, and the last drain of the file has failed' "$PMIO_POOL/agent.log" && no_fault &&
		expect 0 "$FILEIO" -r "$PFS/s4" verify 0 4000 5 && touch "$T/go" && bg_ends && expect 0 "$FILEIO" -r "$PFS/s3" verify 0 4000 4 &&
		expect 0 "$PMIO" drain --all && expect 0 "$FILEIO" -p "$BACK/s3" is 4000 verify 0 4000 4 && expect 0 "$FILEIO" -p "$BACK/s12" verify 0 4000 13
}
check "write EIO: a small file cannot be opened while the pool is full, and is not lost" small_open_fails
no_fault

exit $tap_failed
