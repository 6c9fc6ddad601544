#include "pool/pool_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/system.h"
#include "pmio.h"

#define FLAW_MAX 48

bool pmio_pool_dir_has(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* the reason not to trust it; NULL: it can be trusted.  text: room for the reason */
static const char *trust_flaw(const struct stat *st, char text[FLAW_MAX])
{
	if (st->st_uid != geteuid()) {
		snprintf(text, FLAW_MAX, "it belongs to another user (%u)", (unsigned)st->st_uid);
		return text;
	}
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return "it is writable by group or others";
	return NULL;
}

/* ---- the directory ------------------------------------------------------------ */

/* -errno; -EPERM for a symbolic link, whatever error open() returned */
static int open_dir(const char *dir, const char **why)
{
	char path[PATH_MAX];
	size_t len = strlen(dir);
	struct stat st;
	int fd, err;

	*why = NULL;
	/* "link/" would be the directory that the link points to */
	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (len == 0 || len >= sizeof(path))
		return len == 0 ? -ENOENT : -ENAMETOOLONG;
	memcpy(path, dir, len);
	path[len] = '\0';

	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	err = errno;
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
		*why = "it is a symbolic link";
		return -EPERM;
	}
	return -err;
}

int pmio_pool_check_dir(const char *dir, bool complain, int *dir_fd)
{
	char text[FLAW_MAX];
	const char *why;
	struct stat st;
	int rc, fd = open_dir(dir, &why);

	rc = fd < 0 ? fd : 0;
	if (rc == 0 && fstat(fd, &st) < 0)
		rc = -errno;
	if (rc == 0) {
		why = trust_flaw(&st, text);
		if (why)
			rc = -EPERM;
	}
	if (rc < 0 && complain)
		pmio_err("pool %s: %s", dir, why ? why : strerror(-rc));

	if (fd >= 0 && (rc < 0 || !dir_fd))
		close(fd);
	else if (rc == 0)
		*dir_fd = fd;
	return rc;
}

/* ---- its files ---------------------------------------------------------------- */

static int check_file(int fd, const char *dir, const char *name)
{
	char text[FLAW_MAX];
	const char *why;
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0) {
		rc = -errno;
		pmio_err("pool %s: %s: fstat: %s", dir, name, strerror(-rc));
		return rc;
	}
	if (!S_ISREG(st.st_mode)) {
		pmio_err("pool %s: %s: not a regular file", dir, name);
		return PMIO_ENOTPOOL;
	}
	why = trust_flaw(&st, text);
	if (why) {
		pmio_err("pool %s: %s: %s", dir, name, why);
		return -EPERM;
	}
	return 0;
}

static int open_file(int dir_fd, const char *dir, const char *name, int flags, int *out)
{
	/* without O_NONBLOCK the open of a FIFO or a device could wait */
	int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | flags, 0600);
	int rc;

	/* on a read-only mount: it can only be looked at */
	if (fd < 0 && errno == EROFS && flags == 0)
		fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	rc = fd < 0 ? -errno : 0;
	if (rc == -ELOOP) {
		pmio_err("pool %s: %s: it is a symbolic link", dir, name);
		return -EPERM;
	}
	if (rc == -EISDIR || rc == -ENXIO) {
		pmio_err("pool %s: %s: not a regular file", dir, name);
		return PMIO_ENOTPOOL;
	}
	if (rc < 0) {
		pmio_err("pool %s: %s: %s", dir, name, strerror(-rc));
		return rc;
	}
	rc = check_file(fd, dir, name);
	if (rc < 0)
		close(fd);
	else
		*out = fd;
	return rc;
}

int pmio_pool_dir_file(int dir_fd, const char *dir, const char *name, int *fd)
{
	return open_file(dir_fd, dir, name, 0, fd);
}

/* destroying a pool removes the lock file while it holds the lock */
static bool still_there(int dir_fd, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 &&
	       fstatat(dir_fd, PMIO_POOL_LOCK, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int pmio_pool_dir_lock(int dir_fd, const char *dir, bool create, int *out)
{
	int fd, rc;

	for (;;) {
		*out = -1;
		if (!create && !pmio_pool_dir_has(dir_fd, PMIO_POOL_LOCK))
			return 0;
		rc = open_file(dir_fd, dir, PMIO_POOL_LOCK, create ? O_CREAT : 0, &fd);
		if (rc < 0)
			return rc;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
			if (rc != -EBUSY)
				pmio_err("pool %s: flock: %s", dir, strerror(-rc));
			close(fd);
			return rc;
		}
		if (still_there(dir_fd, fd)) {
			*out = fd;
			return 0;
		}
		close(fd);
	}
}

/* ---- the lock's owner ------------------------------------------------------------ */

void pmio_pool_dir_sign(int lock_fd)
{
	struct pmio_pool_owner me;
	int n;

	if (gethostname(me.host, sizeof(me.host)) < 0)
		return;
	me.host[sizeof(me.host) - 1] = '\0';
	pmio_pool_dir_unsign(lock_fd);
	n = dprintf(lock_fd, "%s %u\n", me.host, (unsigned)getpid());
	if (n < 0)
		pmio_dbg("lock: %s", strerror(errno));
}

void pmio_pool_dir_unsign(int lock_fd)
{
	if (ftruncate(lock_fd, 0) < 0 || lseek(lock_fd, 0, SEEK_SET) < 0)
		pmio_dbg("lock: %s", strerror(errno));
}

int pmio_pool_owner(const char *dir, struct pmio_pool_owner *owner)
{
	int fd, dir_fd, rc = pmio_pool_check_dir(dir, true, &dir_fd);
	char text[320];
	ssize_t n;

	memset(owner, 0, sizeof(*owner));
	if (rc < 0)
		return rc;
	fd = openat(dir_fd, PMIO_POOL_LOCK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	n = fd < 0 ? 0 : pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%255[!-~] %u", owner->host, &owner->pid) != 2)
		memset(owner, 0, sizeof(*owner));
	owner->locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	if (fd >= 0)
		close(fd);
	close(dir_fd);
	return 0;
}

int pmio_pool_kill_owner(const char *dir, int limit_ms)
{
	struct pmio_pool_owner owner;
	struct stat st;
	int dir_fd, rc = pmio_pool_owner(dir, &owner);

	if (rc < 0)
		return rc;
	if (!owner.locked)
		return 0;
	rc = pmio_pool_check_dir(dir, true, &dir_fd);
	if (rc < 0)
		return rc;
	rc = fstatat(dir_fd, PMIO_POOL_LOCK, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	if (rc == 0)
		rc = pmio_process_kill((pid_t)owner.pid, st.st_dev, st.st_ino, limit_ms);
	close(dir_fd);
	if (rc == -ESRCH)
		pmio_err("pool %s: its lock is held by process %u of %s, which is not on this machine or not "
			 "visible from here", dir, owner.pid, *owner.host ? owner.host : "an unknown host");
	else if (rc == -EBUSY)
		pmio_err("pool %s: process %u has been killed but has not ended yet: it is frozen, or a file "
			 "system hangs", dir, owner.pid);
	return rc;
}
