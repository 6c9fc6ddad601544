/*
 * deferred.h -- transfers that a thread of the file makes later, for nonblocking calls
 */
#ifndef PMIO_ENGINE_DEFERRED_H
#define PMIO_ENGINE_DEFERRED_H

#include <mpi.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct io_transfer;
struct pmio_mpi_file;

/* a transfer that waits, or is under way */
struct deferred {
	struct deferred *next;	/* deferred.c */
	struct deferred *more;	/* request.c */
	struct io_transfer *transfer;
	MPI_Request request;
	uint64_t bytes;		/* transferred */
	int rc;
	_Atomic bool done;	/* bytes and rc are set */
	_Atomic unsigned users;	/* the thread, and the request */
	_Atomic bool completed; /* and its request is complete */
	void (*over)(struct deferred *j); /* called by the thread when they are: j is not used afterwards */
};

/* does the file have a thread for them, or can it get one? */
bool engine_later_ready(struct pmio_mpi_file *f);
/* run it after those that were added before; the file is ready */
void engine_later_add(struct pmio_mpi_file *f, struct deferred *j);
/* wait until all are done; their requests may still have to be completed by MPI */
void engine_later_wait(struct pmio_mpi_file *f);
/* the same, and end the thread; no other thread may use the file any more */
void engine_later_end(struct pmio_mpi_file *f);

#endif
