/*
 * names.c -- opens each name it is given, writes and reads a few bytes, and prints
 * what happened; the shell compares that with an Open MPI without our component
 */
#include "util.h"

static void one(const char *url)
{
	char got[4] = "";
	MPI_File fh;
	int rc = MPI_File_open(MPI_COMM_WORLD, url, RDWR_NEW, MPI_INFO_NULL, &fh);

	if (rc != MPI_SUCCESS) {
		if (me == 0)
			printf("%s: error class %d\n", url, error_class(rc));
		return;
	}
	mpi(MPI_File_write_at(fh, 4 * me, "abcd", 4, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	mpi(MPI_File_read_at(fh, 4 * ((me + 1) % np), got, 4, MPI_BYTE, MPI_STATUS_IGNORE));
	check_same(got, "abcd", 4, 0, url);
	mpi(MPI_File_close(&fh));
	if (me == 0)
		printf("%s: good\n", url);
}

int main(int argc, char **argv)
{
	test_init(&argc, &argv);
	for (int i = 1; i < argc; i++)
		one(argv[i]);
	fflush(stdout);
	return test_end();
}
