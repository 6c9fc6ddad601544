# stages.sh -- sourced by pmio-slurm: the stages on the controller
#
# What is written to standard error or output before a failure is shown to the user by
# squeue and scontrol.  Each stage may be killed at any time, and be called once more.

# Slurm 22.05 may kill the teardown of a job that is cancelled, and does not call it once more.  What jobs left that
# Slurm has forgotten, and that never had nodes, goes.
forget_others() {
	local d others=()
	for d in "$STATE"/job.*; do
		[ ! -d "$d" ] || [ -e "$d/nodes" ] || compgen -G "$d/begun.*" >/dev/null || others+=("$d")
	done
	[ ${#others[@]} != 0 ] && squeue -h -o %A >"$STATE/.jobs.$1" 2>/dev/null && grep -qx "$1" "$STATE/.jobs.$1" &&
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
	mkdir "$new" || exit 1
	{
		printf 'uid %s\ngid %s\n' "$2" "$3"
		printf 'pool %s\n' "$PMEM/job.$1"
		printf '%s\n' "${@:4}"
	} >"$new/spec" || exit 1
	{
		printf 'PMIO_POOL=%s\nPMIO_AGENT=%s\nPMIO_IDLE_TIMEOUT=0\n' "$PMEM/job.$1" "$PMIOD"
		for line in "${@:4}"; do
			[[ $line =~ ^set\ ([a-z_]+)\ (.*)$ ]] || continue
			printf 'PMIO_%s=%s\n' "${BASH_REMATCH[1]^^}" "${BASH_REMATCH[2]}"
		done
	} >"$new/environment" || exit 1
	mv "$new" "$job"
	forget_others "$1"
}

load() {
	job=$STATE/job.$1
	[ -r "$job/spec" ] || die "$job/spec is not there"
	uid=$(values "$job/spec" uid) gid=$(values "$job/spec" gid) pool=$(values "$job/spec" pool)
	capacity=$(values "$job/spec" capacity)
	read_settings "$job/environment"
}

# before there are nodes: whether it can be done
do_data_in() {
	local path bytes sum=0
	load "$1"
	[ "$(id -u)" = 0 ] || exit 0 # SlurmUser cannot look as the user; the nodes will
	while IFS= read -r path; do
		as_user test -r "$path" || die "stage_in: $path cannot be read by the job's user"
		bytes=$(as_user du -sbL -- "$path" | cut -f1)
		sum=$((sum + ${bytes:-0}))
	done < <(values "$job/spec" stage_in)
	[ "$sum" -le "${capacity:-0}" ] || [ "$sum" = 0 ] ||
		die "stage_in: $sum bytes are more than the $capacity that the job asked for on each node"
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
	local node path failures=''
	load "$1"
	[ -s "$job/nodes" ] || exit 0 # it never had any
	while read -r node; do await_node "$node"; done <"$job/nodes"
	[ -z "$failures" ] || die "stage-out: $failures"
}

# may be called twice, and beside a data_out that still runs
do_teardown() { rm -rf "$STATE/job.$1" "$STATE/.new.$1"; }

# ---- what scontrol show bbstat shows -------------------------------------------------

show_node() {
	local job=$1 node=$2 rc why p
	if [ -e "$job/drained.$node" ]; then
		read -r rc why <"$job/drained.$node"
		if [ "$rc" = 0 ]; then echo "all data are out"; else echo "$why"; fi
	elif [ -e "$job/failed.$node" ]; then
		echo "no pool: $(cat "$job/failed.$node")"
	elif [ -s "$job/progress.$node" ]; then
		p=$(grep '"event":"progress"' "$job/progress.$node" | tail -n 1)
		if [[ $p =~ \"bytes\":([0-9]+),\"bytes_done\":([0-9]+) ]]; then
			echo "stage-out: ${BASH_REMATCH[2]} of ${BASH_REMATCH[1]} bytes"
		else
			echo "stage-out"
		fi
	elif [ -e "$job/ready.$node" ]; then
		echo "pool ready"
	elif [ -e "$job/begun.$node" ]; then
		echo "making a pool"
	else
		echo "not begun"
	fi
	[ ! -e "$job/warning.$node" ] || echo "  $node: $(cat "$job/warning.$node")"
}

show_job() {
	local job=$STATE/job.$1 node
	if [ ! -d "$job" ]; then
		echo "job $1: pmio has nothing for it"
		return
	fi
	echo "job $1: uid $(values "$job/spec" uid), $(values "$job/spec" capacity) bytes on each node, pool $(values "$job/spec" pool)"
	[ -s "$job/nodes" ] || echo "  has no nodes yet"
	while read -r node; do echo "  $node: $(show_node "$job" "$node")"; done < <(cat "$job/nodes" 2>/dev/null)
}

do_status() {
	local d
	if [ $# != 0 ]; then
		for d in "$@"; do
			[[ $d =~ ^[0-9]+$ ]] || die "'$d' is not a job's number"
			show_job "$d"
		done
		return
	fi
	for d in "$STATE"/job.*; do [ ! -d "$d" ] || show_job "${d##*/job.}"; done
}
