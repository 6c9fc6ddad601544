#!/bin/bash
# guest.sh JOB ARGUMENT... -- in the virtual machine, started by init
#
# The NVDIMM's ext4 is mounted with DAX on /mnt/pmem: pools and the ledger.  The ext4 of an
# ordinary disk on /mnt/pfs stands for the parallel file system; it writes nothing of
# its own accord, so what no fsync made durable is lost with the machine.
# Prints "@ok NAME" or "@fail NAME" and the reason, and "@..." where it has got to.
set -u
export top_builddir=/pmio/build top_srcdir=/pmio/src LD_LIBRARY_PATH=/pmio/build/.libs
export OMPI_MCA_plm_rsh_agent=true # there is no ssh here, and no other machine
export PMIO_TEST_DIR=/mnt/pmem TEST_TIMEOUT=300
cuts=$top_builddir/tests/vm/cuts
ledger=/mnt/pmem/ledger
T=/tmp
. "$top_srcdir/tests/tap.sh"

result() { # NAME command...
	local name=$1 log=/tmp/result rc
	shift
	steps_begin
	"$@" >"$log" 2>&1 </dev/null
	rc=$?
	steps_end
	if [ $rc = 0 ]; then
		echo "@ok $name"
	else
		tail -n 60 "$log"
		last_steps
		echo "@fail $name (exit status $rc)"
	fi
	return $rc
}

never_write_back() {
	echo 0 >/proc/sys/vm/dirty_writeback_centisecs && echo 80 >/proc/sys/vm/dirty_background_ratio &&
		echo 90 >/proc/sys/vm/dirty_ratio
}
mount_disks() {
	mount -t ext4 -o dax=always /dev/pmem0 /mnt/pmem && mount -t ext4 -o commit=900 /dev/vdb /mnt/pfs &&
		never_write_back
}

format() {
	ndctl create-namespace -f -e namespace0.0 -m fsdax && mke2fs -q -t ext4 -b 4096 -F /dev/pmem0 && mount_disks &&
		grep -E '^/dev/pmem0 /mnt/pmem ext4 [^ ]*dax=always' /proc/mounts
}

# ---- tests on DAX --------------------------------------------------------------------

# granularity_on DIR: of a new pool there
granularity_on() {
	mkdir -m 700 "$1/measured" && "$PMIO" pool create --size=40MiB "$1/measured" >/dev/null &&
		"$PMIO" pool check "$1/measured" | grep -o 'granularity .*' && rm -r "$1/measured"
}
# the disk's is another one: it is not a fixed word
cache_line_on_dax() {
	local dax disk
	dax=$(granularity_on "$T") && disk=$(granularity_on /mnt/pfs)
	echo "on DAX: $dax; on a disk: $disk"
	[ "$dax" = "granularity cache line" ] && [ "$disk" = "granularity page" ]
}

unit() { PMIO_TEST_FILTER=${1#*:} "$top_builddir/tests/unit/test_${1%%:*}"; }
mpi() { run 2 "$top_builddir/tests/mpi/$1.mpi" "pmem:$PFS/$1"; }

# tests ADAPTER unit MODULE:PATTERN... mpi PROGRAM...
tests() {
	local kind=
	result "a file system with DAX on the NVDIMM" format || return 1
	# those tests that ask for /dev/shm run on DAX, too
	mkdir /mnt/pmem/shm && mount --bind /mnt/pmem/shm /dev/shm || return 1
	export OPENMPI_ADAPTER=$1 # the build's Makefile is not here
	shift
	. "$top_srcdir/tests/env.sh"
	result "granularity" cache_line_on_dax
	for word in "$@"; do
		case $word in
		unit | mpi) kind=$word ;;
		*) result "$kind $word" $kind "$word" ;;
		esac
	done
}

# ---- project quotas --------------------------------------------------------------------------

node() { SLURM_JOB_ID=7 SLURMD_NODENAME=vm PMIO_SLURM_CONF=/tmp/pmio-slurm.conf "$top_srcdir/slurm/pmio-slurm" "$1"; }
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

# a job's pool of 64 MiB, as slurm/ makes it: its user cannot have more than 80 MiB beside it
limited() {
	local rc=0 size
	[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd # bash wants it
	mkdir -p /tmp/state/job.7 &&
		printf 'uid 65534\ngid 65534\ncapacity 67108864\n' >/tmp/state/job.7/spec && : >/tmp/state/job.7/environment &&
		printf 'STATE=/tmp/state\nPMEM=/mnt/pmem\nNODE_CAPACITY=128MiB\nPMIO=%s\nPMIOD=%s\n' $top_builddir/pmio{,d} >/tmp/pmio-slurm.conf
	node prolog || { cat /tmp/state/job.7/failed.vm; return 1; }
	as_nobody sh -c 'head -c 200M /dev/zero >/mnt/pmem/job.7/beside' && { echo "200 MiB fit beside the pool"; rc=1; }
	size=$(du -sm /mnt/pmem/job.7 | cut -f1)
	[ "$size" -ge 64 ] && [ "$size" -le 144 ] || { echo "it has $size MiB"; rc=1; }
	repquota -Pn /mnt/pmem
	as_nobody sh -c 'i=0; while [ $i -lt 1100 ]; do : >/mnt/pmem/job.7/f$i || exit; i=$((i + 1)); done' && { echo "1100 files are made"; rc=1; }
	as_nobody chattr -p 0 /mnt/pmem/job.7/beside && echo "its user has taken a file out of the project" >/dev/console
	node epilog
	[ ! -e /mnt/pmem/job.7 ] || { ls -la /mnt/pmem; cat /tmp/state/job.7/drained.vm; rc=1; }
	repquota -Pn /mnt/pmem
	return $rc
}
quotas() {
	ndctl create-namespace -f -e namespace0.0 -m fsdax || return
	result "quotas ext4" eval 'mke2fs -q -t ext4 -O quota,project -b 4096 -F /dev/pmem0 && mount -t ext4 -o dax=always,prjquota /dev/pmem0 /mnt/pmem && limited'
	umount /mnt/pmem
	result "quotas xfs" eval 'mkfs.xfs -q -f -m reflink=0 /dev/pmem0 && mount -t xfs -o dax=always,prjquota /dev/pmem0 /mnt/pmem && limited'
}

# ---- power cuts -------------------------------------------------------------------------

pool() {
	export PMIO_AGENT=$top_builddir/pmiod PMIO_CONF=/dev/null PMIO_POOL=/mnt/pmem/pool PMIO_POOL_SIZE=$1 PMIO_DRAIN_SYNC=$2
	[ -d $PMIO_POOL ] || mkdir -m 700 $PMIO_POOL
}
agent_says() {
	local rc=$?
	[ $rc = 0 ] || tail -n 40 "$PMIO_POOL/agent.log"
	return $rc
}
recover() { { "$top_builddir/pmio" drain --all && "$cuts" look drained /mnt/pfs $ledger; } || agent_says; }

# work SEED RECOVER POOLSIZE BEFORE NOW [OPERATIONS]: until the power goes.  BEFORE, NOW: drain_sync, before the cut
# and from now on: with `later` what a close has put on the disk may be lost with the power, and the next agent makes it good
work() {
	local seed=$1 recover=$2 before=$4
	mount_disks || return 1
	pool "$3" "$5"
	[ "$before" = later ] || result "durable" "$cuts" look durable /mnt/pfs $ledger || return 1
	if [ "$recover" = yes ]; then
		echo "@recovering"
		result "recovered" recover || return 1
	fi
	shift 5
	"$cuts" work /mnt/pfs $ledger "$seed" "$@" 2>&1 || { agent_says; echo "@fail work"; return 1; }
	echo "@closed"
	sleep 600
}

pool_is_whole() {
	"$top_builddir/pmio" pool check && "$top_builddir/pmio" drain --all && "$top_builddir/pmio" ls &&
		"$top_builddir/pmio" agent stop --force && "$top_builddir/pmio" pool check | grep ': 0 problems'
}

made_good() { "$top_builddir/pmio" drain --all && "$top_builddir/pmio" agent stop; }

# look POOLSIZE BEFORE: after a cut when all files were closed
look() {
	mount_disks || return 1
	pool "$1" "$2"
	[ "$2" = close ] || result "made good" made_good || { agent_says; return 1; }
	result "closed" "$cuts" look closed /mnt/pfs $ledger || return 1
	result "pool" pool_is_whole || { agent_says; return 1; }
	umount /mnt/pmem && umount /mnt/pfs && result "file systems" fsck
}
fsck() { e2fsck -fn /dev/pmem0 && e2fsck -fn /dev/vdb; }

"$@"
