#!/bin/bash
# faults.sh -- stage-in that cannot be, nodes without room, a file system that is full
. "${top_srcdir:-.}/tests/slurm/lib.sh"
plan 21

submit plain -N1 <<EOF
. $C/bin/env.sh
mpirun -n 4 hello_pmem $PFS/plain
EOF
check "a file to compare with" await 120 state_is "$job" COMPLETED

# ---- stage-in ----
submit missing -N1 <<EOF
#PMEM capacity=16MiB
#PMEM stage_in source=$PFS/missing
EOF
check "stage-in of nothing: the job is held, and says why" await 60 says "$job" "$PFS/missing cannot be read"
scancel "$job"
check "... and can be cancelled" ended "$job" CANCELLED

as_nobody head -c 20M /dev/zero >"$C/jobs/large"
submit large -N1 <<EOF
#PMEM capacity=16MiB
#PMEM stage_in source=$C/jobs/large
EOF
check "stage-in of more than capacity" await 60 says "$job" "are more than the 16777216 that the job asked for"
scancel "$job"

submit in -N1 <<EOF
#PMEM capacity=16MiB
#PMEM stage_in source=$PFS/plain
pmio=$C/bin/pmio
\$pmio ls
EOF
in_pool() { ended "$job" COMPLETED && grep -q "$PFS/plain" "$C/jobs/in.out"; }
check "what is staged in is in the pool when the script begins" in_pool

# ---- memory is waited for ----
submit first -N1 -w node1 <<EOF
#PMEM capacity=100MiB
while [ ! -e $C/jobs/go ]; do sleep 0.2; done
EOF
await 60 state_is "$job" RUNNING
submit second -N1 -w node1 <<EOF
#PMEM capacity=100MiB
EOF
sleep 3 # it stays so
check "a job waits while a node's memory is another one's" state_is "$job" PENDING
touch "$C/jobs/go"
check "... and gets it" ended "$job" COMPLETED

# ---- a node has no room ----
on_node node2 fallocate -l 280M "$PMEM/rubbish"
echo good >"$PFS/noroom"
chown nobody "$PFS/noroom"
submit noroom -N2 <<EOF
#PMEM capacity=48MiB drain=hold
#PMEM stage_out source=$PFS/noroom
. $C/bin/env.sh
mpirun -n 4 hello_pmem pmem:$PFS/noroom
EOF
check "a job for which a node has no room is held" await 60 is_held
why() { says "$job" "pmio: node2: $PMEM has 41943040 bytes free, but the job requests 50331648"; }
check "... and says why" why
check "... it did not run" eval '[ ! -e "$C/jobs/noroom.out" ] && grep -qx good "$PFS/noroom"'
check "... and the nodes stay in service" nodes_in_service
on_node node2 rm "$PMEM/rubbish"
scancel "$job"
check "... the job can be cancelled" over "$job"
submit next -N1 <<EOF
#PMEM capacity=16MiB
EOF
check "... another job can run" ended "$job" COMPLETED
check "... and nothing is left" nothing_left

# ---- the file system is full ----
fill() { fallocate -l "$(($(df -B1 --output=avail "$PFS" | tail -n 1) - 65536))" "$PFS/filler"; }
hold epilog
submit full -N2 --ntasks-per-node=2 <<EOF
#PMEM capacity=48MiB drain=hold
. $C/bin/env.sh
mpirun hello_pmem pmem:$PFS/full
EOF
check "a job waits with what it has written" await 120 bb_is "$job" staging-out
fill
release epilog
check "the file system is full: the job says where the data are" await 60 says "$job" "data wait in $PMEM/kept.$job"
check "... and stays" bb_is "$job" staging-out
still() { on_node node1 sh -c '! '"$C/share/pmio-slurm"' retry'; }
check "... also when it is tried again in vain" still
rm "$PFS/filler"
retry() { on_node node1 "$C/share/pmio-slurm" retry && cmp "$PFS/plain" "$PFS/full"; }
check "with room, pmio-slurm retry brings them out" retry
scancel --hurry "$job"
check "... and the job can be ended" over "$job"
check "nothing is left" nothing_left
