/*
 * recover.h -- the files that the catalog has at the agent's start
 */
#ifndef PMIO_AGENT_RECOVER_H
#define PMIO_AGENT_RECOVER_H

struct agent;

int files_load(struct agent *a); /* from the catalog, at start */

#endif
