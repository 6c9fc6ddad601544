/*
 * sync.c -- hint pmem_sync=drain: what a sync returned for is in the plain file, while
 * the file stays open: data of all ranks, data written again, a file cut and grown
 *
 * With any further argument there is no hint: the name is one that `paths` selects.
 */
#include "util.h"

#define LEN 300000

static unsigned char buf[LEN];

static MPI_File open_syncing(bool hint)
{
	MPI_File fh;
	MPI_Info info;

	MPI_Info_create(&info);
	if (hint)
		MPI_Info_set(info, "pmem_sync", "drain");
	mpi(MPI_File_open(MPI_COMM_WORLD, base, RDWR_NEW, info, &fh));
	MPI_Info_free(&info);
	return fh;
}

static void sync_all(MPI_File fh)
{
	mpi(MPI_File_sync(fh));
	barrier(); /* all have */
}

/* `len` bytes of generation `gen`, then zeros up to `size` */
static void check_plain(size_t len, size_t size, unsigned gen, const char *what)
{
	size_t got;
	unsigned char *b = slurp(base, &got);

	check_int(got, size, what);
	check_pat(b, len, 0, gen, what);
	check_zero(b + len, size - len, len, what);
	free(b);
	barrier();
}

static void write_share(MPI_File fh, unsigned gen)
{
	MPI_Offset off = (MPI_Offset)me * LEN;

	pat_fill(buf, LEN, (uint64_t)off, gen);
	mpi(MPI_File_write_at(fh, off, buf, LEN, MPI_BYTE, MPI_STATUS_IGNORE));
	sync_all(fh);
}

int main(int argc, char **argv)
{
	size_t all;
	MPI_File fh;

	test_init(&argc, &argv);
	all = (size_t)np * LEN;
	fh = open_syncing(argc == 2);
	write_share(fh, 1);
	check_plain(all, all, 1, "after the first sync");
	write_share(fh, 2);
	check_plain(all, all, 2, "written again");

	mpi(MPI_File_set_size(fh, 1000));
	sync_all(fh);
	check_plain(1000, 1000, 2, "cut");
	mpi(MPI_File_set_size(fh, 70000));
	sync_all(fh);
	check_plain(1000, 70000, 2, "grown");

	write_share(fh, 3);
	mpi(MPI_File_close(&fh));
	check_plain(all, all, 3, "after the close");
	return test_end();
}
