/* data.c -- reading and writing */
#include "redirect/redirect.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "redirect/cancel.h"

#define NR_IOV_MAX 1024
#define AT_ONCE_MAX (1u << 20) /* bytes; for more, it is better to map the pages first */
#define RWF_KNOWN 0x3f /* hints, and RWF_APPEND, RWF_NOAPPEND, RWF_SYNC, RWF_DSYNC */
#define RWF_SYNCS 0x6
#define RWF_APPENDS 0x10
#define RWF_NOT_APPENDS 0x20

/* -EINVAL in the same cases as the kernel; *total: at most REDIRECT_IO_MAX */
static int sum_up(const struct iovec *v, int nr, size_t *total)
{
	*total = 0;
	if (nr < 0 || nr > NR_IOV_MAX)
		return -EINVAL;
	for (int i = 0; i < nr; i++) {
		if (v[i].iov_len > (size_t)SSIZE_MAX - *total)
			return -EINVAL;
		*total += v[i].iov_len;
	}
	return 0;
}

/* limit a vector to `most` bytes: the pieces that fit, or a part of the first one */
static const struct iovec *limit_to(size_t most, const struct iovec *v, int *nr, size_t *len, struct iovec *part)
{
	size_t sum = 0;
	int n = 0;

	if (*len <= most)
		return v;
	while (n < *nr && v[n].iov_len <= most - sum)
		sum += v[n++].iov_len;
	if (sum) {
		*nr = n;
		*len = sum;
		return v;
	}
	*part = (struct iovec){ v[n].iov_base, most };
	*nr = 1;
	*len = most;
	return part;
}

/* to the bytes that one call may have */
static const struct iovec *limit(const struct iovec *v, int *nr, size_t *len, struct iovec *part)
{
	return limit_to(REDIRECT_IO_MAX, v, nr, len, part);
}

/* as far as RLIMIT_FSIZE allows: a write that begins before the limit is shortened.  off: -1 for the end */
static int limit_write(struct redirect_file *f, off_t off, const struct iovec **v, int *nr, size_t *len, struct iovec *part)
{
	size_t most = *len;
	int rc;

	if (!redirect_limited())
		return 0;
	rc = redirect_limit_write(off < 0 ? redirect_size_of(f) : off, &most);
	if (rc == 0)
		*v = limit_to(most, *v, nr, len, part);
	return rc;
}

/* ---- with the pool ------------------------------------------------------------------------ */

/* most calls: a copy in memory, which a signal handler may interrupt (but it cannot use the pool meanwhile) */
static ssize_t at_once(struct redirect_file *f, const struct iovec *v, int nr, off_t off, bool write)
{
	const struct redirect_pool *pool = redirect_pool();
	ssize_t n;

	if (nr != 1 || v->iov_len > AT_ONCE_MAX)
		return -EAGAIN;
	redirect_inside++;
	n = write ? pool->write_at_once(f->file, v, off) : pool->read_at_once(f->file, v, off);
	redirect_inside--;
	return n;
}

static ssize_t pool_read(struct redirect_file *f, const struct iovec *v, int nr, off_t off)
{
	struct redirect_calm calm;
	ssize_t n;

	if (f->access == O_WRONLY)
		return -EBADF;
	if (off < 0)
		return -EINVAL;
	n = at_once(f, v, nr, off, false);
	if (n != -EAGAIN)
		return n;
	redirect_enter(&calm);
	n = REDIRECT_ROOM(redirect_pool()->read, f->file, v, nr, off);
	redirect_leave(&calm);
	return n;
}

static int after_write(struct redirect_file *f, bool sync)
{
	struct redirect_calm calm;
	int rc = 0;

	atomic_store_explicit(&f->wrote, true, memory_order_relaxed);
	redirect_grow_maps(f->dev, f->ino);
	if (sync || atomic_load_explicit(&f->sync, memory_order_relaxed)) {
		redirect_enter(&calm);
		rc = (int)REDIRECT_ROOM(redirect_pool()->sync, f->file);
		redirect_leave(&calm);
	}
	return rc;
}

static ssize_t pool_write(struct redirect_file *f, const struct iovec *v, int nr, off_t off, bool sync)
{
	struct redirect_calm calm;
	ssize_t n;
	int rc;

	if (f->access == O_RDONLY)
		return -EBADF;
	if (off < 0)
		return -EINVAL;
	n = at_once(f, v, nr, off, true);
	if (n == -EAGAIN) {
		redirect_enter(&calm);
		n = REDIRECT_ROOM(redirect_pool()->write, f->file, v, nr, off);
		redirect_leave(&calm);
	}
	if (off == 0 && n >= (ssize_t)sizeof(Elf64_Ehdr) && v->iov_len >= sizeof(Elf64_Ehdr) && redirect_is_library(v->iov_base))
		atomic_store(&f->loads, true);
	rc = n > 0 ? after_write(f, sync) : 0;
	return rc < 0 ? rc : n;
}

static ssize_t pool_append(struct redirect_file *f, const struct iovec *v, int nr, off_t *end, bool sync)
{
	struct redirect_calm calm;
	ssize_t n;
	off_t at = 0;
	int rc;

	if (f->access == O_RDONLY)
		return -EBADF;
	redirect_enter(&calm);
	n = REDIRECT_ROOM(redirect_pool()->append, f->file, v, nr, &at);
	redirect_leave(&calm);
	if (n < 0)
		return n;
	*end = at + n;
	rc = n > 0 ? after_write(f, sync) : 0;
	return rc < 0 ? rc : n;
}

/* ---- at the kernel's offset -------------------------------------------------------------------- */

/* the offset is moved first, so that no other process or thread that shares it reads or writes the same range */
static ssize_t sequential(struct redirect_file *f, int fd, const struct iovec *v, int nr, size_t len, bool write, bool sync)
{
	off_t end = RAW(lseek, fd, len, SEEK_CUR);
	ssize_t n;

	if (end < 0)
		return write ? -EFBIG : (ssize_t)end;
	n = write ? pool_write(f, v, nr, end - (off_t)len, sync) : pool_read(f, v, nr, end - (off_t)len);
	if (n < (ssize_t)len)
		RAW(lseek, fd, (n < 0 ? 0 : n) - (ssize_t)len, SEEK_CUR);
	return n;
}

static ssize_t read_on(struct redirect_file *f, int fd, const struct iovec *v, int nr)
{
	struct iovec part;
	size_t len;
	int rc = sum_up(v, nr, &len);

	if (rc < 0)
		return rc;
	v = limit(v, &nr, &len, &part);
	if (f->access == O_WRONLY)
		return -EBADF;
	return sequential(f, fd, v, nr, len, false, false);
}

static ssize_t write_on(struct redirect_file *f, int fd, const struct iovec *v, int nr, unsigned flags)
{
	bool sync = flags & RWF_SYNCS, append = flags & RWF_APPENDS;
	struct iovec part, shorter;
	size_t len;
	ssize_t n;
	off_t end;
	int rc = sum_up(v, nr, &len);

	if (rc < 0)
		return rc;
	v = limit(v, &nr, &len, &part);
	if (f->access == O_RDONLY)
		return -EBADF;
	if (len == 0)
		return 0;
	append = append || (!(flags & RWF_NOT_APPENDS) && atomic_load_explicit(&f->append, memory_order_relaxed));
	if (redirect_limited()) {
		rc = limit_write(f, append ? -1 : (off_t)RAW(lseek, fd, 0, SEEK_CUR), &v, &nr, &len, &shorter);
		if (rc < 0)
			return rc;
	}
	if (!append)
		return sequential(f, fd, v, nr, len, true, sync);
	n = pool_append(f, v, nr, &end, sync);
	if (n > 0)
		RAW(lseek, fd, end, SEEK_SET);
	return n;
}

/* Linux appends here, too, if the descriptor has O_APPEND */
static ssize_t write_at(struct redirect_file *f, const struct iovec *v, int nr, off_t off, unsigned flags)
{
	bool sync = flags & RWF_SYNCS, append = (flags & RWF_APPENDS) || (!(flags & RWF_NOT_APPENDS) && atomic_load_explicit(&f->append, memory_order_relaxed));
	struct iovec part;
	size_t len;
	off_t end;
	int rc = sum_up(v, nr, &len);

	if (rc < 0 || off < 0)
		return -EINVAL;
	if (redirect_limited() && len) {
		rc = limit_write(f, append ? -1 : off, &v, &nr, &len, &part);
		if (rc < 0)
			return rc;
	}
	return append ? pool_append(f, v, nr, &end, sync) : pool_write(f, v, nr, off, sync);
}

static ssize_t read_at(struct redirect_file *f, const struct iovec *v, int nr, off_t off)
{
	size_t len;

	return sum_up(v, nr, &len) < 0 ? -EINVAL : pool_read(f, v, nr, off);
}

/* ---- the calls ------------------------------------------------------------------------------------ */

/* the rest of a call on a plain file, or of one that failed */
#define WITHOUT(err, plain) ((err) < 0 ? redirect_result(err) : raw_result(plain))

static ssize_t done(struct redirect_file *f, ssize_t n)
{
	redirect_put(f);
	return redirect_result(n);
}

ssize_t redirect_read(int fd, void *buf, size_t len)
{
	struct iovec v = { buf, len };
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	return f ? done(f, read_on(f, fd, &v, 1)) : WITHOUT(err, CANCELLABLE(RAW(read, fd, buf, len)));
}
REDIRECT(read, redirect_read);
REDIRECT_ENTRY(__read_nocancel, redirect_read);

ssize_t redirect_write(int fd, const void *buf, size_t len)
{
	struct iovec v = { (void *)(uintptr_t)buf, len };
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	return f ? done(f, write_on(f, fd, &v, 1, 0)) : WITHOUT(err, CANCELLABLE(RAW(write, fd, buf, len)));
}
REDIRECT(write, redirect_write);
REDIRECT_ENTRY(__write_nocancel, redirect_write);

ssize_t redirect_pread(int fd, void *buf, size_t len, off_t off)
{
	struct iovec v = { buf, len };
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	return f ? done(f, read_at(f, &v, 1, off)) : WITHOUT(err, CANCELLABLE(RAW(pread64, fd, buf, len, off)));
}
REDIRECT(pread, redirect_pread);
REDIRECT(pread64, redirect_pread);
REDIRECT_ENTRY(__pread64_nocancel, redirect_pread);

ssize_t redirect_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	struct iovec v = { (void *)(uintptr_t)buf, len };
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	return f ? done(f, write_at(f, &v, 1, off, 0)) : WITHOUT(err, CANCELLABLE(RAW(pwrite64, fd, buf, len, off)));
}
REDIRECT(pwrite, redirect_pwrite);
REDIRECT(pwrite64, redirect_pwrite);

ssize_t redirect_readv(int fd, const struct iovec *v, int nr);
ssize_t redirect_readv(int fd, const struct iovec *v, int nr)
{
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	return f ? done(f, read_on(f, fd, v, nr)) : WITHOUT(err, CANCELLABLE(RAW(readv, fd, v, nr)));
}
REDIRECT(readv, redirect_readv);

ssize_t redirect_writev(int fd, const struct iovec *v, int nr);
ssize_t redirect_writev(int fd, const struct iovec *v, int nr)
{
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	return f ? done(f, write_on(f, fd, v, nr, 0)) : WITHOUT(err, CANCELLABLE(RAW(writev, fd, v, nr)));
}
REDIRECT(writev, redirect_writev);

ssize_t redirect_preadv2(int fd, const struct iovec *v, int nr, off_t off, int flags);
ssize_t redirect_preadv2(int fd, const struct iovec *v, int nr, off_t off, int flags)
{
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	if (!f)
		return WITHOUT(err, CANCELLABLE(RAW(preadv2, fd, v, nr, off, 0, flags)));
	if (flags & ~RWF_KNOWN)
		return done(f, -EOPNOTSUPP);
	return done(f, off == -1 ? read_on(f, fd, v, nr) : read_at(f, v, nr, off));
}
REDIRECT(preadv2, redirect_preadv2);
REDIRECT(preadv64v2, redirect_preadv2);

ssize_t redirect_pwritev2(int fd, const struct iovec *v, int nr, off_t off, int flags);
ssize_t redirect_pwritev2(int fd, const struct iovec *v, int nr, off_t off, int flags)
{
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	if (!f)
		return WITHOUT(err, CANCELLABLE(RAW(pwritev2, fd, v, nr, off, 0, flags)));
	if (flags & ~RWF_KNOWN)
		return done(f, -EOPNOTSUPP);
	if ((flags & RWF_APPENDS) && (flags & RWF_NOT_APPENDS))
		return done(f, -EINVAL);
	return done(f, off == -1 ? write_on(f, fd, v, nr, (unsigned)flags) : write_at(f, v, nr, off, (unsigned)flags));
}
REDIRECT(pwritev2, redirect_pwritev2);
REDIRECT(pwritev64v2, redirect_pwritev2);

ssize_t redirect_preadv(int fd, const struct iovec *v, int nr, off_t off);
ssize_t redirect_preadv(int fd, const struct iovec *v, int nr, off_t off)
{
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	return f ? done(f, read_at(f, v, nr, off)) : WITHOUT(err, CANCELLABLE(RAW(preadv, fd, v, nr, off, 0)));
}
REDIRECT(preadv, redirect_preadv);
REDIRECT(preadv64, redirect_preadv);

ssize_t redirect_pwritev(int fd, const struct iovec *v, int nr, off_t off);
ssize_t redirect_pwritev(int fd, const struct iovec *v, int nr, off_t off)
{
	int err;
	struct redirect_file *f = redirect_get(fd, REDIRECT_CALLER, &err);

	return f ? done(f, write_at(f, v, nr, off, 0)) : WITHOUT(err, CANCELLABLE(RAW(pwritev, fd, v, nr, off, 0)));
}
REDIRECT(pwritev, redirect_pwritev);
REDIRECT(pwritev64, redirect_pwritev);

/* ---- the functions that compilers call where they know the buffer's size ---------------------------- */

static void check(size_t len, size_t room)
{
	if (len > room)
		abort();
}

ssize_t redirect_read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t redirect_read_chk(int fd, void *buf, size_t len, size_t room)
{
	check(len, room);
	return redirect_read(fd, buf, len);
}
REDIRECT(__read_chk, redirect_read_chk);

ssize_t redirect_pread_chk(int fd, void *buf, size_t len, off_t off, size_t room);
ssize_t redirect_pread_chk(int fd, void *buf, size_t len, off_t off, size_t room)
{
	check(len, room);
	return redirect_pread(fd, buf, len, off);
}
REDIRECT(__pread_chk, redirect_pread_chk);
REDIRECT(__pread64_chk, redirect_pread_chk);
