# stages.sh -- sourced by pmio-slurm: the stages on the controller
#
# What is written to standard error or output before a failure is shown to the user by
# squeue and scontrol.  Each stage may be killed at any time, and be called once more.

MEMORY_GONE=30 # seconds: a memory node that has not written for so long is down

# has_nothing FOLDER: of a job that never had nodes, or whose data are out
has_nothing() {
	local f
	[ ! -e "$1/out" ] || return 0
	for f in "$1"/begun.*; do
		f=${f##*/begun.}
		[ "$f" = '*' ] || [ -e "$1/failed.$f" ] || grep -qs '^0' "$1/drained.$f" || return 1
	done
	[ ! -e "$1/nodes" ] || [ ! -e "$1/memory_nodes" ]
}

# Slurm 22.05 may kill the teardown of a job that is cancelled, and does not call it once more.  What jobs left that
# Slurm has forgotten, and that have nothing in PMEM, goes.
forget_others() {
	local d others=()
	for d in "$STATE"/job.*; do
		[ ! -d "$d" ] || ! has_nothing "$d" || others+=("$d")
	done
	[ ${#others[@]} != 0 ] &&
		{ squeue -h -o %A && squeue -h -t stage_out -o %A; } >"$STATE/.jobs.$1" 2>/dev/null &&
		grep -qx "$1" "$STATE/.jobs.$1" &&
		for d in "${others[@]}"; do
			grep -qx "${d##*/job.}" "$STATE/.jobs.$1" || rm -rf "$d"
		done
	rm -f "$STATE/.jobs.$1"
}

# setup JOB UID GID LINE...: lines of spec
do_setup() {
	local job=$STATE/job.$1 new=$STATE/.new.$1 line
	[ -d "$STATE" ] || die "$STATE is not there"
	rm -rf "$new" "$job"
	mkdir -m 711 "$new" || exit 1
	{
		printf 'uid %s\ngid %s\nborn %s\n' "$2" "$3" "$(date +%s.%N).$$"
		printf 'pool %s\n' "$PMEM/job.$1"
		printf '%s\n' "${@:4}"
	} >"$new/spec" || exit 1
	[ -n "$(values "$new/spec" capacity)" ] && printf 'PMIO_POOL=%s\nPMIO_AGENT=%s\nPMIO_IDLE_TIMEOUT=0\n' "$PMEM/job.$1" "$PMIOD" >"$new/environment"
	for line in "${@:4}"; do
		[[ $line =~ ^set\ ([a-z_]+)\ (.*)$ ]] || continue
		printf 'PMIO_%s=%s\n' "${BASH_REMATCH[1]^^}" "${BASH_REMATCH[2]}"
	done >>"$new/environment" || exit 1
	check_buffers "$new" "$2" "$1" || {
		rm -rf "$new"
		exit 1
	}
	mv "$new" "$job"
	forget_others "$1"
}

# ---- memory nodes ----------------------------------------------------------------------

# Those that are up: lines NODE FREE ALL, bytes.  Each writes STATE/memory.NODE every few
# seconds; that is compared by the file system's clock.
nodes_up() {
	local f free all now written
	put "$STATE/.now.$$" ''
	number now "$(stat -c %Y "$STATE/.now.$$")"
	rm -f "$STATE/.now.$$"
	for f in "$STATE"/memory.*; do
		number written "$(stat -c %Y "$f" 2>/dev/null)" && [ $((now - written)) -le $MEMORY_GONE ] || continue
		read -r free all <"$f" && number free "$free" && number all "$all" && echo "${f##*/memory.} $free $all"
	done
}

is_up() { nodes_up | grep -q "^$1 "; }

# pick COUNT BYTES: into nodes, those that have most free; 1: there will be room, but not now; 2: there are nr in all
pick() {
	local count bytes node free all fit=()
	number count "$1" && number bytes "$2" || die "'$1 $2' are no numbers"
	nr=0
	while read -r node free all; do
		[ "$all" -lt "$bytes" ] || nr=$((nr + 1))
		[ "$free" -lt "$bytes" ] || fit+=("$free $node")
	done < <(nodes_up)
	[ "$nr" -ge "$count" ] || return 2
	[ ${#fit[@]} -ge "$count" ] || return 1
	mapfile -t nodes < <(printf '%s\n' "${fit[@]}" | sort -rn | head -n "$count" | cut -d' ' -f2)
}

# await_card LEASE NODE: until there is a pool; 1: the node says why not
await_card() {
	local end=$((SECONDS + 60))
	until [ -e "$1/card.$2" ]; do
		[ ! -e "$1/nocard.$2" ] || return 1
		[ $SECONDS -lt $end ] || is_up "$2" || die "memory node $2 does not answer"
		[ -d "$1" ] || die "it was torn down"
		sleep 0.2
	done
}

ask_for_pools() {
	local n failed=
	for n in "${nodes[@]}"; do put "$1/want.$n" "$2"; done
	for n in "${nodes[@]}"; do await_card "$1" "$n" || failed="$n: $(cat "$1/nocard.$n")"; done
	[ -n "$failed" ] || return 0
	put "$1/waits" "waits for memory nodes: $failed"
	rm -f "$1"/want.* "$1"/card.* "$1"/nocard.*
	return 1
}

# take_lease FOLDER COUNT BYTES: pools on so many memory nodes; waits until they have room
take_lease() {
	local nodes=() nr
	pick "$2" "$3"
	[ $? != 2 ] || die "$2 memory nodes with $3 bytes each are asked for, there are $nr"
	# from here on it waits, also for one that is down for a while
	while :; do
		if ! pick "$2" "$3"; then
			put "$1/waits" "waits until $2 memory nodes have $3 bytes free"
		elif ask_for_pools "$1" "$3"; then
			break
		fi
		[ -d "$1" ] || die "it was torn down"
		sleep 1
	done
	rm -f "$1/waits"
	put "$1/memory_nodes" "$(printf '%s\n' "${nodes[@]}")"
}

# request LEASE WHAT [NODE]: on its memory nodes, or on that one, for this job; failures gets what could not be done
request() {
	local lease=$1 what=$2 n rc why list=("${@:3}")
	[ ${#list[@]} != 0 ] || mapfile -t list <"$lease/memory_nodes"
	rm -f "$job"/did.*
	for n in "${list[@]}"; do put "$job/do.$n" "$what ${lease##*/}"; done
	for n in "${list[@]}"; do
		until [ -e "$job/did.$n" ]; do
			[ -d "$job" ] || die "the job was torn down"
			sleep 0.2
		done
		read -r rc why <"$job/did.$n"
		[ "$rc" = 0 ] || failures="$failures${failures:+; }$n: $why"
	done
	rm -f "$job"/do.*
	[ -z "$failures" ]
}

# ---- persistent buffers

# buffers that the job does not make itself must be there, and be its user's; those that it makes must not
check_buffers() {
	local name b made
	made=$(values "$1/spec" create | cut -d' ' -f1)
	while read -r name; do
		b=$STATE/buffer.$name
		if grep -qx -- "$name" <<<"$made"; then continue; fi
		[ -e "$b/ready" ] || { say "there is no persistent buffer $name"; return 1; }
		[ "$(values "$b/spec" uid)" = "$2" ] || { say "the persistent buffer $name is not this user's"; return 1; }
	done < <(values "$1/spec" use; values "$1/spec" destroy)
	for name in $made; do
		b=$STATE/buffer.$name
		[ ! -d "$b" ] || [ "$(values "$b/spec" job)" = "$3" ] || { say "there is a persistent buffer $name already"; return 1; }
	done
}

# NAME BYTES COUNT; 0: all memory nodes that are up
make_buffer() {
	local b=$STATE/buffer.$1 new=$STATE/.new.buffer.$1.$id bytes count
	number bytes "$2" && number count "$3" || die "create_persistent: '$2 $3' are no numbers"
	[ ! -e "$b/ready" ] || [ "$(values "$b/spec" job)" != "$id" ] || return 0
	[ "$count" != 0 ] || count=$(nodes_up | wc -l)
	[ "$count" != 0 ] || die "create_persistent: no memory node is up"
	rm -rf "$new"
	drop_unmade "$1"
	mkdir -m 711 "$new" && printf 'uid %s\ngid %s\nborn %s\njob %s\nbytes %s\n' "$uid" "$gid" "$(date +%s.%N).$$" "$id" "$bytes" >"$new/spec" &&
		mv -T "$new" "$b" 2>/dev/null || {
		rm -rf "$new"
		die "create_persistent: there is a buffer $1 already"
	}
	take_lease "$b" "$count" $(((bytes + count - 1) / count))
	put "$b/ready" ''
}

# what this job has begun to make
drop_unmade() {
	local b=$STATE/buffer.$1
	[ ! -d "$b" ] || [ -e "$b/ready" ] || [ "$(values "$b/spec" job)" != "$id" ] || rm -rf "$b"
}

# other jobs that use a buffer, one a line
users_of() {
	local d
	for d in "$STATE"/job.*; do
		[ ! -e "$d/spec" ] || [ "$d" = "$job" ] || ! grep -qx "use $1" "$d/spec" || echo "${d##*/job.}"
	done
}

destroy_buffer() {
	local b=$STATE/buffer.$1 users
	[ -e "$b/ready" ] || return 0
	while users=$(users_of "$1") && [ -n "$users" ]; do
		put "$job/waits" "destroy_persistent: buffer $1 is used by job $(tr '\n' ' ' <<<"$users")"
		[ -d "$job" ] || die "the job was torn down"
		sleep 1
	done
	rm -f "$job/waits"
	# nobody can begin to use it from here on
	mv "$b/ready" "$b/going" || return 0
	if request "$b" drain; then
		rm -rf "$b"
	else
		mv "$b/going" "$b/ready"
	fi
}

# ---- the stages ------------------------------------------------------------------------

load() {
	id=$1
	job=$STATE/job.$1
	[ -r "$job/spec" ] || die "$job/spec is not there"
	number uid "$(values "$job/spec" uid)" && number gid "$(values "$job/spec" gid)" || die "$job/spec has no user"
	pool=$(values "$job/spec" pool)
	number capacity "$(values "$job/spec" capacity)"
	read_settings "$job/environment"
}

is_set() { grep -q "^$1=" "$job/environment"; }

# the job's programs find memory nodes by these cards
use_nodes() {
	local n list=
	while read -r n; do list="$list${list:+,}$1/card.$n"; done <"$1/memory_nodes"
	echo "PMIO_TARGETS=$list" >>"$job/environment"
	if [ "$1" != "$job" ]; then
		is_set PMIO_DRAIN || echo "PMIO_DRAIN=hold" >>"$job/environment"
	fi
	if [ "$1" != "$job" ] || [ -n "$(values "$job/spec" stage_in)" ]; then
		is_set PMIO_PLACEMENT || echo "PMIO_PLACEMENT=remote" >>"$job/environment"
	fi
}

# $1: bytes that there is room for
check_stage_in() {
	local path bytes all last sum=0
	[ "$(id -u)" = 0 ] || return 0 # SlurmUser cannot look as the user; the nodes will
	number all "$1"
	while IFS= read -r path; do
		limited test -r "$path" || die "stage_in: $path cannot be read by the job's user"
		limited du -sbL -- "$path" || [ $? != 124 ] || die "stage_in: $path: $why"
		# it is the user's process, and may say anything
		last=${said[*]: -1}
		number bytes "${last%%$'\t'*}" || die "stage_in: $path: its size cannot be had: $last"
		sum=$((sum + bytes))
		[ "$sum" -le "$all" ] || die "stage_in: $sum bytes are more than the $all that the job asked for${2-}"
	done < <(values "$job/spec" stage_in)
}

# before there are nodes: memory nodes, and what is to be on them; or whether it can be done
do_data_in() {
	local lease= name bytes count failures=''
	load "$1"
	while read -r name bytes count; do make_buffer "$name" "$bytes" "$count"; done < <(values "$job/spec" create)
	name=$(values "$job/spec" use)
	read -r count bytes < <(values "$job/spec" targets)
	if [ -n "$name" ]; then
		lease=$STATE/buffer.$name
		[ -e "$lease/ready" ] || die "there is no persistent buffer $name"
		bytes=$(values "$lease/spec" bytes)
	elif [ -n "$count" ]; then
		lease=$job
		number count "$count" && number bytes "$bytes" || die "targets: '$count $bytes' are no numbers"
		check_stage_in $((count * bytes)) " on memory nodes"
		take_lease "$job" "$count" "$bytes"
		bytes=$((count * bytes))
	fi
	if [ -z "$lease" ]; then
		check_stage_in "$capacity" " on each node"
		return
	fi
	is_set PMIO_TARGETS || use_nodes "$lease"
	[ -n "$(values "$job/spec" stage_in)" ] || return 0
	check_stage_in "$bytes" " on memory nodes"
	# each memory node reads its part, whichever is asked
	request "$lease" stage-in "$(head -n 1 "$lease/memory_nodes")" || die "stage_in: $failures"
	put "$job/staged" ''
}

do_pre_run() {
	load "$1"
	put "$job/nodes" "$(scontrol show hostnames "$(squeue -h -j "$1" -o %N)")"
	[ -s "$job/nodes" ] || die "the job's nodes are not known"
}

do_post_run() { :; }

# the node's epilog brings the data out; FAILURES gets those that could not
await_node() {
	local node=$1 rc why
	[ -e "$job/begun.$node" ] && [ ! -e "$job/failed.$node" ] || return 0
	until [ -e "$job/drained.$node" ]; do
		[ -d "$job" ] || die "the job was torn down before its data were out"
		[ ! -e "$job/failed.$node" ] || return 0
		sleep 0.2
	done
	read -r rc why <"$job/drained.$node"
	[ "$rc" = 0 ] || failures="$failures${failures:+; }$node: $why"
}

do_data_out() {
	local node name failures=''
	load "$1"
	[ -s "$job/nodes" ] || exit 0 # it never had any
	while read -r node; do await_node "$node"; done <"$job/nodes"
	[ -z "$failures" ] || die "stage-out: $failures"
	name=$(values "$job/spec" use)
	if [ -n "$name" ]; then
		[ -z "$(values "$job/spec" stage_out)" ] || request "$STATE/buffer.$name" stage-out
	elif [ -e "$job/memory_nodes" ] && ! grep -qx PMIO_DRAIN=aggregate "$job/environment"; then
		request "$job" drain
	fi
	while [ -z "$failures" ] && read -r name; do destroy_buffer "$name"; done < <(values "$job/spec" destroy)
	[ -z "$failures" ] || die "stage-out: $failures"
	put "$job/out" ''
}

# may be called twice, and beside a data_out that still runs
do_teardown() {
	local name
	id=$1
	for name in $(values "$STATE/job.$id/spec" create | cut -d' ' -f1); do drop_unmade "$name"; done
	rm -rf "$STATE/job.$id" "$STATE/.new.$id"
}

# ---- what scontrol show bbstat shows -------------------------------------------------

# progress_of FILE: of a command of pmio
progress_of() {
	local bytes='' all=''
	read -r bytes all 2>/dev/null <"$1"
	[ -z "$all" ] || echo ": $bytes of $all bytes"
}

show_node() {
	local job=$1 node=$2 rc why p
	if [ -e "$job/drained.$node" ]; then
		read -r rc why <"$job/drained.$node"
		if [ "$rc" = 0 ]; then echo "all data are out"; else echo "$why"; fi
	elif [ -e "$job/failed.$node" ]; then
		echo "no pool: $(cat "$job/failed.$node")"
	elif [ -s "$job/progress.$node" ]; then
		echo "stage-out$(progress_of "$job/progress.$node")"
	elif [ -e "$job/ready.$node" ]; then
		echo "pool ready"
	elif [ -e "$job/begun.$node" ]; then
		echo "making a pool"
	else
		echo "not begun"
	fi
	[ ! -e "$job/warning.$node" ] || echo "  $node: $(cat "$job/warning.$node")"
}

show_memory() {
	local job=$1 f n
	[ ! -e "$job/waits" ] || echo "  $(cat "$job/waits")"
	while read -r n; do echo "  memory node $n: pool ready"; done < <(cat "$job/memory_nodes" 2>/dev/null)
	for f in "$job"/do.*; do
		[ ! -e "$f" ] || echo "  memory node ${f##*/do.}: $(cut -d' ' -f1 "$f")$(progress_of "$job/memory_progress.${f##*/do.}")"
	done
}

show_buffer() {
	local b=$1
	echo "buffer ${b##*/buffer.}: uid $(values "$b/spec" uid), $(values "$b/spec" bytes) bytes on memory nodes$(sed 's/^/ /' "$b/memory_nodes" 2>/dev/null | tr -d '\n')"
	if [ -e "$b/going" ]; then
		echo "  is being destroyed"
	elif [ ! -e "$b/ready" ]; then
		echo "  is being made by job $(values "$b/spec" job)"
	fi
	[ ! -e "$b/waits" ] || echo "  $(cat "$b/waits")"
}

show_job() {
	local job=$STATE/job.$1 node name
	if [ ! -d "$job" ]; then
		echo "job $1: pmio has nothing for it"
		return
	fi
	name=$(values "$job/spec" capacity)
	if [ -n "$name" ]; then
		echo "job $1: uid $(values "$job/spec" uid), $name bytes on each node, pool $(values "$job/spec" pool)"
	else
		echo "job $1: uid $(values "$job/spec" uid), no pools on its nodes"
	fi
	name=$(values "$job/spec" use)
	[ -z "$name" ] || echo "  uses buffer $name"
	show_memory "$job"
	[ -s "$job/nodes" ] || echo "  has no nodes yet"
	while read -r node; do echo "  $node: $(show_node "$job" "$node")"; done < <(cat "$job/nodes" 2>/dev/null)
}

do_status() {
	local d node free all
	if [ $# != 0 ]; then
		for d in "$@"; do
			[[ $d =~ ^[0-9]+$ ]] || die "'$d' is not a job's number"
			show_job "$d"
		done
		return
	fi
	for d in "$STATE"/job.*; do [ ! -d "$d" ] || show_job "${d##*/job.}"; done
	for d in "$STATE"/buffer.*; do [ ! -d "$d" ] || show_buffer "$d"; done
	nodes_up | while read -r node free all; do
		echo "memory node $node: $free of $all bytes free"
		sed -n '2,$s/^/  /p' "$STATE/memory.$node"
	done
}
