/*
 * fork.c -- connections in a child of fork()
 *
 * They belong to the parent: answers of the agent would go to whichever process reads first.  So in the child every call
 * with them fails with -EBADF, and their descriptors are closed; it may connect again.  The pool stays mapped until the
 * child disconnects or ends, as the fork may happen within a signal handler.
 *
 * Other threads of the parent do not exist in the child, but the locks that they held do, and data that they were
 * changing: the locks are initialised again, answers of agents are forgotten, and the lists have a lock that fork()
 * itself takes.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "client/client.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all lists: no call is made while it is held */
static struct pmio *all;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void drop_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void forget_file(struct pmio_file *f)
{
	pthread_mutex_init(&f->lock, NULL);
	f->broken = -EBADF;
	memset(&f->cache, 0, sizeof(f->cache)); /* another thread may have been changing it */
	f->cache_epoch = 0;
	drop_fd(&f->pfs_fd);
	drop_fd(&f->direct_fd);
	drop_fd(&f->lock_fd);
	drop_fd(&f->map_fd[0]);
	drop_fd(&f->map_fd[1]);
	f->nr_maps[0] = f->nr_maps[1] = 0; /* mappings remain, and keep their lock: see lib/agent/mappings.c */
}

static void forget(struct pmio *pm)
{
	struct pmio_file *f;

	pthread_mutex_init(&pm->lock, NULL);
	pthread_mutex_init(&pm->intent_lock, NULL);
	drop_fd(&pm->sock);
	drop_fd(&pm->dir_fd);
	DL_FOREACH(pm->files, f)
		forget_file(f);
}

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
	pmio_pm_before_fork();
}

static void in_parent(void)
{
	pmio_pm_after_fork();
	pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
	struct pmio *pm;

	DL_FOREACH(all, pm)
		forget(pm);
	in_parent();
}

void client_in_copy(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	before_fork();
	in_child();
}

static void begin(void)
{
	pthread_atfork(before_fork, in_parent, in_child);
}

void client_add(struct pmio *pm)
{
	pthread_once(&once, begin);
	pthread_mutex_lock(&lock);
	DL_APPEND(all, pm);
	pthread_mutex_unlock(&lock);
}

void client_remove(struct pmio *pm)
{
	pthread_mutex_lock(&lock);
	DL_DELETE(all, pm);
	pthread_mutex_unlock(&lock);
}

void client_add_file(struct pmio_file *f)
{
	pthread_mutex_lock(&lock);
	DL_APPEND(f->pm->files, f);
	pthread_mutex_unlock(&lock);
}

void client_remove_file(struct pmio_file *f)
{
	pthread_mutex_lock(&lock);
	DL_DELETE(f->pm->files, f);
	pthread_mutex_unlock(&lock);
}
