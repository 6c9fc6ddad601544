#!/bin/bash
# run.sh PROGRAM -- one program of this folder on 1, 2, 3 and 4 ranks (PMIO_TEST_RANKS); TAP
#
# Each run writes to pmem:.  Then the same program runs on plain names, by Open
# MPI's own ROMIO or OMPIO, and the files that both leave must be the same.  Which
# of the two: below, the one that gets that program's calls right.
#
# A program below mpich/ is the same, compiled for MPICH: it runs with the library preloaded,
# and then on plain names without it, by MPICH's own ROMIO.  That is on fewer ranks: what the
# engine and a small pool do the runs with Open MPI show.  PMIO_TEST_RANKS="1 2 3 4": on these.
# PMIO_TEST_REFERENCE=no leaves the runs on plain names out.

case $1 in *mpich/*) PMIO_TEST_MPI=mpich ;; esac
. "${top_srcdir:-.}/tests/env.sh"
need_mpi

program=$(basename "$1" .mpi)
bin=$MPI_PROGRAMS/$program.mpi

case $program in
coll | exchange | nonblock | threads) reference=ompio ;; # ROMIO: garbage in holes; crashes in nonblocking collectives
files | names | perm | large | long) reference=none ;;	      # these leave no file, or nothing to compare
*) reference=romio321 ;;
esac

ranks="1 2 3 4"
if [ $MPI_FAMILY = mpich ]; then
	case $program in
	changed | exchange | many | order | views) ranks=2 ;; # seconds of all processors on each number of ranks
	*) ranks="1 3" ;;
	esac
	case $program in
	# ROMIO of 4.0: garbage in holes; ends over external32 of structs and nonblocking calls;
	# a handler called twice; hangs, also in calls of several threads
	coll | datarep | errors | exchange | nonblock | threads | files | names | perm | large | long) reference=none ;;
	*) reference=mpich ;;
	esac
fi

# Open MPI 5's ROMIO loses hints and crashes, 6 has none; ompio alone gets too little right
[ "${PMIO_TEST_REFERENCE:-}:$PMIO_TEST_MPI:$OPENMPI_ADAPTER" != :openmpi-library:library ] || reference=none
[ "${PMIO_TEST_REFERENCE:-}" != no ] || reference=none
case $PMIO_TEST_MPI:$program in *-library:datarep) reference=none ;; esac # it has more, which the program goes through

# root may read and write anything, unless this is taken from it
without_override() {
	if [ "$(id -u)" = 0 ]; then
		caps=-dac_override,-dac_read_search
		setpriv --bounding-set=$caps --inh-caps=$caps true 2>/dev/null || {
			echo "skip: root, and setpriv cannot take the right to override permissions"
			return 77
		}
		run_as="setpriv --bounding-set=$caps --inh-caps=$caps"
	fi
	run "$@"
}

on_pmem() {
	mkdir -p "$PFS/pmem.$1"
	if [ "$program" = perm ]; then
		quietly without_override "$1" "$bin" "pmem:$PFS/pmem.$1/$program"
	else
		quietly run "$1" "$bin" "pmem:$PFS/pmem.$1/$program"
	fi
}

# no room in the pool for most of it: slower, but nothing else may change
on_small_pool() {
	export PMIO_POOL="$T/small" PMIO_POOL_SIZE=8MiB
	mkdir -m 700 "$PMIO_POOL"
	mkdir "$PFS/small"
	quietly run 4 "$bin" "pmem:$PFS/small/$program" && diff -r "$PFS/pmem.4" "$PFS/small"
	rc=$?
	"$PMIO" agent stop --force >/dev/null 2>&1
	return $rc
}

by_reference() {
	local n=$1
	shift
	if [ "$reference" = mpich ]; then
		OMPI_MCA_io=romio MPI_LIBRARY='' run "$n" "$@" # the programs know by that what they can expect
	else
		MPI_LIBRARY='' run "$n" --mca io "$reference" "$@"
	fi
}

compared() {
	mkdir -p "$PFS/plain.$1"
	quietly by_reference "$1" "$bin" "$PFS/plain.$1/$program" || {
		echo "(this was the run on $reference)"
		return 1
	}
	diff -r "$PFS/plain.$1" "$PFS/pmem.$1"
}

# in a folder of their own: what is done with names that are not quite pmem:, with and without us
names_in() {
	mkdir -p "$T/$1"
	cd "$T/$1" || return 1
	shift
	run 2 "$@" "$bin" Pmem:x pmemx:y PMEM:z foo:bar.nc 12:30:00.nc xpmem:f ./pmem:g "pmem :h" plain ufs:i 2>&1
	find . -type f | sort | xargs cksum
}

names_unchanged() {
	(names_in with) >"$T/with.txt" 2>&1
	(
		export OMPI_MCA_mca_base_component_path=${OMPI_MCA_mca_base_component_path#"$top_builddir/.libs:"} MPI_LIBRARY=
		names_in without
	) >"$T/without.txt" 2>&1
	# but for one remark: on names that look as if they were ours
	[ "$(grep -c 'pmio: warn: .*:.*used literally' "$T/with.txt")" = 1 ] || {
		cat "$T/with.txt"
		return 1
	}
	# an installed component may say it in both
	sed -i '/pmio: warn: .*used literally/d' "$T/with.txt" "$T/without.txt"
	# else the comparison says nothing; MPICH 4.0 refuses a file system that it does not know
	[ "$(grep -c ': good$' "$T/without.txt")" -ge $([ $MPI_FAMILY = openmpi ] && echo 5 || echo 2) ] || {
		cat "$T/without.txt"
		return 1
	}
	diff "$T/without.txt" "$T/with.txt"
}

# pmem: itself, relative and absolute
names_ours() (
	mkdir -p "$T/ours"
	cd "$T/ours" || exit 1
	quietly run 2 "$bin" pmem:a pmem:./b:c "pmem:$T/ours/d e" pmem:pmem:f || exit
	[ "$(find . -type f | sort | xargs -d '\n' echo)" = "./a ./b:c ./d e ./pmem:f" ] || {
		echo "files here:"
		find .
		exit 1
	}
	! grep 'error class' "$T/out"
)

if [ "$program" = names ]; then
	plan 2
	check "names that are not pmem: are left alone" names_unchanged
	check "pmem: names are files, relative or absolute" names_ours
	exit $tap_failed
fi

ranks=${PMIO_TEST_RANKS:-$ranks}
small=yes
case $program:$ranks in perm:* | long:* | *:*[!4]) small= ;; esac # it is compared with what 4 left
nr=$(echo "$ranks" | wc -w)
[ $reference = none ] || nr=$((nr * 2))
[ -z "$small" ] || nr=$((nr + 1))
plan $nr
for n in $ranks; do
	check "$program on $n" on_pmem $n
	[ $reference = none ] || check "$program on $n leaves the files that $reference leaves" compared $n
done
[ -z "$small" ] || check "$program on 4 with a pool too small" on_small_pool
exit $tap_failed
