/*
 * shared_memory.h -- memory that ranks of one node share
 */
#ifndef PMIO_ENGINE_SHARED_MEMORY_H
#define PMIO_ENGINE_SHARED_MEMORY_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* how other processes find it; sent as it is */
struct memory_place {
	int64_t pid, fd;	/* fd < 0: there is none */
	uint64_t cookie[2];
	uint64_t lines, first;	/* lines of its arena, and its own first line */
};
_Static_assert(sizeof(struct memory_place) == 48, "as it is sent");

/* zeroed memory; NULL, and the place is marked so: not available */
void *engine_memory_make(size_t size, struct memory_place *at);
/* the same memory in another process; NULL: it cannot be found */
void *engine_memory_find(const struct memory_place *at);
/* memory for all ranks, if they are on one node and each wants it; otherwise NULL on all.  Collective */
void *engine_memory_new(MPI_Comm comm, size_t size, bool wanted);
/* when no rank uses it any more; NULL is allowed */
void engine_memory_free(void *memory, size_t size);
/* free everything */
void engine_memory_stop(void);

#endif
