#!/bin/bash
# jobs.sh -- a job of two nodes: pools, settings, stage-out, nothing left
. "${top_srcdir:-.}/tests/slurm/lib.sh"
plan 12

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

submit none -N2 <<EOF
srun -N2 -n2 bash -c 'echo pool=\$PMIO_POOL'
EOF
none() { await 60 state_is "$job" COMPLETED && [ "$(grep -cx pool= "$C/jobs/none.out")" = 2 ]; }
check "a job without directives has no pool" none
