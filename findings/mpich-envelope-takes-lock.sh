#!/bin/bash
# MPICH 4.0.2 (Debian 12, libmpich-dev 4.0.2-3+b1): what MPI_Type_get_envelope of a predefined type costs a program with threads
#
# expected  a predefined datatype never changes, so asking for it is a look-up that threads do at once: MPI_Type_size and MPI_Type_get_extent take no lock
# seen      with MPI_THREAD_MULTIPLE each MPI_Type_get_envelope (and MPI_Type_get_name) of MPI_BYTE takes the lock of the whole library, which also
#           sends and receives hold: two threads whose writes ask each time had 1.6 times the rate of one, and 1.9 times when they remembered the answer
#
# The program counts the calls of pthread_mutex_lock; nothing is timed.
# Ends with 0 while that is so, with 1 when it changes, with 77 if the package cannot be had.
set -u
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
skip() { echo "$*"; exit 77; }
version=4.0.2-3+b1
[ "$(dpkg-query -W -f '${Version}' libmpich-dev 2>/dev/null)" = $version ] && [ "$(dpkg-query -W -f '${Version}' mpich 2>/dev/null)" = $version ] ||
	apt-get -q install -y --no-install-recommends libmpich-dev=$version mpich=$version >/dev/null 2>&1 ||
	skip "MPICH $version cannot be had here"
cat >"$T/locks.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <mpi.h>
#include <pthread.h>
#include <stdio.h>

enum { TIMES = 1000 };
static int locks;

/* in front of the C library's */
int pthread_mutex_lock(pthread_mutex_t *m)
{
	static int (*next)(pthread_mutex_t *);

	if (!next)
		next = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
	locks++;
	return next(m);
}

int main(int argc, char **argv)
{
	int provided, ni, na, nd, combiner, size, len, before;
	char name[MPI_MAX_OBJECT_NAME];
	MPI_Aint lb, extent;

	MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
	before = locks;
	for (int i = 0; i < TIMES; i++) {
		MPI_Type_size(MPI_BYTE, &size);
		MPI_Type_get_extent(MPI_BYTE, &lb, &extent);
	}
	printf("%d ", locks - before);
	before = locks;
	for (int i = 0; i < TIMES; i++)
		MPI_Type_get_name(MPI_BYTE, name, &len);
	printf("%d ", locks - before);
	before = locks;
	for (int i = 0; i < TIMES; i++)
		MPI_Type_get_envelope(MPI_BYTE, &ni, &na, &nd, &combiner);
	printf("%d %s\n", locks - before, combiner == MPI_COMBINER_NAMED && provided == MPI_THREAD_MULTIPLE ? "named" : "?");
	MPI_Finalize();
	return 0;
}
END
mpicc.mpich -o "$T/locks" "$T/locks.c" || skip "does not compile"
said=$(timeout 60 mpiexec.mpich -n 1 "$T/locks") || exit 1
# shellcheck disable=SC2086
set -- $said
echo "MPICH $version: locks taken by 1000 calls of MPI_Type_size and _get_extent: $1, of _get_name: $2, of _get_envelope: $3"
[ "$1" = 0 ] && [ "$2" = 1000 ] && [ "$3" = 1000 ] && [ "$4" = named ]
