#!/bin/bash
# nodes.sh -- MPI programs on several hosts: what they verify on one holds on all, and nothing is left behind
NR_HOSTS=4
. "${top_srcdir:-.}/tests/cluster/lib.sh" || exit 99
programs=$top_builddir/tests/mpi
examples=$top_builddir/mpi-examples
# fork.mpi
all="atomic changed coll contig datarep errors exchange files info large links many modes names nonblock order perm seek shared
	size split status sync threads views visible"

# program PLACEMENT N HOSTS NAME: in a folder of its own, of which nothing is left
program() (
	export PMIO_PLACEMENT=$1
	dir=$SHARED/$4.$1.$2
	mkdir "$dir" || exit
	job "$2" "$3" "$programs/$4.mpi" "pmem:$dir/$4" >"$T/out" 2>&1
	rc=$?
	if [ $rc = 77 ]; then
		sed -n 's/^skip: //p' "$T/out" | head -n 1
	elif [ $rc != 0 ]; then
		[ $rc != 124 ] || echo "took more than ${TEST_TIMEOUT:-600} s"
		cat "$T/out"
		# shellcheck disable=SC2086
		logs $3
	fi
	find "$dir" -name '.pmio-owner.*' >"$dir.owners"
	[ $rc != 0 ] || [ ! -s "$dir.owners" ] || { cat "$dir.owners"; rc=1; }
	rm -rf "$dir" "$dir.owners"
	exit $rc
)

# group WHAT PLACEMENT N HOSTS NAME...
group() {
	local what=$1 placement=$2 n=$3 at=$4 p
	shift 4
	for p; do
		check "$p on $what" program "$placement" "$n" "$at" "$p"
	done
}

# bytes IO NAME ARG...: an example leaves the file that it leaves on one host without pmem:
bytes() {
	local io=$1 name=$2
	shift 2
	[ -x "$examples/$name" ] || { echo "built without $name"; return 77; }
	mkdir -p "$SHARED/examples" &&
		job 4 "h1 h2" "$examples/$name" "$@" "pmem:$SHARED/examples/$name" &&
		job 4 h1 --mca io "$io" "$examples/$name" "$@" "$SHARED/examples/$name.plain" &&
		[ -s "$SHARED/examples/$name.plain" ] && cmp "$SHARED/examples/$name.plain" "$SHARED/examples/$name"
}

# client NAME LIBRARY SUFFIX...: files of another library, as ROMIO leaves them
client() {
	local name=$1 lib=$2 p
	shift 2
	p=$top_builddir/tests/clients/$name
	[ -x "$p" ] || { echo "built without $lib"; return 77; }
	mkdir "$SHARED/$name" "$SHARED/$name/plain" && job 4 "h1 h2" "$p" "pmem:$SHARED/$name/f" &&
		job 4 h1 --mca io romio321 "$p" "$SHARED/$name/plain/f" || return
	for p; do
		[ -s "$SHARED/$name/plain/f.$p" ] && cmp "$SHARED/$name/plain/f.$p" "$SHARED/$name/f.$p" || return
	done
}

# h5py on two hosts: what is not installed is a skip
python_client() {
	local python p=$top_srcdir/tests/clients/h5py_client.py rc=77
	for python in ${PYTHON3:-} /usr/bin/python3 python3; do
		"$python" -c 'import mpi4py, h5py' 2>/dev/null && rc=0 && break
	done
	[ $rc = 0 ] || { echo "no python3 with mpi4py, h5py"; return 77; }
	mkdir "$SHARED/h5py"
	job 4 "h1 h2" "$python" "$p" "pmem:$SHARED/h5py/f" >"$T/out" 2>&1
	rc=$?
	[ $rc != 77 ] || sed -n 's/^skip: //p' "$T/out" | head -n 1
	[ $rc = 0 ] && job 4 h1 --mca io romio321 "$python" "$p" "$SHARED/h5py/plain" && cmp "$SHARED/h5py/plain" "$SHARED/h5py/f" && return
	[ $rc = 77 ] || cat "$T/out"
	[ $rc != 0 ] && return $rc
}

# fuzz PLACEMENT RANKS HOSTS SEED COUNT [COLLECTIVE]: random programs, compared with a model
fuzz() (
	export PMIO_PLACEMENT=$1 PMIO_COLLECTIVE=${6:-auto}
	mkdir -p "$SHARED/fuzz"
	job "$2" "$3" "$programs/fuzz_run" "pmem:$SHARED/fuzz/f" --seed "$4" --count "$5"
)

# full RANKS HOSTS: pools without room, and no way around them
full() {
	mkdir "$SHARED/full" && job "$1" "$2" "$programs/exchange.mpi" "pmem:$SHARED/full/f" --full
}

on_memory_nodes() {
	export PMIO_TARGETS=$SHARED/h3.card,$SHARED/h4.card
	memory_node h3 /dev/shm/memory && memory_node h4 /dev/shm/memory && on h1 "$PMIO target stat"
}

# what was written there has been drained from there
was_used() { # HOST...
	local h
	for h; do
		on h1 "$PMIO target stat --json" | python3 -c '
import json, sys
o = [t for t in json.load(sys.stdin) if t["host"] == sys.argv[1]][0]
sys.exit(0 if o["reached"] and o["drained"] > 0 and o["dirty"] == 0 else "%s" % o)' "$h" || return
	done
}

nr() { echo $#; }
# to look at: PMIO_TEST_PROGRAMS="coll views" alone, on 2 hosts
if [ -n "${PMIO_TEST_PROGRAMS:-}" ]; then
	# shellcheck disable=SC2086
	plan $(nr $PMIO_TEST_PROGRAMS)
	pools "$PMIO_POOL" h1 h2 || fatal
	# shellcheck disable=SC2086
	group "2 hosts" auto 4 "h1 h2" $PMIO_TEST_PROGRAMS
	exit $tap_failed
fi
# shellcheck disable=SC2086
plan $(($(nr $all) + 4 + 3 + 5 + 5 + 3 + 3 + 1 + 2 + 4 + 1 + 1 + 4 + 5 + 1))

pools "$PMIO_POOL" h1 h2 h3 || fatal
# shellcheck disable=SC2086
group "2 hosts" auto 4 "h1 h2" $all
check "hello_pmem leaves the same bytes" bytes romio321 hello_pmem
check "overlap_io leaves the same bytes" bytes ompio overlap_io
check "heat2d leaves the same bytes" bytes romio321 heat2d --steps 30
check "hdf5_parallel leaves the same bytes" bytes romio321 hdf5_parallel
check "HDF5 on 2 hosts leaves the same bytes" client hdf5_client "parallel HDF5" h5 old.h5
check "PnetCDF on 2 hosts leaves the same bytes" client pnetcdf_client PnetCDF nc nb.nc again.nc
check "h5py on 2 hosts leaves the same bytes" python_client
check "random programs on 2 hosts" fuzz auto 3 "h1 h2" 1001 ${FUZZ_COUNT:-20}
check "random programs on 2 hosts, striped" fuzz striped 2 "h1 h2" 2001 ${FUZZ_COUNT:-10}
check "random programs on 2 hosts, direct" fuzz auto 3 "h1 h2" 6001 ${FUZZ_COUNT:-10} direct
check "random programs on 3 hosts, aggregate" fuzz auto 3 "h1 h2 h3" 7001 ${FUZZ_COUNT:-10} aggregate
check "random programs on 3 hosts" fuzz auto 3 "h1 h2 h3" 3001 ${FUZZ_COUNT:-10}
group "2 hosts, striped" striped 4 "h1 h2" coll exchange order size visible
group "2 hosts, single" single 4 "h1 h2" contig shared size
group "3 hosts" auto 6 "h1 h2 h3" coll exchange visible
check "nothing is left" nothing_left h1:"$PMIO_POOL" h2:"$PMIO_POOL" h3:"$PMIO_POOL"

check "two memory nodes" on_memory_nodes
check "random programs on 2 hosts, remote" fuzz remote 2 "h1 h2" 5001 ${FUZZ_COUNT:-10}
group "2 hosts, remote" remote 4 "h1 h2" coll contig size visible
check "both memory nodes were used" was_used h3 h4
export PMIO_POOL=/dev/shm/small PMIO_POOL_SIZE=16MiB
pools "$PMIO_POOL" h1 h2 || fatal
check "random programs on 2 hosts with small pools and memory nodes" fuzz auto 2 "h1 h2" 4001 ${FUZZ_COUNT:-10}
group "2 hosts with small pools and memory nodes" auto 4 "h1 h2" coll contig exchange large
unset PMIO_TARGETS
group "2 hosts with small pools" auto 4 "h1 h2" coll contig exchange large
check "collective calls without room on 2 hosts" full 4 "h1 h2"
check "nothing is left" nothing_left h1:/dev/shm/pool h2:/dev/shm/pool h3:/dev/shm/memory h4:/dev/shm/memory \
	h1:/dev/shm/small h2:/dev/shm/small
exit $tap_failed
