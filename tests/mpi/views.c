/*
 * views.c -- file views with holes times memory types with holes times all ways to
 * write and read
 *
 * What a view should do is worked out here a second time, without MPI: each view
 * has a function that lists the file offsets of one filetype's ints.  After each
 * write every rank compares the whole file, holes included, with a model of it,
 * then reads through the view in another way and into another memory type.
 */
#include "util.h"

#define SIZE (192 * 1024)	    /* bytes of the file that small views may use */
#define BIG_SIZE (9 * 1024 * 1024) /* and the big one */
#define GROUP 6			    /* ints in one instance of every memory type */
#define MAX_INTS (1 << 19)

typedef size_t list_fn(MPI_Aint *off); /* byte offsets of one filetype's ints, from disp */

struct view {
	const char *name;
	void (*type)(MPI_Datatype *t);
	list_fn *list;
	MPI_Aint extent;      /* bytes; 0: see `extent_of` */
	MPI_Aint (*extent_of)(void);
	MPI_Offset (*disp)(void);
	int repeat;	      /* filetypes to use, and a half */
	bool big;
};

static int rank; /* whose view the functions below speak of */

/* ---- views ------------------------------------------------------------------- */

/* blocks of 5 ints dealt out to the ranks in turn */
static void vector_type(MPI_Datatype *t)
{
	MPI_Datatype v;

	MPI_Type_vector(7, 5, 5 * np, MPI_INT, &v);
	MPI_Type_create_resized(v, 0, 7 * 5 * 4 * np, t);
	MPI_Type_free(&v);
}

static size_t vector_list(MPI_Aint *off)
{
	size_t n = 0;

	for (int b = 0; b < 7; b++)
		for (int i = 0; i < 5; i++)
			off[n++] = (b * 5 * np + i) * 4;
	return n;
}

static MPI_Aint vector_extent(void)
{
	return 7 * 5 * 4 * np;
}

static MPI_Offset vector_disp(void)
{
	return 5 * 4 * rank;
}

/* irregular blocks, a gap before the first and after the last, disp at an odd byte */
static const int ix_len[] = { 1, 3, 2, 9 };
static const int ix_at[] = { 2, 4, 11, 20 }; /* in units of a rank's slot of 40 ints */

static void indexed_type(MPI_Datatype *t)
{
	MPI_Aint at[4];
	MPI_Datatype h;

	for (int i = 0; i < 4; i++)
		at[i] = ix_at[i] * 4;
	MPI_Type_create_hindexed(4, ix_len, at, MPI_INT, &h);
	MPI_Type_create_resized(h, 0, 40 * 4 * np, t);
	MPI_Type_free(&h);
}

static size_t indexed_list(MPI_Aint *off)
{
	size_t n = 0;

	for (int b = 0; b < 4; b++)
		for (int i = 0; i < ix_len[b]; i++)
			off[n++] = (ix_at[b] + i) * 4;
	return n;
}

static MPI_Aint indexed_extent(void)
{
	return 40 * 4 * np;
}

static MPI_Offset indexed_disp(void)
{
	return 13 + 40 * 4 * rank;
}

/* a 2-D array of 10 x 6np ints, each rank a band of columns without its first and last row */
static void subarray_type(MPI_Datatype *t)
{
	int sizes[2] = { 10, 6 * np }, sub[2] = { 8, 6 }, start[2] = { 1, 6 * rank };

	MPI_Type_create_subarray(2, sizes, sub, start, MPI_ORDER_C, MPI_INT, t);
}

static size_t subarray_list(MPI_Aint *off)
{
	size_t n = 0;

	for (int i = 1; i < 9; i++)
		for (int j = 6 * rank; j < 6 * rank + 6; j++)
			off[n++] = (i * 6 * np + j) * 4;
	return n;
}

static MPI_Aint subarray_extent(void)
{
	return 10 * 6 * 4 * np;
}

/* a 3-D array in Fortran order, split along the slowest dimension but one */
static void subarray3_type(MPI_Datatype *t)
{
	int sizes[3] = { 5, 3 * np, 4 }, sub[3] = { 3, 3, 4 }, start[3] = { 1, 3 * rank, 0 };

	MPI_Type_create_subarray(3, sizes, sub, start, MPI_ORDER_FORTRAN, MPI_INT, t);
}

static size_t subarray3_list(MPI_Aint *off)
{
	size_t n = 0;

	for (int k = 0; k < 4; k++)
		for (int j = 3 * rank; j < 3 * rank + 3; j++)
			for (int i = 1; i < 4; i++)
				off[n++] = ((k * 3 * np + j) * 5 + i) * 4;
	return n;
}

static MPI_Aint subarray3_extent(void)
{
	return 5 * 3 * 4 * 4 * np;
}

/* block-cyclic in both dimensions, with uneven ends: cyclic(3) x cyclic(2) on P x Q ranks */
#define DA_ROWS 11
#define DA_COLS 13

static void grid(int dims[2])
{
	dims[0] = np % 2 ? 1 : 2;
	dims[1] = np / dims[0];
}

static void darray_type(MPI_Datatype *t)
{
	int sizes[2] = { DA_ROWS, DA_COLS }, dist[2] = { MPI_DISTRIBUTE_CYCLIC, MPI_DISTRIBUTE_CYCLIC };
	int arg[2] = { 3, 2 }, dims[2];

	grid(dims);
	MPI_Type_create_darray(np, rank, 2, sizes, dist, arg, dims, MPI_ORDER_C, MPI_INT, t);
}

static size_t darray_list(MPI_Aint *off)
{
	size_t n = 0;
	int dims[2];

	grid(dims);
	for (int i = 0; i < DA_ROWS; i++)
		for (int j = 0; j < DA_COLS; j++)
			if (i / 3 % dims[0] == rank / dims[1] && j / 2 % dims[1] == rank % dims[1])
				off[n++] = (i * DA_COLS + j) * 4;
	return n;
}

static MPI_Aint darray_extent(void)
{
	return DA_ROWS * DA_COLS * 4;
}

/* vectors of vectors: 3 planes of 4 blocks of 2 ints */
static void nested_type(MPI_Datatype *t)
{
	MPI_Datatype in, out;

	MPI_Type_create_hvector(4, 2, 8 * np, MPI_INT, &in);
	MPI_Type_create_hvector(3, 1, 40 * np + 24, in, &out);
	MPI_Type_create_resized(out, 0, 3 * (40 * np + 24) + 100, t);
	MPI_Type_free(&in);
	MPI_Type_free(&out);
}

static size_t nested_list(MPI_Aint *off)
{
	size_t n = 0;

	for (int p = 0; p < 3; p++)
		for (int b = 0; b < 4; b++)
			for (int i = 0; i < 2; i++)
				off[n++] = p * (40 * np + 24) + b * 8 * np + i * 4;
	return n;
}

static MPI_Aint nested_extent(void)
{
	return 3 * (40 * np + 24) + 100;
}

static MPI_Offset nested_disp(void)
{
	return 8 * rank;
}

/* a struct with a lower bound below its first int, and an extent shorter than
 * several ranks' data would need: the ranks use parts of the file one after another */
static void struct_type(MPI_Datatype *t)
{
	int len[3] = { 2, 1, 4 };
	MPI_Aint at[3] = { 12, 24, 44 };
	MPI_Datatype types[3] = { MPI_INT, MPI_INT, MPI_INT }, s;

	MPI_Type_create_struct(3, len, at, types, &s);
	MPI_Type_create_resized(s, 0, 68, t);
	MPI_Type_free(&s);
}

static size_t struct_list(MPI_Aint *off)
{
	const MPI_Aint at[] = { 12, 16, 24, 44, 48, 52, 56 };

	memcpy(off, at, sizeof(at));
	return 7;
}

static MPI_Offset struct_disp(void)
{
	return 5000 + 20000 * (MPI_Offset)rank;
}

/* no holes at all: parts one after another */
static void plain_type(MPI_Datatype *t)
{
	MPI_Type_contiguous(10, MPI_INT, t);
}

static size_t plain_list(MPI_Aint *off)
{
	for (int i = 0; i < 10; i++)
		off[i] = 4 * i;
	return 10;
}

static MPI_Offset plain_disp(void)
{
	return 4000 * (MPI_Offset)rank + 3;
}

/* blocks of 100 kB in turn, over several chunks of 1 MiB */
#define BIG_BLOCK 25013

static void big_type(MPI_Datatype *t)
{
	MPI_Datatype v;

	MPI_Type_vector(3, BIG_BLOCK, BIG_BLOCK * np, MPI_INT, &v);
	MPI_Type_create_resized(v, 0, 3 * BIG_BLOCK * 4 * (MPI_Aint)np, t);
	MPI_Type_free(&v);
}

static size_t big_list(MPI_Aint *off)
{
	size_t n = 0;

	for (int b = 0; b < 3; b++)
		for (int i = 0; i < BIG_BLOCK; i++)
			off[n++] = ((MPI_Aint)b * BIG_BLOCK * np + i) * 4;
	return n;
}

static MPI_Aint big_extent(void)
{
	return 3 * BIG_BLOCK * 4 * (MPI_Aint)np;
}

static MPI_Offset big_disp(void)
{
	return BIG_BLOCK * 4 * (MPI_Offset)rank;
}

static const struct view views[] = {
	{ "vector", vector_type, vector_list, 0, vector_extent, vector_disp, 4, false },
	{ "indexed", indexed_type, indexed_list, 0, indexed_extent, indexed_disp, 5, false },
	{ "subarray", subarray_type, subarray_list, 0, subarray_extent, NULL, 3, false },
	{ "subarray3", subarray3_type, subarray3_list, 0, subarray3_extent, NULL, 3, false },
	{ "darray", darray_type, darray_list, 0, darray_extent, NULL, 6, false },
	{ "nested", nested_type, nested_list, 0, nested_extent, nested_disp, 5, false },
	{ "struct", struct_type, struct_list, 68, NULL, struct_disp, 9, false },
	{ "plain", plain_type, plain_list, 40, NULL, plain_disp, 7, false },
	{ "big", big_type, big_list, 0, big_extent, big_disp, 2, true },
};
#define NR_VIEWS (sizeof(views) / sizeof(views[0]))

/* ---- memory types: GROUP ints an instance --------------------------------------- */

struct memory {
	const char *name;
	void (*type)(MPI_Datatype *t);
	int at[GROUP]; /* bytes from the buffer's address */
	int extent;
};

static void mem_plain(MPI_Datatype *t)
{
	MPI_Type_dup(MPI_INT, t);
}

static void mem_vector(MPI_Datatype *t)
{
	MPI_Datatype v;

	MPI_Type_vector(2, 3, 5, MPI_INT, &v);
	MPI_Type_create_resized(v, 0, 48, t);
	MPI_Type_free(&v);
}

static void mem_indexed(MPI_Datatype *t)
{
	int len[] = { 2, 1, 3 };
	MPI_Aint at[] = { 24, 4, 40 }; /* not in the order of memory */

	MPI_Type_create_hindexed(3, len, at, MPI_INT, t);
}

static void mem_negative(MPI_Datatype *t)
{
	int len[] = { 3, 2, 1 };
	MPI_Aint at[] = { -20, 0, 16 };

	MPI_Type_create_hindexed(3, len, at, MPI_INT, t);
}

static void mem_struct(MPI_Datatype *t)
{
	int len[] = { 1, 2 };
	MPI_Aint at[] = { 1, 9 };
	MPI_Datatype types[] = { MPI_INT, MPI_INT }, s;

	MPI_Type_create_struct(2, len, at, types, &s);
	MPI_Type_create_resized(s, 0, 19, &types[0]); /* ints at odd addresses */
	MPI_Type_contiguous(2, types[0], t);
	MPI_Type_free(&s);
	MPI_Type_free(&types[0]);
}

static const struct memory memories[] = {
	{ "plain", mem_plain, { 0, 4, 8, 12, 16, 20 }, 24 },
	{ "vector", mem_vector, { 0, 4, 8, 20, 24, 28 }, 48 },
	{ "indexed", mem_indexed, { 24, 28, 4, 40, 44, 48 }, 48 },
	{ "negative", mem_negative, { -20, -16, -12, 0, 4, 16 }, 40 },
	{ "struct", mem_struct, { 1, 9, 13, 20, 28, 32 }, 38 },
};
#define NR_MEMORIES (sizeof(memories) / sizeof(memories[0]))

/* ---- ways to write and read ------------------------------------------------------ */

#define WAIT(req, st) mpi(MPI_Wait(req, st))

static void w_at(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_write_at(f, o, b, n, t, st));
}

static void w_at_all(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_write_at_all(f, o, b, n, t, st));
}

static void w_ptr(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_write(f, b, n, t, st));
}

static void w_ptr_all(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_write_all(f, b, n, t, st));
}

static void w_iat(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;

	mpi(MPI_File_iwrite_at(f, o, b, n, t, &r));
	WAIT(&r, st);
}

static void w_iat_all(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;

	mpi(MPI_File_iwrite_at_all(f, o, b, n, t, &r));
	WAIT(&r, st);
}

static void w_iptr(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;

	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_iwrite(f, b, n, t, &r));
	WAIT(&r, st);
}

static void w_iptr_all(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;

	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_iwrite_all(f, b, n, t, &r));
	WAIT(&r, st);
}

static void w_split(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_write_at_all_begin(f, o, b, n, t));
	mpi(MPI_File_write_at_all_end(f, b, st));
}

static void r_at(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_read_at(f, o, b, n, t, st));
}

static void r_at_all(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_read_at_all(f, o, b, n, t, st));
}

static void r_ptr(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_read(f, b, n, t, st));
}

static void r_ptr_all(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_read_all(f, b, n, t, st));
}

static void r_iat(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;

	mpi(MPI_File_iread_at(f, o, b, n, t, &r));
	WAIT(&r, st);
}

static void r_iat_all(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;

	mpi(MPI_File_iread_at_all(f, o, b, n, t, &r));
	WAIT(&r, st);
}

static void r_iptr(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;

	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_iread(f, b, n, t, &r));
	WAIT(&r, st);
}

static void r_iptr_all(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	MPI_Request r;

	mpi(MPI_File_seek(f, o, MPI_SEEK_SET));
	mpi(MPI_File_iread_all(f, b, n, t, &r));
	WAIT(&r, st);
}

static void r_split(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st)
{
	mpi(MPI_File_read_at_all_begin(f, o, b, n, t));
	mpi(MPI_File_read_at_all_end(f, b, st));
}

typedef void io_fn(MPI_File f, MPI_Offset o, void *b, int n, MPI_Datatype t, MPI_Status *st);

static const struct way {
	const char *name;
	io_fn *write, *read;
	bool icoll; /* ends a plain ROMIO of Open MPI 4.1 */
} ways[] = {
	{ "at", w_at, r_at, false },
	{ "at_all", w_at_all, r_at_all, false },
	{ "pointer", w_ptr, r_ptr, false },
	{ "all", w_ptr_all, r_ptr_all, false },
	{ "i..at", w_iat, r_iat, false },
	{ "i..at_all", w_iat_all, r_iat_all, true },
	{ "i..", w_iptr, r_iptr, false },
	{ "i..all", w_iptr_all, r_iptr_all, true },
	{ "split", w_split, r_split, false },
};
#define NR_WAYS (sizeof(ways) / sizeof(ways[0]))

static const struct way *way(size_t i)
{
	const struct way *w = &ways[i % NR_WAYS];

	return romio && w->icoll ? &ways[1] : w;
}

/* ---- the model -------------------------------------------------------------------- */

static unsigned char *model; /* the whole file */
static MPI_Aint *offsets;    /* file offsets of one rank's ints */
static char what[256];

static MPI_Aint view_extent(const struct view *v)
{
	return v->extent ? v->extent : v->extent_of();
}

/* the file offsets of all ints that rank r reaches; a multiple of GROUP of them */
static size_t reach(const struct view *v, int r)
{
	MPI_Offset disp;
	size_t one, n;

	rank = r;
	disp = v->disp ? v->disp() : 0;
	one = v->list(offsets);
	n = one * (size_t)v->repeat + one / 2; /* and half a filetype */
	n -= n % GROUP;
	check(n <= MAX_INTS, "view %s: too many ints", v->name);
	for (size_t i = one; i < n; i++)
		offsets[i] = offsets[i - one] + view_extent(v);
	for (size_t i = 0; i < n; i++)
		offsets[i] += disp;
	rank = me;
	return n;
}

static void update_model(const struct view *v, unsigned gen)
{
	for (int r = 0; r < np; r++) {
		size_t n = reach(v, r);

		for (size_t i = 0; i < n; i++)
			pat_fill(model + offsets[i], 4, (uint64_t)offsets[i], gen);
	}
}

static char *element(const struct memory *m, char *buf, size_t i)
{
	return buf + (MPI_Aint)(i / GROUP) * m->extent + m->at[i % GROUP];
}

/* room for n ints of m, and 64 bytes on both sides */
static char *memory_new(const struct memory *m, size_t n, char **all, size_t *len)
{
	*len = n / GROUP * (size_t)m->extent + 128;
	*all = xmalloc(*len);
	memset(*all, 0x5e, *len);
	return *all + 64;
}

/* nothing but the elements may have been touched */
static void check_holes(const struct memory *m, char *buf, size_t n, char *all, size_t len)
{
	for (size_t i = 0; i < n; i++)
		memset(element(m, buf, i), 0x5e, 4);
	for (size_t i = 0; i < len; i++)
		check((unsigned char)all[i] == 0x5e, "%s: memory outside the datatype was written (byte %zd of the buffer)",
		      what, (ssize_t)i - 64);
}

/* ints [from, from + n) of the view, through memory type m */
static void transfer(MPI_File fh, const struct memory *m, io_fn *io, char *buf, size_t from, size_t n)
{
	MPI_Datatype t;
	MPI_Status st;
	int count = (int)(m->type == mem_plain ? n : n / GROUP);

	m->type(&t);
	MPI_Type_commit(&t);
	io(fh, (MPI_Offset)from, buf + (MPI_Aint)(from / GROUP) * m->extent, count, t, &st);
	check_bytes(&st, (int)n * 4, what);
	MPI_Type_free(&t);
}

static void write_view(MPI_File fh, const struct view *v, const struct memory *m, const struct way *w, unsigned gen)
{
	size_t n = reach(v, me), first = n / GROUP / 2 * GROUP, len;
	char *all, *buf = memory_new(m, n, &all, &len);

	for (size_t i = 0; i < n; i++)
		pat_fill(element(m, buf, i), 4, (uint64_t)offsets[i], gen);
	snprintf(what, sizeof(what), "view %s, memory %s, write %s", v->name, m->name, w->name);
	transfer(fh, m, w->write, buf, first, n - first);
	transfer(fh, m, w->write, buf, 0, first);
	check_holes(m, buf, n, all, len);
	free(all);
}

static void read_view(MPI_File fh, const struct view *v, const struct memory *m, const struct way *w)
{
	size_t n = reach(v, me), first = n / GROUP / 3 * GROUP, len;
	char *all, *buf = memory_new(m, n, &all, &len);

	snprintf(what, sizeof(what), "view %s, memory %s, read %s", v->name, m->name, w->name);
	transfer(fh, m, w->read, buf, 0, first);
	transfer(fh, m, w->read, buf, first, n - first);
	for (size_t i = 0; i < n; i++)
		check_same(element(m, buf, i), model + offsets[i], 4, (uint64_t)offsets[i], what);
	check_holes(m, buf, n, all, len);
	free(all);
}

static void set_view(MPI_File fh, const struct view *v)
{
	MPI_Datatype t;

	rank = me;
	v->type(&t);
	MPI_Type_commit(&t);
	mpi(MPI_File_set_view(fh, v->disp ? v->disp() : 0, MPI_INT, t, "native", MPI_INFO_NULL));
	MPI_Type_free(&t);
}

/* the whole file, by plain contiguous reads */
static void check_file(MPI_File fh, size_t size)
{
	unsigned char *buf = xmalloc(size);
	MPI_Status st;

	mpi(MPI_File_set_view(fh, 0, MPI_BYTE, MPI_BYTE, "native", MPI_INFO_NULL));
	mpi(MPI_File_read_at(fh, 0, buf, (int)size, MPI_BYTE, &st));
	check_bytes(&st, (int)size, what);
	check_same(buf, model, size, 0, what);
	free(buf);
}

static void try_one(MPI_File fh, const struct view *v, size_t m, size_t w, unsigned gen)
{
	set_view(fh, v);
	write_view(fh, v, &memories[m % NR_MEMORIES], way(w), gen);
	update_model(v, gen);
	barrier();
	read_view(fh, v, &memories[(m + 1 + gen) % NR_MEMORIES], way(w + 1 + gen));
	barrier();
	check_file(fh, v->big ? BIG_SIZE : SIZE);
	barrier();
}

/* something in all holes, and the model that goes with it */
static void background(MPI_File fh)
{
	pat_fill(model, BIG_SIZE, 0, 0);
	if (me == 0)
		mpi(MPI_File_write_at(fh, 0, model, BIG_SIZE, MPI_BYTE, MPI_STATUS_IGNORE));
	barrier();
}

static int try_view(MPI_File fh, MPI_Offset disp, MPI_Datatype etype, MPI_Datatype filetype)
{
	return error_class(MPI_File_set_view(fh, disp, etype, filetype, "native", MPI_INFO_NULL));
}

/* two ints, at these offsets; the first is of len */
static MPI_Datatype two_pieces(MPI_Aint first, int len, MPI_Aint second)
{
	MPI_Aint at[] = { first, second };
	int lens[] = { len, 1 };
	MPI_Datatype t;

	MPI_Type_create_hindexed(2, lens, at, MPI_INT, &t);
	MPI_Type_commit(&t);
	return t;
}

/* Open MPI 4.1 refuses types that are not monotonic before its component sees them, by another class, on one rank alone, and for reading, too */
static int refused(int class)
{
	return class == MPI_ERR_TYPE ? MPI_ERR_IO : class;
}

/* as etype and as filetype, on all ranks or only on the last; then in a file that is only read */
static void bad_pieces(MPI_File fh, MPI_Datatype t, int want_reading, const char *name)
{
	MPI_File reading;
	int class = try_view(fh, 0, t, t);

	check_int(refused(class), MPI_ERR_IO, name);
	if (class == MPI_ERR_IO)
		check_int(try_view(fh, 0, MPI_INT, me == np - 1 ? t : MPI_INT), MPI_ERR_IO, name);
	reading = open_file(MPI_COMM_WORLD, base, MPI_MODE_RDONLY);
	check_int(refused(try_view(reading, 0, MPI_INT, t)), class == MPI_ERR_IO ? want_reading : MPI_ERR_IO, name);
	mpi(MPI_File_close(&reading));
	MPI_Type_free(&t);
}

/* what is no view is refused on all ranks, also if only one of them asks for it */
static void bad_views(MPI_File fh)
{
	MPI_Datatype empty, pair, raw;
	bool last = me == np - 1;

	if (!ours)
		return; /* ROMIO would wait for the last rank, or divide by 0 */
	MPI_Type_contiguous(0, MPI_INT, &empty);
	MPI_Type_contiguous(2, MPI_INT, &pair);
	MPI_Type_contiguous(2, MPI_INT, &raw);
	MPI_Type_commit(&empty);
	MPI_Type_commit(&pair);
	snprintf(what, sizeof(what), "bad views");
	check_int(try_view(fh, 0, last ? empty : MPI_INT, MPI_INT), MPI_ERR_ARG, "an etype without a byte");
	check_int(try_view(fh, 0, last ? pair : MPI_INT, MPI_INT), MPI_ERR_ARG, "an etype larger than the filetype");
	check_int(try_view(fh, last ? -8 : 0, MPI_INT, MPI_INT), MPI_ERR_ARG, "a negative displacement");
	check_int(try_view(fh, last ? MPI_DISPLACEMENT_CURRENT : 0, MPI_INT, MPI_INT), MPI_ERR_ARG,
		  "MPI_DISPLACEMENT_CURRENT in a file that is not sequential");
	check(try_view(fh, 0, MPI_INT, raw) != MPI_SUCCESS, "a filetype that is not committed");
	bad_pieces(fh, two_pieces(-8, 1, 8), MPI_ERR_IO, "a negative offset in a type");
	bad_pieces(fh, two_pieces(12, 1, 0), MPI_ERR_IO, "offsets that decrease");
	bad_pieces(fh, two_pieces(0, 3, 4), MPI_SUCCESS, "pieces that overlap");
	check_int(try_view(fh, 0, MPI_INT, empty), MPI_SUCCESS, "a filetype without a byte");
	check_int(try_view(fh, 0, MPI_BYTE, MPI_BYTE), MPI_SUCCESS, "a view of bytes");
	MPI_Type_free(&empty);
	MPI_Type_free(&pair);
	MPI_Type_free(&raw);
}

int main(int argc, char **argv)
{
	MPI_File fh;
	unsigned gen = 0;

	test_init(&argc, &argv);
	model = xmalloc(BIG_SIZE);
	offsets = xmalloc(MAX_INTS * sizeof(*offsets));
	fh = open_file(MPI_COMM_WORLD, base, RDWR_NEW);
	background(fh);
	for (size_t v = 0; v < NR_VIEWS; v++)
		for (size_t w = 0; w < NR_WAYS; w++)
			for (size_t m = 0; m < NR_MEMORIES; m++)
				if (!views[v].big || m == w % NR_MEMORIES)
					try_one(fh, &views[v], m, w, ++gen);
	bad_views(fh);
	mpi(MPI_File_close(&fh));
	free(model);
	free(offsets);
	return test_end();
}
