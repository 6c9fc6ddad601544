/*
 * stage.h -- reading chunks of a file ahead
 */
#ifndef PMIO_AGENT_STAGE_H
#define PMIO_AGENT_STAGE_H

#include <stdint.h>

#include "agent/file.h"

/* stage.c: 0: all chunks are valid; 1: fills run, call it again when one has ended; or an error */
int stage_range(struct agent *a, struct file *f, uint64_t first, uint32_t nr, uint32_t step);

#endif
