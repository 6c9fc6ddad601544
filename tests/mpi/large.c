/*
 * large.c -- offsets beyond 2^31, 2^32, 2^40 and 2^62 in a sparse file: data are where they
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

/* ---- as far as offsets go ------------------------------------------------------------- */

#define FAR ((MPI_Offset)1 << 62)
#define VERY_FAR (FAR + FAR / 4 * 3) /* what follows ends below 2^63 - 1 */

static void far_contiguous(MPI_File fh)
{
	const MPI_Offset from[] = { FAR - SPOT, FAR + (1 << 20) - 1000, VERY_FAR };
	MPI_Offset pos;
	MPI_Status st;

	for (int i = 0; i < 3; i++) {
		MPI_Offset at_me = from[i] + SPOT * me, next = from[i] + SPOT * ((me + 1) % np);

		pat_fill(buf, SPOT, (uint64_t)at_me, 3);
		if (i == 1) {
			mpi(MPI_File_seek(fh, at_me, MPI_SEEK_SET));
			mpi(MPI_File_write_all(fh, buf, SPOT, MPI_BYTE, &st));
			mpi(MPI_File_get_position(fh, &pos));
			check(pos == at_me + SPOT, "position is %lld, should be %lld", (long long)pos, (long long)at_me + SPOT);
		} else {
			mpi(MPI_File_write_at(fh, at_me, buf, SPOT, MPI_BYTE, &st));
		}
		check_bytes(&st, SPOT, "far write");
		barrier();
		check_size(fh, from[i] + SPOT * np);
		mpi(MPI_File_read_at_all(fh, next, buf, SPOT, MPI_BYTE, &st));
		check_bytes(&st, SPOT, "far read");
		check_pat(buf, SPOT, (uint64_t)next, 3, "far");
		mpi(MPI_File_read_at(fh, from[i] - 3 * SPOT, buf, SPOT, MPI_BYTE, &st));
		check_bytes(&st, SPOT, "far hole");
		check_zero(buf, SPOT, (uint64_t)(from[i] - 3 * SPOT), "far hole");
		barrier();
	}
}

/* two ints, then nothing for 2^59 bytes, four times; and an offset in etypes that is far */
static void far_view(MPI_File fh)
{
	MPI_Datatype two, t;
	MPI_Offset disp = FAR / 2 + 8 * me, byte;
	int v[8], got[8];

	MPI_Type_contiguous(2, MPI_INT, &two);
	MPI_Type_create_resized(two, 0, FAR / 8, &t);
	MPI_Type_commit(&t);
	for (int i = 0; i < 8; i++)
		v[i] = 1000 * me + i;
	mpi(MPI_File_set_view(fh, disp, MPI_INT, t, "native", MPI_INFO_NULL));
	mpi(MPI_File_write_at_all(fh, 0, v, 8, MPI_INT, MPI_STATUS_IGNORE));
	mpi(MPI_File_get_byte_offset(fh, 7, &byte));
	check(byte == disp + 3 * (FAR / 8) + 4, "byte offset is %lld, should be %lld", (long long)byte,
	      (long long)(disp + 3 * (FAR / 8) + 4));
	barrier();
	memset(got, 0, sizeof(got));
	mpi(MPI_File_read_at(fh, 1, got, 7, MPI_INT, MPI_STATUS_IGNORE));
	check_same(got, v + 1, 28, 1, "through a far view");
	MPI_Type_free(&two);
	MPI_Type_free(&t);
	mpi(MPI_File_set_view(fh, 0, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	mpi(MPI_File_read_at(fh, (FAR / 2 + FAR / 8) / 4 + 2 * ((me + 1) % np), got, 2, MPI_INT, MPI_STATUS_IGNORE));
	check_int(got[0], 1000 * ((me + 1) % np) + 2, "int read without the view");
	mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	barrier();
}

/* where there are no offsets any more: an error, and nothing has changed */
static void too_far(MPI_File fh)
{
	const MPI_Offset end = INT64_MAX;
	MPI_Offset size;
	MPI_Status st;

	mpi(MPI_File_get_size(fh, &size));
	check(MPI_File_write_at(fh, end - 10, buf, 100, MPI_BYTE, &st) != MPI_SUCCESS, "a write across the last offset succeeds");
	check_size(fh, size);
	mpi(MPI_File_read_at(fh, end - 1000, buf, 500, MPI_BYTE, &st));
	check_bytes(&st, 0, "a read beyond the end");
	barrier();
}

/* can the file system have files so large?  tmpfs can, ext4 cannot */
static bool pfs_takes(const char *url, MPI_Offset size)
{
	int takes = 0;

	if (me == 0) {
		int fd = open(path(url), O_RDWR | O_CREAT, 0666);

		takes = fd >= 0 && ftruncate(fd, size) == 0;
		close(fd);
		unlink(path(url));
	}
	MPI_Bcast(&takes, 1, MPI_INT, 0, MPI_COMM_WORLD);
	return takes;
}

static void far_away(void)
{
	const char *url = name(".far");
	MPI_Offset end = VERY_FAR + SPOT * np;
	bool keep = pfs_takes(url, end);
	MPI_File fh = open_file(MPI_COMM_WORLD, url, RDWR_NEW | (keep ? 0 : MPI_MODE_DELETE_ON_CLOSE));

	far_contiguous(fh);
	far_view(fh);
	too_far(fh);
	mpi(MPI_File_close(&fh));
	barrier();
	if (!keep)
		return;
	if (me == 0) {
		int fd = open(path(url), O_RDONLY);

		check(lseek(fd, 0, SEEK_END) == end, "size after close");
		check(pread(fd, buf, SPOT, VERY_FAR) == SPOT, "%s: pread: %s", path(url), strerror(errno));
		check_pat(buf, SPOT, (uint64_t)VERY_FAR, 3, "far, after close");
		close(fd);
	}
	fh = open_file(MPI_COMM_WORLD, url, MPI_MODE_RDWR | MPI_MODE_DELETE_ON_CLOSE);
	check_size(fh, end);
	mpi(MPI_File_read_at(fh, FAR - SPOT, buf, SPOT, MPI_BYTE, MPI_STATUS_IGNORE));
	check_pat(buf, SPOT, (uint64_t)(FAR - SPOT), 3, "far, opened again");
	mpi(MPI_File_close(&fh));
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
	if (ours)
		far_away();
	return test_end();
}
