/*
 * aio.c -- asynchronous calls
 *
 * libaio's are done at once where the file is redirected, and their ends are kept until the program asks.  POSIX's need
 * nothing: the C library makes plain calls for them in threads.  io_uring is not there: programs fall back.
 */
#include "redirect/redirect.h"

#include <dlfcn.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct ended {
	struct ended *next;
	aio_context_t context;
	struct io_event event;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ended *first, **last = &first; /* under lock */

static ssize_t transfer_vector(const struct iocb *c, bool write)
{
	const struct iovec *v = (const struct iovec *)(uintptr_t)c->aio_buf;
	ssize_t n, sum = 0;

	for (uint64_t i = 0; i < c->aio_nbytes; i++) {
		off_t off = c->aio_offset + sum;

		n = write ? redirect_pwrite((int)c->aio_fildes, v[i].iov_base, v[i].iov_len, off)
			  : redirect_pread((int)c->aio_fildes, v[i].iov_base, v[i].iov_len, off);
		if (n < 0)
			return sum ? sum : n;
		sum += n;
		if ((size_t)n < v[i].iov_len)
			break;
	}
	return sum;
}

/* as the event has it */
static ssize_t perform(const struct iocb *c)
{
	void *buf = (void *)(uintptr_t)c->aio_buf;
	ssize_t n;

	switch (c->aio_lio_opcode) {
	case IOCB_CMD_PREAD:
		n = redirect_pread((int)c->aio_fildes, buf, c->aio_nbytes, c->aio_offset);
		break;
	case IOCB_CMD_PWRITE:
		n = redirect_pwrite((int)c->aio_fildes, buf, c->aio_nbytes, c->aio_offset);
		break;
	case IOCB_CMD_PREADV:
	case IOCB_CMD_PWRITEV:
		n = transfer_vector(c, c->aio_lio_opcode == IOCB_CMD_PWRITEV);
		break;
	case IOCB_CMD_FSYNC:
	case IOCB_CMD_FDSYNC:
		n = redirect_fsync((int)c->aio_fildes);
		break;
	default:
		return -EINVAL;
	}
	return n < 0 ? -errno : n;
}

static void tell(const struct iocb *c)
{
	uint64_t one = 1;

	if (c->aio_flags & IOCB_FLAG_RESFD)
		RAW(write, c->aio_resfd, &one, sizeof(one));
}

static long do_at_once(aio_context_t context, struct iocb *c)
{
	struct ended *e;
	int before = errno;

	redirect_inside++;
	e = malloc(sizeof(*e));
	redirect_inside--;
	if (!e)
		return -EAGAIN;
	*e = (struct ended){ .context = context, .event = { .data = c->aio_data, .obj = (uintptr_t)c } };
	e->event.res = perform(c);
	errno = before;
	pthread_mutex_lock(&lock);
	*last = e;
	last = &e->next;
	pthread_mutex_unlock(&lock);
	tell(c);
	return 1;
}

static long submit_one(aio_context_t context, struct iocb *c, const void *caller)
{
	int err;
	struct redirect_file *f = redirect_get((int)c->aio_fildes, caller, &err);
	long n;

	if (!f)
		return err < 0 ? -redirect_errno(err) : RAW(io_submit, context, 1, &c);
	n = do_at_once(context, c);
	redirect_put(f);
	return n;
}

static long submit(aio_context_t context, long nr, struct iocb **v, const void *caller)
{
	long n = 0;

	if (!redirect_on || redirect_inside)
		return RAW(io_submit, context, nr, v);
	while (n < nr) {
		long rc = submit_one(context, v[n], caller);

		if (rc != 1)
			return n ? n : rc;
		n++;
	}
	return n;
}

/* up to nr ends of that context */
static long take(aio_context_t context, long nr, struct io_event *out)
{
	long n = 0;

	if (!__atomic_load_n(&first, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&lock);
	for (struct ended **at = &first; *at && n < nr;) {
		struct ended *e = *at;

		if (e->context != context) {
			at = &e->next;
			continue;
		}
		*at = e->next;
		if (last == &e->next)
			last = at;
		if (out)
			out[n] = e->event;
		n++;
		free(e);
	}
	pthread_mutex_unlock(&lock);
	return n;
}

static long get_events(aio_context_t context, long min, long nr, struct io_event *out, struct timespec *limit)
{
	static struct timespec none = { 0, 0 };
	long n = redirect_on && !redirect_inside ? take(context, nr, out) : 0, more;

	if (n == nr && nr)
		return n;
	more = RAW(io_getevents, context, n < min ? min - n : 0, nr - n, out + n, n < min ? limit : &none);
	return more < 0 ? (n ? n : more) : n + more;
}

/* ---- libaio's functions, which return a negative errno ---------------------------------------------- */

int redirect_io_submit(aio_context_t context, long nr, struct iocb **v);
int redirect_io_submit(aio_context_t context, long nr, struct iocb **v)
{
	return (int)submit(context, nr, v, REDIRECT_CALLER);
}
REDIRECT(io_submit, redirect_io_submit);

int redirect_io_getevents(aio_context_t context, long min, long nr, struct io_event *out, struct timespec *limit);
int redirect_io_getevents(aio_context_t context, long min, long nr, struct io_event *out, struct timespec *limit)
{
	return (int)get_events(context, min, nr, out, limit);
}
REDIRECT(io_getevents, redirect_io_getevents);

int redirect_io_destroy(aio_context_t context);
int redirect_io_destroy(aio_context_t context)
{
	take(context, LONG_MAX, NULL);
	return (int)RAW(io_destroy, context);
}
REDIRECT(io_destroy, redirect_io_destroy);

long redirect_aio_by_number(long nr, const long a[6], const void *caller)
{
	switch (nr) {
	case SYS_io_submit:
		return submit((aio_context_t)a[0], a[1], (struct iocb **)a[2], caller);
	case SYS_io_getevents:
		return get_events((aio_context_t)a[0], a[1], a[2], (struct io_event *)a[3], (struct timespec *)a[4]);
	default:
		return redirect_io_destroy((aio_context_t)a[0]);
	}
}

/* ---- liburing's, which makes its system calls itself -------------------------------------------------- */

static long next(const char *name, long a, long b, long c)
{
	long (*fn)(long, long, long) = (long (*)(long, long, long))dlsym(RTLD_NEXT, name);

	return redirect_on || !fn ? -ENOSYS : fn(a, b, c);
}

int redirect_io_uring_queue_init(unsigned entries, void *ring, unsigned flags);
int redirect_io_uring_queue_init(unsigned entries, void *ring, unsigned flags)
{
	return (int)next("io_uring_queue_init", entries, (long)ring, flags);
}
REDIRECT(io_uring_queue_init, redirect_io_uring_queue_init);

int redirect_io_uring_queue_init_params(unsigned entries, void *ring, void *params);
int redirect_io_uring_queue_init_params(unsigned entries, void *ring, void *params)
{
	return (int)next("io_uring_queue_init_params", entries, (long)ring, (long)params);
}
REDIRECT(io_uring_queue_init_params, redirect_io_uring_queue_init_params);

int redirect_io_uring_setup(unsigned entries, void *params);
int redirect_io_uring_setup(unsigned entries, void *params)
{
	return (int)next("io_uring_setup", entries, (long)params, 0);
}
REDIRECT(io_uring_setup, redirect_io_uring_setup);
