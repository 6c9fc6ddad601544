/*
 * drain_impl.h -- shared by the two files of a drain: drain.c, in the loop, and drain_work.c, in the workers
 */
#ifndef PMIO_AGENT_DRAIN_IMPL_H
#define PMIO_AGENT_DRAIN_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "agent/drain.h"
#include "agent/verify.h"


struct taken {
	uint64_t chunk;
	uint64_t frame;		/* PMIO_NO_FRAME: of a packed file */
	struct pmio_mask mask;	/* the blocks that were taken; empty: none, or no worker has reached this chunk */
};

struct drain_part {
	struct job job;		/* first: run() and done() find the part through it */
	struct drain *drain;
	uint64_t size;		/* size of the file in bytes, when the last of this part's chunks was taken */
	struct verify *verify;	/* owned; NULL: not requested */
};

struct drain {
	struct job opening;	/* first; opens or checks the PFS file, before the parts run */
	char *path;		/* owned: for messages */
	struct pfs_look *look;	/* owned: opens the file where it is not open; or NULL */
	struct pfs_fd *opened;	/* held */
	struct stat opened_st;
	bool nameless;
	struct pmio_pfs_id id;
	char *moved;		/* owned: another name of the file, if the known one was removed */
	int open_rc;
	unsigned nr_tries;	/* tries that found no free descriptor */
	uint64_t cut_to;	/* truncate a longer PFS file to this size first */

	struct agent *agent;	/* workers read view only */
	struct file *file;
	uint32_t slot;
	struct pfs_fd *pfs;	/* held */
	bool background;	/* of some chunks only (background.c) */
	bool may_extend;	/* no client writes to the PFS file itself */
	bool shared;		/* other agents write to it now */
	struct taken *taken;	/* owned; sorted by chunk */
	size_t nr_taken;
	atomic_size_t next;	/* index in taken: the first chunk that no worker has reached */
	atomic_bool stop;	/* take no further chunks */
	struct drain_part *parts;	/* owned */
	unsigned nr_parts, nr_done;
	int64_t written_ns;	/* the file's when it began */
	bool differs;		/* the PFS file was found different, and was not written: decide first */
	atomic_uint parts_left;
	_Atomic int error;	/* the first: -errno */
	atomic_uint_fast64_t bytes, end; /* written; and up to where in the file */
	uint64_t start_ns;
	/* is another process changing the file? */
	bool watches;		/* this can be detected: only this agent writes to the PFS file */
	bool may_lose;		/* no program has it open: discard its data if it has no name any more */
	bool later;		/* it is made durable after the end: syncs.c */
	bool is_new;		/* its name is to be made durable, too */
	bool marks;		/* no request waits for the end: leave a dirty mark, for other pools */
	bool unmarks;		/* the file has that mark: remove it at the end */
	pthread_mutex_t lock;	/* protects: */
	pthread_cond_t idle_cond;	/* nr_writing is 0 */
	unsigned nr_writing;	/* workers that are at a step now */
	uint64_t steps;		/* so far, begun and ended */
	struct stat now;	/* as the drain's last step has left it; valid while nr_writing is 0 */
	uint64_t compared_ns;	/* when `now` was last compared */
	/* when all parts have ended */
	struct stat st;		/* of the PFS file */
	bool have_st;
};

/* ---- drain_work.c: in a worker, except the first two ---- */

bool drain_is_same_content(const struct stat *a, const struct stat *b);
/* was every chunk processed? */
bool drain_is_whole(const struct drain *d);
void drain_run_part(struct job *job);
void drain_run_opening(struct job *job);
/* the check and the only part in one job; until the part writes, d->now is the state reported by the close */
void drain_run_at_once(struct job *job);
/* truncate it: later writes may make it longer, and must not bring back the bytes beyond its end */
void drain_run_cut_off(struct job *job);

#endif
