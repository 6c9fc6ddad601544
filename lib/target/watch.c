/*
 * watch.c -- files that are drained after their last close
 *
 * A few threads handle all of them: each takes a file that is due, does one step for it, and puts
 * it back.  Steps wait for agent and file system; one that hangs holds a thread, and the others
 * continue as long as there is another thread.
 *
 * Files that are put back with the same wait become due in the same order: so there is a list for
 * each wait, and the next file is the first of one of the lists.
 */
#include "target/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uthash.h>
#include <utlist.h>

#include "core/clock.h"
#include "client/admin.h"
#include "client/client.h"
#include "remote/remote.h"

#define THREADS_MAX 16
#define NR_WAITS 14	  /* 0, 10 ms, and then each twice as long, up to 41 s */
#define WAIT_DRAIN 8	  /* the first wait after a failed drain: 1.3 s */
#define WAIT_SETTLE_MAX 10 /* 5 s */

struct watch {
	struct watches *all;
	bool again;		/* it was closed again */
	bool drained;
	unsigned wait;		/* index of its list */
	uint64_t due_ms;
	struct watch *prev, *next;
	UT_hash_handle hh;
	char path[];		/* key */
};

/* a job that has no end: it does the steps of files that are due */
struct watcher {
	struct job job;		/* first */
	struct watches *all;
};

struct watches {
	struct workers *workers;
	const struct pmio_settings *settings;
	const uint8_t *uuid;
	bool (*in_use)(void *arg, const uint8_t *id);
	void *arg;
	pthread_mutex_t lock;	/* of all below */
	pthread_cond_t changed;
	struct watch *hash;
	struct watch *lists[NR_WAITS]; /* the files that no thread is working on */
	struct watcher threads[THREADS_MAX];
	unsigned nr_threads, nr_idle;
};

static int drain_once(void *arg)
{
	struct watch *w = arg;
	struct pmio *pm;
	int rc = client_connect(w->all->settings, NULL, false, false, &pm);

	if (rc < 0)
		return rc;
	rc = pmio_drain_known(pm, w->path);
	pmio_disconnect(&pm);
	return rc;
}

/* one step; returns whether more are needed */
static bool step(struct watch *w)
{
	const struct watches *all = w->all;

	if (!w->drained && drain_once(w) < 0) {
		w->wait = w->wait < WAIT_DRAIN ? WAIT_DRAIN : w->wait < NR_WAITS - 1 ? w->wait + 1 : w->wait;
		return true;
	}
	if (!w->drained) {
		remote_owner_drained(w->path, all->uuid, drain_once, w);
		w->drained = true;
		w->wait = 0;
	}
	if (remote_owner_settle(w->path, all->uuid, all->in_use, all->arg) != -EAGAIN)
		return false;
	w->wait += w->wait < WAIT_SETTLE_MAX;
	return true;
}

/* ---- lock held --------------------------------------------------------------------------- */

static void put_back(struct watch *w)
{
	w->due_ms = pmio_now_ms() + (w->wait ? 10u << (w->wait - 1) : 0);
	DL_APPEND(w->all->lists[w->wait], w);
}

/* the file that is due first; NULL: there is none */
static struct watch *first_of(const struct watches *all)
{
	struct watch *first = NULL;

	for (unsigned i = 0; i < NR_WAITS; i++) {
		struct watch *w = all->lists[i];

		if (w && (!first || w->due_ms < first->due_ms))
			first = w;
	}
	return first;
}

static void wait_for_change(struct watches *all, const struct watch *first)
{
	struct timespec until = { .tv_sec = (time_t)(first ? first->due_ms / 1000 : 0),
				  .tv_nsec = (long)(first ? first->due_ms % 1000 * 1000000 : 0) };

	all->nr_idle++;
	if (first)
		pthread_cond_timedwait(&all->changed, &all->lock, &until);
	else
		pthread_cond_wait(&all->changed, &all->lock);
	all->nr_idle--;
}

static void run(struct job *job);

/* lock held */
static void start_thread(struct watches *all)
{
	struct watcher *t = &all->threads[all->nr_threads];

	if (all->nr_idle || all->nr_threads == THREADS_MAX)
		return;
	all->nr_threads++;
	*t = (struct watcher){ .job.run = run, .all = all };
	workers_submit(all->workers, &t->job);
}

static void run(struct job *job)
{
	struct watches *all = ((struct watcher *)job)->all;

	pthread_mutex_lock(&all->lock);
	for (;;) {
		struct watch *w = first_of(all);
		bool more;

		if (!w || w->due_ms > pmio_now_ms()) {
			wait_for_change(all, w);
			continue;
		}
		DL_DELETE(all->lists[w->wait], w);
		if (w->again)
			w->drained = w->again = false;
		if (first_of(all))
			start_thread(all); /* the present one may hang */
		pthread_mutex_unlock(&all->lock);
		more = step(w);
		pthread_mutex_lock(&all->lock);
		if (w->again)
			w->wait = 0;
		if (more || w->again) {
			put_back(w);
		} else {
			HASH_DEL(all->hash, w);
			free(w);
		}
	}
}

static int add(struct watches *all, const char *path)
{
	const size_t len = strlen(path);
	struct watch *w;

	HASH_FIND(hh, all->hash, path, len, w);
	if (w) {
		w->again = true;
		return 0;
	}
	w = calloc(1, sizeof(*w) + len + 1);
	if (!w)
		return -ENOMEM;
	start_thread(all);
	w->all = all;
	memcpy(w->path, path, len + 1);
	HASH_ADD(hh, all->hash, path, len, w);
	put_back(w);
	pthread_cond_signal(&all->changed);
	return 0;
}

/* ---- for the target ------------------------------------------------------------------------ */

struct watches *watches_new(struct workers *workers, const struct pmio_settings *settings, const uint8_t *uuid,
			    bool (*in_use)(void *arg, const uint8_t *id), void *arg)
{
	struct watches *all = calloc(1, sizeof(*all));
	pthread_condattr_t attr;

	if (!all)
		return NULL;
	all->workers = workers;
	all->settings = settings;
	all->uuid = uuid;
	all->in_use = in_use;
	all->arg = arg;
	pthread_mutex_init(&all->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&all->changed, &attr);
	pthread_condattr_destroy(&attr);
	return all;
}

int watches_add(struct watches *all, const char *path)
{
	int rc;

	pthread_mutex_lock(&all->lock);
	rc = add(all, path);
	pthread_mutex_unlock(&all->lock);
	return rc;
}

unsigned watches_count(struct watches *all)
{
	unsigned nr;

	pthread_mutex_lock(&all->lock);
	nr = HASH_COUNT(all->hash);
	pthread_mutex_unlock(&all->lock);
	return nr;
}
