/* numbers and datatypes that are drawn; see fuzz_type.h */
#include "fuzz_type_impl.h"

#include <stdlib.h>
#include <string.h>

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
