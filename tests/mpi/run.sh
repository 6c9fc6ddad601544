#!/bin/sh
# run.sh PROGRAM -- one program of this folder on 1, 2, 3 and 4 ranks; TAP
#
# Each run writes to pmem:.  Then the same program runs on plain names, by Open
# MPI's own ROMIO or OMPIO, and the files that both leave must be the same.  Which
# of the two: below, the one that gets that program's calls right.

. "${top_srcdir:-.}/tests/env.sh"

program=$(basename "$1" .mpi)
bin=$top_builddir/tests/mpi/$program.mpi

case $program in
coll | exchange | nonblock | threads) reference=ompio ;; # ROMIO: garbage in holes; crashes in nonblocking collectives
files | names | perm | large | long) reference=none ;;	      # these leave no file, or nothing to compare
*) reference=romio321 ;;
esac

# what the test said, without mpirun's remarks on it; 77 with the reason alone
quietly() {
	"$@" >"$T/out" 2>&1
	rc=$?
	if [ $rc = 77 ]; then
		sed -n 's/^skip: //p' "$T/out" | head -n 1
	else
		[ $rc != 124 ] || echo "took more than ${TEST_TIMEOUT:-120} s"
		cat "$T/out"
	fi
	return $rc
}

# root may read and write anything, unless this is taken from it
without_override() {
	if [ "$(id -u)" = 0 ]; then
		caps=-dac_override,-dac_read_search
		setpriv --bounding-set=$caps --inh-caps=$caps true 2>/dev/null || {
			echo "skip: root, and setpriv cannot take the right to override permissions"
			return 77
		}
		set -- setpriv --bounding-set=$caps --inh-caps=$caps "$@"
	fi
	"$@"
}

on_pmem() {
	mkdir -p "$PFS/pmem.$1"
	if [ "$program" = perm ]; then
		quietly without_override timeout -k 5 "${TEST_TIMEOUT:-120}" "$MPIRUN" -n "$1" "$bin" "pmem:$PFS/pmem.$1/$program"
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

compared() {
	mkdir -p "$PFS/plain.$1"
	quietly run "$1" --mca io $reference "$bin" "$PFS/plain.$1/$program" || {
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
		export OMPI_MCA_mca_base_component_path=${OMPI_MCA_mca_base_component_path#*:}
		names_in without
	) >"$T/without.txt" 2>&1
	# but for one remark: on names that look as if they were ours
	[ "$(grep -c 'pmio: warn: .*:.*exactly so' "$T/with.txt")" = 1 ] || {
		cat "$T/with.txt"
		return 1
	}
	# an installed component may say it in both
	sed -i '/pmio: warn: .*exactly so/d' "$T/with.txt" "$T/without.txt"
	[ "$(grep -c ': good$' "$T/without.txt")" -ge 5 ] || { # else the comparison says nothing
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

nr=4
[ $reference = none ] || nr=$((nr + 4))
case $program in perm | long) ;; *) nr=$((nr + 1)) ;; esac
plan $nr
for n in 1 2 3 4; do
	check "$program on $n" on_pmem $n
	[ $reference = none ] || check "$program on $n leaves the files that $reference leaves" compared $n
done
case $program in
perm | long) ;;
*) check "$program on 4 with a pool too small" on_small_pool ;;
esac
exit $tap_failed
