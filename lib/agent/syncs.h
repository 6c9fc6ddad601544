/*
 * syncs.h -- files that are made durable later, many at a time
 */
#ifndef PMIO_AGENT_SYNCS_H
#define PMIO_AGENT_SYNCS_H

#include <stdbool.h>

#include "agent/file.h"

#define DRAIN_DEPTH 16 /* drains and fills under way for each of drain_threads, if they mostly wait for the file system */
#define SYNC_CHUNKS_MAX 4 /* of a small file */
bool syncs_has_room(const struct agent *a);		      /* is there room for one more file? */
bool syncs_may_wait(const struct agent *a, const struct file *f); /* and for the drained data of f? */
/* f was created or written, and is to be made durable later; the caller records it */
void syncs_later(struct agent *a, struct file *f, bool is_new, bool is_written);
void syncs_done(struct agent *a, struct file *f); /* it is durable; the caller records it */
void syncs_drop(struct agent *a, struct file *f, bool is_removed); /* drop it; is_removed: nothing to make durable */
int syncs_wait_ms(const struct agent *a);	  /* until the next batch; -1: nothing to do */
void syncs_look(struct agent *a);		  /* start batches, if it is time */

#endif
