# nodes.sh -- sourced by pmio-slurm: prolog and epilog on the nodes, as root
#
# The pool of a job is $PMEM/job.ID, of its user.  Agent and target are started here, so
# that they are not of the job's steps and do not end with one of them.

number id "${SLURM_JOB_ID:-0}" || die "SLURM_JOB_ID is no number"
node=${SLURMD_NODENAME:-$(hostname -s)}
job=$STATE/job.$id
pool=$PMEM/job.$id

mark() { put "$job/$1.$node" "${2-}"; }

# to the user and gid of a job, from its spec
load() {
	number uid "$(values "$job/spec" uid)" && number gid "$(values "$job/spec" gid)" || die "job $id: its spec has no user"
	capacity=$(values "$job/spec" capacity)
	read_settings "$job/environment"
}

# ---- prolog -----------------------------------------------------------------------------
#
# Slurm takes a node out of service when its prolog fails.  So it fails for what is wrong with the node, and for
# nothing that a user could bring about: asking for too much, or ending what runs as him here.

FAULT=1 # of the node
NEVER=2 # the job asks for what no node has
NOROOM=3 # not here and now

has_room() {
	local free
	[ -d "$PMEM" ] || { why="$PMEM is not there"; return $FAULT; }
	room free avail || { why="$PMEM: its size cannot be had"; return $FAULT; }
	[ "$free" -ge "$1" ] || { why="$PMEM has $free bytes free, the job wants $1"; return $NOROOM; }
}

is_several() { case ${SLURM_NODELIST:-${SLURM_JOB_NODELIST:-}} in *[,\[]*) true ;; *) false ;; esac; }

# as_user has failed: because of the user, unless root cannot run that program either
users_fault() {
	why="no pool could be made: $why"
	"$PMIO" --version >/dev/null 2>&1 && "$PMIOD" --version >/dev/null 2>&1 || return $FAULT
	return $NOROOM
}

make_pool() {
	local bytes
	number bytes "$capacity" || { why="'$capacity' is no number of bytes"; return $NEVER; }
	[ "$bytes" -le "$NODE_CAPACITY" ] || { why="the job wants $bytes bytes on each node, a node has $NODE_CAPACITY"; return $NEVER; }
	[ ! -e "$pool" ] || { why="$pool is there already"; return $FAULT; }
	has_room "$bytes" || return
	why=$(mkdir -m 700 "$pool" 2>&1) || case $why in *"No space left"*) return $NOROOM ;; *) return $FAULT ;; esac
	made=yes
	limit_pool "$bytes"
	why=$(chown "$uid:$gid" "$pool" 2>&1) || return $FAULT
	limited "$PMIO" pool create --quiet --size="$bytes" "$pool" && limited "$PMIO" agent start &&
		{ ! is_several || limited "$PMIOD" --target --pool "$pool"; } || users_fault
}

stage_in() {
	local paths
	[ ! -e "$job/staged" ] || return 0 # into memory nodes
	mapfile -t paths < <(values "$job/spec" stage_in)
	[ ${#paths[@]} != 0 ] || return 0
	limited "$PMIO" stage-in --json -- "${paths[@]}" ||
		{ mark warning "stage_in: $(reason)"; say "job $id: stage_in: $(reason)"; }
}

is_running() { case $(timeout 60 squeue -h -j "$id" -o %T 2>/dev/null) in RUNNING | CONFIGURING) true ;; *) false ;; esac; }

# end_job HOW: its script does not begin.  With `hold` it waits, held, until somebody releases it, as after a prolog that has
# failed; srun and salloc, whose jobs cannot wait, and jobs that must not, are cancelled: what srun starts may begin
# before it is killed.  1: Slurm has not heard
end_job() {
	local n
	say "job $id: $(reason)"
	timeout 60 scontrol update jobid="$id" admincomment="pmio: $node: $(reason)" >/dev/null 2>&1
	# another node may have been first
	{ [ "$1" = hold ] && timeout 60 scontrol requeuehold "$id" >/dev/null 2>&1; } || ! is_running ||
		{
			timeout 60 scontrol notify "$id" "pmio: $node: $(reason)" >/dev/null 2>&1
			timeout 60 scancel "$id"
		} || return 1
	# what slurmctld sends because of that is to be here before the script could begin
	for n in {1..20}; do
		is_running || break
		sleep 0.5
	done
	sleep 1
}

do_prolog() {
	local made=no rc why=
	if [ -r "$job/spec" ]; then
		load
	else # --pmem, or not a job of ours
		capacity=${SPANK_PMIO_CAPACITY:-} settings=()
		[ -n "$capacity" ] || exit 0
		number uid "${SLURM_JOB_UID:-}" && number gid "${SLURM_JOB_GID:-}" || die "job $id: Slurm does not say whose it is"
	fi
	[ -n "$capacity" ] || exit 0
	mark begun
	make_pool
	rc=$?
	if [ $rc = 0 ]; then
		stage_in
		mark ready
		return
	fi
	mark failed "$(reason)"
	# no program of the job has run: there are no data in it
	if [ $made = yes ]; then
		local first=$why
		end_agents "$pool"
		remove_pool
		why=$first
	fi
	case $rc in
	"$NOROOM") end_job hold ;;
	"$NEVER") end_job cancel ;;
	*) say "job $id: $(reason)"; false ;;
	esac || exit 1
}

# ---- epilog -------------------------------------------------------------------------------

# Brings out what waits in the pool, and removes it; 1: there are data in it that stay.  The job's agent may be paused, or
# stopped: its processes are ended, and the drain starts a new one.
empty_pool() {
	local progress=
	why=
	[ ! -d "$job" ] || progress=$job/progress.$node
	if [ -e "$pool/data" ]; then
		end_agents "$pool" --target
		end_agents "$pool"
		drain_all || return 1
		progress= drain_by_name
		stop_agent
		limited "$PMIO" pool destroy "$pool" || return 1
	fi
	remove_pool # without `data` it is no pool
}

# beside a pool that is kept: whose it is
owner_file() { echo "$PMEM/.${1##*/}.owner"; }

# It is root's until retry, so that nothing is added to what is kept.
lock_pool() {
	echo "$uid $gid" >"$(owner_file "$1")" && chown 0:0 "$1" && chmod 700 "$1"
}

# the pool stays, under another name: the job may run on this node again
keep_pool() {
	local to=$PMEM/kept.$id n=1
	while [ -e "$to" ]; do
		n=$((n + 1))
		to=$PMEM/kept.$id.$n
	done
	end_agents "$pool"
	mv -T "$pool" "$to" && lock_pool "$to"
	mark drained "1 data wait in $to: $(reason)"
	say "job $id: data wait in $to: $(reason)"
}

do_epilog() {
	trap 'exit 0' EXIT # whatever happens, else Slurm takes the node out of service
	[ -d "$pool" ] || exit 0
	number uid "$(stat -c %u "$pool")" && number gid "$(stat -c %g "$pool")" || die "$pool: whose is it?"
	read_settings "$job/environment"
	if empty_pool; then
		mark drained 0
	else
		keep_pool
	fi
}

# ---- retry ----------------------------------------------------------------------------------

retry_pool() {
	local u g
	pool=$1
	number id "$(sed 's/^kept\.\([0-9]*\).*/\1/' <<<"${pool##*/}")" || { echo "$pool: of which job?" >&2; return 1; }
	job=$STATE/job.$id
	# one that the administrator has renamed has no such file
	read -r u g <"$(owner_file "$pool")" || read -r u g < <(stat -c '%u %g' "$pool")
	number uid "$u" && number gid "$g" || { echo "$pool: whose is it?" >&2; return 1; }
	settings=()
	chown "$uid:$gid" "$pool"
	if empty_pool; then
		rm -f "$(owner_file "$pool")"
		echo "$pool: all data are out"
		mark drained 0
		return 0
	fi
	end_agents "$pool"
	lock_pool "$pool"
	mark drained "1 data wait in $pool: $(reason)"
	echo "$pool: $(reason)" >&2
	return 1
}

do_retry() {
	local p rc=0
	for p in "$PMEM"/kept.*; do
		[ ! -d "$p" ] || retry_pool "$p" || rc=1
	done
	exit $rc
}
