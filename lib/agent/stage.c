/*
 * stage.c -- chunks brought in from the PFS before anybody reads them
 *
 * Nothing but claims and fills.  A request that has started fills is parked and
 * comes by here again whenever one of the file's jobs has ended, until all of its
 * chunks are valid; what an earlier request has brought in costs a look at bitmaps.
 */
#include <errno.h>

#include "agent/agent_impl.h"

/* 0: it is there, or there is nothing of it; 1: it is on its way; or an error */
static int stage_chunk(struct agent *a, struct file *f, uint64_t number)
{
	struct pmio_mask all;
	struct chunk *ch;
	int rc;

	ch = files_claim(a, f, number, 0, true, false, &rc);
	if (!ch)
		return rc == -EBUSY ? 1 : rc;
	if (ch->frame < 0)
		return -ENOSPC; /* found no room earlier, and lives on the PFS while it is open */
	if (ch->filling)
		return 1;
	pmio_mask_range(&all, 0, PMIO_CHUNK_BLOCKS - 1);
	if (pmio_frame_valid(a->view, (uint64_t)ch->frame, &all))
		return 0;
	rc = fill_start(a, f, ch, &all);
	return rc == -EAGAIN ? 0 : rc; /* a client is just writing what is missing */
}

int stage_range(struct agent *a, struct file *f, uint64_t first, uint32_t nr, uint32_t step)
{
	int pending = 0, rc = 0;

	for (uint32_t i = 0; i < nr && rc >= 0; i++) {
		rc = stage_chunk(a, f, first + (uint64_t)i * step);
		pending |= rc > 0;
	}
	/* an error comes when nothing is under way any more: who closes the file then frees its frames */
	return pending ? 1 : rc;
}
