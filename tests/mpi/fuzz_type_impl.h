/*
 * fuzz_type_impl.h -- what a type is: fuzz_type.c knows what it means, fuzz_type_random.c draws one
 */
#ifndef PMIO_TEST_FUZZ_TYPE_IMPL_H
#define PMIO_TEST_FUZZ_TYPE_IMPL_H

#include "fuzz_type.h"

#define DIMS_MAX 3
#define NR_BASICS 7

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

void *get_memory(void *old, size_t size);
/* owned by the caller */
struct ty *new_type(enum kind kind);
struct ty *copy_type(const struct ty *from);
/* with room for nr blocks of a kid, which it owns */
struct ty *new_parent(enum kind kind, int nr, struct ty *kid);
/* pieces, size and bounds of a type whose kids have them; returns it */
struct ty *work_out(struct ty *t);
/* where its data begin and end */
void data_bounds(const struct ty *t, int64_t *lo, int64_t *hi);

#endif
