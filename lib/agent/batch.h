/*
 * batch.h -- deferred work, which a worker does for many files at a time: of one file system (marks.c, syncs.c), or of
 * all (name_survey.c)
 */
#ifndef PMIO_AGENT_BATCH_H
#define PMIO_AGENT_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "agent/file.h"
#include "daemon/workers.h"

/* one kind of work; its entries are in the files */
#define BUSY_DEVS_MAX 8
struct batches {
	struct batch_entry *list; /* files that wait for their turn, or whose work is not done */
	unsigned nr;
	uint64_t next_ms;	/* CLOCK_MONOTONIC */
	struct busy_devs {	/* file systems that have a batch under way */
		uint64_t dev[BUSY_DEVS_MAX];
		unsigned nr;
	} busy;
};

struct batch_item {
	struct file *file;	/* marks.c: held; the others find it again by slot and generation (batch_file) */
	uint32_t slot;
	uint64_t generation;
	struct pfs_fd *pfs;	/* held; NULL: `look` opens it */
	struct pfs_look *look;	/* owned; NULL: pfs suffices */
	int rc;
	union {
		struct {
			bool removes;
			struct stat before, after;
		} mark;
		struct {
			uint64_t change;
			bool is_new;
			int fd;
		} sync;
		struct {
			bool nameless, named;
		} survey;
	};
};

struct batch;

struct batch_kind {
	enum job_kind job;
	size_t max;		/* files */
	bool idle;		/* the agent may exit without waiting for it */
	bool (*take)(struct agent *a, struct file *f, struct batch_item *i); /* false: not now, or there is nothing to do */
	void (*run)(struct job *job); /* in a worker */
	int (*finish)(struct agent *a, struct batch_item *i); /* -errno: delay the next batch */
	void (*ended)(struct agent *a, const struct batch *b); /* after finish() of all items; or NULL */
};

struct batch {
	struct job job;		/* first */
	struct agent *agent;	/* workers read view and the pool's name only */
	const struct batch_kind *kind;
	struct batches *of;	/* has its file system in `busy`; NULL: batch_one(), batch_all() */
	uint64_t start_ms;
	size_t nr;
	struct batch_item items[];
};

void batch_list(struct batches *b, struct batch_entry *e, struct file *f);
void batch_unlist(struct batches *b, struct batch_entry *e); /* does nothing if it is not listed */
/* for take(): set i->pfs or, if pfs is NULL, i->look; false: out of memory */
bool batch_hold(struct batch_item *i, const struct file *f, struct pfs_fd *pfs);
/* a batch of this file alone, at once; false: nothing to do, or out of memory */
bool batch_one(struct agent *a, const struct batch_kind *kind, struct file *f);
/* a batch of all files of the agent for which take() returns true, at once; false: nothing to do, or out of memory */
bool batch_all(struct agent *a, const struct batch_kind *kind);
/* for finish(): the file that was taken; NULL: the agent no longer knows it */
struct file *batch_file(const struct agent *a, const struct batch_item *i);
int batches_wait_ms(const struct batches *b); /* until the next batch; -1: nothing to do */
void batches_look(struct agent *a, struct batches *b, const struct batch_kind *kind); /* start batches, if it is time */

#endif
