/*
 * close.h -- CLOSE, DRAIN and FORGET
 */
#ifndef PMIO_AGENT_CLOSE_H
#define PMIO_AGENT_CLOSE_H

#include "agent/file.h"

/* free the handle, and answer the request, if there is one; that of the last close when the file is drained */
void files_close(struct agent *a, struct handle *h, struct conn *c, const union pmio_any_msg *msg);
/* DRAIN; answers */
void files_drain(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
/* the same for the file of a descriptor, which is taken over */
void files_drain_by_fd(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);
/* FORGET; answers */
void files_give_up(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg);
void files_free(struct agent *a); /* all handles and files */

#endif
