/*
 * idle.h -- what to do with a file that no program has open
 */
#ifndef PMIO_AGENT_IDLE_H
#define PMIO_AGENT_IDLE_H

#include <stdbool.h>

#include "agent/file.h"

idle_fn files_idle; /* drain, hold, cache or forget it */
bool files_needs_drain(struct agent *a, struct file *f);
/*
 * its last name was removed, and no program has it open: discard its data; but held data are kept
 * until a user discards them.  May free f
 */
void files_lost_name(struct agent *a, struct file *f);
/*
 * its pending data do not belong to the current PFS file, which is treated as a new file; no job may run.  May free f
 */
void files_set_aside(struct agent *a, struct file *f);
/* free its slot and its frames for other files; no program or job may use it */
void files_forget(struct agent *a, struct file *f);

#endif
