/*
 * update.c -- update FILE HOW: changes a little of an existing file of 16 MiB in the
 * middle of it, then compares the whole plain file with what it should be; pool.sh
 * looks how much was read and written for that
 *
 * A rank's share of each way is 20 pieces, 64 KiB after each other and SPREAD bytes after
 * the same piece of the rank before.
 */
#include "util.h"

#define SIZE (16 << 20)
#define BLOCK 4096
#define STRIDE (64 << 10)
#define SPREAD (1 << 20)
#define NR 20

static unsigned char *model;

static const struct way {
	const char *name;
	int start, len; /* of a piece, bytes from its place */
	bool collective;
	bool scattered; /* in memory */
	bool one_only;	/* a contiguous call a piece, no view */
} ways[] = {
	{ "whole", 0, BLOCK, false, false, true },
	{ "part", 100, 50, false, false, true },
	{ "two_parts", BLOCK - 30, 60, false, false, true },
	{ "ends", 100, 5 * BLOCK, false, false, true },
	{ "view_whole", 0, BLOCK, true, false, false },
	{ "view_part", 100, 50, true, false, false },
	{ "view_ends", BLOCK - 1, 3 * BLOCK + 2, false, false, false },
	{ "scattered", 0, 2 * BLOCK, true, true, true },
};

static MPI_Offset place(int rank)
{
	return (MPI_Offset)SPREAD * (2 + 2 * rank);
}

static void make_file(void)
{
	int fd;

	pat_fill(model, SIZE, 0, 1);
	if (me == 0) {
		fd = open(path(base), O_WRONLY | O_CREAT | O_TRUNC, 0666);
		check(fd >= 0 && write(fd, model, SIZE) == SIZE, "%s: %s", path(base), strerror(errno));
		close(fd);
	}
	barrier();
}

/* of all pieces, one after the other; every second 256 bytes of it if the memory is scattered */
static unsigned char *my_bytes(const struct way *w)
{
	unsigned char *buf = calloc(2, (size_t)(NR * w->len));

	check(buf, "no memory");
	for (int i = 0; i < NR; i++)
		for (int k = 0; k < w->len; k++) {
			MPI_Offset off = place(me) + (MPI_Offset)i * STRIDE + w->start + k;
			int at = i * w->len + k;

			pat_fill(buf + (w->scattered ? at / 256 * 512 + at % 256 : at), 1, (uint64_t)off, 2);
		}
	return buf;
}

static void write_piece(MPI_File fh, const struct way *w, const unsigned char *buf, int i)
{
	MPI_Offset off = place(me) + (MPI_Offset)i * STRIDE + w->start;
	MPI_Datatype sparse;

	if (!w->scattered) {
		mpi(MPI_File_write_at(fh, off, buf + i * w->len, w->len, MPI_BYTE, MPI_STATUS_IGNORE));
		return;
	}
	MPI_Type_vector(w->len / 256, 256, 512, MPI_BYTE, &sparse);
	MPI_Type_commit(&sparse);
	mpi(MPI_File_write_at_all(fh, off, buf + 2 * i * w->len, 1, sparse, MPI_STATUS_IGNORE));
	MPI_Type_free(&sparse);
}

static void write_view(MPI_File fh, const struct way *w, const unsigned char *buf)
{
	MPI_Datatype bytes, piece;

	MPI_Type_contiguous(w->len, MPI_BYTE, &bytes);
	MPI_Type_create_resized(bytes, 0, STRIDE, &piece);
	MPI_Type_commit(&piece);
	mpi(MPI_File_set_view(fh, place(me) + w->start, MPI_BYTE, piece, "native", MPI_INFO_NULL));
	if (w->collective)
		mpi(MPI_File_write_all(fh, buf, NR * w->len, MPI_BYTE, MPI_STATUS_IGNORE));
	else
		mpi(MPI_File_write(fh, buf, NR * w->len, MPI_BYTE, MPI_STATUS_IGNORE));
	MPI_Type_free(&bytes);
	MPI_Type_free(&piece);
}

static void check_file(const struct way *w)
{
	unsigned char *all;
	size_t len;

	for (int r = 0; r < np; r++)
		for (int i = 0; i < NR; i++) {
			MPI_Offset off = place(r) + (MPI_Offset)i * STRIDE + w->start;

			pat_fill(model + off, (size_t)w->len, (uint64_t)off, 2);
		}
	all = slurp(base, &len);
	check_int((long long)len, SIZE, "size");
	check_same(all, model, SIZE, 0, w->name);
	free(all);
}

int main(int argc, char **argv)
{
	const struct way *w = ways;
	unsigned char *buf;
	MPI_File fh;

	test_init(&argc, &argv);
	check(argc == 3 && np <= 6, "usage: update FILE HOW, on at most 6 ranks");
	while (strcmp(w->name, argv[2]) != 0)
		check(++w < ways + sizeof(ways) / sizeof(ways[0]), "no way %s", argv[2]);
	model = xmalloc(SIZE);
	make_file();
	buf = my_bytes(w);
	fh = open_file(MPI_COMM_WORLD, base, MPI_MODE_RDWR);
	for (int i = 0; i < NR && w->one_only; i++)
		write_piece(fh, w, buf, i);
	if (!w->one_only)
		write_view(fh, w, buf);
	mpi(MPI_File_close(&fh));
	barrier();
	check_file(w);
	free(buf);
	free(model);
	return test_end();
}
