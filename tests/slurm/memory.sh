#!/bin/bash
# memory.sh -- memory nodes: stage-in before a job has nodes, and buffers that live longer than a job
. "${top_srcdir:-.}/tests/slurm/lib.sh"
plan 29

start_memory_node 1
start_memory_node 2
check "two memory nodes are up" await 30 memory_nodes_up

on_memory() { # NODE LEASE COMMAND...: pmio there, as the user
	on_node "$1" setpriv --reuid=$user --regid=nogroup --clear-groups --reset-env \
		env PMIO_POOL="$PMEM/memory.$2" PMIO_AGENT="$C/bin/pmiod" "$C/bin/pmio" "${@:3}"
}
sum_of() { # LEASE NUMBER: of both nodes, from pmio stat
	local n
	for n in mem1 mem2; do on_memory $n "$1" stat --json; done | sed -n "s/^ *\"$2\":\([0-9]*\),*$/\1/p" | awk '{s += $1} END {print s + 0}'
}
no_memory_left() {
	local n
	for n in mem1 mem2; do
		on_node $n sh -c 'find "$0" -mindepth 1; ps -eo comm= | grep pmiod' "$PMEM"
	done
	find "$C/shared" -mindepth 1 ! -name 'memory.mem[12]' ! -name '.*'
	find "$PFS" -name '.pmio-owner.*'
}
memory_is_free() { await 60 eval '[ -z "$(no_memory_left)" ]' || { no_memory_left; return 1; }; }

# ---- stage-in before there are nodes -------------------------------------------------------

as_nobody sh -c "head -c 9000000 /dev/urandom >'$PFS/in'"
sleep 3 # what has just changed is not kept
hold data_out
submit staged -N2 --ntasks-per-node=1 <<EOF
#PMEM capacity=16MiB targets=2 target_size=16MiB
#PMEM stage_in source=$PFS/in
. $C/bin/env.sh
echo "placement \$PMIO_PLACEMENT, local: \$(pmio ls | grep -c "$PFS/in")"
pmio target list | cut -d' ' -f1 | sort | tr '\n' ' '
mpirun copy pmem:$PFS/in $C/jobs/in.copy && cmp $PFS/in $C/jobs/in.copy && echo same
EOF
staged=$job
check "a job with a file staged in on memory nodes" await 120 bb_is "$staged" staging-out
its_output() { cat "$C/jobs/staged.out"; grep -qx 'placement remote, local: 0' "$C/jobs/staged.out" && grep -q 'mem1 mem2 same' "$C/jobs/staged.out"; }
check "... reads it from both of them" its_output
once() { local n; n=$(sum_of "job.$staged" filled); echo "filled $n"; [ "$n" = 9000000 ]; }
check "... which have read it from the file system once" once
shows() { scontrol show bbstat "$staged" | tee /dev/stderr | grep -q 'memory node mem1: pool ready'; }
check "... as is shown" shows
release data_out
check "... and ends" ended "$staged" COMPLETED
check "... with nothing left" memory_is_free

submit aggregate -N2 --ntasks-per-node=1 <<EOF
#PMEM capacity=16MiB targets=2 drain=aggregate
. $C/bin/env.sh
mpirun hello_pmem $PFS/plain && mpirun hello_pmem pmem:$PFS/aggregate
EOF
check "drain=aggregate targets=2" ended "$job" COMPLETED
same() { await 60 cmp "$PFS/plain" "$PFS/$1" && memory_is_free; }
check "... its data get out, and the memory is given back" same aggregate

submit unread -N1 <<EOF
#PMEM capacity=16MiB targets=1
#PMEM stage_in source=$PFS/none
EOF
unread=$job
check "what cannot be staged in is said, before there are nodes" await 60 says "$unread" "none cannot be read"
scancel "$unread"

# ---- capacity ----------------------------------------------------------------------------------

submit large -N1 <<EOF
#PMEM capacity=16MiB targets=2 target_size=120MiB
EOF
large=$job
check "more than memory nodes have" await 60 says "$large" "2 memory nodes with 125829120 bytes each are requested, 0 are available"
scancel "$large"
hold data_out
submit first -N1 <<EOF
#PMEM capacity=16MiB targets=2 target_size=56MiB
EOF
first=$job
check "a job takes most of the memory" await 60 bb_is "$first" staging-out
submit second -N1 <<EOF
#PMEM capacity=16MiB targets=1 target_size=56MiB
EOF
second=$job
submit third -N1 <<EOF
#PMEM capacity=16MiB targets=1 target_size=56MiB
EOF
third=$job
waits() { scontrol show bbstat "$second" | grep -q 'waits until 1 memory nodes'; }
check "... the next ones wait" await 60 waits
scancel "$third"
check "... one is cancelled meanwhile" over "$third"
release data_out
check "... and the other goes on" ended "$second" COMPLETED
check "... the first one has ended" ended "$first" COMPLETED
over "$unread" && over "$large"
check "... all is given back" memory_is_free

# ---- persistent buffers ---------------------------------------------------------------------------

submit make -N1 <<EOF
#PMEM create_persistent name=keep capacity=60MiB
#PMEM use_persistent name=keep
. $C/bin/env.sh
for f in a b c d; do mpirun -n 2 hello_pmem pmem:$PFS/\$f || exit; done
stat -c 'held %s' $PFS/a
EOF
made() { ended "$job" COMPLETED && grep -qx 'held 0' "$C/jobs/make.out"; }
check "a job makes a buffer, and writes to it" made
stays() { scontrol show bbstat | tee /dev/stderr | grep -q '^buffer keep: .* on memory nodes mem[12] mem[12]$' && [ ! -s "$PFS/a" ] && [ "$(sum_of buffer.keep dirty)" -ge 4000000 ]; }
check "... which stays, with the data" stays

submit twice -N1 <<EOF
#PMEM create_persistent name=keep capacity=16MiB
EOF
twice=$job
submit unknown -N1 <<EOF
#PMEM use_persistent name=nothing
EOF
unknown=$job
printf '#!/bin/bash\n#PMEM use_persistent name=keep\n' >"$C/jobs/other.sh"
other=$(cd "$C/jobs" && sbatch --parsable --uid=daemon -o /dev/null -N1 "$C/jobs/other.sh")
check "a buffer is not made twice" await 60 says "$twice" "there is a persistent buffer keep already"
check "a buffer that there is not is not used" await 60 says "$unknown" "there is no persistent buffer nothing"
check "nor one of another user" await 60 says "$other" "is not this user's"
scancel "$twice" "$unknown" "$other"

# a memory node dies, and comes back
on_node mem1 pkill -KILL pmio
restarted() { on_memory mem1 buffer.keep target stat 2>&1; [ "$(on_node mem1 pgrep -c pmiod)" = 2 ]; }
check "a memory node that is started anew has the buffer" await 60 restarted
submit use -N2 --ntasks-per-node=1 <<EOF
#PMEM use_persistent name=keep
#PMEM stage_out source=$PFS/a
. $C/bin/env.sh
for f in a b c d; do mpirun copy pmem:$PFS/\$f $C/jobs/copy.\$f && cmp $PFS/plain $C/jobs/copy.\$f && echo same; done
EOF
used() { ended "$job" COMPLETED && [ "$(grep -cx same "$C/jobs/use.out")" = 4 ]; }
check "another job reads from it" used
brought() { cmp "$PFS/plain" "$PFS/a" && [ ! -s "$PFS/b" ]; }
check "... and only what is to be brought out is" brought

# no room on the file system for what waits
fallocate -l "$(df -B1 --output=avail "$PFS" | tail -n 1)" "$PFS/full"
submit destroy -N1 <<EOF
#PMEM destroy_persistent name=keep
EOF
destroy=$job
check "a buffer that cannot be emptied is not destroyed" await 60 says "$destroy" "No space left"
rm -f "$PFS/full"
scancel --hurry "$destroy"
over "$destroy"
submit destroy -N1 <<EOF
#PMEM destroy_persistent name=keep
EOF
check "... and is, later" ended "$job" COMPLETED
all_there() { local f; for f in a b c d; do cmp "$PFS/plain" "$PFS/$f" || return; done; }
check "... all data are there" all_there
over "$twice" && over "$unknown" && over "$other"
left() { memory_is_free && nothing_left; }
check "nothing is left" left
