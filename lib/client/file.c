/* file.c -- opening, closing and other operations on a file as a whole */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"
#include "core/backoff.h"
#include "core/error.h"
#include "core/fds.h"
#include "core/path.h"
#include "pfs/pfs.h"

#define KERNEL_LARGEFILE 0100000 /* F_GETFL shows it on x86; to the C library it is 0 there */
#define TAKE_LIMIT_MS 1300 /* for another pool that has the file and is about to release it */
#define REMOVED_MAX 100 /* tries to open a file while its removal is under way */

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
	const int known = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_SYNC | O_DSYNC | O_NOFOLLOW |
			  O_APPEND | O_DIRECT | O_NONBLOCK | O_NOATIME | KERNEL_LARGEFILE;
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
	if (f->direct_fd >= 0)
		close(f->direct_fd);
	if (f->lock_fd >= 0)
		close(f->lock_fd);
	for (int i = 0; i < 2; i++) {
		if (f->map_fd[i] >= 0)
			close(f->map_fd[i]);
	}
	pthread_mutex_destroy(&f->lock);
	client_cache_clear(f);
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
	f->pfs_fd = f->direct_fd = f->lock_fd = f->map_fd[0] = f->map_fd[1] = -1;
	f->flags = flags & ~(PMIO_OPEN_CREATE | PMIO_OPEN_EXCL | PMIO_OPEN_BY_FD | PMIO_OPEN_BEGINS);
	pthread_mutex_init(&f->lock, NULL);
	f->path = strdup(path);
	if (!f->path) {
		client_free_file(f);
		return NULL;
	}
	return f;
}

static int pfs_flags(const struct client_open *how)
{
	uint32_t flags = how->flags;
	int oflags = flags & PMIO_OPEN_WRITE ? (flags & PMIO_OPEN_READ ? O_RDWR : O_WRONLY) : O_RDONLY;

	return oflags | (flags & PMIO_OPEN_CREATE ? O_CREAT : 0) | (flags & PMIO_OPEN_EXCL ? O_EXCL : 0) |
	       (how->no_follow ? O_NOFOLLOW : 0);
}

static int say_taken(const struct pmio_file *f)
{
	char who[PATH_MAX + 64];

	pmio_pfs_holder(f->pfs_fd, who, sizeof(who));
	pmio_err("open %s: it is in use in %s, and this program uses pool %s: programs that share a file must "
		 "share a pool (or set `owner = always` for both)", f->path, who, f->pm->dir);
	return PMIO_EOTHER;
}

/* another process may be closing it: its agent releases the file only after it has answered */
static int take(struct pmio_file *f, const struct client_open *how)
{
	enum pmio_pfs_use use = pmio_pfs_use_of(how->flags & PMIO_OPEN_WRITE, how->flags & PMIO_OPEN_SHARED);
	struct pmio_backoff b = PMIO_BACKOFF(1, 500, TAKE_LIMIT_MS);
	int rc;

	do
		rc = pmio_pfs_take(f->pfs_fd, f->pm->uuid, use);
	while (rc == -EBUSY && !how->no_wait && pmio_backoff_sleep(&b));
	return rc != -EBUSY || how->no_wait ? rc : say_taken(f);
}

/*
 * the agent is not permitted to open it, as it has other groups, or a file system treats it as another user: open it
 * again in this process
 */
static int attach_opened_here(struct pmio_file *f, const struct client_open *how, union pmio_any_msg *msg,
			      union pmio_any_msg *reply)
{
	int fd = pmio_pfs_open_anew(f->pfs_fd), rc;

	if (fd < 0)
		return fd;
	f->direct_fd = f->pfs_fd; /* to be closed with the file, because of the program's locks: direct.c */
	f->pfs_fd = fd;
	f->flags &= ~PMIO_OPEN_BY_FD;
	msg->open.flags &= ~PMIO_OPEN_BY_FD;
	rc = take(f, how);
	return rc < 0 ? rc : client_attach(f, msg, reply);
}

/* as take(), but done by the agent, which opens the file of a program's own descriptor again */
static int attach_by_fd(struct pmio_file *f, const struct client_open *how, union pmio_any_msg *msg,
			union pmio_any_msg *reply)
{
	struct pmio_backoff b = PMIO_BACKOFF(1, 500, TAKE_LIMIT_MS);
	int rc;

	do
		rc = client_attach(f, msg, reply);
	while (rc == PMIO_EOTHER && !how->no_wait && pmio_backoff_sleep(&b));
	if (rc == -EACCES)
		return attach_opened_here(f, how, msg, reply);
	if (rc == PMIO_EOTHER)
		return how->no_wait ? -EBUSY : say_taken(f);
	return rc;
}

static bool may_sync_later(const struct pmio_file *f)
{
	switch (f->pm->settings.num[PMIO_SET_DRAIN_SYNC]) {
	case PMIO_DRAIN_SYNC_CLOSE:
		return false;
	case PMIO_DRAIN_SYNC_LATER:
		return true;
	default:
		return pmio_pfs_is_local_disk(f->pfs_fd);
	}
}

struct created {
	bool is_new;	/* it did not exist */
	bool unsynced;	/* new, and its agent will make it durable; otherwise it is durable when open_on_pfs() returns */
};

static int open_on_pfs(struct pmio_file *f, const char *path, const struct client_open *how, struct created *created)
{
	int rc;

	if (how->by_fd)
		rc = f->pfs_fd = pmio_fd_copy_high(how->fd);
	else
		rc = pmio_pfs_open(path, pfs_flags(how), how->mode, &f->pfs_fd, &created->is_new);
	if (rc < 0)
		return rc;
	rc = 0;
	created->is_new |= how->is_new;
	f->flags &= ~PMIO_OPEN_SYNC_LATER;
	f->flags |= how->by_fd ? PMIO_OPEN_BY_FD : 0;
	if (!(how->flags & PMIO_OPEN_SHARED) && may_sync_later(f)) {
		f->flags |= PMIO_OPEN_SYNC_LATER;
		created->unsynced = created->is_new;
	} else if (created->is_new) {
		rc = pmio_pfs_keep(f->pfs_fd, path);
	}
	return rc;
}

/* open it on the PFS, and at the agent; *error: from the agent's answer */
static int open_once(struct pmio_file *f, const char *path, const struct client_open *how, struct created *created, int *error)
{
	union pmio_any_msg msg, reply;
	int rc = 0;

	if (f->pfs_fd < 0)
		rc = open_on_pfs(f, path, how, created);
	/* a file of several nodes exists also without a name: its agent may have it open */
	if (rc == -ENOENT && (how->flags & PMIO_OPEN_SHARED))
		rc = 0;
	if (rc == 0 && f->pfs_fd >= 0 && !how->by_fd)
		rc = take(f, how);
	if (rc == 0 && f->pfs_fd >= 0 && !(how->flags & PMIO_OPEN_SHARED))
		rc = pmio_pfs_check_mark(f->pfs_fd, f->pm->uuid, f->path);
	if (rc < 0)
		return rc;
	pmio_proto_request(&msg, PMIO_OP_OPEN, 0);
	msg.open.flags = f->flags | (how->flags & PMIO_OPEN_BEGINS) | (created->unsynced ? PMIO_OPEN_NEW : 0) |
			 (created->is_new ? PMIO_OPEN_FIRST : 0);
	client_present_name(f, msg.open.path);
	rc = how->by_fd ? attach_by_fd(f, how, &msg, &reply) : client_attach(f, &msg, &reply);
	*error = rc == 0 ? reply.open_reply.error : 0;
	return rc;
}

/* the opened file is being removed, or was: once its name is removed, the name is free for another file */
static void leave_removed(struct pmio_file *f)
{
	struct stat st;

	if (fstat(f->pfs_fd, &st) == 0 && st.st_nlink)
		return;
	close(f->pfs_fd);
	f->pfs_fd = -1;
}

int client_open(struct pmio *pm, const char *path, const struct client_open *how,
		struct pmio_file **out)
{
	char absolute[PATH_MAX];
	struct pmio_file *f;
	struct created created = { false, false };
	const char *name = how->name ? how->name : path;
	int rc, error;

	*out = NULL;
	/* for messages, and for files for which the kernel has no name */
	rc = client_is_forked(pm) ? -EBADF : pmio_absolute(name, absolute, sizeof(absolute));
	if (rc < 0)
		goto err;
	f = alloc_file(pm, absolute, how->flags);
	if (!f) {
		rc = -ENOMEM;
		goto err;
	}
	rc = open_once(f, path, how, &created, &error);
	for (int tries = 0; rc == -EAGAIN && tries < REMOVED_MAX; tries++) {
		if (!how->by_fd)
			leave_removed(f);
		rc = open_once(f, path, how, &created, &error);
	}
	if (rc < 0)
		goto err_file;
	if (error && how->notice)
		pmio_warn("open %s: data of an earlier program could not be drained: %s; they are still in the pool",
			  name, pmio_strerror(-error));
	*out = f;
	return 0;

err_file:
	client_free_file(f);
err:
	if (!how->quiet && rc != PMIO_EOTHER)
		pmio_err("open %s: %s", name, pmio_strerror(rc));
	return rc;
}

/* oflags: of open(2) */
static int open_as(struct pmio *pm, const char *path, int oflags, struct client_open *how, struct pmio_file **out)
{
	int rc = to_flags(&pm->settings, oflags, &how->flags);

	if (rc < 0) {
		pmio_err("open %s: bad flags %#o", path, (unsigned)oflags);
		return rc;
	}
	how->notice = true;
	how->no_follow = oflags & O_NOFOLLOW;
	rc = client_open(pm, path, how, out);
	if (rc < 0)
		return rc;
	(*out)->syncs = oflags & (O_SYNC | O_DSYNC);
	rc = oflags & O_TRUNC ? pmio_truncate(*out, 0) : 0;
	if (rc < 0)
		pmio_close(out);
	return rc;
}

int pmio_open(struct pmio *pm, const char *path, int flags, mode_t mode, struct pmio_file **out)
{
	struct client_open how = { .mode = mode };

	*out = NULL;
	return open_as(pm, path, flags, &how, out);
}

/* for messages, and for a search if the agent has to find the file again */
static void name_of(int fd, char name[PATH_MAX])
{
	char proc[PMIO_FD_NAME_LEN];
	ssize_t n;

	if (pmio_pfs_name(fd, name) == 0)
		return;
	n = readlink(pmio_fd_name(proc, fd), name, PATH_MAX - 1); /* "... (deleted)" */
	if (n > 0 && *name == '/')
		name[n] = '\0';
	else
		snprintf(name, PATH_MAX, "%s", proc);
}

/* may the file be new, so that its name is not durable yet? */
static bool may_be_new(const struct stat *st, int oflags)
{
	return (oflags & O_CREAT) && st->st_size == 0 && st->st_nlink;
}

int pmio_open_fd(struct pmio *pm, int fd, const char *path, int flags, struct pmio_file **out)
{
	struct client_open how = { .by_fd = true, .fd = fd };
	int rights = pmio_pfs_rights(fd), rc;
	char name[PATH_MAX];
	struct stat st;

	*out = NULL;
	if (!path) {
		name_of(fd, name);
		path = name;
	}
	if (rights < 0 || fstat(fd, &st) < 0 || (rights != O_RDWR && rights != (flags & O_ACCMODE))) {
		pmio_err("open %s: descriptor %d is not open, or not for this access", path, fd);
		return -EBADF;
	}
	rc = pmio_pfs_check(fd, path);
	if (rc < 0) {
		if (rc != PMIO_EOTHER)
			pmio_err("open %s: %s", path, pmio_strerror(rc));
		return rc;
	}
	how.is_new = may_be_new(&st, flags);
	return open_as(pm, path, flags, &how, out);
}

/* returns true if it has no name */
static bool say_how_it_is(const struct pmio_file *f, struct pmio_close_msg *m)
{
	struct stat st;

	m->mtime_s = INT64_MIN;
	if (f->pfs_fd < 0 || fstat(f->pfs_fd, &st) < 0)
		return false;
	m->pfs_size = (uint64_t)st.st_size;
	m->mtime_s = st.st_mtim.tv_sec;
	m->mtime_ns = st.st_mtim.tv_nsec;
	return st.st_nlink == 0;
}

int pmio_close(struct pmio_file **file)
{
	union pmio_any_msg msg, reply;
	struct pmio_file *f = *file;
	int rc;

	*file = NULL;
	if (!f)
		return 0;
	if (f->ops)
		return f->ops->end(f, 0);
	pmio_proto_request(&msg, PMIO_OP_CLOSE, 0);
	msg.close.counts = f->counts;
	/* its data are unreachable, unless another process that has it open gives it a name (O_TMPFILE) */
	if (say_how_it_is(f, &msg.close))
		client_unlinked(f->pm, f->pfs_fd, 1);
	rc = client_detach(f, &msg, &reply);
	if (rc < 0)
		pmio_err("close %s: %s", f->path, pmio_strerror(rc));
	client_free_file(f);
	return rc;
}

/*
 * the close with PMIO_CLOSE_DISCARD removes the name, even a symbolic link, unless the name belongs to another file by
 * now
 */
static void discard(struct pmio_file *f)
{
	struct stat st;
	int rc;

	if (stat(f->path, &st) < 0 || st.st_ino != f->ino || st.st_dev != f->dev)
		return;
	rc = client_remove_name(f->pm, f->path, f->pfs_fd);
	if (rc < 0 && rc != -ENOENT) /* another rank has just removed it */
		pmio_err("remove %s: %s", f->path, pmio_strerror(rc));
}

int pmio_close_discard(struct pmio_file **file)
{
	struct pmio_file *f = *file;

	if (f && f->ops) {
		*file = NULL;
		return f->ops->end(f, PMIO_CLOSE_DISCARD);
	}
	if (f)
		discard(f);
	return pmio_close(file);
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
	int rc = 0;

	if (f->ops)
		return f->ops->sync(f);
	if (f->broken)
		return f->broken;
	/* data that bypassed the pool; in the pool each write was durable when it returned */
	if (atomic_load(&f->pfs_written) && fsync(f->pfs_fd) < 0)
		rc = -errno;
	if (rc == 0 && pmio_pm_granularity(f->pm->view->pm) == PMIO_PM_PAGE) {
		pmio_proto_request(&msg, PMIO_OP_SYNC, 0);
		rc = client_file_call(f, &msg, &reply, NULL);
	}
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

/* a separate open file description, so that the lock belongs to this handle */
static int lock_fd(struct pmio_file *f)
{
	int rc;

	pthread_mutex_lock(&f->lock);
	if (f->lock_fd < 0) {
		f->lock_fd = openat(f->pm->dir_fd, PMIO_LOCK_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (f->lock_fd >= 0)
			f->lock_fd = pmio_fd_move_high(f->lock_fd);
	}
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
	if (rc == -EACCES) /* this code has the same meaning */
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
