/*
 * close.c -- closing and draining files, and discarding their data, as programs and commands
 * request
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <uthash.h>

#include "agent/calls.h"
#include "agent/close.h"
#include "agent/conn.h"
#include "agent/drain.h"
#include "agent/file.h"
#include "agent/file_seen.h"
#include "agent/idle.h"
#include "agent/lookup.h"
#include "agent/mappings.h"
#include "agent/marks.h"
#include "agent/reply.h"
#include "agent/request.h"
#include "agent/state.h"
#include "agent/syncs.h"
#include "core/error.h"

static void free_handle(struct agent *a, struct handle *h)
{
	HASH_DEL(a->handles, h);
	free(h);
}

/* ---- close and drain ------------------------------------------------------------------ */

static void answer(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int status)
{
	if (c)
		agent_reply_status(a, c, &msg->hdr, status);
}

/* may the last close return before the drain has ended? */
static bool may_drain_later(const struct file *f)
{
	return file_is_removed(f) || file_is_on_hold(f) || f->policy.async || f->state == PMIO_FILE_FAILED;
}

/*
 * data that stay in the pool after the close must be durable there, and data written directly to the PFS must be
 * durable on it
 */
static bool needs_sync(const struct agent *a, const struct file *f)
{
	return f->state == PMIO_FILE_OPEN && !file_is_removed(f) &&
	       (f->nr_pfs_chunks || pmio_pm_granularity(a->view->pm) == PMIO_PM_PAGE);
}

/* if only the PFS has to be synced, that may be done later */
static bool syncs_instead(struct agent *a, struct file *f)
{
	if (!f->policy.sync_later || f->nr_pfs_chunks > SYNC_CHUNKS_MAX || !syncs_has_room(a) ||
	    pmio_pm_granularity(a->view->pm) == PMIO_PM_PAGE)
		return false;
	syncs_later(a, f, false, false);
	return true;
}

/* the clock of file systems */
static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

void files_close(struct agent *a, struct handle *h, struct conn *c, const union pmio_any_msg *msg)
{
	struct file *f = h->file;

	if (msg)
		files_see_at_close(f, &msg->close);
	if ((h->flags & PMIO_OPEN_WRITE) && (!msg || msg->close.counts.written || (h->mapped & PMIO_MAP_WRITE)))
		f->written_ns = now_ns();
	maps_leave(a, h);
	f->nr_handles--;
	f->nr_writers -= !!(h->flags & PMIO_OPEN_WRITE);
	a->nr_background_handles -= handle_drains_in_background(h->flags);
	free_handle(a, h);
	if (c && !files_needs_drain(a, f) && marks_defer(a, f, c, msg)) {
		files_idle(a, f);
		return;
	}
	/* the last close is answered when the data are on the PFS, or could not be drained */
	if (c && !f->nr_handles && may_drain_later(f) && needs_sync(a, f) && !syncs_instead(a, f)) {
		calls_sync(a, c, f, msg);
		files_idle(a, f); /* has an effect when the sync has ended, if that could begin */
		return;
	}
	if (!c || f->nr_handles || may_drain_later(f) || (!f->nr_jobs && !files_needs_drain(a, f))) {
		answer(a, c, msg, 0);
		files_idle(a, f);
		return;
	}
	drain_start(a, f, request_new(a, c, msg, sizeof(struct request)));
}

/* ---- jobs on a file --------------------------------------------------------------- */

void files_drain(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	struct request *r;

	if (f->nr_handles == 0 && f->state == PMIO_FILE_CLEAN && f->sync.listed && !file_is_gone(f)) {
		request_defer(a, &f->sync_waiters, c, msg, -1);
		return;
	}
	if (f->state == PMIO_FILE_CLEAN && marks_defer(a, f, c, msg)) {
		files_idle(a, f);
		return;
	}
	if (f->nr_handles == 0 && (f->state == PMIO_FILE_CLEAN || file_is_gone(f))) {
		agent_reply_status(a, c, &msg->hdr, f->removal == FILE_KEPT_NAMELESS ? PMIO_EGONE : 0);
		return;
	}
	r = request_new(a, c, msg, sizeof(*r));
	if (!r)
		return;
	if (f->nr_handles == 0) {
		file_hold_event(f, FILE_RELEASE_WANTED);
		file_event(f, FILE_DRAIN_WANTED);
	}
	f->force |= !!(msg->drain.flags & PMIO_DRAIN_FORCE);
	drain_start(a, f, r);
}

static bool drain_it(struct agent *a, struct conn *c, struct lookup *l)
{
	struct file *f = l->rc == 0 ? lookup_find(a, l) : NULL;

	if (!f) {
		agent_reply_status(a, c, &l->req.msg->hdr, l->rc < 0 ? l->rc : -ESRCH);
		return false;
	}
	if (l->pfs->writes)
		files_adopt_pfs(a, f, &l->pfs);
	files_drain(a, c, f, l->req.msg);
	return false;
}

void files_drain_by_fd(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	lookup_start(a, c, msg, NULL, fd, drain_it);
}

void files_give_up(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	if (f->nr_handles || file_is_unlinked(f)) {
		agent_reply_status(a, c, &msg->hdr, -EBUSY);
		return;
	}
	if (f->nr_jobs) {
		drain_end(f);
		request_defer(a, &f->deferred, c, msg, -1);
		return;
	}
	calls_forget(a, c, f, msg);
}

/* the workers have ended, so no drain needs these frames any more: the next agent finds them free */
static void free_removed(struct agent *a)
{
	for (struct file *f = a->files; f; f = f->hh.next) {
		if (file_is_removed(f) && f->nr_handles == 0 && (!f->recovered || files_frames_may_move(a)))
			pmio_pool_file_remove(a->pool, f->slot);
	}
}

void files_free(struct agent *a)
{
	struct handle *h, *next;
	struct file *f, *tmp;

	free_removed(a);
	HASH_ITER(hh, a->handles, h, next)
		free_handle(a, h);
	HASH_ITER(hh, a->files, f, tmp)
		files_delete(a, f);
	free(a->by_slot);
	a->by_slot = NULL;
}
