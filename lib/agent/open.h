/*
 * open.h -- OPEN
 */
#ifndef PMIO_AGENT_OPEN_H
#define PMIO_AGENT_OPEN_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/file.h"

/* OPEN with a descriptor, which is taken over; answers */
void files_open(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd);

#endif
