/*
 * drain.h -- drains of files
 */
#ifndef PMIO_AGENT_DRAIN_H
#define PMIO_AGENT_DRAIN_H

#include <stdint.h>
#include <sys/stat.h>

#include "agent/file.h"

/*
 * Start a drain, or have one follow the job that keeps it from starting.  The waiter,
 * which may be NULL, is answered when everything written before this call is on the
 * PFS, or is known not to get there.
 */
void drain_start(struct agent *a, struct file *f, struct request *waiter);
/* start a drain of the chunks that are ripe (background.c) */
void drain_start_background(struct agent *a, struct file *f);
/* end a background drain soon: a request waits for its end */
void drain_hurry(struct file *f);
/* end the running drain, if there is one, early: it is not wanted any more */
void drain_end(struct file *f);
/* the same for all files: the agent leaves */
void drain_stop_all(struct agent *a);
/*
 * Of a running drain that has the file to itself: is the PFS file, as it was seen, what the
 * drain has made of it?  *steps, in and out, counts the steps of drains; only a look within one
 * step counts.
 * Returns 0, -EAGAIN (the drain has gone on since, or is in a step: look again) or PMIO_ECHANGED.
 */
int drain_compare(const struct file *f, const struct stat *st, uint64_t *steps);
/* bytes that the running drain, if there is one, has written so far */
uint64_t drain_written(const struct file *f);

#endif
