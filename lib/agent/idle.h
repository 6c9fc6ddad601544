/*
 * idle.h -- what becomes of a file that no program has open
 */
#ifndef PMIO_AGENT_IDLE_H
#define PMIO_AGENT_IDLE_H

#include <stdbool.h>

#include "agent/file.h"

idle_fn files_idle; /* drain, hold, cache or forget it */
bool files_needs_drain(struct agent *a, struct file *f);
/*
 * its last name was removed, and no program has it open: its data are given up, as those of any
 * file; but held data stay until a user gives them up.  It may free f
 */
void files_lost_name(struct agent *a, struct file *f);
/* what waits for it does not belong to what the PFS file is now, which becomes another file here; no jobs.  f may be freed */
void files_set_aside(struct agent *a, struct file *f);
/* makes its slot and its frames free for other files; nobody may use it */
void files_forget(struct agent *a, struct file *f);

#endif
