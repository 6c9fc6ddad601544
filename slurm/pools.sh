# pools.sh -- sourced by pmio-slurm: what nodes of jobs and memory nodes do with pools, as root
#
# A pool is a folder of its user in $PMEM, which is root's.

CATALOG=$((40 << 20)) # beside a pool's bytes
END_S=10              # so long may an agent take for its end before it is killed

# why something failed, in one line
reason() { plain "${why:-}"; }

# ---- agents and targets ------------------------------------------------------------------------

# real_uid PID
real_uid() {
	local key value rest
	while read -r key value rest; do
		[ "$key" != Uid: ] || echo "$value"
	done 2>/dev/null <"/proc/$1/status"
}

# agents POOL [OPTION]: processes of pmiod that have this pool, and are its user's: anybody may call a program so.  The
# program itself is not compared, since users may have one of their own, which then is the pool's agent all the same.
agents() {
	local p comm args
	for p in /proc/[0-9]*; do
		read -r comm 2>/dev/null <"$p/comm" && [ "$comm" = pmiod ] || continue
		[ "$(real_uid "${p#/proc/}")" = "$uid" ] || continue
		mapfile -d '' args 2>/dev/null <"$p/cmdline" || continue
		[[ " ${args[*]} " != *" $1 "* || " ${args[*]} " != *" ${2:---pool} "* ]] || echo "${p#/proc/}"
	done
}

# end_agents POOL [OPTION]: with TERM, and who does not hear it with KILL; what they had is in the pool.  1: there are always
# new ones
end_agents() {
	local pids begun=$SECONDS signal=TERM
	while pids=$(agents "$@") && [ -n "$pids" ]; do
		# shellcheck disable=SC2086
		[ -z "$signal" ] || kill -$signal $pids 2>/dev/null
		signal=
		[ $((SECONDS - begun)) -lt $END_S ] || signal=KILL
		[ $((SECONDS - begun)) -lt $((2 * END_S)) ] || return 1
		sleep 0.1
	done
}

# ---- room --------------------------------------------------------------------------------------

# room NAME COLUMN: NAME gets the bytes that PMEM has: avail or size
room() { number "$1" "$(df -B1 --output="$2" "$PMEM" 2>/dev/null | tail -n 1 | tr -d ' ')"; }

# A pool's folder is its user's, who could fill the file system by other files there.  Where it has project quotas the
# folder is a project, so that all in it together has a limit; the number goes with the folder when it is renamed.
POOL_FILES=1000

# quotas: into `mount` where project quotas are to be set; 1: there are none
quotas() {
	local kind
	kind=$(findmnt -nro FSTYPE,OPTIONS -T "$PMEM" 2>/dev/null | tail -n 1)
	mount=$(findmnt -nro TARGET -T "$PMEM" 2>/dev/null | tail -n 1)
	case ${kind%% *}:,${kind#* }, in ext4:*,prjquota,* | xfs:*,prjquota,* | xfs:*,pquota,*) ;; *) return 1 ;; esac
}

project_of() { # NAME FOLDER
	number "$1" "$(stat -c %i "$2" 2>/dev/null)" && printf -v "$1" %s $(((1 << 31) + ${!1} % (1 << 31)))
}

# limit_pool BYTES: before its user gets it
limit_pool() {
	local mount project out
	quotas || { say "$PMEM has no project quotas: nothing limits what users put beside their pools"; return; }
	project_of project "$pool" &&
		out=$(chattr +P -p "$project" "$pool" 2>&1 &&
			setquota -P "$project" 0 $((($1 + 2 * CATALOG) / 1024)) 0 $POOL_FILES "$mount" 2>&1) ||
		say "$pool has no limit beside its pool: $out"
}

# ---- what waits in a pool ------------------------------------------------------------------------

# all of it; 124: see limited()
drain_all() {
	local first
	limited "$PMIO" drain --all --json && return
	[ $? != 124 ] || return 124
	# what was removed while it was held has no name any more by which anybody could read it
	first=$why
	limited "$PMIO" forget --gone --quiet || { why=$first; return 1; }
	limited "$PMIO" drain --all --json
}

# files of which the pool had data: marks of those of several nodes that the agent has drained by itself
list_files='"$PMIO" ls --json | sed -n "s/.*\"path\": *\"\([^\"]*\)\".*/\1/p"'
drain_by_name() { in_shell "$list_files"' | xargs -r -d "\n" "$PMIO" drain --json --'; }
# in_shell TEXT: a pipe, all of it the user's
in_shell() { limited env "PMIO=$PMIO" sh -c "$1"; }

# its agent leaves, or is ended
stop_agent() {
	limited "$PMIO" agent stop || limited "$PMIO" agent stop --force
	end_agents "$pool"
}

# The folder is root's from here on, so that nothing is made in it any more; 1: somebody does so in a folder in it
remove_pool() {
	local mount project
	project_of project "$pool"
	chown 0:0 "$pool" && chmod 700 "$pool"
	why=$(timeout -k 10 300 rm -rf --one-file-system "$pool" 2>&1) ||
		why=$(timeout -k 10 300 rm -rf --one-file-system "$pool" 2>&1) || return
	! quotas || setquota -P "$project" 0 0 0 0 "$mount" 2>/dev/null
	return 0
}
