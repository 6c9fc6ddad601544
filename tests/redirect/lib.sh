# lib.sh -- sourced after env.sh and tests/cli/lib.sh: programs whose files below $PFS are redirected

export PMIO_LIBDIR=$top_builddir/.libs
CALLS=$top_builddir/tests/redirect/calls

# redirected [OPTION...] -- cmd...: with its files below $PFS in the pool
redirected() { timeout -k 5 "${TEST_TIMEOUT:-600}" "$PMIO" run --paths "$PFS/*" "$@"; }
size() { stat -c %s "$1"; }
# bytes in plain files below a folder
plain_bytes() { find "$1" -type f -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }'; }
drain_all() { expect 0 "$PMIO" drain --all; }
# the pattern of fileio, in a plain file: pattern FILE LEN SEED
pattern() {
	python3 -c 'import sys
n, seed = int(sys.argv[2]), int(sys.argv[3])
open(sys.argv[1], "wb").write(bytes((o * 131 + (o >> 8) * 17 + (o >> 20) * 5 + seed) & 255 for o in range(n)))' "$@"
}
state_of() { "$PMIO" ls | awk -v path="$1" '$NF == path { print $1 }'; }

unsanitized >/dev/null || skip_all "a sanitizer's library has to come first in a process"
