#!/bin/bash
# nodes.sh -- ranks with different pools, as on several nodes: the same programs, the same files
#
# The pools are on this machine, and reached through its loopback address; what only
# real hosts show is in tests/cluster/.
. "${top_srcdir:-.}/tests/env.sh"
need_mpi
export PMIO_ADDRESS=127.0.0.1

trap 'stop_all; cleanup' EXIT
pools="$T/pool $T/pool1 $T/pool2"
memory="$T/mem1 $T/mem2"
# shellcheck disable=SC2086
mkdir -m 700 "$T/pool1" "$T/pool2" $memory

# the targets end with their agents
stop_pools() {
	local pool
	for pool in $pools; do "$PMIO" --pool="$pool" agent stop --force >/dev/null 2>&1; done
}
stop_all() {
	local pool
	for pool in $pools $memory; do "$PMIO" --pool="$pool" agent stop --force >/dev/null 2>&1; done
}

# over NR-POOLS PLACEMENT NR-RANKS PROGRAM FILE: rank r is on pool r % NR-POOLS
over() {
	local nr=$1 placement=$2 ranks=$3
	shift 3
	# shellcheck disable=SC2016
	PMIO_PLACEMENT=$placement NR_POOLS=$nr POOLS=$pools run "$ranks" \
		bash -c 'set -- "$@"; pools=($POOLS); export PMIO_POOL=${pools[${OMPI_COMM_WORLD_RANK:-$PMI_RANK} % NR_POOLS]}; exec "$@"' x "$@"
}

# that nothing is left: no mark next to the file, no data in a pool that are not in the file
settled() {
	local pool
	find "$PFS" -name '.pmio-owner*' | grep . && return 1
	for pool in $pools; do
		[ ! -e "$pool/data" ] || "$PMIO" --pool="$pool" drain --all || return 1
	done
}

# program NAME NR-POOLS PLACEMENT RANKS: its files are the same as from one pool
program() {
	# a communicator of one process does not show that the job is on several nodes, if the machine is one
	export PMIO_OWNER=auto
	[ "$1" != visible ] || PMIO_OWNER=always
	local bin=$MPI_PROGRAMS/$1.mpi dir=$PFS/$1.$2.$3.$4 one=$PFS/$1.one.$4
	mkdir -p "$dir"
	over "$2" "$3" "$4" "$bin" "pmem:$dir/$1" || return
	settled || return
	if [ ! -d "$one" ]; then
		mkdir -p "$one"
		run "$4" "$bin" "pmem:$one/$1" || return
	fi
	[ -n "$(ls "$one")" ] && diff -r "$one" "$dir"
}

# both pools have served: the test would pass without this, had all been in one
were_used() {
	local pool used=0
	for pool in $pools; do
		[ ! -s "$pool/target.log" ] || cat "$pool/target.log"
		[ -S "$pool/agent.sock" ] && [ -e "$pool/target.lock" ] && used=$((used + 1))
	done
	echo "$used pools have had a target"
	[ "$used" = 3 ] || return
	stop_all
	! find "$T" -name agent.sock -o -name target | grep .
}

# the second node cannot write its part, as on a file system that is full there
some_waits() {
	local prog=$MPI_EXAMPLES/hello_pmem
	stop_all
	(
		export PMIO_POOL=$T/pool1
		limited_agent --fsize=1048576
	) || return
	over 2 striped 2 "$prog" "pmem:$PFS/waits" # it does not look at what closing returned
	cat "$PFS"/.pmio-owner.*
	[ "$(grep -c '^waits = yes' "$PFS"/.pmio-owner.*)" = 1 ] || return
	"$PMIO" --pool="$T/pool1" ls
	over 2 striped 2 "$prog" "pmem:$PFS/waits" >"$T/refused" 2>&1 && return 1
	cat "$T/refused"
	grep -q 'run `pmio drain FILE` there' "$T/refused" || return
	PMIO_OWNER=always over 1 auto 1 "$prog" "pmem:$PFS/waits" && return 1
	# a drain that fails changes nothing
	"$PMIO" --pool="$T/pool1" drain "$PFS/waits" && return 1
	"$PMIO" --pool="$T/pool" drain "$PFS/waits" || return
	[ "$(grep -c '^waits = yes' "$PFS"/.pmio-owner.*)" = 1 ] || return
	stop_all
	"$PMIO" --pool="$T/pool1" drain "$PFS/waits" && settled || return
	run 2 "$prog" "pmem:$PFS/whole" && cmp "$PFS/waits" "$PFS/whole" &&
		over 2 striped 2 "$prog" "pmem:$PFS/waits" && cmp "$PFS/waits" "$PFS/whole"
}

no_owner() { [ -z "$(find "$PFS" -name '.pmio-owner*')" ]; }
memory_nodes() { # WHAT: pmio agent WHAT on both
	local m
	for m in $memory; do "$PMIO" --pool="$m" agent "$1" || return; done
}
waits() { [ "$(grep -c '^waits = yes' "$PFS"/.pmio-owner.*)" = "$1" ]; }

# written there at once, drained from there when the job has gone, and read from there meanwhile
aggregated() {
	local prog=$MPI_EXAMPLES/hello_pmem copy=$MPI_PROGRAMS/copy m file
	file=$PFS/$(printf 'long%.0s' $(seq 60)) # more than a line of the layout file takes
	for m in $memory; do
		"$PMIO_AGENT" --target --listen 127.0.0.1 --card "$m.card" --pool "$m" || return
	done
	PMIO_DRAIN=aggregate over 2 auto 2 "$prog" "pmem:$file" 2>"$T/refused" && return 1
	grep 'names no memory node' "$T/refused" || return
	export PMIO_TARGETS=$T/mem1.card,$T/mem2.card
	[ -e "$PFS/whole" ] || run 2 "$prog" "pmem:$PFS/whole" || return
	memory_nodes pause || return
	PMIO_DRAIN=aggregate over 2 auto 2 "$prog" "pmem:$file" || return
	waits 2 && ! cmp "$PFS/whole" "$file" || { echo "it has been drained"; return 1; }
	stop_pools # the job's nodes have gone
	# another program finds them by the mark, whatever its own settings are
	over 2 auto 2 "$copy" "pmem:$file" "$T/copy" && cmp "$PFS/whole" "$T/copy" || return
	PMIO_DRAIN=aggregate over 1 auto 1 "$copy" "pmem:$file" "$T/copy" && cmp "$PFS/whole" "$T/copy" || return
	waits 2 || return
	# one of them dies, and is started anew
	"$PMIO" --pool="$T/mem2" agent stop --force && "$PMIO_AGENT" --target --listen 127.0.0.1 --card "$T/mem2.card" --pool "$T/mem2" || return
	memory_nodes resume && until_ok no_owner && cmp "$PFS/whole" "$file" || return
	"$PMIO" target stat --json >"$T/stat" && python3 -c 'import json, sys
t = json.load(open(sys.argv[1]))
sys.exit(0 if len(t) == 2 and all(m["drained"] >= 1 << 20 and m["dirty"] == 0 for m in t) else str(t))' "$T/stat" || return
	# and what is discarded leaves no mark; nor does the program depend on when they drain
	memory_nodes pause && PMIO_DRAIN=aggregate over 2 auto 2 "$MPI_PROGRAMS/modes.mpi" "pmem:$PFS/agg2" && memory_nodes resume &&
		until_ok no_owner
}

# in_memory FILE WHAT: of each memory node, a number of `pmio stat --json FILE`
in_memory() {
	local m
	for m in $memory; do
		"$PMIO" --pool="$m" stat --json "$1" | python3 -c 'import json, sys
print(json.load(sys.stdin)["files"][0][sys.argv[1]])' "$2" || return
	done
}

# brought into both memory nodes, and read from there, by another name too
staged() {
	local copy=$MPI_PROGRAMS/copy file=$PFS/staged m
	stop_all
	rm -rf "$T"/mem[12]/* "$PFS"/staged*
	for m in $memory; do
		PMIO_POOL_SIZE=16MiB "$PMIO_AGENT" --target --listen 127.0.0.1 --card "$m.card" --pool "$m" || return
	done
	export PMIO_TARGETS=$T/mem1.card,$T/mem2.card
	head -c 9000000 /dev/urandom >"$file" && ln -s staged "$PFS/staged.link" || return
	sleep 3 # of a file that was just changed nothing is kept for the next program
	"$PMIO" --pool="$T/pool" agent start || return
	PMIO_PLACEMENT=remote "$PMIO" --pool="$T/pool" stage-in "$file" || return
	no_owner || return
	[ "$(in_memory "$file" resident | awk '{s += $1} $1 > 3000000 {n++} END {print n, (s >= 9000000)}')" = "2 1" ] ||
		{ in_memory "$file" resident; return 1; }
	in_memory "$file" filled >"$T/filled" || return
	! "$PMIO" --pool="$T/pool" ls | grep staged || return
	PMIO_PLACEMENT=remote over 2 remote 2 "$copy" "pmem:$file" "$T/copy" && cmp "$file" "$T/copy" || return
	PMIO_DRAIN=aggregate over 1 auto 1 "$copy" "pmem:$PFS/staged.link" "$T/copy" && cmp "$file" "$T/copy" || return
	in_memory "$file" filled | cmp "$T/filled" - || { echo "it was read once more"; return 1; }
	until_ok no_owner || return
	# larger than both, and one that is not there
	head -c 50000000 /dev/zero >"$PFS/staged.large"
	PMIO_DRAIN=aggregate "$PMIO" --pool="$T/pool" stage-in --jobs=1 "$file" "$PFS/staged.large" "$PFS/staged.none" 2>"$T/refused"
	[ $? = 3 ] && grep -q 'the memory nodes have no room' "$T/refused" || { cat "$T/refused"; return 1; }
	until_ok no_owner
}

# a target, which works in another folder, starts its agent anew
relative_agent() (
	cd "$top_builddir" && stop_all && rm -rf "$T"/mem1/* || return
	export PMIO_AGENT=./pmiod PMIO_POOL_SIZE=16MiB
	./pmiod --target --listen 127.0.0.1 --card "$T/mem1.card" --pool "$T/mem1" || return
	kill -9 "$("$PMIO" --pool="$T/mem1" stat --json | sed -n 's/.*"agent_pid":\([0-9]*\),*/\1/p')" || return
	PMIO_TARGETS=$T/mem1.card "$PMIO" target stat
)

plan 22
check "contig: 2 pools" program contig 2 auto 2
check "contig: 3 pools" program contig 3 auto 4
check "contig: 3 pools, striped" program contig 3 striped 4
check "contig: 3 pools, single" program contig 3 single 4
check "coll: 2 pools" program coll 2 auto 4
check "coll: 3 pools, striped" program coll 3 striped 3
check "views: 2 pools" program views 2 auto 4
check "views: 3 pools, striped" program views 3 striped 4
check "nonblock: 2 pools" program nonblock 2 auto 4
check "shared: 3 pools" program shared 3 auto 4
check "visible: 2 pools" program visible 2 auto 4
check "exchange: 2 pools" program exchange 2 auto 4
check "order: 2 pools" program order 2 auto 4
check "order: 3 pools, striped" program order 3 striped 3
check "order: 2 pools, single" program order 2 single 2
check "size: 2 pools" program size 2 auto 3
check "modes: 3 pools" program modes 3 auto 4
check "what one node could not drain is said, waits, and is drained later" some_waits
check "all three pools were used" were_used
check "drain=aggregate: memory nodes drain when the job has gone" aggregated
check "the agent by a relative path" relative_agent
check "stage-in to memory nodes" staged
exit $tap_failed
