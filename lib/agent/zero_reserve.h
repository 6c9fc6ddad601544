/*
 * zero_reserve.h -- zeroed frames that are kept ready
 */
#ifndef PMIO_AGENT_ZERO_RESERVE_H
#define PMIO_AGENT_ZERO_RESERVE_H

struct agent;

void zero_reserve_more(struct agent *a);

#endif
