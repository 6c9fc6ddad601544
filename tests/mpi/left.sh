#!/bin/bash
# left.sh -- files that a program leaves open when MPI ends: nothing hangs, nothing is lost, and one line says it
. "${top_srcdir:-.}/tests/env.sh" || exit 99
need_mpi
. "$top_srcdir/tests/cli/lib.sh" || exit 99
prog=$MPI_PROGRAMS/left
export PMIO_ADDRESS=127.0.0.1
mkdir -m 700 "$T/pool1"
trap 'for pool in "$T/pool" "$T/pool1"; do "$PMIO" --pool="$pool" agent stop --force >/dev/null 2>&1; done; cleanup' EXIT

# left_on NR-POOLS HOW LINES: rank r is on pool r % NR-POOLS; so many lines are said
left_on() {
	local file=$PFS/$2.$1
	# shellcheck disable=SC2016
	NR_POOLS=$1 POOLS="$T/pool $T/pool1" run 2 bash -c '
		pools=($POOLS)
		export PMIO_POOL=${pools[${OMPI_COMM_WORLD_RANK:-$PMI_RANK} % NR_POOLS]}
		exec "$@"' x "$prog" "pmem:$file" "$2" >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
	[ "$(grep -c 'pmio: ' "$OUT")" = "$3" ] && [ "$(grep -c 'not close it before the end of MPI' "$OUT")" = "$3" ] || {
		cat "$OUT"
		return 1
	}
	until_ok has_ended "$file" && MPI_LIBRARY='' run 1 "$prog" "$file" check 2
}
# no process of the job is left, so no mark is
has_ended() { ! ls "$PFS"/.pmio-owner.* 2>/dev/null && "$PMIO" drain "$1" && "$PMIO" --pool="$T/pool1" drain "$1"; }

[ -z "$MPI_LIBRARY" ] || [ -r "$MPI_LIBRARY" ] || skip_all "there was no such MPI when this was configured"
plan 6
check "one node: written" left_on 1 open 1
check "one node: by nonblocking calls that were not waited for" left_on 1 pending 1
check "one node: closed in MPI_Finalize" left_on 1 late 0
check "two nodes: written" left_on 2 open 1
check "two nodes: writes are under way" left_on 2 pending 1
check "two nodes: closed in MPI_Finalize" left_on 2 late 0
exit $tap_failed
