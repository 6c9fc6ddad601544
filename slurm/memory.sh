# memory.sh -- sourced by pmio-slurm: what runs on memory nodes, as root, all the time
#
# A lease is a folder that stands for pools on memory nodes, STATE/job.ID or
# STATE/buffer.NAME.  This node has one for each lease that has a file want.NODE, as
# $PMEM/memory.job.ID or $PMEM/memory.buffer.NAME, with an agent and a target of the
# user's.  When the file or the lease has gone, what waits in the pool is brought out, and
# then the pool removed.  If that fails it is tried again, for ever.
#
# What takes long is done beside the loop, for each pool one thing at a time.

TICK=0.5
ANNOUNCE_S=2
RETRY_S=5
MARKS_S=60 # files that others use keep a pool for so long

node=${PMIO_MEMORY_NODE:-$(hostname -s)}
declare -A busy next # by the pool's name: process; when to look again

# beside the pool NAME: which life of the lease it is of; why it cannot be emptied
born_file() { echo "$PMEM/.$1.born"; }
why_file() { echo "$PMEM/.$1.why"; }

# a lease's name, which is an index here: of a job or a buffer
is_lease() { [[ $1 =~ ^(job\.[0-9]+|buffer\.[A-Za-z0-9][A-Za-z0-9_-]*)$ ]]; }

load() {
	name=$1 lease=$STATE/${1#memory.} pool=$PMEM/$1 why=
	settings=()
}
# of the pool, or of the lease
owner() { number uid "$(stat -c %u "$pool" 2>/dev/null)" && number gid "$(stat -c %g "$pool" 2>/dev/null)"; }
user_of_lease() { number uid "$(values "$lease/spec" uid)" && number gid "$(values "$lease/spec" gid)"; }

# what a pool may have now, and when nothing else is there; and what could not be brought out
announce() {
	local free all f text
	room free avail && room all size || return
	free=$((free - CATALOG)) all=$((all - CATALOG))
	text="$((free < 0 ? 0 : free)) $((all < 0 ? 0 : all))"
	for f in "$PMEM"/.memory.*.why; do
		[ ! -e "$f" ] || text+=$'\n'$(basename "$f" .why | sed 's/^\.memory\.//')": $(plain "$(head -n 1 "$f")")"
	done
	put "$STATE/memory.$node" "$text"
}

# in the background; the loop goes on
start() {
	local key=$1
	shift
	"$@" </dev/null &
	busy[$key]=$!
}

is_busy() {
	local pid=${busy[$1]:-}
	[ -n "$pid" ] || return 1
	kill -0 "$pid" 2>/dev/null && return 0
	wait "$pid"
	unset "busy[$1]"
	return 1
}

# ---- a pool for a lease --------------------------------------------------------------------

start_target() {
	local settings=(${MEMORY_ADDRESS:+"PMIO_ADDRESS=$MEMORY_ADDRESS"})
	# the loop, which looks at the lease meanwhile, may have begun one
	limited "$PMIO" agent start && { limited "$PMIOD" --target --card "$pool/card" --pool "$pool" || has_target "$pool"; }
}

# read as the user: it may be anything, without an end
give_card() {
	local keep=100
	limited head -c 8192 -- "$pool/card" || return
	(umask 077 && printf '%s\n' "${said[@]}" >"$lease/.card.$node") &&
		chown "$uid:$gid" "$lease/.card.$node" && mv "$lease/.card.$node" "$lease/card.$node"
}

make_pool() {
	local bytes='' free
	read -r bytes <"$lease/want.$node"
	number bytes "$bytes" || { why="'$bytes' is no number of bytes"; return 1; }
	if [ ! -e "$pool/data" ]; then
		room free avail && [ "$free" -ge "$bytes" ] || { why="$PMEM has $free bytes free, $bytes are wanted"; return 1; }
		why=$(rm -rf "$pool" 2>&1 && mkdir -m 700 "$pool" 2>&1) || return 1
		limit_pool "$bytes"
		why=$(chown "$uid:$gid" "$pool" 2>&1) &&
			values "$lease/spec" born >"$(born_file "$name")" || return 1
		limited "$PMIO" pool create --quiet --size="$bytes" "$pool" || return 1
	fi
	start_target
}

do_make() {
	load "$1"
	user_of_lease || return
	if make_pool && give_card; then return; fi
	put "$lease/nocard.$node" "$(reason)"
	end_agents "$pool"
	rm -rf "$pool" "$(born_file "$name")"
}

# this node was started anew, or they were killed
do_restart() {
	load "$1"
	owner || return
	start_target && give_card || say "$name: $(reason)"
}

# has_target POOL: of its user
has_target() {
	local uid
	number uid "$(stat -c %u "$1" 2>/dev/null)" && [ -n "$(agents "$1" --target)" ]
}

# ---- the end of a pool -----------------------------------------------------------------------

# files of which others have the owner's file yet: its marks go when all memory nodes have drained
has_marks() {
	in_shell "$list_files"' | { while IFS= read -r path; do
		inode=$(stat -c %i -- "$path" 2>/dev/null) || continue
		mark=$(dirname "$path")/.pmio-owner.$inode
		[ ! -e "$mark" ] && [ ! -e "$mark.$(id -u)" ] || exit 0
	done; exit 1; }'
}

# The agent may be paused, or stopped, or held up for ever: then it and the target are ended, and new ones begun.  Not at
# once, as others may read through the target what waits here.
drain_memory() {
	limited "$PMIO" agent resume
	drain_all && return
	[ $? = 124 ] || return 1
	end_agents "$pool" --target
	end_agents "$pool"
	start_target && drain_all
}

# 1: not yet, and `why` says why not
empty_memory() {
	local end=$((SECONDS + MARKS_S))
	[ -e "$pool/data" ] || return 0
	has_target "$pool" || start_target || return 1
	drain_memory || return 1
	drain_by_name
	while has_marks && [ $SECONDS -lt $end ]; do sleep 0.5; done
	end_agents "$pool" --target
	stop_agent
	limited "$PMIO" pool destroy "$pool"
}

do_end() {
	load "$1"
	owner || return
	if empty_memory && remove_pool; then
		rm -f "$(born_file "$name")" "$(why_file "$name")"
		return
	fi
	[ "$(reason)" = "$(cat "$(why_file "$name")" 2>/dev/null)" ] || say "$name: $(reason)"
	reason >"$(why_file "$name")"
}

# ---- what jobs ask for -------------------------------------------------------------------------

# do_what WHAT JOB: of the lease that is loaded
do_what() {
	local paths=() p
	case $1 in
	stage-in)
		mapfile -t paths < <(values "$2/spec" stage_in)
		limited "$PMIO" stage-in --json -- "${paths[@]}"
		;;
	stage-out)
		while IFS= read -r p; do ! limited test -e "$p" || paths+=("$p"); done < <(values "$2/spec" stage_out)
		[ ${#paths[@]} = 0 ] || limited "$PMIO" drain --json -- "${paths[@]}"
		;;
	drain) drain_memory ;;
	*) why="what is $1?" && false ;;
	esac
}

# do.NODE: WHAT LEASE; did.NODE: 0, or 1 and why
do_request() {
	local job=$1 what of progress=$1/memory_progress.$node
	read -r what of <"$job/do.$node"
	is_lease "$of" || return
	load "memory.$of"
	owner || { put "$job/did.$node" "1 $what: there is no pool"; return; }
	read_settings "$job/environment"
	if do_what "$what" "$job"; then
		put "$job/did.$node" 0
	else
		put "$job/did.$node" "1 $what: $(reason)"
	fi
}

# ---- the loop --------------------------------------------------------------------------------------

look_at_leases() {
	local w name lease
	for w in "$STATE"/job.*/want."$node" "$STATE"/buffer.*/want."$node"; do
		lease=${w%/*}
		[ -e "$w" ] && is_lease "${lease##*/}" || continue
		name=memory.${lease##*/}
		is_busy "$name" && continue
		if [ ! -e "$lease/card.$node" ] && [ ! -e "$lease/nocard.$node" ]; then
			[ -d "$PMEM/$name" ] && ! is_of "$name" || start "$name" do_make "$name"
		elif [ -e "$PMEM/$name/data" ] && is_of "$name" && [ $SECONDS -ge "${next[$name]:-0}" ]; then
			next[$name]=$((SECONDS + RETRY_S))
			has_target "$PMEM/$name" || start "$name" do_restart "$name"
		fi
	done
}

# the pool is of the lease as it is now, not of one that had the same name
is_of() { [ "$(values "$STATE/${1#memory.}/spec" born)" = "$(cat "$(born_file "$1")" 2>/dev/null)" ]; }

look_at_pools() {
	local pool name
	for pool in "$PMEM"/memory.*; do
		name=${pool##*/}
		is_lease "${name#memory.}" || continue
		[ -d "$pool" ] && ! is_busy "$name" && [ $SECONDS -ge "${next[end.$name]:-0}" ] || continue
		[ -e "$STATE/${name#memory.}/want.$node" ] && is_of "$name" && continue
		next[end.$name]=$((SECONDS + RETRY_S))
		start "$name" do_end "$name"
	done
}

look_at_requests() {
	local d job
	for d in "$STATE"/job.*/do."$node"; do
		job=${d%/*}
		[[ ${job##*/} =~ ^job\.[0-9]+$ ]] || continue
		[ -e "$d" ] && [ ! -e "$job/did.$node" ] && ! is_busy "do.${job##*/}" || continue
		start "do.${job##*/}" do_request "$job"
	done
}

do_memory() {
	local announced=-$ANNOUNCE_S
	[ -d "$PMEM" ] || die "$PMEM is not there"
	trap 'rm -f "$STATE/memory.$node"; exit 0' TERM INT
	while :; do
		if [ $((SECONDS - announced)) -ge $ANNOUNCE_S ]; then
			announce && announced=$SECONDS
		fi
		# a lease that cannot be seen has not gone if the folder of all cannot be seen
		if [ -e "$STATE/memory.$node" ]; then
			look_at_leases
			look_at_pools
			look_at_requests
		fi
		sleep $TICK &
		wait $!
	done
}
