/*
 * marks.h -- dirty marks, which show other pools that this pool has pending data (pfs/exclusion.c)
 */
#ifndef PMIO_AGENT_MARKS_H
#define PMIO_AGENT_MARKS_H

#include <stdbool.h>

#include "agent/file.h"

void marks_want(struct agent *a, struct file *f);	/* f is open for writing, or has pending data */
void marks_want_again(struct agent *a, struct file *f); /* the same, but an earlier agent may have made the mark */
/* it has no pending data, or is in use on several nodes; at once, by a job, if requests wait for it */
void marks_want_none(struct agent *a, struct file *f);
/* answer the request when the file has no mark; files_idle(), which is to follow, has it removed.  false: nothing to wait for */
bool marks_defer(struct agent *a, struct file *f, struct conn *c, const union pmio_any_msg *msg);
void marks_drop(struct agent *a, struct file *f);	/* its mark is handled elsewhere */
int marks_wait_ms(const struct agent *a);		/* until the next batch; -1: nothing to do */
void marks_look(struct agent *a);			/* start batches, if it is time */

#endif
