/* datatypes, ours and MPI's; see fuzz_type.h */
#include "fuzz_type_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECES_MAX 3000

static const char *const names[NR_KINDS] = { "", "dup", "contiguous", "vector", "hvector", "indexed",
	"hindexed", "indexed_block", "hindexed_block", "struct", "resized", "subarray", "darray" };

static const struct {
	const char *name;
	MPI_Datatype type;
	int size;
} basics[NR_BASICS] = {
	{ "byte", MPI_BYTE, 1 },   { "short", MPI_SHORT, 2 },	{ "int", MPI_INT, 4 },
	{ "double", MPI_DOUBLE, 8 }, { "char", MPI_CHAR, 1 },	{ "float", MPI_FLOAT, 4 },
	{ "int64", MPI_INT64_T, 8 },
};

void *get_memory(void *old, size_t size)
{
	void *p = realloc(old, size);

	if (!p)
		abort();
	return p;
}

struct ty *new_type(enum kind kind)
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

struct ty *copy_type(const struct ty *from)
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

struct ty *new_parent(enum kind kind, int nr, struct ty *kid)
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
struct ty *work_out(struct ty *t)
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

void data_bounds(const struct ty *t, int64_t *lo, int64_t *hi)
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
