#!/bin/sh
# fuzz.sh [RUNS [SECONDS]] -- the libFuzzer targets; TAP
#
# RUNS inputs each for messages and for headers of media, SECONDS for the live
# agent.  Without arguments a short run.  Each run draws new inputs; one that fails
# is shown as libFuzzer prints it.

. "${top_srcdir:-.}/tests/env.sh"

runs=${1:-100000} seconds=${2:-15}
cd "$T" || exit 1

fuzz() { # target arguments...
	bin=$top_builddir/tests/fuzz/fuzz_$1
	shift
	if [ ! -x "$bin" ]; then
		echo "configure found no clang with libFuzzer (packages clang, libclang-rt-14-dev)"
		return 77
	fi
	ASAN_OPTIONS=detect_leaks=0 "$bin" -verbosity=0 -print_final_stats=1 "$@" || return 1
}

plan 3
check "any bytes as a message" fuzz messages -runs="$runs" -max_len=5000
check "any bytes as a pool's headers" fuzz media -runs="$runs" -max_len=400
check "any messages to a live agent" fuzz agent -max_total_time="$seconds" -max_len=2000
