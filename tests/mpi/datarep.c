/*
 * datarep.c -- data representations: external32 turns bytes round, in blocking,
 * collective, split, shared and ordered calls, from and to memory with gaps, through
 * views with holes; all spellings of the names; user-defined ones with their functions by the library, and else as ROMIO offers them
 */
#include "util.h"

#include <dlfcn.h>

#define N 3000 /* ints a rank: more than a block */

static int ints[N], got[N];

static void set_view(MPI_File fh, MPI_Offset disp, MPI_Datatype etype, MPI_Datatype filetype, const char *rep)
{
	char now[MPI_MAX_DATAREP_STRING];
	int ni, na, nt, combiner;
	MPI_Datatype e, f;
	MPI_Offset d;

	mpi(MPI_File_set_view(fh, disp, etype, filetype, rep, MPI_INFO_NULL));
	mpi(MPI_File_get_view(fh, &d, &e, &f, now));
	mpi(MPI_Type_get_envelope(f, &ni, &na, &nt, &combiner));
	if (combiner != MPI_COMBINER_NAMED)
		mpi(MPI_Type_free(&f));
	check(!strcmp(now, rep), "the view's representation is \"%s\", should be \"%s\"", now, rep);
}

static int value(int r, int i, int gen)
{
	return r << 24 | gen << 16 | i;
}

static void fill(int gen)
{
	for (int i = 0; i < N; i++)
		ints[i] = value(me, i, gen);
}

static int turned(int v)
{
	return (int)__builtin_bswap32((uint32_t)v);
}

/* the rank's ints in the file, as bytes, at disp + first, every `step` ints: are they turned round? */
static void check_raw(MPI_File fh, MPI_Offset disp, int r, int step, int gen, const char *what)
{
	int *raw = xmalloc((size_t)N * (size_t)step * 4);

	barrier();
	set_view(fh, disp, MPI_INT, MPI_INT, "native");
	mpi(MPI_File_read_at(fh, 0, raw, (N - 1) * step + 1, MPI_INT, MPI_STATUS_IGNORE));
	for (int i = 0; i < N; i++)
		check(raw[i * step] == turned(value(r, i, gen)), "%s: int %d is %#x in the file, should be %#x", what, i,
		      (unsigned)raw[i * step], (unsigned)turned(value(r, i, gen)));
	free(raw);
	barrier();
}

static void check_got(int r, int gen, const char *what)
{
	for (int i = 0; i < N; i++)
		check(got[i] == value(r, i, gen), "%s: int %d is %#x, should be %#x", what, i, (unsigned)got[i],
		      (unsigned)value(r, i, gen));
	memset(got, 0, sizeof(got));
}

/* parts one after the other, by each way to write, read by another */
static void contiguous(MPI_File fh)
{
	MPI_Offset disp = 4 * N * (MPI_Offset)me, next = 4 * N * (MPI_Offset)((me + 1) % np);
	int from = (me + 1) % np;
	MPI_Status st;

	for (int way = 0; way < 4; way++) {
		fill(way);
		set_view(fh, disp, MPI_INT, MPI_INT, "external32");
		if (way == 0)
			mpi(MPI_File_write_at(fh, 0, ints, N, MPI_INT, &st));
		else if (way == 1)
			mpi(MPI_File_write_at_all(fh, 0, ints, N, MPI_INT, &st));
		else if (way == 2)
			mpi(MPI_File_write_all(fh, ints, N, MPI_INT, &st));
		else
			mpi(MPI_File_write_at_all_begin(fh, 0, ints, N, MPI_INT));
		if (way == 3)
			mpi(MPI_File_write_at_all_end(fh, ints, &st));
		check_bytes(&st, 4 * N, "written as external32");
		check_raw(fh, disp, me, 1, way, "written as external32");
		set_view(fh, next, MPI_INT, MPI_INT, "external32");
		if (way == 0)
			mpi(MPI_File_read_at_all(fh, 0, got, N, MPI_INT, &st));
		else if (way == 1)
			mpi(MPI_File_read(fh, got, N, MPI_INT, &st));
		else if (way == 2)
			mpi(MPI_File_read_at_all_begin(fh, 0, got, N, MPI_INT));
		else
			mpi(MPI_File_read_at(fh, 0, got, N, MPI_INT, &st));
		if (way == 2)
			mpi(MPI_File_read_at_all_end(fh, got, &st));
		check_bytes(&st, 4 * N, "read as external32");
		check_got(from, way, "read as external32");
		barrier();
	}
}

/* every np-th int of the file, from every second int of memory */
static void strided(MPI_File fh)
{
	static int wide[2 * N];
	MPI_Datatype column, sparse;

	MPI_Type_create_resized(MPI_INT, 0, 4 * np, &column);
	MPI_Type_commit(&column);
	MPI_Type_vector(N, 1, 2, MPI_INT, &sparse);
	MPI_Type_commit(&sparse);
	fill(20);
	for (int i = 0; i < N; i++)
		wide[2 * i] = ints[i];
	set_view(fh, 4 * me, MPI_INT, column, "external32");
	mpi(MPI_File_write_at_all(fh, 0, wide, 1, sparse, MPI_STATUS_IGNORE));
	check_raw(fh, 4 * me, me, np, 20, "strided");
	set_view(fh, 4 * ((me + 1) % np), MPI_INT, column, "external32");
	memset(wide, 0x5e, sizeof(wide));
	mpi(MPI_File_read_at(fh, 0, wide, 1, sparse, MPI_STATUS_IGNORE));
	for (int i = 0; i < N; i++) {
		got[i] = wide[2 * i];
		check(i == N - 1 || wide[2 * i + 1] == 0x5e5e5e5e, "memory between the ints was written");
	}
	check_got((me + 1) % np, 20, "strided");
	MPI_Type_free(&column);
	MPI_Type_free(&sparse);
	barrier();
}

/* shorts, doubles and bytes in one type, each turned by itself */
static void mixed(void)
{
	static const unsigned char want[] = { 0x12, 0x34, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c' };
	struct {
		short s;
		double d;
		char c[3];
	} in = { 0x1234, 1.0, { 'a', 'b', 'c' } }, out;
	int len[] = { 1, 1, 3 };
	MPI_Aint at[] = { (char *)&in.s - (char *)&in, (char *)&in.d - (char *)&in, (char *)in.c - (char *)&in };
	MPI_Datatype types[] = { MPI_SHORT, MPI_DOUBLE, MPI_CHAR }, t;
	unsigned char raw[sizeof(want)];
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".mixed"), RDWR_NEW);

	MPI_Type_create_struct(3, len, at, types, &t);
	MPI_Type_commit(&t);
	set_view(fh, (MPI_Offset)sizeof(want) * me, MPI_BYTE, MPI_BYTE, "external32");
	mpi(MPI_File_write_at(fh, 0, &in, 1, t, MPI_STATUS_IGNORE));
	memset(&out, 0, sizeof(out));
	mpi(MPI_File_read_at(fh, 0, &out, 1, t, MPI_STATUS_IGNORE));
	check(out.s == in.s && out.d == in.d && !memcmp(out.c, in.c, 3), "a struct comes back as another one");
	set_view(fh, (MPI_Offset)sizeof(want) * me, MPI_BYTE, MPI_BYTE, "native");
	mpi(MPI_File_read_at(fh, 0, raw, (int)sizeof(raw), MPI_BYTE, MPI_STATUS_IGNORE));
	check_same(raw, want, sizeof(want), 0, "a struct in the file");
	MPI_Type_free(&t);
	mpi(MPI_File_close(&fh));
}

/* ordered and shared calls, but for read_ordered, in which ROMIO forgets to turn; a read that meets the end */
static void shared(MPI_File fh)
{
	MPI_Status st;

	fill(30);
	mpi(MPI_File_set_size(fh, 0));
	barrier();
	set_view(fh, 0, MPI_INT, MPI_INT, "external32");
	mpi(MPI_File_write_ordered(fh, ints, N, MPI_INT, MPI_STATUS_IGNORE));
	check_raw(fh, 4 * N * (MPI_Offset)me, me, 1, 30, "ordered");
	set_view(fh, 0, MPI_INT, MPI_INT, "external32");
	mpi(MPI_File_seek_shared(fh, (MPI_Offset)N * (np - 1), MPI_SEEK_SET));
	barrier();
	if (me == 0) {
		mpi(MPI_File_read_shared(fh, got, N, MPI_INT, MPI_STATUS_IGNORE));
		check_got(np - 1, 30, "shared");
	}
	mpi(MPI_File_read_at(fh, (MPI_Offset)N * np - 10, got, 20, MPI_INT, &st));
	check(got[9] == value(np - 1, N - 1, 30), "the last int is %#x", (unsigned)got[9]);
	barrier();
}

/* nonblocking calls of ROMIO do not turn anything, but what they write they read */
static void nonblocking(void)
{
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".nb"), RDWR_NEW | MPI_MODE_DELETE_ON_CLOSE);
	MPI_Request r;

	fill(40);
	set_view(fh, 4 * N * (MPI_Offset)me, MPI_INT, MPI_INT, "external32");
	mpi(MPI_File_iwrite_at(fh, 0, ints, N, MPI_INT, &r));
	mpi(MPI_Wait(&r, MPI_STATUS_IGNORE));
	mpi(MPI_File_iread_at(fh, 0, got, N, MPI_INT, &r));
	mpi(MPI_Wait(&r, MPI_STATUS_IGNORE));
	check_got(me, 40, "nonblocking");
	mpi(MPI_File_close(&fh));
}

/* MPI's own names, as ROMIO takes them: internal is native, and capitals are allowed; each call has a row of an int of each rank */
static void spellings(void)
{
	static const char *const rep[] = { "native", "NATIVE", "internal", "INTERNAL", "external32", "EXTERNAL32" };
	MPI_File fh = open_file(MPI_COMM_WORLD, name(".spellings"), RDWR_NEW);
	char now[MPI_MAX_DATAREP_STRING];
	MPI_Datatype e, f;
	MPI_Offset d;

	for (int k = 0; k < 6; k++) {
		int first = 4 * np * k, v = value(me, k, 50), raw;

		mpi(MPI_File_set_view(fh, 0, MPI_INT, MPI_INT, rep[k], MPI_INFO_NULL));
		mpi(MPI_File_get_view(fh, &d, &e, &f, now));
		check(!strcmp(now, k < 4 ? "native" : "external32"), "a view with \"%s\" has \"%s\"", rep[k], now);
		mpi(MPI_File_write_at(fh, first + me, &v, 1, MPI_INT, MPI_STATUS_IGNORE));
		mpi(MPI_File_write_at_all(fh, first + np + me, &v, 1, MPI_INT, MPI_STATUS_IGNORE));
		mpi(MPI_File_seek(fh, first + 2 * np + me, MPI_SEEK_SET));
		mpi(MPI_File_write(fh, &v, 1, MPI_INT, MPI_STATUS_IGNORE));
		mpi(MPI_File_seek_shared(fh, first + 3 * np, MPI_SEEK_SET));
		mpi(MPI_File_write_ordered(fh, &v, 1, MPI_INT, MPI_STATUS_IGNORE));
		mpi(MPI_File_set_view(fh, 0, MPI_INT, MPI_INT, "native", MPI_INFO_NULL));
		for (int row = 0; row < 4; row++) {
			mpi(MPI_File_read_at(fh, first + row * np + me, &raw, 1, MPI_INT, MPI_STATUS_IGNORE));
			check_int(raw, k < 4 ? v : turned(v), rep[k]);
		}
		barrier();
	}
	mpi(MPI_File_close(&fh));
}

/* ---- user-defined ones ------------------------------------------------------------------ */

static int extent(MPI_Datatype type, MPI_Aint *ext, void *extra)
{
	MPI_Aint lb;

	(void)extra;
	return MPI_Type_get_extent(type, &lb, ext);
}

/* ---- by the library, which has no ROMIO behind it ---- */

static int key = 0x5a5a5a5a, calls, fails;

/* ints, in memory one after the other, or of a type that is no named one, every second one; in the file turned round, and with the key */
static void turn_ints(int *user, MPI_Datatype type, MPI_Count count, int *file, MPI_Offset position, const int *k, int to_file)
{
	int ni, na, nt, combiner, step;

	mpi(MPI_Type_get_envelope(type, &ni, &na, &nt, &combiner));
	step = combiner == MPI_COMBINER_NAMED ? 1 : 2;
	check_int(*k, key, "extra state");
	calls++;
	for (MPI_Count i = 0; i < count; i++) {
		int *v = user + (position + i) * step;

		if (to_file)
			file[i] = turned(*v) ^ *k;
		else
			*v = turned(file[i] ^ *k);
	}
}

static int from_file(void *user, MPI_Datatype type, int count, void *file, MPI_Offset position, void *extra)
{
	turn_ints(user, type, count, file, position, extra, 0);
	return fails ? MPI_ERR_OTHER : MPI_SUCCESS;
}

static int to_file(void *user, MPI_Datatype type, int count, void *file, MPI_Offset position, void *extra)
{
	turn_ints(user, type, count, file, position, extra, 1);
	return fails ? MPI_ERR_OTHER : MPI_SUCCESS;
}

#if MPI_VERSION >= 4
static int from_file_c(void *user, MPI_Datatype type, MPI_Count count, void *file, MPI_Offset position, void *extra)
{
	turn_ints(user, type, count, file, position, extra, 0);
	return MPI_SUCCESS;
}

static int to_file_c(void *user, MPI_Datatype type, MPI_Count count, void *file, MPI_Offset position, void *extra)
{
	turn_ints(user, type, count, file, position, extra, 1);
	return MPI_SUCCESS;
}
#endif

static int twice(MPI_Datatype type, MPI_Aint *ext, void *extra)
{
	int rc = extent(type, ext, extra);

	*ext *= 2;
	return rc;
}

/* what rank r wrote is there as it should be, and read() finds it */
static void check_own(MPI_File fh, int r, int gen, const char *rep)
{
	MPI_Status st;

	barrier();
	set_view(fh, 0, MPI_INT, MPI_INT, "native");
	mpi(MPI_File_read_at(fh, (MPI_Offset)r * N, got, N, MPI_INT, MPI_STATUS_IGNORE));
	for (int i = 0; i < N; i++)
		check(got[i] == (turned(value(r, i, gen)) ^ key), "%s: int %d is %#x in the file", rep, i, (unsigned)got[i]);
	barrier();
	set_view(fh, 0, MPI_INT, MPI_INT, rep);
	mpi(MPI_File_read_at_all(fh, (MPI_Offset)r * N, got, N, MPI_INT, &st));
	check_bytes(&st, N * 4, rep);
	check_got(r, gen, rep);
	barrier();
}

static void converted(MPI_File fh, const char *rep)
{
	MPI_Datatype second;
	MPI_Request req;
	MPI_Status st;
	int *wide = xmalloc(N * 8), last = me == np - 1;

	set_view(fh, 0, MPI_INT, MPI_INT, rep);
	fill(31);
	calls = 0;
	mpi(MPI_File_write_at_all(fh, (MPI_Offset)me * N, ints, N, MPI_INT, &st));
	check_bytes(&st, N * 4, rep);
	check_int(calls, 1, "conversions of a write");
	check_own(fh, (me + 1) % np, 31, rep);
	/* memory with gaps, nonblocking; then a read that meets the file's end in mid-element */
	mpi(MPI_Type_create_resized(MPI_INT, 0, 8, &second));
	mpi(MPI_Type_commit(&second));
	for (int i = 0; i < N; i++) {
		wide[2 * i] = value(me, i, 32);
		wide[2 * i + 1] = -1;
	}
	mpi(MPI_File_iwrite_at(fh, (MPI_Offset)me * N, wide, N, second, &req));
	mpi(MPI_Wait(&req, &st));
	check_bytes(&st, N * 4, "iwrite_at");
	check_own(fh, me, 32, rep);
	mpi(MPI_File_set_size(fh, (MPI_Offset)np * N * 4 - 6));
	memset(wide, 0, N * 8);
	mpi(MPI_File_read_at(fh, (MPI_Offset)me * N, wide, N, second, &st));
	check_bytes(&st, N * 4 - (last ? 6 : 0), "a read at the end");
	for (int i = 0; i < N; i++) {
		int there = !last || i < N - 2;

		check(wide[2 * i] == (there ? value(me, i, 32) : 0) && wide[2 * i + 1] == 0, "int %d is %#x, and %#x behind it", i,
		      (unsigned)wide[2 * i], (unsigned)wide[2 * i + 1]);
	}
	barrier();
	mpi(MPI_Type_free(&second));
	free(wide);
	mpi(MPI_File_write_ordered(fh, ints, 0, MPI_INT, &st));
	check_bytes(&st, 0, "of nothing");
}

static void refused(int rc, int class, const char *what)
{
	check_int(error_class(rc), class, what);
}

static void by_library(MPI_File fh)
{
	char name[MPI_MAX_DATAREP_STRING + 1];

	mpi(MPI_Register_datarep("turned", from_file, to_file, extent, &key));
#if MPI_VERSION >= 4
	mpi(MPI_Register_datarep_c("turned, with large counts", from_file_c, to_file_c, extent, &key));
#else
	mpi(MPI_Register_datarep("turned, with large counts", from_file, to_file, extent, &key));
#endif
	mpi(MPI_Register_datarep("as it is", MPI_CONVERSION_FN_NULL, MPI_CONVERSION_FN_NULL, extent, NULL));
	mpi(MPI_Register_datarep("twice", from_file, to_file, twice, &key));
	refused(MPI_Register_datarep("turned", from_file, to_file, extent, &key), MPI_ERR_DUP_DATAREP, "error class of a name that is taken");
	refused(MPI_Register_datarep("external32", from_file, to_file, extent, &key), MPI_ERR_DUP_DATAREP, "error class of MPI's own name");
	refused(MPI_Register_datarep("x", from_file, to_file, NULL, &key), MPI_ERR_ARG, "error class without a function for extents");
	memset(name, 'x', MPI_MAX_DATAREP_STRING);
	name[MPI_MAX_DATAREP_STRING] = '\0';
	refused(MPI_Register_datarep(name, from_file, to_file, extent, &key), MPI_ERR_ARG, "error class of a name that is too long");

	converted(fh, "turned");
	converted(fh, "turned, with large counts");
	refused(MPI_File_set_view(fh, 0, MPI_INT, MPI_INT, "twice", MPI_INFO_NULL), MPI_ERR_UNSUPPORTED_DATAREP,
		"error class of another size in the file");
	refused(MPI_File_set_view(fh, 0, MPI_INT, MPI_INT, "nobody's", MPI_INFO_NULL), MPI_ERR_UNSUPPORTED_DATAREP,
		"error class of a view of no representation");
	/* the old view is still there; the functions' errors */
	set_view(fh, 0, MPI_INT, MPI_INT, "turned");
	fails = 1;
	refused(MPI_File_write_at(fh, (MPI_Offset)np * N + me, ints, 1, MPI_INT, MPI_STATUS_IGNORE), MPI_ERR_CONVERSION, "error class of to_file()");
	refused(MPI_File_read_at_all(fh, 0, got, 1, MPI_INT, MPI_STATUS_IGNORE), MPI_ERR_CONVERSION, "error class of from_file()");
	fails = 0;
	/* a representation without functions is that of memory */
	barrier();
	set_view(fh, 0, MPI_INT, MPI_INT, "as it is");
	fill(33);
	mpi(MPI_File_write_at_all(fh, (MPI_Offset)me * N, ints, N, MPI_INT, MPI_STATUS_IGNORE));
	set_view(fh, 0, MPI_INT, MPI_INT, "native");
	mpi(MPI_File_read_at_all(fh, (MPI_Offset)me * N, got, N, MPI_INT, MPI_STATUS_IGNORE));
	check_got(me, 33, "as it is");
	barrier();
}

/* ---- by ROMIO ---- */

static int convert(void *user, MPI_Datatype type, int count, void *filebuf, MPI_Offset position, void *extra)
{
	(void)user, (void)type, (void)count, (void)filebuf, (void)position, (void)extra;
	return MPI_SUCCESS;
}

/* ROMIO takes names, but no conversion functions, and has no views of them; what else Open MPI has may object */
static void by_romio(MPI_File fh)
{
	int rc;

	MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
	rc = MPI_Register_datarep("turned", convert, convert, extent, NULL);
	check_int(error_class(rc), MPI_ERR_CONVERSION, "error class of conversion functions");
	MPI_Register_datarep("as it is", MPI_CONVERSION_FN_NULL, MPI_CONVERSION_FN_NULL, extent, NULL);
	rc = MPI_Register_datarep("as it is", MPI_CONVERSION_FN_NULL, MPI_CONVERSION_FN_NULL, extent, NULL);
	check_int(error_class(rc), MPI_ERR_DUP_DATAREP, "error class of a name that is taken");
	MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
	rc = MPI_File_set_view(fh, 0, MPI_INT, MPI_INT, "as it is", MPI_INFO_NULL);
	check_int(error_class(rc), MPI_ERR_UNSUPPORTED_DATAREP, "error class of a view of a user's representation");
	rc = MPI_File_set_view(fh, 0, MPI_INT, MPI_INT, "nobody's", MPI_INFO_NULL);
	check_int(error_class(rc), MPI_ERR_UNSUPPORTED_DATAREP, "error class of a view of no representation");
	/* the old view is still there */
	set_view(fh, 0, MPI_INT, MPI_INT, "external32");
	mpi(MPI_File_read_at(fh, 0, got, 1, MPI_INT, MPI_STATUS_IGNORE));
	check_int(got[0], value(0, 0, 30), "first int");
	barrier();
}

static void user_defined(MPI_File fh)
{
	if (dlsym(RTLD_DEFAULT, "pmio_mpi_library"))
		by_library(fh);
	else
		by_romio(fh);
}

int main(int argc, char **argv)
{
	MPI_File fh;

	test_init(&argc, &argv);
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	contiguous(fh);
	strided(fh);
	mixed();
	shared(fh);
	nonblocking();
	spellings();
	user_defined(fh);
	mpi(MPI_File_close(&fh));
	return test_end();
}
