#!/bin/bash
# what users see of a file's way to the file system: its state, the error, how many bytes are left
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/fuse/lib.sh" || exit 99
plan 5

LEN=3000000

bytes() { echo "f['dirty'] == $1 and f['left'] == $2 and 'error' not in f"; }

opened() {
	rm -f "$T/go" "$T/go2"
	background "$PFS/f" wait "$T/go" write 0 $LEN 7 wait "$T/go2"
	bg_says waiting && state_is "$PFS/f" open "$(bytes 0 0)" && touch "$T/go" &&
		until_ok eval '[ "$(grep -c waiting "$T/bg")" = 2 ]' &&
		state_is "$PFS/f" dirty "$(bytes $LEN $LEN)" && expect 0 "$PMIO" ls && says "^dirty +2.9 MiB .* $PFS/f\$"
}
check "open and dirty" opened

drains() {
	fault "write hang after=1000000" && touch "$T/go2" &&
		until_ok state_is "$PFS/f" draining "f['dirty'] == $LEN and 0 < f['left'] <= $LEN" &&
		expect 0 "$PMIO" ls && says "^draining .* $PFS/f \([0-9.]+ [KM]iB left\)" && no_fault && bg_ends &&
		state_is "$PFS/f" clean "$(bytes 0 0)"
}
check "draining, then clean" drains
no_fault

held() { PMIO_DRAIN=hold expect 0 "$FILEIO" "$PFS/h" write 0 1000 7 && state_is "$PFS/h" held "$(bytes 1000 1000)"; }
check "held" held

# the part that was written does not count: nobody said that it is durable
failed() {
	fault "write ENOSPC after=2000000" && fails ENOSPC 'No space left' "$PFS/full" write 0 $LEN 7 &&
		state_is "$PFS/full" failed "f['dirty'] == f['left'] == $LEN and f['errno'] == 'ENOSPC'" &&
		state_is "$PFS/full" failed "f['error'] == 'No space left on device'" &&
		expect 0 "$PMIO" stat "$PFS/full" && says '^state +failed \(No space left on device; 2.9 MiB left\)$' &&
		no_fault && expect 0 "$PMIO" drain "$PFS/full" && state_is "$PFS/full" clean "$(bytes 0 0)"
}
check "failed: why, and how much is left" failed
no_fault

failed_while_open() {
	rm -f "$T/go"
	background "$PFS/o" write 0 $LEN 7 wait "$T/go"
	bg_says waiting && fault "fsync EDQUOT" && expect 1 "$PMIO" drain "$PFS/o" && one_line 'Disk quota exceeded' &&
		state_is "$PFS/o" failed "f['left'] == $LEN and f['errno'] == 'EDQUOT' and f['handles'] == 1" &&
		no_fault && touch "$T/go" && bg_ends && state_is "$PFS/o" clean "$(bytes 0 0)"
}
check "failed while a program has it open" failed_while_open

exit $tap_failed
