/*
 * contig.c -- independent access at explicit offsets: pieces of many lengths at
 * odd offsets, within and across blocks (4 KiB) and chunks (1 MiB), read back by
 * other ranks in other pieces
 */
#include "util.h"

#define MIB (1 << 20)

static const size_t lengths[] = { 1, 7, 63, 64, 65, 511, 4095, 4096, 4097, 70001, 262144, MIB - 1, MIB, MIB + 1, 2 * MIB + 4099 };
#define NR (sizeof(lengths) / sizeof(lengths[0]))

static size_t total(void)
{
	size_t sum = 0;

	for (size_t i = 0; i < NR; i++)
		sum += lengths[i];
	return sum;
}

/* the pieces of all ranks follow each other: piece 0 of every rank, piece 1 of every rank, ... */
static void write_pieces(MPI_File fh, unsigned gen)
{
	unsigned char *buf = xmalloc(3 * MIB);
	MPI_Offset off = 0;
	MPI_Status st;

	for (size_t i = 0; i < NR; i++) {
		MPI_Offset at = off + (MPI_Offset)lengths[i] * me;

		pat_fill(buf + me, lengths[i], (uint64_t)at, gen);
		mpi(MPI_File_write_at(fh, at, buf + me, (int)lengths[i], MPI_BYTE, &st));
		check_bytes(&st, (int)lengths[i], "write_at");
		off += (MPI_Offset)lengths[i] * np;
	}
	free(buf);
}

/* all of it in steps that have nothing to do with the pieces written */
static void read_all_of_it(MPI_File fh, unsigned gen, size_t step)
{
	size_t size = total() * (size_t)np;
	unsigned char *buf = xmalloc(step);
	MPI_Status st;

	for (size_t off = 0; off < size; off += step) {
		size_t len = size - off < step ? size - off : step;

		mpi(MPI_File_read_at(fh, (MPI_Offset)off, buf, (int)len, MPI_BYTE, &st));
		check_bytes(&st, (int)len, "read_at");
		check_pat(buf, len, off, gen, "read_at");
	}
	free(buf);
}

/* overwrite a little in the middle of what is there: neighbours must stay */
static void overwrite(MPI_File fh)
{
	MPI_Offset spot[] = { 5, 4096, 65536 - 3, MIB - 2 };
	size_t size = total() * (size_t)np;
	unsigned char b[9], all[32];

	for (size_t i = 0; i < 4; i++) {
		MPI_Offset at = spot[i] + 13 * me;

		if ((size_t)at + sizeof(b) + 8 > size)
			continue;
		pat_fill(b, sizeof(b), (uint64_t)at, 7);
		mpi(MPI_File_write_at(fh, at, b, sizeof(b), MPI_BYTE, MPI_STATUS_IGNORE));
	}
	barrier();
	for (int r = 0; r < np; r++)
		for (size_t i = 0; i < 4; i++) {
			MPI_Offset at = spot[i] + 13 * r;

			if ((size_t)at + sizeof(b) + 8 > size)
				continue;
			mpi(MPI_File_read_at(fh, at - 2, all, 13, MPI_BYTE, MPI_STATUS_IGNORE));
			check_pat(all, 2, (uint64_t)at - 2, 2, "before the overwritten");
			check_pat(all + 2, 9, (uint64_t)at, 7, "overwritten");
			check_pat(all + 11, 2, (uint64_t)at + 9, 2, "after the overwritten");
		}
}

int main(int argc, char **argv)
{
	unsigned char *all;
	MPI_File fh;
	size_t len;

	test_init(&argc, &argv);
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	write_pieces(fh, 1);
	barrier();
	check_size(fh, (MPI_Offset)total() * np);
	read_all_of_it(fh, 1, 65537);
	barrier();
	write_pieces(fh, 2);
	barrier();
	read_all_of_it(fh, 2, MIB + 17);
	mpi(MPI_File_close(&fh));

	if (me == 0) {
		all = slurp(base, &len);
		check_int((long long)len, (long long)total() * np, "size after close");
		check_pat(all, len, 0, 2, "after close");
		free(all);
	}

	fh = open_file(MPI_COMM_WORLD, base, MPI_MODE_RDWR);
	read_all_of_it(fh, 2, 300007);
	barrier();
	overwrite(fh);
	mpi(MPI_File_close(&fh));
	return test_end();
}
