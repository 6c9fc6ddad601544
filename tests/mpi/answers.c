/*
 * answers.c -- opens and deletes whose error class says all: no such file, file exists,
 * no such access mode.  answers.sh looks at what is printed.
 */
#include "util.h"

static void check_class(int rc, int want, const char *what)
{
	int class = MPI_SUCCESS;

	MPI_Error_class(rc, &class);
	check(class == want, "%s: class %d, should be %d", what, class, want);
}

static int open_with(int amode, MPI_File *fh)
{
	return MPI_File_open(MPI_COMM_WORLD, base, amode, MPI_INFO_NULL, fh);
}

int main(int argc, char **argv)
{
	MPI_File fh;

	test_init(&argc, &argv);
	if (me == 0)
		check_class(MPI_File_delete(base, MPI_INFO_NULL), MPI_ERR_NO_SUCH_FILE, "delete");
	barrier();
	check_class(open_with(MPI_MODE_RDONLY, &fh), MPI_ERR_NO_SUCH_FILE, "open");
	check_class(open_with(MPI_MODE_RDONLY | MPI_MODE_CREATE, &fh), MPI_ERR_AMODE, "mode");
	mpi(open_with(MPI_MODE_CREATE | MPI_MODE_RDWR | MPI_MODE_DELETE_ON_CLOSE, &fh));
	{
		MPI_File second;

		check_class(open_with(MPI_MODE_CREATE | MPI_MODE_EXCL | MPI_MODE_RDWR, &second),
			    MPI_ERR_FILE_EXISTS, "create");
	}
	mpi(MPI_File_close(&fh));
	return test_end();
}
