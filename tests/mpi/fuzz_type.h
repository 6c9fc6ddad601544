/*
 * fuzz_type.h -- random datatypes for fuzz.c, and what they mean
 *
 * A type is made twice: as MPI's, and as a list of pieces worked out here from
 * chapter 4 of the standard, without asking MPI.  Sizes, bounds and extents of
 * the two are compared when the MPI type is made.
 */
#ifndef PMIO_TEST_FUZZ_TYPE_H
#define PMIO_TEST_FUZZ_TYPE_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t s;
};

uint64_t mix64(uint64_t x);
uint64_t rng_next(struct rng *r);
/* 0..n-1; n above 0 */
int64_t rng_below(struct rng *r, int64_t n);
/* lo..hi, both included */
int64_t rng_range(struct rng *r, int64_t lo, int64_t hi);
bool rng_chance(struct rng *r, int percent);

struct ty_piece {
	int64_t off;
	int64_t len; /* above 0 */
};

/* n basic elements of one size, in the order of the type map */
struct ty_leaf {
	int64_t size, n;
};

struct ty;

/* the pieces of one element, in the order of the type map; touching ones are one */
const struct ty_piece *ty_pieces(const struct ty *t, size_t *nr);
int64_t ty_size(const struct ty *t);   /* bytes of data */
int64_t ty_extent(const struct ty *t); /* bytes from one element to the next */
bool ty_dense(const struct ty *t);     /* elements follow without gaps, from 0 on */
/* basic elements in the first n bytes of elements; -1: the last one is not whole */
int64_t ty_elements(const struct ty *t, int64_t bytes);
/* for messages; good until the next call */
const char *ty_text(const struct ty *t);

struct ty *ty_byte(void);
/* an etype: small, perhaps with gaps */
struct ty *ty_random_etype(struct rng *r);
/* a filetype of etypes: nothing negative, going up only, also from tile to tile; some data */
struct ty *ty_random_file(struct rng *r, const struct ty *etype);
/* filetypes with which nr ranks share a file without overlap; *shift: what to add to rank's displacement */
struct ty *ty_shared_file(struct rng *r, const struct ty *etype, int rank, int nr, int64_t *shift);
/* a memory type of which count elements hold just that many bytes and do not overlap */
struct ty *ty_random_memory(struct rng *r, int64_t bytes, int *count);
void ty_free(struct ty *t);

/* MPI's, committed; to be freed by ty_unmake.  NULL, or how MPI's differs from ours */
const char *ty_make(const struct ty *t, MPI_Datatype *out);
void ty_unmake(const struct ty *t, MPI_Datatype *type);

#endif
