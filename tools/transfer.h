/*
 * transfer.h -- many files moved between pool and file system, several at a time
 *
 * Each thread has a connection of its own to the agent, which does the work; the
 * calling thread asks it for the progress, and shows that (progress.h).
 */
#ifndef PMIO_TOOLS_TRANSFER_H
#define PMIO_TOOLS_TRANSFER_H

#include <stdatomic.h>

#include "progress.h"

#define TRANSFER_JOBS 4	     /* threads, if --jobs is not given */
#define TRANSFER_JOBS_MAX 64

struct transfer_file {
	char *path;		/* owned; absolute */
	struct pmio_entry entry; /* of a file in the pool */
	bool is_here;		/* the file system has it under path; otherwise path is the pool's last known name */
	uint64_t size;		/* of the file */
	bool pending;		/* has data that are not on the file system */
	_Atomic uint64_t bytes; /* to be moved */
	_Atomic uint64_t before; /* the agent's counter for this file at the start */
	_Atomic int64_t slot;	/* in the pool; -1: not known, or not under way */
	_Atomic uint64_t told;	/* without a slot: bytes moved so far, counted by move() */
	uint64_t moved;		/* the last known value; used by the calling thread only */
	int rc;
	struct pmio_file *kept; /* opened by move(), open until all files have been moved */
	struct transfer_file *next_ended;
};

struct transfer_run {
	const struct tool *tool;
	const char *command;
	const char *done_word;	/* "drained" */
	bool moved_only;	/* print nothing for files without pending data, unless they fail */
	unsigned nr_jobs;
	struct transfer_file *files; /* owned */
	size_t nr, room;
	struct transfer_refused {
		char *what;	/* owned; an argument or a path */
		int rc;
		struct transfer_refused *next;
	} *refused;		/* owned */

	/* in a thread: move it; 0 or an error, which has been logged */
	int (*move)(struct pmio *pm, struct transfer_file *f);
	/* the agent's counter of bytes moved for a file */
	uint64_t (*counter)(const struct pmio_file_stat *st);
	/* called for each file in the calling thread, when all have been moved; may be NULL */
	void (*end)(struct transfer_file *f);
};

/* add a file; NULL: out of memory */
struct transfer_file *transfer_add(struct transfer_run *t, const char *path);

/* an argument for which nothing could begin (logged); counts as a failed file */
void transfer_refuse(struct transfer_run *t, const char *what, int rc);

/* move all files; pm is for queries.  Frees the files; returns an exit status. */
int transfer_run(struct transfer_run *t, struct pmio *pm);

/* instead of running it */
void transfer_free(struct transfer_run *t);

/* arguments of the commands that move files: PATHs and --jobs; a child of their argp */
struct transfer_args {
	struct tool_args paths;
	unsigned nr_jobs;	/* TRANSFER_JOBS to begin with */
};
extern const struct argp transfer_argp;

#endif
