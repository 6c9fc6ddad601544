/*
 * drain_impl.h -- what the two files of a drain share: drain.c, in the loop, and drain_work.c, in the workers
 */
#ifndef PMIO_AGENT_DRAIN_IMPL_H
#define PMIO_AGENT_DRAIN_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "agent/agent_impl.h"


struct taken {
	uint64_t chunk;
	uint64_t frame;
	struct pmio_mask mask;	/* the blocks; empty: none, or no worker has come to it */
};

struct part {
	struct job job;		/* first: a job is its part */
	struct drain *drain;
	uint64_t size;		/* bytes of the file, when the last of its chunks was taken */
	struct verify *verify;	/* owned; NULL: not asked for */
};

struct drain {
	struct job opening;	/* first: the job that opens the PFS file, or looks at it, is its drain */
	char *path;		/* owned: for messages */
	struct pfs_look *look;	/* owned: opens it, if it is not; or NULL */
	struct pfs_fd *opened;	/* held */
	struct stat opened_st;
	bool nameless;
	struct pmio_pfs_id id;
	char *moved;		/* owned: of several names the one by which we knew it is gone; this is another */
	int open_rc;
	unsigned nr_tries;	/* without a descriptor */
	uint64_t cut_to;	/* size that the PFS file has to have first, if it is longer */

	struct agent *agent;	/* workers read view only */
	struct file *file;
	uint32_t slot;
	struct pfs_fd *pfs;	/* held */
	bool early;		/* of some chunks only (early.c) */
	bool may_extend;	/* no client writes to the PFS file itself */
	bool shared;		/* other agents write to it now */
	struct taken *taken;	/* owned; sorted by chunk */
	size_t nr_taken;
	atomic_size_t next;	/* in taken: the first that no worker has come to */
	atomic_bool stop;	/* take no more */
	struct part *parts;	/* owned */
	unsigned nr_parts, nr_done;
	bool differs;		/* nothing was written: what the look found has to be judged first */
	atomic_uint parts_left;
	_Atomic int error;	/* the first: -errno */
	atomic_uint_fast64_t bytes, end; /* written; and up to where in the file */
	uint64_t start_ns;
	/* is anybody else at it? */
	bool watches;		/* this can be told: nobody writes to the PFS file but we */
	bool may_lose;		/* nobody has it open: without a name it goes */
	bool later;		/* it is made durable after the end: syncs.c */
	bool is_new;		/* its name is to be made durable, too */
	bool marks;		/* nobody waits for the end: other pools are to see that data wait here */
	bool unmarks;		/* ... or did; the end takes that away */
	pthread_mutex_t lock;	/* of: */
	pthread_cond_t quiet;	/* nr_writing is 0 */
	unsigned nr_writing;	/* workers that are at a step now */
	uint64_t steps;		/* so far, begun and ended */
	struct stat now;	/* as our last step has left it, while nr_writing is 0 */
	uint64_t compared_ns;	/* when that was last compared */
	/* when all parts have ended */
	struct stat st;		/* of the PFS file */
	bool have_st;
};

/* ---- drain_work.c: in a worker, but for the first two ---- */

bool drain_is_same_content(const struct stat *a, const struct stat *b);
/* all chunks were looked at */
bool drain_is_whole(const struct drain *d);
void drain_run_part(struct job *job);
void drain_run_opening(struct job *job);
/* the look and the only part; d->now is what the close has seen, until the part writes */
void drain_run_at_once(struct job *job);
/* what is written next may make it longer, and must not bring back what was beyond */
void drain_run_cut_off(struct job *job);

#endif
