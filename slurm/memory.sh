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
CATALOG=$((40 << 20)) # of each pool, beside its bytes
RETRY_S=5
MARKS_S=60 # files that others use keep a pool for so long

node=${PMIO_MEMORY_NODE:-$(hostname -s)}
log=
declare -A busy next # by the pool's name: process; when to look again

# beside the pool NAME: which life of the lease it is of; why it cannot be emptied
born_file() { echo "$PMEM/.$1.born"; }
why_file() { echo "$PMEM/.$1.why"; }

load() {
	name=$1 lease=$STATE/${1#memory.} pool=$PMEM/$1
	settings=()
}
owner() { uid=$(stat -c %u "$pool") gid=$(stat -c %g "$pool"); }

# what a pool may have now, and when nothing else is there; and what could not be brought out
announce() {
	local free all f
	free=$(($(df -B1 --output=avail "$PMEM" | tail -n 1) - CATALOG)) all=$(($(df -B1 --output=size "$PMEM" | tail -n 1) - CATALOG))
	{
		echo $((free < 0 ? 0 : free)) $((all < 0 ? 0 : all))
		for f in "$PMEM"/.memory.*.why; do
			[ ! -e "$f" ] || echo "$(basename "$f" .why | sed 's/^\.memory\.//'): $(head -n 1 "$f")"
		done
	} >"$STATE/.memory.$node" && mv "$STATE/.memory.$node" "$STATE/memory.$node"
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
	as_user "$PMIO" agent start &&
		as_user "$PMIOD" --target --card "$pool/card" --pool "$pool"
}

# read as the user: it may be anything
give_card() {
	(umask 077 && as_user cat "$pool/card" >"$lease/.card.$node") &&
		chown "$uid:$gid" "$lease/.card.$node" && mv "$lease/.card.$node" "$lease/card.$node"
}

make_pool() {
	local bytes free
	read -r bytes <"$lease/want.$node"
	if [ ! -e "$pool/data" ]; then
		free=$(df -B1 --output=avail "$PMEM" | tail -n 1)
		[ "$free" -ge "$bytes" ] || { echo "$PMEM has ${free// /} bytes free, $bytes are wanted"; return 1; }
		rm -rf "$pool"
		mkdir -m 700 "$pool" && chown "$uid:$gid" "$pool" && values "$lease/spec" born >"$(born_file "$name")" || return 1
		as_user "$PMIO" pool create --quiet --size="$bytes" "$pool" || return 1
	fi
	start_target
}

do_make() {
	load "$1"
	log=$(mktemp)
	uid=$(values "$lease/spec" uid) gid=$(values "$lease/spec" gid)
	if make_pool >"$log" 2>&1; then
		give_card
	else
		put "$lease/nocard.$node" "$(reason)"
		end_agents "$pool"
		rm -rf "$pool" "$(born_file "$name")"
	fi
	rm -f "$log"
}

# this node was started anew, or they were killed
do_restart() {
	load "$1"
	owner
	log=$(mktemp)
	start_target >"$log" 2>&1 && give_card || say "$name: $(reason)"
	rm -f "$log"
}

has_target() { [ -n "$(agents "$1" --target)" ]; }

# ---- the end of a pool -----------------------------------------------------------------------

# files of which others have the owner's file yet: its marks go when all memory nodes have drained
has_marks() {
	local path inode
	while IFS= read -r path; do
		inode=$(as_user stat -c %i -- "$path" 2>/dev/null) || continue
		! as_user test -e "$(dirname "$path")/.pmio-owner.$inode" || return 0
	done < <(list_files)
	return 1
}

# 1: not yet, and the log says why
empty_memory() {
	local end=$((SECONDS + MARKS_S))
	[ -e "$pool/data" ] || return 0
	has_target "$pool" || start_target >"$log" 2>&1 || return 1
	as_user "$PMIO" drain --all >/dev/null 2>"$log" ||
		{ as_user "$PMIO" forget --gone --quiet >/dev/null 2>&1 && as_user "$PMIO" drain --all >/dev/null 2>"$log"; } ||
		return 1
	list_files | as_user xargs -r -d '\n' "$PMIO" drain --quiet -- >/dev/null 2>&1
	while has_marks && [ $SECONDS -lt $end ]; do sleep 0.5; done
	end_agents "$pool" --target
	as_user "$PMIO" agent stop 2>"$log" || as_user "$PMIO" agent stop --force 2>"$log"
	end_agents "$pool"
	as_user "$PMIO" pool destroy "$pool" >/dev/null 2>"$log"
}

do_end() {
	load "$1"
	owner
	log=$(mktemp)
	if empty_memory; then
		end_agents "$pool"
		rm -rf "$pool" "$(born_file "$name")" "$(why_file "$name")"
	else
		[ "$(reason)" = "$(cat "$(why_file "$name")" 2>/dev/null)" ] || say "$name: $(reason)"
		reason >"$(why_file "$name")"
	fi
	rm -f "$log"
}

# ---- what jobs ask for -------------------------------------------------------------------------

# do.NODE: WHAT LEASE; did.NODE: 0, or 1 and why
do_request() {
	local job=$1 what of paths=() p
	read -r what of <"$job/do.$node"
	load "memory.$of"
	owner
	read_settings "$job/environment"
	log=$(mktemp)
	case $what in
	stage-in) mapfile -t paths < <(values "$job/spec" stage_in) ;;
	stage-out) while IFS= read -r p; do ! as_user test -e "$p" || paths+=("$p"); done < <(values "$job/spec" stage_out) ;;
	drain) paths=() ;;
	esac
	if case $what in
		stage-in) as_user "$PMIO" stage-in --json -- "${paths[@]}" ;;
		stage-out) [ ${#paths[@]} = 0 ] || as_user "$PMIO" drain --json -- "${paths[@]}" ;;
		drain) as_user "$PMIO" drain --all --json ;;
		*) false ;;
		esac >"$job/memory_progress.$node" 2>"$log"; then
		put "$job/did.$node" 0
	else
		put "$job/did.$node" "1 $what: $(reason)"
	fi
	rm -f "$log"
}

# ---- the loop --------------------------------------------------------------------------------------

look_at_leases() {
	local w name lease
	for w in "$STATE"/job.*/want."$node" "$STATE"/buffer.*/want."$node"; do
		[ -e "$w" ] || continue
		lease=${w%/*}
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
