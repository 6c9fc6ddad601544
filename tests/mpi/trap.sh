#!/bin/bash
# trap.sh -- settings of Open MPI that shut the component out: said once, and only to who means us
. "${top_srcdir:-.}/tests/env.sh"
need_mpi
need_component
prog=$top_builddir/mpi-examples/hello_pmem
ours=pmem:$PFS/file

said() { # how often the remark was made
	grep -c 'excludes pmio' "$T/out"
}

shut_out() {
	run 2 --mca io "$1" "$prog" "$ours" >"$T/out" 2>&1
	rc=$?
	[ $rc != 0 ] && [ "$(said)" = 1 ] && return 0
	cat "$T/out"
	return 1
}

goes_on() {
	run 2 --mca io "$1" "$prog" "$2" >"$T/out" 2>&1 && [ "$(said)" = 0 ] && return 0
	cat "$T/out"
	return 1
}

plain_name() (
	unset PMIO_POOL
	goes_on "$1" "$PFS/plain"
)

plan 6
check "io ompio with a name of ours: said once" shut_out ompio
check "io romio321 with a name of ours: said once" shut_out romio321
check "io ^pmem with a name of ours: said once" shut_out ^pmem
check "io pmem,ompio works" goes_on pmem,ompio "$ours"
check "io ^ompio works" goes_on ^ompio "$ours"
check "io ompio with a plain name: nothing is said" plain_name ompio
