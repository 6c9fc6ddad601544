/*
 * atomic.c -- atomic mode: writes of the same bytes by all ranks do not mix, and a
 * reader sees one of them whole; contiguous and strided
 */
#include "util.h"

#define LEN (2 << 20) /* long enough that the ranks' copies do overlap in time */
#define START ((1 << 20) - 4321)
#define ROUNDS 20

static unsigned char buf[LEN];

static void check_uniform(const char *what)
{
	if (!memcmp(buf, buf + 1, LEN - 1))
		return;
	for (int i = 1; i < LEN; i++)
		check(buf[i] == buf[0], "%s: byte %d is of writer %d, byte 0 of writer %d", what, i, buf[i], buf[0]);
}

static void everybody_writes(MPI_File fh, MPI_Offset off, const char *what)
{
	for (int i = 0; i < ROUNDS; i++) {
		memset(buf, 1 + me, LEN);
		barrier();
		mpi(MPI_File_write_at(fh, off, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		barrier();
		mpi(MPI_File_read_at(fh, off, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		check_uniform(what);
		check(buf[0] >= 1 && buf[0] <= np, "%s: bytes are %d", what, buf[0]);
		barrier();
	}
}

/* rank 0 writes 1, 2, 3, ... while the others read */
static void one_writes(MPI_File fh, MPI_Offset off, const char *what)
{
	for (int i = 0; i < ROUNDS * 3; i++)
		if (me == 0) {
			memset(buf, 1 + i, LEN);
			mpi(MPI_File_write_at(fh, off, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		} else {
			mpi(MPI_File_read_at(fh, off, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
			check_uniform(what);
		}
	barrier();
}

static void strided_view(MPI_File fh)
{
	MPI_Datatype v, t;

	MPI_Type_contiguous(1000, MPI_BYTE, &v);
	MPI_Type_create_resized(v, 0, 3000, &t);
	MPI_Type_commit(&t);
	mpi(MPI_File_set_view(fh, START - 5000, MPI_BYTE, t, "native", MPI_INFO_NULL));
	MPI_Type_free(&v);
	MPI_Type_free(&t);
}

/* what is left must not depend on who was last */
static void leave_the_same(MPI_File fh)
{
	int flag;

	mpi(MPI_File_set_atomicity(fh, 0));
	mpi(MPI_File_get_atomicity(fh, &flag));
	check_int(flag, 0, "atomicity");
	mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	barrier();
	mpi(MPI_File_set_size(fh, 0));
}

int main(int argc, char **argv)
{
	MPI_File fh;
	int flag = -1;

	test_init(&argc, &argv);
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	mpi(MPI_File_get_atomicity(fh, &flag));
	check_int(flag, 0, "atomicity of a new handle");
	mpi(MPI_File_set_atomicity(fh, 1));
	mpi(MPI_File_get_atomicity(fh, &flag));
	check_int(flag, 1, "atomicity");

	memset(buf, 1, LEN);
	if (me == 0)
		mpi(MPI_File_write_at(fh, START, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	everybody_writes(fh, START, "contiguous");
	one_writes(fh, START, "contiguous, read meanwhile");

	strided_view(fh);
	memset(buf, 1, LEN);
	if (me == 0)
		mpi(MPI_File_write_at(fh, 0, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	everybody_writes(fh, 0, "strided");
	one_writes(fh, 0, "strided, read meanwhile");
	leave_the_same(fh);
	mpi(MPI_File_close(&fh));
	return test_end();
}
