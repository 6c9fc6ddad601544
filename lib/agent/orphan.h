/*
 * orphan.h -- a pool whose folder was removed
 */
#ifndef PMIO_AGENT_ORPHAN_H
#define PMIO_AGENT_ORPHAN_H

struct agent;

int orphan_wait_ms(const struct agent *a);
void orphan_look(struct agent *a);
void orphan_leave(const struct agent *a); /* everything is drained */

#endif
