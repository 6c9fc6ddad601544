#!/bin/bash
# together.sh -- order between collective calls of one node's ranks that have no memory to meet in
. "${top_srcdir:-.}/tests/env.sh"
need_mpi

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
	REFUSE=$1 MPI_LIBRARY=$T/refuse.so${MPI_LIBRARY:+:$MPI_LIBRARY} run "$2" "$MPI_PROGRAMS/${3:-order}.mpi" "pmem:$PFS/$1.$2"
}

# rank 0 has a file that others may join, its neighbours have not
owned() {
	PMIO_ADDRESS=127.0.0.1 PMIO_OWNER=always run "$1" "$MPI_PROGRAMS/order.mpi" "pmem:$PFS/owned.$1" &&
		"$PMIO" agent stop --force
}

# ranks of two pools, as on two nodes: it is kept by the metadata server
at_mds() {
	mkdir -m 700 "$T/pool1"
	# shellcheck disable=SC2016
	PMIO_ADDRESS=127.0.0.1 PMIO_LOG=debug REFUSE=make MPI_LIBRARY=$T/refuse.so:$MPI_LIBRARY POOLS="$T/pool $T/pool1" run "$1" \
		bash -c 'pools=($POOLS); export PMIO_POOL=${pools[${PMI_RANK:-$OMPI_COMM_WORLD_RANK} % 2]}; exec "$@"' x "$MPI_PROGRAMS/shared.mpi" "pmem:$PFS/mds.$1" >"$T/out" 2>&1
	rc=$?
	"$PMIO" agent stop --force
	"$PMIO" --pool="$T/pool1" agent stop --force
	# each rank has asked there
	[ $rc = 0 ] && [ "$(grep -c 'node .*: messages:.* pointer=' "$T/out")" = "$1" ] || {
		cat "$T/out"
		return 1
	}
}

# the same without memory for a shared file pointer: which way it is kept must be the same on all ranks
owned_refused() {
	PMIO_ADDRESS=127.0.0.1 PMIO_OWNER=always refused make "$1" shared && "$PMIO" agent stop --force
}

[ -z "$MPI_LIBRARY" ] || [ -r "$MPI_LIBRARY" ] || skip_all "there was no such MPI when this was configured"
[ $MPI_FAMILY = openmpi ] || {
	plan 6
	check "no memory can be made: order on 2" refused make 2
	check "the memory cannot be found: order on 3" refused find 3
	check "no memory can be made: shared pointers on 3" refused make 3 shared
	check "ranks of two nodes: shared pointers on 3" at_mds 3
	check "a file that is marked for other nodes: order on 2" owned 2
	check "a marked file, and no memory can be made: shared pointers on 3" owned_refused 3
	exit $tap_failed
}
plan $([ -z "$MPI_LIBRARY" ] && echo 5 || echo 8)
check "no memory can be made: order on 2" refused make 2
check "no memory can be made: order on 4" refused make 4
check "the memory cannot be found: order on 3" refused find 3
[ -z "$MPI_LIBRARY" ] || check "no memory can be made: shared pointers on 3" refused make 3 shared
[ -z "$MPI_LIBRARY" ] || check "ranks of two nodes: shared pointers on 3" at_mds 3
check "a file that is marked for other nodes: order on 2" owned 2
check "a file that is marked for other nodes: order on 4" owned 4
[ -z "$MPI_LIBRARY" ] || check "a marked file, and no memory can be made: shared pointers on 3" owned_refused 3
exit $tap_failed
