#!/bin/bash
# MPICH 4.0.2 (Debian 12, mpich 4.0.2-3+b1): MPI_Request_get_status() never sees a nonblocking file call complete
#
# expected  MPI-4.0, 3.7.6: flag = true if the operation that belongs to the request is complete, as MPI_Test() says, only
#           that the request is not freed; so it is for a message to oneself
# seen      of MPI_File_iwrite_at() with 10 bytes the flag is false through two seconds of asking, once a millisecond; the
#           first MPI_Test() then says true, and the bytes are in the file
#
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
version=4.0.2-3+b1
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
[ "$(dpkg-query -W -f '${Version}' libmpich-dev 2>/dev/null)" = $version ] && [ "$(dpkg-query -W -f '${Version}' mpich 2>/dev/null)" = $version ] ||
	apt-get -q install -y --no-install-recommends libmpich-dev=$version mpich=$version >/dev/null 2>&1 ||
	{ echo "MPICH $version cannot be had here"; exit 77; }
cat >"$T/status.c" <<'END'
#include <mpi.h>
#include <stdio.h>
#include <time.h>

/* whether it is seen to be complete, by either */
static void ask(const char *what, MPI_Request request)
{
	const struct timespec pause = { 0, 1000000 };
	int by_status = 0, by_test = 0;

	for (int i = 0; i < 2000 && !by_status; i++) {
		MPI_Request_get_status(request, &by_status, MPI_STATUS_IGNORE);
		nanosleep(&pause, NULL);
	}
	MPI_Test(&request, &by_test, MPI_STATUS_IGNORE);
	printf("%s %d %d ", what, by_status, by_test);
}

int main(int argc, char **argv)
{
	MPI_Request message, write;
	char sent = 'x', got;
	MPI_File f;

	MPI_Init(&argc, &argv);
	MPI_Irecv(&got, 1, MPI_CHAR, 0, 0, MPI_COMM_SELF, &message);
	MPI_Send(&sent, 1, MPI_CHAR, 0, 0, MPI_COMM_SELF);
	ask("message", message);
	if (MPI_File_open(MPI_COMM_SELF, argv[1], MPI_MODE_CREATE | MPI_MODE_WRONLY, MPI_INFO_NULL, &f))
		return 2;
	MPI_File_iwrite_at(f, 0, "0123456789", 10, MPI_BYTE, &write);
	ask("write", write);
	MPI_File_close(&f);
	MPI_Finalize();
	return 0;
}
END
mpicc.mpich "$T/status.c" -o "$T/status" || exit 77
seen="$(timeout 60 mpirun.mpich -n 1 "$T/status" "$T/file" 2>/dev/null)$(stat -c %s "$T/file" 2>/dev/null)"
echo "MPICH $version: of a message and of a write: by get_status, by test; the file's size: $seen"
[ "$seen" = "message 1 1 write 0 1 10" ] || { echo "that was: message 1 1 write 0 1 10; it has changed"; exit 1; }
