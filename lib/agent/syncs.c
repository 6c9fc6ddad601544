/*
 * syncs.c -- created or drained files become durable on the PFS after the request was answered
 *
 * An fsync(2) takes milliseconds on a disk, and for a batch of small files little more than for
 * one file.  So, where drain_sync allows it, a close returns when the PFS file has the bytes, and
 * a creation when it has the name.  Until a worker has made them durable, a batch of files at a
 * time:
 *
 *   the catalog says so (PMIO_FILE_NEW, PMIO_FILE_UNSYNCED), before a request is answered; the
 *   file's frames stay, though its blocks are clean.
 *
 * If the power fails in between, the recovery finds the flags and a new boot id: the flagged
 * data are drained again (pmio_pool_rebooted()), and a missing name is created again, here.  Data
 * that bypassed a full pool are only on the PFS, so they are lost with the power.  All other code
 * takes the file for what it looks like: open, held, or closed and clean.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "agent/agent_impl.h"

#define EVERY_MS 20    /* from the end of a batch to the next, to gather files */
#define RETRY_MS 1000  /* after a failed batch */
#define BATCH_MAX 512  /* files */
#define FILES_MAX 1024 /* that may wait; with more, each close waits for its own fsync */

/* ---- in a worker ---------------------------------------------------------------- */

struct item {
	uint32_t slot;
	uint64_t generation, change;
	struct pfs_fd *pfs;	/* held; NULL: look opens it */
	struct pfs_look *look;	/* owned; NULL: pfs is enough */
	bool is_new;
	int fd, rc;
};

struct batch {
	struct job job;		/* first */
	size_t nr;
	struct item items[];
};

/* start the writes of all files before waiting for the first */
static void begin_writing(struct item *i)
{
	i->rc = pfs_look_hold(i->look, i->pfs, &i->fd);
	if (i->rc == -EMFILE || i->rc == -ENFILE)
		i->rc = -EAGAIN; /* the next batch takes the files that this one gives back */
	if (i->rc == 0)
		sync_file_range(i->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* fsync() reports errors */
}

/* one fsync for all new names of a folder */
static void sync_folder(struct item *i, char *last)
{
	char folder[PATH_MAX];

	if (pmio_pfs_name(i->fd, folder) < 0)
		return; /* it has no name any more */
	*(strrchr(folder, '/') + 1) = '\0';
	if (strcmp(folder, last) == 0)
		return;
	i->rc = pmio_pfs_sync_name(folder, i->fd);
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
		struct item *it = &b->items[i];

		if (it->rc == 0 && fsync(it->fd) < 0)
			it->rc = -errno;
		if (it->rc == 0 && it->is_new)
			sync_folder(it, last);
		job_alive(job);
	}
}

/* ---- in the loop ------------------------------------------------------------------ */

bool syncs_has_room(const struct agent *a)
{
	/* their slots cannot be given to others either */
	return a->nr_unsynced < FILES_MAX && a->nr_unsynced < a->view->nr_slots / 2;
}

/* meanwhile those frames cannot be given to others: at most half of a pool */
bool syncs_may_wait(const struct agent *a, const struct file *f)
{
	size_t nr = HASH_COUNT(f->chunks);

	return syncs_has_room(a) && nr <= SYNC_CHUNKS_MAX && (a->nr_unsynced + 1) * nr <= a->view->nr_frames / 2;
}

void syncs_later(struct agent *a, struct file *f, bool is_new, bool is_written)
{
	f->is_new |= is_new;
	f->unsynced |= is_written;
	f->sync_change++;
	if ((a->nr_unsynced + 1) * HASH_COUNT(f->chunks) > a->view->nr_frames / 8)
		a->next_sync_ms = 0; /* its frames are needed */
	if (!f->sync_pfs && f->pfs && !pfs_fd_is_high(f->pfs->fd))
		f->sync_pfs = pfs_get(f->pfs);
	if (f->sync_listed)
		return;
	f->sync_listed = true;
	DL_APPEND2(a->unsynced, f, sync_prev, sync_next);
	a->nr_unsynced++;
}

static void unlist(struct agent *a, struct file *f)
{
	if (!f->sync_listed)
		return;
	f->sync_listed = false;
	DL_DELETE2(a->unsynced, f, sync_prev, sync_next);
	a->nr_unsynced--;
}

/* data lost in the power cut come back only by a drain */
static void durable(struct agent *a, struct file *f)
{
	f->is_new = false;
	f->unsynced &= f->on_pfs.lost_sync;
	unlist(a, f);
	pfs_put(a, &f->sync_pfs);
}

void syncs_done(struct agent *a, struct file *f)
{
	f->on_pfs.lost_sync = false;
	durable(a, f);
}

void syncs_drop(struct agent *a, struct file *f)
{
	syncs_done(a, f);
	requests_finish(a, &f->sync_waiters, -ENOENT);
}

/* the PFS could not keep the data that it had accepted; all of them are still in their frames */
static void failed(struct agent *a, struct file *f, int rc)
{
	bool written = f->unsynced;

	pmio_err("agent: %s: fsync: %s%s", f->path, pmio_strerror(rc),
		 written ? "; the data stay in the pool" : f->nr_pfs_chunks ? "; what did not fit into the pool may be lost" : "");
	unlist(a, f);
	pfs_put(a, &f->sync_pfs);
	if (!written && !f->nr_pfs_chunks)
		return; /* PMIO_FILE_NEW stays: after a power cut the file is created again */
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

static void apply(struct agent *a, struct item *i)
{
	struct file *f = a->by_slot[i->slot];

	if (!f || pmio_pm_load64(&a->view->slots[i->slot].generation) != i->generation)
		return;
	f->syncing = false;
	if (!f->sync_listed)
		return;
	if (i->rc == -ENOENT || (i->look && i->look->nameless))
		i->rc = 0; /* it does not exist any more, or is elsewhere: there is nothing to make durable */
	if (i->rc == -EAGAIN || (i->rc == 0 && i->change != f->sync_change))
		return; /* it waits for the next batch */
	if (i->rc < 0) {
		failed(a, f, i->rc);
	} else {
		durable(a, f);
		files_update_catalog(a, f);
	}
	requests_finish(a, &f->sync_waiters, i->rc);
	a->idle(a, f);
}

static void done(void *agent, struct job *job)
{
	struct agent *a = agent;
	struct batch *b = (struct batch *)job;
	int rc = 0;

	busy_devs_leave(&a->syncing, b->job.dev);
	a->nr_jobs--;
	for (size_t i = 0; i < b->nr; i++) {
		rc = b->items[i].rc < 0 ? b->items[i].rc : rc;
		apply(a, &b->items[i]);
		pfs_put(a, &b->items[i].pfs);
		pfs_look_delete(a, &b->items[i].look);
	}
	a->next_sync_ms = pmio_now_ms() + (rc < 0 ? RETRY_MS : EVERY_MS);
	free(b);
}

static bool fill_in(struct agent *a, struct item *i, struct file *f)
{
	struct pfs_fd *pfs = f->sync_pfs ? f->sync_pfs : f->pfs;

	i->pfs = pfs ? pfs_get(pfs) : NULL;
	i->look = pfs ? NULL : pfs_look_new(f);
	i->slot = f->slot;
	i->generation = pmio_pm_load64(&a->view->slots[f->slot].generation);
	i->change = f->sync_change;
	i->is_new = f->is_new;
	return i->pfs || i->look;
}

/* false: nothing to do there now */
static bool start(struct agent *a, uint64_t dev)
{
	size_t nr = a->nr_unsynced < BATCH_MAX ? a->nr_unsynced : BATCH_MAX;
	struct batch *b = calloc(1, sizeof(*b) + nr * sizeof(b->items[0]));
	struct file *f;

	if (!b)
		return false;
	DL_FOREACH2(a->unsynced, f, sync_next) {
		if (b->nr == nr)
			break;
		if (f->key.dev == dev && fill_in(a, &b->items[b->nr], f)) {
			f->syncing = true;
			b->nr++;
		}
	}
	if (b->nr == 0) {
		free(b);
		return false;
	}
	b->job.kind = JOB_BULK;
	b->job.dev = dev;
	b->job.run = run;
	b->job.done = done;
	a->nr_jobs++;
	workers_submit(a->workers, &b->job);
	return true;
}

int syncs_wait_ms(const struct agent *a)
{
	if (!a->unsynced)
		return -1;
	return agent_until_ms(a->next_sync_ms);
}

void syncs_look(struct agent *a)
{
	if (syncs_wait_ms(a) != 0)
		return;
	a->next_sync_ms = pmio_now_ms() + RETRY_MS;
	for (struct file *f = a->unsynced; f; f = f->sync_next) {
		if (f->syncing || !busy_devs_take(&a->syncing, f->key.dev))
			continue;
		if (start(a, f->key.dev))
			a->next_sync_ms = pmio_now_ms() + EVERY_MS; /* other file systems may have batches of their own */
		else
			busy_devs_leave(&a->syncing, f->key.dev);
	}
}
