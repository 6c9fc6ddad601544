#!/bin/bash
# steps.sh -- HDF5, a chain of jobs, steps that hand a file over, sbatch --pmem, a memory node
. "${top_srcdir:-.}/tests/slurm/lib.sh"
plan 12

if [ -x "$C/bin/hdf5_parallel" ]; then
	submit hdf5 -N2 --ntasks-per-node=1 <<-EOF
		#PMEM capacity=48MiB drain=hold
		. $C/bin/env.sh
		mpirun hdf5_parallel $PFS/plain.h5 && mpirun hdf5_parallel pmem:$PFS/data.h5
	EOF
	# HDF5 2 leaves times and checksums that differ from run to run
	same_h5() { cmp "$1" "$2" || { h5diff --version | grep -q 'Version 2\.' && h5diff "$1" "$2"; }; }
	hdf5() { ended "$job" COMPLETED && same_h5 "$PFS/plain.h5" "$PFS/data.h5"; }
	check "an HDF5 program on two nodes" hdf5
else
	echo "ok 1 - an HDF5 program # SKIP not built"
	tap_n=1
fi

# a chain: the second job must not begin before the first one's data are out
hold epilog
submit maker -N1 <<EOF
#PMEM capacity=16MiB drain=hold
. $C/bin/env.sh
mpirun -n 2 hello_pmem $PFS/plain
mpirun -n 2 hello_pmem pmem:$PFS/chain
EOF
maker=$job
submit taker -N1 -d "afterburstbuffer:$maker" <<EOF
#PMEM capacity=16MiB
#PMEM stage_in source=$PFS
cmp $PFS/plain $PFS/chain && echo same
EOF
taker=$job
check "a job stages out" await 120 bb_is "$maker" staging-out
sleep 2 # it stays so
check "... the next one waits for that" state_is "$taker" PENDING
release epilog
taken() { ended "$taker" COMPLETED && grep -qx same "$C/jobs/taker.out"; }
check "... and finds the file" taken

# two steps of a job: the second reads what is in memory and not yet in the file
cat >"$C/jobs/read.sh" <<EOF
. $C/bin/env.sh
pmio ls --json | grep -q '"path":"$PFS/steps"' && pmio stat --json $PFS/steps && echo held \$(stat -c %s $PFS/steps)
EOF
submit steps -N1 <<EOF
#PMEM capacity=16MiB drain=hold
. $C/bin/env.sh
mpirun -n 2 hello_pmem pmem:$PFS/steps
srun -n1 bash $C/jobs/read.sh
EOF
steps() { ended "$job" COMPLETED && grep -qx 'held 0' "$C/jobs/steps.out" && cmp "$PFS/plain" "$PFS/steps"; }
check "a step sees what the one before it holds" steps

# a memory node, as its user runs it: it has what the job has written, and drains it when the job is over
card=$C/jobs/memory.card
memory_env() { as_nobody env PMIO_AGENT="$C/bin/pmiod" PMIO_POOL_SIZE=64MiB "$@"; }
memory_pmio() { memory_env "$C/bin/pmio" --pool="$C/jobs/memory" "$@"; }
memory_node() {
	as_nobody mkdir -m 700 "$C/jobs/memory" &&
		memory_env "$C/bin/pmiod" --target --listen 10.78.0.254 --card "$card" --pool "$C/jobs/memory" &&
		memory_pmio agent pause
}
check "a memory node" memory_node
submit aggregate -N2 --ntasks-per-node=1 <<EOF
#PMEM capacity=16MiB drain=aggregate targets=$card
. $C/bin/env.sh
mpirun hello_pmem $PFS/plain2 && mpirun hello_pmem pmem:$PFS/aggregate
EOF
aggregate() { ended "$job" COMPLETED && [ -s "$PFS/plain2" ] && ! cmp "$PFS/plain2" "$PFS/aggregate"; }
check "drain=aggregate: the job is over before its data are out" aggregate
drained() {
	memory_pmio agent resume && await 60 cmp "$PFS/plain2" "$PFS/aggregate" &&
		await 60 eval '! ls "$PFS"/.pmio-owner.*' && memory_pmio agent stop --force
}
check "... and then the memory node brings them out" drained

# without directives
if [ -e "$C/bin/spank_pmem.so" ]; then
	submit spank -N2 --ntasks-per-node=1 --pmem=32MiB <<-EOF
		. $C/bin/env.sh
		srun -N2 -n2 bash -c 'echo \$(hostname) \$PMIO_POOL \$(stat -c %U \$PMIO_POOL)'
		export PMIO_DRAIN=hold
		mpirun hello_pmem pmem:$PFS/spank
		stat -c 'held %s' $PFS/spank
	EOF
	spank() {
		await 120 state_is "$job" COMPLETED && grep -qx 'held 0' "$C/jobs/spank.out" &&
			grep -qx "node1 $PMEM/job.$job nobody" "$C/jobs/spank.out" && grep -qx "node2 $PMEM/job.$job nobody" "$C/jobs/spank.out"
	}
	check "sbatch --pmem makes pools" spank
	check "... and empties them" await 60 cmp "$PFS/plain" "$PFS/spank"
	wrong() { ! submit wrong -N1 --pmem=lots </dev/null && grep -q "'lots' is not a size" "$C/jobs/wrong.err" || { cat "$C/jobs/wrong.err"; return 1; }; }
	check "--pmem=lots is refused" wrong
else
	for t in "makes pools" "empties them" "refuses"; do
		tap_n=$((tap_n + 1))
		echo "ok $tap_n - --pmem $t # SKIP slurm/spank.h was not there at configure"
	done
fi
check "nothing is left" nothing_left
