/* file.c -- opening and removing files, durably */
#include "pfs/pfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/error.h"
#include "core/fds.h"
#include "core/log.h"

/* see pmio_pfs_sync_name() */
static int sync_folder(const char *path, size_t len, int file)
{
	char folder[PATH_MAX];
	int fd, rc = 0;

	snprintf(folder, sizeof(folder), "%.*s", (int)len, len ? path : "/");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES && file >= 0 && syncfs(file) == 0 ? 0 : -errno;
	if (fsync(fd) < 0 && errno != EINVAL)
		rc = -errno;
	close(fd);
	return rc;
}

int pmio_pfs_sync_name(const char *path, int file)
{
	const char *slash = strrchr(path, '/');

	return slash ? sync_folder(path, (size_t)(slash - path), file) : sync_folder(".", 1, file);
}

/* it may be the target of a symbolic link that was created */
static int sync_new_name(const char *path, int file)
{
	char *real = realpath(path, NULL);
	int rc = real ? sync_folder(real, (size_t)(strrchr(real, '/') - real), file) : -errno;

	free(real);
	return rc == -ENOENT ? 0 : rc; /* it was renamed or removed already */
}

/* data written to it are durable in the pool, so the file must still exist after a power cut */
int pmio_pfs_keep(int fd, const char *path)
{
	int rc = fsync(fd) < 0 ? -errno : sync_new_name(path, fd);

	if (rc < 0)
		pmio_info("create %s: fsync: %s", path, strerror(-rc));
	return rc;
}

/* *is_new: it did not exist; with a dangling link the file does not exist, but the name does */
static int open_or_create(const char *path, int flags, mode_t mode, bool *is_new)
{
	bool creates = flags & O_CREAT, excl = creates && (flags & O_EXCL);
	int plain = flags & ~(O_CREAT | O_EXCL), fd = excl ? -1 : open(path, plain);

	*is_new = excl || (fd < 0 && errno == ENOENT && creates);
	if (!*is_new)
		return fd;
	return open(path, plain | O_CREAT | (excl ? O_EXCL : 0), mode);
}

static int check_regular(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode))
		return 0;
	return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
}

bool pmio_pfs_fd_in_mount(int fd)
{
	char proc[PMIO_FD_NAME_LEN], pid[32];
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 || (unsigned long)fs.f_type != FUSE_SUPER_MAGIC)
		return false;
	return getxattr(pmio_fd_name(proc, fd), PMIO_PFS_MOUNT_NAME, pid, sizeof(pid)) > 0;
}

bool pmio_pfs_in_mount(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	bool is = fd >= 0 && pmio_pfs_fd_in_mount(fd);

	if (fd >= 0)
		close(fd);
	return is;
}

/* its data would be pooled twice, and the agent would wait for the mount, which needs the agent */
int pmio_pfs_check(int fd, const char *path)
{
	int rc = check_regular(fd);

	if (rc < 0 || !pmio_pfs_fd_in_mount(fd))
		return rc;
	pmio_err("open %s: it is in a `pmio mount`; use the path that the file has outside of the mount", path);
	return PMIO_EOTHER;
}

int pmio_pfs_open(const char *path, int flags, mode_t mode, int *out, bool *is_new)
{
	int how = (flags & (O_CREAT | O_EXCL | O_NOFOLLOW)) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int access_mode = flags & O_ACCMODE, fd, rc;
	bool created;

	*out = -1;
	fd = open_or_create(path, how | (access_mode == O_WRONLY ? O_RDWR : access_mode), mode, &created);
	if (fd < 0 && errno == EACCES && access_mode == O_WRONLY)
		fd = open_or_create(path, how | O_WRONLY, mode, &created);
	if (fd < 0)
		return -errno;
	if (is_new)
		*is_new = created;
	rc = pmio_pfs_check(fd, path);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	*out = fd;
	return 0;
}

int pmio_pfs_open_anew(int fd)
{
	int had = fcntl(fd, F_GETFL), how = O_CLOEXEC | O_NONBLOCK | O_NOCTTY, anew, rc;
	bool writes = had >= 0 && (had & O_ACCMODE) != O_RDONLY;
	char proc[PMIO_FD_NAME_LEN];

	if (had < 0)
		return -errno;
	anew = open(pmio_fd_name(proc, fd), how | (writes ? O_RDWR : O_RDONLY));
	if (anew < 0 && errno == EACCES && (had & O_ACCMODE) == O_WRONLY)
		anew = open(proc, how | O_WRONLY);
	if (anew >= 0 || (had & (O_APPEND | O_DIRECT)))
		return anew < 0 ? -errno : anew;
	/* its mode no longer permits it, or there is no /proc */
	rc = -errno;
	anew = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return anew < 0 ? rc : anew;
}

bool pmio_pfs_is_local_disk(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	switch ((unsigned long)fs.f_type) {
	case EXT4_SUPER_MAGIC: /* and that of its predecessors */
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case F2FS_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

int pmio_pfs_unlink(const char *path, bool durably)
{
	struct stat st;
	int rc;

	if (unlink(path) < 0)
		return errno == EPERM && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? -EISDIR : -errno;
	rc = durably ? pmio_pfs_sync_name(path, -1) : 0;
	if (rc < 0) /* it was removed: an error would wrongly say that it was not */
		pmio_err("remove %s: fsync of its directory: %s", path, strerror(-rc));
	return 0;
}
