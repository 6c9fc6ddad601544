/*
 * calls.h -- requests that are one call to the PFS; each answers
 */
#ifndef PMIO_AGENT_CALLS_H
#define PMIO_AGENT_CALLS_H

#include "agent/file.h"

/* fd: a descriptor of the file that has the name; taken over */
void calls_remove(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);
void calls_removed(struct agent *a, struct conn *c, const union pmio_any_msg *msg);
/* the client has left before the removal ended */
void calls_abandon_removal(struct agent *a, struct conn *c);
/* FORGET: removes the mark, and then what the pool has of the file; no program may have it open */
void calls_forget(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
/* complete a removal that was cut off; -ENOMEM */
int calls_end_removal(struct agent *a, struct file *f);
/* RAISE: in the loop, so that no truncation comes between the look at cuts and the new size */
void calls_raise(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
/* no job may work on the file */
void calls_truncate(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
void calls_sync(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);

#endif
