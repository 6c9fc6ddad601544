/*
 * mount_lock.c -- locks of programs, taken on the underlying file, so that programs that do not use the mount see them
 *
 * For each owner of fcntl() locks, that is a process, there is an open file description of each file that it locks,
 * with OFD locks; the owner of a flock() lock is a handle, and has one, too.  For OFD locks of programs the kernel
 * gives the handle as the owner, not the process, and it reports no close of that owner, so these locks are released
 * with the handle, shortly after the last close.  The bytes beyond 2^62 are libpmio's (lib/pfs/exclusion.c).
 *
 * Requests that wait for a lock do not occupy a thread, as unlock requests need threads.  One thread retries all of
 * them.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "core/backoff.h"
#include "mount_impl.h"

#define LOCKS_END ((off_t)1 << 62)
#define POLL_MIN_US 200
#define POLL_MAX_US 20000

struct mount_owner {
	struct mount_owner *next; /* node->owners */
	uint64_t id;
	const struct mount_handle *handle; /* with which it locked last */
	int fd;
};

struct wait {
	struct wait *prev, *next;
	fuse_req_t req;
	struct mount_handle *handle; /* stays: its file is open as long as a request waits */
	uint64_t owner;
	struct flock fl;
	int flock_op;		/* 0: fcntl() */
};

struct mount_waits {
	pthread_mutex_t lock;	/* taken before a node's lock */
	pthread_cond_t any;
	struct wait *all;	/* under lock */
	bool ended;		/* under lock */
};

/* ---- one try ---------------------------------------------------------------------------------- */

static int open_to_lock(const struct mount_node *node)
{
	static const int how[] = { O_RDWR, O_RDONLY, O_WRONLY };
	int fd = -1;

	for (int i = 0; i < 3 && fd < 0; i++)
		fd = open(MOUNT_PROC(node->fd), how[i] | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* node->lock held */
static int owner_fd(struct mount_handle *h, uint64_t id)
{
	struct mount_node *node = h->node;
	struct mount_owner *o;

	LL_SEARCH_SCALAR(node->owners, o, id, id);
	if (o) {
		o->handle = h;
		return o->fd;
	}
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->id = id;
	o->handle = h;
	o->fd = open_to_lock(node);
	if (o->fd < 0) {
		int rc = o->fd;

		free(o);
		return rc;
	}
	LL_PREPEND(node->owners, o);
	return o->fd;
}

/* -EINVAL: it begins where no data can be */
static int clip(struct flock *fl)
{
	if (fl->l_start >= LOCKS_END)
		return -EINVAL;
	if (fl->l_len == 0 || fl->l_len > LOCKS_END - fl->l_start)
		fl->l_len = LOCKS_END - fl->l_start;
	fl->l_pid = 0; /* required for OFD locks */
	return 0;
}

static int try_fcntl(struct mount_handle *h, uint64_t owner, int how, struct flock *fl)
{
	struct mount_node *node = h->node;
	int fd, rc;

	pthread_mutex_lock(&node->lock);
	fd = owner_fd(h, owner);
	rc = fd < 0 ? fd : fcntl(fd, how, fl) < 0 ? -errno : 0;
	pthread_mutex_unlock(&node->lock);
	return rc == -EACCES ? -EAGAIN : rc;
}

static int try_flock(struct mount_handle *h, int op)
{
	int rc;

	pthread_mutex_lock(&h->node->lock);
	if (h->flock_fd < 0)
		h->flock_fd = open_to_lock(h->node);
	rc = h->flock_fd < 0 ? h->flock_fd : flock(h->flock_fd, op | LOCK_NB) < 0 ? -errno : 0;
	pthread_mutex_unlock(&h->node->lock);
	return rc;
}

void mount_locks_drop(struct mount_node *node, uint64_t id)
{
	struct mount_owner *o;

	pthread_mutex_lock(&node->lock);
	LL_SEARCH_SCALAR(node->owners, o, id, id);
	if (o)
		LL_DELETE(node->owners, o);
	pthread_mutex_unlock(&node->lock);
	if (!o)
		return;
	close(o->fd);
	free(o);
}

void mount_locks_drop_all(const struct mount_handle *h)
{
	struct mount_owner *o, *tmp;

	pthread_mutex_lock(&h->node->lock);
	LL_FOREACH_SAFE(h->node->owners, o, tmp) {
		if (o->handle != h)
			continue;
		LL_DELETE(h->node->owners, o);
		close(o->fd);
		free(o);
	}
	pthread_mutex_unlock(&h->node->lock);
}

/* ---- waiting -------------------------------------------------------------------------------------- */

static int try_wait(struct wait *w)
{
	struct flock fl = w->fl;

	if (fuse_req_interrupted(w->req))
		return -EINTR;
	return w->flock_op ? try_flock(w->handle, w->flock_op) : try_fcntl(w->handle, w->owner, F_OFD_SETLK, &fl);
}

/* waits->lock held; true: at least one request got its lock */
static bool try_all(struct mount_waits *waits)
{
	struct wait *w, *tmp;
	bool any = false;

	DL_FOREACH_SAFE(waits->all, w, tmp) {
		int rc = try_wait(w);

		if (rc == -EAGAIN)
			continue;
		any = true;
		DL_DELETE(waits->all, w);
		fuse_reply_err(w->req, -rc);
		free(w);
	}
	return any;
}

static void *serve_waits(void *arg)
{
	struct mount_waits *waits = arg;
	unsigned pause_us = POLL_MIN_US;

	pthread_mutex_lock(&waits->lock);
	while (!waits->ended) {
		if (!waits->all) {
			pause_us = POLL_MIN_US;
			pthread_cond_wait(&waits->any, &waits->lock);
			continue;
		}
		pthread_mutex_unlock(&waits->lock);
		pmio_sleep_us(pause_us);
		pthread_mutex_lock(&waits->lock);
		pause_us = try_all(waits) ? POLL_MIN_US : pause_us < POLL_MAX_US / 2 ? pause_us * 2 : POLL_MAX_US;
	}
	pthread_mutex_unlock(&waits->lock);
	return NULL;
}

static void add_wait(struct mount_waits *waits, const struct wait *what)
{
	struct wait *w = malloc(sizeof(*w));

	if (!w) {
		fuse_reply_err(what->req, ENOLCK);
		return;
	}
	*w = *what;
	pthread_mutex_lock(&waits->lock);
	DL_APPEND(waits->all, w);
	pthread_cond_signal(&waits->any);
	pthread_mutex_unlock(&waits->lock);
}

int mount_locks_init(struct mount *m)
{
	struct mount_waits *waits = calloc(1, sizeof(*waits));
	pthread_t thread;
	int err;

	if (!waits)
		return -ENOMEM;
	pthread_mutex_init(&waits->lock, NULL);
	pthread_cond_init(&waits->any, NULL);
	m->waits = waits;
	err = pthread_create(&thread, NULL, serve_waits, waits);
	if (!err)
		pthread_detach(thread);
	return -err;
}

void mount_locks_end(struct mount *m)
{
	struct wait *w, *tmp;

	pthread_mutex_lock(&m->waits->lock);
	m->waits->ended = true;
	DL_FOREACH_SAFE(m->waits->all, w, tmp) {
		DL_DELETE(m->waits->all, w);
		fuse_reply_err(w->req, EINTR);
		free(w);
	}
	pthread_cond_signal(&m->waits->any);
	pthread_mutex_unlock(&m->waits->lock);
}

/* ---- operations ------------------------------------------------------------------------------------- */

static struct mount_handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct mount_handle *)(uintptr_t)fi->fh;
}

void mount_op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *fl)
{
	int rc = clip(fl);

	(void)ino;
	if (rc == 0)
		rc = try_fcntl(handle_of(fi), fi->lock_owner, F_OFD_GETLK, fl);
	if (rc < 0) {
		fuse_reply_err(req, mount_errno(rc));
		return;
	}
	fl->l_pid = 0; /* the lock is held by a description, not by a process */
	fuse_reply_lock(req, fl);
}

void mount_op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *fl, int sleep)
{
	struct mount *m = fuse_req_userdata(req);
	struct wait w = { .req = req, .handle = handle_of(fi), .owner = fi->lock_owner };
	int rc = clip(fl);

	(void)ino;
	w.fl = *fl;
	if (rc == 0)
		rc = try_fcntl(w.handle, w.owner, F_OFD_SETLK, fl);
	if (rc == -EAGAIN && sleep)
		add_wait(m->waits, &w);
	else
		fuse_reply_err(req, -rc);
}

void mount_op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct mount *m = fuse_req_userdata(req);
	struct wait w = { .req = req, .handle = handle_of(fi), .flock_op = op & ~LOCK_NB };
	int rc = try_flock(w.handle, op);

	(void)ino;
	if (rc == -EAGAIN && !(op & LOCK_NB))
		add_wait(m->waits, &w);
	else
		fuse_reply_err(req, -rc);
}
