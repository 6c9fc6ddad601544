/*
 * claims.h -- frames for chunks
 */
#ifndef PMIO_AGENT_CLAIMS_H
#define PMIO_AGENT_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/file.h"

/* evict or pack a file that no program has open, to free a frame */
bool claims_make_room(struct agent *a);
/* the chunk's place; NULL with *rc: -ENOSPC, -EBUSY (ask again when a job has ended),
   or 0 and a hole (how without PMIO_CLAIM_WRITE) */
struct chunk *files_claim(struct agent *a, struct file *f, uint64_t number, uint32_t how, bool no_pfs,
			  bool optional, int *rc);

#endif
