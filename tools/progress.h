/*
 * progress.h -- how far a command has come: a bar on a terminal, events for programs
 *
 * The bar stands on standard error, in the last line, while that is a terminal and
 * neither --quiet nor --json were given.  With --json, standard output gets one
 * object a line, an event each: "start", "progress" (once a second, and before the
 * end), "file" (done), "error" (a file failed, and why), "done" (the last).
 *
 * Threads: the library's error lines may come from any (tool_log_init()); all else
 * is for one thread.
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
	bool partly;		  /* something was done, and is not whole, whatever these say */

	/* its own */
	bool bar;
	double start, shown;	  /* seconds, CLOCK_MONOTONIC */
	double rate_since;	  /* when the rate was last measured, and at how many bytes */
	uint64_t rate_bytes;
	double rate;		  /* bytes per second; 0: not known yet */
};

/* set the public fields first; pool may be NULL */
void tool_progress_start(struct tool_progress *p, const char *pool);

/* call as often as something may have changed; it shows what is worth it */
void tool_progress_show(struct tool_progress *p);

/* one more file: rc 0 or why not (an error has been logged) */
void tool_progress_file(struct tool_progress *p, const char *path, uint64_t bytes, int rc);

/* take the bar away, say what came of it; the exit status for tool_exit_of() */
int tool_progress_end(struct tool_progress *p);

/* seconds since some time that does not change */
double tool_now(void);

#endif
