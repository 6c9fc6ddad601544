/*
 * watch.c -- files that are drained after their last close
 *
 * Each is a job of the target's workers: one step for the file at a time, and after a wait the next one.  Steps
 * wait for agent and file system; one that hangs holds a thread, and the others continue.
 */
#include "target/watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "client/admin.h"
#include "client/client.h"
#include "remote/remote.h"

#define NR_WAITS 14	  /* 0, 10 ms, and then each twice as long, up to 41 s */
#define WAIT_FIRST_MS 10u
#define WAIT_DRAIN 8	  /* the first wait after a failed drain: 1.3 s */
#define WAIT_SETTLE_MAX 10 /* 5 s */

struct watch {
	struct job job;		/* first */
	struct watches *all;
	bool again;		/* it was closed again; under the lock of all, the others are the running job's */
	bool more;		/* the last step has left something to do */
	bool drained;
	unsigned wait;		/* before the next step: 0, or so often doubled */
	UT_hash_handle hh;
	char path[];		/* key */
};

struct watches {
	struct workers *workers;
	const struct pmio_settings *settings;
	const uint8_t *uuid;
	bool (*is_active)(void *arg, const uint8_t *id);
	void *arg;
	pthread_mutex_t lock;
	struct watch *hash;	/* under lock */
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
		remote_layout_file_drained(w->path, all->uuid, drain_once, w);
		w->drained = true;
		w->wait = 0;
	}
	if (remote_layout_file_settle(w->path, all->uuid, all->is_active, all->arg) != -EAGAIN)
		return false;
	w->wait += w->wait < WAIT_SETTLE_MAX;
	return true;
}

static void run(struct job *job)
{
	struct watch *w = (struct watch *)job;
	struct watches *all = w->all;

	pthread_mutex_lock(&all->lock);
	if (w->again)
		w->drained = w->again = false;
	pthread_mutex_unlock(&all->lock);
	w->more = step(w);
}

static void ended(struct job *job)
{
	struct watch *w = (struct watch *)job;
	struct watches *all = w->all;

	pthread_mutex_lock(&all->lock);
	if (w->again)
		w->wait = 0;
	if (!w->more && !w->again) {
		HASH_DEL(all->hash, w);
		pthread_mutex_unlock(&all->lock);
		free(w);
		return;
	}
	pthread_mutex_unlock(&all->lock);
	workers_submit_after(all->workers, job, w->wait ? WAIT_FIRST_MS << (w->wait - 1) : 0);
}

/* lock held */
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
	w->job = (struct job){ .run = run, .ended = ended, .kind = JOB_BULK };
	w->all = all;
	memcpy(w->path, path, len + 1);
	HASH_ADD(hh, all->hash, path, len, w);
	workers_submit(all->workers, &w->job);
	return 0;
}

/* ---- for the target ------------------------------------------------------------------------ */

struct watches *watches_new(struct workers *workers, const struct pmio_settings *settings, const uint8_t *uuid,
			    bool (*is_active)(void *arg, const uint8_t *id), void *arg)
{
	struct watches *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	all->workers = workers;
	all->settings = settings;
	all->uuid = uuid;
	all->is_active = is_active;
	all->arg = arg;
	pthread_mutex_init(&all->lock, NULL);
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
