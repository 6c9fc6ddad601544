/*
 * calls.h -- requests that are one call to the PFS; each answers
 */
#ifndef PMIO_AGENT_CALLS_H
#define PMIO_AGENT_CALLS_H

#include "agent/file.h"

/* fd: a descriptor of the file that has the name; taken over */
void calls_remove(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);
void calls_removed(struct agent *a, struct conn *c, const union pmio_any_msg *msg);
/* the client has disconnected during a removal */
void calls_abandon_removal(struct agent *a, struct conn *c);
/* FORGET: removes the mark, and then the pool's data of the file; no program may have it open */
void calls_forget(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
/* complete an interrupted removal; -ENOMEM */
int calls_end_removal(struct agent *a, struct file *f);
/* RAISE: runs in the loop, so that no truncation can come between reading `cuts` and setting the size */
void calls_raise(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
/* to be called only while no job works on the file */
void calls_truncate(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
void calls_sync(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);

#endif
