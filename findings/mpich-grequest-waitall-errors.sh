#!/bin/bash
# MPICH 4.0.2 (Debian 12, mpich 4.0.2-3+b1): errors of completed generalized requests in MPI_Waitall()
#
# expected  MPI-4.0, 3.7.5 and 13.2: the error that a request's query_fn returns is in its status, whichever call completes it;
#           MPI_ERR_PENDING is for requests that are neither complete nor failed.  Open MPI 4.1.4: MPI_ERR_IO for both requests
# seen      MPI_Wait() and MPI_Test() return the class MPI_ERR_IO of query_fn; MPI_Waitall() makes MPI_ERR_OTHER of the first
#           request's, and says MPI_ERR_PENDING of the second, which is complete, and leaves it
#
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
version=4.0.2-3+b1
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
[ "$(dpkg-query -W -f '${Version}' libmpich-dev 2>/dev/null)" = $version ] && [ "$(dpkg-query -W -f '${Version}' mpich 2>/dev/null)" = $version ] ||
	apt-get -q install -y --no-install-recommends libmpich-dev=$version mpich=$version >/dev/null 2>&1 ||
	{ echo "MPICH $version cannot be had here"; exit 77; }
cat >"$T/waitall.c" <<'END'
#include <mpi.h>
#include <stdio.h>

static int query(void *state, MPI_Status *status)
{
	(void)state;
	MPI_Status_set_elements(status, MPI_BYTE, 0);
	MPI_Status_set_cancelled(status, 0);
	return MPI_ERR_IO;
}

static int free_nothing(void *state)
{
	(void)state;
	return MPI_SUCCESS;
}

static int cancel(void *state, int complete)
{
	(void)state;
	(void)complete;
	return MPI_SUCCESS;
}

static MPI_Request failed(void)
{
	MPI_Request r;

	MPI_Grequest_start(query, free_nothing, cancel, NULL, &r);
	MPI_Grequest_complete(r);
	return r;
}

static const char *name(int error)
{
	int class;

	MPI_Error_class(error, &class);
	return class == MPI_ERR_IO ? "IO" : class == MPI_ERR_OTHER ? "OTHER" : class == MPI_ERR_PENDING ? "PENDING"
		: class == MPI_ERR_IN_STATUS ? "IN_STATUS" : "another";
}

int main(int argc, char **argv)
{
	MPI_Request r = MPI_REQUEST_NULL, both[2];
	MPI_Status st[2];
	int flag;

	MPI_Init(&argc, &argv);
	MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
	r = failed();
	printf("wait %s ", name(MPI_Wait(&r, st)));
	r = failed();
	printf("test %s ", name(MPI_Test(&r, &flag, st)));
	both[0] = failed();
	both[1] = failed();
	printf("waitall %s ", name(MPI_Waitall(2, both, st)));
	printf("%s %s", name(st[0].MPI_ERROR), name(st[1].MPI_ERROR));
	printf(" %s\n", both[1] == MPI_REQUEST_NULL ? "freed" : "left");
	MPI_Finalize();
	return 0;
}
END
mpicc.mpich "$T/waitall.c" -o "$T/waitall" || exit 77
seen=$(timeout 60 mpirun.mpich -n 1 "$T/waitall" 2>/dev/null)
echo "MPICH $version: classes of the errors, and the second request: $seen"
[ "$seen" = "wait IO test IO waitall IN_STATUS OTHER PENDING left" ] || { echo "it has changed"; exit 1; }
