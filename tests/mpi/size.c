/*
 * size.c -- set_size, preallocate, get_size: seen by all ranks; what grows is zero,
 * what was cut off does not come back
 */
#include "util.h"

#define MIB (1 << 20)

static void check_range(MPI_File fh, MPI_Offset off, size_t len, unsigned gen, const char *what)
{
	unsigned char *buf = xmalloc(len);
	MPI_Status st;

	mpi(MPI_File_read_at(fh, off, buf, (int)len, MPI_BYTE, &st));
	check_bytes(&st, (int)len, what);
	if (gen)
		check_pat(buf, len, (uint64_t)off, gen, what);
	else
		check_zero(buf, len, (uint64_t)off, what);
	free(buf);
}

static void write_range(MPI_File fh, MPI_Offset off, size_t len, unsigned gen)
{
	unsigned char *buf = xmalloc(len);

	pat_fill(buf, len, (uint64_t)off, gen);
	mpi(MPI_File_write_at(fh, off, buf, (int)len, MPI_BYTE, MPI_STATUS_IGNORE));
	free(buf);
}

static void set_size(MPI_File fh, MPI_Offset size)
{
	barrier();
	mpi(MPI_File_set_size(fh, size));
	check_size(fh, size); /* before any barrier: set_size is collective */
	barrier();
}

/* each length is cut in the middle of a block, at a block, at a chunk */
static void shrink_and_grow(MPI_File fh)
{
	static const MPI_Offset cut[] = { 3 * MIB + 7, 2 * MIB, MIB + 4096, MIB + 100, MIB, 70000, 4096, 1, 0 };
	const MPI_Offset full = 4 * MIB + 9;

	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		if (me == (int)i % np)
			write_range(fh, 0, (size_t)full, 1 + (unsigned)i);
		barrier();
		check_size(fh, full);
		set_size(fh, cut[i]);
		set_size(fh, full);
		check_range(fh, 0, (size_t)cut[i], 1 + (unsigned)i, "kept by shrinking");
		check_range(fh, cut[i], (size_t)(full - cut[i]), 0, "grown after shrinking");
		barrier();
	}
}

/* a write past the end after shrinking: the hole must be zero as well */
static void write_past_the_end(MPI_File fh)
{
	if (me == 0)
		write_range(fh, 0, 2 * MIB, 20);
	set_size(fh, 1000);
	if (me == np - 1)
		write_range(fh, 2 * MIB - 50, 50, 21);
	barrier();
	check_size(fh, 2 * MIB);
	check_range(fh, 0, 1000, 20, "kept");
	check_range(fh, 1000, 2 * MIB - 1050, 0, "hole after shrinking");
	check_range(fh, 2 * MIB - 50, 50, 21, "past the hole");
	barrier();
}

/* the same across a close, so that the file on the file system is what is cut */
static void reopened(MPI_File *fh)
{
	mpi(MPI_File_close(fh));
	*fh = open_file(MPI_COMM_WORLD, base, MPI_MODE_RDWR);
	check_size(*fh, 2 * MIB);
	set_size(*fh, 500);
	set_size(*fh, MIB + 3);
	check_range(*fh, 0, 500, 20, "kept after a close");
	check_range(*fh, 500, MIB + 3 - 500, 0, "grown after a close");
	mpi(MPI_File_close(fh));
	*fh = open_file(MPI_COMM_WORLD, base, MPI_MODE_RDWR);
	check_size(*fh, MIB + 3);
	check_range(*fh, 0, 500, 20, "kept after two closes");
	check_range(*fh, 500, MIB + 3 - 500, 0, "grown after two closes");
}

/* preallocate never shrinks, and changes no data */
static void preallocate(MPI_File fh)
{
	barrier();
	if (me == 0)
		write_range(fh, 0, MIB + 3, 30);
	barrier();
	mpi(MPI_File_preallocate(fh, 1000));
	check_size(fh, MIB + 3);
	check_range(fh, 0, MIB + 3, 30, "after a small preallocate");
	barrier();
	mpi(MPI_File_preallocate(fh, 3 * MIB + 11));
	check_size(fh, 3 * MIB + 11);
	check_range(fh, 0, MIB + 3, 30, "after a large preallocate");
	check_range(fh, MIB + 3, 2 * MIB + 8, 0, "preallocated");
	barrier();
}

/* the size follows writes of every rank at once; no sync, a barrier only */
static void follows_writes(MPI_File fh)
{
	char c = 'x';

	set_size(fh, 0);
	barrier();
	for (int i = 1; i <= 20; i++) {
		if (me == i % np)
			mpi(MPI_File_write_at(fh, i * 12345 - 1, &c, 1, MPI_BYTE, MPI_STATUS_IGNORE));
		barrier();
		check_size(fh, i * 12345);
		barrier();
	}
	/* all at once: the highest wins */
	mpi(MPI_File_write_at(fh, 1000000 - 10 * me, &c, 1, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	check_size(fh, 1000001);
	barrier();
}

/* each rank makes it longer in a chunk of its own several times in a row, and need not tell others each time; then it is cut */
static void grows_in_turn(MPI_File fh)
{
	set_size(fh, 0);
	for (int r = 0; r < np; r++) {
		MPI_Offset start = (MPI_Offset)r * MIB;

		for (int i = 1; i <= 6; i++) {
			if (me == r)
				write_range(fh, start + (i - 1) * 1000, 1000, 40 + (unsigned)r);
			barrier();
			check_size(fh, start + i * 1000);
			check_range(fh, start, (size_t)i * 1000, 40 + (unsigned)r, "grown");
			barrier();
		}
	}
	set_size(fh, 5000);
	set_size(fh, (MPI_Offset)np * MIB);
	check_range(fh, 5000, (size_t)((MPI_Offset)np * MIB - 5000), 0, "cut while it grew");
	barrier();
	if (me == np - 1)
		write_range(fh, (MPI_Offset)np * MIB - 10, 20, 60);
	barrier();
	check_size(fh, (MPI_Offset)np * MIB + 10);
	barrier();
}

static void bad_arguments(MPI_File fh)
{
	check(MPI_File_set_size(fh, -1) != MPI_SUCCESS, "set_size(-1) succeeds");
	check(MPI_File_preallocate(fh, -1) != MPI_SUCCESS, "preallocate(-1) succeeds");
	check_size(fh, 1000001);
}

int main(int argc, char **argv)
{
	MPI_File fh;

	test_init(&argc, &argv);
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	check_size(fh, 0);
	barrier();
	shrink_and_grow(fh);
	write_past_the_end(fh);
	reopened(&fh);
	preallocate(fh);
	grows_in_turn(fh);
	follows_writes(fh);
	bad_arguments(fh);
	mpi(MPI_File_close(&fh));
	return test_end();
}
