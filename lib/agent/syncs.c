/*
 * syncs.c -- making created or drained files durable on the PFS after the request was answered
 *
 * An fsync(2) takes milliseconds on a disk, and for a batch of small files little more than for
 * one file.  So, where drain_sync allows it, a close returns when the PFS file has the bytes, and
 * a creation when it has the name.  Until a worker has made them durable, a batch of files at a
 * time:
 *
 *   the catalog has flags (PMIO_FILE_NEW, PMIO_FILE_UNSYNCED), before a request is answered; the
 *   file's frames are kept, though its blocks are clean.
 *
 * If the power fails in between, the recovery finds the flags and a new boot id: the flagged
 * data are drained again (pmio_pool_rebooted()), and a missing name is created again, here.  Data
 * that bypassed a full pool are only on the PFS, so they are lost with the power.  For all other
 * code the file is in its apparent state: open, held, or closed and clean.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#include "agent/batch.h"
#include "agent/file.h"
#include "agent/pfs_fd.h"
#include "agent/pfs_lookup.h"
#include "agent/request.h"
#include "agent/state.h"
#include "agent/syncs.h"
#include "core/error.h"
#include "core/log.h"

#define BATCH_MAX 512  /* files */
#define FILES_MAX 1024 /* files whose sync may be deferred; beyond that each close waits for its own fsync */

/* ---- in a worker ---------------------------------------------------------------- */

/* start the writes of all files before waiting for the first */
static void begin_writing(struct batch_item *i)
{
	i->rc = pfs_look_hold(i->look, i->pfs, &i->sync.fd);
	if (i->rc == -EMFILE || i->rc == -ENFILE)
		i->rc = -EAGAIN; /* the next batch takes the files that this one returns */
	if (i->rc == 0)
		sync_file_range(i->sync.fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* fsync() reports errors */
}

/* one fsync for all new names of a folder */
static void sync_folder(struct batch_item *i, char *last)
{
	char folder[PATH_MAX];

	if (pmio_pfs_name(i->sync.fd, folder) < 0)
		return; /* it has no name any more */
	*(strrchr(folder, '/') + 1) = '\0';
	if (strcmp(folder, last) == 0)
		return;
	i->rc = pmio_pfs_sync_name(folder, i->sync.fd);
	if (i->rc == 0)
		memcpy(last, folder, sizeof(folder));
}

static void run(struct job *job)
{
	struct batch *b = (struct batch *)job;
	char last[PATH_MAX] = "";

	for (size_t i = 0; i < b->nr; i++)
		begin_writing(&b->items[i]);
	for (size_t i = 0; i < b->nr; i++) {
		struct batch_item *it = &b->items[i];

		if (it->rc == 0 && fsync(it->sync.fd) < 0)
			it->rc = -errno;
		if (it->rc == 0 && it->sync.is_new)
			sync_folder(it, last);
		job_alive(job);
	}
}

/* ---- in the loop ------------------------------------------------------------------ */

bool syncs_has_room(const struct agent *a)
{
	/* their slots cannot be given to other files either */
	return a->syncs.nr < FILES_MAX && a->syncs.nr < a->view->nr_slots / 2;
}

/* their frames cannot be given to other files meanwhile: at most half of a pool */
bool syncs_may_wait(const struct agent *a, const struct file *f)
{
	size_t nr = HASH_COUNT(f->chunks);

	return syncs_has_room(a) && nr <= SYNC_CHUNKS_MAX && (a->syncs.nr + 1) * nr <= a->view->nr_frames / 2;
}

void syncs_later(struct agent *a, struct file *f, bool is_new, bool is_written)
{
	f->is_new |= is_new;
	f->unsynced |= is_written;
	f->sync_change++;
	if ((a->syncs.nr + 1) * HASH_COUNT(f->chunks) > a->view->nr_frames / 8)
		a->syncs.next_ms = 0; /* its frames are needed */
	if (!f->sync_pfs && f->pfs && !pfs_fd_is_high(f->pfs->fd))
		f->sync_pfs = pfs_get(f->pfs);
	batch_list(&a->syncs, &f->sync, f);
}

/* data that were lost in a power cut are restored only by a drain */
static void durable(struct agent *a, struct file *f)
{
	f->is_new = false;
	f->unsynced &= f->on_pfs.lost_sync;
	batch_unlist(&a->syncs, &f->sync);
	pfs_put(a, &f->sync_pfs);
}

void syncs_done(struct agent *a, struct file *f)
{
	f->on_pfs.lost_sync = false;
	durable(a, f);
}

void syncs_drop(struct agent *a, struct file *f, bool is_removed)
{
	syncs_done(a, f);
	requests_finish(a, &f->sync_waiters, is_removed ? 0 : -ENOENT);
}

/* the PFS could not keep the data that it had accepted; all of them are still in their frames */
static void failed(struct agent *a, struct file *f, int rc)
{
	bool written = f->unsynced;

	pmio_err("agent: %s: fsync: %s%s", f->path, pmio_strerror(rc),
		 written ? "; the data stay in the pool" : f->nr_pfs_chunks ? "; what did not fit into the pool may be lost" : "");
	batch_unlist(&a->syncs, &f->sync);
	pfs_put(a, &f->sync_pfs);
	if (!written && !f->nr_pfs_chunks)
		return; /* PMIO_FILE_NEW is kept: after a power cut the file is created again */
	for (struct chunk *ch = written ? f->chunks : NULL; ch; ch = ch->hh.next) {
		if (ch->frame >= 0)
			pmio_frame_redirty(a->view, (uint64_t)ch->frame);
	}
	pmio_pm_fence(a->view->pm);
	f->unsynced = false;
	f->wrote = f->reopen = true;
	f->error = rc > PMIO_ENOTPOOL ? -rc : EIO;
	file_event(f, f->nr_handles ? FILE_SYNC_FAILED : FILE_DRAIN_FAILED);
	files_update_catalog(a, f);
}

static int finish(struct agent *a, struct batch_item *i)
{
	struct file *f = batch_file(a, i);
	int rc = i->rc;

	if (!f)
		return rc;
	f->syncing = false;
	if (!f->sync.listed)
		return rc;
	if (i->rc == -ENOENT || (i->look && i->look->nameless))
		i->rc = 0; /* it does not exist any more, or was moved: there is nothing to make durable */
	if (i->rc == -EAGAIN || (i->rc == 0 && i->sync.change != f->sync_change))
		return rc; /* it waits for the next batch */
	if (i->rc < 0) {
		failed(a, f, i->rc);
	} else {
		durable(a, f);
		files_update_catalog(a, f);
	}
	requests_finish(a, &f->sync_waiters, i->rc);
	a->idle(a, f);
	return rc;
}

static bool take(struct agent *a, struct file *f, struct batch_item *i)
{
	(void)a;
	if (f->syncing || !batch_hold(i, f, f->sync_pfs ? f->sync_pfs : f->pfs))
		return false;
	i->sync.change = f->sync_change;
	i->sync.is_new = f->is_new;
	f->syncing = true;
	return true;
}

static const struct batch_kind kind = { .job = JOB_BULK, .max = BATCH_MAX, .take = take, .run = run, .finish = finish };

int syncs_wait_ms(const struct agent *a)
{
	return batches_wait_ms(&a->syncs);
}

void syncs_look(struct agent *a)
{
	batches_look(a, &a->syncs, &kind);
}
