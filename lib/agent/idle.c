/*
 * idle.c -- deciding what to do with a file that no program has open and no job works on
 *
 *   open      has handles
 *   busy      no handles, but a drain or fill is under way
 *   waiting   no handles, dirty: held on request, or a drain failed
 *   cached    no handles, clean; in the agent's LRU list, so its frames can be evicted
 *
 * files_idle() moves it from one to the next: it is called when its last handle is closed, and at the
 * end of each job (agent->idle).
 */
#include <string.h>
#include <time.h>
#include <uthash.h>

#include "agent/chunks.h"
#include "agent/drain.h"
#include "agent/file.h"
#include "agent/idle.h"
#include "agent/marks.h"
#include "agent/pack.h"
#include "agent/pfs_fd.h"
#include "agent/state.h"
#include "agent/syncs.h"
#include "core/log.h"

/* the slot is freed first, in one store; then its frames are free for other files */
void files_forget(struct agent *a, struct file *f)
{
	pmio_pool_file_remove(a->pool, f->slot);
	files_del_all_chunks(a, f);
	syncs_drop(a, f, file_is_removed(f));
	marks_drop(a, f);
	files_delete(a, f);
}

bool files_needs_drain(struct agent *a, struct file *f)
{
	/*
	 * an agent knows only its own pieces of a file of several nodes, and that of the metadata server also knows the
	 * size
	 */
	if (f->shared)
		return f->wrote && (f->nr_pfs_chunks || f->on_pfs.cut_pending || files_any_dirty(a, f) ||
				    (f->sets_size && pmio_pool_file_size(a->pool, f->slot) > f->on_pfs.size));
	/*
	 * A drain also makes durable what clients wrote to the PFS themselves; and it
	 * repairs the PFS file if an agent was cut off while it changed the file.
	 */
	return f->wrote && (f->nr_pfs_chunks || f->on_pfs.busy || f->on_pfs.cut_pending || files_any_dirty(a, f) ||
			    pmio_pool_file_size(a->pool, f->slot) > f->on_pfs.size);
}

/* frees frames without a valid block, or beyond the file's end: they were claimed ahead and never used */
static void trim_frames(struct agent *a, struct file *f)
{
	uint64_t size = pmio_pool_file_size(a->pool, f->slot);
	struct chunk *ch, *tmp;

	HASH_ITER(hh, f->chunks, ch, tmp) {
		struct pmio_mask valid, dirty, draining;

		if (ch->frame < 0)
			continue;
		pmio_frame_get(a->view, (uint64_t)ch->frame, &valid, &dirty, &draining);
		if (pmio_mask_empty(&valid) || ch->number << a->view->chunk_shift >= size)
			files_del_chunk(a, f, ch);
	}
}

static void cache_or_forget(struct agent *a, struct file *f)
{
	/*
	 * Another node may write to a file that is cached here as soon as it is closed.  If no
	 * program has written through this pool, the PFS file's times from before the open
	 * tell whether another node has written since.
	 */
	if (f->shared && (f->wrote || f->on_pfs.recent)) {
		f->policy.drop_cache = f->on_pfs.stale = true;
		f->on_pfs.seen.st_ctim = (struct timespec){ 0, 0 };
	}
	if (f->on_pfs.busy || f->wrote || f->state != PMIO_FILE_CLEAN) {
		file_event(f, FILE_COMPLETE);
		f->error = 0;
		f->on_pfs.busy = false;
		if (files_update_catalog(a, f) < 0)
			f->policy.drop_cache = true; /* the catalog's entry would be wrong */
	}
	f->wrote = false;
	f->recovered = false;
	files_packed_drop(a, f);
	if (files_frames_may_move(a)) {
		trim_frames(a, f);
		files_drop_pfs_chunks(f); /* forget which chunks are on the PFS only: they may get frames at the next open */
	}
	marks_want_none(a, f);
	if (f->nr_jobs)
		return; /* at its end this is called again */
	if (!f->mark.listed)
		pfs_put(a, &f->pfs);
	if (f->unsynced)
		return; /* its frames are kept until it is durable: syncs.c */
	if (f->policy.drop_cache && !f->mark.listed && files_frames_may_move(a))
		files_forget(a, f);
	else
		files_lru_add(a, f);
}

/* its clients may have outlived another agent: they must not store into frames of other files */
static void forget_removed(struct agent *a, struct file *f)
{
	if (!f->recovered || files_frames_may_move(a)) {
		files_forget(a, f);
		return;
	}
	file_event(f, FILE_COMPLETE);
	pfs_put(a, &f->pfs);
	files_lru_add(a, f);
}

void files_idle(struct agent *a, struct file *f)
{
	if (f->next_drain_waiters)
		drain_start(a, f, NULL);
	if (f->nr_handles || f->nr_jobs)
		return;
	if (f->removal == FILE_NAME_LOST) {
		files_lost_name(a, f);
		return;
	}
	if (file_is_removed(f)) {
		forget_removed(a, f);
		return;
	}
	a->survey_wanted |= f->state != PMIO_FILE_CLEAN;
	if (f->no_inode)
		return;
	if (f->pfs && f->state != PMIO_FILE_CLEAN && f->policy.hold && pfs_fd_is_high(f->pfs->fd))
		pfs_put(a, &f->pfs); /* the file is found again by its name */
	if (f->state == PMIO_FILE_FAILED) {
		if (f->reopen) /* the file system may have to be unmounted: do not keep it busy */
			pfs_put(a, &f->pfs);
		pack_note(a, f);
		return;
	}
	if (!files_needs_drain(a, f)) {
		cache_or_forget(a, f);
		return;
	}
	if (f->policy.hold && !a->orphaned) {
		file_event(f, FILE_IS_HELD);
		if (files_frames_may_move(a))
			trim_frames(a, f);
		files_update_name(a, f);
		files_update_catalog(a, f);
		marks_want(a, f);
		pack_note(a, f);
		return;
	}
	drain_start(a, f, NULL);
}

/* it has no inode any more; keep the pool's data of it */
static void keep_nameless(struct agent *a, struct file *f)
{
	f->removal = FILE_KEPT_NAMELESS;
	file_event(f, FILE_IS_HELD);
	f->policy.hold = true;
	f->error = 0;
	files_update_catalog(a, f);
}

void files_set_aside(struct agent *a, struct file *f)
{
	bool keeps = files_needs_drain(a, f) && !f->policy.async;

	pmio_warn("agent: %s was emptied on the file system, and is opened for writing: %s", f->path,
		  keeps ? "what waits in the pool for it stays there until `pmio forget`" : "what was to be drained to it is given up");
	if (!keeps) {
		files_forget(a, f);
		return;
	}
	files_lose_inode(a, f);
	syncs_drop(a, f, false);
	marks_drop(a, f);
	keep_nameless(a, f);
}

void files_lost_name(struct agent *a, struct file *f)
{
	bool held = (f->policy.hold || f->was_held) && files_needs_drain(a, f);

	if (f->nr_handles || f->no_inode || f->busy == FILE_REMAKING ||
	    (f->removal != FILE_STAYS && f->removal != FILE_NAME_LOST))
		return;
	if (held || f->state != PMIO_FILE_CLEAN)
		pmio_warn("agent: %s was removed on the file system: %s", f->path,
			  held ? "what is held of it stays until `pmio forget`" : "its data are given up");
	/* another file may get its inode number at once */
	files_lose_inode(a, f);
	syncs_drop(a, f, !held);
	marks_drop(a, f);
	if (held) {
		keep_nameless(a, f);
		return;
	}
	f->removal = FILE_REMOVED; /* if it cannot be forgotten now, the next agent does it */
	files_update_catalog(a, f);
	files_idle(a, f);
}
