# lib.sh -- sourced after env.sh and tests/cli/lib.sh: programs whose files below $PFS are redirected

. "$top_srcdir/tests/redirect/files.sh" || exit 99
export PMIO_LIBDIR=$top_builddir/.libs
CALLS=$top_builddir/tests/redirect/calls

# redirected [OPTION...] -- cmd...: with its files below $PFS in the pool
redirected() { timeout -k 5 "${TEST_TIMEOUT:-600}" "$PMIO" run --paths "$PFS/*" "$@"; }
# bytes in plain files below a folder
plain_bytes() { find "$1" -type f -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }'; }
drain_all() { expect 0 "$PMIO" drain --all; }

unsanitized >/dev/null || skip_all "a sanitizer's library has to come first in a process"
