/*
 * workers.c -- threads for calls that may block
 *
 * The file system may take a second for a call, or hang forever.  So there is always
 * one thread more than there are running jobs, and limits count only jobs that make
 * progress:
 *
 *   JOB_CALL   one call for a waiting client (open, stat, ...): starts at once
 *   JOB_BULK   moves bytes: `nr_bulk` of them at a time, or more if they mostly wait: each counts by the share of a
 *              processor that it needs, so that many calls are under way where each takes long (a network file system),
 *              and few where they are copies to memory.  One that has made no progress
 *              (job_alive) for STUCK_MS no longer counts, and jobs of other devices go
 *              before those of a device on which some are stuck.
 *
 * An idle thread checks that: while bulk jobs wait for their turn it wakes up from time
 * to time to see whether a running one has become stuck.  It also wakes up when a job of
 * workers_submit_after() is due.
 */
#include "daemon/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"

#define STUCK_MS 1000
#define THREADS_MAX 4096
#define WHOLE 1000	       /* a processor, as shares are counted */
#define LEAST 30	       /* a job's share at least: it needs memory, and others wait for what it waits for */
#define MEASURE_NS 5000000     /* a shorter time is not significant */
#define WATCH_MS 50	       /* how often waiting jobs are looked at; less than STUCK_MS */

struct workers {
	struct workers_config config;
	int event_fd;
	pthread_attr_t attr;
	pthread_mutex_t lock;	/* of all below */
	pthread_cond_t more;	/* jobs, or stop */
	pthread_cond_t ended;	/* a thread has ended */
	bool stop;
	unsigned nr_threads, nr_idle;
	struct job *calls;	/* to do, oldest first */
	struct job *bulk;	/* to do, oldest first */
	struct job *delayed;	/* to do later, the one that is due first is the first */
	struct job *running;	/* bulk jobs */
	uint64_t last_dev;	/* of the bulk job that ended last, and */
	unsigned last_share;	/* what it needed; 0: not known */
	struct job *finished;
};

static int64_t now_ms(void)
{
	return (int64_t)pmio_now_ms();
}

/* ---- what a job needs of a processor ------------------------------------------------------------ */

/*
 * CPU time of the calling thread, plus the time for which it waited for a processor: a machine that is busy otherwise must
 * not look like a slow file system.  From /proc/thread-self/schedstat (Linux, Documentation/scheduler/sched-stats.rst)
 */
static bool needed(uint64_t *ns)
{
	char text[64];
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	unsigned long long ran, waited;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%llu %llu", &ran, &waited) != 2)
		return false;
	*ns = ran + waited;
	return true;
}

static void begin_measuring(struct job *job)
{
	job->since_ns = needed(&job->needed_ns) ? pmio_now_ns() : 0;
}

static void measure(struct job *job)
{
	uint64_t now = pmio_now_ns(), need, share;

	if (job->since_ns == 0 || now - job->since_ns < MEASURE_NS || !needed(&need))
		return;
	share = (need - job->needed_ns) * WHOLE / (now - job->since_ns);
	job->since_ns = now;
	job->needed_ns = need;
	atomic_store(&job->share, (unsigned)(share < LEAST ? LEAST : share > WHOLE ? WHOLE : share));
}

void job_alive(struct job *job)
{
	atomic_store(&job->alive_ms, now_ms());
	measure(job);
}

/* the time for which it rests does not depend on the file system */
void job_resting(struct job *job, bool resting)
{
	atomic_store(&job->alive_ms, now_ms());
	atomic_store(&job->resting, resting);
	if (!resting && job->since_ns)
		begin_measuring(job);
}

/* ---- whose turn it is; lock held ------------------------------------------------- */

static bool is_stuck(const struct job *job, int64_t now)
{
	return !atomic_load(&job->resting) && now - atomic_load(&job->alive_ms) > STUCK_MS;
}

static bool device_is_stuck(const struct workers *w, uint64_t dev, int64_t now)
{
	const struct job *job;

	DL_FOREACH(w->running, job) {
		if (job->dev == dev && is_stuck(job, now))
			return true;
	}
	return false;
}

/* the share that a job of this device is likely to need: that of those that run, or of the last one */
static unsigned likely_share(const struct workers *w, uint64_t dev)
{
	unsigned sum = w->last_dev == dev ? w->last_share : 0, nr = sum != 0, share;
	const struct job *job;

	DL_FOREACH(w->running, job) {
		share = job->dev == dev ? atomic_load(&job->share) : 0;
		sum += share;
		nr += share != 0;
	}
	return nr ? sum / nr : WHOLE;
}

/* bulk jobs that run */
struct running {
	unsigned nr_busy, nr_stuck, nr_resting;
	unsigned share; /* of all busy ones */
};

static struct running count_running(const struct workers *w, int64_t now)
{
	struct running r = { 0 };
	const struct job *job;
	unsigned share;

	DL_FOREACH(w->running, job) {
		if (is_stuck(job, now)) {
			r.nr_stuck++;
		} else if (atomic_load(&job->resting)) {
			r.nr_resting++;
		} else {
			share = atomic_load(&job->share);
			r.nr_busy++;
			r.share += share ? share : WHOLE;
		}
	}
	return r;
}

/* is there room for one more of this device? */
static bool has_room(const struct workers *w, const struct running *r, uint64_t dev)
{
	if (r->nr_busy < w->config.nr_bulk)
		return true;
	return r->nr_busy < w->config.most_bulk && r->share + likely_share(w, dev) <= w->config.nr_bulk * WHOLE;
}

static struct job *next_bulk(struct workers *w)
{
	int64_t now = now_ms();
	struct running r;
	struct job *job, *on_stuck = NULL; /* the first job whose device has a stuck one */
	bool room = false;

	if (!w->bulk)
		return NULL;
	r = count_running(w, now);
	if (r.nr_busy >= w->config.nr_bulk && r.nr_busy >= w->config.most_bulk)
		return NULL;
	DL_FOREACH(w->bulk, job) {
		if (job == w->bulk || job->dev != job->prev->dev)
			room = has_room(w, &r, job->dev);
		if (!room)
			continue;
		if (job->throttled && r.nr_resting >= w->config.nr_bulk)
			continue;
		if (!r.nr_stuck || !device_is_stuck(w, job->dev, now))
			return job;
		if (!on_stuck)
			on_stuck = job;
	}
	return r.nr_stuck < w->config.nr_stuck ? on_stuck : NULL;
}

static void enqueue(struct workers *w, struct job *job)
{
	if (job->kind == JOB_CALL)
		DL_APPEND(w->calls, job);
	else if (job->high_priority)
		DL_PREPEND(w->bulk, job);
	else
		DL_APPEND(w->bulk, job);
}

static void enqueue_due(struct workers *w)
{
	int64_t now = w->delayed ? now_ms() : 0;
	struct job *job;

	while ((job = w->delayed) != NULL && job->due_ms <= now) {
		DL_DELETE(w->delayed, job);
		enqueue(w, job);
	}
}

static struct job *take_job(struct workers *w)
{
	struct job *job;

	enqueue_due(w);
	job = w->calls;
	if (job) {
		DL_DELETE(w->calls, job);
		return job;
	}
	job = next_bulk(w);
	if (job) {
		DL_DELETE(w->bulk, job);
		atomic_store(&job->share, likely_share(w, job->dev) % WHOLE); /* 0: not known */
		job->since_ns = 0; /* run_job() begins to measure, without the lock */
		job_resting(job, false);
		DL_APPEND(w->running, job);
	}
	return job;
}

/* ---- threads ----------------------------------------------------------------------- */

static void wait_for_more(struct workers *w)
{
	int64_t at = w->bulk ? now_ms() + WATCH_MS : INT64_MAX;
	struct timespec until;

	if (w->delayed && w->delayed->due_ms < at)
		at = w->delayed->due_ms;
	if (at == INT64_MAX) {
		pthread_cond_wait(&w->more, &w->lock);
		return;
	}
	until = pmio_timespec((uint64_t)at);
	pthread_cond_timedwait(&w->more, &w->lock, &until);
}

static void *work(void *arg);

/* lock held: one more idle thread */
static int add_thread(struct workers *w)
{
	static bool warned;
	pthread_t thread;
	int rc = w->nr_threads < THREADS_MAX ? -pthread_create(&thread, &w->attr, work, w) : -EAGAIN;

	if (rc == 0) {
		w->nr_threads++;
		w->nr_idle++;
	} else if (!warned) {
		pmio_warn("%s: cannot start more than %u threads: %s", w->config.daemon, w->nr_threads, pmio_strerror(rc));
		warned = true;
	}
	return rc;
}

static void run_job(struct workers *w, struct job *job)
{
	bool is_bulk = job->kind == JOB_BULK, has_done = job->done;
	void (*ended)(struct job *job) = job->ended;
	uint64_t one = 1;

	w->nr_idle--;
	if (w->nr_idle == 0)
		add_thread(w); /* if that fails, the next job waits for a running one to end */
	else if (w->bulk || w->delayed)
		pthread_cond_signal(&w->more); /* another thread has to watch the remaining jobs */
	pthread_mutex_unlock(&w->lock);
	if (is_bulk && w->config.most_bulk > w->config.nr_bulk)
		begin_measuring(job);
	job->run(job);
	pthread_mutex_lock(&w->lock);
	if (is_bulk) {
		DL_DELETE(w->running, job);
		w->last_dev = job->dev;
		w->last_share = atomic_load(&job->share);
	}
	if (has_done) {
		DL_APPEND(w->finished, job);
		if (write(w->event_fd, &one, sizeof(one)) < 0)
			pmio_err("%s: eventfd: %s", w->config.daemon, strerror(errno));
	} else if (ended) {
		pthread_mutex_unlock(&w->lock);
		ended(job);
		pthread_mutex_lock(&w->lock);
	}
	w->nr_idle++;
}

static void *work(void *arg)
{
	struct workers *w = arg;
	struct job *job;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		job = w->stop ? NULL : take_job(w);
		if (job)
			run_job(w, job);
		else if (w->stop || w->nr_idle > w->config.nr_idle)
			break;
		else
			wait_for_more(w);
	}
	w->nr_idle--;
	w->nr_threads--;
	pthread_cond_broadcast(&w->ended);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* ---- for the daemon --------------------------------------------------------------------- */

static int init(struct workers *w)
{
	pthread_condattr_t attr;
	int rc;

	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->more, &attr);
	pthread_cond_init(&w->ended, &attr);
	pthread_condattr_destroy(&attr);
	pthread_attr_init(&w->attr);
	pthread_attr_setdetachstate(&w->attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&w->attr, w->config.stack_size);
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->event_fd < 0)
		return -errno;
	pthread_mutex_lock(&w->lock);
	rc = add_thread(w);
	pthread_mutex_unlock(&w->lock);
	return rc;
}

int workers_new(const struct workers_config *config, struct workers **out)
{
	struct workers *w = calloc(1, sizeof(*w));
	int rc;

	*out = NULL;
	if (!w)
		return -ENOMEM;
	w->config = *config;
	rc = init(w);
	if (rc < 0) {
		pmio_err("%s: worker threads: %s", config->daemon, pmio_strerror(rc));
		workers_delete(&w, 0);
		return rc;
	}
	*out = w;
	return 0;
}

/*
 * Jobs that are not done when the daemon leaves end with the process, such as closes of
 * files; they are kept here, or they would look like leaked memory.
 */
static struct workers *volatile left_behind;

bool workers_delete(struct workers **pw, unsigned limit_ms)
{
	struct workers *w = *pw;
	struct timespec until = pmio_timespec(pmio_now_ms() + limit_ms);
	unsigned left;

	*pw = NULL;
	if (!w)
		return true;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->more);
	while (w->nr_threads && pthread_cond_timedwait(&w->ended, &w->lock, &until) == 0)
		;
	left = w->nr_threads;
	pthread_mutex_unlock(&w->lock);
	if (left)
		return false; /* those threads use w as long as they exist */
	if (w->event_fd >= 0)
		close(w->event_fd);
	pthread_attr_destroy(&w->attr);
	pthread_cond_destroy(&w->more);
	pthread_cond_destroy(&w->ended);
	pthread_mutex_destroy(&w->lock);
	if (w->calls || w->bulk || w->delayed || w->finished)
		left_behind = w;
	else
		free(w);
	return true;
}

int workers_event_fd(const struct workers *w)
{
	return w->event_fd;
}

/* there may be room for a thread now; lock held */
static void wake(struct workers *w)
{
	if (w->nr_idle == 0)
		add_thread(w);
	pthread_cond_signal(&w->more);
}

void workers_submit(struct workers *w, struct job *job)
{
	pthread_mutex_lock(&w->lock);
	enqueue(w, job);
	wake(w);
	pthread_mutex_unlock(&w->lock);
}

void workers_submit_after(struct workers *w, struct job *job, unsigned delay_ms)
{
	struct job *earlier;

	job->due_ms = now_ms() + delay_ms;
	pthread_mutex_lock(&w->lock);
	earlier = w->delayed ? w->delayed->prev : NULL; /* the last one */
	while (earlier && earlier->due_ms > job->due_ms)
		earlier = earlier == w->delayed ? NULL : earlier->prev;
	DL_APPEND_ELEM(w->delayed, earlier, job);
	wake(w);
	pthread_mutex_unlock(&w->lock);
}

void workers_reap(struct workers *w, void *daemon)
{
	struct job *list, *job;
	uint64_t n;

	if (read(w->event_fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		pmio_err("%s: eventfd: %s", w->config.daemon, strerror(errno));
	pthread_mutex_lock(&w->lock);
	list = w->finished;
	w->finished = NULL;
	pthread_mutex_unlock(&w->lock);
	while ((job = list) != NULL) {
		DL_DELETE(list, job);
		job->done(daemon, job);
	}
}
