#!/bin/bash
# MPICH 4.0.2 (Debian 12, mpich 4.0.2-3+b1): when the free function of a generalized request is called
#
# expected  MPI-4.0, 13.2: after MPI_Request_free() of a request that is not complete, free_fn is called in that call or in
#           MPI_Grequest_complete(), whichever happens last; so the library that made the request may use its state until it
#           has completed it.  Open MPI 4.1.4 does that
# seen      free_fn is called in MPI_Request_free(), while the operation is still under way
#
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
version=4.0.2-3+b1
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
[ "$(dpkg-query -W -f '${Version}' libmpich-dev 2>/dev/null)" = $version ] && [ "$(dpkg-query -W -f '${Version}' mpich 2>/dev/null)" = $version ] ||
	apt-get -q install -y --no-install-recommends libmpich-dev=$version mpich=$version >/dev/null 2>&1 ||
	{ echo "MPICH $version cannot be had here"; exit 77; }
cat >"$T/free.c" <<'END'
#include <mpi.h>
#include <stdio.h>

static int query(void *state, MPI_Status *status)
{
	(void)state;
	MPI_Status_set_elements(status, MPI_BYTE, 0);
	MPI_Status_set_cancelled(status, 0);
	return MPI_SUCCESS;
}

static int count(void *nr_calls)
{
	++*(int *)nr_calls;
	return MPI_SUCCESS;
}

static int cancel(void *state, int complete)
{
	(void)state;
	(void)complete;
	return MPI_SUCCESS;
}

int main(int argc, char **argv)
{
	static int nr_calls;
	MPI_Request r, handle;

	MPI_Init(&argc, &argv);
	MPI_Grequest_start(query, count, cancel, &nr_calls, &r);
	handle = r;
	MPI_Request_free(&r);
	printf("%d", nr_calls);
	MPI_Grequest_complete(handle);
	printf(" %d\n", nr_calls);
	MPI_Finalize();
	return 0;
}
END
mpicc.mpich "$T/free.c" -o "$T/free" || exit 77
seen=$(timeout 60 mpirun.mpich -n 1 "$T/free" 2>/dev/null)
echo "MPICH $version: calls of free_fn after MPI_Request_free(), and after MPI_Grequest_complete(): $seen"
[ "$seen" = "1 1" ] || { echo "it has changed"; exit 1; }
