/*
 * deferred.c -- transfers of nonblocking calls that have to wait: a thread makes them, one after the other
 *
 * Each file has a thread of its own, from its first such transfer to its close, so a file whose node does not answer
 * does not delay other files.  The thread makes no MPI calls, because a program may have initialized MPI for one thread
 * only; request.c completes the requests.
 */
#include "engine.h"
#include "deferred.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

struct later {
	pthread_mutex_t lock;
	pthread_cond_t come; /* a deferred transfer has been added, or the thread is to end */
	pthread_cond_t gone; /* the last one has been done */
	struct deferred *first, **last; /* in the order of the calls */
	unsigned nr;	      /* those that are not done, with the one under way */
	bool ends;
	pthread_t thread;
};

static struct deferred *next_deferred(struct later *l)
{
	struct deferred *j;

	pthread_mutex_lock(&l->lock);
	while (!l->first && !l->ends)
		pthread_cond_wait(&l->come, &l->lock);
	j = l->first;
	if (j) {
		l->first = j->next;
		if (!l->first)
			l->last = &l->first;
	}
	pthread_mutex_unlock(&l->lock);
	return j;
}

static void *work(void *arg)
{
	struct later *l = arg;
	struct deferred *j;

	while ((j = next_deferred(l))) {
		j->rc = engine_transfer_run(j->transfer, &j->bytes);
		j->over(j); /* it may be freed from now on */
		pthread_mutex_lock(&l->lock);
		if (--l->nr == 0)
			pthread_cond_broadcast(&l->gone);
		pthread_mutex_unlock(&l->lock);
	}
	return NULL;
}

/* signals are for the program's threads */
static int start_thread(struct later *l)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	rc = -pthread_create(&l->thread, NULL, work, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static void free_later(struct later *l)
{
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->come);
	pthread_cond_destroy(&l->gone);
	free(l);
}

static struct later *new_later(void)
{
	struct later *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->come, NULL);
	pthread_cond_init(&l->gone, NULL);
	l->last = &l->first;
	if (start_thread(l) == 0)
		return l;
	free_later(l);
	return NULL;
}

bool engine_later_ready(struct pmio_mpi_file *f)
{
	pthread_mutex_lock(&f->later_lock);
	if (!f->later)
		f->later = new_later();
	pthread_mutex_unlock(&f->later_lock);
	return f->later != NULL;
}

void engine_later_add(struct pmio_mpi_file *f, struct deferred *j)
{
	struct later *l = f->later;

	j->next = NULL;
	pthread_mutex_lock(&l->lock);
	*l->last = j;
	l->last = &j->next;
	l->nr++;
	pthread_cond_signal(&l->come);
	pthread_mutex_unlock(&l->lock);
}

void engine_later_wait(struct pmio_mpi_file *f)
{
	struct later *l;

	pthread_mutex_lock(&f->later_lock);
	l = f->later;
	pthread_mutex_unlock(&f->later_lock);
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	while (l->nr)
		pthread_cond_wait(&l->gone, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

void engine_later_end(struct pmio_mpi_file *f)
{
	struct later *l = f->later;

	if (!l)
		return;
	f->later = NULL;
	pthread_mutex_lock(&l->lock);
	l->ends = true;
	pthread_cond_signal(&l->come);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL); /* after the last one */
	free_later(l);
}
