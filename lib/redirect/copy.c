/* copy.c -- copies that the kernel would make of the plain files, without the pool's data */
#include "redirect/redirect.h"

#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/fs.h>

#include "redirect/cancel.h"

#define BUFFER (256u << 10)
#define SPLICE_MAX (64u << 10)

#define CLONE 0x40049409u	   /* FICLONE */
#define CLONE_RANGE 0x4020940du	   /* FICLONERANGE */
#define DEDUPE_RANGE 0xc0189436u   /* FIDEDUPERANGE */
#define MAP_OF_EXTENTS 0xc020660bu /* FS_IOC_FIEMAP */
#define SET_FLAGS 0x40086602u	   /* FS_IOC_SETFLAGS */
#define SET_ATTRIBUTES 0x401c5820u /* FS_IOC_FSSETXATTR */

/* 1: one of them is redirected; 0: none; or an error */
static int any_redirected(int a, int b, const void *caller)
{
	const int fds[2] = { a, b };
	int any = 0;

	for (int i = 0; i < 2; i++) {
		int rc;
		struct redirect_file *f = redirect_get(fds[i], caller, &rc);

		if (f) {
			any = 1;
			redirect_put(f);
		} else if (rc < 0) {
			return rc;
		}
	}
	return any;
}

static bool at_end(size_t done, ssize_t n)
{
	return n == 0 || (n < 0 && done);
}

/* off, to_off: NULL for the descriptor's own offset */
static ssize_t copy_some(int from, off_t *off, int to, off_t *to_off, char *buf, size_t len)
{
	ssize_t n = off ? redirect_pread(from, buf, len, *off) : redirect_read(from, buf, len), w;

	if (n <= 0)
		return n;
	w = to_off ? redirect_pwrite(to, buf, (size_t)n, *to_off) : redirect_write(to, buf, (size_t)n);
	if (!off && w < n) /* what was not written is read again */
		redirect_lseek(from, (w < 0 ? 0 : w) - n, SEEK_CUR);
	if (w > 0 && off)
		*off += w;
	if (w > 0 && to_off)
		*to_off += w;
	return w;
}

/* malloc() may be the program's own, which may use files */
static char *new_buffer(size_t size)
{
	char *buf;

	redirect_inside++;
	buf = malloc(size);
	redirect_inside--;
	return buf;
}

static ssize_t copy(int from, off_t *off, int to, off_t *to_off, size_t len)
{
	size_t done = 0;
	ssize_t n = 0;
	char *buf;

	if (len > REDIRECT_IO_MAX)
		len = REDIRECT_IO_MAX;
	buf = new_buffer(BUFFER);
	if (!buf)
		return raw_result(-ENOMEM);
	while (done < len) {
		size_t piece = len - done < BUFFER ? len - done : BUFFER;

		n = copy_some(from, off, to, to_off, buf, piece);
		if (n <= 0)
			break;
		done += (size_t)n;
		if ((size_t)n < piece)
			break;
	}
	free(buf);
	return n < 0 && !at_end(done, n) ? -1 : (ssize_t)done;
}

ssize_t redirect_copy_file_range(int from, off_t *off, int to, off_t *to_off, size_t len, unsigned flags);
ssize_t redirect_copy_file_range(int from, off_t *off, int to, off_t *to_off, size_t len, unsigned flags)
{
	int any = any_redirected(from, to, REDIRECT_CALLER);

	if (any < 0)
		return redirect_result(any);
	if (!any)
		return raw_result(RAW(copy_file_range, from, off, to, to_off, len, flags));
	if (flags)
		return raw_result(-EINVAL);
	return copy(from, off, to, to_off, len);
}
REDIRECT(copy_file_range, redirect_copy_file_range);

ssize_t redirect_sendfile(int to, int from, off_t *off, size_t len);
ssize_t redirect_sendfile(int to, int from, off_t *off, size_t len)
{
	int any = any_redirected(from, to, REDIRECT_CALLER);

	if (any < 0)
		return redirect_result(any);
	if (!any)
		return raw_result(CANCELLABLE(RAW(sendfile, to, from, off, len)));
	return copy(from, off, to, NULL, len);
}
REDIRECT(sendfile, redirect_sendfile);
REDIRECT(sendfile64, redirect_sendfile);

/* ---- splice: one of the two is a pipe ---------------------------------------------------------------- */

static bool is_pipe(int fd)
{
	struct stat st;

	return RAW(fstat, fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static bool is_ready(int fd, short events, bool wait)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, wait ? -1 : 0) > 0;
}

/* once there is room, write as much as fits without waiting: the pipe's reader may be this thread, later */
static ssize_t fill_pipe(int fd, const char *buf, size_t len, bool wait)
{
	size_t done = 0;

	while (done < len && is_ready(fd, POLLOUT, wait && done == 0)) {
		size_t piece = len - done < PIPE_BUF ? len - done : PIPE_BUF;
		long n = RAW(write, fd, buf + done, piece);

		if (n < 0)
			return done ? (ssize_t)done : raw_result(n);
		done += (size_t)n;
	}
	return done || !len ? (ssize_t)done : raw_result(-EAGAIN);
}

static ssize_t to_pipe(int from, off_t *off, int to, char *buf, size_t len, bool wait)
{
	off_t at = off ? *off : (off_t)RAW(lseek, from, 0, SEEK_CUR);
	ssize_t n = redirect_pread(from, buf, len, at);

	if (n <= 0)
		return n;
	n = fill_pipe(to, buf, (size_t)n, wait);
	if (n > 0 && off)
		*off += n;
	else if (n > 0)
		RAW(lseek, from, n, SEEK_CUR);
	return n;
}

static ssize_t from_pipe(int from, int to, off_t *to_off, char *buf, size_t len, bool wait)
{
	ssize_t n;

	if (!wait && !is_ready(from, POLLIN, false))
		return raw_result(-EAGAIN);
	n = redirect_read(from, buf, len);
	if (n <= 0)
		return n;
	n = to_off ? redirect_pwrite(to, buf, (size_t)n, *to_off) : redirect_write(to, buf, (size_t)n);
	if (n > 0 && to_off)
		*to_off += n;
	return n;
}

static ssize_t splice_by_hand(int from, off_t *off, int to, off_t *to_off, size_t len, unsigned flags)
{
	bool wait = !(flags & SPLICE_F_NONBLOCK);
	ssize_t n;
	char *buf;

	if (is_pipe(from) == is_pipe(to) || (is_pipe(from) && off) || (is_pipe(to) && to_off))
		return raw_result(-EINVAL);
	buf = new_buffer(SPLICE_MAX);
	if (!buf)
		return raw_result(-ENOMEM);
	if (len > SPLICE_MAX)
		len = SPLICE_MAX;
	n = is_pipe(to) ? to_pipe(from, off, to, buf, len, wait) : from_pipe(from, to, to_off, buf, len, wait);
	free(buf);
	return n;
}

ssize_t redirect_splice(int from, off_t *off, int to, off_t *to_off, size_t len, unsigned flags);
ssize_t redirect_splice(int from, off_t *off, int to, off_t *to_off, size_t len, unsigned flags)
{
	int any = any_redirected(from, to, REDIRECT_CALLER);

	if (any < 0)
		return redirect_result(any);
	if (!any)
		return raw_result(CANCELLABLE(RAW(splice, from, off, to, to_off, len, flags)));
	return splice_by_hand(from, off, to, to_off, len, flags);
}
REDIRECT(splice, redirect_splice);

/* ---- ioctl --------------------------------------------------------------------------------------------- */

/* bytes from the offset to the end of the file */
static long left_to_read(int fd, int *out)
{
	off_t at = RAW(lseek, fd, 0, SEEK_CUR), size = redirect_lseek(fd, 0, SEEK_END);

	if (at < 0 || size < 0)
		return at < 0 ? at : -errno;
	RAW(lseek, fd, at, SEEK_SET);
	*out = size - at > INT_MAX ? INT_MAX : size > at ? (int)(size - at) : 0;
	return 0;
}

/* will the file be immutable or append-only? */
static bool will_be_fixed(unsigned long request, const void *arg)
{
	if ((unsigned)request == SET_FLAGS)
		return *(const int *)arg & (FS_IMMUTABLE_FL | FS_APPEND_FL);
	return ((const struct fsxattr *)arg)->fsx_xflags & (FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND);
}

static long redirected_ioctl(int fd, unsigned long request, void *arg)
{
	int rc;

	switch ((unsigned)request) {
	case FIONREAD:
		return left_to_read(fd, arg);
	case CLONE:
	case CLONE_RANGE:
	case DEDUPE_RANGE:
	case MAP_OF_EXTENTS:
		return -EOPNOTSUPP;
	case SET_FLAGS:
	case SET_ATTRIBUTES:
		rc = will_be_fixed(request, arg) ? redirect_settle_fd(fd) : 0;
		return rc < 0 ? -redirect_errno(rc) : RAW(ioctl, fd, request, arg);
	default:
		return RAW(ioctl, fd, request, arg);
	}
}

/* the other descriptor of a clone */
static int source_of(unsigned long request, const void *arg)
{
	switch ((unsigned)request) {
	case CLONE:
		return (int)(intptr_t)arg;
	case CLONE_RANGE:
		return (int)((const struct file_clone_range *)arg)->src_fd;
	default:
		return -1;
	}
}

int redirect_ioctl(int fd, unsigned long request, ...);
int redirect_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int any = 0;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (redirect_on && !redirect_inside)
		any = any_redirected(fd, source_of(request, arg), REDIRECT_CALLER);
	return (int)raw_result(any ? redirected_ioctl(fd, request, arg) : RAW(ioctl, fd, request, arg));
}
REDIRECT(ioctl, redirect_ioctl);
