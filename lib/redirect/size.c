/* size.c -- querying and changing sizes */
#include "redirect/redirect.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/falloc.h>

#include "core/fds.h"

#define SECTOR 512 /* bytes: what st_blocks counts */
#define NS_PER_S 1000000000ll

/* ---- attributes ------------------------------------------------------------------------------ */

/* its drain may have ended after st was read: read it again.  -ESTALE: the name may belong to another file now */
static int take_again(int fd, struct stat *st)
{
	struct stat now;

	if (RAW(fstat, fd, &now) < 0)
		return 0;
	if (now.st_nlink == 0 && st->st_nlink)
		return -ESTALE;
	st->st_size = now.st_size;
	st->st_blocks = now.st_blocks;
	st->st_mtim = now.st_mtim;
	st->st_ctim = now.st_ctim;
	return 0;
}

/*
 * what the pool knows of a regular file whose name matches, and which need not be open.  1; 0: no more than the file
 * system; -ESTALE: ask the file system again; or an error of other nodes.  seen: the file system's answer
 */
static int pool_size(int dir, const char *path, bool follow, struct stat *seen, off_t *size, int64_t *written_ns)
{
	char name[PATH_MAX];
	struct redirect_size known = { .elsewhere = false };
	struct redirect_calm calm;
	struct stat st;
	int fd = redirect_path_fd(dir, path, follow, &st, name), rc = -ENOENT, stale = 0;

	if (fd < 0)
		return 0;
	if (redirect_pool()) {
		redirect_enter(&calm);
		rc = redirect_pool()->look(fd, &known);
		redirect_leave(&calm);
	}
	if (st.st_ino != seen->st_ino || st.st_dev != seen->st_dev)
		rc = -ESTALE;
	else if ((rc == 0 && !known.pending) || rc == -ENOENT)
		stale = take_again(fd, seen);
	RAW(close, fd);
	if (rc == -ESTALE || stale < 0)
		return -ESTALE;
	if (rc < 0 || (!known.pending && !known.nr_handles))
		return rc < 0 && known.elsewhere ? rc : 0;
	*size = (off_t)known.size;
	*written_ns = known.written_ns;
	return 1;
}

static int64_t ns_of(const struct timespec *ts)
{
	return ts->tv_sec * NS_PER_S + ts->tv_nsec;
}

/* dir, path, flags: the arguments with which st was obtained.  0 or an error */
static int correct(int dir, const char *path, int flags, struct stat *st)
{
	int64_t written_ns = 0;
	off_t size;
	int rc;

	if (!S_ISREG(st->st_mode) || !redirect_device_may(st->st_dev) || !redirect_ours())
		return 0;
	rc = redirect_open_size(st->st_dev, st->st_ino, &size, &written_ns);
	if (rc == 0)
		rc = (int)REDIRECT_ROOM(pool_size, dir, path, !(flags & AT_SYMLINK_NOFOLLOW), st, &size, &written_ns);
	if (rc <= 0)
		return rc;
	st->st_size = size;
	if (written_ns > ns_of(&st->st_mtim)) { /* pending data: the file system does not have their time yet */
		st->st_mtim = (struct timespec){ written_ns / NS_PER_S, written_ns % NS_PER_S };
		st->st_ctim = st->st_mtim;
	}
	if (st->st_blocks < (size + SECTOR - 1) / SECTOR) /* otherwise the pending part would look like a hole */
		st->st_blocks = (size + SECTOR - 1) / SECTOR;
	return 0;
}

/* does the call refer to the descriptor itself? */
static bool is_of_fd(const char *path, int flags)
{
	return !path || ((flags & AT_EMPTY_PATH) && *path == '\0');
}

/* recognises an inherited descriptor, too, so that its size is known from then on */
static int correct_fd(int fd, const void *caller, struct stat *st)
{
	char name[PMIO_FD_NAME_LEN];
	struct redirect_file *f;
	int rc;

	if (!S_ISREG(st->st_mode) || !redirect_device_may(st->st_dev))
		return 0;
	f = redirect_get(fd, caller, &rc);
	rc = redirect_is_name(fd) ? correct(AT_FDCWD, pmio_fd_name(name, fd), 0, st) : correct(fd, NULL, 0, st);
	if (f)
		redirect_put(f);
	return rc;
}

#define STALE_MAX 100 /* files to which the name resolved, one after the other, and which had lost it */

static int stat_at(int dir, const char *path, struct stat *st, int flags, const void *caller)
{
	const char *plain = redirect_plain_path(dir, path);
	long rc;
	int tries = 0;

	do {
		rc = RAW(newfstatat, dir, plain, st, flags);
		if (rc < 0 || !redirect_on || redirect_inside)
			return (int)raw_result(rc);
		rc = is_of_fd(plain, flags) ? correct_fd(dir, caller, st) : correct(dir, plain, flags, st);
	} while (rc == -ESTALE && ++tries < STALE_MAX);
	return (int)redirect_result(rc);
}

int redirect_fstat(int fd, struct stat *st);
int redirect_fstat(int fd, struct stat *st)
{
	long rc = RAW(fstat, fd, st);

	if (rc == 0 && redirect_on && !redirect_inside)
		return (int)redirect_result(correct_fd(fd, REDIRECT_CALLER, st));
	return (int)raw_result(rc);
}
REDIRECT(fstat, redirect_fstat);
REDIRECT(fstat64, redirect_fstat);

int redirect_stat(const char *path, struct stat *st);
int redirect_stat(const char *path, struct stat *st)
{
	return stat_at(AT_FDCWD, path, st, 0, REDIRECT_CALLER);
}
REDIRECT(stat, redirect_stat);
REDIRECT(stat64, redirect_stat);

int redirect_lstat(const char *path, struct stat *st);
int redirect_lstat(const char *path, struct stat *st)
{
	return stat_at(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW, REDIRECT_CALLER);
}
REDIRECT(lstat, redirect_lstat);
REDIRECT(lstat64, redirect_lstat);

int redirect_fstatat(int dir, const char *path, struct stat *st, int flags);
int redirect_fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return stat_at(dir, path, st, flags, REDIRECT_CALLER);
}
REDIRECT(fstatat, redirect_fstatat);
REDIRECT(fstatat64, redirect_fstatat);

/* for programs that were linked before glibc 2.33 */
int redirect_fxstat(int version, int fd, struct stat *st);
int redirect_fxstat(int version, int fd, struct stat *st)
{
	(void)version;
	return redirect_fstat(fd, st);
}
REDIRECT(__fxstat, redirect_fxstat);
REDIRECT(__fxstat64, redirect_fxstat);

int redirect_xstat(int version, const char *path, struct stat *st);
int redirect_xstat(int version, const char *path, struct stat *st)
{
	(void)version;
	return redirect_stat(path, st);
}
REDIRECT(__xstat, redirect_xstat);
REDIRECT(__xstat64, redirect_xstat);

int redirect_lxstat(int version, const char *path, struct stat *st);
int redirect_lxstat(int version, const char *path, struct stat *st)
{
	(void)version;
	return redirect_lstat(path, st);
}
REDIRECT(__lxstat, redirect_lxstat);
REDIRECT(__lxstat64, redirect_lxstat);

int redirect_fxstatat(int version, int dir, const char *path, struct stat *st, int flags);
int redirect_fxstatat(int version, int dir, const char *path, struct stat *st, int flags)
{
	(void)version;
	return redirect_fstatat(dir, path, st, flags);
}
REDIRECT(__fxstatat, redirect_fxstatat);
REDIRECT(__fxstatat64, redirect_fxstatat);

static void from_statx(const struct statx *x, struct stat *st)
{
	st->st_mode = x->stx_mode;
	st->st_ino = x->stx_ino;
	st->st_nlink = x->stx_nlink;
	st->st_dev = makedev(x->stx_dev_major, x->stx_dev_minor);
	st->st_size = (off_t)x->stx_size;
	st->st_blocks = (blkcnt_t)x->stx_blocks;
	st->st_mtim = (struct timespec){ x->stx_mtime.tv_sec, x->stx_mtime.tv_nsec };
	st->st_ctim = (struct timespec){ x->stx_ctime.tv_sec, x->stx_ctime.tv_nsec };
}

int redirect_statx(int dir, const char *path, int flags, unsigned mask, struct statx *x);
int redirect_statx(int dir, const char *path, int flags, unsigned mask, struct statx *x)
{
	const char *plain = redirect_plain_path(dir, path);
	/* the file has to be identified, even if the caller did not ask for that */
	unsigned asked = redirect_on ? mask | STATX_TYPE | STATX_INO | STATX_NLINK : mask;
	struct stat st = { 0 };
	int tries = 0;
	long rc;

	do {
		rc = RAW(statx, dir, plain, flags, asked, x);
		if (rc < 0 || !redirect_on || redirect_inside)
			return (int)raw_result(rc);
		from_statx(x, &st);
		rc = is_of_fd(plain, flags) ? correct_fd(dir, REDIRECT_CALLER, &st) : correct(dir, plain, flags, &st);
	} while (rc == -ESTALE && ++tries < STALE_MAX);
	if (rc < 0)
		return (int)redirect_result(rc);
	x->stx_size = (uint64_t)st.st_size;
	x->stx_blocks = (uint64_t)st.st_blocks;
	x->stx_mtime.tv_sec = st.st_mtim.tv_sec;
	x->stx_mtime.tv_nsec = (uint32_t)st.st_mtim.tv_nsec;
	x->stx_ctime.tv_sec = st.st_ctim.tv_sec;
	x->stx_ctime.tv_nsec = (uint32_t)st.st_ctim.tv_nsec;
	return 0;
}
REDIRECT(statx, redirect_statx);

static bool is_redirected(int fd, const void *caller)
{
	int err;
	struct redirect_file *f = redirect_get(fd, caller, &err);

	if (f)
		redirect_put(f);
	return f || err < 0;
}

#define LIKE_FUSE 0x65735546 /* FUSE_SUPER_MAGIC */

/*
 * inotify does not report writes to the pool, as with network file systems: programs that check the type (tail -f) poll
 * then
 */
int redirect_fstatfs(int fd, struct statfs *st);
int redirect_fstatfs(int fd, struct statfs *st)
{
	long rc = RAW(fstatfs, fd, st);

	if (rc == 0 && redirect_on && !redirect_inside && is_redirected(fd, REDIRECT_CALLER))
		st->f_type = LIKE_FUSE;
	return (int)raw_result(rc);
}
REDIRECT(fstatfs, redirect_fstatfs);
REDIRECT(fstatfs64, redirect_fstatfs);

/* ---- where in it ----------------------------------------------------------------------------------- */

static off_t pool_seek(struct redirect_file *f, int fd, off_t off, int whence)
{
	off_t size = 0;
	int rc;

	rc = redirect_size(f, &size);
	if (rc < 0)
		return rc;
	switch (whence) {
	case SEEK_END:
		if (__builtin_add_overflow(size, off, &off))
			return -EOVERFLOW;
		break;
	case SEEK_DATA: /* no holes are reported */
		if (off < 0 || off >= size)
			return -ENXIO;
		break;
	default:
		if (off < 0 || off >= size)
			return -ENXIO;
		off = size;
	}
	return off < 0 ? -EINVAL : RAW(lseek, fd, off, SEEK_SET);
}

off_t redirect_lseek(int fd, off_t off, int whence)
{
	struct redirect_file *f;
	off_t rc;
	int err;

	if (whence != SEEK_END && whence != SEEK_DATA && whence != SEEK_HOLE)
		return raw_result(RAW(lseek, fd, off, whence));
	f = redirect_get(fd, REDIRECT_CALLER, &err);
	if (!f)
		return err < 0 ? redirect_result(err) : raw_result(RAW(lseek, fd, off, whence));
	rc = pool_seek(f, fd, off, whence);
	redirect_put(f);
	return redirect_result(rc);
}
REDIRECT(lseek, redirect_lseek);
REDIRECT(lseek64, redirect_lseek);

/* ---- changing them ------------------------------------------------------------------------------------ */

static void changed(struct redirect_file *f)
{
	atomic_store(&f->wrote, true);
	redirect_grow_maps(f->dev, f->ino);
}

static int pool_resize(struct redirect_file *f, off_t size)
{
	struct redirect_calm calm;
	int rc;

	if (size < 0)
		return -EINVAL;
	rc = redirect_limited() ? redirect_limit_size(size, redirect_size_of(f)) : 0;
	if (rc < 0)
		return rc;
	redirect_enter(&calm);
	rc = (int)REDIRECT_ROOM(redirect_pool()->truncate, f->file, size);
	redirect_leave(&calm);
	changed(f);
	return rc;
}

int redirect_ftruncate(int fd, off_t size);
int redirect_ftruncate(int fd, off_t size)
{
	int err, rc;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	if (!f)
		return (int)(err < 0 ? redirect_result(err) : raw_result(RAW(ftruncate, fd, size)));
	rc = f->access == O_RDONLY ? -EINVAL : pool_resize(f, size);
	redirect_put(f);
	return (int)redirect_result(rc);
}
REDIRECT(ftruncate, redirect_ftruncate);
REDIRECT(ftruncate64, redirect_ftruncate);

static int truncate_named(const char *path, off_t size, const void *caller)
{
	const char *plain = redirect_plain_path(AT_FDCWD, path);
	char name[PATH_MAX];
	struct redirect_lost lost;
	struct stat st;
	int known = redirect_path_fd(AT_FDCWD, plain, true, &st, name), fd, rc, err;

	if (known < 0)
		return (int)raw_result(RAW(truncate, plain, size));
	RAW(close, known);
	lost = (struct redirect_lost){ st.st_dev, st.st_ino, false }; /* if it has no name, it is still the right file */
	fd = (int)REDIRECT_ABOVE(RAW(openat, AT_FDCWD, plain, O_WRONLY | O_CLOEXEC, 0));
	if (fd >= 0)
		fd = redirect_opened(fd, O_WRONLY, false, false, caller, &lost);
	else
		errno = -fd;
	if (fd < 0)
		return -1;
	rc = redirect_ftruncate(fd, size);
	err = errno;
	if (redirect_close(fd) < 0 && rc == 0)
		return -1;
	errno = err;
	return rc;
}

int redirect_truncate(const char *path, off_t size);
int redirect_truncate(const char *path, off_t size)
{
	return (int)REDIRECT_ROOM(truncate_named, path, size, REDIRECT_CALLER);
}
REDIRECT(truncate, redirect_truncate);
REDIRECT(truncate64, redirect_truncate);

static int allocate(struct redirect_file *f, int mode, off_t off, off_t len)
{
	struct redirect_calm calm;
	off_t end;
	int rc = 0;

	if (!(mode & FALLOC_FL_KEEP_SIZE) && redirect_limited() && !__builtin_add_overflow(off, len, &end))
		rc = redirect_limit_size(end, redirect_size_of(f));
	if (rc < 0)
		return rc;
	redirect_enter(&calm);
	rc = (int)REDIRECT_ROOM(redirect_pool()->allocate, f->file, mode, off, len);
	redirect_leave(&calm);
	if (rc == 0)
		changed(f);
	return rc;
}

static int fallocate_of(int fd, int mode, off_t off, off_t len, const void *caller)
{
	int err, rc;
	struct redirect_file *f = redirect_get(fd, caller, &err);

	if (!f)
		return err < 0 ? err : (int)RAW(fallocate, fd, mode, off, len);
	rc = allocate(f, mode, off, len);
	redirect_put(f);
	return rc;
}

int redirect_fallocate(int fd, int mode, off_t off, off_t len);
int redirect_fallocate(int fd, int mode, off_t off, off_t len)
{
	return (int)redirect_result(fallocate_of(fd, mode, off, len, REDIRECT_CALLER));
}
REDIRECT(fallocate, redirect_fallocate);
REDIRECT(fallocate64, redirect_fallocate);

/*
 * for file systems that cannot reserve space: the C library would write a byte to each block; this only makes the file
 * longer
 */
static int allocate_by_hand(int fd, off_t off, off_t len)
{
	struct stat st;
	long n;

	if (RAW(fstat, fd, &st) < 0)
		return EBADF;
	if (!S_ISREG(st.st_mode))
		return ENODEV;
	if (off + len <= st.st_size)
		return 0;
	n = RAW(ftruncate, fd, off + len);
	return n < 0 ? (int)-n : 0;
}

int redirect_posix_fallocate(int fd, off_t off, off_t len);
int redirect_posix_fallocate(int fd, off_t off, off_t len)
{
	int rc = fallocate_of(fd, 0, off, len, REDIRECT_CALLER);

	if (rc == -EOPNOTSUPP)
		return allocate_by_hand(fd, off, len);
	return rc < 0 ? redirect_errno(rc) : 0;
}
REDIRECT(posix_fallocate, redirect_posix_fallocate);
REDIRECT(posix_fallocate64, redirect_posix_fallocate);

/* ---- durable ------------------------------------------------------------------------------------------- */

int redirect_fsync(int fd)
{
	struct redirect_calm calm;
	int err, rc;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	if (!f)
		return (int)(err < 0 ? redirect_result(err) : raw_result(RAW(fsync, fd)));
	redirect_enter(&calm);
	rc = (int)REDIRECT_ROOM(redirect_pool()->sync, f->file);
	redirect_leave(&calm);
	redirect_put(f);
	return (int)redirect_result(rc);
}
REDIRECT(fsync, redirect_fsync);

int redirect_fdatasync(int fd);
int redirect_fdatasync(int fd)
{
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	if (!f)
		return (int)(err < 0 ? redirect_result(err) : raw_result(RAW(fdatasync, fd)));
	redirect_put(f);
	return redirect_fsync(fd);
}
REDIRECT(fdatasync, redirect_fdatasync);

/* the call does not make the file's size durable, so programs cannot rely on it anyway */
int redirect_sync_file_range(int fd, off_t off, off_t len, unsigned flags);
int redirect_sync_file_range(int fd, off_t off, off_t len, unsigned flags)
{
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	if (!f)
		return (int)(err < 0 ? redirect_result(err) : raw_result(RAW(sync_file_range, fd, off, len, flags)));
	redirect_put(f);
	return 0;
}
REDIRECT(sync_file_range, redirect_sync_file_range);

int redirect_posix_fadvise(int fd, off_t off, off_t len, int advice);
int redirect_posix_fadvise(int fd, off_t off, off_t len, int advice)
{
	return is_redirected(fd, REDIRECT_CALLER) ? 0 : (int)-RAW(fadvise64, fd, off, len, advice);
}
REDIRECT(posix_fadvise, redirect_posix_fadvise);
REDIRECT(posix_fadvise64, redirect_posix_fadvise);

ssize_t redirect_readahead(int fd, off_t off, size_t len);
ssize_t redirect_readahead(int fd, off_t off, size_t len)
{
	return is_redirected(fd, REDIRECT_CALLER) ? 0 : raw_result(RAW(readahead, fd, off, len));
}
REDIRECT(readahead, redirect_readahead);
