/*
 * hello_pmem.c -- each rank writes its part of a file, then all read all of it
 *
 *	mpicc -o hello_pmem hello_pmem.c
 *	mpirun -n 4 ./hello_pmem pmem:/path/on/the/parallel/fs/hello.dat
 *
 * With "pmem:" before the name the data go to persistent memory; when the file is
 * closed they are also in /path/on/the/parallel/fs/hello.dat.  Without "pmem:" the
 * same program writes that file directly.  Nothing else differs.
 *
 * MPI promises that other ranks see a write only after MPI_File_sync.  Files on
 * pmem: promise more, as a local file system does: what was written before the
 * barrier is read after it.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT (256 * 1024) /* ints a rank: 1 MiB */

/* file calls return errors, unlike other MPI calls, which end the program */
static void try(int rc, const char *what)
{
	char text[MPI_MAX_ERROR_STRING];
	int len;

	if (rc == MPI_SUCCESS)
		return;
	MPI_Error_string(rc, text, &len);
	fprintf(stderr, "hello_pmem: %s: %s\n", what, text);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

static int value(int rank, int i)
{
	return rank * 1000000 + i;
}

int main(int argc, char **argv)
{
	int rank, nr_ranks, *buf;
	MPI_Offset size;
	MPI_File file;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &nr_ranks);
	buf = malloc(COUNT * sizeof(*buf));
	if (argc != 2 || !buf) {
		fprintf(stderr, "usage: hello_pmem FILE\n");
		MPI_Abort(MPI_COMM_WORLD, 2);
	}

	try(MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_RDWR | MPI_MODE_CREATE, MPI_INFO_NULL, &file), argv[1]);
	try(MPI_File_set_size(file, 0), "set_size"); /* in case it was there */

	for (int i = 0; i < COUNT; i++)
		buf[i] = value(rank, i);
	try(MPI_File_write_at(file, (MPI_Offset)rank * COUNT * 4, buf, COUNT, MPI_INT, MPI_STATUS_IGNORE), "write");

	MPI_Barrier(MPI_COMM_WORLD); /* all have written */

	try(MPI_File_get_size(file, &size), "get_size");
	if (size != (MPI_Offset)nr_ranks * COUNT * 4) {
		fprintf(stderr, "hello_pmem: rank %d sees a file of %lld bytes\n", rank, (long long)size);
		MPI_Abort(MPI_COMM_WORLD, 1);
	}
	for (int r = 0; r < nr_ranks; r++) {
		try(MPI_File_read_at(file, (MPI_Offset)r * COUNT * 4, buf, COUNT, MPI_INT, MPI_STATUS_IGNORE), "read");
		for (int i = 0; i < COUNT; i++)
			if (buf[i] != value(r, i)) {
				fprintf(stderr, "hello_pmem: rank %d reads %d where rank %d wrote %d\n", rank, buf[i], r,
					value(r, i));
				MPI_Abort(MPI_COMM_WORLD, 1);
			}
	}

	try(MPI_File_close(&file), "close"); /* now the data are on the file system */
	if (rank == 0)
		printf("%d ranks wrote %lld bytes to %s, and each read all of them\n", nr_ranks, (long long)size, argv[1]);
	free(buf);
	MPI_Finalize();
	return 0;
}
