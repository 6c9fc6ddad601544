#!/bin/bash
# ends.sh -- however a job ends, its data get to the file system, and nothing is left
. "${top_srcdir:-.}/tests/slurm/lib.sh"
plan 26

# a job that holds 1 MiB back, and then does what standard input says; it has written when NAME.out says so
submit_writer() {
	local name=$1
	shift
	{
		cat <<-EOF
			#PMEM capacity=16MiB drain=hold
			. $C/bin/env.sh
			mpirun -n 1 hello_pmem pmem:$PFS/$name || exit 9
			[ ! -s $PFS/$name ] && echo written
		EOF
		cat
	} >"$C/jobs/$name.body"
	submit "$name" -N1 "$@" <"$C/jobs/$name.body"
}
written() { await 120 grep -qx written "$C/jobs/$1.out"; }
same() { cmp "$PFS/plain" "$PFS/$1"; }

submit plain -N1 <<EOF
. $C/bin/env.sh
mpirun -n 1 hello_pmem $PFS/plain
EOF
check "a file to compare with" await 120 state_is "$job" COMPLETED

submit_writer timeout -t1 <<<"sleep 1000"
timeout=$job
submit_writer requeue <<<'[ "$SLURM_RESTART_COUNT" ] || sleep 1000'
requeue=$job
submit_writer fails <<<"exit 3"
fails=$job
submit_writer cancel <<<"sleep 1000"
cancel=$job
submit_writer hurry <<<"sleep 1000"
hurry=$job
submit_writer killed <<<"pkill -KILL -u nobody -f \"pmiod .*$PMEM/job.\$SLURM_JOB_ID\"; true"
killed=$job

for name in timeout requeue cancel hurry; do check "$name has written" written $name; done
scontrol requeue "$requeue"
scancel "$cancel"
scancel --hurry "$hurry"
check "a job that fails ends as FAILED" ended "$fails" FAILED
check "... its data are there" same fails
check "a cancelled job ends as CANCELLED" ended "$cancel" CANCELLED
check "... its data are there" same cancel
check "a job cancelled in a hurry ends" over "$hurry"
check "... its data get there" await 60 same hurry
check "a job whose agent was killed ends" ended "$killed" COMPLETED
check "... its data are there" same killed

# The requeued job has its data there, and then runs again: by itself after 121 s, which is how long a node knows the
# credentials of its first run.  Begun at once, slurmd 22.05 may refuse it, or not call its prolog.
check "a requeued job waits for its second run" await 120 state_is "$requeue" PENDING
check "... its data are there" await 60 same requeue
rm -f "$PFS/requeue"
sleep 5
again() {
	scontrol update jobid="$requeue" starttime=now >/dev/null 2>&1
	await 5 state_is "$requeue" RUNNING
}
check "... which begins" await 200 again
check "... and ends" ended "$requeue" COMPLETED
check "... its data are there" same requeue

# slurmctld is started anew in mid-job
submit_writer restart <<<"while [ -e $C/jobs/go ]; do sleep 0.1; done"
touch "$C/jobs/go"
restart() { written restart && restart_controller && rm "$C/jobs/go" && ended "$job" COMPLETED && same restart; }
check "a job during which slurmctld starts anew" restart

# cancelled before it runs
hold data_in
submit_writer staging </dev/null
check "a job is staging in" await 60 bb_is "$job" staging-in
scancel "$job"
check "... and is cancelled" ended "$job" CANCELLED
release data_in
hold pre_run
submit_writer prerun </dev/null
check "a job gets its nodes" await 60 bb_is "$job" pre-run
scancel --hurry "$job"
release pre_run
check "... and is cancelled in a hurry" ended "$job" CANCELLED

check "a job that runs out of time ends as TIMEOUT" ended "$timeout" TIMEOUT
check "... its data are there" same timeout
check "nothing is left" nothing_left
