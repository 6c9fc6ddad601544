/*
 * attr.c -- times, modes, owners and extended attributes
 *
 * Pending data are drained first: a later drain would change the times again, or could not write at all.
 */
#include "redirect/redirect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "core/fds.h"
#include "pfs/attributes.h"

int redirect_settle_fd(int fd)
{
	char name[PMIO_FD_NAME_LEN];
	struct redirect_calm calm;
	struct redirect_file *f;
	int rc = 0, err;

	f = redirect_get(fd, NULL, &err);
	if (err < 0)
		return err;
	if (!f)
		return redirect_is_name(fd) ? redirect_settle_at(AT_FDCWD, pmio_fd_name(name, fd), true) : 0;
	redirect_enter(&calm);
	rc = (int)REDIRECT_ROOM(redirect_pool()->settle, fd, "an open file");
	redirect_leave(&calm);
	redirect_put(f);
	return rc;
}

static int settle_named(int dir, const char *path, bool follow)
{
	struct redirect_calm calm;
	char name[PATH_MAX];
	struct stat st;
	int fd = redirect_path_fd(dir, path, follow, &st, name), rc = -EIO;

	if (fd < 0)
		return 0;
	if (redirect_pool()) {
		redirect_enter(&calm);
		rc = redirect_pool()->settle(fd, name);
		redirect_leave(&calm);
	}
	RAW(close, fd);
	return rc;
}

int redirect_settle_at(int dir, const char *path, bool follow)
{
	return (int)REDIRECT_ROOM(settle_named, dir, path, follow);
}

/* of a name, or of the descriptor dir if path is NULL */
static int settle(int dir, const char *path, int flags)
{
	if (!redirect_on || redirect_inside || !redirect_ours())
		return 0;
	if (!path || ((flags & AT_EMPTY_PATH) && *path == '\0'))
		return redirect_settle_fd(dir);
	return redirect_settle_at(dir, path, !(flags & AT_SYMLINK_NOFOLLOW));
}

/* ---- times -------------------------------------------------------------------------------------- */

/*
 * settle again afterwards: the agent then re-reads the times of an open file, and would otherwise attribute them to
 * another process
 */
static int set_times(int dir, const char *path, const struct timespec ts[2], int flags)
{
	struct stat st;
	int rc;
	long result;

	path = redirect_plain_path(dir, path);
	rc = settle(dir, path, flags);
	if (rc < 0)
		return (int)redirect_result(rc);
	result = RAW(utimensat, dir, path, ts, flags);
	if (result == 0 && redirect_on && !redirect_inside && redirect_ours()) {
		rc = settle(dir, path, flags);
		if ((path ? RAW(newfstatat, dir, path, &st, flags) : RAW(fstat, dir, &st)) == 0)
			redirect_times_set(st.st_dev, st.st_ino);
	}
	return (int)(result < 0 ? raw_result(result) : redirect_result(rc));
}

int redirect_utimensat(int dir, const char *path, const struct timespec ts[2], int flags);
int redirect_utimensat(int dir, const char *path, const struct timespec ts[2], int flags)
{
	if (!path)
		return (int)raw_result(-EINVAL);
	return set_times(dir, path, ts, flags);
}
REDIRECT(utimensat, redirect_utimensat);

int redirect_futimens(int fd, const struct timespec ts[2]);
int redirect_futimens(int fd, const struct timespec ts[2])
{
	return fd < 0 ? (int)raw_result(-EBADF) : set_times(fd, NULL, ts, 0);
}
REDIRECT(futimens, redirect_futimens);

/* false: not valid */
static bool of_timeval(const struct timeval tv[2], struct timespec ts[2])
{
	for (int i = 0; tv && i < 2; i++) {
		if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
			return false;
		ts[i] = (struct timespec){ tv[i].tv_sec, tv[i].tv_usec * 1000 };
	}
	return true;
}

static int set_timevals(int dir, const char *path, const struct timeval tv[2], int flags)
{
	struct timespec ts[2];

	if (!of_timeval(tv, ts))
		return (int)raw_result(-EINVAL);
	return set_times(dir, path, tv ? ts : NULL, flags);
}

int redirect_utimes(const char *path, const struct timeval tv[2]);
int redirect_utimes(const char *path, const struct timeval tv[2])
{
	return set_timevals(AT_FDCWD, path, tv, 0);
}
REDIRECT(utimes, redirect_utimes);

int redirect_lutimes(const char *path, const struct timeval tv[2]);
int redirect_lutimes(const char *path, const struct timeval tv[2])
{
	return set_timevals(AT_FDCWD, path, tv, AT_SYMLINK_NOFOLLOW);
}
REDIRECT(lutimes, redirect_lutimes);

int redirect_futimes(int fd, const struct timeval tv[2]);
int redirect_futimes(int fd, const struct timeval tv[2])
{
	return set_timevals(fd, NULL, tv, 0);
}
REDIRECT(futimes, redirect_futimes);

int redirect_futimesat(int dir, const char *path, const struct timeval tv[2]);
int redirect_futimesat(int dir, const char *path, const struct timeval tv[2])
{
	return set_timevals(dir, path, tv, 0);
}
REDIRECT(futimesat, redirect_futimesat);

int redirect_utime(const char *path, const struct utimbuf *t);
int redirect_utime(const char *path, const struct utimbuf *t)
{
	struct timespec ts[2] = { { t ? t->actime : 0, 0 }, { t ? t->modtime : 0, 0 } };

	return set_times(AT_FDCWD, path, t ? ts : NULL, 0);
}
REDIRECT(utime, redirect_utime);

/* ---- modes and owners ------------------------------------------------------------------------------ */

int redirect_fchmod(int fd, mode_t mode);
int redirect_fchmod(int fd, mode_t mode)
{
	int rc = settle(fd, NULL, 0);

	return (int)(rc < 0 ? redirect_result(rc) : raw_result(RAW(fchmod, fd, mode)));
}
REDIRECT(fchmod, redirect_fchmod);

int redirect_chmod(const char *path, mode_t mode);
int redirect_chmod(const char *path, mode_t mode)
{
	const char *plain = redirect_plain_path(AT_FDCWD, path);
	int rc = settle(AT_FDCWD, plain, 0);

	return (int)(rc < 0 ? redirect_result(rc) : raw_result(RAW(fchmodat, AT_FDCWD, plain, mode)));
}
REDIRECT(chmod, redirect_chmod);

/* for all but symbolic links */
static long chmod_nofollow(int dir, const char *path, mode_t mode)
{
	char proc[40];
	struct stat st;
	long fd = REDIRECT_ABOVE(RAW(openat, dir, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0)), rc;

	if (fd < 0)
		return fd;
	rc = RAW(fstat, fd, &st);
	if (rc == 0 && S_ISLNK(st.st_mode))
		rc = -EOPNOTSUPP;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%ld", fd);
	if (rc == 0)
		rc = RAW(fchmodat, AT_FDCWD, proc, mode);
	RAW(close, fd);
	return rc;
}

int redirect_fchmodat(int dir, const char *path, mode_t mode, int flags);
int redirect_fchmodat(int dir, const char *path, mode_t mode, int flags)
{
	const char *plain = redirect_plain_path(dir, path);
	int rc;

	if (flags & ~AT_SYMLINK_NOFOLLOW)
		return (int)raw_result(-EINVAL);
	rc = settle(dir, plain, flags);
	if (rc < 0)
		return (int)redirect_result(rc);
	return (int)raw_result(flags ? chmod_nofollow(dir, plain, mode) : RAW(fchmodat, dir, plain, mode));
}
REDIRECT(fchmodat, redirect_fchmodat);

int redirect_fchown(int fd, uid_t uid, gid_t gid);
int redirect_fchown(int fd, uid_t uid, gid_t gid)
{
	int rc = settle(fd, NULL, 0);

	return (int)(rc < 0 ? redirect_result(rc) : raw_result(RAW(fchown, fd, uid, gid)));
}
REDIRECT(fchown, redirect_fchown);

int redirect_fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags);
int redirect_fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags)
{
	const char *plain = redirect_plain_path(dir, path);
	int rc = settle(dir, plain, flags);

	return (int)(rc < 0 ? redirect_result(rc) : raw_result(RAW(fchownat, dir, plain, uid, gid, flags)));
}
REDIRECT(fchownat, redirect_fchownat);

int redirect_chown(const char *path, uid_t uid, gid_t gid);
int redirect_chown(const char *path, uid_t uid, gid_t gid)
{
	return redirect_fchownat(AT_FDCWD, path, uid, gid, 0);
}
REDIRECT(chown, redirect_chown);

int redirect_lchown(const char *path, uid_t uid, gid_t gid);
int redirect_lchown(const char *path, uid_t uid, gid_t gid)
{
	return redirect_fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}
REDIRECT(lchown, redirect_lchown);

/* ---- extended attributes: pmio's own are hidden, as programs would copy them with the data ------------ */

/* a caller that asks for the length may get more than the length of the list */
static ssize_t listed(long n, char *names, size_t size)
{
	if (n > 0 && size && redirect_on && !redirect_inside)
		n = (long)pmio_pfs_hide_own_attributes(names, (size_t)n);
	return raw_result(n);
}

ssize_t redirect_listxattr(const char *path, char *names, size_t size);
ssize_t redirect_listxattr(const char *path, char *names, size_t size)
{
	return listed(RAW(listxattr, redirect_plain_path(AT_FDCWD, path), names, size), names, size);
}
REDIRECT(listxattr, redirect_listxattr);

ssize_t redirect_llistxattr(const char *path, char *names, size_t size);
ssize_t redirect_llistxattr(const char *path, char *names, size_t size)
{
	return listed(RAW(llistxattr, redirect_plain_path(AT_FDCWD, path), names, size), names, size);
}
REDIRECT(llistxattr, redirect_llistxattr);

ssize_t redirect_flistxattr(int fd, char *names, size_t size);
ssize_t redirect_flistxattr(int fd, char *names, size_t size)
{
	return listed(RAW(flistxattr, fd, names, size), names, size);
}
REDIRECT(flistxattr, redirect_flistxattr);

/*
 * needed for attributes that change write permission, and for capabilities, which a later write would remove;
 * attributes "user." need nothing
 */
static int settle_for_attribute(int dir, const char *path, int flags, const char *attr)
{
	if (!attr || (strncmp(attr, "system.", 7) != 0 && strncmp(attr, "security.", 9) != 0))
		return 0;
	return settle(dir, path, flags);
}

static int set_attribute(const char *path, bool follow, const char *attr, const void *value, size_t size, int flags)
{
	const char *plain = redirect_plain_path(AT_FDCWD, path);
	int rc = settle_for_attribute(AT_FDCWD, plain, follow ? 0 : AT_SYMLINK_NOFOLLOW, attr);

	if (rc < 0)
		return (int)redirect_result(rc);
	return (int)raw_result(follow ? RAW(setxattr, plain, attr, value, size, flags) : RAW(lsetxattr, plain, attr, value, size, flags));
}

int redirect_setxattr(const char *path, const char *attr, const void *value, size_t size, int flags);
int redirect_setxattr(const char *path, const char *attr, const void *value, size_t size, int flags)
{
	return set_attribute(path, true, attr, value, size, flags);
}
REDIRECT(setxattr, redirect_setxattr);

int redirect_lsetxattr(const char *path, const char *attr, const void *value, size_t size, int flags);
int redirect_lsetxattr(const char *path, const char *attr, const void *value, size_t size, int flags)
{
	return set_attribute(path, false, attr, value, size, flags);
}
REDIRECT(lsetxattr, redirect_lsetxattr);

int redirect_fsetxattr(int fd, const char *attr, const void *value, size_t size, int flags);
int redirect_fsetxattr(int fd, const char *attr, const void *value, size_t size, int flags)
{
	int rc = settle_for_attribute(fd, NULL, 0, attr);

	return (int)(rc < 0 ? redirect_result(rc) : raw_result(RAW(fsetxattr, fd, attr, value, size, flags)));
}
REDIRECT(fsetxattr, redirect_fsetxattr);

static int remove_attribute(const char *path, bool follow, const char *attr)
{
	const char *plain = redirect_plain_path(AT_FDCWD, path);
	int rc = settle_for_attribute(AT_FDCWD, plain, follow ? 0 : AT_SYMLINK_NOFOLLOW, attr);

	if (rc < 0)
		return (int)redirect_result(rc);
	return (int)raw_result(follow ? RAW(removexattr, plain, attr) : RAW(lremovexattr, plain, attr));
}

int redirect_removexattr(const char *path, const char *attr);
int redirect_removexattr(const char *path, const char *attr)
{
	return remove_attribute(path, true, attr);
}
REDIRECT(removexattr, redirect_removexattr);

int redirect_lremovexattr(const char *path, const char *attr);
int redirect_lremovexattr(const char *path, const char *attr)
{
	return remove_attribute(path, false, attr);
}
REDIRECT(lremovexattr, redirect_lremovexattr);

int redirect_fremovexattr(int fd, const char *attr);
int redirect_fremovexattr(int fd, const char *attr)
{
	int rc = settle_for_attribute(fd, NULL, 0, attr);

	return (int)(rc < 0 ? redirect_result(rc) : raw_result(RAW(fremovexattr, fd, attr)));
}
REDIRECT(fremovexattr, redirect_fremovexattr);
