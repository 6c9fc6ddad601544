/*
 * drain.c -- dirty blocks to the PFS: the part in the loop (drain_work.c has the rest)
 *
 * A drain goes through the chunks that a file has when it starts, sorted by
 * offset.  Workers take some of them at a time, in that order; from each chunk they take the
 * blocks that are dirty at that moment, merge neighbouring blocks, also across chunks, and
 * write them with pwritev(2) calls of up to DRAIN_WRITE_MAX bytes.  The worker that ends
 * last sets the PFS file's size and calls fsync(2).  Only then do the blocks count as clean
 * (frame.h); if anything failed, all of them stay dirty.
 *
 * Before and after each of these steps a worker checks that the PFS file is what the drain
 * itself has made of it.  If it is not, another process is writing to it: the drain stops,
 * and its data are kept (PMIO_ECHANGED).  A change at the same moment as one of the drain's
 * own writes is not seen if it leaves size and times as that write would have.
 *
 * The states of one drain, all in the loop, a job in a worker between them:
 *
 *   drain_start -> opened -> begin -> begin_writing -> part_done ... -> ended
 *                  (the PFS file is opened, if necessary, and checked; and truncated, if a
 *                  truncation was interrupted)
 *
 * or, of a small file that was just closed:
 *
 *   drain_start -> at_once_done -> ended
 *                  (the PFS file is checked, and written if it is as it was at the close;
 *                  otherwise -> opened, and as above from there)
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "agent/background.h"
#include "agent/chunks.h"
#include "agent/drain.h"
#include "agent/drain_impl.h"
#include "agent/file.h"
#include "agent/file_seen.h"
#include "agent/jobs.h"
#include "agent/marks.h"
#include "agent/pfs_fd.h"
#include "agent/pfs_lookup.h"
#include "agent/request.h"
#include "agent/state.h"
#include "agent/syncs.h"
#include "agent/verify.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"

#define OPEN_TRIES 500
#define DRAIN_PART_MIN 16	    /* chunks: another thread is not worth it for fewer */

/* ---- in the loop: the end --------------------------------------------------------- */

static void free_drain(struct agent *a, struct drain *d)
{
	if (!d)
		return;
	pfs_put(a, &d->pfs);
	pfs_put(a, &d->opened);
	pfs_look_delete(a, &d->look);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->idle_cond);
	for (unsigned i = 0; d->parts && i < d->nr_parts; i++)
		verify_delete(&d->parts[i].verify);
	free(d->parts);
	free(d->taken);
	free(d->moved);
	free(d->path);
	free(d);
}

int drain_compare(const struct file *f, const struct stat *st, uint64_t *steps)
{
	struct drain *d = f->drain;
	uint64_t seen_in = *steps;
	int rc = -EAGAIN;

	if (!d || !d->pfs || !d->watches)
		return 0;
	/* a worker holds it during calls to the file system, which may take long */
	if (pthread_mutex_trylock(&d->lock) != 0)
		return rc;
	*steps = d->steps + 1;
	if (d->nr_writing == 0 && drain_is_same_content(st, &d->now))
		rc = 0;
	else if (d->nr_writing == 0 && seen_in == *steps)
		rc = PMIO_ECHANGED;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

uint64_t drain_written(const struct file *f)
{
	return f->drain ? atomic_load(&f->drain->bytes) : 0;
}

static void count_start(struct agent *a, struct drain *d)
{
	d->start_ns = pmio_now_ns();
	busy_begin(&a->draining);
}

static void count_end(struct agent *a, const struct drain *d)
{
	struct file *f = d->file;

	f->drain_bytes = atomic_load(&d->bytes);
	f->drain_ns = pmio_now_ns() - d->start_ns;
	f->drained_bytes += f->drain_bytes;
	a->drained_bytes += f->drain_bytes;
	busy_end(&a->draining);
}

/* a file system that is merely full still works, so fstat() is reliable */
static bool is_orderly(int rc)
{
	return rc == 0 || rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG || rc == PMIO_EGONE;
}

/*
 * Record the outcome in the catalog, before blocks count as clean: a crash may then
 * find them dirty, but never a PFS file that is shorter than they imply.
 */
static int record(struct agent *a, struct file *f, const struct drain *d, int rc)
{
	bool known = is_orderly(rc) && d && d->have_st;
	int rc_record;

	if (rc == 0) {
		f->error = 0;
		file_event(f, FILE_DRAINED);
	} else {
		f->error = rc > PMIO_ENOTPOOL || rc == PMIO_ECHANGED ? -rc : EIO;
		f->reopen = !is_orderly(rc) && rc != PMIO_ECHANGED;
		if (f->nr_handles == 0)
			file_event(f, FILE_DRAIN_FAILED);
	}
	if (rc == 0 && d && d->unmarks && drain_is_whole(d))
		f->on_pfs.marked = false;
	else if (rc < 0 && d && d->pfs && d->may_lose && !file_is_shared(f))
		f->on_pfs.marked = true;
	f->on_pfs.changed |= rc == PMIO_ECHANGED;
	if (rc == 0 && d && drain_is_whole(d) && f->written_ns == d->written_ns)
		f->written_ns = 0; /* from now on the PFS file's time counts, which may be set while it is open */
	if (rc == 0) {
		f->on_pfs.cut_pending = f->force = f->on_pfs.changed = false;
		file_hold_event(f, FILE_RELEASE_DONE);
	}
	/* the next open sees what others have appended */
	if (rc == 0 && known && drain_is_whole(d) && f->nr_handles == 0 && !file_is_shared(f) &&
	    (uint64_t)d->st.st_size > pmio_pool_file_size(a->pool, f->slot))
		f->on_pfs.stale = true;
	if (known && !f->on_pfs.cut_pending)
		files_set_seen(f, &d->st);
	if (rc == 0 && known && d->later)
		syncs_later(a, f, false, true);
	else if (rc == 0 && known && d->pfs && drain_is_whole(d) && f->nr_handles == 0)
		syncs_done(a, f);
	/* if nothing was begun, nothing has changed */
	if (rc == PMIO_ECHANGED)
		f->on_pfs.busy = false; /* the recorded state is what the file should be, and is not */
	else if (d && d->pfs)
		f->on_pfs.busy = file_is_shared(f) || !known || f->nr_pfs_chunks != 0 || f->on_pfs.cut_pending;
	if (rc == 0 && d)
		files_update_name(a, f); /* it may have been renamed meanwhile */
	rc_record = files_update_catalog(a, f);
	if (rc_record < 0)
		f->on_pfs.busy = true;
	return rc < 0 ? rc : rc_record;
}

/* a program removes its name, or has just done so */
static bool is_going(const struct file *f)
{
	return file_is_unlinked(f) || file_is_removed(f);
}

/* d: NULL if there was no memory */
static void ended(struct agent *a, struct file *f, struct drain *d, int rc)
{
	bool whole = rc < 0 || drain_is_whole(d), lost;

	if (rc == 0 && whole && f->nr_handles == 0)
		files_drop_pfs_chunks(f); /* they are durable, and the next open may find frames */
	if (rc == -ENOENT && is_going(f))
		rc = PMIO_EGONE;
	lost = rc == PMIO_EGONE;
	if (!lost)
		rc = record(a, f, d, rc);
	if (lost)
		file_removal_event(f, FILE_FOUND_NAMELESS);
	if (rc == PMIO_ECHANGED)
		files_say_changed(f);
	else if (rc < 0 && !lost)
		pmio_err("agent: drain %s: %s; the data stay in the pool", f->path, pmio_strerror(rc));
	for (size_t i = 0; d && i < d->nr_taken; i++) {
		if (d->taken[i].frame != PMIO_NO_FRAME && !pmio_mask_empty(&d->taken[i].mask))
			pmio_frame_drain_end(a->view, d->taken[i].frame, &d->taken[i].mask, rc == 0 && !f->nr_mapped);
	}
	pmio_pm_fence(a->view->pm);
	if (rc == 0 && whole)
		files_packed_drop(a, f);
	a->pfs_changes++;
	if (d)
		count_end(a, d);
	f->drain = NULL;
	free_drain(a, d);

	if (whole) {
		/* without a name its data are given up, as for any file; only held data are kept */
		requests_finish(a, &f->drain_waiters, lost && (is_going(f) || f->hold == FILE_NO_HOLD) ? 0 : rc);
	} else {
		DL_CONCAT(f->drain_waiters, f->next_drain_waiters);
		f->next_drain_waiters = f->drain_waiters;
		f->drain_waiters = NULL;
	}
	files_job_end(a, f);
}

static void part_done(void *agent, struct job *job)
{
	struct agent *a = agent;
	struct drain *d = ((struct drain_part *)job)->drain;

	if (++d->nr_done == d->nr_parts)
		ended(a, d->file, d, atomic_load(&d->error));
}

/* ---- in the loop: the start ------------------------------------------------------- */

static int by_chunk(const void *x, const void *y)
{
	const struct taken *a = x, *b = y;

	return (a->chunk > b->chunk) - (a->chunk < b->chunk);
}

static int list_chunks(struct drain *d)
{
	size_t nr = HASH_COUNT(d->file->chunks);

	d->taken = calloc(nr ? nr : 1, sizeof(*d->taken));
	if (!d->taken)
		return -ENOMEM;
	for (struct chunk *ch = d->file->chunks; ch; ch = ch->hh.next) {
		if (ch->frame < 0 || (d->background && !chunk_is_ripe(d->file, ch)))
			continue;
		if (d->background)
			ch->background_in = d->file->nr_opens;
		d->taken[d->nr_taken].chunk = ch->number;
		d->taken[d->nr_taken++].frame = (uint64_t)ch->frame;
	}
	if (d->file->packed)
		d->taken[d->nr_taken++].frame = PMIO_NO_FRAME; /* drain_work.c finds it */
	qsort(d->taken, d->nr_taken, sizeof(*d->taken), by_chunk);
	return 0;
}

static int make_parts(struct agent *a, struct drain *d)
{
	size_t nr = d->nr_taken / DRAIN_PART_MIN + 1;
	/* with verification each part has a table of what it wrote */
	size_t most = a->config->drain_threads * (d->file->policy.verify ? 1 : DRAIN_DEPTH);

	if (nr > most)
		nr = most;
	d->parts = calloc(nr, sizeof(*d->parts));
	if (!d->parts)
		return -ENOMEM;
	d->nr_parts = (unsigned)nr;
	atomic_store(&d->parts_left, d->nr_parts);
	for (size_t i = 0; i < nr; i++) {
		d->parts[i].job.kind = JOB_BULK;
		d->parts[i].job.dev = d->file->key.dev;
		d->parts[i].job.throttled = true;
		d->parts[i].job.high_priority = true; /* otherwise the number of files that are open at once would grow */
		d->parts[i].job.run = drain_run_part;
		d->parts[i].job.done = part_done;
		d->parts[i].drain = d;
		if (d->file->policy.verify && (d->parts[i].verify = verify_new(a->view)) == NULL)
			return -ENOMEM;
	}
	return 0;
}

static void begin_writing(struct agent *a, struct drain *d)
{
	for (unsigned i = 0; i < d->nr_parts; i++)
		workers_submit(a->workers, &d->parts[i].job);
}

static void was_cut(void *agent, struct job *job)
{
	struct agent *a = agent;
	struct drain *d = (struct drain *)job;

	if (d->open_rc < 0)
		ended(a, d->file, d, d->open_rc);
	else
		begin_writing(a, d);
}

/* do only closes wait for this drain? */
static bool later_is_enough(const struct agent *a, const struct drain *d)
{
	const struct file *f = d->file;

	if (!f->policy.sync_later || file_is_shared(f) || f->policy.verify || f->nr_handles || f->nr_pfs_chunks || f->on_pfs.cut_pending ||
	    f->on_pfs.lost_sync || f->packed || !f->drain_waiters || !syncs_may_wait(a, f))
		return false;
	for (const struct request *r = f->drain_waiters; r; r = r->next) {
		if (r->msg->hdr.op != PMIO_OP_CLOSE)
			return false;
	}
	return true;
}

/* record in the catalog that the agent changes the PFS file, before it does */
static int prepare(struct agent *a, struct drain *d)
{
	struct file *f = d->file;
	int rc;

	f->on_pfs.busy = true;
	rc = files_update_catalog(a, f);
	if (rc == 0)
		rc = list_chunks(d);
	if (rc == 0)
		rc = make_parts(a, d);
	if (rc < 0)
		return rc;
	d->pfs = pfs_get(f->pfs);
	d->watches = !file_is_shared(f) && !(f->nr_handles && f->nr_pfs_chunks);
	d->may_lose = f->nr_handles == 0;
	d->later = later_is_enough(a, d);
	d->is_new = f->is_new && !file_is_shared(f);
	d->unmarks = f->nr_handles == 0 && f->on_pfs.marked;
	d->now = d->opened_st;
	d->written_ns = f->written_ns;
	d->may_extend = file_is_shared(f) ? file_sets_size(f) : f->nr_handles == 0 || f->nr_pfs_chunks == 0;
	d->shared = file_is_shared(f);
	return 0;
}

static void begin(struct agent *a, struct drain *d)
{
	struct file *f = d->file;
	int rc;

	if (f->policy.verify && !f->pfs->reads) {
		pmio_err("agent: %s: verify=drain needs permission to read the file", f->path);
		ended(a, f, d, -EACCES);
		return;
	}
	rc = prepare(a, d);
	if (rc < 0) {
		ended(a, f, d, rc);
		return;
	}
	if (!f->on_pfs.cut_pending) {
		begin_writing(a, d);
		return;
	}
	d->cut_to = f->on_pfs.size;
	d->opening.run = drain_run_cut_off;
	d->opening.done = was_cut;
	workers_submit(a->workers, &d->opening);
}

static bool can_write(const struct file *f)
{
	return f->pfs && f->pfs->writes;
}

/* may the drain begin, after the worker has checked the PFS file? */
static int judge(struct agent *a, struct drain *d)
{
	struct file *f = d->file;
	const struct stat *st = &d->opened_st;

	if (d->open_rc < 0)
		return d->nameless && f->nr_handles == 0 ? PMIO_EGONE : d->open_rc;
	if (st->st_dev != f->key.dev && !files_adopt_device(a, f, st))
		return PMIO_ECHANGED;
	if (d->look && d->look->pfs) {
		files_adopt_name(a, f, d->look->path);
		files_adopt_pfs(a, f, &d->look->pfs);
	}
	if (d->moved)
		files_adopt_name(a, f, d->moved);
	if (d->nameless && f->nr_handles == 0)
		return PMIO_EGONE;
	if ((f->on_pfs.changed || files_was_changed(f, st)) && !f->force)
		return PMIO_ECHANGED;
	files_notice_change(f, st);
	if (f->nr_handles == 0 && !f->on_pfs.seen_closed && !f->on_pfs.busy)
		files_set_seen(f, st);
	f->on_pfs.seen_closed = f->nr_handles == 0;
	return can_write(f) ? 0 : -EACCES;
}

static void opened(void *agent, struct job *job)
{
	struct agent *a = agent;
	struct drain *d = (struct drain *)job;
	struct file *f = d->file;
	int rc = judge(a, d);

	/* all descriptors are in use now: some will be free soon */
	if ((rc == -EMFILE || rc == -ENFILE) && d->nr_tries++ < OPEN_TRIES) {
		files_close_some(a);
		workers_submit(a->workers, &d->opening);
		return;
	}
	f->reopen = false;
	if (rc == -ENOENT && !is_going(f))
		pmio_err("agent: drain %s: the file no longer exists there, and was not found in nearby directories: if it was "
			 "renamed, run `pmio drain NEWNAME`; otherwise `pmio forget` discards its data in the pool",
			 f->path);
	if (rc == 0)
		begin(a, d);
	else
		ended(a, f, d, rc);
}

/* ---- in the loop: a small file, in one job ------------------------------------------- */

/*
 * The client reported the file's state when it closed it, and there is nothing to decide if that has not
 * changed.  Each change of threads takes longer than writing a few blocks.
 *
 * Not if the job would have to wait in the queue: after a crash that follows prepare(), the next agent
 * attributes a change by another process to this agent.
 */
static bool goes_at_once(const struct agent *a, const struct drain *d)
{
	const struct file *f = d->file;

	return !d->look && !d->marks && !d->background && f->nr_handles == 0 && f->on_pfs.seen_closed && !file_is_shared(f) &&
	       !f->on_pfs.busy && !f->on_pfs.cut_pending && !f->on_pfs.changed && !f->on_pfs.stale &&
	       (!f->policy.verify || f->pfs->reads) && HASH_COUNT(f->chunks) < DRAIN_PART_MIN &&
	       a->draining.nr <= a->config->drain_threads;
}

/* the file is not as it was: undo prepare(); nothing was written */
static void judge_first(struct agent *a, struct drain *d)
{
	struct file *f = d->file;
	int rc;

	f->on_pfs.busy = false;
	rc = files_update_catalog(a, f);
	pfs_put(a, &d->pfs);
	verify_delete(&d->parts[0].verify);
	free(d->parts);
	free(d->taken);
	d->parts = NULL;
	d->taken = NULL;
	d->nr_parts = 0;
	d->nr_taken = 0;
	d->differs = false;
	if (rc < 0)
		ended(a, f, d, rc);
	else
		opened(a, &d->opening);
}

static void at_once_done(void *agent, struct job *job)
{
	struct agent *a = agent;
	struct drain *d = ((struct drain_part *)job)->drain;

	if (d->differs)
		judge_first(a, d);
	else
		part_done(a, job);
}

static int start_at_once(struct agent *a, struct drain *d)
{
	int rc;

	d->opened_st = d->file->on_pfs.seen;
	d->opened_st.st_size = (off_t)d->file->on_pfs.size;
	rc = prepare(a, d);
	if (rc < 0)
		return rc;
	d->parts[0].job.high_priority = false;
	d->parts[0].job.run = drain_run_at_once;
	d->parts[0].job.done = at_once_done;
	workers_submit(a->workers, &d->parts[0].job);
	return 0;
}

static int start(struct agent *a, struct drain *d)
{
	struct file *f = d->file;

	d->path = strdup(f->path);
	if (!d->path)
		return -ENOMEM;
	d->id = files_id(f);
	d->marks = f->nr_handles == 0 && f->policy.async && !file_is_shared(f) && !f->on_pfs.marked;
	f->on_pfs.marked |= d->marks;
	if (can_write(f))
		d->opened = pfs_get(f->pfs);
	if (!d->opened || f->reopen) {
		d->look = pfs_look_new(f);
		if (!d->look)
			return -ENOMEM;
	}
	if (goes_at_once(a, d))
		return start_at_once(a, d);
	d->opening.kind = JOB_BULK;
	d->opening.dev = f->key.dev;
	d->opening.run = drain_run_opening;
	d->opening.done = opened;
	workers_submit(a->workers, &d->opening);
	return 0;
}

/* the drain can start at once */
static void start_now(struct agent *a, struct file *f, bool background)
{
	int rc = -ENOMEM;

	f->drain = calloc(1, sizeof(*f->drain));
	files_job_begin(a, f);
	if (f->drain) {
		pthread_mutex_init(&f->drain->lock, NULL);
		pthread_cond_init(&f->drain->idle_cond, NULL);
		f->drain->background = background;
		f->drain->agent = a;
		f->drain->file = f;
		f->drain->slot = f->slot;
		count_start(a, f->drain);
		rc = start(a, f->drain);
	}
	if (rc < 0)
		ended(a, f, f->drain, rc);
}

void drain_start(struct agent *a, struct file *f, struct request *waiter)
{
	if (waiter)
		DL_APPEND(f->next_drain_waiters, waiter);
	if (f->drain || file_is_busy(f))
		return;
	DL_CONCAT(f->next_drain_waiters, f->mark_waiters);
	f->mark_waiters = NULL;
	if (file_is_gone(f) && f->nr_handles == 0) {
		requests_finish(a, &f->next_drain_waiters, file_is_removed(f) ? 0 : PMIO_EGONE);
		return;
	}
	f->drain_waiters = f->next_drain_waiters;
	f->next_drain_waiters = NULL;
	if (f->nr_handles == 0)
		marks_drop(a, f); /* the drain handles the mark when it ends */
	start_now(a, f, false);
}

void drain_start_background(struct agent *a, struct file *f)
{
	start_now(a, f, true);
}

void drain_hurry(struct file *f)
{
	if (f->drain && f->drain->background)
		atomic_store(&f->drain->stop, true);
}

void drain_end(struct file *f)
{
	if (f->drain)
		atomic_store(&f->drain->stop, true);
}

void drain_stop_all(struct agent *a)
{
	for (struct file *f = a->files; f; f = f->hh.next)
		drain_end(f);
}
