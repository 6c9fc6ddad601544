#!/bin/bash
# together.sh -- order between collective calls of one node's ranks that have no memory to meet in
. "${top_srcdir:-.}/tests/env.sh"

cat >"$T/refuse.c" <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* what rank 0 makes cannot be made, or what it has made cannot be found, as where processes have other numbers */
int memfd_create(const char *name, unsigned flags)
{
	(void)name;
	(void)flags;
	if (strcmp(getenv("REFUSE"), "make") == 0) {
		errno = ENOSYS;
		return -1;
	}
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}
END
${CC:-cc} -shared -fPIC -o "$T/refuse.so" "$T/refuse.c" >"$T/build" 2>&1 || skip_all "no compiler: $(head -n 1 "$T/build")"

refused() {
	run "$2" -x REFUSE="$1" -x LD_PRELOAD="$T/refuse.so" "$top_builddir/tests/mpi/order.mpi" "pmem:$PFS/$1.$2"
}

plan 3
check "no memory can be made: order on 2" refused make 2
check "no memory can be made: order on 4" refused make 4
check "the memory cannot be found: order on 3" refused find 3
exit $tap_failed
