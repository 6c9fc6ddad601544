/*
 * batch.c -- deferred work, which a worker does for many files at a time
 *
 * Each file system has a batch of its own, so that one that hangs does not delay the others.
 */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "agent/batch.h"
#include "agent/file.h"
#include "agent/pfs_fd.h"
#include "agent/pfs_lookup.h"
#include "agent/state.h"
#include "core/clock.h"

#define EVERY_MS 20   /* from the end of a batch to the next, to gather files */
#define RETRY_MS 1000 /* after a failed batch, or if nothing could be started */

static bool take_dev(struct busy_devs *b, uint64_t dev)
{
	for (unsigned i = 0; i < b->nr; i++) {
		if (b->dev[i] == dev)
			return false;
	}
	if (b->nr == BUSY_DEVS_MAX)
		return false;
	b->dev[b->nr++] = dev;
	return true;
}

static void leave_dev(struct busy_devs *b, uint64_t dev)
{
	for (unsigned i = 0; i < b->nr; i++) {
		if (b->dev[i] == dev) {
			b->dev[i] = b->dev[--b->nr];
			return;
		}
	}
}

void batch_list(struct batches *b, struct batch_entry *e, struct file *f)
{
	if (e->listed)
		return;
	e->listed = true;
	e->file = f;
	DL_APPEND(b->list, e);
	b->nr++;
}

void batch_unlist(struct batches *b, struct batch_entry *e)
{
	if (!e->listed)
		return;
	e->listed = false;
	DL_DELETE(b->list, e);
	b->nr--;
}

bool batch_hold(struct batch_item *i, const struct file *f, struct pfs_fd *pfs)
{
	i->pfs = pfs ? pfs_get(pfs) : NULL;
	i->look = pfs ? NULL : pfs_look_new(f);
	return i->pfs || i->look;
}

static void done(void *agent, struct job *job)
{
	struct agent *a = agent;
	struct batch *b = (struct batch *)job;
	int rc = 0;

	if (b->of)
		leave_dev(&b->of->busy, b->job.dev);
	a->nr_jobs -= !b->kind->idle;
	for (size_t i = 0; i < b->nr; i++) {
		int one = b->kind->finish(a, &b->items[i]);

		rc = one < 0 ? one : rc;
		pfs_put(a, &b->items[i].pfs);
		pfs_look_delete(a, &b->items[i].look);
	}
	if (b->of)
		b->of->next_ms = pmio_now_ms() + (rc < 0 ? RETRY_MS : EVERY_MS);
	if (b->kind->ended)
		b->kind->ended(a, b);
	free(b);
}

static struct batch *new_batch(struct agent *a, struct batches *of, const struct batch_kind *kind, size_t max)
{
	struct batch *b = calloc(1, sizeof(*b) + max * sizeof(b->items[0]));

	if (!b)
		return NULL;
	b->agent = a;
	b->kind = kind;
	b->of = of;
	return b;
}

static void take(struct agent *a, struct batch *b, struct file *f)
{
	struct batch_item *i = &b->items[b->nr];

	i->slot = f->slot;
	i->generation = pmio_pm_load64(&a->view->slots[f->slot].generation);
	if (b->kind->take(a, f, i))
		b->nr++;
	else
		memset(i, 0, sizeof(*i));
}

/* false: it has no files */
static bool submit(struct agent *a, struct batch *b, uint64_t dev)
{
	if (b->nr == 0) {
		free(b);
		return false;
	}
	b->start_ms = pmio_now_ms();
	b->job.kind = b->kind->job;
	b->job.dev = dev;
	b->job.run = b->kind->run;
	b->job.done = done;
	a->nr_jobs += !b->kind->idle;
	workers_submit(a->workers, &b->job);
	return true;
}

bool batch_one(struct agent *a, const struct batch_kind *kind, struct file *f)
{
	struct batch *b = new_batch(a, NULL, kind, 1);

	if (!b)
		return false;
	take(a, b, f);
	return submit(a, b, f->key.dev);
}

bool batch_all(struct agent *a, const struct batch_kind *kind)
{
	size_t nr = HASH_COUNT(a->files);
	struct batch *b = new_batch(a, NULL, kind, nr < kind->max ? nr : kind->max);

	if (!b)
		return false;
	for (struct file *f = a->files; f && b->nr < kind->max; f = f->hh.next)
		take(a, b, f);
	return submit(a, b, 0);
}

struct file *batch_file(const struct agent *a, const struct batch_item *i)
{
	struct file *f = a->by_slot[i->slot];

	return f && pmio_pm_load64(&a->view->slots[i->slot].generation) == i->generation ? f : NULL;
}

/* false: there is nothing to do on that file system now */
static bool start(struct agent *a, struct batches *of, const struct batch_kind *kind, uint64_t dev)
{
	size_t max = of->nr < kind->max ? of->nr : kind->max;
	struct batch *b = new_batch(a, of, kind, max);
	struct batch_entry *e, *next;

	if (!b)
		return false;
	DL_FOREACH_SAFE(of->list, e, next) {
		if (b->nr == max)
			break;
		if (e->file->key.dev == dev)
			take(a, b, e->file);
	}
	return submit(a, b, dev);
}

int batches_wait_ms(const struct batches *b)
{
	return b->list ? agent_until_ms(b->next_ms) : -1;
}

void batches_look(struct agent *a, struct batches *b, const struct batch_kind *kind)
{
	struct batch_entry *next;

	if (batches_wait_ms(b) != 0)
		return;
	b->next_ms = pmio_now_ms() + RETRY_MS; /* batches under way end, or hang */
	for (struct batch_entry *e = b->list; e; e = next) {
		uint64_t dev = e->file->key.dev;
		unsigned nr = b->nr;

		next = e->next;
		if (!take_dev(&b->busy, dev))
			continue;
		if (start(a, b, kind, dev))
			b->next_ms = pmio_now_ms() + EVERY_MS; /* for other file systems */
		else
			leave_dev(&b->busy, dev);
		if (b->nr != nr) /* take() has removed files from the list, perhaps the next one, too */
			next = b->list;
	}
}
