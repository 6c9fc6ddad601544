#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/agent_impl.h"

struct workers {
	pthread_t *threads;
	unsigned nr;
	int event_fd;
	bool stop;		/* under lock */
	struct job *todo, **todo_tail;	/* under lock */
	struct job *finished;	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t more;
};

static struct job *next_job(struct workers *w)
{
	struct job *job;

	pthread_mutex_lock(&w->lock);
	while (!w->todo && !w->stop)
		pthread_cond_wait(&w->more, &w->lock);
	job = w->todo;
	if (job) {
		w->todo = job->next;
		if (!w->todo)
			w->todo_tail = &w->todo;
	}
	pthread_mutex_unlock(&w->lock);
	return job;
}

static void *work(void *arg)
{
	struct workers *w = arg;
	struct job *job;

	while ((job = next_job(w)) != NULL) {
		uint64_t one = 1;

		job->run(job);
		pthread_mutex_lock(&w->lock);
		job->next = w->finished;
		w->finished = job;
		pthread_mutex_unlock(&w->lock);
		if (write(w->event_fd, &one, sizeof(one)) < 0)
			pmio_err("agent: eventfd: %s", strerror(errno));
	}
	return NULL;
}

static void stop(struct workers *w)
{
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->more);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->nr; i++)
		pthread_join(w->threads[i], NULL);
}

int workers_new(unsigned nr, struct workers **out)
{
	struct workers *w = calloc(1, sizeof(*w));
	int rc;

	*out = NULL;
	if (!w)
		return -ENOMEM;
	w->todo_tail = &w->todo;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	w->threads = calloc(nr, sizeof(*w->threads));
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!w->threads || w->event_fd < 0) {
		rc = w->threads ? -errno : -ENOMEM;
		goto err;
	}
	for (; w->nr < nr; w->nr++) {
		rc = -pthread_create(&w->threads[w->nr], NULL, work, w);
		if (rc < 0)
			goto err;
	}
	*out = w;
	return 0;
err:
	pmio_err("agent: worker threads: %s", pmio_strerror(rc));
	workers_delete(&w);
	return rc;
}

void workers_delete(struct workers **pw)
{
	struct workers *w = *pw;

	*pw = NULL;
	if (!w)
		return;
	stop(w);
	if (w->event_fd >= 0)
		close(w->event_fd);
	pthread_cond_destroy(&w->more);
	pthread_mutex_destroy(&w->lock);
	free(w->threads);
	free(w);
}

int workers_event_fd(const struct workers *w)
{
	return w->event_fd;
}

void workers_submit(struct workers *w, struct job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&w->lock);
	*w->todo_tail = job;
	w->todo_tail = &job->next;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
}

void workers_reap(struct workers *w, struct agent *agent)
{
	struct job *list, *job;
	uint64_t n;

	if (read(w->event_fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		pmio_err("agent: eventfd: %s", strerror(errno));
	pthread_mutex_lock(&w->lock);
	list = w->finished;
	w->finished = NULL;
	pthread_mutex_unlock(&w->lock);
	while ((job = list) != NULL) {
		list = job->next;
		job->done(agent, job);
	}
}
