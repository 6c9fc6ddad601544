/*
 * marks.h -- dirty marks, by which other pools see that data wait here (pfs/exclusion.c)
 */
#ifndef PMIO_AGENT_MARKS_H
#define PMIO_AGENT_MARKS_H

#include <stdbool.h>

#include "agent/file.h"

void marks_want(struct agent *a, struct file *f);	/* f is open for writing, or has data that wait */
void marks_want_again(struct agent *a, struct file *f); /* ... and an earlier agent may or may not have made the mark */
/* it has no data that wait, or is in use on several nodes; at once if requests wait for it, and then as a job */
void marks_want_none(struct agent *a, struct file *f);
/* answer the request when the file has no mark; files_idle(), which is to follow, has it removed.  false: nothing to wait for */
bool marks_defer(struct agent *a, struct file *f, struct conn *c, const union pmio_any_msg *msg);
void marks_drop(struct agent *a, struct file *f);	/* something else sees to its mark */
int marks_wait_ms(const struct agent *a);		/* until the next batch; -1: nothing to do */
void marks_look(struct agent *a);			/* if it is time */

#endif
