/*
 * visible.c -- what one rank wrote all ranks read, with a barrier or a message
 * between and no sync: within blocks and lines that many ranks share, overwritten
 * again and again, through second handles on MPI_COMM_SELF and on parts of the ranks
 */
#include "util.h"

#define LEN (3 * 4096 + 100)

static unsigned char buf[LEN * 4];

static void write_at(MPI_File fh, MPI_Offset off, const void *b, int len)
{
	mpi(MPI_File_write_at(fh, off, b, len, MPI_BYTE, MPI_STATUS_IGNORE));
}

static void read_at(MPI_File fh, MPI_Offset off, void *b, int len)
{
	MPI_Status st;

	mpi(MPI_File_read_at(fh, off, b, len, MPI_BYTE, &st));
	check_bytes(&st, len, "read_at");
}

/* every rank writes each np-th piece of a few blocks, at the same time; one byte, one line, one page */
static void interleaved(MPI_File fh)
{
	static const int pieces[] = { 1, 3, 8, 64, 100, 4096 };
	unsigned gen = 1;

	for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++, gen++) {
		int len = pieces[p], step = len < 8 ? 997 : 1; /* not every byte: it takes long */

		for (int k = me; (k * step + 1) * len <= LEN; k += np) {
			pat_fill(buf, (size_t)len, (uint64_t)k * (uint64_t)(step * len), gen);
			write_at(fh, (MPI_Offset)k * step * len, buf, len);
		}
		barrier();
		for (int k = 0; (k * step + 1) * len <= LEN; k++) {
			read_at(fh, (MPI_Offset)k * step * len, buf, len);
			check_pat(buf, (size_t)len, (uint64_t)k * (uint64_t)(step * len), gen, "interleaved");
		}
		barrier();
	}
}

/* bytes of one line, all ranks at once, nobody may lose a neighbour's */
static void one_line(MPI_File fh)
{
	for (unsigned gen = 10; gen < 210; gen++) {
		pat_fill(buf, 1, 20000 + (uint64_t)me, gen);
		write_at(fh, 20000 + me, buf, 1);
		barrier();
		read_at(fh, 20000, buf, np);
		check_pat(buf, (size_t)np, 20000, gen, "bytes of one line");
		barrier();
	}
}

/* rank 0 fills, the others put data over it, as HDF5 does with fill values */
static void overwritten(MPI_File fh)
{
	MPI_Offset start = 30000;

	for (unsigned gen = 1; gen <= 50; gen++) {
		int filler = (int)gen % np;

		if (me == filler) {
			memset(buf, 0, (size_t)(LEN / 4 * np));
			write_at(fh, start, buf, LEN / 4 * np);
		}
		barrier();
		pat_fill(buf, LEN / 4, (uint64_t)(start + me * (LEN / 4)), gen);
		write_at(fh, start + me * (LEN / 4), buf, LEN / 4);
		barrier();
		read_at(fh, start, buf, LEN / 4 * np);
		check_pat(buf, (size_t)(LEN / 4 * np), (uint64_t)start, gen, "overwritten");
		barrier();
	}
}

/* a token goes round: each rank checks what the one before wrote, then writes the same bytes */
static void ring(MPI_File fh)
{
	MPI_Offset at = 100000;
	int token = 0;

	if (np == 1)
		return;
	for (int lap = 0; lap < 30; lap++) {
		int turn = lap * np + me;

		if (turn > 0) {
			mpi(MPI_Recv(&token, 1, MPI_INT, (me + np - 1) % np, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE));
			check_int(token, turn, "token");
			read_at(fh, at, buf, 5000);
			check_pat(buf, 5000, (uint64_t)at, (unsigned)turn, "after a message");
			check_size(fh, at + 5000 + turn - 1);
		}
		pat_fill(buf, 5001, (uint64_t)at, (unsigned)turn + 1);
		write_at(fh, at + 5000 + turn, buf, 0);
		write_at(fh, at, buf, 5000);
		if (turn > 0)
			write_at(fh, at + 5000 + turn - 1, buf, 1);
		token = turn + 1;
		if (turn < 30 * np - 1)
			mpi(MPI_Send(&token, 1, MPI_INT, (me + 1) % np, 1, MPI_COMM_WORLD));
	}
	barrier();
}

/* data already on the file system: one rank changes bytes of a block, another reads the rest of it */
static void partly_on_disk(void)
{
	const char *url = name(".old");
	MPI_File fh;
	int fd;

	pat_fill(buf, LEN * 4, 0, 1);
	if (me == 0) {
		fd = open(path(url), O_WRONLY | O_CREAT | O_TRUNC, 0666);
		check(fd >= 0 && write(fd, buf, LEN * 4) == LEN * 4, "%s: %s", path(url), strerror(errno));
		close(fd);
	}
	barrier();
	fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDWR);
	pat_fill(buf, 10, 5000 + 20 * (uint64_t)me, 2);
	write_at(fh, 5000 + 20 * me, buf, 10);
	barrier();
	read_at(fh, 0, buf, LEN * 4);
	for (int r = 0; r < np; r++) {
		check_pat(buf + 5000 + 20 * r, 10, 5000 + 20 * (uint64_t)r, 2, "changed");
		pat_fill(buf + 5000 + 20 * r, 10, 5000 + 20 * (uint64_t)r, 1);
	}
	check_pat(buf, LEN * 4, 0, 1, "not changed");
	mpi(MPI_File_close(&fh));
}

/* each rank opens the file a second time, alone, while the first handle is open */
static void second_handle(MPI_File fh)
{
	MPI_Offset at = 300000 + 7000 * (MPI_Offset)me, next = 300000 + 7000 * (MPI_Offset)((me + 1) % np);

	for (unsigned gen = 1; gen <= 5; gen++) {
		MPI_File self = open_file(MPI_COMM_SELF, base, RDWR_NEW); /* CREATE again: nothing is lost */

		pat_fill(buf, 7000, (uint64_t)at, gen);
		write_at(self, at, buf, 7000);
		read_at(fh, at, buf, 7000);
		check_pat(buf, 7000, (uint64_t)at, gen, "written alone, read by the shared handle");
		pat_fill(buf, 100, (uint64_t)at, gen + 50);
		write_at(fh, at, buf, 100);
		read_at(self, at, buf, 100);
		check_pat(buf, 100, (uint64_t)at, gen + 50, "written by the shared handle, read alone");
		if (gen % 2)
			mpi(MPI_File_close(&self)); /* before the others read */
		barrier();
		read_at(fh, next, buf, 7000);
		check_pat(buf, 100, (uint64_t)next, gen + 50, "written by both");
		check_pat(buf + 100, 6900, (uint64_t)next + 100, gen, "written alone by the next rank");
		barrier();
		if (gen % 2 == 0)
			mpi(MPI_File_close(&self));
	}
	barrier();
	check_size(fh, 300000 + 7000 * np);
	barrier();
}

/* the size that one handle sets is the size of the other */
static void second_handle_size(MPI_File fh)
{
	MPI_File self;

	if (me == np - 1) {
		self = open_file(MPI_COMM_SELF, base, MPI_MODE_RDWR);
		mpi(MPI_File_set_size(self, 305000));
		mpi(MPI_File_close(&self));
	}
	barrier();
	check_size(fh, 305000);
	barrier();
}

/* two halves of the ranks open it apart; the half that closes first drains nothing away */
static void halves(void)
{
	const char *url = name(".halves");
	unsigned char *all;
	MPI_Comm half;
	MPI_File fh;
	size_t len;

	MPI_Comm_split(MPI_COMM_WORLD, me % 2, me, &half);
	fh = open_file(half, url, RDWR_NEW);
	barrier();
	pat_fill(buf, 3000, 3000 * (uint64_t)me, 1);
	write_at(fh, 3000 * me, buf, 3000);
	barrier();
	if (me % 2)
		mpi(MPI_File_close(&fh));
	barrier();
	if (me % 2 == 0) { /* on what the others wrote and closed */
		pat_fill(buf, 50, 3000 * (uint64_t)((me + 1) % np) + 10, 2);
		write_at(fh, 3000 * ((me + 1) % np) + 10, buf, 50);
		mpi(MPI_File_close(&fh));
	}
	barrier();
	all = slurp(url, &len);
	check_int((long long)len, 3000 * np, "size after the last close");
	for (int r = 0; r < np; r++) {
		bool twice = r % 2 || (r == 0 && np % 2); /* the rank before is even */

		check_pat(all + 3000 * r, 10, 3000 * (uint64_t)r, 1, "after the last close");
		check_pat(all + 3000 * r + 10, 50, 3000 * (uint64_t)r + 10, twice ? 2 : 1, "after the last close");
		check_pat(all + 3000 * r + 60, 2940, 3000 * (uint64_t)r + 60, 1, "after the last close");
	}
	free(all);
	MPI_Comm_free(&half);
	barrier();
}

/*
 * one after the other, on whatever node: open for writing, also so long that other pools are told of it, and
 * nothing is written: after the close nothing keeps the next one out
 */
static void unwritten(void)
{
	const char *url = name(".unwritten");
	MPI_File fh;

	for (int turn = 0; turn < 60; turn++) {
		bool all = turn % 10 != 0;

		if (all || turn / 10 % np == me) {
			fh = open_file(all ? MPI_COMM_WORLD : MPI_COMM_SELF, url, RDWR_NEW);
			usleep(all ? 0 : 60000);
			mpi(MPI_File_close(&fh));
		}
		barrier();
		fh = open_file(MPI_COMM_SELF, url, MPI_MODE_RDONLY);
		check_size(fh, 0);
		mpi(MPI_File_close(&fh));
		barrier();
	}
}

/* the last close leaves the file whole for programs that know nothing of pmem: */
static void drained(void)
{
	size_t len;
	unsigned char *all = slurp(base, &len);

	check_int((long long)len, 305000, "size after close");
	check_pat(all + 30000, (size_t)(LEN / 4 * np), 30000, 50, "after close");
	free(all);
}

int main(int argc, char **argv)
{
	MPI_File fh;

	test_init(&argc, &argv);
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	interleaved(fh);
	one_line(fh);
	overwritten(fh);
	ring(fh);
	partly_on_disk();
	second_handle(fh);
	second_handle_size(fh);
	mpi(MPI_File_close(&fh));
	barrier();
	drained();
	halves();
	unwritten();
	return test_end();
}
