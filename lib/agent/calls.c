/*
 * calls.c -- requests that are one call to the PFS
 *
 * A worker makes the call; if the agent knows the file, the job holds it meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "agent/calls.h"
#include "agent/conn.h"
#include "agent/file.h"
#include "agent/file_seen.h"
#include "agent/jobs.h"
#include "agent/pfs_fd.h"
#include "agent/pfs_lookup.h"
#include "agent/reply.h"
#include "agent/request.h"
#include "agent/state.h"
#include "core/error.h"
#include "core/log.h"

struct pfs_call {
	struct request req;	/* first */
	struct pfs_fd *pfs;	/* held; NULL: none */
	struct pfs_look *look;	/* owned: opens it where pfs is NULL; or NULL */
	int rc;
	/* for names that are removed */
	char *path;		/* owned; also for messages */
	struct pmio_pfs_id id;
	struct pfs_fd *pin;	/* owned: while this is open, no new file gets its inode's number */
	bool nameless, was_busy;
	struct file *removes;	/* held; NULL: none, or other names are left */
	struct stat st;		/* TRUNCATE, too */
	/* TRUNCATE */
	uint64_t size;
	/* SYNC */
	bool sync_pfs;
	struct pmio_view *view;
	uint32_t slot;
	uint64_t *frames;	/* owned */
	size_t nr_frames;
};

/* NULL: out of memory; answered */
static struct pfs_call *new_call(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	struct pfs_call *call = request_new(a, c, msg, sizeof(*call));

	if (call)
		call->req.file = f;
	return call;
}

static void start_call(struct agent *a, struct pfs_call *call, void (*run)(struct job *job),
		       void (*done)(struct agent *a, struct request *r))
{
	struct file *f = call->req.file;

	if (f) {
		call->pfs = f->pfs ? pfs_get(f->pfs) : NULL;
		call->look = call->pfs ? NULL : pfs_look_new(f);
	}
	request_step(a, &call->req, run, done);
}

static void end_call(struct agent *a, struct pfs_call *call, int status)
{
	pfs_put(a, &call->pfs);
	pfs_put(a, &call->pin);
	if (call->req.file && call->look && call->look->pfs)
		files_adopt_pfs(a, call->req.file, &call->look->pfs);
	pfs_look_delete(a, &call->look);
	free(call->path);
	free(call->frames);
	request_finish(a, &call->req, status);
}

/* ---- removal of names --------------------------------------------------------------- */

/*
 * The client itself removes the name; before that the agent makes a note in the catalog:
 * R1 if it is the last name: the catalog says that the file is being removed
 * R2 the name is removed, durably
 * R3 if R4 has to wait: the catalog says that the file has no inode any more
 * R4 the file's slot and frames are freed when its last handle is closed
 * crash before R1: the file exists, with its pending data.  After R1: the next
 * agent continues with R2 (calls_end_removal), and drains nothing.  Until that has ended
 * no client may use a file that it opened under that name, and after R3 no name is removed:
 * the file would be a new one, which may have the old one's inode number.
 */

static void run_look(struct job *job)
{
	struct pfs_call *call = (struct pfs_call *)job;

	call->rc = pmio_pfs_identify(call->pin->fd, &call->st, &call->id);
	call->nameless = call->rc == 0 && call->st.st_nlink == 0;
}

static bool others_have_it(const struct agent *a, const struct file *f, const struct conn *c)
{
	for (const struct handle *h = f->nr_handles > 1 ? a->handles : NULL; h; h = h->hh.next) {
		if (h->file == f && h->conn != c)
			return true;
	}
	return false;
}

/*
 * R1; the call holds f until end_removal().  If no process writes to the PFS file any more, the
 * catalog gets its size and times: after a crash another file may have its name and its inode
 * number.
 */
static int begin_removal(struct agent *a, struct conn *c, struct pfs_call *call, struct file *f)
{
	call->was_busy = f->on_pfs.busy;
	if (!f->drain && f->busy != FILE_TRUNCATING && !file_is_shared(f) && !others_have_it(a, f, c)) {
		f->on_pfs.seen = call->st;
		f->on_pfs.size = (uint64_t)call->st.st_size;
		f->on_pfs.busy = false;
	}
	files_job_begin(a, f);
	file_removal_event(f, FILE_REMOVAL_BEGINS);
	call->removes = f;
	return files_update_catalog(a, f);
}

/* the name was removed, or not: rc */
static void end_removal(struct agent *a, struct pfs_call *call, int rc)
{
	struct file *f = call->removes;

	if (!f)
		return;
	call->removes = NULL;
	file_removal_event(f, rc == 0 ? FILE_REMOVAL_DONE : FILE_REMOVAL_FAILED);
	if (rc != 0)
		f->on_pfs.busy |= call->was_busy;
	f->no_inode |= rc == 0 && (f->nr_handles || f->recovered);
	if (rc != 0 || f->no_inode)
		files_update_catalog(a, f);
	files_job_end(a, f);
}

static void abandoned(struct agent *a, struct request *r)
{
	struct pfs_call *call = (struct pfs_call *)r;

	end_removal(a, call, call->rc < 0 || !call->nameless ? -ECANCELED : 0);
	end_call(a, call, 0);
}

static void found_removed(struct agent *a, struct request *r)
{
	struct pfs_call *call = (struct pfs_call *)r;
	struct conn *c = agent_conn(a, r->conn_id);
	struct file *f = call->rc == 0 ? files_find(a, &call->id) : NULL;

	if (c && f && r->msg->remove.is_last && !file_is_unlinked(f) && !file_is_gone(f))
		call->rc = begin_removal(a, c, call, f);
	if (!c || call->rc < 0) {
		end_removal(a, call, -ECANCELED);
		end_call(a, call, call->rc);
		return;
	}
	c->removal = call;
	r->conn_id = 0;
	agent_reply_status(a, c, &r->msg->hdr, 0);
}

void calls_remove(struct agent *a, struct conn *c, const union pmio_any_msg *msg, int fd)
{
	struct pfs_call *call;

	if (fd < 0 || c->removal) {
		pfs_close(a, fd);
		agent_reply_status(a, c, &msg->hdr, fd < 0 ? PMIO_EPROTO : -EBUSY);
		return;
	}
	call = new_call(a, c, NULL, msg);
	if (!call) {
		pfs_close(a, fd);
		return;
	}
	call->pin = pfs_wrap(fd);
	if (!call->pin) {
		end_call(a, call, -ENOMEM);
		return;
	}
	start_call(a, call, run_look, found_removed);
}

void calls_removed(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct pfs_call *call = c->removal;

	/* no call: the client had announced it to an earlier agent, and this one completed it when it started */
	c->removal = NULL;
	if (call) {
		end_removal(a, call, msg->removed.status);
		end_call(a, call, 0);
	}
	agent_reply_status(a, c, &msg->hdr, 0);
}

/* the client may or may not have removed the name */
void calls_abandon_removal(struct agent *a, struct conn *c)
{
	struct pfs_call *call = c->removal;

	c->removal = NULL;
	request_step(a, &call->req, run_look, abandoned);
}

/*
 * Is this the file, and not a later one with its name and its inode number?  The birth time tells, where it is
 * known.  Otherwise the times do: a power cut may have taken the file back to an earlier time, but another
 * file was changed later.
 */
static bool is_what_goes(const struct pfs_call *call, const struct stat *st, const struct pmio_pfs_id *id)
{
	const struct stat *was = &call->st;

	if (!S_ISREG(st->st_mode) || st->st_ino != call->id.ino)
		return false;
	if (id->birth_ns && call->id.birth_ns)
		return id->birth_ns == call->id.birth_ns;
	if (call->was_busy)
		return st->st_dev == call->id.dev;
	if (!files_is_later(&st->st_ctim, &was->st_ctim))
		return true;
	return st->st_size == was->st_size && files_same_time(&st->st_mtim, &was->st_mtim);
}

static void run_end_removal(struct job *job)
{
	struct pfs_call *call = (struct pfs_call *)job;
	int fd = open(call->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct pmio_pfs_id id;
	struct stat st;

	if (fd < 0)
		call->rc = errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	else
		call->rc = pmio_pfs_identify(fd, &st, &id);
	if (fd >= 0 && call->rc == 0 && is_what_goes(call, &st, &id))
		call->rc = pmio_pfs_unlink(call->path, true);
	if (fd >= 0)
		close(fd);
}

static void removal_ended(struct agent *a, struct request *r)
{
	struct pfs_call *call = (struct pfs_call *)r;

	if (call->rc < 0)
		pmio_err("agent: remove %s: %s; the file was not removed", call->path, pmio_strerror(call->rc));
	end_removal(a, call, call->rc);
	end_call(a, call, 0);
	requests_finish(a, &a->after_removals, -EAGAIN); /* the client checks whether the name still exists */
}

int calls_end_removal(struct agent *a, struct file *f)
{
	struct pfs_call *call = new_call(a, NULL, NULL, NULL);

	if (!call)
		return -ENOMEM;
	call->path = strdup(f->path);
	if (!call->path) {
		end_call(a, call, 0);
		return -ENOMEM;
	}
	call->id = files_id(f);
	call->st = f->on_pfs.seen;
	call->was_busy = f->on_pfs.busy;
	call->removes = f;
	files_job_begin(a, f);
	request_step(a, &call->req, run_end_removal, removal_ended);
	return 0;
}

/* ---- truncate ------------------------------------------------------------------------- */

/* blocks wholly beyond size become empty; the rest of the last one becomes zero */
static void cut_chunk(struct agent *a, struct chunk *ch, uint64_t size)
{
	struct pmio_view *v = a->view;
	uint64_t start = ch->number << v->chunk_shift, end = size > start ? size - start : 0;
	unsigned first = (unsigned)((end + v->block_size - 1) >> v->block_shift);
	struct pmio_mask m;

	if (ch->frame < 0 || end >= v->chunk_size)
		return;
	if (end & (v->block_size - 1)) {
		uint8_t *p = pmio_view_frame(v, (uint64_t)ch->frame) + end;

		pmio_pm_zero(v->pm, p, v->block_size - (end & (v->block_size - 1)));
		pmio_pm_fence(v->pm);
	}
	if (first < PMIO_CHUNK_BLOCKS) {
		pmio_mask_range(&m, first, PMIO_CHUNK_BLOCKS - 1);
		pmio_frame_drop(v, (uint64_t)ch->frame, &m);
	}
}

static void run_cut(struct job *job)
{
	struct pfs_call *call = (struct pfs_call *)job;
	int fd;

	call->rc = pfs_look_hold(call->look, call->pfs, &fd);
	/* fsync: otherwise a power cut may bring back the bytes that do not exist according to T6 */
	if (call->rc == 0 &&
	    (fstat(fd, &call->st) < 0 ||
	     ((uint64_t)call->st.st_size > call->size && ftruncate(fd, (off_t)call->size) < 0) ||
	     fsync(fd) < 0 || fstat(fd, &call->st) < 0))
		call->rc = -errno;
}

static void cut(struct agent *a, struct request *r)
{
	struct pfs_call *call = (struct pfs_call *)r;
	struct file *f = r->file;
	int rc = call->rc;

	file_busy_event(f, FILE_TRUNCATION_ENDS);
	a->pfs_changes++;
	if (rc < 0) {
		pmio_err("agent: %s: ftruncate: %s", f->path, strerror(-rc));
	} else {
		files_set_seen(f, &call->st);
		f->on_pfs.cut_pending = false;
		f->on_pfs.busy = file_is_shared(f) || f->nr_pfs_chunks != 0;
		rc = files_update_catalog(a, f); /* T6 */
	}
	end_call(a, call, rc);
}

static void grow(struct agent *a, struct file *f, uint64_t size)
{
	struct pmio_slot_df *slot = &a->view->slots[f->slot];

	/* the maximum of both: a client may be raising it further at this moment */
	pmio_pm_max64(a->view->pm, &slot->size, size);
	pmio_pm_flush(a->view->pm, &slot->size, sizeof(slot->size));
	pmio_pm_fence(a->view->pm);
}

void calls_raise(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	bool is_cut = pmio_pm_load64(&a->view->slots[f->slot].cuts) != msg->raise.cuts;

	if (!is_cut)
		grow(a, f, msg->raise.size);
	agent_reply_status(a, c, &msg->hdr, is_cut ? -EAGAIN : 0);
}

/* a size that was read at another target before is no longer valid: calls_raise() */
static void note_cut(struct agent *a, struct file *f)
{
	struct pmio_slot_df *slot = &a->view->slots[f->slot];

	pmio_pm_store64(a->view->pm, &slot->cuts, pmio_pm_load64(&slot->cuts) + 1);
}

/*
 * Crash table: T1 the catalog says that the agent changes the PFS file; T2 the slot's
 * size; T3 the catalog says that bytes of the PFS file beyond that size no longer
 * belong to the file; T4 blocks beyond are empty; T5 the PFS file is truncated,
 * durably; T6 recorded.  Before T2: as it was.  After T2: the new size; recovery empties
 * what T4 did not.  It finds the flags of T1 or T3 and has the PFS file truncated
 * before a drain writes to it, so that making the file longer brings nothing back.
 */
void calls_truncate(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	uint64_t size = msg->truncate.size;
	/* a file of several nodes is truncated on the PFS by its metadata server, always: others may have drained */
	bool was_busy = f->on_pfs.busy,
	     cuts_pfs = file_is_shared(f) ? file_sets_size(f) : size < f->on_pfs.size || f->nr_pfs_chunks;
	struct pfs_call *call;
	int rc;

	if (size >= pmio_pool_file_size(a->pool, f->slot)) {
		note_cut(a, f); /* to other targets it may be one */
		if (file_is_shared(f) && !file_sets_size(f))
			size = 0; /* only its own pieces count here */
		grow(a, f, size);
		agent_reply_status(a, c, &msg->hdr, 0);
		return;
	}
	f->on_pfs.busy = true;
	rc = files_update_catalog(a, f); /* T1 */
	call = rc == 0 ? new_call(a, c, f, msg) : NULL;
	if (!call) {
		if (rc < 0)
			agent_reply_status(a, c, &msg->hdr, rc);
		return;
	}
	note_cut(a, f);
	pmio_pool_file_set_size(a->pool, f->slot, size); /* T2 */
	f->on_pfs.busy = was_busy || cuts_pfs;
	f->on_pfs.cut_pending |= cuts_pfs;
	if (cuts_pfs || (file_is_shared(f) && f->on_pfs.size > size))
		f->on_pfs.size = size; /* nobody may be given the bytes that are about to be cut off */
	rc = files_update_catalog(a, f); /* T3 */
	for (struct chunk *ch = f->chunks; ch; ch = ch->hh.next)
		cut_chunk(a, ch, size); /* T4 */
	if (!cuts_pfs || rc < 0) {
		end_call(a, call, rc);
		return;
	}
	call->size = size;
	file_busy_event(f, FILE_TRUNCATION_BEGINS);
	start_call(a, call, run_cut, cut); /* T5 */
}

/* ---- discarding data ----------------------------------------------------------------------- */

static void run_forget(struct job *job)
{
	struct pfs_call *call = (struct pfs_call *)job;
	int fd;

	if (call->req.file->on_pfs.marked && pfs_look_hold(call->look, call->pfs, &fd) == 0)
		pmio_pfs_unmark(fd, call->view->super->uuid);
}

static void forgotten(struct agent *a, struct request *r)
{
	struct pfs_call *call = (struct pfs_call *)r;
	struct file *f = r->file;

	if (f->nr_handles) {
		end_call(a, call, -EBUSY);
		return;
	}
	pmio_info("agent: %s: its data in the pool are discarded, as requested", f->path);
	file_removal_event(f, FILE_FORGOTTEN);
	end_call(a, call, 0);
}

void calls_forget(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	struct pfs_call *call = new_call(a, c, f, msg);

	if (!call)
		return;
	call->view = a->view;
	start_call(a, call, run_forget, forgotten);
}

/* ---- sync ------------------------------------------------------------------------------ */

/* first the data, then the metadata that refer to them */
static int sync_frames(struct pfs_call *call)
{
	struct pmio_view *v = call->view;
	int rc = 0;

	for (size_t i = 0; i < call->nr_frames && rc == 0; i++)
		rc = pmio_pm_sync(v->pm, pmio_view_frame(v, call->frames[i]), v->chunk_size);
	for (size_t i = 0; i < call->nr_frames && rc == 0; i++)
		rc = pmio_pm_sync(v->pm, &v->headers[call->frames[i]], sizeof(*v->headers));
	if (rc == 0)
		rc = pmio_pm_sync(v->pm, &v->slots[call->slot], sizeof(*v->slots));
	return rc;
}

static void run_sync(struct job *job)
{
	struct pfs_call *call = (struct pfs_call *)job;
	int fd;

	if (call->frames)
		call->rc = sync_frames(call);
	if (call->rc < 0 || !call->sync_pfs)
		return;
	call->rc = pfs_look_hold(call->look, call->pfs, &fd);
	if (call->rc == 0 && fdatasync(fd) < 0)
		call->rc = -errno;
	if (call->rc < 0)
		pmio_err("agent: %s: fdatasync: %s", call->path, pmio_strerror(call->rc));
}

static void synced(struct agent *a, struct request *r)
{
	struct pfs_call *call = (struct pfs_call *)r;

	end_call(a, call, call->rc);
}

static int list_frames(struct pfs_call *call, const struct file *f)
{
	size_t nr = HASH_COUNT(f->chunks);

	call->frames = calloc(nr ? nr : 1, sizeof(*call->frames));
	if (!call->frames)
		return -ENOMEM;
	for (const struct chunk *ch = f->chunks; ch; ch = ch->hh.next) {
		if (ch->frame >= 0)
			call->frames[call->nr_frames++] = (uint64_t)ch->frame;
	}
	return 0;
}

void calls_sync(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	struct pfs_call *call = new_call(a, c, f, msg);
	int rc = 0;

	if (!call)
		return;
	call->view = a->view;
	call->slot = f->slot;
	call->sync_pfs = f->nr_pfs_chunks && (!f->pfs || f->pfs->writes);
	call->path = strdup(f->path);
	if (!call->path)
		rc = -ENOMEM;
	else if (pmio_pm_granularity(a->view->pm) == PMIO_PM_PAGE)
		rc = list_frames(call, f);
	if (rc < 0) {
		end_call(a, call, rc);
		return;
	}
	start_call(a, call, run_sync, synced);
}
