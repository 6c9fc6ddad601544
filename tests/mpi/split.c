/*
 * split.c -- split collectives: work between begin and end, one at a time on each
 * handle, independent access allowed meanwhile, on two files at once
 */
#include "util.h"

#define PIECE 50021

static unsigned char buf[PIECE], other[PIECE], small[100];

static MPI_Offset at(int r, int round)
{
	return ((MPI_Offset)round * np + r) * PIECE;
}

static void write_rounds(MPI_File fh)
{
	MPI_Status st;

	for (int i = 0; i < 4; i++) {
		pat_fill(buf, PIECE, (uint64_t)at(me, i), 1);
		if (i % 2) {
			mpi(MPI_File_seek(fh, at(me, i), MPI_SEEK_SET));
			mpi(MPI_File_write_all_begin(fh, buf, PIECE, MPI_BYTE));
		} else {
			mpi(MPI_File_write_at_all_begin(fh, at(me, i), buf, PIECE, MPI_BYTE));
		}
		if (i) { /* independent access to what an earlier round wrote */
			mpi(MPI_File_read_at(fh, at((me + 1) % np, i - 1), small, 100, MPI_BYTE, MPI_STATUS_IGNORE));
			check_pat(small, 100, (uint64_t)at((me + 1) % np, i - 1), 1, "between begin and end");
		}
		if (i % 2)
			mpi(MPI_File_write_all_end(fh, buf, &st));
		else
			mpi(MPI_File_write_at_all_end(fh, buf, &st));
		check_bytes(&st, PIECE, "write ..._end");
		barrier();
	}
}

static void read_rounds(MPI_File fh)
{
	int from = (me + 2) % np;
	MPI_Status st;

	for (int i = 3; i >= 0; i--) {
		memset(buf, 0, PIECE);
		if (i % 2) {
			mpi(MPI_File_read_at_all_begin(fh, at(from, i), buf, PIECE, MPI_BYTE));
			mpi(MPI_File_read_at_all_end(fh, buf, &st));
		} else {
			mpi(MPI_File_seek(fh, at(from, i), MPI_SEEK_SET));
			mpi(MPI_File_read_all_begin(fh, buf, PIECE, MPI_BYTE));
			mpi(MPI_File_read_all_end(fh, buf, &st));
		}
		check_bytes(&st, PIECE, "read ..._end");
		check_pat(buf, PIECE, (uint64_t)at(from, i), 1, "split read");
	}
}

static void two_files(MPI_File fh)
{
	MPI_File second = open_file(MPI_COMM_WORLD, name(".2"), RDWR_NEW);

	pat_fill(buf, PIECE, (uint64_t)at(me, 0), 2);
	pat_fill(other, PIECE, (uint64_t)at(me, 0), 3);
	mpi(MPI_File_write_at_all_begin(fh, at(me, 0), buf, PIECE, MPI_BYTE));
	mpi(MPI_File_write_at_all_begin(second, at(me, 0), other, PIECE, MPI_BYTE));
	mpi(MPI_File_write_at_all_end(fh, buf, MPI_STATUS_IGNORE));
	mpi(MPI_File_write_at_all_end(second, other, MPI_STATUS_IGNORE));
	barrier();
	mpi(MPI_File_read_at(fh, at((me + 1) % np, 0), buf, PIECE, MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf, PIECE, (uint64_t)at((me + 1) % np, 0), 2, "first file");
	mpi(MPI_File_read_at(second, at((me + 1) % np, 0), buf, PIECE, MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf, PIECE, (uint64_t)at((me + 1) % np, 0), 3, "second file");
	mpi(MPI_File_close(&second));
}

/* a second begin, and an end without a begin, are errors and harm nothing */
static void misuse(MPI_File fh)
{
	MPI_Status st;

	pat_fill(buf, PIECE, (uint64_t)at(me, 1), 4);
	mpi(MPI_File_write_at_all_begin(fh, at(me, 1), buf, PIECE, MPI_BYTE));
	check(MPI_File_write_at_all_begin(fh, at(me, 2), buf, PIECE, MPI_BYTE) != MPI_SUCCESS, "a second begin succeeds");
	mpi(MPI_File_write_at_all_end(fh, buf, &st));
	check(MPI_File_write_at_all_end(fh, buf, &st) != MPI_SUCCESS, "an end without a begin succeeds");
	barrier();
	mpi(MPI_File_read_at(fh, at((me + 1) % np, 1), buf, PIECE, MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf, PIECE, (uint64_t)at((me + 1) % np, 1), 4, "after misuse");
}

int main(int argc, char **argv)
{
	MPI_File fh;

	test_init(&argc, &argv);
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	write_rounds(fh);
	read_rounds(fh);
	barrier();
	two_files(fh);
	barrier();
	if (ours || romio)
		misuse(fh);
	mpi(MPI_File_close(&fh));
	return test_end();
}
