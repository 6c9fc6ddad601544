/*
 * drain.h -- drains of files
 */
#ifndef PMIO_AGENT_DRAIN_H
#define PMIO_AGENT_DRAIN_H

#include <stdint.h>
#include <sys/stat.h>

#include "agent/file.h"

/*
 * Start a drain; if a job prevents that, it starts when the job ends.  The waiter, which
 * may be NULL, is answered when everything written before this call is on the PFS, or
 * the drain has failed.
 */
void drain_start(struct agent *a, struct file *f, struct request *waiter);
/* start a drain of the chunks that are ripe (background.c) */
void drain_start_background(struct agent *a, struct file *f);
/* end a background drain soon: a request waits for its end */
void drain_hurry(struct file *f);
/* end the running drain, if there is one, early: it is no longer needed */
void drain_end(struct file *f);
/* the same for all files: the agent exits */
void drain_stop_all(struct agent *a);
/*
 * For a running drain that is the file's only writer: is the PFS file, as seen in st, in the state in
 * which the drain has left it?  *steps, in and out, counts the steps of drains; st is only conclusive
 * if no step has begun or ended since.
 * Returns 0, -EAGAIN (the drain has continued since, or is in a step: check again) or PMIO_ECHANGED.
 */
int drain_compare(const struct file *f, const struct stat *st, uint64_t *steps);
/* bytes that the running drain, if there is one, has written so far */
uint64_t drain_written(const struct file *f);

#endif
