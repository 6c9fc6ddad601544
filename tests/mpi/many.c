/*
 * many.c -- 200 files open at once, several handles of one file, and open-close of
 * one file many times
 */
#include "util.h"

#define NR 200
#define LEN 3000

static unsigned char buf[LEN];

static MPI_Offset at(int r)
{
	return (MPI_Offset)r * LEN;
}

static void many_files(void)
{
	static MPI_File fh[NR];

	for (int i = 0; i < NR; i++)
		fh[i] = open_file(MPI_COMM_WORLD, name(".%d", i), RDWR_NEW);
	for (int i = 0; i < NR; i++) {
		pat_fill(buf, LEN, (uint64_t)at(me), (unsigned)i);
		mpi(MPI_File_write_at(fh[i], at(me), buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
	}
	barrier();
	for (int i = NR - 1; i >= 0; i--) {
		int from = (me + 1) % np;

		mpi(MPI_File_read_at(fh[i], at(from), buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(buf, LEN, (uint64_t)at(from), (unsigned)i, "one of many files");
	}
	for (int i = 0; i < NR; i++) /* not in the order of opening */
		mpi(MPI_File_close(&fh[i * 7 % NR]));
	if (me == 0)
		for (int i = 0; i < NR; i++) {
			size_t len;
			unsigned char *all = slurp(name(".%d", i), &len);

			check_int((long long)len, at(np), "size after close");
			check_pat(all, len, 0, (unsigned)i, "one of many files after close");
			free(all);
		}
	barrier();
}

/* handles of one file, each with its own view, pointer and mode */
static void many_handles(void)
{
	MPI_File a = open_file(MPI_COMM_WORLD, name(".h"), RDWR_NEW);
	MPI_File b = open_file(MPI_COMM_WORLD, name(".h"), MPI_MODE_RDONLY);
	MPI_File c = open_file(MPI_COMM_SELF, name(".h"), MPI_MODE_WRONLY);
	int v = 7, got = 0;
	MPI_Offset pos;

	mpi(MPI_File_set_view(a, 4 * me, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	mpi(MPI_File_set_view(c, 4000, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	v = 100 + me;
	mpi(MPI_File_write(a, &v, 1, MPI_INT, MPI_STATUS_IGNORE));
	v = 200 + me;
	mpi(MPI_File_write_at(c, me, &v, 1, MPI_INT, MPI_STATUS_IGNORE));
	mpi(MPI_File_get_position(c, &pos));
	check_int(pos, 0, "position of another handle");
	mpi(MPI_File_close(&a)); /* the first one goes first */
	barrier();
	for (int r = 0; r < np; r++) {
		mpi(MPI_File_read_at(b, 4 * r, &got, 4, MPI_BYTE, MPI_STATUS_IGNORE));
		check_int(got, 100 + r, "int written by a closed handle");
	}
	barrier();
	mpi(MPI_File_close(&c));
	barrier();
	for (int r = 0; r < np; r++) {
		mpi(MPI_File_read_at(b, 4000 + 4 * r, &got, 4, MPI_BYTE, MPI_STATUS_IGNORE));
		check_int(got, 200 + r, "int written on MPI_COMM_SELF");
	}
	mpi(MPI_File_close(&b));
}

static void again_and_again(void)
{
	for (int i = 0; i < 50; i++) {
		MPI_File fh = open_file(MPI_COMM_WORLD, name(".again"), RDWR_NEW);
		int v = 1000 * i + me, got;

		check_size(fh, i ? 4 * np : 0);
		if (i) {
			mpi(MPI_File_read_at(fh, 4 * ((me + i) % np), &got, 4, MPI_BYTE, MPI_STATUS_IGNORE));
			check_int(got, 1000 * (i - 1) + (me + i) % np, "int of the last time");
		}
		barrier();
		mpi(MPI_File_write_at_all(fh, 4 * me, &v, 4, MPI_BYTE, MPI_STATUS_IGNORE));
		mpi(MPI_File_close(&fh));
	}
}

int main(int argc, char **argv)
{
	test_init(&argc, &argv);
	many_files();
	many_handles();
	again_and_again();
	return test_end();
}
