/* opening, closing and what else is done to a file as a whole */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#include "client/client.h"
#include "core/error.h"
#include "core/path.h"

uint32_t client_settings_flags(const struct pmio_settings *s)
{
	uint32_t flags = 0;

	if (s->num[PMIO_SET_DRAIN] == PMIO_DRAIN_ASYNC || s->num[PMIO_SET_DRAIN] == PMIO_DRAIN_AGGREGATE)
		flags |= PMIO_OPEN_ASYNC;
	if (s->num[PMIO_SET_DRAIN] == PMIO_DRAIN_HOLD)
		flags |= PMIO_OPEN_HOLD;
	if (s->num[PMIO_SET_DRAIN_EARLY] != 0)
		flags |= PMIO_OPEN_EARLY;
	if (s->num[PMIO_SET_CACHE] == PMIO_CACHE_DROP)
		flags |= PMIO_OPEN_DROP;
	if (s->num[PMIO_SET_FALLBACK] != 0)
		flags |= PMIO_OPEN_NO_PFS;
	if (s->num[PMIO_SET_VERIFY] != 0)
		flags |= PMIO_OPEN_VERIFY;
	return flags;
}

static int to_flags(const struct pmio_settings *s, int oflags, uint32_t *flags)
{
	const int known = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC | O_NOCTTY;
	int access_mode = oflags & O_ACCMODE;

	*flags = 0;
	if (oflags & ~known || (oflags & O_EXCL && !(oflags & O_CREAT)))
		return -EINVAL;
	if (access_mode == O_RDONLY || access_mode == O_RDWR)
		*flags |= PMIO_OPEN_READ;
	if (access_mode == O_WRONLY || access_mode == O_RDWR)
		*flags |= PMIO_OPEN_WRITE;
	if (!*flags || (oflags & O_TRUNC && access_mode == O_RDONLY))
		return -EINVAL;
	if (oflags & O_CREAT)
		*flags |= PMIO_OPEN_CREATE;
	if (oflags & O_EXCL)
		*flags |= PMIO_OPEN_EXCL;
	*flags |= client_settings_flags(s);
	return 0;
}

/* the file's mode after the umask; umask() can only be read by setting it, so ask the kernel */
mode_t client_apply_umask(mode_t mode)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned mask = 022;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Umask: %o", &mask) == 1)
			break;
	}
	if (f)
		fclose(f);
	return mode & ~(mode_t)mask & 07777;
}

void client_free_file(struct pmio_file *f)
{
	if (f->pfs_fd >= 0)
		close(f->pfs_fd);
	if (f->lock_fd >= 0)
		close(f->lock_fd);
	pthread_mutex_destroy(&f->lock);
	free(f->cache);
	free(f->path);
	free(f);
}

static struct pmio_file *alloc_file(struct pmio *pm, const char *path, uint32_t flags)
{
	struct pmio_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->pm = pm;
	f->chunk_size = pm->view->chunk_size;
	f->pfs_fd = f->lock_fd = -1;
	f->flags = flags & ~(PMIO_OPEN_CREATE | PMIO_OPEN_EXCL);
	pthread_mutex_init(&f->lock, NULL);
	f->path = strdup(path);
	if (!f->path) {
		client_free_file(f);
		return NULL;
	}
	return f;
}

static int take_reply(struct pmio_file *f, const struct pmio_open_reply_msg *r)
{
	if (r->slot >= f->pm->view->nr_slots)
		return PMIO_EPROTO;
	f->handle = r->handle;
	f->slot = r->slot;
	f->dev = r->dev;
	f->ino = r->ino;
	return 0;
}

int client_open(struct pmio *pm, const char *path, const struct client_open *how,
		struct pmio_file **out)
{
	union pmio_any_msg msg, reply;
	struct pmio_file *f;
	int rc;

	*out = NULL;
	pmio_proto_request(&msg, PMIO_OP_OPEN, 0);
	/* names go to the agent as absolute ones: it has another working directory */
	rc = pmio_absolute(path, msg.open.path, sizeof(msg.open.path));
	if (rc < 0)
		goto err;
	f = alloc_file(pm, msg.open.path, how->flags);
	if (!f) {
		rc = -ENOMEM;
		goto err;
	}
	msg.open.flags = how->flags;
	msg.open.mode = how->flags & PMIO_OPEN_CREATE ? client_apply_umask(how->mode) : 0;
	rc = client_pool_call(pm, &msg, &reply);
	if (rc == 0)
		rc = take_reply(f, &reply.open_reply);
	if (rc < 0)
		goto err_file;
	if (reply.open_reply.error && how->notice)
		pmio_warn("open %s: what an earlier program wrote could not be drained: %s; it is in the pool",
			  path, strerror(reply.open_reply.error));
	f->cache_epoch = pm->epoch;
	pthread_mutex_lock(&pm->lock);
	DL_APPEND(pm->files, f);
	pthread_mutex_unlock(&pm->lock);
	*out = f;
	return 0;

err_file:
	client_free_file(f);
err:
	if (!how->quiet)
		pmio_err("open %s: %s", path, pmio_strerror(rc));
	return rc;
}

int pmio_open(struct pmio *pm, const char *path, int flags, mode_t mode, struct pmio_file **out)
{
	struct client_open how = { .mode = mode, .notice = true };
	int rc;

	*out = NULL;
	rc = to_flags(&pm->settings, flags, &how.flags);
	if (rc < 0) {
		pmio_err("open %s: bad flags %#o", path, (unsigned)flags);
		return rc;
	}
	rc = client_open(pm, path, &how, out);
	if (rc < 0 || !(flags & O_TRUNC))
		return rc;
	rc = pmio_truncate(*out, 0);
	if (rc < 0)
		pmio_close(out);
	return rc;
}

static int close_file(struct pmio_file **pf, uint32_t flags)
{
	union pmio_any_msg msg, reply;
	struct pmio_file *f = *pf;
	int rc;

	*pf = NULL;
	if (!f)
		return 0;
	if (f->ops)
		return f->ops->end(f, flags);
	pmio_proto_request(&msg, PMIO_OP_CLOSE, 0);
	msg.close.flags = flags;
	msg.close.counts = f->counts;
	rc = client_file_call(f, &msg, &reply, NULL);
	if (rc < 0)
		pmio_err("close %s: %s", f->path, pmio_strerror(rc));
	pthread_mutex_lock(&f->pm->lock);
	DL_DELETE(f->pm->files, f);
	pthread_mutex_unlock(&f->pm->lock);
	client_free_file(f);
	return rc;
}

int pmio_close(struct pmio_file **file)
{
	return close_file(file, 0);
}

int pmio_close_discard(struct pmio_file **file)
{
	return close_file(file, PMIO_CLOSE_DISCARD);
}

int pmio_size(struct pmio_file *f, off_t *size)
{
	uint64_t n;

	if (f->ops)
		return f->ops->size(f, size);
	n = pmio_pm_load64(&client_slot(f)->size);
	if (f->broken)
		return f->broken;
	if (n > INT64_MAX)
		return PMIO_EDAMAGED;
	*size = (off_t)n;
	return 0;
}

int pmio_truncate(struct pmio_file *f, off_t size)
{
	union pmio_any_msg msg, reply;
	int rc;

	if (size < 0)
		return -EINVAL;
	if (!(f->flags & PMIO_OPEN_WRITE))
		return -EBADF;
	if (f->ops)
		return f->ops->truncate(f, (uint64_t)size);
	pmio_proto_request(&msg, PMIO_OP_TRUNCATE, 0);
	msg.truncate.size = (uint64_t)size;
	rc = client_file_call(f, &msg, &reply, NULL);
	if (rc < 0)
		pmio_err("truncate %s: %s", f->path, pmio_strerror(rc));
	return rc;
}

int pmio_sync(struct pmio_file *f)
{
	union pmio_any_msg msg, reply;
	int rc;

	if (f->ops)
		return f->ops->sync(f);
	/* elsewhere each write was durable when it returned */
	if (pmio_pm_granularity(f->pm->view->pm) != PMIO_PM_PAGE && f->pfs_fd < 0)
		return f->broken;
	pmio_proto_request(&msg, PMIO_OP_SYNC, 0);
	rc = client_file_call(f, &msg, &reply, NULL);
	if (rc < 0)
		pmio_err("sync %s: %s", f->path, pmio_strerror(rc));
	return rc;
}

int pmio_drain(struct pmio_file *f)
{
	union pmio_any_msg msg, reply;
	int rc;

	if (f->ops)
		return f->ops->drain(f);
	pmio_proto_request(&msg, PMIO_OP_DRAIN, 0);
	rc = client_file_call(f, &msg, &reply, NULL);
	if (rc < 0)
		pmio_err("drain %s: %s", f->path, pmio_strerror(rc));
	return rc;
}

int client_delete(struct pmio *pm, const char *path, bool quiet)
{
	union pmio_any_msg msg, reply;
	int rc;

	pmio_proto_request(&msg, PMIO_OP_DELETE, 0);
	rc = pmio_absolute(path, msg.path.path, sizeof(msg.path.path));
	if (rc == 0)
		rc = client_pool_call(pm, &msg, &reply);
	if (rc < 0 && !quiet)
		pmio_err("delete %s: %s", path, pmio_strerror(rc));
	return rc;
}

int pmio_delete(struct pmio *pm, const char *path)
{
	return client_delete(pm, path, false);
}

/* an open file description of our own, so that the lock is this handle's */
static int lock_fd(struct pmio_file *f)
{
	int rc;

	pthread_mutex_lock(&f->lock);
	if (f->lock_fd < 0)
		f->lock_fd = openat(f->pm->dir_fd, PMIO_LOCK_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	rc = f->lock_fd < 0 ? -errno : f->lock_fd;
	pthread_mutex_unlock(&f->lock);
	return rc;
}

static int set_lock(struct pmio_file *f, int how, short type)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = f->slot, .l_len = 1 };
	int fd = lock_fd(f), rc;

	if (fd < 0)
		return fd;
	do
		rc = fcntl(fd, how, &fl) < 0 ? -errno : 0;
	while (rc == -EINTR);
	if (rc == -EACCES) /* another word for the same */
		rc = -EAGAIN;
	if (rc < 0 && rc != -EAGAIN)
		pmio_err("lock %s: %s", f->path, pmio_strerror(rc));
	return rc;
}

int client_lock(struct pmio_file *f)
{
	return f->ops ? f->ops->lock(f) : set_lock(f, F_OFD_SETLKW, F_WRLCK);
}

int client_try_lock(struct pmio_file *f)
{
	return set_lock(f, F_OFD_SETLK, F_WRLCK);
}

void client_unlock(struct pmio_file *f)
{
	if (f->ops)
		f->ops->unlock(f);
	else
		set_lock(f, F_OFD_SETLK, F_UNLCK);
}

void client_identity(const struct pmio_file *f, uint64_t *dev, uint64_t *ino)
{
	*dev = f->dev;
	*ino = f->ino;
}
