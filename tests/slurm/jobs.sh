#!/bin/bash
# jobs.sh -- a job of two nodes: pools, settings, stage-out, nothing left
. "${top_srcdir:-.}/tests/slurm/lib.sh"
plan 13

hold epilog
submit mpi -N2 --ntasks-per-node=2 <<EOF
#PMEM capacity=48MiB drain=hold          # on each node
#PMEM stage_out source=$PFS/out
. $C/bin/env.sh
srun -N2 -n2 bash -c 'echo \$(hostname) \$PMIO_POOL \$PMIO_DRAIN \$(stat -c %U:%a \$PMIO_POOL)'
mpirun hello_pmem $PFS/plain
mpirun hello_pmem pmem:$PFS/out
stat -c 'held %s' $PFS/out
EOF

pool_on() { await 60 grep -qx "$1 $PMEM/job.$job hold nobody:700" "$C/jobs/mpi.out"; }
check "node1 has a pool of the user, and programs are told" pool_on node1
check "node2 too" pool_on node2
check "the program has written" await 120 grep -q '^held' "$C/jobs/mpi.out"
check "what is held is not on the file system while the job runs" grep -qx 'held 0' "$C/jobs/mpi.out"
check "the job shows that it stages out" await 60 bb_is "$job" staging-out
waits() { [ -z "$(find "$PFS/out" -size +0)" ] && sleep 1 && bb_is "$job" staging-out && [ -d "$C/shared/job.$job" ]; }
check "stage-out waits for the nodes" waits
status() { scontrol show bbstat "$job" | grep -q 'node2: pool ready'; }
check "scontrol show bbstat tells of the nodes" status
release epilog
check "the job ends" ended "$job" COMPLETED
check "the file is the same as without pmem:" cmp "$PFS/plain" "$PFS/out"
check "nothing is left" nothing_left

# data go to the file system at the close, from both nodes
submit close -N2 --ntasks-per-node=2 <<EOF
#PMEM capacity=48MiB
. $C/bin/env.sh
mpirun hello_pmem pmem:$PFS/closed
cmp $PFS/plain $PFS/closed && echo same
EOF
close() { ended "$job" COMPLETED && grep -qx same "$C/jobs/close.out" && nothing_left; }
check "a file of two nodes is complete after its close" close

# files of programs that know nothing of pmio
submit redirect -N1 <<EOF
#PMEM capacity=48MiB drain=hold redirect=$PFS/steps/*
#PMEM stage_out source=$PFS/steps
mkdir $PFS/steps
seq 1000 >$PFS/steps/a
sort -rn $PFS/steps/a | sed 's/^/x/' >$PFS/steps/b
srun -n1 sh -c 'wc -l <$PFS/steps/b'
env -u LD_PRELOAD stat -c 'plain %s' $PFS/steps/a $PFS/steps/b
EOF
redirect() {
	ended "$job" COMPLETED && grep -qx 1000 "$C/jobs/redirect.out" && [ "$(grep -cx 'plain 0' "$C/jobs/redirect.out")" = 2 ] &&
		seq 1000 | cmp - "$PFS/steps/a" && seq 1000 -1 1 | sed 's/^/x/' | cmp - "$PFS/steps/b" && nothing_left
}
check "redirect=: files of all programs, on the file system after the job" redirect

submit none -N2 <<EOF
srun -N2 -n2 bash -c 'echo pool=\$PMIO_POOL'
EOF
none() { await 60 state_is "$job" COMPLETED && [ "$(grep -cx pool= "$C/jobs/none.out")" = 2 ]; }
check "a job without directives has no pool" none
