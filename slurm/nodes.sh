# nodes.sh -- sourced by pmio-slurm: prolog and epilog on the nodes, as root
#
# The pool of a job is $PMEM/job.ID, of its user.  Agent and target are started here, so
# that they are not of the job's steps and do not end with one of them.

id=${SLURM_JOB_ID:-}
node=${SLURMD_NODENAME:-$(hostname -s)}
job=$STATE/job.$id
pool=$PMEM/job.$id
log=

mark() { put "$job/$1.$node" "${2-}"; }

# to the user and gid of a job, from its spec
load() {
	uid=$(values "$job/spec" uid) gid=$(values "$job/spec" gid) capacity=$(values "$job/spec" capacity)
	read_settings "$job/environment"
}

# ---- prolog -----------------------------------------------------------------------------

has_room() {
	local free
	[ -d "$PMEM" ] || { echo "$PMEM is not there"; return 1; }
	free=$(df -B1 --output=avail "$PMEM" | tail -n 1)
	[ "$free" -ge "$1" ] || { echo "$PMEM has ${free// /} bytes free, the job wants $1"; return 1; }
}

is_several() { case ${SLURM_NODELIST:-${SLURM_JOB_NODELIST:-}} in *[,\[]*) true ;; *) false ;; esac; }

make_pool() {
	[ ! -e "$pool" ] || { echo "$pool is there already"; return 1; }
	has_room "$capacity" || return 1
	mkdir -m 700 "$pool" && chown "$uid:$gid" "$pool" || return 1
	made=yes
	as_user "$PMIO" pool create --quiet --size="$capacity" "$pool" &&
		as_user "$PMIO" agent start || return 1
	! is_several || as_user "$PMIOD" --target --pool "$pool"
}

stage_in() {
	local paths
	[ ! -e "$job/staged" ] || return 0 # into memory nodes
	mapfile -t paths < <(values "$job/spec" stage_in)
	[ ${#paths[@]} != 0 ] || return 0
	as_user "$PMIO" stage-in --quiet -- "${paths[@]}" >"$log" 2>&1 ||
		{ mark warning "stage_in: $(reason)"; say "job $id: stage_in: $(reason)"; }
}

do_prolog() {
	local made=no
	if [ -r "$job/spec" ]; then
		load
	else # --pmem, or not a job of ours
		uid=${SLURM_JOB_UID:-} gid=${SLURM_JOB_GID:-} capacity=${SPANK_PMIO_CAPACITY:-} settings=()
	fi
	[[ $capacity =~ ^[0-9]+$ ]] || exit 0
	log=$(mktemp)
	mark begun
	if ! make_pool >"$log" 2>&1 </dev/null; then
		mark failed "$(reason)"
		say "job $id: $(reason)"
		# no program of the job has run: there are no data in it
		if [ $made = yes ]; then
			end_agents "$pool"
			rm -rf "$pool"
		fi
		rm -f "$log"
		exit 1
	fi
	stage_in
	mark ready
	rm -f "$log"
}

# ---- epilog -------------------------------------------------------------------------------

# brings out what waits in the pool, and removes it; 1: there are data in it that stay
empty_pool() {
	local progress=/dev/null
	[ ! -d "$job" ] || progress=$job/progress.$node
	if [ -e "$pool/data" ]; then
		end_agents "$pool" --target
		# what was removed while it was held has no name any more by which anybody could read it
		as_user "$PMIO" drain --all --json >"$progress" 2>"$log" ||
			{ as_user "$PMIO" forget --gone --quiet >/dev/null 2>&1 &&
				as_user "$PMIO" drain --all --json >"$progress" 2>"$log"; } || return 1
		# by name: marks of files of several nodes that the agent has drained by itself
		list_files | as_user xargs -r -d '\n' "$PMIO" drain --quiet -- >/dev/null 2>&1
		as_user "$PMIO" agent stop 2>"$log" || as_user "$PMIO" agent stop --force 2>"$log"
		end_agents "$pool"
		as_user "$PMIO" pool destroy "$pool" >/dev/null 2>"$log" || return 1
	fi
	rm -rf "$pool" # without `data` it is no pool
}

# the pool stays, under another name: the job may run on this node again
keep_pool() {
	local to=$PMEM/kept.$id n=1
	while [ -e "$to" ]; do
		n=$((n + 1))
		to=$PMEM/kept.$id.$n
	done
	end_agents "$pool"
	mv "$pool" "$to"
	mark drained "1 data wait in $to: $(reason)"
	say "job $id: data wait in $to: $(reason)"
}

do_epilog() {
	[ -d "$pool" ] || exit 0
	uid=$(stat -c %u "$pool") gid=$(stat -c %g "$pool")
	read_settings "$job/environment"
	log=$(mktemp)
	if empty_pool </dev/null; then
		mark drained 0
	else
		keep_pool
	fi
	rm -f "$log"
	exit 0 # else Slurm takes the node out of service
}

# ---- retry ----------------------------------------------------------------------------------

retry_pool() {
	local why
	pool=$1
	id=${pool##*/kept.}
	id=${id%%.*}
	job=$STATE/job.$id
	uid=$(stat -c %u "$pool") gid=$(stat -c %g "$pool")
	settings=()
	if empty_pool </dev/null; then
		echo "$pool: all data are out"
		mark drained 0
		return 0
	fi
	why=$(reason)
	end_agents "$pool"
	mark drained "1 data wait in $pool: $why"
	echo "$pool: $why" >&2
	return 1
}

do_retry() {
	local p rc=0
	log=$(mktemp)
	for p in "$PMEM"/kept.*; do
		[ ! -d "$p" ] || retry_pool "$p" || rc=1
	done
	rm -f "$log"
	exit $rc
}
