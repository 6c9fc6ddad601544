/*
 * calls.c -- requests that are one call to the PFS
 *
 * A worker makes the call; the file, if it is one that we know, is held meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_impl.h"

struct call {
	struct job job;		/* first */
	struct parked *req;	/* owned */
	struct file *file;	/* held; NULL: none */
	struct pfs_fd *pfs;	/* held; NULL: none */
	int rc;
	/* names that go */
	char *path;		/* owned; also for messages */
	struct file_key key;
	struct pfs_fd *pin;	/* owned */
	bool only_name, nameless, was_busy;
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

/* NULL: no memory; answered */
static struct call *new_call(struct agent *a, struct conn *c, struct file *f,
			     const union pmio_any_msg *msg)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call)
		call->req = parked_new(c, msg);
	if (!call || !call->req) {
		free(call);
		agent_reply_status(a, c, &msg->hdr, -ENOMEM);
		return NULL;
	}
	call->file = f;
	return call;
}

static void start_call(struct agent *a, struct call *call, void (*run)(struct job *job),
		       void (*done)(struct agent *a, struct job *job))
{
	if (call->file) {
		files_job_begin(a, call->file);
		call->pfs = call->file->pfs ? pfs_get(call->file->pfs) : NULL;
	} else {
		a->nr_jobs++;
	}
	call->job.kind = JOB_CALL;
	call->job.run = run;
	call->job.done = done;
	workers_submit(a->workers, &call->job);
}

static void free_call(struct agent *a, struct call *call)
{
	pfs_put(a, &call->pfs);
	pfs_put(a, &call->pin);
	free(call->path);
	free(call->frames);
	free(call->req);
	free(call);
}

/* answers, unless status is positive */
static void end_call(struct agent *a, struct call *call, int status)
{
	struct conn *c = agent_conn(a, call->req->conn_id);
	struct file *f = call->file;

	if (c && status <= 0)
		agent_reply_status(a, c, &call->req->msg.hdr, status);
	free_call(a, call);
	if (f)
		files_job_end(a, f);
	else
		a->nr_jobs--;
}

/* ---- names that go ------------------------------------------------------------------ */

/*
 * Two calls to the PFS, and before the second one a word in the catalog:
 * R1 it is the last name: the catalog says that the file is being removed
 * R2 the name goes, durable
 * R3 if R4 has to wait: the catalog says that the file has no inode any more
 * R4 the file's slot and frames go, when its last handle is closed
 * crash before R1: the file is there, with what waits for it.  After R1: the next
 * agent goes on with R2 (calls_end_removal), and drains nothing.  Until that has
 * ended it opens no file of that name, and after R3 none is removed: it would be a
 * new one, which may have the old one's inode number.
 */

static void run_look(struct job *job)
{
	struct call *call = (struct call *)job;
	struct stat st;
	int fd;

	/* while this is open, no new file gets its inode's number */
	fd = open(call->path, O_PATH | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &call->st) == 0)
		call->key = (struct file_key){ call->st.st_dev, call->st.st_ino };
	call->pin = fd >= 0 ? pfs_wrap(fd) : NULL;
	call->only_name = lstat(call->path, &st) < 0 || (S_ISREG(st.st_mode) && st.st_nlink <= 1);
	call->nameless = call->pfs && fstat(call->pfs->fd, &st) == 0 && st.st_nlink == 0;
}

static int unlink_name(const char *path, bool durably)
{
	struct stat st;
	int rc;

	if (unlink(path) < 0)
		return errno == EPERM && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? -EISDIR : -errno;
	rc = durably ? pfs_sync_name(path) : 0;
	if (rc < 0) /* gone it is: to say that it is not would be worse */
		pmio_err("agent: remove %s: fsync of its folder: %s", path, strerror(-rc));
	return 0;
}

static void run_unlink(struct job *job)
{
	struct call *call = (struct call *)job;

	call->rc = unlink_name(call->path, call->removes != NULL);
}

/*
 * R1; the call holds f until end_removal().  Where nobody writes to the PFS file any more, the
 * catalog says how it looks: after a crash another one may have its name and its inode's number.
 */
static int begin_removal(struct agent *a, struct call *call, struct file *f)
{
	unsigned nr_closing = call->req->msg.hdr.op == PMIO_OP_CLOSE;

	call->was_busy = f->busy_on_media;
	if (call->pin && !f->drain && !f->cutting && !f->shared && f->nr_handles <= nr_closing) {
		f->seen = call->st;
		f->pfs_size = (uint64_t)call->st.st_size;
		f->busy_on_media = false;
	}
	files_job_begin(a, f);
	f->removing = f->unlinking = true;
	call->removes = f;
	return files_record(a, f);
}

/* the name has gone, or not; rc: of that */
static void end_removal(struct agent *a, struct call *call, int rc)
{
	struct file *f = call->removes;

	if (!f)
		return;
	call->removes = NULL;
	f->unlinking = false;
	f->discard = rc == 0;
	f->removing = f->discard;
	if (!f->discard)
		f->busy_on_media |= call->was_busy;
	f->gone |= f->discard && (f->nr_handles || f->recovered);
	if (!f->discard || f->gone)
		files_record(a, f);
	files_job_end(a, f);
}

static void go_on(struct agent *a, struct call *call, void (*run)(struct job *job),
		  void (*done)(struct agent *a, struct job *job))
{
	call->job.run = run;
	call->job.done = done;
	workers_submit(a->workers, &call->job);
}

static void end_discard(struct agent *a, struct call *call)
{
	struct conn *c = agent_conn(a, call->req->conn_id);
	uint64_t id = call->req->msg.close.handle;
	struct handle *h;

	end_removal(a, call, call->rc);
	/* if the client has died meanwhile, its handle has been closed */
	HASH_FIND(hh, a->handles, &id, sizeof(id), h);
	if (c && h)
		files_close(a, h, c, &call->req->msg);
	end_call(a, call, h ? 1 : -EBADF);
}

static void discarded(struct agent *a, struct job *job)
{
	struct call *call = (struct call *)job;

	if (call->rc == -ENOENT)
		call->rc = 0; /* another node was faster */
	if (call->rc < 0)
		pmio_err("agent: remove %s: %s", call->path, pmio_strerror(call->rc));
	end_discard(a, call);
}

static void found_discarded(struct agent *a, struct job *job)
{
	struct call *call = (struct call *)job;
	struct file *f = call->file;
	bool is_it = call->pin && call->key.dev == f->key.dev && call->key.ino == f->key.ino;

	/* of a file of several nodes another one's agent may have removed the name: its last, or one of them */
	if (!call->pin && f->shared && call->nameless)
		f->discard = true;
	/* the name goes with the close that asked for it, be it a symbolic link */
	call->rc = is_it && call->only_name ? begin_removal(a, call, f) : 0;
	if (is_it && call->rc == 0)
		go_on(a, call, run_unlink, discarded);
	else
		end_discard(a, call);
}

void calls_close_discard(struct agent *a, struct conn *c, struct handle *h,
			 const union pmio_any_msg *msg)
{
	struct file *f = h->file;
	struct call *call = new_call(a, c, f, msg);

	if (!call)
		return;
	call->path = strdup(h->path ? h->path : f->path);
	if (!call->path) {
		agent_reply_status(a, c, &msg->hdr, -ENOMEM);
		free_call(a, call);
		return;
	}
	start_call(a, call, run_look, found_discarded);
}

static void deleted(struct agent *a, struct job *job)
{
	struct call *call = (struct call *)job;
	int rc = call->rc;

	if (rc == -ENOENT && call->removes)
		rc = 0;
	end_removal(a, call, rc);
	end_call(a, call, rc);
}

static void found_deleted(struct agent *a, struct job *job)
{
	struct call *call = (struct call *)job;
	struct file *f = NULL, *waiting = call->file;

	if (call->pin)
		HASH_FIND(hh, a->files, &call->key, sizeof(call->key), f);
	/* the name was of an inode that is no longer there: what waits for that goes now */
	if (!f && waiting && waiting->nr_handles == 0)
		f = waiting;
	if (f && call->only_name && !f->unlinking)
		call->rc = begin_removal(a, call, f);
	if (call->rc == 0)
		go_on(a, call, run_unlink, deleted);
	else
		deleted(a, job);
}

void calls_delete(struct agent *a, struct conn *c, const union pmio_any_msg *msg)
{
	struct call *call;
	struct file *f;

	for (f = a->files; f; f = f->hh.next) {
		if (f->nr_handles == 0 && !f->discard && strcmp(f->path, msg->path.path) == 0)
			break;
	}
	call = new_call(a, c, f, msg);
	if (!call)
		return;
	call->path = strdup(msg->path.path);
	if (!call->path) {
		agent_reply_status(a, c, &msg->hdr, -ENOMEM);
		free_call(a, call);
		return;
	}
	start_call(a, call, run_look, found_deleted);
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/*
 * Is this the file, and not a later one with its name and its inode's number?  A power cut may
 * have taken it back to an earlier time; another file was changed later.
 */
static bool is_what_goes(const struct call *call, const struct stat *st)
{
	const struct stat *was = &call->st;

	if (!S_ISREG(st->st_mode) || st->st_ino != call->key.ino)
		return false;
	if (call->was_busy)
		return st->st_dev == call->key.dev;
	if (!is_later(&st->st_ctim, &was->st_ctim))
		return true;
	return st->st_size == was->st_size && st->st_mtim.tv_sec == was->st_mtim.tv_sec &&
	       st->st_mtim.tv_nsec == was->st_mtim.tv_nsec;
}

static void run_end_removal(struct job *job)
{
	struct call *call = (struct call *)job;
	struct stat st;

	if (lstat(call->path, &st) < 0)
		call->rc = errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	else if (is_what_goes(call, &st))
		call->rc = unlink_name(call->path, true);
}

static void removal_ended(struct agent *a, struct job *job)
{
	struct call *call = (struct call *)job;

	if (call->rc < 0)
		pmio_err("agent: remove %s: %s; it stays", call->path, pmio_strerror(call->rc));
	call->removes->ending = false;
	a->nr_ending--;
	end_removal(a, call, call->rc);
	free_call(a, call);
	parked_retry(a, &a->after_removals);
}

int calls_end_removal(struct agent *a, struct file *f)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call)
		call->path = strdup(f->path);
	if (!call || !call->path) {
		free(call);
		return -ENOMEM;
	}
	call->key = f->key;
	call->st = f->seen;
	call->was_busy = f->busy_on_media;
	call->removes = f;
	call->job.kind = JOB_CALL;
	files_job_begin(a, f);
	f->unlinking = f->ending = true;
	a->nr_ending++;
	go_on(a, call, run_end_removal, removal_ended);
	return 0;
}

/* ---- truncate ------------------------------------------------------------------------- */

/* blocks wholly beyond size become empty; what is left of the last one becomes zero */
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
	struct call *call = (struct call *)job;

	/* fsync: else a power cut may bring back what T6 says is gone */
	if (fstat(call->pfs->fd, &call->st) < 0 ||
	    ((uint64_t)call->st.st_size > call->size && ftruncate(call->pfs->fd, (off_t)call->size) < 0) ||
	    fsync(call->pfs->fd) < 0 || fstat(call->pfs->fd, &call->st) < 0)
		call->rc = -errno;
}

static void cut(struct agent *a, struct job *job)
{
	struct call *call = (struct call *)job;
	struct file *f = call->file;
	int rc = call->rc;

	f->cutting = false;
	a->pfs_changes++;
	if (rc < 0) {
		pmio_err("agent: %s: ftruncate: %s", f->path, strerror(-rc));
	} else {
		files_set_seen(f, &call->st);
		f->cut_pending = false;
		f->busy_on_media = f->shared || f->nr_pfs_chunks != 0;
		rc = files_record(a, f); /* T6 */
	}
	end_call(a, call, rc);
}

static void grow(struct agent *a, struct file *f, uint64_t size)
{
	struct pmio_slot_df *slot = &a->view->slots[f->slot];

	/* at least: a client may be raising it further at this moment */
	pmio_pm_max64(a->view->pm, &slot->size, size);
	pmio_pm_flush(a->view->pm, &slot->size, sizeof(slot->size));
	pmio_pm_fence(a->view->pm);
}

/*
 * Crash table: T1 the catalog says that we change the PFS file; T2 the slot's
 * size; T3 the catalog says that what the PFS file has beyond is no longer the
 * file's; T4 blocks beyond are empty; T5 the PFS file is cut, durably; T6 recorded.
 * before T2: as it was.  After T2: the new size; recovery empties what T4 did
 * not.  It finds the marks of T1 or T3 and has the PFS file cut before a drain
 * writes to it, so that whatever makes the file longer brings nothing back.
 */
void calls_truncate(struct agent *a, struct conn *c, struct file *f, const union pmio_any_msg *msg)
{
	uint64_t size = msg->truncate.size;
	/* of a file of several nodes the PFS file is cut at home, always: others may have drained */
	bool was_busy = f->busy_on_media,
	     cuts_pfs = f->shared ? f->home : size < f->pfs_size || f->nr_pfs_chunks;
	struct call *call;
	int rc;

	if (size >= pmio_pool_file_size(a->pool, f->slot)) {
		if (f->shared && !f->home)
			size = 0; /* only its own pieces count here */
		grow(a, f, size);
		agent_reply_status(a, c, &msg->hdr, 0);
		return;
	}
	f->busy_on_media = true;
	rc = files_record(a, f); /* T1 */
	call = rc == 0 ? new_call(a, c, f, msg) : NULL;
	if (!call) {
		if (rc < 0)
			agent_reply_status(a, c, &msg->hdr, rc);
		return;
	}
	pmio_pool_file_set_size(a->pool, f->slot, size); /* T2 */
	f->busy_on_media = was_busy || cuts_pfs;
	f->cut_pending |= cuts_pfs;
	if (cuts_pfs || (f->shared && f->pfs_size > size))
		f->pfs_size = size; /* nobody may be given what is about to go */
	rc = files_record(a, f); /* T3 */
	for (struct chunk *ch = f->chunks; ch; ch = ch->hh.next)
		cut_chunk(a, ch, size); /* T4 */
	if (!cuts_pfs || rc < 0) {
		agent_reply_status(a, c, &msg->hdr, rc);
		free_call(a, call);
		return;
	}
	call->size = size;
	f->cutting = true;
	start_call(a, call, run_cut, cut); /* T5 */
}

/* ---- sync ------------------------------------------------------------------------------ */

/* data first, then what says that they are there */
static int sync_frames(struct call *call)
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
	struct call *call = (struct call *)job;

	if (call->frames)
		call->rc = sync_frames(call);
	if (call->rc == 0 && call->sync_pfs && fdatasync(call->pfs->fd) < 0) {
		call->rc = -errno;
		pmio_err("agent: %s: fdatasync: %s", call->path, strerror(errno));
	}
}

static void synced(struct agent *a, struct job *job)
{
	end_call(a, (struct call *)job, ((struct call *)job)->rc);
}

static int list_frames(struct call *call, const struct file *f)
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
	struct call *call = new_call(a, c, f, msg);
	int rc = 0;

	if (!call)
		return;
	call->view = a->view;
	call->slot = f->slot;
	call->sync_pfs = f->nr_pfs_chunks && f->pfs && f->pfs->writes;
	call->path = strdup(f->path);
	if (!call->path)
		rc = -ENOMEM;
	else if (pmio_pm_granularity(a->view->pm) == PMIO_PM_PAGE)
		rc = list_frames(call, f);
	if (rc < 0) {
		agent_reply_status(a, c, &msg->hdr, rc);
		free_call(a, call);
		return;
	}
	start_call(a, call, run_sync, synced);
}
