/*
 * pack.c -- small files with pending data share frames, when frames are short
 *
 * A file takes at least one frame, which is larger than most files are.  When few frames are free, and no clean file can be
 * evicted, files that no program has open, and that are not larger than a unit (pool/format.h), are packed, the one that
 * has waited longest first.
 * A packed file is drained from its unit.  Before a program opens it, it gets a frame again; if none is available it is
 * drained first.
 */
#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

#include "agent/file.h"
#include "agent/pack.h"
#include "agent/state.h"
#include "core/error.h"
#include "core/log.h"

#define RESERVE_PART 4 /* one frame in this many is kept free, as far as packing can achieve that */

static bool can_pack(const struct agent *a, const struct file *f)
{
	const struct chunk *ch = f->chunks;

	return !f->packed && !f->nr_handles && !f->nr_jobs && !f->nr_mapped && !file_is_shared(f) && !f->unsynced && !f->on_pfs.cut_pending &&
	       f->nr_pfs_chunks == 0 && (f->state == PMIO_FILE_HELD || f->state == PMIO_FILE_FAILED) &&
	       pmio_pool_file_size(a->pool, f->slot) <= pmio_pool_pack_max(a->pool) && HASH_COUNT(f->chunks) == 1 &&
	       ch->number == 0 && ch->frame >= 0 && !ch->filling;
}

static void pack(struct agent *a, struct file *f)
{
	struct chunk *ch = f->chunks;
	int rc = pmio_pool_pack(a->pool, f->slot, (uint64_t)ch->frame);

	if (rc < 0) {
		pmio_err("agent: pack %s: %s; it keeps its frame", f->path, pmio_strerror(rc));
		return;
	}
	HASH_DEL(f->chunks, ch);
	free(ch);
	f->packed = true;
}

bool pack_more(struct agent *a)
{
	const uint64_t before = pmio_pool_frames_free(a->pool);

	while (pmio_pool_frames_free(a->pool) == before && a->may_pack && files_frames_may_move(a)) {
		struct file *f = a->may_pack;

		files_leave_list(a, f); /* one that a job works on is noted again at its end */
		if (can_pack(a, f))
			pack(a, f);
	}
	return pmio_pool_frames_free(a->pool) > before;
}

void pack_note(struct agent *a, struct file *f)
{
	if (f->list == FILE_IN_MAY_PACK || !can_pack(a, f))
		return;
	files_pack_add(a, f);
	/* files whose jobs have not ended cannot be packed: some frames have to be free for those that are written meanwhile */
	if (!a->lru && pmio_pool_frames_free(a->pool) < a->view->nr_frames / RESERVE_PART)
		pack_more(a);
}
