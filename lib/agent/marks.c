/*
 * marks.c -- dirty marks: they show other pools which files have data in this pool
 * (lib/pfs/exclusion.c)
 *
 * As long as a program or the agent has a file open, a lock shows it.  For the time after that, as
 * both may be killed, the PFS file is marked: when it has been open for writing for a moment, and
 * when it has pending data.  The mark is removed by the drain that writes the last of them to the
 * PFS, or here if there was nothing to drain.
 *
 * A mark is a write to the PFS, so a worker makes the marks of many files at a time.  A file
 * that is closed and drained before its turn comes gets none.
 *
 * A program on another node that opens the file after a close has returned must not find the mark. So
 * a close that leaves nothing to drain waits for the mark's removal, which has a batch of its own.
 * A file that is in use on several nodes has its layout file for that, and no mark.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/batch.h"
#include "agent/conn.h"
#include "agent/file.h"
#include "agent/file_seen.h"
#include "agent/jobs.h"
#include "agent/marks.h"
#include "agent/pfs_fd.h"
#include "agent/pfs_lookup.h"
#include "agent/request.h"
#include "agent/state.h"

#define FILES_MAX 256 /* of a batch */

/* ---- in a worker ---------------------------------------------------------------- */

static void mark(const struct batch *b, struct batch_item *i)
{
	const uint8_t *uuid = b->agent->view->super->uuid;
	int fd;

	i->rc = pfs_look_hold(i->look, i->pfs, &fd);
	if (i->rc == 0 && fstat(fd, &i->mark.before) < 0)
		i->rc = -errno;
	if (i->rc < 0)
		return;
	if (i->mark.removes)
		pmio_pfs_unmark(fd, uuid);
	else
		pmio_pfs_mark(fd, uuid, pmio_pool_dir(b->agent->pool)); /* not all file systems support that */
	i->rc = fstat(fd, &i->mark.after) < 0 ? -errno : 0;
}

static void run(struct job *job)
{
	struct batch *b = (struct batch *)job;

	for (size_t i = 0; i < b->nr; i++)
		mark(b, &b->items[i]);
}

/* ---- in the loop ------------------------------------------------------------------ */

void marks_drop(struct agent *a, struct file *f)
{
	batch_unlist(&a->marks, &f->mark);
	requests_finish(a, &f->mark_waiters, 0);
}

void marks_want_again(struct agent *a, struct file *f)
{
	if (!file_is_shared(f) && !file_is_gone(f))
		batch_list(&a->marks, &f->mark, f);
}

void marks_want(struct agent *a, struct file *f)
{
	if (!f->on_pfs.marked)
		marks_want_again(a, f);
}

/*
 * The mark is a change by this agent, and must not be mistaken for one by another program, nor vice
 * versa.  If the file has pending data and no close has reported its state, the attributes that were
 * read here are used instead.
 */
static void see(struct agent *a, struct file *f, const struct batch_item *i)
{
	bool pending = !f->nr_handles && f->state != PMIO_FILE_CLEAN;

	if (f->on_pfs.changed || f->drain || f->busy == FILE_TRUNCATING)
		return;
	if (files_same_as_seen(f, &i->mark.before) && files_same_content(f, &i->mark.after)) {
		f->on_pfs.seen.st_ctim = i->mark.after.st_ctim;
		f->on_pfs.seen_closed |= pending;
	} else if (pending && !f->on_pfs.seen_closed) {
		files_notice_change(f, &i->mark.before);
		files_see_closed(f, &i->mark.after);
	} else if (pending) {
		files_look_closed(f, &i->mark.after);
	}
	files_update_catalog(a, f);
}

static int finish(struct agent *a, struct batch_item *i)
{
	struct file *f = i->file;

	file_busy_event(f, FILE_MARK_ENDS);
	f->on_pfs.marked = !i->mark.removes;
	if (i->rc == 0)
		see(a, f, i);
	if (i->look && i->look->pfs) {
		files_adopt_name(a, f, i->look->path);
		files_adopt_pfs(a, f, &i->look->pfs);
	}
	if (i->mark.removes && f->nr_writers)
		marks_want(a, f);
	else if (!i->mark.removes && file_is_shared(f) && !f->mark.listed) /* since it was listed */
		marks_want_none(a, f);
	if (i->mark.removes || f->nr_handles)
		requests_finish(a, &f->mark_waiters, 0);
	files_job_end(a, f);
	return 0; /* a file that cannot be marked delays no other one */
}

static bool take(struct agent *a, struct file *f, struct batch_item *i)
{
	if (file_is_busy(f))
		return false;
	batch_unlist(&a->marks, &f->mark);
	i->file = f;
	i->mark.removes = file_is_shared(f) || (!f->nr_writers && f->state == PMIO_FILE_CLEAN);
	if ((i->mark.removes && !f->on_pfs.marked) || !batch_hold(i, f, f->pfs))
		return false;
	file_busy_event(f, FILE_MARK_BEGINS);
	files_job_begin(a, f);
	return true;
}

static const struct batch_kind kind = { .job = JOB_CALL, .max = FILES_MAX, .take = take, .run = run, .finish = finish };

void marks_want_none(struct agent *a, struct file *f)
{
	batch_unlist(&a->marks, &f->mark);
	if (f->on_pfs.marked && !file_is_gone(f) && !(f->mark_waiters && batch_one(a, &kind, f)))
		batch_list(&a->marks, &f->mark, f);
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

int marks_wait_ms(const struct agent *a)
{
	return batches_wait_ms(&a->marks);
}

void marks_look(struct agent *a)
{
	batches_look(a, &a->marks, &kind);
}
