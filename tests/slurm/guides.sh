#!/bin/bash
# guides.sh -- doc/slurm-admin.md and doc/slurm-user.md, word for word
#
# The cluster is set up by the first one (tests/slurm/cluster), the jobs are the second
# one's blocks of code.  Only folders and sizes are this cluster's: /pfs, GiB become MiB.
export CLUSTER_BY_GUIDE=yes PREFIX
PREFIX=$(sed -n 's/^prefix = //p' "${top_builddir:-.}/Makefile")
[ -d "$PREFIX" ] || { echo "1..0 # SKIP the folder $PREFIX, for which this is configured, is not there"; exit 0; }
. "${top_srcdir:-.}/tests/slurm/lib.sh"
plan 17

# the programs of the jobs: ./app IN OUT
cp "$C/bin/copy" "$C/jobs/app"
as_nobody mkdir -p "$PFS/run7/input"
as_nobody sh -c "head -c 9000000 /dev/urandom | tee '$PFS/run7/in.h5' >'$PFS/run7/input/a'"
sleep 3 # what has just changed is not kept
# what lib.sh's env.sh tells Open MPI; the site's file here, as the guide's jobs do not read that one
grep -o 'OMPI_MCA_[^ ]*' "$C/bin/env.sh" | sed -n '/component_path/!s/^OMPI_MCA_\([^=]*\)=/\1 = /p' >"$C/mca.conf"
for n in node1 node2; do on_node $n mount --bind "$C/mca.conf" /etc/openmpi/openmpi-mca-params.conf; done

sizes() { sed -E 's/=1TiB/=48MiB/; s/=(100|200)GiB/=32MiB/; s/=16GiB/=16MiB/'; }
user_block() { guide_block slurm-user.md "$1" | guide_here | sizes; }
# script NAME WORD [LINE...]: a job of a block of code, with more lines of it
script() {
	local file=$C/jobs/$1.sh
	user_block "$2" >"$file"
	[ -s "$file" ] || echo "exit 1 # the guide has no $2" >"$file"
	head -n 1 "$file" | grep -q '^#!' || sed -i '1i #!/bin/bash' "$file"
	shift 2
	printf '%s\n' "$@" >>"$file"
}
queue() { # NAME [OPTION...]
	local name=$1
	shift
	job=$(cd "$C/jobs" && as_nobody sbatch --parsable -o "$name.out" "$@" "$name.sh" 2>"$C/jobs/$name.err") || cat "$C/jobs/$name.err"
}
output() { cat "$C/jobs/$1.out"; }

check "by the administrator's guide: scontrol show burst shows the pool" \
	eval 'scontrol show burst | tee /dev/stderr | grep -q "DefaultPool=.*pmem\|PoolName.*=pmem"'

# ---- the first example ----------------------------------------------------------------------

script first 'stage_in source=/pfs/run7/in.h5'
queue first
check "the user's guide: its first job" ended "$job" COMPLETED
check "... out.h5 is there" cmp "$PFS/run7/in.h5" "$PFS/run7/out.h5"
check "... and nothing on the nodes" nothing_left
rm -f "$PFS/run7/out.h5"

# ---- what is held, and a chain of jobs --------------------------------------------------------

script first 'capacity=100GiB drain=hold' "mpirun ./app pmem:$PFS/run7/in.h5 pmem:$PFS/run7/out.h5" "stat -c 'held %s' $PFS/run7/out.h5"
printf '#!/bin/bash\ncmp %s %s && echo same\n' "$PFS/run7/in.h5" "$PFS/run7/out.h5" >"$C/jobs/second.sh"
chain() {
	(cd "$C/jobs" && as_nobody bash -euc "$(user_block 'afterburstbuffer:$job')"$'\necho $job >chain') || return
	local job
	job=$(cat "$C/jobs/chain")
	ended "$job" COMPLETED && await 120 grep -qx same "$C/jobs/slurm-$((job + 1)).out"
}
check "drain=hold, and a job that waits for its files" chain
held() { output "slurm-$(cat "$C/jobs/chain")" | tee /dev/stderr | grep -qx 'held 0'; }
check "... which were held until the first one's end" held

# ---- memory nodes ---------------------------------------------------------------------------------

units() {
	local file
	file=$(guide_block slurm-admin.md pmio-memory.service | guide_here | sed -n 's,^cp \([^ ]*\) .*,\1,p')
	grep -q '^Restart=always' "$file" && start_memory_node 1 && start_memory_node 2
}
check "by the administrator's guide: memory nodes" units
check "... scontrol show bbstat lists them" await 30 memory_nodes_up
memory_is_free() {
	await 60 eval 'n=0; for m in mem1 mem2; do on_node $m find "$PMEM" -mindepth 1; done | wc -l | grep -qx 0' && nothing_left
}

rm -f "$PFS/run7/out.h5"
script targets 'target_size=200GiB' 'echo placement $PMIO_PLACEMENT' \
	"mpirun ./app pmem:$PFS/run7/input/a pmem:$PFS/run7/out.h5"
queue targets -N2 --ntasks-per-node=1
targets() { ended "$job" COMPLETED && output targets && grep -qx 'placement remote' "$C/jobs/targets.out" && cmp "$PFS/run7/in.h5" "$PFS/run7/out.h5"; }
check "a job with pools on memory nodes" targets

rm -f "$PFS/run7/out.h5"
script aggregate 'drain=aggregate targets=2' "mpirun ./app pmem:$PFS/run7/in.h5 pmem:$PFS/run7/out.h5"
queue aggregate -N2 --ntasks-per-node=1
check "one that is over before its data are out" ended "$job" COMPLETED
out() {
	await 60 eval '[ -z "$(ls -A "$PFS/run7" | grep "^\.pmio-owner")" ]'
	cmp "$PFS/run7/in.h5" "$PFS/run7/out.h5"
}
check "... which are there when nothing is beside the file any more" out
check "... and the memory is free" memory_is_free

# ---- buffers ---------------------------------------------------------------------------------------

rm -f "$PFS/run7/out.h5"
script buffer 'create_persistent name=mesh' "mpirun ./app pmem:$PFS/run7/in.h5 pmem:$PFS/run7/out.h5" \
	"stat -c 'held %s' $PFS/run7/out.h5"
sed '/destroy_persistent/d' "$C/jobs/buffer.sh" >"$C/jobs/make.sh"
queue make -N1
made() { ended "$job" COMPLETED && output make && grep -qx 'held 0' "$C/jobs/make.out"; }
check "a job makes a buffer and uses it" made
{
	echo '#!/bin/bash'
	grep 'use_persistent' "$C/jobs/buffer.sh"
	grep -o '`#PMEM stage_out[^`]*`' "$top_srcdir/doc/slurm-user.md" | tr -d '`' | guide_here
	echo "mpirun ./app pmem:$PFS/run7/out.h5 pmem:$PFS/run7/again.h5"
} >"$C/jobs/use.sh"
queue use -N2 --ntasks-per-node=1
used() { ended "$job" COMPLETED && output use && cmp "$PFS/run7/in.h5" "$PFS/run7/out.h5" && [ ! -s "$PFS/run7/again.h5" ]; }
check "another one reads from it, and one file is brought out" used
{ echo '#!/bin/bash'; grep destroy_persistent "$C/jobs/buffer.sh"; } >"$C/jobs/destroy.sh"
queue destroy -N1
destroyed() { ended "$job" COMPLETED && cmp "$PFS/run7/in.h5" "$PFS/run7/again.h5" && memory_is_free; }
check "when it is destroyed all is out" destroyed

# ---- what is refused, and without directives ------------------------------------------------------

refused() {
	local want
	want=$(guide_block slurm-user.md 'unknown word' | sed -n 's/^\(sbatch: error: .*\) \.\.\.$/\1/p')
	printf '#!/bin/bash\n#PMEM capacty=1GiB\n' >"$C/jobs/job.sh"
	(cd "$C/jobs" && as_nobody sbatch job.sh) 2>&1 | tee /dev/stderr | grep -F "${want:-nothing}"
}
check "what is wrong is refused in the guide's words" refused
without() {
	local option
	option=$(grep -o '`--pmem=[^`]*`' "$top_srcdir/doc/slurm-user.md" | tr -d '`' | sizes)
	(cd "$C/jobs" && as_nobody timeout 60 srun -N1 "$option" sh -c 'echo "pool $PMIO_POOL"') 2>&1 | tee /dev/stderr |
		grep -q "^pool $PMEM/"
}
if [ -e "$PREFIX/lib/pmio/spank_pmem.so" ]; then
	check "srun with --pmem=" without
else
	ok "srun with --pmem= # SKIP built without SPANK"
fi
