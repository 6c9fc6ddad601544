/*
 * flat.c -- datatypes as lists of pieces
 *
 * A type is decoded with standard MPI (MPI_Type_get_envelope, _get_contents; the
 * meaning of each constructor is in chapter 4 of MPI 3.1), not with ROMIO's or Open
 * MPI's internals.  Adjacent pieces, in the order of the type map, are joined.
 */
#include "engine.h"
#include "flat.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic int keyval = MPI_KEYVAL_INVALID;
static pthread_mutex_t keyval_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- lists of pieces ------------------------------------------------------------------ */

struct builder {
	struct flat_piece *pieces;
	size_t nr, room;
	bool failed; /* out of memory: pieces added from then on are lost */
	bool with_leaves;
	MPI_Datatype *leaves; /* of each piece, if requested; of the same size */
};

static bool make_room(struct builder *b)
{
	size_t room = b->room ? b->room * 2 : 16;
	struct flat_piece *more = realloc(b->pieces, room * sizeof(*more));
	MPI_Datatype *leaves = b->with_leaves ? realloc(b->leaves, room * sizeof(*leaves)) : NULL;

	b->pieces = more ? more : b->pieces;
	b->leaves = leaves ? leaves : b->leaves;
	b->failed = !more || (b->with_leaves && !leaves);
	if (!b->failed)
		b->room = room;
	return !b->failed;
}

/* leaf: the basic type of these bytes */
static void add_bytes(struct builder *b, int64_t off, uint64_t len, MPI_Datatype leaf)
{
	struct flat_piece *last = b->nr ? &b->pieces[b->nr - 1] : NULL;

	if (len == 0 || b->failed)
		return;
	if (last && last->off + (int64_t)last->len == off && (!b->with_leaves || b->leaves[b->nr - 1] == leaf)) {
		last->len += len;
		return;
	}
	if (b->nr == b->room && !make_room(b))
		return;
	if (b->with_leaves)
		b->leaves[b->nr] = leaf;
	b->pieces[b->nr].off = off;
	b->pieces[b->nr++].len = len;
}

/* count elements of a type, one after the other, from off on */
static MPI_Datatype leaf_of(const struct flat *of, size_t piece)
{
	return of->leaves ? of->leaves[piece] : MPI_DATATYPE_NULL;
}

static void add_elements(struct builder *b, const struct flat *of, int64_t off, int64_t count)
{
	if (of->dense && of->size) {
		add_bytes(b, off, (uint64_t)count * of->size, leaf_of(of, 0));
		return;
	}
	for (int64_t i = 0; i < count; i++) {
		for (size_t j = 0; j < of->nr; j++)
			add_bytes(b, off + i * of->extent + of->pieces[j].off, of->pieces[j].len, leaf_of(of, j));
	}
}

/* ---- constructors ----------------------------------------------------------------------- */

/* a constructor's arguments, in the order of MPI_Type_get_contents, in one form for small and large counts */
struct parts {
	int combiner;
	MPI_Count ni, na, nl, nd; /* nl: number of large counts, if the type was made by a call with these */
	int64_t *i, *a;
	MPI_Datatype *d;
	const struct flat **of; /* of d */
};

static void add_vector(struct builder *b, const struct parts *p, int64_t stride)
{
	for (int64_t k = 0; k < p->i[0]; k++)
		add_elements(b, p->of[0], k * stride, p->i[1]);
}

/* i[0] blocks; lengths in i[1..] or all i[1]; offsets in elements of the type, or in bytes */
static void add_indexed(struct builder *b, const struct parts *p, bool one_length, bool in_bytes)
{
	const int64_t *lengths = p->i + 1;
	const int64_t *places = one_length ? p->i + 2 : p->i + 1 + p->i[0];

	for (int64_t k = 0; k < p->i[0]; k++) {
		int64_t off = in_bytes ? p->a[k] : places[k] * p->of[0]->extent;

		add_elements(b, p->of[0], off, one_length ? lengths[0] : lengths[k]);
	}
}

static void add_struct(struct builder *b, const struct parts *p)
{
	for (int64_t k = 0; k < p->i[0]; k++)
		add_elements(b, p->of[k], p->a[k], p->i[1 + k]);
}

/* a part of an array: for each dimension, slowest first, the runs of indices in it */
struct dim {
	int64_t size;	      /* of the whole array */
	int64_t first;	      /* first index of the first run */
	int64_t run, stride;  /* length of a run, and distance from one to the next */
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

/*
 * For programs of the MPI-5.0 ABI, Open MPI 6.0 returns the constants of its own mpi.h here when it decodes a type: none
 * of them means anything else in the ABI, or in MPICH.
 */
static bool is_fortran(MPI_Count order)
{
	return order == MPI_ORDER_FORTRAN || order == 1;
}

static bool is_distributed(MPI_Count how, int kind, int openmpi)
{
	return how == kind || how == openmpi;
}

static bool is_default(MPI_Count darg)
{
	return darg == MPI_DISTRIBUTE_DFLT_DARG || darg == -1;
}

/* i: ndims, sizes, subsizes, starts, order */
static void add_subarray(struct builder *b, const struct parts *p, struct dim *dims)
{
	int n = (int)p->i[0];
	bool fortran = is_fortran(p->i[3 * n + 1]);

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
	if (is_distributed(how, MPI_DISTRIBUTE_NONE, 2)) {
		block = size;
		procs = 1;
		coord = 0;
	} else if (is_distributed(how, MPI_DISTRIBUTE_BLOCK, 0)) {
		block = is_default(darg) ? (size + procs - 1) / procs : darg;
	} else {
		block = is_default(darg) ? 1 : darg;
	}
	if (block < 1)
		block = 1;
	d->run = block;
	d->first = coord * block;
	d->stride = block * procs;
	d->end = size;
	if (is_distributed(how, MPI_DISTRIBUTE_BLOCK, 0) && d->first + block < d->end)
		d->end = d->first + block;
}

/* i: size, rank, ndims, gsizes, distribs, dargs, psizes, order; processes in C order always */
static void add_darray(struct builder *b, const struct parts *p, struct dim *dims)
{
	int n = (int)p->i[2];
	const int64_t *gsizes = p->i + 3, *distribs = gsizes + n, *dargs = distribs + n;
	const int64_t *psizes = dargs + n;
	bool fortran = is_fortran(psizes[n]);
	int64_t rest = p->i[1], procs = p->i[0];

	for (int k = 0; k < n; k++) {
		int64_t coord;

		procs /= psizes[k];
		coord = rest / procs;
		rest %= procs;
		distribute(&dims[fortran ? n - 1 - k : k], gsizes[k], (int)distribs[k], dargs[k], psizes[k],
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

/* ---- decoding a type ---------------------------------------------------------------------- */

static void get_envelope(MPI_Datatype type, struct parts *p)
{
#if MPI_VERSION >= 4
	PMPI_Type_get_envelope_c(type, &p->ni, &p->na, &p->nl, &p->nd, &p->combiner);
#else
	int ni, na, nd;

	PMPI_Type_get_envelope(type, &ni, &na, &nd, &p->combiner);
	p->ni = ni;
	p->na = na;
	p->nl = 0;
	p->nd = nd;
#endif
}

bool flat_is_named(MPI_Datatype type)
{
	struct parts p;

	get_envelope(type, &p);
	return p.combiner == MPI_COMBINER_NAMED;
}

static int get_small(MPI_Datatype type, struct parts *p)
{
	int *i = calloc((size_t)p->ni + 1, sizeof(*i)), rc = MPI_ERR_NO_MEM;
	MPI_Aint *a = calloc((size_t)p->na + 1, sizeof(*a));

	if (i && a)
		rc = PMPI_Type_get_contents(type, (int)p->ni, (int)p->na, (int)p->nd, i, a, p->d);
	for (MPI_Count k = 0; k < p->ni && rc == MPI_SUCCESS; k++)
		p->i[k] = i[k];
	for (MPI_Count k = 0; k < p->na && rc == MPI_SUCCESS; k++)
		p->a[k] = a[k];
	free(i);
	free(a);
	return rc;
}

#if MPI_VERSION >= 4
/* with large counts, offsets in bytes are among the counts, and an array's sizes are separate from its other numbers */
static void put_in_place(struct parts *p, const int *i, const MPI_Count *l)
{
	MPI_Count n = p->nl, places = 0;

	switch (p->combiner) {
	case MPI_COMBINER_SUBARRAY: /* i: ndims, order */
		p->i[0] = i[0];
		p->i[n + 1] = i[1];
		memcpy(p->i + 1, l, (size_t)n * sizeof(*l));
		return;
	case MPI_COMBINER_DARRAY: /* i: size, rank, ndims, then what follows the sizes */
		for (MPI_Count k = 0; k < p->ni; k++)
			p->i[k < 3 ? k : k + n] = i[k];
		memcpy(p->i + 3, l, (size_t)n * sizeof(*l));
		return;
	case MPI_COMBINER_HVECTOR:
		places = 1;
		break;
	case MPI_COMBINER_HINDEXED:
	case MPI_COMBINER_HINDEXED_BLOCK:
	case MPI_COMBINER_STRUCT:
		places = l[0];
		break;
	}
	memcpy(p->i, l, (size_t)(n - places) * sizeof(*l));
	memcpy(p->a, l + (n - places), (size_t)places * sizeof(*l));
}

static int get_large(MPI_Datatype type, struct parts *p)
{
	int *i = calloc((size_t)p->ni + 1, sizeof(*i)), rc = MPI_ERR_NO_MEM;
	MPI_Aint *a = calloc((size_t)p->na + 1, sizeof(*a));
	MPI_Count *l = calloc((size_t)p->nl + 1, sizeof(*l));

	if (i && a && l)
		rc = PMPI_Type_get_contents_c(type, p->ni, p->na, p->nl, p->nd, i, a, l, p->d);
	if (rc == MPI_SUCCESS)
		put_in_place(p, i, l);
	free(i);
	free(a);
	free(l);
	return rc;
}
#else
static int get_large(MPI_Datatype type, struct parts *p)
{
	(void)type;
	(void)p;
	return MPI_ERR_INTERN; /* there are no others */
}
#endif

/* ---- one type ------------------------------------------------------------------------------- */

static struct flat *make_flat(MPI_Datatype type, bool with_leaves);

struct flat *flat_keep(const struct flat *fl)
{
	struct flat *own = (struct flat *)(uintptr_t)fl;

	atomic_fetch_add(&own->users, 1);
	return own;
}

void flat_free(struct flat *fl)
{
	if (!fl || atomic_fetch_sub(&fl->users, 1) != 1)
		return;
	free(fl->pieces);
	free(fl->leaves);
	free(fl);
}

/* types from MPI_Type_get_contents have to be freed, except named ones */
static void free_parts(struct parts *p)
{
	for (MPI_Count k = 0; k < p->nd && p->d; k++) {
		if (p->of && p->of[k])
			flat_free((struct flat *)(uintptr_t)p->of[k]);
		if (p->d[k] != MPI_DATATYPE_NULL && !flat_is_named(p->d[k]))
			PMPI_Type_free(&p->d[k]);
	}
	free(p->of);
	free(p->i);
	free(p->a);
	free(p->d);
}

static bool get_parts(MPI_Datatype type, struct parts *p, bool with_leaves)
{
	p->i = calloc((size_t)(p->ni + p->nl) + 1, sizeof(*p->i));
	p->a = calloc((size_t)(p->na + p->nl) + 1, sizeof(*p->a));
	p->of = calloc((size_t)p->nd + 1, sizeof(*p->of));
	p->d = calloc((size_t)p->nd + 1, sizeof(*p->d));
	if (!p->i || !p->a || !p->of || !p->d)
		return false;
	for (MPI_Count k = 0; k < p->nd; k++)
		p->d[k] = MPI_DATATYPE_NULL;
	if ((p->nl ? get_large(type, p) : get_small(type, p)) != MPI_SUCCESS)
		return false;
	for (MPI_Count k = 0; k < p->nd; k++) {
		p->of[k] = make_flat(p->d[k], with_leaves);
		if (!p->of[k])
			return false;
	}
	return true;
}

static bool build(MPI_Datatype type, struct builder *b)
{
	struct parts p = { 0 };
	bool good;

	get_envelope(type, &p);
	if (p.combiner == MPI_COMBINER_NAMED || p.nd == 0) {
		MPI_Count size, lb, extent;

		/* basic types; those of pairs may have a gap inside, which does not matter */
		PMPI_Type_size_x(type, &size);
		PMPI_Type_get_true_extent_x(type, &lb, &extent);
		if (size == extent) {
			add_bytes(b, lb, (uint64_t)size, type);
			return !b->failed;
		}
	}
	if (p.combiner == MPI_COMBINER_NAMED) {
		/* a pair: its parts are at the start and at the end (MPI_SHORT_INT, MPI_DOUBLE_INT, ...) */
		MPI_Count size, lb, extent;
		MPI_Count second = (MPI_Count)sizeof(int);

		PMPI_Type_size_x(type, &size);
		PMPI_Type_get_true_extent_x(type, &lb, &extent);
		add_bytes(b, lb, (uint64_t)(size - second), MPI_DATATYPE_NULL);
		add_bytes(b, lb + extent - second, (uint64_t)second, MPI_DATATYPE_NULL);
		return !b->failed;
	}
	good = get_parts(type, &p, b->with_leaves);
	if (good)
		add_parts(b, &p);
	free_parts(&p);
	return good && !b->failed;
}

static int64_t stride_of(const struct flat *fl)
{
	int64_t stride;

	if (fl->nr < 2)
		return 0;
	stride = fl->pieces[1].off - fl->pieces[0].off;
	for (size_t i = 1; i < fl->nr; i++) {
		if (fl->pieces[i].len != fl->pieces[0].len || fl->pieces[i].off - fl->pieces[i - 1].off != stride)
			return 0;
	}
	return stride;
}

static struct flat *make_flat(MPI_Datatype type, bool with_leaves)
{
	struct builder b = { .with_leaves = with_leaves };
	struct flat *fl = calloc(1, sizeof(*fl));
	MPI_Count lb, extent;

	if (!fl || !build(type, &b)) {
		free(b.pieces);
		free(b.leaves);
		free(fl);
		return NULL;
	}
	PMPI_Type_get_extent_x(type, &lb, &extent);
	fl->users = 1;
	fl->pieces = b.pieces;
	fl->leaves = b.leaves;
	fl->nr = b.nr;
	fl->extent = extent;
	for (size_t i = 0; i < fl->nr; i++) {
		fl->pieces[i].before = fl->size;
		fl->size += fl->pieces[i].len;
	}
	fl->stride = stride_of(fl);
	fl->dense = fl->size == 0 ||
		    (fl->nr == 1 && fl->pieces[0].off == 0 && (int64_t)fl->size == fl->extent);
	return fl;
}

/* ---- caching them with their types --------------------------------------------------------------- */

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
	flat_free(value);
	return MPI_SUCCESS;
}

/*
 * Basic types exist as long as MPI, and perhaps longer than this code is loaded: an attribute on them would
 * call unloaded code at the end.  Each transfer needs them, so a known type is found without the lock.
 */
static struct {
	MPI_Datatype type;
	_Atomic(struct flat *) fl; /* stored last, and never changed */
} known[128]; /* written under keyval_lock; MPI has fewer */

static struct flat *find_named(MPI_Datatype type, size_t *end)
{
	struct flat *fl;

	for (*end = 0; *end < sizeof(known) / sizeof(known[0]); ++*end) {
		fl = atomic_load_explicit(&known[*end].fl, memory_order_acquire);
		if (!fl || known[*end].type == type)
			return fl;
	}
	return NULL;
}

static const struct flat *get_named(MPI_Datatype type)
{
	size_t end;
	struct flat *fl = find_named(type, &end);

	if (fl)
		return fl;
	pthread_mutex_lock(&keyval_lock);
	fl = find_named(type, &end);
	if (!fl && end < sizeof(known) / sizeof(known[0])) {
		fl = make_flat(type, false);
		known[end].type = type;
		atomic_store_explicit(&known[end].fl, fl, memory_order_release);
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

/* the type's attribute; NULL: it has none */
static struct flat *kept(MPI_Datatype type)
{
	int key = atomic_load_explicit(&keyval, memory_order_acquire), found = 0;
	struct flat *fl = NULL;

	if (key != MPI_KEYVAL_INVALID)
		PMPI_Type_get_attr(type, key, &fl, &found);
	return found ? fl : NULL;
}

/* keyval_lock held: two threads must not both set it */
static struct flat *make_and_keep(MPI_Datatype type)
{
	struct flat *fl;
	int key = keyval;

	if (key == MPI_KEYVAL_INVALID) {
		PMPI_Type_create_keyval(copy_attr, delete_attr, &key, NULL);
		atomic_store_explicit(&keyval, key, memory_order_release);
	}
	fl = make_flat(type, false);
	if (fl && PMPI_Type_set_attr(type, key, fl) != MPI_SUCCESS) {
		flat_free(fl);
		fl = NULL;
	}
	return fl;
}

const struct flat *flat_get(MPI_Datatype type)
{
	size_t end;
	/* first, as MPICH takes its process-wide lock for an envelope, which threads would wait for; a named type is never freed */
	struct flat *fl = find_named(type, &end);

	if (fl)
		return fl;
	fl = kept(type);
	if (fl)
		return fl;
	if (flat_is_named(type))
		return get_named(type);
	pthread_mutex_lock(&keyval_lock);
	fl = kept(type);
	if (!fl)
		fl = make_and_keep(type);
	pthread_mutex_unlock(&keyval_lock);
	return fl;
}

void flat_fini(void)
{
	int key;

	pthread_mutex_lock(&keyval_lock);
	key = keyval;
	keyval = MPI_KEYVAL_INVALID;
	if (key != MPI_KEYVAL_INVALID)
		PMPI_Type_free_keyval(&key);
	pthread_mutex_unlock(&keyval_lock);
}

struct flat *flat_with_leaves(MPI_Datatype type)
{
	return make_flat(type, true);
}
