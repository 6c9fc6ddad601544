/*
 * open.c -- a program opens a file: is the PFS file still as the agent knows it, and may it be opened in
 * that way?
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <uthash.h>

#include "agent/claims.h"
#include "agent/close.h"
#include "agent/conn.h"
#include "agent/file.h"
#include "agent/file_seen.h"
#include "agent/fill.h"
#include "agent/idle.h"
#include "agent/lookup.h"
#include "agent/maps.h"
#include "agent/marks.h"
#include "agent/open.h"
#include "agent/pack.h"
#include "agent/pfs_fd.h"
#include "agent/reply.h"
#include "agent/request.h"
#include "agent/state.h"
#include "agent/syncs.h"
#include "core/error.h"
#include "core/log.h"

#define RECENT_S 2  /* see is_recent() */
#define WHEN_IDLE UNPACK_WHEN_IDLE /* from revalidate(), too */

/* ---- handles --------------------------------------------------------------------- */

/* make room in the table of slots: evict the least recently used file */
static bool evict_file(struct agent *a)
{
	struct file *f = a->lru;

	if (!f || !files_frames_may_move(a))
		return false;
	files_forget(a, f);
	return true;
}

static int files_new(struct agent *a, const char *path, uint32_t flags, const struct stat *st, int64_t birth_ns, struct file **out)
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

/*
 * was it changed so recently that another change may get the same time?  Clocks tick at least every 10 ms, and may
 * differ a little
 */
static bool is_recent(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return st->st_ctim.tv_sec + RECENT_S >= now.tv_sec;
}

/* growers register before they grow.  If a power cut takes the bit back, all nodes are asked */
static void set_growers_known(struct agent *a, const struct file *f)
{
	pmio_pm_or64(a->view->pm, &a->view->slots[f->slot].growers, PMIO_GROWERS_KNOWN);
}

static int add_handle(struct agent *a, struct conn *c, struct file *f, const struct pmio_open_msg *m, struct handle **out)
{
	struct handle *h = calloc(1, sizeof(*h));
	uint32_t flags = m->flags;

	if (!h)
		return -ENOMEM;
	h->id = ++a->next_handle;
	h->conn = c;
	h->file = f;
	h->flags = flags;
	HASH_ADD(hh, a->handles, id, sizeof(h->id), h);
	files_lru_remove(a, f);
	files_pack_remove(a, f);
	f->nr_opens += f->nr_handles == 0;
	f->nr_handles++;
	maps_opened(h, m->map_lock);
	f->recovered = f->on_pfs.seen_closed = false;
	if (flags & PMIO_OPEN_WRITE) {
		f->nr_writers++;
		f->wrote = true;
		f->policy.hold = flags & PMIO_OPEN_HOLD;
		f->was_held = false;
		f->policy.async = flags & PMIO_OPEN_ASYNC;
		f->policy.background = flags & PMIO_OPEN_EARLY;
		a->nr_background_handles += handle_drains_in_background(flags);
		f->policy.verify = flags & PMIO_OPEN_VERIFY;
		f->policy.sync_later = flags & PMIO_OPEN_SYNC_LATER;
	}
	f->policy.drop_cache = flags & PMIO_OPEN_DROP;
	if ((flags & PMIO_OPEN_SHARED) && (f->nr_handles == 1 || !f->shared))
		f->on_pfs.recent = is_recent(&f->on_pfs.seen);
	f->shared = flags & PMIO_OPEN_SHARED;
	f->sets_size = f->shared && (f->sets_size || (flags & PMIO_OPEN_MDS));
	if (f->sets_size && (flags & PMIO_OPEN_BEGINS))
		set_growers_known(a, f);
	requests_finish(a, &f->mark_waiters, 0);
	if (f->shared)
		marks_want_none(a, f);
	else if (flags & PMIO_OPEN_WRITE)
		marks_want(a, f);
	*out = h;
	return 0;
}

/*
 * A file of several nodes has its pieces in several pools: a program that uses only this
 * pool would miss the others.
 */
static int refuse_mixed(const struct file *f)
{
	/* not yet an error: the client tries again for a while, and then reports it */
	pmio_info("agent: %s is open %s: refusing to open it %s", f->path,
		 f->shared ? "on several nodes" : "by programs of this node alone",
		 f->shared ? "for this node alone" : "for several nodes");
	return -EBUSY;
}

static int files_attach(struct agent *a, struct conn *c, struct file *f, const struct pmio_open_msg *m,
		 struct pfs_fd **pfs, struct handle **out)
{
	int rc;

	*out = NULL;
	/* the old descriptor has a lock for its kind of use (lib/pfs/exclusion.c): by one node, or by several */
	if (*pfs && f->nr_handles == 0 && files_pfs_can_as_much(*pfs, f->pfs))
		pfs_put(a, &f->pfs);
	if (*pfs)
		files_adopt_pfs(a, f, pfs);
	if (f->nr_handles && f->shared != !!(m->flags & PMIO_OPEN_SHARED))
		return refuse_mixed(f);
	rc = add_handle(a, c, f, m, out);
	if (rc == 0 && (((m->flags & PMIO_OPEN_WRITE) && f->state != PMIO_FILE_OPEN) ||
			(m->flags & PMIO_OPEN_NEW) || (f->shared && !f->on_pfs.busy))) {
		if (m->flags & PMIO_OPEN_WRITE) {
			file_event(f, FILE_WRITER_OPENS);
			f->error = 0;
		}
		f->on_pfs.busy |= f->shared; /* its times have no meaning while other agents drain */
		rc = files_update_catalog(a, f);
	}
	if (rc < 0 && *out) {
		files_close(a, *out, NULL, NULL);
		*out = NULL;
	} else if (rc < 0) {
		files_idle(a, f);
	}
	return rc;
}

/* ---- is it still as the agent knows it? ---------------------------------------------------- */

/* an agent was cut off while it changed the PFS file: the recorded state is old, or was never reached */
static void take_size(struct agent *a, struct file *f, const struct stat *st)
{
	uint64_t size = pmio_pool_file_size(a->pool, f->slot);

	if (f->on_pfs.cut_pending && f->on_pfs.size < size)
		size = f->on_pfs.size;
	f->on_pfs.size = (uint64_t)st->st_size < size ? (uint64_t)st->st_size : size;
}

/* it has pending data, and no program has it open: is the PFS file still the one to which they belong? */
static int revalidate_waiting(struct agent *a, struct file *f, const struct lookup *l)
{
	/* if birth times are not known, the same inode number under another name may be another file */
	bool is_it = f->pfs || (f->birth_ns && l->id.birth_ns) || strcmp(f->path, l->path) == 0;

	if (f->on_pfs.changed || (f->on_pfs.busy ? !is_it : !files_same_content(f, &l->st)))
		return files_say_changed(f);
	if (f->on_pfs.busy)
		take_size(a, f, &l->st);
	return 0;
}

/*
 * A program has truncated the PFS file after all pending data were written, as libraries do that create a file by POSIX
 * calls first: its new data must not be mixed with these.  Readers, and other changes, are refused.
 */
static bool may_begin_anew(const struct file *f, const struct lookup *l)
{
	return (l->flags & PMIO_OPEN_WRITE) && files_was_emptied(f, &l->st);
}

static int begin_anew(struct agent *a, struct lookup *l, struct file **pf)
{
	bool marked = (*pf)->on_pfs.marked;
	int rc;

	if ((*pf)->nr_jobs)
		return WHEN_IDLE;
	files_set_aside(a, *pf);
	rc = files_new(a, l->path, l->flags, &l->st, l->id.birth_ns, pf);
	if (rc == 0)
		(*pf)->on_pfs.marked = marked;
	return rc;
}

/*
 * No program has the file open: is the PFS file still as it was?  WHEN_IDLE: a job of this agent or
 * another process has just changed it, and a check after the job's end will show which.  A drain
 * under way has been told about a change by another program, and at its end cached data are dropped.
 */
static int revalidate(struct agent *a, struct lookup *l, struct file **pf)
{
	struct file *f = *pf;
	bool is_clean = f->state == PMIO_FILE_CLEAN, differs = !files_same_as_seen(f, &l->st);
	int rc;

	if (f->on_pfs.changed)
		return may_begin_anew(f, l) ? begin_anew(a, l, pf) : files_say_changed(f);
	if ((f->drain && f->on_pfs.stale) ||
	    (f->nr_jobs && is_clean && !f->drain && f->busy != FILE_CUTTING && !f->on_pfs.busy && differs))
		return WHEN_IDLE;
	/* a change by this agent: its knowledge is newer, unless it is from a catalog */
	if (f->drain || f->busy == FILE_CUTTING || (f->nr_jobs && is_clean)) {
		if (f->recovered && f->on_pfs.busy)
			take_size(a, f, &l->st);
		return 0;
	}
	if (!is_clean && may_begin_anew(f, l))
		return begin_anew(a, l, pf);
	if (!is_clean) {
		rc = revalidate_waiting(a, f, l);
		if (rc < 0)
			return rc;
	} else if (f->on_pfs.busy || file_is_removed(f) || differs) {
		if (!files_is_stale(f)) /* otherwise it was logged when it was seen */
			pmio_info("agent: %s was changed on the file system: dropping what the pool had of it",
				  f->path);
		files_forget(a, f);
		return files_new(a, l->path, l->flags, &l->st, l->id.birth_ns, pf);
	}
	files_adopt_name(a, f, l->path); /* it may have been renamed */
	return 0;
}

/* 0, WHEN_IDLE, or an error */
static int find_or_add(struct agent *a, struct lookup *l, struct file **out)
{
	int rc;

	*out = lookup_find(a, l);
	if (!*out)
		return files_new(a, l->path, l->flags, &l->st, l->id.birth_ns, out);
	rc = (*out)->nr_handles ? 0 : revalidate(a, l, out);
	if (rc == 0 && (*out)->packed)
		rc = unpack_to_open(a, *out);
	return rc;
}

/* a small file is written right after its creation: a frame with the open saves a request */
static int64_t claim_first(struct agent *a, const struct handle *h)
{
	struct chunk *ch = NULL;
	int rc;

	if ((h->flags & PMIO_OPEN_FIRST) && (h->flags & PMIO_OPEN_WRITE) && !h->file->shared &&
	    pmio_pool_file_size(a->pool, h->file->slot) == 0)
		ch = files_claim(a, h->file, 0, PMIO_CLAIM_WRITE | PMIO_CLAIM_ZERO, true, true, &rc);
	if (!ch || ch->frame < 0)
		return PMIO_CLAIM_NONE;
	fill_zeros(a, h->file, ch);
	return ch->frame;
}

/* fd: the agent's own for the client; -1: the client has one */
static void reply(struct agent *a, struct conn *c, const union pmio_any_msg *msg, const struct handle *h,
		  int error, int fd)
{
	union pmio_any_msg reply;

	pmio_proto_reply(&reply, &msg->hdr, 0);
	reply.open_reply.handle = h->id;
	reply.open_reply.size = pmio_pool_file_size(a->pool, h->file->slot);
	reply.open_reply.dev = h->file->key.dev;
	reply.open_reply.ino = h->file->key.ino;
	reply.open_reply.slot = h->file->slot;
	reply.open_reply.error = error;
	reply.open_reply.first = claim_first(a, h);
	agent_reply(a, c, &reply, fd);
}

static void attach(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg,
		   struct pfs_fd **pfs)
{
	bool has_fd = *pfs;
	int error = f->error; /* an open for writing clears the error */
	struct handle *h;
	int rc = files_attach(a, c, f, &msg->open, pfs, &h);

	if (rc < 0) {
		pmio_dbg("agent: open %s for process %u: %s", msg->open.path, c->pid, pmio_strerror(rc));
		agent_reply_status(a, c, &msg->hdr, rc);
		return;
	}
	reply(a, c, msg, h, error, !has_fd && f->pfs ? f->pfs->fd : -1);
}

/* its removal was interrupted by the end of an earlier agent, and this one is completing it */
static bool is_just_going(struct agent *a, const struct lookup *l)
{
	struct file *f = files_find(a, &l->id);

	return f && f->removal == FILE_REMOVAL_RESUMED;
}

/* the request is dispatched again, with its descriptor, when the file's jobs have ended */
static int open_when_idle(struct agent *a, struct file *f, struct lookup *l)
{
	l->req.fd = fcntl(l->pfs->fd, F_DUPFD_CLOEXEC, 3);
	if (l->req.fd < 0)
		return files_close_some(a) ? -EAGAIN : -EMFILE;
	lookup_defer(a, &f->deferred, l);
	return 0;
}

static bool open_it(struct agent *a, struct conn *c, struct lookup *l)
{
	const union pmio_any_msg *msg = l->req.msg;
	struct file *f = NULL;
	int rc = l->rc;

	if (rc == 0 && is_just_going(a, l)) {
		lookup_defer(a, &a->after_removals, l);
		return true;
	}
	if (rc == 0)
		rc = find_or_add(a, l, &f);
	if (rc == WHEN_IDLE) {
		rc = open_when_idle(a, f, l);
		if (rc == 0)
			return true;
	}
	if (rc < 0) {
		pmio_dbg("agent: open %s for process %u: %s", l->path, c->pid, pmio_strerror(rc));
		agent_reply_status(a, c, &msg->hdr, rc);
		return false;
	}
	f->sees_names = l->sees_names;
	if (l->flags & PMIO_OPEN_NEW)
		syncs_later(a, f, true, false); /* attach() records it */
	attach(a, c, f, msg, &l->pfs);
	return false;
}

/*
 * a file of several nodes that has lost its name since it was opened: a process that has it open on another node opens
 * it here only now
 */
static void open_nameless(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct pfs_fd *none = NULL;
	struct file *f;

	for (f = a->files; f; f = f->hh.next) {
		if (f->shared && f->nr_handles && strcmp(f->path, msg->open.path) == 0)
			break;
	}
	if (f && (msg->open.flags & PMIO_OPEN_SHARED))
		attach(a, c, f, msg, &none);
	else
		agent_reply_status(a, c, &msg->hdr, -ENOENT);
}

/* a lower number may have become free since it was received */
static int lower_fd(struct agent *a, int fd)
{
	int lower = pfs_fd_is_reserved(fd) ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;

	if (lower < 0)
		return fd;
	pfs_close(a, fd);
	return lower;
}

void files_open(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	if (fd == PMIO_FD_LOST) { /* the client can send it again */
		agent_reply_status(a, c, &msg->hdr, files_close_some(a) ? -EAGAIN : -EMFILE);
		return;
	}
	if (fd < 0) {
		open_nameless(a, c, msg);
		return;
	}
	fd = lower_fd(a, fd);
	if (!pfs_fd_is_reserved(fd)) {
		lookup_start(a, c, msg, msg->open.path, fd, open_it);
	} else if (files_close_some(a)) {
		request_defer(a, &a->no_fds, c, msg, fd);
	} else {
		pfs_close(a, fd);
		agent_reply_status(a, c, &msg->hdr, -EMFILE);
	}
}
