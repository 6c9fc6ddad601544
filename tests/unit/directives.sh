#!/bin/bash
# directives.sh -- what slurm/ makes of #PMEM lines and of --pmem, without Slurm; TAP
. "${top_srcdir:-.}/tests/env.sh" || exit 99
lua=
for name in lua5.1 lua; do
	[ -n "$lua" ] || ! $name -v 2>&1 | grep -q '^Lua 5\.1' || lua=$name
done
[ -n "$lua" ] || skip_all "no Lua 5.1, which Slurm has (scripts/packages.txt: lua5.1)"

cp "$top_srcdir"/slurm/*.lua "$T" || fatal
cat >"$T/pmio-slurm.conf" <<END
HELPER=none
STATE=none
PMEM=none
NODE_CAPACITY=128MiB
CAPACITY=256MiB
GRES=pmem
END
$lua "$top_srcdir/tests/unit/directives.lua" "$T"
