#!/bin/bash
# hints.sh -- settings of an MPI program: which of hint, parameter, environment and file wins, what
# get_info says, what is said of hints that are wrong; names without a prefix
. "${top_srcdir:-.}/tests/env.sh" || exit 99
need_mpi
. "$top_srcdir/tests/cli/lib.sh" || exit 99
prog=$top_builddir/tests/mpi/hints
plan 19

# hints N mpirun's arguments -- FILE and hints; keeps $OUT, $ERR
hints() {
	local n=$1 args=()
	shift
	while [ "$1" != -- ]; do
		args+=("$1")
		shift
	done
	shift
	run "$n" "${args[@]}" "$prog" "$@" >"$OUT" 2>"$ERR" && return
	echo "exit status $?"
	cat "$OUT" "$ERR"
	return 1
}

defaults() {
	hints 3 -- "pmem:$PFS/f" && silent && says '^pmem_drain=close$' && says '^pmem_cache=keep$' && says '^pmem_fallback=pfs$' &&
		says "^pmem_pool=$PMIO_POOL\$" && says '^romio_visibility_immediate=true$'
}
check "get_info says what is in force" defaults

by_hint() {
	hints 2 -- "pmem:$PFS/held" pmem_drain=hold pmem_cache=drop pmem_fallback=error cb_nodes=1 && silent &&
		says '^pmem_drain=hold$' && says '^pmem_cache=drop$' && says '^pmem_fallback=error$' && says '^cb_nodes=1$' &&
		expect 0 "$PMIO" ls && says "^held .* $PFS/held\$" && [ ! -s "$PFS/held" ] &&
		expect 0 "$PMIO" drain "$PFS/held" && [ "$(cat "$PFS/held")" = xx ]
}
check "hints are in force" by_hint

# nobody waited for it; a drain that is asked for does
async_drain() {
	hints 2 -- "pmem:$PFS/later" pmem_drain=async && is_drain async && expect 0 "$PMIO" drain "$PFS/later" &&
		[ "$(cat "$PFS/later")" = xx ] && hints 2 --mca io_pmem_drain async -- "pmem:$PFS/later2" && is_drain async
}
is_drain() { says "^pmem_drain=$1\$" && silent; }
check "drain=async" async_drain
strongest() {
	echo "drain = hold" >"$T/conf"
	PMIO_CONF=$T/conf hints 2 -- "pmem:$PFS/o" && is_drain hold &&
		PMIO_CONF=$T/conf PMIO_DRAIN=close hints 2 -- "pmem:$PFS/o" && is_drain close &&
		PMIO_DRAIN=close hints 2 --mca io_pmem_drain hold -- "pmem:$PFS/o" && is_drain hold &&
		PMIO_DRAIN=hold hints 2 --mca io_pmem_drain hold -- "pmem:$PFS/o" pmem_drain=close && is_drain close
}
check "hint, parameter, environment, file: the first wins" strongest

pool_by_hint() {
	mkdir -m 700 "$T/second" && hints 2 -- "pmem:$PFS/second" pmem_pool="$T/second" && silent &&
		says "^pmem_pool=$T/second\$" && PMIO_POOL=$T/second expect 0 "$PMIO" ls && says "$PFS/second\$" &&
		expect 0 "$PMIO" ls && ! grep "$PFS/second" "$OUT" && PMIO_POOL=$T/second expect 0 "$PMIO" agent stop
}
check "a pool by hint" pool_by_hint

pool_by_default() { # not this user's default pool: another place for it
	(unset PMIO_POOL && PMIO_CONF=$T/conf2 && export PMIO_CONF && echo "pool = $T/third" >"$T/conf2" &&
		mkdir -m 700 "$T/third" && hints 1 -- "pmem:$PFS/third" && says "^pmem_pool=$T/third\$" &&
		expect 0 "$PMIO" agent stop)
}
check "a pool from the configuration file" pool_by_default

unknown() {
	hints 3 -- "pmem:$PFS/f" pmem_drian=hold pmem_=1 pmem_drai=close && err_lines 3 'hint pmem_drian is not known' &&
		err_lines 3 'hint pmem_drai is not known' && err_lines 3 'hint pmem_ is not known'
}
check "hints that are not known are reported once, by one of three ranks, and do no harm" unknown

not_for_a_file() {
	hints 2 -- "pmem:$PFS/f" pmem_drain_threads=3 pmem_log=debug && err_lines 2 'pmem_drain_threads.*--mca io_pmem_drain_threads'
}
check "settings that are none of one file" not_for_a_file

bad_values() {
	hints 3 -- "pmem:$PFS/f" pmem_drain=later pmem_fallback=1 pmem_cache=drop &&
		err_lines 2 'drain \(hint\): "later" is not one of close\|async\|hold\|aggregate' &&
		err_lines 2 'fallback \(hint\): "1" is not one of pfs\|error' && says '^pmem_drain=close$' && says '^pmem_fallback=pfs$' &&
		says '^pmem_cache=drop$'
}
check "bad values are refused with those that are valid, once" bad_values

# there are no collective buffers here, and ROMIO would end the job over a list that selects nobody
no_hosts() {
	local list
	for list in 'nosuchhost:1' '*:0' 'garbage,,:' '*:1'; do
		hints 2 -- "pmem:$PFS/hosts" cb_config_list="$list" cb_nodes=1 && silent && says '^cb_nodes=1$' || return
	done
	# of Open MPI from 5 on the library shows what ompio knows
	[ "$PMIO_TEST_MPI" = openmpi-library ] ||
		{ hints 2 -- "pmem:$PFS/hosts" cb_config_list='*:*,*:3' && silent && says '^cb_config_list=\*:\*,\*:3$'; } || return
	echo "cb_config_list nosuchhost:1" >"$T/romio-hints"
	ROMIO_HINTS=$T/romio-hints hints 2 -- "pmem:$PFS/hosts" && silent
}
check "a cb_config_list that selects no host, and one that can be shown" no_hosts

bad_parameter() {
	hints 1 --mca io_pmem_drain_threads 65 -- "pmem:$PFS/f" && one_line 'drain_threads \(Open MPI parameter\): "65" is not a number of 1 to 64'
}
check "a bad parameter is refused with the valid range" bad_parameter

# the agent is started by a rank: what mpirun was told must reach it
agent_gets_parameters() {
	(unset PMIO_POOL_SIZE
	export PMIO_POOL=$T/fourth PMIO_IDLE_TIMEOUT=44
	mkdir -m 700 "$PMIO_POOL" && hints 2 --mca io_pmem_pool_size 24MiB --mca io_pmem_chunk_size 256KiB \
		--mca io_pmem_idle_timeout 33 --mca io_pmem_log info -- "pmem:$PFS/f4" &&
		expect 0 "$PMIO" stat --json && json "20 << 20 < o['size'] <= 24 << 20 and o['chunk_size'] == 256 << 10" &&
		expect 0 "$PMIO" agent status --json && json "o['idle_timeout_s'] == 33" &&
		grep -q 'agent: serving' "$PMIO_POOL/agent.log" && expect 0 "$PMIO" agent stop)
}
check "parameters reach the agent that a rank starts" agent_gets_parameters

# a plain name, taken or not: pmio knows the file or does not
taken() { hints 2 "${@:2}" -- "$1" && silent && expect 0 "$PMIO" ls && says " $1\$" && [ "$(cat "$1")" = xx ]; }
left_alone() { hints 2 "${@:2}" -- "$1" && silent && expect 0 "$PMIO" ls && ! grep " $1\$" "$OUT" && [ "$(cat "$1")" = xx ]; }
paths() {
	mkdir -p "$PFS/run7/deep" "$PFS/other" && echo "paths = $PFS/other/conf.*" >"$T/conf3" &&
		taken "$PFS/run7/a" --mca io_pmem_paths "/nowhere/*:$PFS/run7/*" &&
		taken "$PFS/run7/deep/b" --mca io_pmem_paths "/nowhere/*:$PFS/run7/*" &&
		left_alone "$PFS/other/c" --mca io_pmem_paths "/nowhere/*:$PFS/run7/*" &&
		PMIO_PATHS="$PFS/other/*.h5" taken "$PFS/other/d.h5" &&
		PMIO_PATHS="$PFS/other/*.h5" left_alone "$PFS/other/d.nc" &&
		PMIO_CONF=$T/conf3 taken "$PFS/other/conf.e" && PMIO_CONF=$T/conf3 left_alone "$PFS/other/f"
}
check "names without a prefix: parameter, environment, file" paths

paths_relative() (
	cd "$PFS/run7" && hints 2 --mca io_pmem_paths "$PFS/run7/*" -- deep/../rel && silent && expect 0 "$PMIO" ls &&
		says " $PFS/run7/.*rel\$" && [ "$(cat rel)" = xx ] && cd .. && left_alone "$PFS/rel" --mca io_pmem_paths "$PFS/run7/*"
)
check "relative names are matched as absolute ones" paths_relative

# a name without a prefix is that of a program that may look at its file after a sync: the plain file has it
is_sync() { says "^pmem_sync=$1\$" && silent; }
sync_auto() {
	local plain=(--mca io_pmem_paths "$PFS/s.*")
	hints 2 "${plain[@]}" -- "$PFS/s.a" && is_sync drain && hints 2 -- "pmem:$PFS/s.b" && is_sync pool &&
		hints 2 "${plain[@]}" -- "pmem:$PFS/s.c" && is_sync pool &&
		hints 2 "${plain[@]}" -- "$PFS/s.d" pmem_sync=pool && is_sync pool &&
		hints 2 "${plain[@]}" --mca io_pmem_sync auto -- "$PFS/s.e" && is_sync drain &&
		PMIO_SYNC=drain hints 2 -- "pmem:$PFS/s.f" && is_sync drain &&
		hints 2 "${plain[@]}" -- "$PFS/s.g" pmem_drain=hold && is_sync pool && expect 0 "$PMIO" drain "$PFS/s.g" &&
		hints 2 "${plain[@]}" -- "$PFS/s.h" pmem_sync=never && says '^pmem_sync=drain$' &&
		err_lines 1 'sync \(hint\): "never" is not one of auto\|pool\|drain'
}
check "sync=auto: drain for names that paths selects, pool for pmem:" sync_auto
sync_plain() { run 3 --mca io_pmem_paths "$PFS/*" "$top_builddir/tests/mpi/sync.mpi" "$PFS/synced" by-path; }
check "a sync of a name that paths selects: the plain file has the data while it is open" sync_plain

# what libraries leave that know nothing of the prefix: said once, by one rank, however many files there are
stray() (
	mkdir -p "$T/cwd.$1" && cd "$T/cwd.$1" || exit
	hints 3 -- "pmem:$PFS/stray" && silent || exit
	mkdir "$1" && hints 3 -- "pmem:$PFS/stray" && one_line "the working directory contains \"$1\"" || exit
	hints 2 -- stray.plain && silent
)
# nor by each rank, where each has files of its own
stray_alone() (
	mkdir -p "$T/cwd.alone/pmem:" && cd "$T/cwd.alone" || exit
	run 3 "$top_builddir/tests/mpi/threads.mpi" "pmem:$PFS/alone" >"$OUT" 2>"$ERR" && one_line "the working directory contains"
)
strays() { stray_alone && stray pmem && stray pmem: && stray pmem:out.h5; }
check "a file or folder that the prefix was taken for" strays

# each of the two processes is alone for its MPI; the library's tests have their own
another_launcher() {
	local launcher=${MPIRUN_MPICH:-mpirun.mpich}
	[ -z "$MPI_LIBRARY" ] || {
		echo "tests/openmpi/library.sh has it"
		return 77
	}
	command -v "$launcher" >/dev/null || {
		echo "no launcher of another MPI"
		return 77
	}
	timeout -k 5 60 "$launcher" -n 2 sh -c "$prog pmem:$PFS/launched.\$\$" >"$OUT" 2>"$ERR" &&
		[ "$(ls "$PFS"/launched.* | wc -l)" = 2 ] && one_line "2 processes were started together, but MPI_COMM_WORLD has one rank in each"
}
check "a program that another MPI's launcher has started" another_launcher

paths_and_prefix() { hints 2 --mca io_pmem_paths "/nowhere/*" -- "pmem:$PFS/other/g" && expect 0 "$PMIO" ls && says " $PFS/other/g\$"; }
check "the prefix works besides" paths_and_prefix
exit $tap_failed
