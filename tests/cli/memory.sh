#!/bin/bash
# memory.sh -- pools in memory, and jobs that may have little of it: a refusal with numbers, or a smaller pool
. "${top_srcdir:-.}/tests/env.sh" || exit 99
. "$top_srcdir/tests/cli/lib.sh" || exit 99
plan 9

# a cgroup of this test, below its own, of version 1 or 2; empty: there is none to be had
make_group() {
	local own
	own=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
	for group in "/sys/fs/cgroup/memory$own/pmio-test.$$" "/sys/fs/cgroup/memory/pmio-test.$$"; do
		mkdir "$group" 2>/dev/null && limit=memory.limit_in_bytes && return
	done
	own=$(sed -n 's/^0:://p' /proc/self/cgroup)
	for group in "/sys/fs/cgroup$own/pmio-test.$$" "/sys/fs/cgroup/pmio-test.$$"; do
		mkdir "$group" 2>/dev/null || continue
		[ -e "$group/memory.max" ] && limit=memory.max && return
		rmdir "$group"
	done
	group=
}
[ "$(stat -f -c %T "$T")" = tmpfs ] && make_group
end_group() { [ ! -d "$group" ] || until_ok rmdir "$group"; }
disk=$(mktemp -d "$top_builddir/memory.XXXXXX") || fatal
# shellcheck disable=SC2086
trap 'kill -9 $bgs 2>/dev/null; cleanup; rm -rf ${disk:+"$disk"}; end_group' EXIT
[ "$(stat -f -c %T "$disk")" != tmpfs ] || { rmdir "$disk"; disk=; }

# in_group MIB cmd...: may have so much memory; a new group, since what an earlier one left counts in its own
in_group() {
	local mib=$1
	shift
	end_group
	[ -n "$group" ] && mkdir "$group" || { echo "no memory cgroup that this user may make"; return 77; }
	echo "${mib}M" >"$group/$limit" || return
	# shellcheck disable=SC2016
	bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
}
none_killed() { ! grep -E '^oom_kill [1-9]' "$group"/memory.oom_control "$group"/memory.events 2>/dev/null; }
# expect_in STATUS MIB cmd...
expect_in() {
	local want=$1 mib=$2 rc
	shift 2
	in_group "$mib" timeout 120 "$@" >"$OUT" 2>"$ERR" </dev/null
	rc=$?
	[ $rc = "$want" ] && none_killed && return
	cat "$OUT" "$ERR"
	[ $rc != 77 ] || return 77
	echo "exit status $rc, not $want"
	return 1
}

refused() {
	expect_in 1 200 "$PMIO" pool create --size=512MiB "$T/large" || return
	one_line '512 MiB of memory, and 32 MiB for its catalog, are too much: the memory cgroup .*pmio-test.*, of 200 MiB, has 1[0-9]* MiB left' &&
		[ ! -e "$T/large" ]
}
check "pool create: a limit that the size exceeds" refused

refused_to_program() {
	PMIO_POOL_SIZE=512MiB expect_in 1 200 "$FILEIO" "$PFS/refused" write 0 1000 1 || return
	says '^ENOSPC$' && one_line '512 MiB of memory, and 32 MiB for its catalog, are too much' && [ ! -e "$PFS/refused" ]
}
check "a program that is to make such a pool" refused_to_program

smaller() {
	unset PMIO_POOL_SIZE
	expect_in 0 200 "$FILEIO" "$PFS/small" write 0 3000000 1 || return
	one_line 'MiB instead of 1024 .*the memory cgroup .*pmio-test' && expect 0 "$FILEIO" -p "$PFS/small" verify 0 3000000 1 &&
		[ "$(stat -c %s "$PMIO_POOL/data")" -le $((100 << 20)) ] && [ "$(stat -c %s "$PMIO_POOL/data")" -ge $((40 << 20)) ] &&
		stop_agent && expect 0 "$PMIO" pool destroy --force "$PMIO_POOL"
}
check "without a size that somebody asked for it is smaller, and says so" smaller

smaller_by_command() {
	unset PMIO_POOL_SIZE
	expect_in 0 200 "$PMIO" pool create "$T/small" || return
	one_line 'MiB instead of 1024' && expect 0 "$PMIO" pool destroy --force "$T/small"
}
check "so it is with pool create" smaller_by_command

# its pages were made, and are charged to the process that made it.  The file must not be in memory here
made_before() {
	local PFS=$disk
	[ -n "$disk" ] || { echo "no folder that is not in memory"; return 77; }
	"$PMIO" pool create --size=256MiB "$T/before" >/dev/null &&
		PMIO_POOL=$T/before expect_in 0 64 "$FILEIO" "$PFS/before" write 0 150000000 1 || return
	silent && expect 0 "$FILEIO" -p "$PFS/before" is 150000000 verify 0 150000000 1 &&
		PMIO_POOL=$T/before stop_agent && expect 0 "$PMIO" pool destroy --force "$T/before"
}
check "a pool that was made before takes nothing from a job's memory" made_before

resize() {
	"$PMIO" pool create --size=32MiB "$T/resize" >/dev/null || return
	expect_in 1 200 "$PMIO" pool resize --size=512MiB "$T/resize" || return
	one_line 'too much: the memory cgroup' && expect 0 "$PMIO" pool check "$T/resize"
}
check "pool resize" resize

no_such_room() {
	expect 1 "$PMIO" pool create --size=100TiB "$T/huge" && one_line '[0-9]+.*(MiB left|are free there)' && [ ! -e "$T/huge" ]
}
check "more than there is: how much there is" no_such_room

file_size() {
	expect 1 prlimit --fsize=10000000:10000000 "$PMIO" pool create --size=64MiB "$T/cut" &&
		one_line 'ulimit -f\) is 10000000 bytes' && [ ! -e "$T/cut" ]
}
check "a limit on the size of files is named" file_size

address_space() {
	! ldd "$top_builddir/pmiod" | grep -q libasan || { echo "a sanitizer needs more address space"; return 77; }
	rm -rf "$T/as" && "$PMIO" pool create --size=512MiB "$T/as" >/dev/null || return
	export PMIO_POOL=$T/as
	expect 0 "$PMIO" agent start && expect 1 prlimit --as=400000000:400000000 "$FILEIO" "$PFS/as" write 0 1000 1 &&
		says '^ENOMEM$' && one_line '512 MiB do not fit into the limit on address space \(ulimit -v\), which is 381 MiB' &&
		stop_agent &&
		expect 1 prlimit --as=400000000:400000000 "$top_builddir/pmiod" --foreground --pool "$T/as" &&
		one_line '512 MiB do not fit into the limit on address space' && [ ! -e "$PFS/as" ]
}
check "a limit on address space is named, in the program and in the agent" address_space

exit $tap_failed
