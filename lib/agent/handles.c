/*
 * handles.c -- files are opened, closed, drained and given up: what programs and commands ask for
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "agent/agent_impl.h"

#define RECENT_S 2 /* see is_recent() */

/* ---- open ------------------------------------------------------------------------ */

/* make room in the table of slots: the file longest unused goes */
static bool evict_file(struct agent *a)
{
	struct file *f = a->lru;

	if (!f || !files_frames_may_move(a))
		return false;
	files_forget(a, f);
	return true;
}

int files_new(struct agent *a, const char *path, uint32_t flags, const struct stat *st, int64_t birth_ns, struct file **out)
{
	int rc;

	do
		rc = files_insert(a, path, flags, st, birth_ns, out);
	while ((rc == -ENFILE || rc == -ENOSPC) && evict_file(a));
	if (rc < 0)
		pmio_err("agent: %s: no room in the pool's catalog, which has %u files: %s", path,
			 HASH_COUNT(a->files), pmio_strerror(rc));
	return rc;
}

static bool is_early(uint32_t flags)
{
	return (flags & PMIO_OPEN_WRITE) && (flags & PMIO_OPEN_EARLY);
}

/* so recently changed that another change may get the same time: clocks tick every 10 ms at most, and may differ a little */
static bool is_recent(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return st->st_ctim.tv_sec + RECENT_S >= now.tv_sec;
}

static int add_handle(struct agent *a, struct conn *c, struct file *f, uint32_t flags, struct handle **out)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->id = ++a->next_handle;
	h->conn = c;
	h->file = f;
	h->flags = flags;
	HASH_ADD(hh, a->handles, id, sizeof(h->id), h);
	files_lru_remove(a, f);
	f->nr_opens += f->nr_handles == 0;
	f->nr_handles++;
	f->recovered = f->on_pfs.seen_closed = false;
	if (flags & PMIO_OPEN_WRITE) {
		f->nr_writers++;
		f->wrote = true;
		f->policy.hold = flags & PMIO_OPEN_HOLD;
		f->was_held = false;
		f->policy.async = flags & PMIO_OPEN_ASYNC;
		f->policy.early = flags & PMIO_OPEN_EARLY;
		a->nr_early_handles += is_early(flags);
		f->policy.verify = flags & PMIO_OPEN_VERIFY;
		f->policy.sync_later = flags & PMIO_OPEN_SYNC_LATER;
	}
	f->policy.drop_cache = flags & PMIO_OPEN_DROP;
	if ((flags & PMIO_OPEN_SHARED) && (f->nr_handles == 1 || !f->shared))
		f->on_pfs.recent = is_recent(&f->on_pfs.seen);
	f->shared = flags & PMIO_OPEN_SHARED;
	f->home = f->shared && (f->home || (flags & PMIO_OPEN_HOME));
	if (flags & PMIO_OPEN_WRITE)
		marks_want(a, f);
	*out = h;
	return 0;
}

static void free_handle(struct agent *a, struct handle *h)
{
	HASH_DEL(a->handles, h);
	free(h);
}

/*
 * A file of several nodes has its pieces in several pools: who knows only this one would
 * miss the others.
 */
static int refuse_mixed(const struct file *f)
{
	/* not yet an error: who asks tries again for a while, and then says so */
	pmio_info("agent: %s is open %s: refusing to open it %s", f->path,
		 f->shared ? "on several nodes" : "by programs of this node alone",
		 f->shared ? "for this node alone" : "for several nodes");
	return -EBUSY;
}

int files_attach(struct agent *a, struct conn *c, struct file *f, const struct pmio_open_msg *m,
		 struct pfs_fd **pfs, struct handle **out)
{
	int rc;

	*out = NULL;
	/* the old one has a lock for its own use (lib/pfs/guard.c): one node's, or several nodes' */
	if (*pfs && f->nr_handles == 0 && files_pfs_can_as_much(*pfs, f->pfs))
		pfs_put(a, &f->pfs);
	if (*pfs)
		files_adopt_pfs(a, f, pfs);
	if (f->nr_handles && f->shared != !!(m->flags & PMIO_OPEN_SHARED))
		return refuse_mixed(f);
	rc = add_handle(a, c, f, m->flags, out);
	if (rc == 0 && (((m->flags & PMIO_OPEN_WRITE) && f->state != PMIO_FILE_OPEN) ||
			(m->flags & PMIO_OPEN_NEW) || (f->shared && !f->on_pfs.busy))) {
		if (m->flags & PMIO_OPEN_WRITE) {
			file_event(f, FILE_WRITER_OPENS);
			f->error = 0;
		}
		f->on_pfs.busy |= f->shared; /* its times say nothing while others drain */
		rc = files_record(a, f);
	}
	if (rc < 0 && *out) {
		files_close(a, *out, NULL, NULL);
		*out = NULL;
	} else if (rc < 0) {
		files_settle(a, f);
	}
	return rc;
}

/* ---- close and drain ------------------------------------------------------------------ */

static void answer(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int status)
{
	if (c)
		agent_reply_status(a, c, &msg->hdr, status);
}

/* does the last close not wait for the drain? */
static bool waits_not(const struct file *f)
{
	return file_is_removed(f) || f->policy.hold || f->policy.async || f->state == PMIO_FILE_FAILED;
}

/* what stays in the pool after the close must be durable there, and what went past it on the PFS */
static bool needs_sync(const struct agent *a, const struct file *f)
{
	return f->state == PMIO_FILE_OPEN && !file_is_removed(f) &&
	       (f->nr_pfs_chunks || pmio_pm_granularity(a->view->pm) == PMIO_PM_PAGE);
}

/* where no more than the PFS has to be synced, that may follow */
static bool syncs_instead(struct agent *a, struct file *f)
{
	if (!f->policy.sync_later || f->nr_pfs_chunks > SYNC_CHUNKS_MAX || !syncs_has_room(a) ||
	    pmio_pm_granularity(a->view->pm) == PMIO_PM_PAGE)
		return false;
	syncs_later(a, f, false, false);
	return true;
}

void files_close(struct agent *a, struct handle *h, struct conn *c, const union pmio_any_msg *msg)
{
	struct file *f = h->file;
	struct parked *p;

	if (msg)
		files_see_at_close(f, &msg->close);
	f->nr_handles--;
	f->nr_writers -= !!(h->flags & PMIO_OPEN_WRITE);
	a->nr_early_handles -= is_early(h->flags);
	free_handle(a, h);
	/* the last close answers when the data are on the PFS, or are known not to get there */
	if (c && !f->nr_handles && waits_not(f) && needs_sync(a, f) && !syncs_instead(a, f)) {
		calls_sync(a, c, f, msg);
		files_settle(a, f); /* at its end, if it could begin */
		return;
	}
	if (!c || f->nr_handles || waits_not(f) || (!f->nr_jobs && !files_needs_drain(a, f))) {
		answer(a, c, msg, 0);
		files_settle(a, f);
		return;
	}
	p = parked_new(c, msg);
	if (!p)
		answer(a, c, msg, -ENOMEM);
	drain_start(a, f, p);
}

/* ---- jobs on a file --------------------------------------------------------------- */

void files_drain(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	struct parked *p;

	if (f->nr_handles == 0 && f->state == PMIO_FILE_CLEAN && f->sync_listed && !file_is_removed(f) && !f->no_inode) {
		parked_add(a, &f->sync_waiters, c, msg, -1);
		return;
	}
	if (f->nr_handles == 0 && (f->state == PMIO_FILE_CLEAN || file_is_removed(f) || f->no_inode)) {
		agent_reply_status(a, c, &msg->hdr, f->removal == FILE_KEPT_NAMELESS ? PMIO_EGONE : 0);
		return;
	}
	p = parked_new(c, msg);
	if (!p) {
		agent_reply_status(a, c, &msg->hdr, -ENOMEM);
		return;
	}
	if (f->nr_handles == 0) {
		f->was_held |= f->policy.hold;
		f->policy.hold = false;
		file_event(f, FILE_DRAIN_WANTED);
	}
	f->force |= !!(msg->drain.flags & PMIO_DRAIN_FORCE);
	drain_start(a, f, p);
}

void files_give_up(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	if (f->nr_handles || file_is_unlinked(f)) {
		agent_reply_status(a, c, &msg->hdr, -EBUSY);
		return;
	}
	if (f->nr_jobs) {
		drain_end(f);
		parked_add(a, &f->retries, c, msg, -1);
		return;
	}
	calls_forget(a, c, f, msg);
}

void files_free(struct agent *a)
{
	struct handle *h, *next;
	struct file *f, *tmp;

	HASH_ITER(hh, a->handles, h, next)
		free_handle(a, h);
	HASH_ITER(hh, a->files, f, tmp)
		files_delete(a, f);
	free(a->by_slot);
	a->by_slot = NULL;
}
