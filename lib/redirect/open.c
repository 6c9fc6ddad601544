/* open.c -- opening, duplicating and closing descriptors */
#include "redirect/redirect.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "redirect/cancel.h"

static int open_for_libpmio(int dir, const char *path, int flags, mode_t mode)
{
	return (int)raw_result(redirect_own((int)REDIRECT_ABOVE(RAW(openat, dir, path, flags, mode))));
}

static bool is_there(int dir, const char *path)
{
	return RAW(faccessat, dir, path, F_OK) == 0;
}

/* opens that give no access to data, or that make a file without a name */
static bool is_plain_open(int flags)
{
	return (flags & (O_PATH | O_DIRECTORY)) || (flags & O_TMPFILE) == O_TMPFILE;
}

/* ---- in a child of vfork, as posix_spawn() has them for its file actions ------------------------- */

struct opening {
	int dir;
	const char *path;
	int flags;
	mode_t mode;
};
static struct opening opening; /* of a process that does only this */

static int open_there(void)
{
	int fd = redirect_open_at(opening.dir, opening.path, opening.flags, opening.mode, NULL);

	return fd < 0 || redirect_close(fd) < 0 ? errno : 0;
}

/* the program that is executed then recognises the descriptor; but the kernel must not shorten the file */
static int open_for_spawn(int dir, const char *path, int flags, mode_t mode)
{
	int err;

	if ((flags & O_TRUNC) && redirect_may_match(dir, path)) {
		opening = (struct opening){ dir, path, flags & ~O_CLOEXEC, mode };
		err = redirect_in_child(open_there);
		if (err)
			return (int)raw_result(-err);
		flags &= ~(O_TRUNC | O_EXCL);
	}
	return (int)raw_result(RAW(openat, dir, path, flags, mode));
}

/* ---- open ------------------------------------------------------------------------------------ */

#define LOST_MAX 100 /* files to which the name resolved, one after the other, and which had lost it */

/* the kernel must not shorten a file that the pool has data of */
static long open_uncut(int dir, const char *path, const struct open_how *how)
{
	struct open_how uncut = *how;

	uncut.flags &= ~(uint64_t)O_TRUNC;
	if (how->resolve)
		return CANCELLABLE(RAW(openat2, dir, path, &uncut, sizeof(uncut)));
	return CANCELLABLE(RAW(openat, dir, path, uncut.flags, uncut.mode));
}

static int open_once(int dir, const char *path, const struct open_how *how, const void *caller, struct redirect_lost *lost)
{
	int flags = (int)how->flags;
	bool is_new = false;
	long fd;

	if ((flags & O_CREAT) && redirect_may_match(dir, path))
		is_new = (flags & O_EXCL) || !is_there(dir, path);
	fd = open_uncut(dir, path, how);
	if (fd < 0)
		return (int)raw_result(fd);
	return redirect_opened((int)fd, flags, is_new, flags & O_TRUNC, caller, lost);
}

static int open_named(int dir, const char *path, const struct open_how *how, const void *caller)
{
	struct redirect_lost lost = { .again = true };
	int fd = -1;

	for (int tries = 0; lost.again && tries < LOST_MAX; tries++) {
		lost.again = false;
		fd = open_once(dir, path, how, caller, &lost);
	}
	return fd;
}

int redirect_open_at(int dir, const char *path, int flags, mode_t mode, const void *caller)
{
	struct open_how how = { .resolve = 0 };

	if (redirect_inside && redirect_on)
		return open_for_libpmio(dir, path, flags, mode);
	path = redirect_plain_path(dir, path);
	if (!redirect_on || !path || is_plain_open(flags))
		return (int)raw_result(CANCELLABLE(RAW(openat, dir, path, flags, mode)));
	if (!redirect_ours())
		return open_for_spawn(dir, path, flags, mode);
	how.flags = (unsigned)flags;
	how.mode = mode;
	return (int)REDIRECT_ROOM(open_named, dir, path, &how, caller);
}

/* what only the kernel can judge fails with the kernel's error, before anything is changed */
static bool is_known(const struct open_how *how, size_t size)
{
	const uint64_t modes = 07777, flags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_DIRECT | O_LARGEFILE |
					      O_NOFOLLOW | O_NOATIME | O_CLOEXEC;

	return size == sizeof(*how) && !(how->flags & ~flags) && (how->flags & O_CREAT ? !(how->mode & ~modes) : how->mode == 0);
}

int redirect_open_how(int dir, const char *path, const struct open_how *how, size_t size, const void *caller)
{
	path = redirect_plain_path(dir, path);
	if (!redirect_on || !path || !how || !is_known(how, size))
		return (int)raw_result(CANCELLABLE(RAW(openat2, dir, path, how, size)));
	if (!redirect_inside && redirect_ours())
		return (int)REDIRECT_ROOM(open_named, dir, path, how, caller);
	return how->resolve ? (int)raw_result(-ENOSYS) : redirect_open_at(dir, path, (int)how->flags, (mode_t)how->mode, caller);
}

/* glibc has it from 2.43 on */
int redirect_openat2(int dir, const char *path, const struct open_how *how, size_t size);
int redirect_openat2(int dir, const char *path, const struct open_how *how, size_t size)
{
	return redirect_open_how(dir, path, how, size, REDIRECT_CALLER);
}
REDIRECT(openat2, redirect_openat2);

#define TAKE_MODE(flags, mode)                                                                                   \
	do {                                                                                                       \
		if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) {                                   \
			va_list ap;                                                                                \
                                                                                                                   \
			va_start(ap, flags);                                                                       \
			mode = va_arg(ap, mode_t);                                                                 \
			va_end(ap);                                                                                \
		}                                                                                                  \
	} while (0)

int redirect_open(const char *path, int flags, ...);
int redirect_open(const char *path, int flags, ...)
{
	mode_t mode = 0;

	TAKE_MODE(flags, mode);
	return redirect_open_at(AT_FDCWD, path, flags, mode, REDIRECT_CALLER);
}
REDIRECT(open, redirect_open);
REDIRECT(open64, redirect_open);
REDIRECT_ENTRY(__open_nocancel, redirect_open);
REDIRECT_ENTRY(__open64_nocancel, redirect_open);

int redirect_openat(int dir, const char *path, int flags, ...);
int redirect_openat(int dir, const char *path, int flags, ...)
{
	mode_t mode = 0;

	TAKE_MODE(flags, mode);
	return redirect_open_at(dir, path, flags, mode, REDIRECT_CALLER);
}
REDIRECT(openat, redirect_openat);
REDIRECT(openat64, redirect_openat);

int redirect_open_2(const char *path, int flags);
int redirect_open_2(const char *path, int flags)
{
	return redirect_open_at(AT_FDCWD, path, flags, 0, REDIRECT_CALLER);
}
REDIRECT(__open_2, redirect_open_2);
REDIRECT(__open64_2, redirect_open_2);

int redirect_openat_2(int dir, const char *path, int flags);
int redirect_openat_2(int dir, const char *path, int flags)
{
	return redirect_open_at(dir, path, flags, 0, REDIRECT_CALLER);
}
REDIRECT(__openat_2, redirect_openat_2);
REDIRECT(__openat64_2, redirect_openat_2);

int redirect_creat(const char *path, mode_t mode);
int redirect_creat(const char *path, mode_t mode)
{
	return redirect_open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, REDIRECT_CALLER);
}
REDIRECT(creat, redirect_creat);
REDIRECT(creat64, redirect_creat);

/* calls that only the network library for other nodes makes */
#define OWN_ONLY(name, function) __asm__(".weak " #name "\n.type " #name ", %function\n.set " #name ", " #function)

static int maybe_own(long fd)
{
	return (int)raw_result(fd >= 0 && redirect_on && redirect_inside ? redirect_own((int)fd) : fd);
}

static int maybe_own_both(long rc, int fds[2])
{
	for (int i = 0; rc >= 0 && i < 2 && redirect_on && redirect_inside; i++)
		fds[i] = redirect_own(fds[i]);
	return (int)raw_result(rc);
}

#define OURS(call) (redirect_on && redirect_inside ? REDIRECT_ABOVE(call) : (call))

/* libpmio's connection must not have a number that the program may use otherwise */
int redirect_socket(int domain, int type, int protocol);
int redirect_socket(int domain, int type, int protocol)
{
	return maybe_own(OURS(RAW(socket, domain, type, protocol)));
}
REDIRECT(socket, redirect_socket);

int redirect_accept(int fd, struct sockaddr *addr, socklen_t *len);
int redirect_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	return maybe_own(OURS(CANCELLABLE(RAW(accept4, fd, addr, len, 0))));
}
OWN_ONLY(accept, redirect_accept);

int redirect_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int redirect_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	return maybe_own(OURS(CANCELLABLE(RAW(accept4, fd, addr, len, flags))));
}
OWN_ONLY(accept4, redirect_accept4);

int redirect_epoll_create(int size);
int redirect_epoll_create(int size)
{
	return maybe_own(size > 0 ? OURS(RAW(epoll_create1, 0)) : -EINVAL);
}
OWN_ONLY(epoll_create, redirect_epoll_create);

int redirect_epoll_create1(int flags);
int redirect_epoll_create1(int flags)
{
	return maybe_own(OURS(RAW(epoll_create1, flags)));
}
OWN_ONLY(epoll_create1, redirect_epoll_create1);

int redirect_eventfd(unsigned count, int flags);
int redirect_eventfd(unsigned count, int flags)
{
	return maybe_own(OURS(RAW(eventfd2, count, flags)));
}
OWN_ONLY(eventfd, redirect_eventfd);

int redirect_socketpair(int domain, int type, int protocol, int fds[2]);
int redirect_socketpair(int domain, int type, int protocol, int fds[2])
{
	return maybe_own_both(OURS(RAW(socketpair, domain, type, protocol, fds)), fds);
}
OWN_ONLY(socketpair, redirect_socketpair);

int redirect_pipe2(int fds[2], int flags);
int redirect_pipe2(int fds[2], int flags)
{
	return maybe_own_both(OURS(RAW(pipe2, fds, flags)), fds);
}
OWN_ONLY(pipe2, redirect_pipe2);

int redirect_pipe(int fds[2]);
int redirect_pipe(int fds[2])
{
	return redirect_pipe2(fds, 0);
}
OWN_ONLY(pipe, redirect_pipe);

/* the agent sends a descriptor, which would be lost if there was no free number for it */
ssize_t redirect_recvmsg(int sock, struct msghdr *m, int flags);
ssize_t redirect_recvmsg(int sock, struct msghdr *m, int flags)
{
	struct redirect_raised raised;
	long n;

	if (!redirect_inside || !__atomic_load_n(&redirect_was_raised, __ATOMIC_RELAXED) || !redirect_raise(&raised))
		return raw_result(CANCELLABLE(RAW(recvmsg, sock, m, flags)));
	n = RAW(recvmsg, sock, m, flags);
	redirect_lower(&raised);
	return raw_result(n);
}
OWN_ONLY(recvmsg, redirect_recvmsg);

/* a process that receives a file's descriptor has the file open without the agent's knowledge */
ssize_t redirect_sendmsg(int sock, const struct msghdr *m, int flags);
ssize_t redirect_sendmsg(int sock, const struct msghdr *m, int flags)
{
	if (redirect_on && !redirect_inside && m && m->msg_control && m->msg_controllen && redirect_ours())
		redirect_share_all();
	return raw_result(CANCELLABLE(RAW(sendmsg, sock, m, flags)));
}
REDIRECT(sendmsg, redirect_sendmsg);

int redirect_sendmmsg(int sock, struct mmsghdr *m, unsigned nr, int flags);
int redirect_sendmmsg(int sock, struct mmsghdr *m, unsigned nr, int flags)
{
	bool has_control = false;

	for (unsigned i = 0; m && i < nr; i++)
		has_control |= m[i].msg_hdr.msg_control && m[i].msg_hdr.msg_controllen;
	if (redirect_on && !redirect_inside && has_control && redirect_ours())
		redirect_share_all();
	return (int)raw_result(CANCELLABLE(RAW(sendmmsg, sock, m, nr, flags)));
}
REDIRECT(sendmmsg, redirect_sendmmsg);

/* ---- close ----------------------------------------------------------------------------------- */

int redirect_close(int fd)
{
	int rc;
	long closed;

	if (redirect_inside) {
		redirect_disown(fd);
		return (int)raw_result(RAW(close, fd));
	}
	if (redirect_on && redirect_is_own(fd) && redirect_ours()) {
		errno = EBADF;
		return -1;
	}
	rc = redirect_forget(fd); /* while it still has its locks */
	closed = CANCELLABLE(RAW(close, fd));
	return (int)(closed < 0 ? raw_result(closed) : redirect_result(rc));
}
REDIRECT(close, redirect_close);
REDIRECT_ENTRY(__close_nocancel, redirect_close);

/* all but libpmio's own descriptors */
int redirect_close_range(unsigned first, unsigned last, int flags);
int redirect_close_range(unsigned first, unsigned last, int flags)
{
	unsigned fd, from = first;
	long rc = 0;

	if (!redirect_on || redirect_inside || first > last || !redirect_ours())
		return (int)raw_result(RAW(close_range, first, last, flags));
	for (fd = first; fd <= last && (int)fd <= redirect_highest() && fd < REDIRECT_FDS; fd++) {
		if (redirect_is_own((int)fd)) {
			if (fd > from)
				rc = RAW(close_range, from, fd - 1, flags);
			from = fd + 1;
		} else if (!(flags & CLOSE_RANGE_CLOEXEC)) {
			redirect_forget((int)fd);
		}
	}
	if (from <= last && rc == 0)
		rc = RAW(close_range, from, last, flags);
	return (int)raw_result(rc);
}
REDIRECT(close_range, redirect_close_range);

void redirect_closefrom(int first);
void redirect_closefrom(int first)
{
	redirect_close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}
REDIRECT(closefrom, redirect_closefrom);

/* ---- dup and similar ----------------------------------------------------------------------------- */

/* the original must be recognised before its entry is copied to a duplicate */
static void know(int fd)
{
	int rc;
	struct redirect_file *f = redirect_ours() ? redirect_get(fd, REDIRECT_CALLER, &rc) : NULL;

	if (f)
		redirect_put(f);
}

static int copied(int from, long to)
{
	if (to >= 0 && !redirect_inside)
		redirect_duplicate(from, (int)to);
	return (int)raw_result(to);
}

int redirect_dup(int fd);
int redirect_dup(int fd)
{
	know(fd);
	return copied(fd, RAW(dup, fd));
}
REDIRECT(dup, redirect_dup);

int redirect_dup3(int from, int to, int flags);
int redirect_dup3(int from, int to, int flags)
{
	int rc = 0;

	if (redirect_on && !redirect_inside && from != to && from >= 0 && redirect_ours()) {
		if (redirect_is_own(to) || redirect_is_own(from)) {
			errno = EBADF;
			return -1;
		}
		know(from);
		if (RAW(fcntl, from, F_GETFD, 0) >= 0)
			rc = redirect_forget(to);
		if (rc < 0)
			redirect_error("dup2 to %d: the file that was open there could not be drained: %s", to, strerror(redirect_errno(rc)));
	}
	return copied(from, RAW(dup3, from, to, flags));
}
REDIRECT(dup3, redirect_dup3);

int redirect_dup2(int from, int to);
int redirect_dup2(int from, int to)
{
	if (from == to)
		return (int)(RAW(fcntl, from, F_GETFD, 0) < 0 ? raw_result(-EBADF) : to);
	return redirect_dup3(from, to, 0);
}
REDIRECT(dup2, redirect_dup2);

/* ---- fcntl ------------------------------------------------------------------------------------- */

#define OWN_LOCKS ((off_t)1 << 62) /* bytes from here on are libpmio's (pfs/exclusion.c) */

/*
 * a lock to the end of the file is limited to the bytes that the program can use, and the end is that of the pool's
 * size
 */
static long set_lock(struct redirect_file *f, int fd, int cmd, const struct flock *asked, struct flock *answer)
{
	struct flock fl = *asked;
	off_t base = 0;
	long rc;

	if (fl.l_whence == SEEK_CUR)
		base = RAW(lseek, fd, 0, SEEK_CUR);
	else if (fl.l_whence == SEEK_END && redirect_size(f, &base) < 0)
		base = -1;
	if (base < 0 || base > OWN_LOCKS || fl.l_start > OWN_LOCKS)
		return RAW(fcntl, fd, cmd, asked);
	fl.l_whence = SEEK_SET;
	fl.l_start += base;
	if (fl.l_start >= 0 && fl.l_start < OWN_LOCKS && (fl.l_len == 0 || fl.l_len > OWN_LOCKS - fl.l_start))
		fl.l_len = OWN_LOCKS - fl.l_start;
	rc = CANCELLABLE(RAW(fcntl, fd, cmd, &fl));
	if (rc >= 0 && answer) {
		if (fl.l_type == F_UNLCK) { /* all other fields are unchanged */
			answer->l_type = F_UNLCK;
		} else {
			*answer = fl;
			if (fl.l_start + fl.l_len == OWN_LOCKS)
				answer->l_len = 0;
		}
	}
	return rc;
}

static long redirected_fcntl(struct redirect_file *f, int fd, int cmd, long arg)
{
	struct flock *fl = (struct flock *)arg;
	long rc;

	switch (cmd) {
	case F_SETFL:
		rc = RAW(fcntl, fd, cmd, arg);
		if (rc >= 0)
			atomic_store(&f->append, (arg & O_APPEND) != 0);
		return rc;
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return fl ? set_lock(f, fd, cmd, fl, NULL) : -EFAULT;
	case F_GETLK:
	case F_OFD_GETLK:
		return fl ? set_lock(f, fd, cmd, fl, fl) : -EFAULT;
	default:
		return RAW(fcntl, fd, cmd, arg);
	}
}

int redirect_fcntl(int fd, int cmd, ...);
int redirect_fcntl(int fd, int cmd, ...)
{
	struct redirect_file *f;
	va_list ap;
	long arg, rc;
	int err;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC) {
		know(fd);
		rc = OURS(RAW(fcntl, fd, cmd, arg));
		if (redirect_inside)
			return (int)raw_result(redirect_on ? redirect_own((int)rc) : rc);
		return copied(fd, rc);
	}
	if (cmd == F_GETFD || cmd == F_SETFD || cmd == F_GETFL)
		return (int)raw_result(RAW(fcntl, fd, cmd, arg));
	f = redirect_get(fd, REDIRECT_CALLER, &err);
	if (err < 0)
		return (int)redirect_result(err);
	if (!f)
		return (int)raw_result(cmd == F_SETLKW || cmd == F_OFD_SETLKW ? CANCELLABLE(RAW(fcntl, fd, cmd, arg)) : RAW(fcntl, fd, cmd, arg));
	rc = redirected_fcntl(f, fd, cmd, arg);
	redirect_put(f);
	return (int)raw_result(rc);
}
REDIRECT(fcntl, redirect_fcntl);
REDIRECT(fcntl64, redirect_fcntl);
