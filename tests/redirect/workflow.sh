#!/bin/bash
# mpi-examples/workflow under pmio run --paths: the same files as without, with any drain; nothing is read from the file system
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
. "$top_srcdir/tests/redirect/lib.sh" || exit 99
need_mpi
[ $MPI_FAMILY = openmpi ] && [ -z "$MPI_LIBRARY" ] || skip_all "one MPI is enough"
[ -x "$MPI_EXAMPLES/heat2d" ] || skip_all "no MPI programs were built"
plan 5

workflow() { # FOLDER prefix...
	local folder=$1
	shift
	expect 0 "$@" bash "$top_srcdir/mpi-examples/workflow/workflow.sh" "$folder" "$MPIRUN -n 2" "$MPI_EXAMPLES/heat2d"
}
same() { diff -r "$T/plain" "$1"; }

check "without pmio" workflow "$T/plain"
with() {
	PMIO_DRAIN=$1 workflow "$PFS/$1" "$PMIO" run --paths "$PFS/$1/*" --check --report -- && grep -q 'check: [1-9][0-9]* redirected, 0 bypassed' "$ERR" || return
	case $1 in
	hold) grep -q 'report: 0 B were written to the file system, and 0 B read from it' "$ERR" && [ "$(plain_bytes "$PFS/hold")" = 0 ] ;;
	close) grep -q 'report: all data are on the file system' "$ERR" && same "$PFS/close" ;;
	esac || { cat "$ERR"; return 1; }
	drain_all && same "$PFS/$1"
}
for drain in close hold async; do
	check "drain=$drain" with $drain
done
# steps of one workflow, each by itself, as a scheduler starts them
step() { PMIO_DRAIN=hold expect 0 "$PMIO" run --paths "$PFS/steps/*" -- sh -c "$1"; }
steps() {
	mkdir "$PFS/steps" && step "seq 1000 >$PFS/steps/a" && step "grep 7 $PFS/steps/a | sort -r >$PFS/steps/b && rm $PFS/steps/a" &&
		step "wc -l <$PFS/steps/b && test ! -e $PFS/steps/a" && says '^271$' && [ "$(plain_bytes "$PFS/steps")" = 0 ] &&
		drain_all && [ "$(wc -l <"$PFS/steps/b")" = 271 ]
}
check "each step by itself" steps
exit $tap_failed
