/*
 * fill.h -- blocks that are read from the PFS into frames
 */
#ifndef PMIO_AGENT_FILL_H
#define PMIO_AGENT_FILL_H

#include "agent/file.h"

/* fill blocks; returns 0: done; -EAGAIN: a writer is writing them; 1: a job was started, retry later */
int fill_start(struct agent *a, struct file *f, struct chunk *ch, const struct pmio_mask *wanted);

/* make a chunk valid that lies beyond the PFS file's end, which needs no job */
void fill_zeros(struct agent *a, struct file *f, struct chunk *ch);

#endif
