#!/bin/bash
# units.sh -- the unit tests under valgrind; TAP
#
# Not test_pm, which touches memory that is not there to see that the fault is caught;
# and not test_frame, whose races take minutes where one thread runs at a time.
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/valgrind/lib.sh" || exit 99

units="view proto settings pool_create pool_open pool_files"

unit() {
	under_valgrind "$top_builddir/tests/unit/test_$1" >"$T/out"
	local rc=$?
	grep -v '^ok ' "$T/out"
	clean && [ $rc = 0 ]
}

# shellcheck disable=SC2086
plan "$(echo $units | wc -w)"
for name in $units; do
	check "test_$name" unit "$name"
done
exit $tap_failed
