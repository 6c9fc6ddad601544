#!/bin/bash
# mpi.sh -- an MPI job goes on when its agent is killed, again and again: no call fails, no byte is wrong
. "${top_srcdir:-.}/tests/env.sh" || exit 99
need_mpi
. "$top_srcdir/tests/cli/lib.sh" || exit 99

JOB= KILLS=0

job_runs() { ! gone "$JOB"; }

# until the job has ended
kill_agents() {
	local pid last=
	while job_runs; do
		pid=$(agent_pid 2>/dev/null)
		if [ -n "$pid" ] && [ "$pid" != "$last" ] && kill -9 "$pid" 2>/dev/null; then
			KILLS=$((KILLS + 1)) last=$pid
		fi
		sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
	done
}

# goes_on RANKS POOLSIZE: random programs, each compared with a model in memory
goes_on() {
	export PMIO_POOL=$T/pool.$1 PMIO_POOL_SIZE=$2
	mkdir -m 700 "$PMIO_POOL" && mkdir -p "$PFS/fuzz" || return 1
	KILLS=0
	TEST_TIMEOUT=300 run "$1" "$top_builddir/tests/mpi/fuzz_run" "pmem:$PFS/fuzz/f" --seed "$1" --seconds 8 >"$T/job" 2>&1 </dev/null &
	JOB=$!
	kill_agents
	if ! wait "$JOB"; then
		grep -v 'the agent is gone' "$T/job" | cut -c 1-3000 | head -n 30
		return 1
	fi
	[ $KILLS -ge 3 ] || { echo "only $KILLS agents were killed"; return 1; }
}

plan 2
check "2 ranks, agents killed" goes_on 2 256MiB
check "3 ranks, agents killed, a pool too small" goes_on 3 8MiB
exit $tap_failed
