/*
 * aio.c -- asynchronous calls
 *
 * Requests of libaio for redirected files are carried out at once, and their completions are queued until the program
 * collects them.  A thread that waits in the kernel for completions is woken by a request to the kernel that no program
 * sees.  POSIX's calls need nothing: the C library makes plain calls for them in threads.  io_uring_setup() fails, so
 * that programs fall back on other calls.
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

/* a thread that waits in the kernel */
struct waiter {
	struct waiter *next;
	aio_context_t context;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the variables below */
static struct ended *first, **last = &first;
static struct waiter *waiters;
static struct iocb wake_up; /* its address identifies the event */

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

/* the result, as it is to be in the event */
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

/* a write of nothing to /dev/null completes at once; lock held */
static void wake(aio_context_t context)
{
	static int nowhere = -1;
	struct iocb *v = &wake_up;

	if (nowhere < 0)
		nowhere = redirect_own((int)RAW(openat, AT_FDCWD, "/dev/null", O_WRONLY | O_CLOEXEC, 0));
	wake_up = (struct iocb){ .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = (uint32_t)nowhere, .aio_buf = (uintptr_t)&wake_up };
	RAW(io_submit, context, 1, &v);
}

static void keep(struct ended *e)
{
	pthread_mutex_lock(&lock);
	*last = e;
	last = &e->next;
	for (const struct waiter *w = waiters; w; w = w->next) {
		if (w->context == e->context) {
			wake(e->context);
			break;
		}
	}
	pthread_mutex_unlock(&lock);
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
	keep(e);
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

/* up to nr completions of that context; lock held */
static long take(aio_context_t context, long nr, struct io_event *out)
{
	long n = 0;

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
	return n;
}

/* remove the events that only woke a thread */
static long without_wakes(struct io_event *out, long n)
{
	long to = 0;

	for (long i = 0; i < n; i++) {
		if (out[i].obj != (uintptr_t)&wake_up)
			out[to++] = out[i];
	}
	return to;
}

struct asked {
	aio_context_t context;
	long min, nr;
	struct io_event *out;
	struct timespec *limit;
	const void *mask; /* of io_pgetevents(), or NULL */
	bool has_mask;
};

static long ask_kernel(const struct asked *a, long n, bool wait)
{
	static struct timespec none = { 0, 0 };
	long min = wait ? a->min - n : 0;
	struct timespec *limit = wait ? a->limit : &none;

	if (a->has_mask)
		return RAW(io_pgetevents, a->context, min, a->nr - n, a->out + n, limit, a->mask);
	return RAW(io_getevents, a->context, min, a->nr - n, a->out + n, limit);
}

/* one attempt; *woken: more completions may have been queued here meanwhile */
static long get_some(const struct asked *a, long n, bool *woken)
{
	struct waiter me = { .context = a->context };
	bool wait;
	long more, kept;

	pthread_mutex_lock(&lock);
	n += take(a->context, a->nr - n, a->out + n);
	wait = n < a->min;
	if (wait) {
		me.next = waiters;
		waiters = &me;
	}
	pthread_mutex_unlock(&lock);
	*woken = false;
	if (n == a->nr && n)
		return n;
	more = ask_kernel(a, n, wait);
	if (wait) {
		pthread_mutex_lock(&lock);
		for (struct waiter **w = &waiters; *w; w = &(*w)->next) {
			if (*w == &me) {
				*w = me.next;
				break;
			}
		}
		pthread_mutex_unlock(&lock);
	}
	if (more < 0)
		return n ? n : more;
	kept = without_wakes(a->out + n, more);
	*woken = kept < more;
	return n + kept;
}

static long get_events(const struct asked *a)
{
	bool woken;
	long n = 0;

	if (!redirect_on || redirect_inside)
		return ask_kernel(a, 0, true);
	do {
		n = get_some(a, n, &woken);
	} while (woken && n < a->nr);
	return n;
}

static void forget_context(aio_context_t context)
{
	pthread_mutex_lock(&lock);
	take(context, LONG_MAX, NULL);
	pthread_mutex_unlock(&lock);
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
	return (int)get_events(&(struct asked){ context, min, nr, out, limit, NULL, false });
}
REDIRECT(io_getevents, redirect_io_getevents);

/* the kernel takes the mask with its length */
struct sized_mask {
	const void *mask;
	size_t size;
};

int redirect_io_pgetevents(aio_context_t context, long min, long nr, struct io_event *out, struct timespec *limit, const void *mask);
int redirect_io_pgetevents(aio_context_t context, long min, long nr, struct io_event *out, struct timespec *limit, const void *mask)
{
	const struct sized_mask sized = { mask, sizeof(uint64_t) };

	return (int)get_events(&(struct asked){ context, min, nr, out, limit, &sized, true });
}
REDIRECT(io_pgetevents, redirect_io_pgetevents);

int redirect_io_destroy(aio_context_t context);
int redirect_io_destroy(aio_context_t context)
{
	forget_context(context);
	return (int)RAW(io_destroy, context);
}
REDIRECT(io_destroy, redirect_io_destroy);

long redirect_aio_by_number(long nr, const long a[6], const void *caller)
{
	switch (nr) {
	case SYS_io_submit:
		return submit((aio_context_t)a[0], a[1], (struct iocb **)a[2], caller);
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		return get_events(&(struct asked){ (aio_context_t)a[0], a[1], a[2], (struct io_event *)a[3], (struct timespec *)a[4], (const void *)a[5],
						   nr == SYS_io_pgetevents });
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
