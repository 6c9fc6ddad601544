/* names.c -- the identity and the current name of an open file */
#include "pfs/pfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

int pmio_pfs_identify(int fd, struct stat *st, struct pmio_pfs_id *id)
{
	struct statx stx;

	if (fstat(fd, st) < 0)
		return -errno;
	id->dev = st->st_dev;
	id->ino = st->st_ino;
	id->birth_ns = 0;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx) == 0 && (stx.stx_mask & STATX_BTIME))
		id->birth_ns = (int64_t)stx.stx_btime.tv_sec * 1000000000 + stx.stx_btime.tv_nsec;
	return 0;
}

int pmio_pfs_identify_cached(int fd, struct stat *st, struct pmio_pfs_id *id)
{
	const unsigned wanted = STATX_BASIC_STATS | STATX_BTIME;
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, wanted, &stx) < 0)
		return -errno;
	if ((stx.stx_mask & wanted) != wanted)
		return -EAGAIN;
	memset(st, 0, sizeof(*st));
	st->st_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	st->st_ino = stx.stx_ino;
	st->st_mode = stx.stx_mode;
	st->st_nlink = stx.stx_nlink;
	st->st_uid = stx.stx_uid;
	st->st_gid = stx.stx_gid;
	st->st_size = (off_t)stx.stx_size;
	st->st_blocks = (blkcnt_t)stx.stx_blocks;
	st->st_blksize = (blksize_t)stx.stx_blksize;
	st->st_atim = (struct timespec){ stx.stx_atime.tv_sec, stx.stx_atime.tv_nsec };
	st->st_mtim = (struct timespec){ stx.stx_mtime.tv_sec, stx.stx_mtime.tv_nsec };
	st->st_ctim = (struct timespec){ stx.stx_ctime.tv_sec, stx.stx_ctime.tv_nsec };
	id->dev = st->st_dev;
	id->ino = st->st_ino;
	id->birth_ns = (int64_t)stx.stx_btime.tv_sec * 1000000000 + stx.stx_btime.tv_nsec;
	return 0;
}

bool pmio_pfs_same(const struct pmio_pfs_id *a, const struct pmio_pfs_id *b)
{
	return a->dev == b->dev && a->ino == b->ino &&
	       (a->birth_ns == b->birth_ns || !a->birth_ns || !b->birth_ns);
}

int pmio_pfs_access(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	return flags & (O_APPEND | O_PATH) ? -EINVAL : flags & O_ACCMODE;
}

int pmio_pfs_rights(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || (flags & O_PATH) ? -EBADF : flags & O_ACCMODE;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

int pmio_pfs_name(int fd, char *name)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, PATH_MAX - 1);
	if (n < 0)
		return -ENOENT;
	name[n] = '\0';
	/* a file's name may really end so: then its recorded name has to suffice */
	return *name != '/' || ends_with(name, " (deleted)") ? -ENOENT : 0;
}

static bool is_hex(const char *s, size_t least)
{
	size_t n = 0;

	while (isxdigit((unsigned char)s[n]))
		n++;
	return n >= least && s[n] == '\0';
}

/* Linux: fs/nfs/unlink.c, ".nfs", 16 digits of the file, 8 of a counter; libfuse: lib/fuse.c, two of 8 digits */
static bool is_hidden_name(const char *path)
{
	static const char nfs[] = ".nfs", fuse[] = ".fuse_hidden";
	const char *base = strrchr(path, '/') + 1;

	if (strncmp(base, fuse, strlen(fuse)) == 0)
		return is_hex(base + strlen(fuse), 16);
	return strncmp(base, nfs, strlen(nfs)) == 0 && is_hex(base + strlen(nfs), 24);
}

static bool hides_names(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == NFS_SUPER_MAGIC || fs.f_type == FUSE_SUPER_MAGIC);
}

bool pmio_pfs_is_nameless(int fd, const struct stat *st)
{
	char name[PATH_MAX];

	if (st->st_nlink == 0)
		return true;
	return st->st_nlink == 1 && pmio_pfs_name(fd, name) == 0 && is_hidden_name(name) && hides_names(fd);
}
