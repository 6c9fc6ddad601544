/*
 * ad_pmem_flat.c -- datatypes as lists of pieces
 *
 * A type is taken apart as MPI says (MPI_Type_get_envelope, _get_contents; the
 * meaning of each constructor is chapter 4 of MPI 3.1), not with ROMIO's or Open
 * MPI's own means.  Pieces that touch, in the order of the type map, become one.
 */
#include "ad_pmem.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static int keyval = MPI_KEYVAL_INVALID;
static pthread_mutex_t keyval_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- lists of pieces ------------------------------------------------------------------ */

struct builder {
	struct flat_piece *pieces;
	size_t nr, room;
	bool failed; /* out of memory: what is added from then on is lost */
};

static void add_bytes(struct builder *b, int64_t off, uint64_t len)
{
	struct flat_piece *last = b->nr ? &b->pieces[b->nr - 1] : NULL;

	if (len == 0 || b->failed)
		return;
	if (last && last->off + (int64_t)last->len == off) {
		last->len += len;
		return;
	}
	if (b->nr == b->room) {
		size_t room = b->room ? b->room * 2 : 16;
		struct flat_piece *more = realloc(b->pieces, room * sizeof(*more));

		if (!more) {
			b->failed = true;
			return;
		}
		b->pieces = more;
		b->room = room;
	}
	b->pieces[b->nr].off = off;
	b->pieces[b->nr++].len = len;
}

/* count elements of a type, one after the other, from off on */
static void add_elements(struct builder *b, const struct flat *of, int64_t off, int64_t count)
{
	if (of->dense) {
		add_bytes(b, off, (uint64_t)count * of->size);
		return;
	}
	for (int64_t i = 0; i < count; i++) {
		for (size_t j = 0; j < of->nr; j++)
			add_bytes(b, off + i * of->extent + of->pieces[j].off, of->pieces[j].len);
	}
}

bool flat_is_named(MPI_Datatype type)
{
	int ni, na, nd, combiner;

	PMPI_Type_get_envelope(type, &ni, &na, &nd, &combiner);
	return combiner == MPI_COMBINER_NAMED;
}

/* ---- constructors ----------------------------------------------------------------------- */

struct parts {
	int combiner;
	int ni, na, nd;
	int *i;
	MPI_Aint *a;
	MPI_Datatype *d;
	const struct flat **of; /* of d */
};

static void add_vector(struct builder *b, const struct parts *p, int64_t stride)
{
	for (int k = 0; k < p->i[0]; k++)
		add_elements(b, p->of[0], k * stride, p->i[1]);
}

/* i[0] blocks; lengths in i[1..] or all i[1]; places in elements of the type, or in bytes */
static void add_indexed(struct builder *b, const struct parts *p, bool one_length, bool in_bytes)
{
	const int *lengths = p->i + 1;
	const int *places = one_length ? p->i + 2 : p->i + 1 + p->i[0];

	for (int k = 0; k < p->i[0]; k++) {
		int64_t off = in_bytes ? p->a[k] : places[k] * p->of[0]->extent;

		add_elements(b, p->of[0], off, one_length ? lengths[0] : lengths[k]);
	}
}

static void add_struct(struct builder *b, const struct parts *p)
{
	for (int k = 0; k < p->i[0]; k++)
		add_elements(b, p->of[k], p->a[k], p->i[1 + k]);
}

/* an array's part: for each dimension, slowest first, runs of indices that are in it */
struct dim {
	int64_t size;	      /* of the whole array */
	int64_t first;	      /* first index of the first run */
	int64_t run, stride;  /* length of a run, and from one to the next */
	int64_t end;	      /* indices from here on are not in it */
};

static void add_array(struct builder *b, const struct flat *of, const struct dim *dims, int nr,
		      int64_t index)
{
	const struct dim *d = dims;

	for (int64_t start = d->first; start < d->end; start += d->stride) {
		int64_t stop = start + d->run < d->end ? start + d->run : d->end;

		if (nr == 1) {
			add_elements(b, of, (index * d->size + start) * of->extent, stop - start);
			continue;
		}
		for (int64_t k = start; k < stop; k++)
			add_array(b, of, dims + 1, nr - 1, index * d->size + k);
	}
}

/* i: ndims, sizes, subsizes, starts, order */
static void add_subarray(struct builder *b, const struct parts *p, struct dim *dims)
{
	int n = p->i[0];
	bool fortran = p->i[3 * n + 1] == MPI_ORDER_FORTRAN;

	for (int k = 0; k < n; k++) {
		struct dim *d = &dims[fortran ? n - 1 - k : k];

		d->size = p->i[1 + k];
		d->run = p->i[1 + n + k];
		d->first = p->i[1 + 2 * n + k];
		d->stride = d->size + 1;
		d->end = d->first + d->run;
	}
	add_array(b, p->of[0], dims, n, 0);
}

/* one dimension of a distributed array: block k of `coords` of `procs` processes */
static void distribute(struct dim *d, int64_t size, int how, int64_t darg, int64_t procs, int64_t coord)
{
	int64_t block;

	d->size = size;
	if (how == MPI_DISTRIBUTE_NONE) {
		block = size;
		procs = 1;
		coord = 0;
	} else if (how == MPI_DISTRIBUTE_BLOCK) {
		block = darg == MPI_DISTRIBUTE_DFLT_DARG ? (size + procs - 1) / procs : darg;
	} else {
		block = darg == MPI_DISTRIBUTE_DFLT_DARG ? 1 : darg;
	}
	if (block < 1)
		block = 1;
	d->run = block;
	d->first = coord * block;
	d->stride = block * procs;
	d->end = size;
	if (how == MPI_DISTRIBUTE_BLOCK && d->first + block < d->end)
		d->end = d->first + block;
}

/* i: size, rank, ndims, gsizes, distribs, dargs, psizes, order; processes in C order always */
static void add_darray(struct builder *b, const struct parts *p, struct dim *dims)
{
	int n = p->i[2];
	const int *gsizes = p->i + 3, *distribs = gsizes + n, *dargs = distribs + n;
	const int *psizes = dargs + n;
	bool fortran = psizes[n] == MPI_ORDER_FORTRAN;
	int64_t rest = p->i[1], procs = p->i[0];

	for (int k = 0; k < n; k++) {
		int64_t coord;

		procs /= psizes[k];
		coord = rest / procs;
		rest %= procs;
		distribute(&dims[fortran ? n - 1 - k : k], gsizes[k], distribs[k], dargs[k], psizes[k],
			   coord);
	}
	add_array(b, p->of[0], dims, n, 0);
}

static void add_parts(struct builder *b, const struct parts *p)
{
	struct dim *dims;

	switch (p->combiner) {
	case MPI_COMBINER_DUP:
	case MPI_COMBINER_RESIZED:
		add_elements(b, p->of[0], 0, 1);
		break;
	case MPI_COMBINER_CONTIGUOUS:
		add_elements(b, p->of[0], 0, p->i[0]);
		break;
	case MPI_COMBINER_VECTOR:
		add_vector(b, p, p->i[2] * p->of[0]->extent);
		break;
	case MPI_COMBINER_HVECTOR:
		add_vector(b, p, p->a[0]);
		break;
	case MPI_COMBINER_INDEXED:
		add_indexed(b, p, false, false);
		break;
	case MPI_COMBINER_HINDEXED:
		add_indexed(b, p, false, true);
		break;
	case MPI_COMBINER_INDEXED_BLOCK:
		add_indexed(b, p, true, false);
		break;
	case MPI_COMBINER_HINDEXED_BLOCK:
		add_indexed(b, p, true, true);
		break;
	case MPI_COMBINER_STRUCT:
		add_struct(b, p);
		break;
	case MPI_COMBINER_SUBARRAY:
	case MPI_COMBINER_DARRAY:
		dims = calloc((size_t)(p->combiner == MPI_COMBINER_DARRAY ? p->i[2] : p->i[0]) + 1,
			      sizeof(*dims));
		if (!dims)
			b->failed = true;
		else if (p->combiner == MPI_COMBINER_DARRAY)
			add_darray(b, p, dims);
		else
			add_subarray(b, p, dims);
		free(dims);
		break;
	default:
		pmio_err("MPI datatype with unknown constructor %d", p->combiner);
		b->failed = true;
	}
}

/* ---- one type ------------------------------------------------------------------------------- */

static struct flat *make_flat(MPI_Datatype type);

static void free_flat(struct flat *fl)
{
	if (!fl || atomic_fetch_sub(&fl->users, 1) != 1)
		return;
	free(fl->pieces);
	free(fl);
}

/* types got from MPI_Type_get_contents are ours to free, but for the named ones */
static void free_parts(struct parts *p)
{
	for (int k = 0; k < p->nd && p->d; k++) {
		if (p->of && p->of[k])
			free_flat((struct flat *)(uintptr_t)p->of[k]);
		if (p->d[k] != MPI_DATATYPE_NULL && !flat_is_named(p->d[k]))
			PMPI_Type_free(&p->d[k]);
	}
	free(p->of);
	free(p->i);
	free(p->a);
	free(p->d);
}

static bool get_parts(MPI_Datatype type, struct parts *p)
{
	p->i = calloc((size_t)p->ni + 1, sizeof(*p->i));
	p->a = calloc((size_t)p->na + 1, sizeof(*p->a));
	p->of = calloc((size_t)p->nd + 1, sizeof(*p->of));
	p->d = calloc((size_t)p->nd + 1, sizeof(*p->d));
	if (!p->i || !p->a || !p->of || !p->d)
		return false;
	for (int k = 0; k < p->nd; k++)
		p->d[k] = MPI_DATATYPE_NULL;
	if (PMPI_Type_get_contents(type, p->ni, p->na, p->nd, p->i, p->a, p->d) != MPI_SUCCESS)
		return false;
	for (int k = 0; k < p->nd; k++) {
		p->of[k] = make_flat(p->d[k]);
		if (!p->of[k])
			return false;
	}
	return true;
}

static bool build(MPI_Datatype type, struct builder *b)
{
	struct parts p = { 0 };
	bool good;

	PMPI_Type_get_envelope(type, &p.ni, &p.na, &p.nd, &p.combiner);
	if (p.combiner == MPI_COMBINER_NAMED || p.nd == 0) {
		MPI_Count size, lb, extent;

		/* basic types; those of pairs may have a gap inside that is of no consequence */
		PMPI_Type_size_x(type, &size);
		PMPI_Type_get_true_extent_x(type, &lb, &extent);
		if (size == extent) {
			add_bytes(b, lb, (uint64_t)size);
			return !b->failed;
		}
	}
	if (p.combiner == MPI_COMBINER_NAMED) {
		/* a pair: its parts lie at the start and at the end (MPI_SHORT_INT, MPI_DOUBLE_INT, ...) */
		MPI_Count size, lb, extent;
		MPI_Count second = (MPI_Count)sizeof(int);

		PMPI_Type_size_x(type, &size);
		PMPI_Type_get_true_extent_x(type, &lb, &extent);
		add_bytes(b, lb, (uint64_t)(size - second));
		add_bytes(b, lb + extent - second, (uint64_t)second);
		return !b->failed;
	}
	good = get_parts(type, &p);
	if (good)
		add_parts(b, &p);
	free_parts(&p);
	return good && !b->failed;
}

static struct flat *make_flat(MPI_Datatype type)
{
	struct builder b = { 0 };
	struct flat *fl = calloc(1, sizeof(*fl));
	MPI_Count lb, extent;

	if (!fl || !build(type, &b)) {
		free(b.pieces);
		free(fl);
		return NULL;
	}
	PMPI_Type_get_extent_x(type, &lb, &extent);
	fl->users = 1;
	fl->pieces = b.pieces;
	fl->nr = b.nr;
	fl->extent = extent;
	for (size_t i = 0; i < fl->nr; i++) {
		fl->pieces[i].before = fl->size;
		fl->size += fl->pieces[i].len;
	}
	fl->dense = fl->size == 0 ||
		    (fl->nr == 1 && fl->pieces[0].off == 0 && (int64_t)fl->size == fl->extent);
	return fl;
}

/* ---- keeping them with their types --------------------------------------------------------------- */

/* a duplicate of a type has the same pieces */
static int copy_attr(MPI_Datatype type, int key, void *extra, void *value, void *copy, int *flag)
{
	struct flat *fl = value;

	(void)type;
	(void)key;
	(void)extra;
	atomic_fetch_add(&fl->users, 1);
	*(struct flat **)copy = fl;
	*flag = 1;
	return MPI_SUCCESS;
}

static int delete_attr(MPI_Datatype type, int key, void *value, void *extra)
{
	(void)type;
	(void)key;
	(void)extra;
	free_flat(value);
	return MPI_SUCCESS;
}

/*
 * Basic types live as long as MPI does, and longer than this component's code: an
 * attribute on them would call into nowhere at the end.
 */
static const struct flat *get_named(MPI_Datatype type)
{
	static struct {
		MPI_Datatype type;
		struct flat *fl;
	} known[128]; /* under keyval_lock; MPI has fewer */
	const struct flat *fl = NULL;

	pthread_mutex_lock(&keyval_lock);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && !fl; i++) {
		if (!known[i].fl) {
			known[i].type = type;
			known[i].fl = make_flat(type);
		}
		if (known[i].type == type)
			fl = known[i].fl;
	}
	pthread_mutex_unlock(&keyval_lock);
	return fl;
}

/* the piece with byte pos of an element's data; pos < size */
static size_t find_piece(const struct flat *fl, uint64_t pos)
{
	size_t lo = 0;

	for (size_t hi = fl->nr; hi - lo > 1;) {
		size_t mid = lo + (hi - lo) / 2;

		if (fl->pieces[mid].before <= pos)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

int flat_seek(const struct flat *fl, int64_t origin, uint64_t pos, struct flat_at *at)
{
	uint64_t in_element;
	int64_t skip = (int64_t)pos;

	if (pos > INT64_MAX ||
	    (fl && __builtin_mul_overflow((int64_t)(pos / fl->size), fl->extent, &skip)) ||
	    __builtin_add_overflow(origin, skip, &at->base))
		return -EFBIG;
	at->piece = 0;
	at->in_piece = 0;
	if (!fl)
		return 0;
	in_element = pos % fl->size;
	at->piece = find_piece(fl, in_element);
	at->in_piece = in_element - fl->pieces[at->piece].before;
	return 0;
}

const struct flat *flat_get(MPI_Datatype type)
{
	struct flat *fl = NULL;
	int found = 0;

	if (flat_is_named(type))
		return get_named(type);
	pthread_mutex_lock(&keyval_lock);
	if (keyval == MPI_KEYVAL_INVALID)
		PMPI_Type_create_keyval(copy_attr, delete_attr, &keyval, NULL);
	else
		PMPI_Type_get_attr(type, keyval, &fl, &found);
	if (!found) {
		fl = make_flat(type);
		if (fl && PMPI_Type_set_attr(type, keyval, fl) != MPI_SUCCESS) {
			free_flat(fl);
			fl = NULL;
		}
	}
	pthread_mutex_unlock(&keyval_lock);
	return fl;
}

void flat_fini(void)
{
	pthread_mutex_lock(&keyval_lock);
	if (keyval != MPI_KEYVAL_INVALID)
		PMPI_Type_free_keyval(&keyval);
	pthread_mutex_unlock(&keyval_lock);
}
