/*
 * status.c -- counts: reads that meet the end of the file, in every way to read,
 * with and without a view, and accesses of no length at all
 *
 * The file has 1000 ints and 2 bytes.  A read of `want` bytes at an offset must say
 * exactly how many bytes there were.
 */
#include "util.h"

#define INTS 1000
#define FILE_SIZE (INTS * 4 + 2)

typedef void read_fn(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st);

static void by_at(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_read_at(f, o, b, n, t, st));
}

static void by_at_all(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_read_at_all(f, o, b, n, t, st));
}

static void by_pointer(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_read(f, b, n, t, st));
}

static void by_all(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_read_all(f, b, n, t, st));
}

static void by_iat(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;

	mpi(MPI_File_iread_at(f, o, b, n, t, &r));
	mpi(MPI_Wait(&r, st));
}

static void by_iread(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;

	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_iread(f, b, n, t, &r));
	mpi(MPI_Waitall(1, &r, st));
}

static void by_iat_all(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;
	int done = 0;

	mpi(MPI_File_iread_at_all(f, o, b, n, t, &r));
	while (!done)
		mpi(MPI_Test(&r, &done, st));
}

static void by_iall(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;

	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_iread_all(f, b, n, t, &r));
	mpi(MPI_Wait(&r, st));
}

static void by_split(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_read_at_all_begin(f, o, b, n, t));
	mpi(MPI_File_read_at_all_end(f, b, st));
}

static void by_split_pointer(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_read_all_begin(f, b, n, t));
	mpi(MPI_File_read_all_end(f, b, st));
}

static const struct {
	const char *name;
	read_fn *read;
	bool icoll; /* ends a plain ROMIO of Open MPI 4.1 */
} ways[] = {
	{ "read_at", by_at, false },
	{ "read", by_pointer, false },
	{ "iread_at", by_iat, false },
	{ "iread", by_iread, false },
	{ "read_at_all", by_at_all, false },
	{ "read_all", by_all, false },
	{ "read_at_all_begin", by_split, false },
	{ "read_all_begin", by_split_pointer, false },
	{ "iread_at_all", by_iat_all, true },
	{ "iread_all", by_iall, true },
};
#define NR_WAYS (sizeof(ways) / sizeof(ways[0]))

static char what[200];

/* plain ROMIO counts right in blocking, independent, contiguous reads; OMPIO hangs in iread_at */
static bool counts(size_t w, bool strided)
{
	return ours || (w < 2 && !strided);
}

static bool runs(size_t w)
{
	return !(romio && ways[w].icoll);
}

static int left(MPI_Offset off, int want)
{
	if (off >= FILE_SIZE)
		return 0;
	return FILE_SIZE - off < want ? (int)(FILE_SIZE - off) : want;
}

/* bytes, without a view; each rank at another offset, so some are short and some not */
static void bytes(MPI_File fh, size_t w)
{
	static const struct {
		int off, want;
	} cases[] = {
		{ 0, 100 }, { FILE_SIZE - 10, 10 }, { FILE_SIZE - 10, 11 }, { FILE_SIZE - 1, 4096 }, { FILE_SIZE, 1 },
		{ FILE_SIZE + 1, 5 }, { FILE_SIZE + 100000, 50 }, { 0, 8192 }, { 17, 0 }, { FILE_SIZE, 0 }, { FILE_SIZE + 9, 0 },
	};
	const int nr = sizeof(cases) / sizeof(cases[0]);
	unsigned char buf[8192 + 1];
	MPI_Status st;

	mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	for (int i = 0; i < nr; i++) {
		int off = cases[(i + me) % nr].off, want = cases[(i + me) % nr].want, got = left(off, want);

		snprintf(what, sizeof(what), "%s of %d bytes at %d", ways[w].name, want, off);
		memset(buf, 0x5e, sizeof(buf));
		memset(&st, 0x11, sizeof(st));
		ways[w].read(fh, off, buf, want, MPI_BYTE, &st);
		if (counts(w, false))
			check_bytes(&st, got, what);
		check_pat(buf, (size_t)got, (uint64_t)off, 1, what);
		check(buf[want] == 0x5e, "%s: writes past the buffer", what);
	}
}

/* pairs of ints: count is undefined when the last pair is half, elements tell */
static void elements(MPI_File fh, size_t w)
{
	MPI_Datatype pair;
	MPI_Status st;
	int buf[20], n;

	mpi(MPI_File_set_view(fh, 0, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
	MPI_Type_contiguous(2, MPI_INT, &pair);
	MPI_Type_commit(&pair);
	if (counts(w, false)) {
		ways[w].read(fh, INTS - 7, buf, 3, pair, &st);
		MPI_Get_count(&st, pair, &n);
		check_int(n, 3, "pairs before the end");
	}
	if (ours) {
		mpi(MPI_File_set_view(fh, 2, MPI_INT, MPI_INT, "native", MPI_INFO_NULL)); /* the odd 2 bytes come first */
		ways[w].read(fh, INTS - 7, buf, 8, pair, &st);
		MPI_Get_count(&st, pair, &n);
		check_int(n, MPI_UNDEFINED, "pairs across the end");
		MPI_Get_elements(&st, pair, &n);
		check_int(n, 7, "elements across the end");
		MPI_Get_count(&st, MPI_INT, &n);
		check_int(n, 7, "ints across the end");
	}
	MPI_Type_free(&pair);
}

/* 3 ints of each 10: how many bytes of the view are there before the end? */
static int strided_left(int first, int want)
{
	int n = 0;

	for (int i = first; i < first + want; i++) {
		MPI_Offset off = (i / 3 * 10 + i % 3 + me) * 4;

		n += left(off, 4);
	}
	return n;
}

static void strided(MPI_File fh, size_t w)
{
	static const int cases[][2] = { { 0, 6 }, { 0, 300 }, { 0, 333 }, { 290, 40 }, { 299, 1 }, { 306, 9 }, { 1000, 3 }, { 5, 0 } };
	const int nr = sizeof(cases) / sizeof(cases[0]);
	MPI_Datatype v, t;
	int buf[400];
	MPI_Status st;

	MPI_Type_contiguous(3, MPI_INT, &v);
	MPI_Type_create_resized(v, 0, 40, &t);
	MPI_Type_commit(&t);
	mpi(MPI_File_set_view(fh, 4 * (MPI_Offset)me, MPI_INT, t, "native", MPI_INFO_NULL));
	for (int c = 0; c < nr; c++) {
		int first = cases[(c + me) % nr][0], want = cases[(c + me) % nr][1], got = strided_left(first, want);

		snprintf(what, sizeof(what), "%s of %d ints at %d, strided", ways[w].name, want, first);
		ways[w].read(fh, first, buf, want, MPI_INT, &st);
		if (counts(w, true))
			check_bytes(&st, got, what);
		for (int i = 0; i < got / 4; i++) {
			int k = first + i;
			uint64_t off = (uint64_t)(k / 3 * 10 + k % 3 + me) * 4;

			check_pat(buf + i, 4, off, 1, what);
		}
	}
	MPI_Type_free(&v);
	MPI_Type_free(&t);
}

/* writes of nothing leave the size and the data alone; all others count in full */
static void writes(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".w"), RDWR_NEW);
	unsigned char buf[100];
	MPI_Request r;
	MPI_Status st;

	mpi(MPI_File_write_at(fh, 1000 + me, buf, 0, MPI_BYTE, &st));
	check_bytes(&st, 0, "write_at of nothing");
	mpi(MPI_File_write_at_all(fh, 5000, buf, 0, MPI_BYTE, &st));
	check_bytes(&st, 0, "write_at_all of nothing");
	mpi(MPI_File_iwrite_at(fh, 5000, buf, 0, MPI_BYTE, &r));
	mpi(MPI_Wait(&r, &st));
	check_bytes(&st, 0, "iwrite_at of nothing");
	barrier();
	check_size(fh, 0);
	barrier();
	pat_fill(buf, sizeof(buf), 100 * (uint64_t)me, 1);
	mpi(MPI_File_write_at_all(fh, 100 * me, buf, me == 0 && np > 1 ? 0 : 100, MPI_BYTE, &st));
	check_bytes(&st, me == 0 && np > 1 ? 0 : 100, "write_at_all of rank 0's nothing");
	mpi(MPI_File_iwrite_at(fh, 100 * me, buf, 100, MPI_BYTE, &r));
	mpi(MPI_Wait(&r, &st));
	check_bytes(&st, 100, "iwrite_at");
	barrier();
	check_size(fh, 100 * np);
	mpi(MPI_File_close(&fh));
}

int main(int argc, char **argv)
{
	unsigned char data[FILE_SIZE];
	MPI_File fh;

	test_init(&argc, &argv);
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	pat_fill(data, FILE_SIZE, 0, 1);
	if (me == 0)
		mpi(MPI_File_write_at(fh, 0, data, FILE_SIZE, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
	/* first while the data are new, then as any program finds them later */
	for (int reopened = 0; reopened < 2; reopened++) {
		for (size_t w = 0; w < NR_WAYS; w++) {
			if (!runs(w))
				continue;
			bytes(fh, w);
			elements(fh, w);
			strided(fh, w);
		}
		mpi(MPI_File_close(&fh));
		if (!reopened)
			fh = open_file(MPI_COMM_WORLD, base, MPI_MODE_RDONLY);
	}
	writes();
	return test_end();
}
