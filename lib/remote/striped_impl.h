/*
 * striped_impl.h -- a file whose pieces are on several targets: striped_targets.c < placement.c < striped_size.c < striped_file.c
 */
#ifndef PMIO_REMOTE_STRIPED_IMPL_H
#define PMIO_REMOTE_STRIPED_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "remote/remote_impl.h"

struct claimed {
	uint64_t chunk; /* plus one; 0 is empty */
	uint32_t holder;
};

/* the file at a target: for its bytes, and for calls that move none, if these are relayed by this node's target */
enum striped_use { STRIPED_DATA, STRIPED_CONTROL, STRIPED_USES };
struct striped_target {
	struct pmio_file *file[STRIPED_USES]; /* NULL: not opened yet */
	bool opening[STRIPED_USES]; /* a thread is about to open it */
	bool warned;		/* it was logged that it cannot be asked by this node's target */
};

struct striped_file {
	struct pmio_file f;	/* first */
	const struct pmio_settings *settings; /* borrowed */
	struct pmio *pm;	/* connection to this node's pool */
	struct remote_layout layout; /* owned */
	uint32_t own;		/* index of this node in the list; REMOTE_NOBODY: it is not in the list */
	bool joined, keep;
	int fd;			/* during the open: the program's descriptor, with which the file is opened on this node; -1: none */
	unsigned chunk_shift;
	pthread_mutex_t lock;	/* of all below; not held during calls to targets */
	pthread_cond_t opened;
	struct striped_target *targets; /* owned; one for each of the layout */
	uint64_t size;		/* the size that the metadata server has confirmed */
	uint32_t nr_told;	/* writes to this node's pool that told it of a larger size */
	bool is_grower;		/* this node is registered as a grower */
	struct pmio_u64map claims; /* of struct claimed */
	uint64_t next_write;	/* chunk where a writer that moves forward would continue */
	uint32_t ahead;
};

static inline struct striped_file *striped_of(struct pmio_file *f)
{
	return (struct striped_file *)f;
}

/* threads of one file may call all of these at once */

/* ---- striped_targets.c ---- */

/* may other targets have pieces of it? */
bool striped_is_shared(const struct striped_file *s);
/* have other processes begun a new layout session while this process could not be reached?  See node_joins.c */
bool striped_is_lost(struct striped_file *s);
/* the file at a target; opens it if necessary.  Other threads wait for that only if they want the same target */
int striped_get_target(struct striped_file *s, uint32_t i, struct pmio_file **out);
/* the same for calls whose order relative to reads, writes, truncations and locks does not matter */
int striped_get_control(struct striped_file *s, uint32_t i, struct pmio_file **out);
/* the file at a target if it is open there; NULL: it is not */
struct pmio_file *striped_opened(struct striped_file *s, uint32_t i);
/*
 * send a CLAIM or POINTER to a target; its header is filled in here.  The answer must have answer_len bytes; otherwise
 * as node_ask()
 */
int striped_ask(struct striped_file *s, uint32_t i, void *msg, size_t len, enum remote_op op, void *answer, size_t answer_len);
/* ---- placement.c ---- */

/*
 * the target that holds the chunk, or is to hold it; needed: number of chunks of the request from this one on; gaps: the
 * request has gaps between its pieces in a chunk
 */
int striped_holder_of(struct striped_file *s, uint64_t chunk, uint64_t needed, bool gaps, uint32_t *holder);

/* ---- striped_size.c ---- */

/*
 * after a write up to end, before it returns: tell the metadata server the size or, once, that this node is a grower;
 * raised: the file became longer in its pool
 */
int striped_tell_size(struct striped_file *s, uint64_t end, bool raised);
/* see struct client_ops */
int striped_size(struct pmio_file *f, off_t *size);
int striped_grow(struct pmio_file *f, uint64_t *size, uint64_t growers);
int striped_reserve(struct pmio_file *f, uint64_t len, bool settled, uint64_t *at);
int striped_truncate(struct pmio_file *f, uint64_t size);

#endif
