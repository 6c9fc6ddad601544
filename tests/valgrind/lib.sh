# lib.sh -- sourced after env.sh: programs and agents under valgrind
#
# A process that finds something leaves it in a file of $LOGS, so an agent is heard too.

LOGS=$T/valgrind
export TEST_TIMEOUT=300

command -v valgrind >/dev/null || skip_all "no valgrind (package valgrind)"
mkdir "$LOGS"
# ranks without the search for leaks: Open MPI's would hide ours, and check-sanitize tells them apart
vg_rank="valgrind -q --error-exitcode=99 --suppressions=$top_srcdir/tests/valgrind.supp --log-file=$LOGS/%p"
# what is "possibly" lost are the stacks of threads and the environment
vg="$vg_rank --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect"

printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$vg" "$PMIO_AGENT" >"$T/agent"
chmod +x "$T/agent"
export PMIO_AGENT=$T/agent

# nothing was found in any process so far; the -- lines are valgrind's about itself (it has no pidfd_open)
clean() {
	local found
	found=$(cat "$LOGS"/* 2>/dev/null | grep '^==' | head -n 100)
	rm -f "$LOGS"/*
	[ -z "$found" ] || { echo "$found"; return 1; }
}
# under_valgrind PROGRAM...: also one that libtool has wrapped
under_valgrind() {
	# shellcheck disable=SC2086
	timeout -k 5 $TEST_TIMEOUT "$top_builddir/libtool" --mode=execute $vg "$@"
}
