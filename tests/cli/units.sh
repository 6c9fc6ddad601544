#!/bin/bash
# the example units of systemd: how far what they run could reach, and that it needs no more
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
systemd-analyze security --help 2>/dev/null | grep -q -- --offline || skip_all "no systemd-analyze with --offline"
plan 4

mkdir "$T/units" || fatal
for u in pmio-target@.service pmio-memory.service; do
	sed -e "s|@sbindir@|$T/bin|" -e "s|@slurmdir@|$T/bin|" "$top_srcdir/slurm/$u.in" >"$T/units/$u" || fatal
done
mkdir "$T/bin" && cp "$top_builddir/pmio" "$top_builddir/pmiod" "$top_srcdir/slurm/pmio-slurm" "$T/bin" || fatal

below_three() {
	local level
	expect 0 systemd-analyze security --offline=yes --no-pager "$T/units/$1" || return
	level=$(sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p' "$OUT")
	echo "its exposure is $level"
	awk -v l="$level" 'BEGIN { exit !(l != "" && l < 3) }'
}
check "exposure below 3: a user's target" below_three pmio-target@.service
check "exposure below 3: Slurm's memory nodes" below_three pmio-memory.service

verified() {
	expect 0 systemd-analyze verify --man=no "$T/units/pmio-target@somebody.service" "$T/units/pmio-memory.service"
	cat "$ERR"
	! grep -Ei 'unknown|invalid|failed to parse|ignoring' "$ERR"
}
check "systemd understands them" verified

# names of a set of system calls, with those of the sets in it
set_of() {
	local name
	systemd-analyze --no-pager syscall-filter "$1" | sed 1d | grep -v '^ *#' | while read -r name; do
		case $name in
		@*) set_of "$name" ;;
		?*) echo "$name" ;;
		esac
	done
}

# a target, its agent and a file that is opened, written and drained there
calls() {
	local pid rest
	command -v strace >/dev/null || { echo "no strace"; return 77; }
	strace -f -qq -o "$T/trace" true 2>/dev/null || { echo "no process can be traced here"; return 77; }
	set_of @system-service | sort -u >"$T/allowed"
	[ "$(wc -l <"$T/allowed")" -gt 200 ] || { cat "$T/allowed"; return 1; }
	export PMIO_ADDRESS=127.0.0.1 PMIO_AGENT=$T/bin/pmiod PMIO_TARGETS=$T/card
	strace -f -qq -o "$T/trace" "$T/bin/pmiod" --target --foreground --card="$T/card" >"$T/target.log" 2>&1 </dev/null &
	pid=$!
	bgs="$bgs $pid"
	until_ok test -s "$T/card" && expect 0 "$PMIO" target stat && expect 0 "$FILEIO" "$PFS/f" write 0 3000000 1 &&
		expect 0 env PMIO_POOL="$T/pool2" PMIO_PLACEMENT=remote "$PMIO" target stat && expect 0 "$PMIO" drain --all &&
		expect 0 "$PMIO" stage-in "$PFS/f" || { cat "$T/target.log"; return 1; }
	pkill -TERM -P "$pid"
	until_ok gone "$pid" && "$PMIO" agent stop --force
	# the trace has the agent, too
	grep -q ' listen(' "$T/trace" && grep -Eq ' f(data)?sync\(' "$T/trace" || { echo "the trace is too short"; return 1; }
	rest=$(sed -n 's/^[0-9]* *\([a-z_0-9]*\)(.*/\1/p' "$T/trace" | sort -u | grep -vxFf "$T/allowed")
	[ -z "$rest" ] || { echo "not in @system-service: $rest"; return 1; }
	# MemoryDenyWriteExecute
	! grep -E '^[0-9]+ +(mmap|mprotect)\(.*PROT_WRITE\|PROT_EXEC' "$T/trace"
}
check "target and agent ask for no other system calls" calls

exit $tap_failed
