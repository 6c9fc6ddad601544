/*
 * stage.c -- reading chunks from the PFS before a program needs them
 *
 * It consists of claims and fills only.  A request that has started fills is deferred
 * and dispatched again whenever one of the file's jobs has ended, until all of its
 * chunks are valid; for chunks that an earlier request has staged in, only bitmaps are
 * checked.
 */
#include <errno.h>

#include "agent/claims.h"
#include "agent/file.h"
#include "agent/fill.h"
#include "agent/stage.h"
#include "agent/state.h"

/* 0: the chunk is there, or has no data; 1: it is being brought in; or an error */
static int stage_chunk(struct agent *a, struct file *f, uint64_t number)
{
	struct pmio_mask all;
	struct chunk *ch;
	int rc;

	ch = files_claim(a, f, number, 0, true, false, &rc);
	if (!ch)
		return rc == -EBUSY ? 1 : rc;
	if (ch->frame < 0)
		return -ENOSPC; /* there was no room for it earlier, so it stays on the PFS while the file is open */
	if (ch->filling)
		return 1;
	pmio_mask_range(&all, 0, PMIO_CHUNK_BLOCKS - 1);
	if (pmio_frame_valid(a->view, (uint64_t)ch->frame, &all))
		return 0;
	rc = fill_start(a, f, ch, &all);
	return rc == -EAGAIN ? 0 : rc; /* a client is writing the missing blocks */
}

int stage_range(struct agent *a, struct file *f, uint64_t first, uint32_t nr, uint32_t step)
{
	int pending = 0, rc = 0;

	for (uint32_t i = 0; i < nr && rc >= 0; i++) {
		rc = stage_chunk(a, f, first + (uint64_t)i * step);
		pending |= rc > 0;
	}
	/* an error is returned only when no fill is under way any more: a close after the error then frees the frames */
	return pending ? 1 : rc;
}
