#!/bin/bash
# strangers.sh -- what users could do to root's parts, to each other and to nodes: nothing comes of it
#
# Each case leaves a mark, or holds up a process, where a hole would be; none does more.
export STALL=6 LONGEST=120
. "${top_srcdir:-.}/tests/slurm/lib.sh"
plan 52

# a program of the user's by the name of pmio: it shows what it has open, and does what a file says that is named after
# what it is to do: end with words, or never
mv "$C/bin/pmio" "$C/bin/pmio.true"
cat >"$C/bin/pmio" <<EOF
#!/bin/bash
[ "\$(id -u)" = 0 ] || ls -l /proc/\$\$/fd >"$C/jobs/open.\$1.\$\$"
case \$(cat "$C/jobs/do.\$1" 2>/dev/null) in
hang) exec sleep 1000 ;;
fail) printf 'a \\033[31mred\\001 \\302\\233word\\n' >&2; exit 1 ;;
flood) exec yes '{"event":"progress","command":"drain","bytes":9,"bytes_done":1}' ;;
esac
exec "$C/bin/pmio.true" "\$@"
EOF
chmod 755 "$C/bin/pmio"
misbehave() { echo "$2" >"$C/jobs/do.$1"; }
behave() { rm -f "$C"/jobs/do.*; }
as_stranger() { setpriv --reuid=daemon --regid=daemon --clear-groups --reset-env "$@"; }
writer() { # NAME [LINE]: a job on node1 that holds a file back
	submit "$1" -N1 -w node1 <<-EOF
		#PMEM capacity=16MiB drain=hold
		. $C/bin/env.sh
		mpirun -n 1 hello_pmem pmem:$PFS/$1 || exit 9
		${2:-true}
	EOF
}
same() { await "${2:-1}" cmp "$PFS/plain" "$PFS/$1"; }
submit plain -N1 <<EOF
. $C/bin/env.sh
mpirun -n 1 hello_pmem $PFS/plain
EOF
check "a file to compare with" await 120 state_is "$job" COMPLETED

# ---- what root evaluates ---------------------------------------------------------------------

printf '#!/bin/sh\necho "sum[\\$(touch %s)]	x"\n' "$C/run/evaluated" >"$C/bin/du"
chmod 755 "$C/bin/du"
du=$(readlink -f "$(command -v du)")
mount --bind "$C/bin/du" "$du"
submit evaluate -N1 <<EOF
#PMEM capacity=16MiB
#PMEM stage_in source=$PFS/plain
EOF
check "a size that is none is refused" await 60 says "$job" "cannot determine its size"
check "... and not evaluated by root" eval '[ ! -e "$C/run/evaluated" ]'
umount "$du"
scancel "$job"
over "$job"

# ---- what others can read ----------------------------------------------------------------------

hold epilog
submit secret -N2 <<EOF
#PMEM capacity=16MiB targets=/nowhere/my-secret-card drain=hold
#PMEM stage_in source=$PFS/plain
EOF
check "a job is staging out" await 120 bb_is "$job" staging-out
folder_is() { [ "$(stat -c %a "$STATE/job.$job")" = 711 ] || { stat "$STATE/job.$job"; return 1; }; }
check "its folder cannot be listed by others" folder_is
closed() { ! find "$STATE" -type f -perm /137 -printf '%M %p\n' | grep .; }
check "... nor are its files readable" closed
reads() { as_stranger cat "$STATE/job.$job/spec" "$STATE/job.$job/environment" || as_stranger ls "$STATE/job.$job"; }
check "... which another user finds" eval '! reads'
release epilog
check "it ends" ended "$job" COMPLETED

# ---- what user's processes are handed ------------------------------------------------------------

open_files() { cat "$C"/jobs/open.* | sed -n 's/.* -> //p' | grep -v -e '^pipe:' -e '^socket:' -e '^/dev/null$' -e '/bin/pmio$' -e '^/proc/'; }
ran() { ls "$C"/jobs/open.pool.* "$C"/jobs/open.drain.* "$C"/jobs/open.stage-in.*; }
check "commands have run as the user in prolog and epilog" ran
check "... with no file of root's open" eval '! open_files'

# ---- who holds an epilog up ------------------------------------------------------------------------

writer stopped "pkill -STOP -u nobody -f \"pmiod .*$PMEM/job.\$SLURM_JOB_ID\""
check "the agent is stopped by its user: the job ends" ended "$job" COMPLETED
check "... and its data are there" same stopped
writer paused "pmio.true agent pause"
check "the agent is paused by its user: the job ends" ended "$job" COMPLETED
check "... and its data are there" same paused

# another user's process by the name of pmiod, with the pool's path
cat >"$C/jobs/pmiod" <<'EOF'
#!/bin/bash
trap : TERM
while :; do sleep 1; done
EOF
chmod 755 "$C/jobs/pmiod"
hold epilog
writer stranger
check "a job is staging out" await 120 bb_is "$job" staging-out
on_node node1 setpriv --reuid=daemon --regid=daemon --clear-groups "$C/jobs/pmiod" --target --pool "$PMEM/job.$job" >"$C/jobs/stranger.out" 2>&1 &
stranger() { on_node node1 pgrep -u daemon pmiod; }
check "another user has a process by the name of its agent" await 20 stranger
release epilog
check "the job ends" ended "$job" COMPLETED
check "... its data are there" same stranger
check "... and the other process, too" stranger
on_node node1 pkill -KILL -u daemon pmiod

# drains that have no end
for how in hang flood; do
	hold epilog
	writer $how
	check "$how: a job is staging out" await 120 bb_is "$job" staging-out
	misbehave drain $how
	release epilog
	check "... and says where its data are" await 60 says "$job" "data wait in $PMEM/kept.$job: killed, as it had not ended"
	kept() { on_node node1 stat -c %u:%g:%a "$PMEM/kept.$job" | tee /dev/stderr | grep -qx 0:0:700; }
	check "... in a pool that is root's now" kept
	check "... and the node is not held" await 30 eval 'sinfo -h -n node1 -o %T | grep -qx idle'
	behave
	retry() { on_node node1 "$C/share/pmio-slurm" retry && cmp "$PFS/plain" "$PFS/$how"; }
	check "... and are brought out by retry" retry
	scancel --hurry "$job"
	over "$job"
done

# on a memory node, whose pool's agent and target are stopped
start_memory_node 1
check "a memory node" await 30 eval 'scontrol show bbstat | grep -q "^memory node mem1: "'
hold data_out
submit memory -N1 <<EOF
#PMEM capacity=16MiB targets=1 target_size=16MiB placement=remote drain=hold
. $C/bin/env.sh
mpirun -n 1 hello_pmem pmem:$PFS/memory
EOF
check "a job has data on it" await 120 bb_is "$job" staging-out
stop() { on_node mem1 pkill -STOP -u nobody pmiod; }
check "... its agent is stopped there" stop
release data_out
check "... and it ends" ended "$job" COMPLETED
check "... its data are there" same memory
memory_is_free() { on_node mem1 sh -c '! find "$0" -mindepth 1 | grep . && ! pgrep pmiod' "$PMEM"; }
check "... and not on the memory node" await 60 memory_is_free

# a card that has no end, or never comes: the user's pmiod puts one in the place of that of the target
mkdir "$C/bin/true" && mv "$C/bin/pmiod" "$C/bin/true/"
cat >"$C/bin/pmiod" <<EOF
#!/bin/bash
[ "\$1" = --target ] || exec "$C/bin/true/pmiod" "\$@"
"$C/bin/true/pmiod" "\$@" || exit
case \$(cat "$C/jobs/do.card" 2>/dev/null) in
never) rm "\$3" && mkfifo "\$3" ;;
endless) ln -sf /dev/urandom "\$3" ;;
esac
EOF
chmod 755 "$C/bin/pmiod"
on_target() { # NAME
	submit "$1" -N1 <<-EOF
		#PMEM capacity=16MiB targets=1 target_size=16MiB
		true
	EOF
}
misbehave card never
on_target never
never() { scontrol show bbstat "$job" | grep -q 'mem1: killed, as it had not ended after [0-9]* seconds: head -c'; }
check "a card that never comes: the job is told" await 90 never
scancel "$job"
check "... and leaves nothing on the memory node" await 60 memory_is_free
misbehave card endless
hold data_out
on_target endless
bounded() { ls -l "$C"/shared/job."$job"/card.mem1 2>&1 && [ "$(stat -c %s "$C/shared/job.$job/card.mem1")" -le 8193 ]; }
check "a card without an end: its beginning is taken" await 60 bounded
release data_out
scancel "$job"
check "... and leaves nothing on the memory node" await 60 memory_is_free
behave
mv "$C/bin/true/pmiod" "$C/bin/pmiod"

# ---- what people read --------------------------------------------------------------------------------

hold epilog
writer red
await 120 bb_is "$job" staging-out
misbehave drain fail
release epilog
check "what a user's program says is shown" await 60 says "$job" "data wait in $PMEM/kept.$job: a ?[31mred? ?word"
controls() { { cat "$C"/log/*; scontrol show job "$job"; scontrol show bbstat; } | grep -a -n $'[\001\033]\|\302\233'; }
check "... without what a terminal obeys" eval '! controls'
behave
on_node node1 "$C/share/pmio-slurm" retry >/dev/null 2>&1
scancel --hurry "$job"
over "$job"

# ---- what takes a node out of service ------------------------------------------------------------------

# what the job has written and the job's size, as if job_submit.lua had not looked
beyond() { # CAPACITY
	await 60 bb_is "$job" pre-run || return
	sed -i "s|^capacity .*|capacity $1|" "$STATE/job.$job/spec"
	release pre_run
	ended "$job" CANCELLED
}
hold pre_run
submit beyond -N2 <<EOF
#PMEM capacity=16MiB
touch $C/jobs/began
EOF
check "more than a node has: the job is cancelled" beyond 1099511627776
check "... says why" says "$job" "the job requests 1099511627776 bytes on each node, but a node has 134217728"
hold pre_run
submit beyond -N2 <<EOF
#PMEM capacity=16MiB
touch $C/jobs/began
EOF
check "a capacity that is none: the job is cancelled" beyond "x[\$(touch $C/run/evaluated)]"
check "... the scripts did not begin" eval '[ ! -e "$C/jobs/began" ]'

misbehave pool fail
submit ended -N2 <<EOF
#PMEM capacity=16MiB
touch $C/jobs/began
EOF
check "a user's process that fails in the prolog: the job is held" await 60 is_held
if [ -e "$C/bin/spank_pmem.so" ]; then
	interactive() { (cd "$C/jobs" && ! as_nobody timeout 60 srun -N1 --pmem=16MiB sleep 50) && await 60 state_is "$(squeue -h -t all -o %A | sort -n | tail -n 1)" CANCELLED; }
	check "... or cancelled, if it cannot wait" interactive
else
	check "... or cancelled, if it cannot wait # SKIP slurm/spank.h was not there at configure" true
fi
behave
check "... nothing has begun" eval '[ ! -e "$C/jobs/began" ] && [ ! -e "$C/run/evaluated" ]'
check "all nodes are in service" nodes_in_service
scancel "$job"
over "$job"

# ---- room beside a pool ------------------------------------------------------------------------------------

# as if node1 had them: what is called there (tests/vm has the real ones)
mkdir "$C/quotas"
printf '#!/bin/sh\ncase $* in *FSTYPE*) echo ext4 rw,prjquota,dax=always ;; *) echo /mnt/pmem ;; esac\n' >"$C/quotas/findmnt"
for name in chattr setquota; do printf '#!/bin/sh\necho "%s $*" >>"%s"\n' $name "$C/quotas/log" >"$C/quotas/$name"; done
chmod 755 "$C"/quotas/*
on_node node1 mount --bind "$C/quotas" /usr/local/sbin
writer limited
check "a job on a node with project quotas" ended "$job" COMPLETED
limited() {
	local project
	project=$(sed -n "1s,^chattr +P -p \([0-9]*\) $PMEM/job.$job\$,\1,p" "$C/quotas/log")
	[ -n "$project" ] && diff - <(sed 1d "$C/quotas/log") <<-EOF
		setquota -P $project 0 98304 0 1000 /mnt/pmem
		setquota -P $project 0 0 0 0 /mnt/pmem
	EOF
}
check "... its folder has a limit while it is there" limited
check "nothing is left" nothing_left
