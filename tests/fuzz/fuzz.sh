#!/bin/bash
# fuzz.sh [RUNS [SECONDS]] -- the libFuzzer targets; TAP
#
# RUNS inputs each for messages, for headers of media, for endpoint descriptors and layout files, for messages to a target and for job
# scripts, SECONDS for the live
# agent.  Without arguments a short run.  Each run draws new inputs; one that fails
# is shown as libFuzzer prints it.

. "${top_srcdir:-.}/tests/env.sh"

runs=${1:-100000} seconds=${2:-15}
cd "$T" || fatal

fuzz() { # target arguments...
	bin=$top_builddir/tests/fuzz/fuzz_$1
	shift
	if [ ! -x "$bin" ]; then
		echo "configure found no clang with libFuzzer, or no Lua (packages clang, libclang-rt-14-dev, liblua5.1-0-dev)"
		return 77
	fi
	ASAN_OPTIONS=detect_leaks=0 "$bin" -verbosity=0 -print_final_stats=1 "$@" || return 1
}

cp "$top_srcdir"/slurm/*.lua "$T" || fatal
printf 'HELPER=h\nSTATE=s\nPMEM=p\nGRES=pmem\nNODE_CAPACITY=128MiB\nCAPACITY=256MiB\n' >"$T/pmio-slurm.conf"
export FUZZ_LUA=$T FUZZ_DIRECTIVES=$top_srcdir/tests/fuzz/fuzz_directives.lua

plan 6
check "any bytes as a message" fuzz messages -runs="$runs" -max_len=5000
check "any bytes as a pool's headers" fuzz media -runs="$runs" -max_len=400
check "any text as an endpoint descriptor, or as a layout file" fuzz endpoints -runs="$runs" -max_len=1000
check "any messages to a target, by whom has the key or not" fuzz fabric -runs="$runs" -max_len=1000
check "any messages to a live agent" fuzz agent -max_total_time="$seconds" -max_len=2000
check "any text as a job's script" fuzz directives -runs="$runs" -max_len=3000 -timeout=60 -dict="$top_srcdir/tests/fuzz/directives.dict"
