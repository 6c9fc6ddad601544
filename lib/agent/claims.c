/* claims.c -- frames for chunks, and where they come from */
#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

#include "agent/chunks.h"
#include "agent/claims.h"
#include "agent/drain.h"
#include "agent/file.h"
#include "agent/idle.h"
#include "agent/name_survey.h"
#include "agent/pack.h"
#include "agent/state.h"
#include "core/log.h"

/* evict the frames of the least recently used closed, clean file */
static bool evict_frames(struct agent *a)
{
	struct file *f = a->lru;

	if (!f || !files_frames_may_move(a))
		return false;
	a->evicted_chunks += HASH_COUNT(f->chunks);
	files_forget(a, f);
	return true;
}

bool claims_make_room(struct agent *a)
{
	return evict_frames(a) || pack_more(a);
}

/* zeroed frames are for chunks that are written in pieces: other chunks do not benefit from them */
static uint64_t take_frame(struct agent *a, struct file *f, uint64_t number, uint32_t how)
{
	uint64_t frame = PMIO_NO_FRAME;

	if ((how & PMIO_CLAIM_WRITE) && !(how & PMIO_CLAIM_WHOLE) &&
	    number << a->view->chunk_shift >= f->on_pfs.size)
		frame = pmio_pool_frame_get_zero(a->pool, f->slot, number);
	return frame != PMIO_NO_FRAME ? frame : pmio_pool_frame_get(a->pool, f->slot, number);
}

/* drains and truncations set the PFS file's size at their end: no other process may change it meanwhile */
static bool changes_pfs(const struct file *f)
{
	return f->drain || f->busy == FILE_TRUNCATING;
}

/* let a drain cut off bytes that must not remain on the PFS; -EBUSY: it is under way */
static int cut_first(struct agent *a, struct file *f)
{
	if (!f->error)
		drain_start(a, f, NULL);
	return f->error ? -f->error : -EBUSY;
}

static struct chunk *claim_new(struct agent *a, struct file *f, uint64_t number, uint32_t how,
			       bool no_pfs, bool optional, int *rc)
{
	uint64_t frame;
	struct chunk *ch;

	do
		frame = take_frame(a, f, number, how);
	while (frame == PMIO_NO_FRAME && !optional && claims_make_room(a));
	if (frame == PMIO_NO_FRAME)
		survey_soon(a); /* files that no longer exist may still have frames */
	if (frame == PMIO_NO_FRAME && (optional || no_pfs)) {
		*rc = -ENOSPC;
		if (!optional)
			pmio_err("agent: %s: the pool is full, and fallback=error", f->path);
		return NULL;
	}
	if (frame == PMIO_NO_FRAME && changes_pfs(f)) {
		*rc = -EBUSY;
		return NULL;
	}
	if (frame == PMIO_NO_FRAME && f->on_pfs.cut_pending) {
		*rc = cut_first(a, f);
		return NULL;
	}
	if (frame == PMIO_NO_FRAME) {
		if (a->fallback_chunks++ == 0)
			pmio_warn("agent: the pool is full: data that do not fit are read and written on the "
				  "file system");
		if (!f->on_pfs.busy && f->wrote) {
			f->on_pfs.busy = true;
			files_update_catalog(a, f);
		}
	}
	ch = files_add_chunk(f, number, frame == PMIO_NO_FRAME ? PMIO_CLAIM_PFS : (int64_t)frame);
	if (!ch) {
		*rc = -ENOMEM;
		if (frame != PMIO_NO_FRAME)
			pmio_pool_frame_put(a->pool, frame);
	}
	return ch;
}

struct chunk *files_claim(struct agent *a, struct file *f, uint64_t number, uint32_t how, bool no_pfs,
			  bool optional, int *rc)
{
	struct chunk *ch = files_chunk(f, number);

	*rc = 0;
	if (ch && ch->frame == PMIO_CLAIM_PFS && changes_pfs(f)) {
		*rc = -EBUSY;
		return NULL;
	}
	if (ch)
		return ch;
	if (number > (uint64_t)INT64_MAX >> a->view->chunk_shift) {
		*rc = -EFBIG;
		return NULL;
	}
	if (!(how & PMIO_CLAIM_WRITE) && number << a->view->chunk_shift >= f->on_pfs.size)
		return NULL;
	/* frames claimed ahead must not crowd out what is needed now */
	if (optional && pmio_pool_frames_free(a->pool) < a->view->nr_frames / 8) {
		*rc = -ENOSPC;
		return NULL;
	}
	return claim_new(a, f, number, how, no_pfs, optional, rc);
}
