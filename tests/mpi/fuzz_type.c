/* random datatypes; see fuzz_type.h */
#include "fuzz_type.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECES_MAX 3000
#define DIMS_MAX 3
#define TRIES 20

/* ---- numbers --------------------------------------------------------------------- */

uint64_t mix64(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

uint64_t rng_next(struct rng *r)
{
	r->s += 0x9e3779b97f4a7c15ull;
	return mix64(r->s);
}

int64_t rng_below(struct rng *r, int64_t n)
{
	return (int64_t)(rng_next(r) % (uint64_t)n);
}

int64_t rng_range(struct rng *r, int64_t lo, int64_t hi)
{
	return lo + rng_below(r, hi - lo + 1);
}

bool rng_chance(struct rng *r, int percent)
{
	return rng_below(r, 100) < percent;
}

/* ---- one type ---------------------------------------------------------------------- */

enum kind {
	BASIC,
	DUP,
	CONTIGUOUS,
	VECTOR,
	HVECTOR,
	INDEXED,
	HINDEXED,
	INDEXED_BLOCK,
	HINDEXED_BLOCK,
	STRUCT,
	RESIZED,
	SUBARRAY,
	DARRAY,
	NR_KINDS
};

static const char *const names[NR_KINDS] = { "", "dup", "contiguous", "vector", "hvector", "indexed",
	"hindexed", "indexed_block", "hindexed_block", "struct", "resized", "subarray", "darray" };

struct ty {
	enum kind kind;
	int basic;	   /* BASIC: index in basics */
	int nr;		   /* blocks or dimensions; elements of CONTIGUOUS */
	int *len;	   /* of blocks, in elements; VECTOR, *_BLOCK: len[0] only */
	int64_t *at;	   /* of blocks, in elements or bytes; vectors: at[0] is the stride; RESIZED: lb, extent */
	struct ty **kids;  /* STRUCT: nr of them, else one; owned */
	int nr_kids;
	/* arrays: dimensions in the order they were given */
	int sizes[DIMS_MAX], sub[DIMS_MAX], start[DIMS_MAX];
	int dist[DIMS_MAX], darg[DIMS_MAX], procs[DIMS_MAX];
	int order, rank, ranks;

	struct ty_piece *p;
	size_t nr_p, room_p;
	struct ty_leaf *leaves;
	size_t nr_leaves, room_leaves;
	int64_t size, elements;
	int64_t lb, ub;
	bool bounded;	   /* lb and ub were said, not found */
	bool any;	   /* there are bounds at all */
	int align;
	bool bad;	   /* too many pieces */
};

static const struct {
	const char *name;
	MPI_Datatype type;
	int size;
} basics[] = {
	{ "byte", MPI_BYTE, 1 },   { "short", MPI_SHORT, 2 },	{ "int", MPI_INT, 4 },
	{ "double", MPI_DOUBLE, 8 }, { "char", MPI_CHAR, 1 },	{ "float", MPI_FLOAT, 4 },
	{ "int64", MPI_INT64_T, 8 },
};
#define NR_BASICS (int)(sizeof(basics) / sizeof(basics[0]))

static void *get_memory(void *old, size_t size)
{
	void *p = realloc(old, size);

	if (!p)
		abort();
	return p;
}

static struct ty *new_type(enum kind kind)
{
	struct ty *t = get_memory(NULL, sizeof(*t));

	memset(t, 0, sizeof(*t));
	t->kind = kind;
	t->align = 1;
	return t;
}

void ty_free(struct ty *t)
{
	if (!t)
		return;
	for (int i = 0; i < t->nr_kids; i++)
		ty_free(t->kids[i]);
	free(t->kids);
	free(t->len);
	free(t->at);
	free(t->p);
	free(t->leaves);
	free(t);
}

static struct ty *copy_type(const struct ty *from)
{
	struct ty *t = new_type(from->kind);

	*t = *from;
	t->kids = get_memory(NULL, (size_t)(t->nr_kids + 1) * sizeof(*t->kids));
	for (int i = 0; i < t->nr_kids; i++)
		t->kids[i] = copy_type(from->kids[i]);
	t->len = NULL;
	t->at = NULL;
	if (from->len) {
		t->len = get_memory(NULL, (size_t)(t->nr + 1) * sizeof(*t->len));
		memcpy(t->len, from->len, (size_t)t->nr * sizeof(*t->len));
	}
	if (from->at) {
		t->at = get_memory(NULL, (size_t)(t->nr + 2) * sizeof(*t->at));
		memcpy(t->at, from->at, (size_t)(t->kind == RESIZED ? 2 : t->nr) * sizeof(*t->at));
	}
	t->p = get_memory(NULL, (from->nr_p + 1) * sizeof(*t->p));
	memcpy(t->p, from->p, from->nr_p * sizeof(*t->p));
	t->leaves = get_memory(NULL, (from->nr_leaves + 1) * sizeof(*t->leaves));
	memcpy(t->leaves, from->leaves, from->nr_leaves * sizeof(*t->leaves));
	t->room_p = t->nr_p;
	t->room_leaves = t->nr_leaves;
	return t;
}

static struct ty *new_parent(enum kind kind, int nr, struct ty *kid)
{
	struct ty *t = new_type(kind);

	t->nr = nr;
	t->nr_kids = 1;
	t->kids = get_memory(NULL, (size_t)(nr + 1) * sizeof(*t->kids));
	t->kids[0] = kid;
	t->len = get_memory(NULL, (size_t)(nr + 1) * sizeof(*t->len));
	memset(t->len, 0, (size_t)(nr + 1) * sizeof(*t->len));
	t->at = get_memory(NULL, (size_t)(nr + 2) * sizeof(*t->at));
	memset(t->at, 0, (size_t)(nr + 2) * sizeof(*t->at));
	return t;
}

/* ---- what it means -------------------------------------------------------------------- */

static void add_piece(struct ty *t, int64_t off, int64_t len)
{
	if (len == 0 || t->bad)
		return;
	t->size += len;
	if (t->nr_p && t->p[t->nr_p - 1].off + t->p[t->nr_p - 1].len == off) {
		t->p[t->nr_p - 1].len += len;
		return;
	}
	if (t->nr_p == t->room_p) {
		t->room_p = t->room_p * 2 + 8;
		t->p = get_memory(t->p, t->room_p * sizeof(*t->p));
	}
	t->p[t->nr_p++] = (struct ty_piece){ off, len };
	t->bad = t->nr_p > PIECES_MAX;
}

static void add_leaves(struct ty *t, int64_t size, int64_t n)
{
	if (n == 0 || t->bad)
		return;
	t->elements += n;
	if (t->nr_leaves && t->leaves[t->nr_leaves - 1].size == size) {
		t->leaves[t->nr_leaves - 1].n += n;
		return;
	}
	if (t->nr_leaves == t->room_leaves) {
		t->room_leaves = t->room_leaves * 2 + 8;
		t->leaves = get_memory(t->leaves, t->room_leaves * sizeof(*t->leaves));
	}
	t->leaves[t->nr_leaves++] = (struct ty_leaf){ size, n };
	t->bad = t->nr_leaves > PIECES_MAX;
}

static void add_bounds(struct ty *t, int64_t lb, int64_t ub)
{
	if (!t->any || lb < t->lb)
		t->lb = lb;
	if (!t->any || ub > t->ub)
		t->ub = ub;
	t->any = true;
}

bool ty_dense(const struct ty *t)
{
	return t->nr_p == 1 && t->p[0].off == 0 && t->lb == 0 && t->ub == t->size;
}

/* n elements of kid, one after the other, from at on */
static void add_kid(struct ty *t, const struct ty *kid, int64_t at, int64_t n)
{
	if (n <= 0)
		return;
	add_bounds(t, at + kid->lb, at + kid->ub + (n - 1) * ty_extent(kid));
	t->bounded |= kid->bounded;
	if (kid->align > t->align)
		t->align = kid->align;
	if (ty_dense(kid) && kid->nr_leaves == 1) {
		add_piece(t, at, n * kid->size);
		add_leaves(t, kid->leaves[0].size, n * kid->elements);
		return;
	}
	for (int64_t i = 0; i < n && !t->bad; i++) {
		for (size_t k = 0; k < kid->nr_p; k++)
			add_piece(t, at + i * ty_extent(kid) + kid->p[k].off, kid->p[k].len);
		for (size_t k = 0; k < kid->nr_leaves; k++)
			add_leaves(t, kid->leaves[k].size, kid->leaves[k].n);
	}
}

static bool in_subarray(const struct ty *t, const int *index)
{
	for (int d = 0; d < t->nr; d++)
		if (index[d] < t->start[d] || index[d] >= t->start[d] + t->sub[d])
			return false;
	return true;
}

static bool in_darray(const struct ty *t, const int *index)
{
	int rest = t->rank, below = t->ranks;

	for (int d = 0; d < t->nr; d++) {
		int mine, block = t->darg[d], owner = 0;

		below /= t->procs[d];
		mine = rest / below;
		rest %= below;
		if (t->dist[d] == MPI_DISTRIBUTE_NONE)
			continue;
		if (block == MPI_DISTRIBUTE_DFLT_DARG)
			block = t->dist[d] == MPI_DISTRIBUTE_CYCLIC
					? 1
					: (t->sizes[d] + t->procs[d] - 1) / t->procs[d];
		owner = index[d] / block;
		if (t->dist[d] == MPI_DISTRIBUTE_CYCLIC)
			owner %= t->procs[d];
		if (owner != mine)
			return false;
	}
	return true;
}

/* all elements of the whole array in the order of memory */
static void add_array(struct ty *t, const struct ty *kid)
{
	int64_t total = 1;

	for (int d = 0; d < t->nr; d++)
		total *= t->sizes[d];
	for (int64_t i = 0; i < total && !t->bad; i++) {
		int index[DIMS_MAX];
		int64_t rest = i;

		for (int k = 0; k < t->nr; k++) {
			int d = t->order == MPI_ORDER_C ? t->nr - 1 - k : k;

			index[d] = (int)(rest % t->sizes[d]);
			rest /= t->sizes[d];
		}
		if (t->kind == SUBARRAY ? in_subarray(t, index) : in_darray(t, index))
			add_kid(t, kid, i * ty_extent(kid), 1);
	}
	t->lb = 0;
	t->ub = total * ty_extent(kid);
	t->any = t->bounded = true;
}

/* fill in pieces and bounds; the kids have theirs */
static struct ty *work_out(struct ty *t)
{
	const struct ty *kid = t->nr_kids ? t->kids[0] : NULL;

	for (int k = 0; k < t->nr_kids; k++)
		t->bad |= t->kids[k]->bad;
	switch (t->kind) {
	case BASIC:
		add_piece(t, 0, basics[t->basic].size);
		add_leaves(t, t->size, 1);
		add_bounds(t, 0, t->size);
		t->align = (int)t->size;
		break;
	case DUP:
		add_kid(t, kid, 0, 1);
		break;
	case CONTIGUOUS:
		add_kid(t, kid, 0, t->nr);
		break;
	case VECTOR:
	case HVECTOR:
		for (int i = 0; i < t->nr; i++)
			add_kid(t, kid, i * t->at[0] * (t->kind == VECTOR ? ty_extent(kid) : 1), t->len[0]);
		break;
	case INDEXED:
		for (int i = 0; i < t->nr; i++)
			add_kid(t, kid, t->at[i] * ty_extent(kid), t->len[i]);
		break;
	case HINDEXED:
		for (int i = 0; i < t->nr; i++)
			add_kid(t, kid, t->at[i], t->len[i]);
		break;
	case INDEXED_BLOCK:
		for (int i = 0; i < t->nr; i++)
			add_kid(t, kid, t->at[i] * ty_extent(kid), t->len[0]);
		break;
	case HINDEXED_BLOCK:
		for (int i = 0; i < t->nr; i++)
			add_kid(t, kid, t->at[i], t->len[0]);
		break;
	case STRUCT:
		for (int i = 0; i < t->nr; i++)
			add_kid(t, t->kids[i], t->at[i], t->len[i]);
		break;
	case RESIZED:
		add_kid(t, kid, 0, 1);
		t->lb = t->at[0];
		t->ub = t->at[0] + t->at[1];
		t->any = t->bounded = true;
		break;
	case SUBARRAY:
	case DARRAY:
		add_array(t, kid);
		break;
	case NR_KINDS:
		abort();
	}
	if (!t->bounded && t->any && (t->ub - t->lb) % t->align)
		t->ub += t->align - (t->ub - t->lb) % t->align;
	return t;
}

const struct ty_piece *ty_pieces(const struct ty *t, size_t *nr)
{
	*nr = t->nr_p;
	return t->p;
}

int64_t ty_size(const struct ty *t)
{
	return t->size;
}

int64_t ty_extent(const struct ty *t)
{
	return t->ub - t->lb;
}

int64_t ty_elements(const struct ty *t, int64_t bytes)
{
	int64_t n = bytes / t->size * t->elements;

	bytes %= t->size;
	for (size_t i = 0; i < t->nr_leaves && bytes; i++) {
		const struct ty_leaf *l = &t->leaves[i];
		int64_t whole = bytes / l->size < l->n ? bytes / l->size : l->n;

		n += whole;
		bytes -= whole * l->size;
		if (whole < l->n)
			break;
	}
	return bytes ? -1 : n;
}

/* ---- text ---------------------------------------------------------------------------------- */

static char text[4000];
static size_t text_len;

static __attribute__((format(printf, 1, 2))) void say(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text + text_len, sizeof(text) - text_len, fmt, ap);
	va_end(ap);
	text_len += (size_t)n;
	if (text_len >= sizeof(text))
		text_len = sizeof(text) - 1;
}

static void say_type(const struct ty *t)
{
	if (t->kind == BASIC) {
		say("%s", basics[t->basic].name);
		return;
	}
	say("%s(", names[t->kind]);
	if (t->kind == CONTIGUOUS)
		say("%d, ", t->nr);
	else if (t->kind == VECTOR || t->kind == HVECTOR)
		say("%d, %d, %lld, ", t->nr, t->len[0], (long long)t->at[0]);
	else if (t->kind == RESIZED)
		say("%lld, %lld, ", (long long)t->at[0], (long long)t->at[1]);
	else if (t->kind == SUBARRAY || t->kind == DARRAY)
		say("%s, ", t->order == MPI_ORDER_C ? "C" : "F");
	for (int i = 0; i < t->nr && t->kind >= INDEXED && t->kind <= STRUCT; i++) {
		bool block = t->kind == INDEXED_BLOCK || t->kind == HINDEXED_BLOCK;

		say("%dx", t->len[block ? 0 : i]);
		if (t->kind == STRUCT)
			say_type(t->kids[i]);
		say("@%lld ", (long long)t->at[i]);
	}
	for (int d = 0; d < t->nr && t->kind == SUBARRAY; d++)
		say("%d+%d/%d ", t->start[d], t->sub[d], t->sizes[d]);
	for (int d = 0; d < t->nr && t->kind == DARRAY; d++)
		say("%d:%s%d/%d ", t->sizes[d],
		    t->dist[d] == MPI_DISTRIBUTE_NONE ? "none" : t->dist[d] == MPI_DISTRIBUTE_BLOCK ? "b" : "c",
		    t->darg[d], t->procs[d]);
	if (t->kind == DARRAY)
		say("rank %d, ", t->rank);
	if (t->kind != STRUCT)
		say_type(t->kids[0]);
	say(")");
}

const char *ty_text(const struct ty *t)
{
	text_len = 0;
	say_type(t);
	return text;
}

/* ---- as MPI's --------------------------------------------------------------------------------- */

static MPI_Datatype make(const struct ty *t);

static MPI_Datatype make_struct(const struct ty *t, MPI_Aint *at)
{
	MPI_Datatype type, *types = get_memory(NULL, (size_t)t->nr * sizeof(MPI_Datatype));

	for (int i = 0; i < t->nr; i++)
		types[i] = make(t->kids[i]);
	MPI_Type_create_struct(t->nr, t->len, at, types, &type);
	for (int i = 0; i < t->nr; i++)
		if (t->kids[i]->kind != BASIC)
			MPI_Type_free(&types[i]);
	free(types);
	return type;
}

static MPI_Datatype make_from(const struct ty *t, MPI_Datatype of, const MPI_Aint *bytes, const int *at)
{
	MPI_Datatype type = MPI_DATATYPE_NULL;

	switch (t->kind) {
	case DUP:
		MPI_Type_dup(of, &type);
		break;
	case CONTIGUOUS:
		MPI_Type_contiguous(t->nr, of, &type);
		break;
	case VECTOR:
		MPI_Type_vector(t->nr, t->len[0], at[0], of, &type);
		break;
	case HVECTOR:
		MPI_Type_create_hvector(t->nr, t->len[0], bytes[0], of, &type);
		break;
	case INDEXED:
		MPI_Type_indexed(t->nr, t->len, at, of, &type);
		break;
	case HINDEXED:
		MPI_Type_create_hindexed(t->nr, t->len, bytes, of, &type);
		break;
	case INDEXED_BLOCK:
		MPI_Type_create_indexed_block(t->nr, t->len[0], at, of, &type);
		break;
	case HINDEXED_BLOCK:
		MPI_Type_create_hindexed_block(t->nr, t->len[0], bytes, of, &type);
		break;
	case RESIZED:
		MPI_Type_create_resized(of, t->at[0], t->at[1], &type);
		break;
	case SUBARRAY:
		MPI_Type_create_subarray(t->nr, t->sizes, t->sub, t->start, t->order, of, &type);
		break;
	case DARRAY:
		MPI_Type_create_darray(t->ranks, t->rank, t->nr, t->sizes, t->dist, t->darg, t->procs,
				       t->order, of, &type);
		break;
	default:
		abort();
	}
	return type;
}

static MPI_Datatype make(const struct ty *t)
{
	int nr = t->kind == CONTIGUOUS ? 0 : t->nr;
	MPI_Aint *bytes;
	MPI_Datatype type, of;
	int *at;

	if (t->kind == BASIC)
		return basics[t->basic].type;
	bytes = get_memory(NULL, (size_t)(nr + 1) * sizeof(*bytes));
	at = get_memory(NULL, (size_t)(nr + 1) * sizeof(*at));
	for (int i = 0; i < nr; i++) {
		bytes[i] = t->at[i];
		at[i] = (int)t->at[i];
	}
	if (t->kind == STRUCT) {
		type = make_struct(t, bytes);
	} else {
		of = make(t->kids[0]);
		type = make_from(t, of, bytes, at);
		if (t->kids[0]->kind != BASIC)
			MPI_Type_free(&of);
	}
	free(bytes);
	free(at);
	return type;
}

static void data_bounds(const struct ty *t, int64_t *lo, int64_t *hi)
{
	*lo = t->nr_p ? INT64_MAX : 0;
	*hi = t->nr_p ? INT64_MIN : 0;
	for (size_t i = 0; i < t->nr_p; i++) {
		if (t->p[i].off < *lo)
			*lo = t->p[i].off;
		if (t->p[i].off + t->p[i].len > *hi)
			*hi = t->p[i].off + t->p[i].len;
	}
}

const char *ty_make(const struct ty *t, MPI_Datatype *out)
{
	static char why[200];
	MPI_Count size, lb, extent, true_lb, true_extent;
	int64_t lo, hi;

	*out = make(t);
	MPI_Type_commit(out);
	MPI_Type_size_x(*out, &size);
	MPI_Type_get_extent_x(*out, &lb, &extent);
	MPI_Type_get_true_extent_x(*out, &true_lb, &true_extent);
	data_bounds(t, &lo, &hi);
	if (size == t->size && lb == t->lb && extent == ty_extent(t) && true_lb == lo && true_extent == hi - lo)
		return NULL;
	snprintf(why, sizeof(why), "size %lld %lld, lb %lld %lld, extent %lld %lld, data from %lld %lld, long %lld %lld",
		 (long long)size, (long long)t->size, (long long)lb, (long long)t->lb, (long long)extent,
		 (long long)ty_extent(t), (long long)true_lb, (long long)lo, (long long)true_extent,
		 (long long)(hi - lo));
	return why;
}

void ty_unmake(const struct ty *t, MPI_Datatype *type)
{
	if (t->kind != BASIC)
		MPI_Type_free(type);
}

/* ---- by chance ---------------------------------------------------------------------------------- */

struct gen {
	struct rng *r;
	const struct ty *leaf; /* NULL: any basic type */
	int64_t unit;	       /* of gaps, in bytes */
	bool file;
};

static struct ty *basic(int i)
{
	struct ty *t = new_type(BASIC);

	t->basic = i;
	return work_out(t);
}

struct ty *ty_byte(void)
{
	return basic(0);
}

static struct ty *leaf(struct gen *g)
{
	return g->leaf ? copy_type(g->leaf) : basic((int)rng_below(g->r, NR_BASICS));
}

/* how many elements in a block; borders of blocks are made likely where that is cheap */
static int block_len(struct gen *g, const struct ty *kid, bool may_be_0)
{
	int64_t what = rng_below(g->r, 100), big;

	if (may_be_0 && what < 10)
		return 0;
	if (what < 75 || kid->nr_p > 8)
		return (int)rng_range(g->r, 1, 4);
	if (what < 90 || !ty_dense(kid))
		return (int)rng_range(g->r, 1, 30);
	big = (what < 97 ? 4096 : rng_range(g->r, 1, 150000)) / kid->size + rng_range(g->r, -1, 1);
	return (int)(big > 0 ? big : 1);
}

/* in units */
static int64_t gap(struct gen *g, int64_t unit)
{
	int64_t what = rng_below(g->r, 100);

	if (what < 40)
		return 0;
	if (what < 85 || unit > 4096)
		return rng_range(g->r, 1, 6);
	if (what < 95)
		return 4096 / unit + rng_range(g->r, 0, 1);
	return rng_range(g->r, 0, what < 99 ? 40000 : 1 << 20) / unit;
}

static struct ty *random_vector(struct gen *g, enum kind kind, struct ty *kid)
{
	struct ty *t = new_parent(kind, (int)rng_range(g->r, 1, 6), kid);

	t->len[0] = block_len(g, kid, false);
	if (kind == VECTOR)
		t->at[0] = t->len[0] + gap(g, ty_extent(kid));
	else
		t->at[0] = t->len[0] * ty_extent(kid) + gap(g, g->unit) * g->unit;
	/* downwards; not in blocks that touch, whose bounds Open MPI 4.1 gets wrong */
	if (!g->file && t->at[0] > t->len[0] * (kind == VECTOR ? 1 : ty_extent(kid)) && rng_chance(g->r, 20))
		t->at[0] = -t->at[0];
	return t;
}

static void shuffle(struct gen *g, struct ty *t, bool lengths)
{
	for (int i = t->nr - 1; i > 0; i--) {
		int k = (int)rng_below(g->r, i + 1), len = t->len[i];
		int64_t at = t->at[i];

		t->at[i] = t->at[k];
		t->at[k] = at;
		if (lengths) {
			t->len[i] = t->len[k];
			t->len[k] = len;
		}
	}
}

/* indexed types, going up; memory types also in any order and below zero */
static struct ty *random_indexed(struct gen *g, enum kind kind, struct ty *kid)
{
	struct ty *t = new_parent(kind, (int)rng_range(g->r, 1, 7), kid);
	bool in_bytes = kind == HINDEXED || kind == HINDEXED_BLOCK;
	bool blocks = kind == INDEXED_BLOCK || kind == HINDEXED_BLOCK;
	int64_t at = 0, step = in_bytes ? ty_extent(kid) : 1, unit = in_bytes ? g->unit : ty_extent(kid);

	if (!g->file && rng_chance(g->r, 30))
		at = -rng_range(g->r, 1, 200);
	if (blocks)
		t->len[0] = block_len(g, kid, false);
	for (int i = 0; i < t->nr; i++) {
		if (!blocks)
			t->len[i] = block_len(g, kid, true);
		at += gap(g, unit) * (in_bytes ? unit : 1);
		t->at[i] = at;
		at += t->len[blocks ? 0 : i] * step;
	}
	if (!g->file && rng_chance(g->r, 30))
		shuffle(g, t, !blocks);
	return t;
}

static int64_t data_end(const struct ty *t)
{
	int64_t lo, hi;

	data_bounds(t, &lo, &hi);
	return hi;
}

/* no smaller than the data need from one element to the next */
static struct ty *random_resized(struct gen *g, struct ty *kid)
{
	struct ty *t = new_parent(RESIZED, 0, kid);
	int64_t lo, hi, what = rng_below(g->r, 100);

	data_bounds(kid, &lo, &hi);
	t->nr = 0;
	t->at[0] = what < 70 ? 0 : gap(g, g->unit) * g->unit * (what < 85 ? -1 : 1);
	t->at[1] = rng_chance(g->r, 40) ? hi - lo : hi > hi - lo ? hi : hi - lo;
	if (rng_chance(g->r, 60))
		t->at[1] += gap(g, g->unit) * g->unit;
	return t;
}

static struct ty *random_type(struct gen *g, int depth);

static struct ty *random_struct(struct gen *g, int depth)
{
	struct ty *s = new_parent(STRUCT, (int)rng_range(g->r, 1, 4), NULL);
	int64_t at = !g->file && rng_chance(g->r, 30) ? -rng_range(g->r, 1, 100) : 0;

	s->nr_kids = s->nr;
	for (int i = 0; i < s->nr; i++) {
		struct ty *kid = random_type(g, depth > 0 && rng_chance(g->r, 50) ? depth - 1 : 0);

		s->kids[i] = kid;
		s->len[i] = kid->nr_p > 64 ? 1 : block_len(g, kid, true);
		at += gap(g, g->unit) * g->unit;
		s->at[i] = at;
		if (s->len[i])
			at += (s->len[i] - 1) * ty_extent(kid) + (data_end(kid) > 0 ? data_end(kid) : 0);
	}
	/* what bounds a struct of types with and without bounds has is a question of its own */
	return random_resized(g, work_out(s));
}

static struct ty *random_subarray(struct gen *g, struct ty *kid)
{
	struct ty *t = new_parent(SUBARRAY, (int)rng_range(g->r, 1, DIMS_MAX), kid);

	t->order = rng_chance(g->r, 50) ? MPI_ORDER_C : MPI_ORDER_FORTRAN;
	for (int d = 0; d < t->nr; d++) {
		t->sizes[d] = (int)rng_range(g->r, 1, t->nr == 1 ? 60 : 12);
		t->sub[d] = (int)rng_range(g->r, 1, t->sizes[d]);
		t->start[d] = (int)rng_range(g->r, 0, t->sizes[d] - t->sub[d]);
	}
	return t;
}

/* for a number of ranks, and one of them */
static struct ty *random_darray(struct gen *g, struct ty *kid, int rank, int ranks)
{
	static const int dists[] = { MPI_DISTRIBUTE_BLOCK, MPI_DISTRIBUTE_CYCLIC, MPI_DISTRIBUTE_NONE };
	struct ty *t = new_parent(DARRAY, (int)rng_range(g->r, 1, DIMS_MAX), kid);
	int rest = ranks;

	t->order = rng_chance(g->r, 50) ? MPI_ORDER_C : MPI_ORDER_FORTRAN;
	t->ranks = ranks;
	t->rank = rank;
	for (int d = 0; d < t->nr; d++) {
		int procs = d == t->nr - 1 ? rest : (int)rng_range(g->r, 1, rest), least;

		while (rest % procs)
			procs--;
		rest /= procs;
		t->procs[d] = procs;
		t->sizes[d] = (int)rng_range(g->r, 1, 12);
		t->dist[d] = procs == 1 ? dists[rng_below(g->r, 3)] : dists[rng_below(g->r, 2)];
		least = t->dist[d] == MPI_DISTRIBUTE_BLOCK ? (t->sizes[d] + procs - 1) / procs : 1;
		t->darg[d] = rng_chance(g->r, 40) ? MPI_DISTRIBUTE_DFLT_DARG
						  : (int)rng_range(g->r, least, least + 3);
		if (t->dist[d] == MPI_DISTRIBUTE_NONE)
			t->darg[d] = MPI_DISTRIBUTE_DFLT_DARG;
	}
	return t;
}

static struct ty *random_type(struct gen *g, int depth)
{
	enum kind kind = (enum kind)rng_range(g->r, DUP, NR_KINDS - 1);
	struct ty *kid, *t;

	if (depth == 0)
		return leaf(g);
	if (kind == STRUCT)
		return work_out(random_struct(g, depth));
	/* arrays of types with bounds of their own are rare, and MPIs differ on them */
	kid = random_type(g, kind == SUBARRAY || kind == DARRAY ? 0 : depth - 1);
	if (kid->size == 0 || ty_extent(kid) <= 0) {
		ty_free(kid);
		kid = leaf(g);
	}
	switch (kind) {
	case VECTOR:
	case HVECTOR:
		t = random_vector(g, kind, kid);
		break;
	case INDEXED:
	case HINDEXED:
	case INDEXED_BLOCK:
	case HINDEXED_BLOCK:
		t = random_indexed(g, kind, kid);
		break;
	case RESIZED:
		t = random_resized(g, kid);
		break;
	case SUBARRAY:
		t = random_subarray(g, kid);
		break;
	case DARRAY: {
		int ranks = (int)rng_range(g->r, 1, 6);

		t = random_darray(g, kid, (int)rng_below(g->r, ranks), ranks);
		break;
	}
	case CONTIGUOUS:
		t = new_parent(CONTIGUOUS, 1, kid);
		t->nr = block_len(g, kid, false);
		free(t->len);
		free(t->at);
		t->len = NULL;
		t->at = NULL;
		break;
	default:
		t = new_parent(DUP, 0, kid);
	}
	/* places that are not aligned: Open MPI 4.1 rounds up the end after each block, not once */
	if (!g->file && (kind == HVECTOR || kind == HINDEXED || kind == HINDEXED_BLOCK))
		t = random_resized(g, work_out(t));
	return work_out(t);
}

/* what a filetype must be, and the next tile may not begin before the end of this one */
static bool good_for_file(const struct ty *t)
{
	int64_t end = 0, min_extent;

	if (t->bad || t->size == 0 || ty_extent(t) <= 0)
		return false;
	for (size_t i = 0; i < t->nr_p; i++) {
		if (t->p[i].off < end)
			return false;
		end = t->p[i].off + t->p[i].len;
	}
	min_extent = end - t->p[0].off;
	return ty_extent(t) >= min_extent && end < 4 << 20 && ty_extent(t) < 4 << 20;
}

struct ty *ty_random_etype(struct rng *r)
{
	struct gen g = { .r = r, .unit = 1, .file = true };

	for (int i = 0; i < TRIES; i++) {
		struct ty *t = random_type(&g, rng_chance(r, 55) ? 0 : 1);

		if (good_for_file(t) && t->size <= 48 && ty_extent(t) <= 96 && t->lb == 0)
			return t;
		ty_free(t);
	}
	return ty_byte();
}

struct ty *ty_random_file(struct rng *r, const struct ty *etype)
{
	struct gen g = { .r = r, .leaf = etype, .unit = ty_extent(etype), .file = true };

	for (int i = 0; i < TRIES; i++) {
		struct ty *t = random_type(&g, (int)rng_range(r, 0, 3));

		if (good_for_file(t))
			return t;
		ty_free(t);
	}
	return copy_type(etype);
}

struct ty *ty_shared_file(struct rng *r, const struct ty *etype, int rank, int nr, int64_t *shift)
{
	struct gen g = { .r = r, .leaf = etype, .unit = ty_extent(etype), .file = true };
	struct ty *t, *resized;
	int64_t slot;

	*shift = 0;
	if (rng_chance(r, 30)) {
		t = work_out(random_darray(&g, leaf(&g), rank, nr));
		if (good_for_file(t))
			return t;
		ty_free(t);
	}
	/* slots in turn */
	t = ty_random_file(r, etype);
	slot = (data_end(t) + g.unit - 1) / g.unit * g.unit + gap(&g, g.unit) * g.unit;
	resized = new_parent(RESIZED, 0, t);
	resized->at[1] = slot * nr;
	*shift = slot * rank;
	return work_out(resized);
}

static bool overlaps(const struct ty *t, int64_t count)
{
	int64_t lo, hi, span;
	unsigned char *taken;
	bool twice = false;

	data_bounds(t, &lo, &hi);
	span = hi - lo + (count - 1) * ty_extent(t);
	taken = calloc(1, (size_t)span);
	if (!taken)
		abort();
	for (int64_t i = 0; i < count && !twice; i++)
		for (size_t k = 0; k < t->nr_p && !twice; k++) {
			unsigned char *at = taken + i * ty_extent(t) + t->p[k].off - lo;

			twice = memchr(at, 1, (size_t)t->p[k].len) != NULL;
			memset(at, 1, (size_t)t->p[k].len);
		}
	free(taken);
	return twice;
}

/* as many of t as fit, and bytes for the rest, as one element */
static struct ty *with_rest(struct ty *t, int64_t bytes)
{
	struct ty *s = new_parent(STRUCT, 2, t), *resized;
	int64_t n = bytes / t->size;

	s->nr_kids = 2;
	s->kids[1] = ty_byte();
	s->len[0] = (int)n;
	s->at[1] = n ? data_end(t) + (n - 1) * ty_extent(t) + 3 : 0;
	s->len[1] = (int)(bytes % t->size);
	work_out(s);
	resized = new_parent(RESIZED, 0, s);
	resized->at[1] = data_end(s) > 0 ? data_end(s) : 1;
	return work_out(resized);
}

struct ty *ty_random_memory(struct rng *r, int64_t bytes, int *count)
{
	struct gen g = { .r = r, .unit = 1 };

	for (int i = 0; i < TRIES && bytes; i++) {
		struct ty *t = random_type(&g, (int)rng_range(r, 0, 3));
		int64_t n = t->size && !t->bad ? bytes / t->size : 0;

		if (n > 0 && ty_extent(t) > 0 && n * ty_extent(t) < bytes * 4 + (1 << 20) &&
		    (bytes % t->size == 0 || i > TRIES / 2)) {
			if (bytes % t->size)
				t = with_rest(t, bytes);
			*count = t->bad ? 0 : (int)(bytes / t->size);
			if (!t->bad && !overlaps(t, *count))
				return t;
		}
		ty_free(t);
	}
	*count = (int)bytes;
	return ty_byte();
}
