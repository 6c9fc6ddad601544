#!/bin/bash
# vm.sh -- `make check-vm`: on true DAX, in a virtual machine that is killed in mid-write; TAP
#
# QEMU emulates an NVDIMM; the guest's ext4 on it is mounted with DAX, so pools have
# cache-line granularity by their nature, not because a test says so.  Unit and MPI tests
# run there.  Then processes work on files (tests/kill/work.h) until QEMU is killed, again
# and again; each boot compares what is left with a ledger of what was promised:
#   - on the plain disk, before any agent runs: what drains and closes had put there (the first half, with drain_sync=close)
#   - after recovery (every other time), there: all that had returned
#   - by the workers, through the next agent: all that had returned
# And prolog and epilog of slurm/ run there on file systems with project quotas.
#
# What this shows.  The file system on the disk really loses what no fsync made
# durable: the guest's page cache goes with it, and nothing is written back unasked.  The
# same holds for the metadata of the ext4 below the pool, and all memory of agent and
# workers.  What it does not show: QEMU has no CPU caches, so each store that the guest
# executed is in the NVDIMM, in the order of execution, flushed or not.  Missing flushes and
# fences are found by tests/crash.  And the disk has no volatile cache of its own.
#
# VM_CUTS      how often the power goes (3)
# VM_SEED      of the moments and of the work (1)
# VM_LIMIT     seconds for one boot, and then for each thing that is waited for (300)
# VM_UNITS     tests of modules that run on DAX: MODULE:PATTERN
# VM_MPI       programs of tests/mpi that run there
# VM_KERNELS   folder for the package of the kernel (./tests/vm/kernel of the build)
. "${top_srcdir:-.}/tests/env.sh" || exit 99

: "${VM_CUTS:=3}" "${VM_SEED:=1}" "${VM_LIMIT:=300}" "${VM_KERNELS:=$top_builddir/tests/vm/kernel}"
: "${VM_UNITS=pm:* pool_files:file_* client_agent:agent_killed__*}" "${VM_MPI=contig views shared}"
! no_mpi >/dev/null || VM_MPI=
set -f # the patterns are not for files here
export top_srcdir top_builddir
export VM_PROGRAMS="pmio pmiod tests/vm/cuts tests/unit/test_pm tests/unit/test_pool_files tests/unit/test_client_agent"
for name in $VM_MPI; do VM_PROGRAMS="$VM_PROGRAMS tests/mpi/$name.mpi"; done

why=$(bash "$top_srcdir/tests/vm/image.sh" "$T" "$VM_KERNELS" 2>&1)
case $? in
0) ;;
77) skip_all "$(echo "$why" | tail -n 1)" ;;
*) echo "1..1"; not_ok "making the virtual machine's disk"; echo "$why" | sed 's/^/#   /'; exit 1 ;;
esac

console=$T/console
QEMU=
power_off() {
	[ -z "$QEMU" ] || kill -9 "$QEMU" 2>/dev/null
	wait "$QEMU" 2>/dev/null
	QEMU=
}
trap 'power_off; cleanup' EXIT

# boot JOB,ARGUMENT,...
boot() {
	: >"$console"
	# no la57: page tables of five levels only cost; no_timer_check: for a busy host
	nice -n 3 qemu-system-x86_64 -machine q35,nvdimm=on -accel tcg,thread=multi -cpu max,la57=off -smp 2 \
		-m 1500M,slots=2,maxmem=4G -nodefaults -no-user-config -display none -no-reboot -bios qboot.rom \
		-object "memory-backend-file,id=nvdimm,share=on,mem-path=$T/nvdimm,size=512M" \
		-device nvdimm,memdev=nvdimm \
		-drive "file=$T/root.img,if=virtio,format=raw,readonly=on" -drive "file=$T/disk.img,if=virtio,format=raw" \
		-serial "file:$console" -kernel "$T/vmlinuz" -initrd "$T/initrd" \
		-append "console=ttyS0 panic=-1 quiet mitigations=off nokaslr no_timer_check job=$1" </dev/null &
	QEMU=$!
}
says() { grep -aqE "^@$1" "$console"; }
# until_ok COMMAND...: waits; false when QEMU has ended, or the time is over
until_ok() {
	local end=$((SECONDS + VM_LIMIT))
	until "$@"; do
		if ! kill -0 "$QEMU" 2>/dev/null || says end; then
			"$@"
			return
		fi
		[ $SECONDS -lt $end ] || { echo "waited ${VM_LIMIT} s in vain for: $*"; return 1; }
		sleep 0.1
	done
}
show_console() { tr -d '\r' <"$console" | tail -n 80; return 1; }

# boot_and_wait JOB WHAT: QEMU has crashed before the kernel's first line, so it may try twice
boot_and_wait() {
	boot "$1"
	until_ok says boot && return
	power_off
	boot "$1"
	until_ok says boot || show_console
}

# ---- tests on DAX --------------------------------------------------------------------

tests_on_dax() {
	truncate -s 512M "$T/nvdimm" && truncate -s 512M "$T/disk.img" && mke2fs -q -t ext4 "$T/disk.img" || return 1
	boot_and_wait "tests,${OPENMPI_ADAPTER:-none},unit,${VM_UNITS// /,},mpi,${VM_MPI// /,}" && VM_LIMIT=$((VM_LIMIT * 3)) until_ok says 'end'
	local rc=$?
	cp "$console" "$T/tests.console"
	power_off
	return $rc
}
passed() {
	tr -d '\r' <"$T/tests.console" | grep -aqxF "@ok $1" && return
	tr -d '\r' <"$T/tests.console" | awk -v fail="@fail $1" '/^@(ok|fail|boot)/ { if (index($0, fail)) { printf "%s", text; exit } text = "" } { text = text $0 "\n" }'
	return 1
}

# ---- project quotas ------------------------------------------------------------------

# on memory of their own
quotas() {
	truncate -s 512M "$T/nvdimm" && truncate -s 64M "$T/disk.img" && mke2fs -q -t ext4 "$T/disk.img" || return 1
	boot_and_wait quotas && until_ok says 'end'
	power_off
	cp "$console" "$T/tests.console"
	rm -f "$T/nvdimm" "$T/disk.img"
	passed "quotas ext4"
}

# ---- power cuts -----------------------------------------------------------------------

worked() { [ "$(tr -d '\r' <"$console" | sed -n 's/^@work \([0-9]*\)$/\1/p' | tail -n 1)" -ge "$1" ] 2>/dev/null; }

# power_cut NR: the moment is drawn: while it starts or recovers, or after some operations
before=close now=close # drain_sync
power_cut() {
	local recover=no rc=0 moment=$((RANDOM % 300))
	[ $(($1 % 2)) = 0 ] && recover=yes
	boot_and_wait "work,$((VM_SEED * 1000 + $1)),$recover,64MiB,$before,$now" || return 1
	before=$now
	if [ $recover = yes ] && [ $((RANDOM % 2)) = 0 ]; then
		echo "cut off while it recovers"
		until_ok says recovering
	else
		echo "cut off after $moment operations"
		until_ok worked $moment
	fi || rc=1
	sleep "0.$((RANDOM % 10))"
	power_off
	! says fail || rc=1
	[ $rc = 0 ] || show_console
}

# right after all was closed
close_and_cut() {
	boot_and_wait "work,$((VM_SEED * 1000)),no,64MiB,$before,$now,60" && until_ok says closed
	local rc=$?
	before=$now
	power_off
	[ $rc = 0 ] || show_console
}
all_is_there() {
	boot_and_wait "look,64MiB,$before" && until_ok says 'end 0'
	local rc=$?
	power_off
	[ $rc = 0 ] || show_console
}

RANDOM=$VM_SEED
set -- $VM_UNITS $VM_MPI
plan $((4 + $# + VM_CUTS + 4))
check "what a job of Slurm has beside its pool has a limit: ext4" quotas
check "... XFS" passed "quotas xfs"
check "tests on ext4 with DAX" tests_on_dax
check "granularity: cache line on DAX, page on a disk" passed granularity
for name in $VM_UNITS; do check "unit tests on DAX: $name" passed "unit $name"; done
for name in $VM_MPI; do check "MPI on DAX: $name" passed "mpi $name"; done
half=$(((VM_CUTS + 1) / 2))
for i in $(seq $half); do check "power cut $i, drain_sync=close" power_cut "$i"; done
check "all files closed, power cut" close_and_cut
check "all files are on the disk, pool and file systems are whole" all_is_there
now=later
for i in $(seq $((half + 1)) "$VM_CUTS"); do check "power cut $i, drain_sync=later" power_cut "$i"; done
check "all files closed, power cut" close_and_cut
check "the next agent has all on the disk, pool and file systems are whole" all_is_there
exit $tap_failed
