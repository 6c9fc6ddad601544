#!/bin/bash
# pfsfull.sh -- the file system takes only a part: close says so, and nothing is lost
#
# A limit on the size of files stands for a full file system: it needs no root.
. "${top_srcdir:-.}/tests/env.sh"
. "$top_srcdir/tests/cli/lib.sh"

small_agent() { # an agent that may write files of 1 MiB at most
	limited_agent --fsize=1048576
}

close_fails() {
	fails EFBIG 'File too large' "$PFS/f" write 0 3000000 7
}

kept() {
	expect 0 "$PMIO" ls && says "^failed .*$PFS/f \(File too large" &&
		[ "$(stat -c %s "$PFS/f")" -le 1048576 ]
}

# the agent stays with what it could not drain, and says why it does not stop
stays() {
	expect 1 "$PMIO" agent stop && one_line 'File too large' && expect 0 "$PMIO" agent status
}

readable() {
	expect 0 "$FILEIO" -r "$PFS/f" is 3000000 verify 0 3000000 7
}

drained_later() {
	expect 0 "$PMIO" agent stop --force && expect 0 "$PMIO" drain "$PFS/f" &&
		expect 0 "$FILEIO" -p "$PFS/f" is 3000000 verify 0 3000000 7
}

plan 6
check "an agent with a limit on file sizes" small_agent
check "the close that drains fails" close_fails
check "the data are kept, and pmio ls says why" kept
check "the agent refuses to stop" stays
check "another program reads them from the pool" readable
check "the next agent drains them" drained_later
exit $tap_failed
