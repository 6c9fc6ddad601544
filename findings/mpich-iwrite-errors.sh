#!/bin/bash
# MPICH 4.0.2 (Debian 12, mpich 4.0.2-3+b1): what nonblocking writes do with a file that was opened to be read
#
# expected  MPI-4.0, 14.7 and 9.3: a call that fails calls the file's error handler, once, and returns its error; as
#           MPI_File_write(), MPI_File_write_shared() and MPI_File_iwrite_all() do
# seen      MPI_File_iwrite() and MPI_File_iwrite_at() return an error and have called the handler twice;
#           MPI_File_iwrite_shared() returns MPI_SUCCESS, and no byte is written
#
# Ends with 0 while that is so, with 1 when it changes, with 77 if the packages cannot be had.
set -u
version=4.0.2-3+b1
T=$(mktemp -d) || exit 77
trap 'rm -rf "$T"' EXIT
[ "$(dpkg-query -W -f '${Version}' libmpich-dev 2>/dev/null)" = $version ] && [ "$(dpkg-query -W -f '${Version}' mpich 2>/dev/null)" = $version ] ||
	apt-get -q install -y --no-install-recommends libmpich-dev=$version mpich=$version >/dev/null 2>&1 ||
	{ echo "MPICH $version cannot be had here"; exit 77; }
cat >"$T/write.c" <<'END'
#include <mpi.h>
#include <stdio.h>

static int nr_calls;

static void count(MPI_File *file, int *error, ...)
{
	(void)file;
	(void)error;
	nr_calls++;
}

static void report(const char *name, int rc)
{
	printf("%s %s %d ", name, rc == MPI_SUCCESS ? "succeeds" : "fails", nr_calls);
	nr_calls = 0;
}

int main(int argc, char **argv)
{
	MPI_Errhandler handler;
	MPI_Request r[4];
	char byte = 'x';
	MPI_File f;

	MPI_Init(&argc, &argv);
	if (MPI_File_open(MPI_COMM_SELF, argv[1], MPI_MODE_RDONLY, MPI_INFO_NULL, &f))
		return 2;
	MPI_File_create_errhandler(count, &handler);
	MPI_File_set_errhandler(f, handler);
	report("write", MPI_File_write(f, &byte, 1, MPI_BYTE, MPI_STATUS_IGNORE));
	report("write_shared", MPI_File_write_shared(f, &byte, 1, MPI_BYTE, MPI_STATUS_IGNORE));
	report("iwrite_all", MPI_File_iwrite_all(f, &byte, 1, MPI_BYTE, &r[0]));
	report("iwrite", MPI_File_iwrite(f, &byte, 1, MPI_BYTE, &r[1]));
	report("iwrite_at", MPI_File_iwrite_at(f, 0, &byte, 1, MPI_BYTE, &r[2]));
	report("iwrite_shared", MPI_File_iwrite_shared(f, &byte, 1, MPI_BYTE, &r[3]));
	fflush(stdout);
	MPI_Abort(MPI_COMM_WORLD, 0); /* the last request is not waited for */
}
END
: >"$T/file"
mpicc.mpich "$T/write.c" -o "$T/write" || exit 77
seen="$(timeout 60 mpirun.mpich -n 1 "$T/write" "$T/file" 2>/dev/null | grep -o '.*iwrite_shared [a-z]* [0-9]*') size $(stat -c %s "$T/file")"
echo "MPICH $version: what each call does, and how often the handler was called: $seen"
[ "$seen" = "write fails 1 write_shared fails 1 iwrite_all fails 1 iwrite fails 2 iwrite_at fails 2 iwrite_shared succeeds 0 size 0" ] ||
	{ echo "it has changed"; exit 1; }
