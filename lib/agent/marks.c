/*
 * marks.c -- dirty marks: they show other pools which files have data in this pool
 * (lib/pfs/guard.c)
 *
 * As long as a program or the agent has a file open, a lock says so.  For the time after, when
 * both may have been killed, the PFS file is marked: when it has been open for writing for a
 * moment, and when data of it wait.  The mark is removed by the drain that brings the last of
 * them to the PFS, or here if there was nothing to drain.
 *
 * A mark is a write to the PFS, so a worker makes the marks of many files at a time.  A file
 * that is closed and drained before its turn comes gets none.
 *
 * A program on another node that opens the file after a close has returned must not find the mark. So
 * a close that leaves nothing to drain waits for the mark's removal, which has a batch of its own.
 * A file that is in use on several nodes has its owner's file for that, and no mark.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "agent/agent_impl.h"

#define EVERY_MS 20   /* from the end of a batch to the next */
#define RETRY_MS 1000 /* if nothing could be started */
#define BATCH_MAX 256 /* files */

/* ---- in a worker ---------------------------------------------------------------- */

struct item {
	struct file *file;	/* held */
	struct pfs_fd *pfs;	/* held; NULL: look opens it */
	struct pfs_look *look;	/* owned; NULL: pfs is enough */
	bool removes;
	struct stat before, after;
	int rc;
};

struct batch {
	struct job job;		/* first */
	struct agent *agent;	/* workers read view and the pool's name only */
	bool scheduled;		/* by marks_look(): has its device in agent->marking */
	size_t nr;
	struct item items[];
};

static void mark(const struct batch *b, struct item *i)
{
	const uint8_t *uuid = b->agent->view->super->uuid;
	int fd;

	i->rc = pfs_look_hold(i->look, i->pfs, &fd);
	if (i->rc == 0 && fstat(fd, &i->before) < 0)
		i->rc = -errno;
	if (i->rc < 0)
		return;
	if (i->removes)
		pmio_pfs_unmark(fd, uuid);
	else
		pmio_pfs_mark(fd, uuid, pmio_pool_dir(b->agent->pool)); /* not all file systems support that */
	i->rc = fstat(fd, &i->after) < 0 ? -errno : 0;
}

static void run(struct job *job)
{
	struct batch *b = (struct batch *)job;

	for (size_t i = 0; i < b->nr; i++)
		mark(b, &b->items[i]);
}

/* ---- in the loop ------------------------------------------------------------------ */

static void list(struct agent *a, struct file *f)
{
	if (f->mark_listed)
		return;
	f->mark_listed = true;
	DL_APPEND2(a->to_mark, f, mark_prev, mark_next);
}

static void unlist(struct agent *a, struct file *f)
{
	if (f->mark_listed)
		DL_DELETE2(a->to_mark, f, mark_prev, mark_next);
	f->mark_listed = false;
}

void marks_drop(struct agent *a, struct file *f)
{
	unlist(a, f);
	requests_finish(a, &f->mark_waiters, 0);
}

void marks_want_again(struct agent *a, struct file *f)
{
	if (!f->shared && !file_is_gone(f))
		list(a, f);
}

void marks_want(struct agent *a, struct file *f)
{
	if (!f->on_pfs.marked)
		marks_want_again(a, f);
}


/*
 * The mark is a change by this agent, and must not be taken for one by others, nor a change by
 * others in between for this one.  Where data wait and no close has reported the file's state,
 * this look is used for it.
 */
static void see(struct agent *a, struct file *f, const struct item *i)
{
	bool waits = !f->nr_handles && f->state != PMIO_FILE_CLEAN;

	if (f->on_pfs.changed || f->drain || f->busy == FILE_CUTTING)
		return;
	if (files_same_as_seen(f, &i->before) && files_same_content(f, &i->after)) {
		f->on_pfs.seen.st_ctim = i->after.st_ctim;
		f->on_pfs.seen_closed |= waits;
	} else if (waits && !f->on_pfs.seen_closed) {
		files_notice_change(f, &i->before);
		files_see_closed(f, &i->after);
	} else if (waits) {
		files_look_closed(f, &i->after);
	}
	files_update_catalog(a, f);
}

static void apply(struct agent *a, struct item *i)
{
	struct file *f = i->file;

	f->busy = FILE_NOT_BUSY;
	f->on_pfs.marked = !i->removes;
	if (i->rc == 0)
		see(a, f, i);
	if (i->look && i->look->pfs) {
		files_adopt_name(a, f, i->look->path);
		files_adopt_pfs(a, f, &i->look->pfs);
	}
	if (i->removes && f->nr_writers)
		marks_want(a, f);
	else if (!i->removes && f->shared && !f->mark_listed) /* since it was listed */
		marks_want_none(a, f);
	if (i->removes || f->nr_handles)
		requests_finish(a, &f->mark_waiters, 0);
	files_job_end(a, f);
}

static void done(void *agent, struct job *job)
{
	struct agent *a = agent;
	struct batch *b = (struct batch *)job;

	if (b->scheduled) {
		busy_devs_leave(&a->marking, b->job.dev);
		a->next_mark_ms = pmio_now_ms() + EVERY_MS;
	}
	for (size_t i = 0; i < b->nr; i++) {
		apply(a, &b->items[i]);
		pfs_put(a, &b->items[i].pfs);
		pfs_look_delete(a, &b->items[i].look);
	}
	free(b);
}

static struct batch *new_batch(size_t max)
{
	return calloc(1, sizeof(struct batch) + max * sizeof(struct item));
}

static void fill_in(struct agent *a, struct batch *b, struct file *f)
{
	struct item *i = &b->items[b->nr];

	i->file = f;
	i->removes = f->shared || (!f->nr_writers && f->state == PMIO_FILE_CLEAN);
	if (i->removes && !f->on_pfs.marked)
		return;
	i->pfs = f->pfs ? pfs_get(f->pfs) : NULL;
	i->look = f->pfs ? NULL : pfs_look_new(f);
	if (!i->pfs && !i->look)
		return;
	f->busy = FILE_MARKING;
	files_job_begin(a, f);
	b->nr++;
}

static void submit(struct agent *a, struct batch *b, uint64_t dev)
{
	b->agent = a;
	b->job.kind = JOB_CALL;
	b->job.dev = dev;
	b->job.run = run;
	b->job.done = done;
	workers_submit(a->workers, &b->job);
}

/* false: it stays marked for now */
static bool remove_at_once(struct agent *a, struct file *f)
{
	struct batch *b = file_is_busy(f) ? NULL : new_batch(1);

	if (!b)
		return false;
	fill_in(a, b, f);
	if (b->nr == 0) {
		free(b);
		return false;
	}
	submit(a, b, f->key.dev);
	return true;
}

void marks_want_none(struct agent *a, struct file *f)
{
	unlist(a, f);
	if (f->on_pfs.marked && !file_is_gone(f) && !(f->mark_waiters && remove_at_once(a, f)))
		list(a, f);
	if (!f->on_pfs.marked)
		requests_finish(a, &f->mark_waiters, 0);
}

bool marks_defer(struct agent *a, struct file *f, struct conn *c, const union pmio_any_msg *msg)
{
	if (f->nr_handles || file_is_gone(f) || (f->state != PMIO_FILE_CLEAN && f->state != PMIO_FILE_OPEN) ||
	    (!f->on_pfs.marked && f->busy != FILE_MARKING))
		return false;
	request_defer(a, &f->mark_waiters, c, msg, -1);
	return true;
}

/* false: nothing to do there now */
static bool start(struct agent *a, uint64_t dev)
{
	struct batch *b = new_batch(BATCH_MAX);
	struct file *f, *next;

	if (!b)
		return false;
	b->scheduled = true;
	DL_FOREACH_SAFE2(a->to_mark, f, next, mark_next) {
		if (b->nr == BATCH_MAX)
			break;
		if (f->key.dev != dev || file_is_busy(f))
			continue;
		unlist(a, f);
		fill_in(a, b, f);
	}
	if (b->nr == 0) {
		free(b);
		return false;
	}
	submit(a, b, dev);
	return true;
}

int marks_wait_ms(const struct agent *a)
{
	if (!a->to_mark)
		return -1;
	return agent_until_ms(a->next_mark_ms);
}

void marks_look(struct agent *a)
{
	uint64_t dev;

	if (marks_wait_ms(a) != 0)
		return;
	a->next_mark_ms = pmio_now_ms() + EVERY_MS;
	for (struct file *f = a->to_mark, *next; f; f = next) {
		next = f->mark_next;
		dev = f->key.dev;
		if (!busy_devs_take(&a->marking, dev))
			continue;
		if (start(a, dev))
			return; /* the list has changed */
		busy_devs_leave(&a->marking, dev);
	}
	if (a->to_mark) /* batches under way come back, or hang */
		a->next_mark_ms = pmio_now_ms() + RETRY_MS;
}
