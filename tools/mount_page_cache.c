/*
 * mount_page_cache.c -- pages that the kernel reads into its cache
 *
 * Data bypass the kernel's cache, but sendfile(), splice(), private mappings and the start of a program read into it,
 * and would later find pages there that other processes have overwritten since.  So these pages are dropped shortly
 * after they were read; the kernel itself drops them when they are overwritten through the mount, and when the file is
 * opened again.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "core/backoff.h"
#include "mount_impl.h"

#define KEPT_US 100000
#define NOTED_MAX 256 /* files; if there are more, the pages of those that were noted first are dropped at once */

struct mount_cached {
	struct mount *mount;
	pthread_mutex_t lock;
	pthread_cond_t any;
	fuse_ino_t noted[NOTED_MAX]; /* under lock; it does no harm if the kernel forgets one meanwhile */
	size_t nr;		     /* under lock */
};

static void drop(struct mount_cached *c, const fuse_ino_t *inos, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		fuse_lowlevel_notify_inval_inode(c->mount->session, inos[i], 0, 0);
}

/* in a thread of its own: it waits for pages that are being read */
static void *drop_them(void *arg)
{
	struct mount_cached *c = arg;
	fuse_ino_t inos[NOTED_MAX];

	for (;;) {
		size_t nr;

		pthread_mutex_lock(&c->lock);
		while (c->nr == 0)
			pthread_cond_wait(&c->any, &c->lock);
		pthread_mutex_unlock(&c->lock);
		pmio_sleep_us(KEPT_US);
		pthread_mutex_lock(&c->lock);
		nr = c->nr;
		for (size_t i = 0; i < nr; i++)
			inos[i] = c->noted[i];
		c->nr = 0;
		pthread_mutex_unlock(&c->lock);
		drop(c, inos, nr);
	}
	return NULL;
}

int mount_cached_init(struct mount *m)
{
	struct mount_cached *c = calloc(1, sizeof(*c));
	pthread_t thread;
	int err;

	if (!c)
		return -ENOMEM;
	c->mount = m;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->any, NULL);
	m->cached = c;
	err = pthread_create(&thread, NULL, drop_them, c);
	if (!err)
		pthread_detach(thread);
	return -err;
}

static bool is_noted(const struct mount_cached *c, fuse_ino_t ino)
{
	for (size_t i = c->nr; i > 0; i--) {
		if (c->noted[i - 1] == ino)
			return true;
	}
	return false;
}

void mount_cached_note(struct mount *m, fuse_ino_t ino)
{
	struct mount_cached *c = m->cached;

	pthread_mutex_lock(&c->lock);
	if (!is_noted(c, ino)) {
		c->noted[c->nr < NOTED_MAX ? c->nr++ : 0] = ino;
		pthread_cond_signal(&c->any);
	}
	pthread_mutex_unlock(&c->lock);
}
