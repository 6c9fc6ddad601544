/*
 * coll.c -- collective access without a view: unequal shares, ranks without any,
 * holes between, more than one chunk a rank, overwriting, reading elsewhere.  Not
 * with romio321: its two-phase write leaves what was in its buffer in new holes
 */
#include "util.h"

#define MIB (1 << 20)
#define ROUNDS 6

/* rank r's share in a round; some are empty, one round has only one writer */
static size_t share(int r, int round)
{
	if (round == 4)
		return r == np - 1 ? 2 * MIB + 5 : 0;
	if (round == 5)
		return 0; /* nobody */
	return (size_t)((r + round) % 3) * (MIB / 2 + 333 * (size_t)round) + (size_t)round;
}

static size_t hole(int round)
{
	return round % 2 ? 5000 : 0;
}

/* where it lies; in odd rounds ranks are in the other order, with holes */
static MPI_Offset where(int rank, int round)
{
	size_t off = 0;

	for (int k = 0; k < round; k++)
		for (int r = 0; r < np; r++)
			off += share(r, k) + hole(k);
	for (int r = 0; r < np; r++)
		if (round % 2 ? r > rank : r < rank)
			off += share(r, round) + hole(round);
	return (MPI_Offset)off;
}

static void write_round(MPI_File fh, int round, unsigned gen)
{
	size_t len = share(me, round);
	unsigned char *buf = xmalloc(len);
	MPI_Status st;

	pat_fill(buf, len, (uint64_t)where(me, round), gen);
	if (round % 2) {
		mpi(MPI_File_seek(fh, where(me, round), MPI_SEEK_SET));
		mpi(MPI_File_write_all(fh, buf, (int)len, MPI_BYTE, &st));
	} else {
		mpi(MPI_File_write_at_all(fh, where(me, round), buf, (int)len, MPI_BYTE, &st));
	}
	check_bytes(&st, (int)len, "collective write");
	free(buf);
}

/* everybody reads what rank `from` + own rank wrote; the hole after it is zero */
static void read_round(MPI_File fh, int round, unsigned gen, int from, bool collective)
{
	int r = (me + from) % np;
	size_t len = share(r, round), more = 0;
	MPI_Offset at = where(r, round);
	MPI_Offset size;
	unsigned char *buf;
	MPI_Status st;

	mpi(MPI_File_get_size(fh, &size));
	if (at + (MPI_Offset)len + (MPI_Offset)hole(round) <= size)
		more = hole(round);
	buf = xmalloc(len + more);
	memset(buf, 0xa5, len + more);
	if (collective)
		mpi(MPI_File_read_at_all(fh, at, buf, (int)(len + more), MPI_BYTE, &st));
	else
		mpi(MPI_File_read_at(fh, at, buf, (int)(len + more), MPI_BYTE, &st));
	check_bytes(&st, (int)(len + more), collective ? "collective read" : "independent read");
	check_pat(buf, len, (uint64_t)at, gen, "collectively written");
	check_zero(buf + len, more, (uint64_t)at + len, "hole");
	free(buf);
}

int main(int argc, char **argv)
{
	MPI_File fh;

	test_init(&argc, &argv);
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	for (unsigned gen = 1; gen <= 2; gen++)
		for (int round = 0; round < ROUNDS; round++) {
			write_round(fh, round, gen);
			barrier();
			read_round(fh, round, gen, 1, false);
			read_round(fh, round, gen, 2, true);
			barrier();
		}
	mpi(MPI_File_close(&fh));

	fh = open_file(MPI_COMM_WORLD, base, MPI_MODE_RDONLY);
	for (int round = 0; round < ROUNDS; round++)
		read_round(fh, round, 2, 3, round % 2);
	mpi(MPI_File_close(&fh));
	return test_end();
}
