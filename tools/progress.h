/*
 * progress.h -- a command's progress: a bar on a terminal, events for programs
 *
 * The bar is on standard error, in the last line, if that is a terminal and neither
 * --quiet nor --json was given.  With --json, standard output gets one object per line
 * and event: "start", "progress" (once a second, and before the end), "file" (done),
 * "error" (a file failed, with the reason), "done" (the last).
 *
 * Threads: the library's error lines may come from any (tool_log_init()); everything
 * else is for one thread.
 */
#ifndef PMIO_TOOLS_PROGRESS_H
#define PMIO_TOOLS_PROGRESS_H

#include "tools.h"

struct tool_progress {
	const struct tool *tool;
	const char *command;	  /* "stage-in" */
	uint64_t bytes;		  /* to be moved */
	uint64_t bytes_done;
	size_t nr_files, nr_done, nr_failed;
	bool partly;		  /* the result is incomplete, whatever the numbers say */

	/* its own */
	bool bar;
	double start, shown;	  /* seconds, CLOCK_MONOTONIC */
	double rate_since;	  /* when the rate was last measured, and the bytes at that time */
	uint64_t rate_bytes;
	double rate;		  /* bytes per second; 0: not known yet */
};

/* set the public fields first; pool may be NULL */
void tool_progress_start(struct tool_progress *p, const char *pool);

/* call whenever something may have changed; it limits the output itself */
void tool_progress_show(struct tool_progress *p);

/* a file has ended: rc 0 or its error (which has been logged) */
void tool_progress_file(struct tool_progress *p, const char *path, uint64_t bytes, int rc);

/* remove the bar, report the result; returns the exit status as tool_exit_of() */
int tool_progress_end(struct tool_progress *p);

/* seconds since a fixed time */
double tool_now(void);

#endif
