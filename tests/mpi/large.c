/*
 * large.c -- offsets beyond 2^31, 2^32 and 2^40 in a sparse file: data are where they
 * should be and the holes between are not filled up, neither in the pool nor after
 */
#include "util.h"

#define SPOT 5000

static MPI_Offset spots[] = {
	100, (1ll << 31) - 1234, (1ll << 32) - 17, (1ll << 33) + 4095, (1ll << 40) - 1000, (1ll << 40) + (1 << 20) - 2500,
};
#define NR (sizeof(spots) / sizeof(spots[0]))

static unsigned char buf[SPOT * 4];

/* every rank has its own bytes of each spot */
static MPI_Offset at(size_t i, int r)
{
	return spots[i] + (MPI_Offset)r * SPOT;
}

static void write_spots(MPI_File fh)
{
	for (size_t i = 0; i < NR; i++) {
		pat_fill(buf, SPOT, (uint64_t)at(i, me), 1);
		if (i % 2)
			mpi(MPI_File_write_at_all(fh, at(i, me), buf, SPOT, MPI_BYTE, MPI_STATUS_IGNORE));
		else
			mpi(MPI_File_write_at(fh, at(i, me), buf, SPOT, MPI_BYTE, MPI_STATUS_IGNORE));
	}
	barrier();
}

static void read_spots(MPI_File fh)
{
	int from = (me + 1) % np;

	for (size_t i = 0; i < NR; i++) {
		mpi(MPI_File_read_at(fh, at(i, from), buf, SPOT, MPI_BYTE, MPI_STATUS_IGNORE));
		check_pat(buf, SPOT, (uint64_t)at(i, from), 1, "spot");
	}
	mpi(MPI_File_read_at(fh, 3ll << 38, buf, SPOT, MPI_BYTE, MPI_STATUS_IGNORE));
	check_zero(buf, SPOT, 3ull << 38, "hole");
}

/* a view whose displacement, stride and extent are all beyond 32 bits */
#define STRIDE ((3ll << 31) + 12)

static void strided(MPI_File fh)
{
	MPI_Datatype v, t;
	MPI_Offset disp = (1ll << 36) + 800 * me;

	MPI_Type_create_hvector(3, 200, STRIDE, MPI_INT, &v);
	MPI_Type_create_resized(v, 0, 4 * STRIDE, &t);
	MPI_Type_commit(&t);
	mpi(MPI_File_set_view(fh, disp, MPI_INT, t, "native", MPI_INFO_NULL));
	for (int k = 0; k < 5; k++)
		pat_fill(buf + 800 * k, 800, (uint64_t)(disp + STRIDE * (k / 3 * 4 + k % 3)), 2);
	mpi(MPI_File_write_at(fh, 0, buf, 1000, MPI_INT, MPI_STATUS_IGNORE));
	barrier();
	memset(buf, 0, sizeof(buf));
	mpi(MPI_File_read_at(fh, 0, buf, 1000, MPI_INT, MPI_STATUS_IGNORE));
	for (int k = 0; k < 5; k++)
		check_pat(buf + 800 * k, 800, (uint64_t)(disp + STRIDE * (k / 3 * 4 + k % 3)), 2, "strided");
	mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	disp = (1ll << 36) + 800 * ((me + 1) % np) + 5 * STRIDE;
	mpi(MPI_File_read_at(fh, disp - STRIDE, buf, 800, MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf, 800, (uint64_t)(disp - STRIDE), 2, "strided, read without a view");
	MPI_Type_free(&v);
	MPI_Type_free(&t);
	barrier();
}

static void on_disk(MPI_Offset size)
{
	int fd = open(path(base), O_RDONLY);
	struct stat st;

	check(fd >= 0 && !fstat(fd, &st), "%s: %s", path(base), strerror(errno));
	check_int(st.st_size, size, "size after close");
	check(st.st_blocks * 512ll < 64 << 20, "the file takes %lld bytes: holes were written", st.st_blocks * 512ll);
	for (size_t i = 0; i < NR; i++) {
		check(pread(fd, buf, SPOT, at(i, np - 1)) == SPOT, "%s: pread: %s", path(base), strerror(errno));
		check_pat(buf, SPOT, (uint64_t)at(i, np - 1), 1, "spot after close");
	}
	close(fd);
}

int main(int argc, char **argv)
{
	MPI_Offset size;
	MPI_File fh;

	test_init(&argc, &argv);
	size = at(NR - 1, np - 1) + SPOT;
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	write_spots(fh);
	check_size(fh, size);
	read_spots(fh);
	barrier();
	strided(fh);
	mpi(MPI_File_close(&fh));
	if (me == 0)
		on_disk(size);
	barrier();

	fh = open_file(MPI_COMM_WORLD, base, MPI_MODE_RDWR);
	read_spots(fh);
	barrier();
	mpi(MPI_File_set_size(fh, (1ll << 32) + 5));
	mpi(MPI_File_set_size(fh, 1ll << 41));
	check_size(fh, 1ll << 41);
	mpi(MPI_File_read_at(fh, 1ll << 40, buf, SPOT, MPI_BYTE, MPI_STATUS_IGNORE));
	check_zero(buf, SPOT, 1ull << 40, "cut off");
	mpi(MPI_File_close(&fh));
	barrier();
	if (me == 0) /* too long to compare byte by byte */
		mpi(MPI_File_delete(base, MPI_INFO_NULL));
	return test_end();
}
