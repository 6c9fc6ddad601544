/*
 * nospace.c -- nospace FILE: pool and file system are full; the call that finds no
 * room says so, and everything else goes on.  The file system has room for some MiB.
 */
#include "util.h"

#define MIB (1 << 20)
#define MANY 64 /* MiB that each rank tries to write */

static unsigned char buf[MIB];

static MPI_Offset at(int i, int r)
{
	return ((MPI_Offset)i * np + r) * MIB;
}

/* pieces written before the first that fails */
static int write_until_full(MPI_File fh, bool collective)
{
	int written = MANY, rc;

	for (int i = 0; i < MANY; i++) {
		pat_fill(buf, MIB, (uint64_t)at(i, me), 1);
		rc = collective ? MPI_File_write_at_all(fh, at(i, me), buf, MIB, MPI_BYTE, MPI_STATUS_IGNORE)
				: MPI_File_write_at(fh, at(i, me), buf, MIB, MPI_BYTE, MPI_STATUS_IGNORE);
		if (rc == MPI_SUCCESS)
			continue;
		check_int(error_class(rc), MPI_ERR_NO_SPACE, "error class of a write without room");
		if (i < written)
			written = i;
		if (!collective)
			break;
	}
	return written;
}

static void check_written(MPI_File fh, int written)
{
	for (int i = 0; i < written; i++) {
		mpi(MPI_File_read_at(fh, at(i, me), buf, MIB, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(buf, MIB, (uint64_t)at(i, me), 1, "written before there was no room");
	}
}

int main(int argc, char **argv)
{
	test_init(&argc, &argv);
	for (int collective = 0; collective < 2; collective++) {
		MPI_File fh = open_file(MPI_COMM_WORLD, name(".%d", collective), RDWR_NEW);
		int written = write_until_full(fh, collective);

		check(written < MANY, "rank %d wrote everything: there was room", me);
		check_written(fh, written);
		barrier();
		/* room again, and the file is as good as new */
		mpi(MPI_File_set_size(fh, 0));
		check_size(fh, 0);
		barrier();
		pat_fill(buf, 1000, 1000 * (uint64_t)me, 2);
		mpi(MPI_File_write_at_all(fh, 1000 * me, buf, 1000, MPI_BYTE, MPI_STATUS_IGNORE));
		barrier();
		mpi(MPI_File_read_at(fh, 1000 * ((me + 1) % np), buf, 1000, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(buf, 1000, 1000 * (uint64_t)((me + 1) % np), 2, "written when there was room again");
		mpi(MPI_File_close(&fh));
	}
	return test_end();
}
