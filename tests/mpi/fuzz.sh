#!/bin/bash
# fuzz.sh -- random programs, compared with a model (fuzz.c); TAP
#
# Without arguments: a fixed list of seeds on 2 and 3 ranks, also with a pool that
# is too small, so that part of each file goes to the PFS at once.
#
# fuzz.sh --seconds N [--seed S] [--steps N] [--ranks "1 2 3 4"] [--pool SIZE]
#   for N seconds, in turn on so many ranks and with both pools (or the one given);
#   the first seed is taken from the clock
# fuzz.sh --seed S [--count N] [--steps N] --ranks N [--pool SIZE] [--trace]
#   programs S .. S + N - 1 once more

. "${top_srcdir:-.}/tests/env.sh"
need_mpi

bin=$MPI_PROGRAMS/fuzz_run
[ -x "$bin" ] || skip_all "there was no MPICH when this was configured"
seconds= seed= count= steps= ranks= pool= more=
while [ $# -gt 0 ]; do
	case $1 in
	--seconds) seconds=$2 ;;
	--seed) seed=$2 ;;
	--count) count=$2 ;;
	--steps) steps=$2 ;;
	--ranks) ranks=$2 ;;
	--pool) pool=$2 ;;
	--trace)
		more=--trace
		shift
		continue
		;;
	*)
		echo "fuzz.sh: what is $1?" >&2
		exit 2
		;;
	esac
	shift 2 || exit 2
done

# fuzz RANKS POOLSIZE ARGS...: in a pool of its own; at most 20 lines of what went wrong
fuzz() (
	n=$1
	export PMIO_POOL="$T/pool.$2" PMIO_POOL_SIZE=$2
	shift 2
	mkdir -p "$PFS/fuzz"
	[ -d "$PMIO_POOL" ] || mkdir -m 700 "$PMIO_POOL"
	run "$n" "$bin" "pmem:$PFS/fuzz/f" ${steps:+--steps "$steps"} $more "$@" >"$T/out" 2>&1
	rc=$?
	if [ -n "$more" ]; then
		cat "$T/out"
	else
		grep -v -e "^---*$" -e MPI_ABORT -e "^NOTE: invoking" -e "^You may or" -e "^exactly when" -e "^with errorcode" -e "Set MCA" -e "help message" "$T/out" | cut -c 1-6000 | head -n 20
	fi
	"$PMIO" agent stop --force >/dev/null 2>&1
	[ $rc != 124 ] || echo "took more than ${TEST_TIMEOUT:-600} s"
	rm -rf "$PFS/fuzz" "$PMIO_POOL"
	return $rc
)

if [ -n "$seconds" ]; then
	: "${seed:=$(($(date +%s) * 1000))}" "${ranks:=2 3 1 4}" "${pool:=256MiB 8MiB}"
	end=$(($(date +%s) + seconds)) failed=0
	while [ "$(date +%s)" -lt $end ]; do
		for n in $ranks; do
			for p in $pool; do
				left=$((end - $(date +%s)))
				[ $left -gt 0 ] || break
				[ $left -lt 60 ] || left=60
				TEST_TIMEOUT=$((left + 150)) fuzz "$n" "$p" --seed "$seed" --seconds $left >"$T/said" || {
					failed=$((failed + 1))
					echo "FAILED on $n ranks, pool of $p:"
				}
				sed "s/^/$n ranks, $p: /" "$T/said"
				seed=$((seed + 100000))
			done
		done
	done
	echo "$failed of these runs failed"
	[ $failed = 0 ]
	exit
fi
if [ -n "$seed" ]; then
	TEST_TIMEOUT=${TEST_TIMEOUT:-600} fuzz "${ranks:-2}" "${pool:-256MiB}" --seed "$seed" --count "${count:-1}"
	exit
fi

plan 4
check "30 random programs on 2 ranks" fuzz 2 256MiB --seed 1 --count 30
check "30 random programs on 3 ranks" fuzz 3 256MiB --seed 101 --count 30
check "20 random programs on 2 ranks, a pool too small" fuzz 2 8MiB --seed 201 --count 20
check "20 random programs on 3 ranks, a pool too small" fuzz 3 8MiB --seed 301 --count 20
exit $tap_failed
