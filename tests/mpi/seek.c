/*
 * seek.c -- individual file pointers: each rank has its own; seek, position and
 * byte offset in etypes of the view; read and write move it by what was transferred
 */
#include "util.h"

#define N 3000 /* ints a rank */

static int value(int rank, int i, int gen)
{
	return rank * 1000003 + i * 17 + gen;
}

static MPI_Offset position(MPI_File fh)
{
	MPI_Offset off;

	mpi(MPI_File_get_position(fh, &off));
	return off;
}

/* a byte view with a displacement: the rank's part follows the others' parts */
static void parts(MPI_File fh)
{
	MPI_Offset byte;
	int v[N];

	mpi(MPI_File_set_view(fh, (MPI_Offset)me * N * 4, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	check_int(position(fh), 0, "position after set_view");
	for (int i = 0; i < N; i++)
		v[i] = value(me, i, 1);
	for (int i = 0, n; i < N; i += n) { /* pieces of growing length */
		n = i / 2 + 1 < N - i ? i / 2 + 1 : N - i;
		mpi(MPI_File_write(fh, v + i, n, MPI_INT, MPI_STATUS_IGNORE));
		check_int(position(fh), i + n, "position after write");
	}
	mpi(MPI_File_get_byte_offset(fh, position(fh), &byte));
	check_int(byte, ((long long)me + 1) * N * 4, "byte offset");
}

/* read the next rank's part from its end to its start with SEEK_CUR and SEEK_END */
static void backwards(MPI_File fh)
{
	int next = (me + 1) % np, v[100];

	mpi(MPI_File_set_view(fh, 0, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	mpi(MPI_File_seek(fh, -(MPI_Offset)(np - next - 1) * N, MPI_SEEK_END));
	check_int(position(fh), ((long long)next + 1) * N, "position after SEEK_END");
	for (int i = N - 100; i >= 0; i -= 100) {
		mpi(MPI_File_seek(fh, i == N - 100 ? -100 : -200, MPI_SEEK_CUR));
		mpi(MPI_File_read(fh, v, 100, MPI_INT, MPI_STATUS_IGNORE));
		for (int k = 0; k < 100; k++)
			check_int(v[k], value(next, i + k, 1), "int read backwards");
	}
}

/* explicit offsets leave the pointer alone; a short read moves it to the end only */
static void pointer_moves(MPI_File fh)
{
	MPI_Status st;
	int v[8];

	mpi(MPI_File_seek(fh, 5, MPI_SEEK_SET));
	mpi(MPI_File_read_at(fh, 100, v, 8, MPI_INT, MPI_STATUS_IGNORE));
	check_int(position(fh), 5, "position after read_at");
	mpi(MPI_File_seek(fh, -3, MPI_SEEK_END));
	mpi(MPI_File_read(fh, v, 8, MPI_INT, &st));
	check_bytes(&st, 12, "read across the end");
	for (int k = 0; k < 3; k++)
		check_int(v[k], value(np - 1, N - 3 + k, 1), "int before the end");
	if (ours)
		check_int(position(fh), (long long)np * N, "position after a short read");
	check(MPI_File_seek(fh, -1, MPI_SEEK_SET) != MPI_SUCCESS, "a seek before the start succeeds");
}

/* collective calls with individual pointers, each rank elsewhere */
static void collective(MPI_File fh)
{
	int prev = (me + np - 1) % np, v[N];

	mpi(MPI_File_seek(fh, (MPI_Offset)prev * N, MPI_SEEK_SET));
	for (int i = 0; i < N; i++)
		v[i] = value(prev, i, 2);
	mpi(MPI_File_write_all(fh, v, N / 2, MPI_INT, MPI_STATUS_IGNORE));
	mpi(MPI_File_write_all(fh, v + N / 2, N - N / 2, MPI_INT, MPI_STATUS_IGNORE));
	check_int(position(fh), ((long long)prev + 1) * N, "position after write_all");
	barrier();
	mpi(MPI_File_seek(fh, (MPI_Offset)me * N, MPI_SEEK_SET));
	mpi(MPI_File_read_all(fh, v, N, MPI_INT, MPI_STATUS_IGNORE));
	for (int i = 0; i < N; i++)
		check_int(v[i], value(me, i, 2), "int read with read_all");
}

/* a header by the individual pointer, then a view behind it: the pointer is at the view's start */
static void header_then_view(void)
{
	char file[4096], c[20];
	MPI_File fh;

	snprintf(file, sizeof(file), "%s.header", base);
	fh = open_file(MPI_COMM_WORLD, file, RDWR_NEW);
	if (me == 0)
		mpi(MPI_File_write(fh, "HHHHHHHHHHHHHHHH", 16, MPI_CHAR, MPI_STATUS_IGNORE));
	mpi(MPI_File_set_view(fh, 16, MPI_CHAR, MPI_CHAR, "native", MPI_INFO_NULL));
	check_int(position(fh), 0, "position after set_view");
	if (me == 0)
		mpi(MPI_File_write(fh, "DDDD", 4, MPI_CHAR, MPI_STATUS_IGNORE));
	barrier();
	check_size(fh, 20);
	mpi(MPI_File_set_view(fh, 0, MPI_CHAR, MPI_CHAR, "native", MPI_INFO_NULL));
	mpi(MPI_File_read(fh, c, 20, MPI_CHAR, MPI_STATUS_IGNORE));
	check(memcmp(c, "HHHHHHHHHHHHHHHHDDDD", 20) == 0, "header and data are not where they should be");
	mpi(MPI_File_close(&fh));
}

/* the end of a file that ends before the view begins is the view's start */
static void end_before_view(void)
{
	char file[4096];
	MPI_File fh;

	snprintf(file, sizeof(file), "%s.short", base);
	fh = open_file(MPI_COMM_WORLD, file, RDWR_NEW);
	if (me == 0)
		mpi(MPI_File_write_at(fh, 0, "0123456789", 10, MPI_CHAR, MPI_STATUS_IGNORE));
	barrier();
	mpi(MPI_File_set_view(fh, 100, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	if (ours) { /* ROMIO counts below 0 */
		mpi(MPI_File_seek(fh, 3, MPI_SEEK_END));
		check_int(position(fh), 3, "position after SEEK_END");
		mpi(MPI_File_seek_shared(fh, 2, MPI_SEEK_END));
	}
	mpi(MPI_File_close(&fh));
}

int main(int argc, char **argv)
{
	MPI_File fh;

	test_init(&argc, &argv);
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	check_int(position(fh), 0, "position after open");
	parts(fh);
	barrier();
	backwards(fh);
	pointer_moves(fh);
	barrier();
	collective(fh);
	mpi(MPI_File_close(&fh));
	header_then_view();
	end_before_view();
	return test_end();
}
