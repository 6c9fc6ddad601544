/*
 * flat.h -- datatypes as lists of pieces
 */
#ifndef PMIO_ENGINE_FLAT_H
#define PMIO_ENGINE_FLAT_H

#include <mpi.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flat_piece {
	int64_t off;	 /* bytes from the type's origin */
	uint64_t len;	 /* bytes, never 0 */
	uint64_t before; /* bytes of all pieces before it */
};

struct flat {
	_Atomic unsigned users; /* number of types that have it */
	struct flat_piece *pieces;
	MPI_Datatype *leaves; /* the basic type of each piece's elements; NULL: not requested */
	size_t nr;
	uint64_t size;	 /* bytes of data in one element */
	int64_t extent;	 /* bytes from one element to the next */
	int64_t stride;	 /* all pieces are of one length, each this many bytes behind the one before; 0: it is not so */
	bool dense;	 /* one piece at 0, of the extent's length: elements follow each other without gaps */
};

/*
 * flat_get -- the pieces of one element of a datatype, in the order of its type map
 *
 * Cached with the type (as an attribute) until it is freed.  NULL: out of memory.
 */
const struct flat *flat_get(MPI_Datatype type);
/* a position in the data of elements of a type, which follow every extent bytes */
struct flat_at {
	int64_t base;	   /* origin of its element; without gaps (flat NULL): its offset */
	size_t piece;
	uint64_t in_piece; /* its offset in the piece */
};

/* find byte pos of the data of elements that start at origin; fl: NULL, or of size > 0.  0, or -EFBIG */
int flat_seek(const struct flat *fl, int64_t origin, uint64_t pos, struct flat_at *at);
/* the pieces with leaves, and one piece for each run of elements of one basic type; owned by the caller */
struct flat *flat_with_leaves(MPI_Datatype type);
void flat_free(struct flat *fl);
/* one more user, who calls flat_free() */
struct flat *flat_keep(const struct flat *fl);
bool flat_is_named(MPI_Datatype type);
/* free the attribute's key; before MPI_Finalize ends */
void flat_fini(void);

#endif
