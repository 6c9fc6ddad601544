#!/bin/bash
# directives.sh -- what is wrong in #PMEM lines is refused when the job is submitted, with a reason
. "${top_srcdir:-.}/tests/slurm/lib.sh"

tests=(
	"capacity=1.5.2GiB|'1.5.2GiB' is not a size"
	"capacity=many|'many' is not a size"
	"capacity=16Gig|'16Gig' is not a size"
	"capacity=1MiB|a pool has at least 8MiB"
	"capacity=1TiB|a node has 128 MiB"
	"capacity=|has no value"
	"capacity=16MiB capacity=16MiB|capacity= is given twice"
	"capacity=16MiB pool=other|the pool is called pmem"
	"capacity=16MiB drain=sometimes|drain is one of close, async, hold, aggregate"
	"capacity=16MiB drain=aggregate|drain=aggregate needs memory nodes"
	"capacity=16MiB targets=node7|with absolute paths"
	"capacity=16MiB speed=11|unknown word 'speed=11'; known are capacity=, pool=, stage_in, stage_out, create_persistent"
	"capacity=16MiB stage-in|unknown word 'stage-in'"
	"drain=hold|asks for no memory"
	"stage_in|stage_in needs source="
	"stage_in source=here|must be an absolute path"
	"stage_in source=/a destination=/b|leave destination= out"
	"stage_in source=/a type=list|type is one of file, directory"
	"stage_out source=/a capacity=16MiB|does not go with stage_out"
	"create_persistent name=a|create_persistent needs capacity="
	"create_persistent capacity=16MiB|create_persistent needs name="
	"create_persistent name=../a capacity=16MiB|'name=../a': letters, digits"
	"create_persistent name=a capacity=16MiB targets=two|'targets=two' is not a number"
	"use_persistent name=a name=b|name= is given twice"
	"use_persistent name=a targets=2|does not go with use_persistent, which takes name="
	"destroy_persistent name=a capacity=16MiB|does not go with destroy_persistent"
	"capacity=16MiB targets=0|must be from 1 to 4096 memory nodes"
	"capacity=16MiB target_size=16MiB|target_size= needs targets=NUMBER"
	"drain=hold targets=2|asks for no memory"
)
plan $((${#tests[@]} + 10))

refused() { ! submit bad "${2:--N1}" && grep -qF -- "$1" "$C/jobs/bad.err" || { echo "job $job"; cat "$C/jobs/bad.err"; return 1; }; }
export -f refused submit as_nobody
export user
for t in "${tests[@]}"; do
	check "refused: ${t%%|*}" refused "${t#*|}" <<EOF
#PMEM ${t%%|*}
true
EOF
done
check "refused: more than all nodes have" refused "128 MiB on each of 3 nodes exceed the total of 256 MiB" -N3 <<EOF
#PMEM capacity=128MiB
EOF
check "refused: no space behind #PMEM" refused "there must be a space behind #PMEM" <<EOF
#PMEMcapacity=16MiB
EOF
check "refused: a line behind the first command" refused "must come before the first command" <<EOF
#PMEM capacity=16MiB
true
#PMEM drain=hold
EOF

# what takes slurmctld hours, if its time grows with the square of the length
{ printf '#PMEM capacity='; head -c 1000000 /dev/zero | tr '\0' 1; echo '!'; } >"$C/jobs/digits"
digits() { timeout 60 bash -c 'refused "too many characters in #PMEM lines" <"$C/jobs/digits"' && timeout 60 scontrol ping; }
check "refused: a million digits, and slurmctld answers" digits

if [ -e "$C/bin/spank_pmem.so" ]; then
	beyond() { ! submit beyond -N1 --pmem=1TiB </dev/null && grep -qF -- "--pmem: 1 TiB on each node are requested, but a node has 128 MiB" "$C/jobs/beyond.err" || { cat "$C/jobs/beyond.err"; return 1; }; }
	check "refused: more for --pmem= than a node has" beyond
else
	check "refused: more for --pmem= than a node has # SKIP slurm/spank.h was not there at configure" true
fi

# what is good, on several lines
counted() { says "$job" "TresPerNode=gres:pmem:$1" || says "$job" "TresPerNode=gres/pmem:$1"; } # Slurm 22.05, 24.11
submit good -N1 --hold <<EOF
#PMEM capacity=16.5MiB \\
#PMEM drain=hold            # capacity=7GiB in a comment
#PMEM	stage_out source=$PFS/out
#PMEM pool=pmem verify=drain placement=striped
true
EOF
good() {
	says "$job" "pool=pmem capacity=17M per_node=17M" && counted 17 &&
		[ "$(field "$job" JobState)" = PENDING ] && ! says "$job" 7GiB
}
check "decimals, comments and continued lines" good
scancel "$job"

submit two -N2 --hold <<EOF
#PMEM capacity=20MiB
EOF
two() { says "$job" "capacity=40M per_node=20M" && counted 20; }
check "capacity is counted for each node" two
scancel "$job"
check "... and a job that waits can be cancelled" ended "$job" CANCELLED

# not from a script
option() {
	local out
	out=$(cd "$C/jobs" && as_nobody timeout 60 srun -N1 --bb='#PMEM capacity=16MiB' sh -c 'echo "pool $PMIO_POOL"' 2>&1)
	echo "$out" | grep -q "pool $PMEM/job\." || { echo "$out"; return 1; }
}
check "srun --bb" option
check "nothing is left" nothing_left
