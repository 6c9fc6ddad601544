/*
 * stack_room.c -- calls that need more stack than a thread or a signal handler may have
 *
 * Threads may have stacks of 16 KiB, and handlers of crashes alternate ones of 8 KiB.  Such calls get a stack of their own.
 */
#include "redirect/redirect.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#define NEEDED (64u << 10)
#define STACK_SIZE (512u << 10)
#define PROBED_PAGE 4096u
#define PROBED 32u /* pages: more than are needed, so that it is not done again for each deeper call */

struct room_job {
	redirect_any_function fn;
	const long *args;
	long result;
	ucontext_t here, there;
};

#define PER_THREAD static _Thread_local __attribute__((tls_model("initial-exec")))
PER_THREAD struct room_job *under_way;
PER_THREAD uintptr_t readable; /* from this address on the thread's stack can be read; 0: not known yet */

static long call(redirect_any_function fn, const long a[6])
{
	return fn(a[0], a[1], a[2], a[3], a[4], a[5]);
}

/*
 * The number of pages below an address that can be read, up to PROBED: there is a guard page below a thread's stack.
 * pthread_getattr_np() takes a lock and calls malloc(), and both may have called open() (malloc() reads the number of
 * processors).  The kernel reads them one after the other, up to the first that it cannot read.
 */
static long readable_below(uintptr_t at)
{
	char bytes[PROBED];
	struct iovec pages[PROBED], local = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	long n, pid = RAW(getpid);

	for (unsigned i = 0; i < PROBED; i++)
		pages[i] = (struct iovec){ .iov_base = (void *)(at - (i + 1) * PROBED_PAGE), .iov_len = 1 };
	n = RAW(process_vm_readv, pid, &local, 1, pages, PROBED, 0);
	return n == -EFAULT ? 0 : n;
}

static bool has_room(void)
{
	uintptr_t at = (uintptr_t)__builtin_frame_address(0);
	stack_t alternate;
	long pages;

	if (under_way)
		return true;
	if (RAW(sigaltstack, NULL, &alternate) == 0 && (alternate.ss_flags & SS_ONSTACK))
		return at - (uintptr_t)alternate.ss_sp >= NEEDED;
	if (readable && at >= readable + NEEDED)
		return true;
	/* the main thread's stack can grow far enough; and where the call is forbidden nothing is known */
	pages = RAW(getpid) == RAW(gettid) ? -EPERM : readable_below(at);
	readable = pages < 0 ? 1 : at - (uintptr_t)pages * PROBED_PAGE;
	return at >= readable + NEEDED;
}

static void run(void)
{
	under_way->result = call(under_way->fn, under_way->args);
}

/*
 * Without signals: while the thread is not on its alternate stack, the kernel would let a handler begin at the start of
 * that, where the frames of the interrupted one are
 */
static long call_elsewhere(redirect_any_function fn, const long args[6])
{
	uint64_t all = ~0ULL & ~(1ULL << (SIGSEGV - 1) | 1ULL << (SIGBUS - 1) | 1ULL << (SIGILL - 1) | 1ULL << (SIGFPE - 1)), before;
	long stack = RAW(mmap, NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct room_job *job = (struct room_job *)stack; /* it is large, too */
	long result;

	if (stack < 0 && stack > -4096)
		return call(fn, args);
	job->fn = fn;
	job->args = args;
	RAW(rt_sigprocmask, SIG_BLOCK, &all, &before, sizeof(all));
	getcontext(&job->there);
	job->there.uc_stack.ss_sp = job + 1;
	job->there.uc_stack.ss_size = STACK_SIZE - sizeof(*job);
	job->there.uc_link = &job->here;
	makecontext(&job->there, run, 0);
	under_way = job;
	swapcontext(&job->here, &job->there);
	under_way = NULL;
	RAW(rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof(before));
	result = job->result;
	RAW(munmap, stack, STACK_SIZE);
	return result;
}

long redirect_with_room(redirect_any_function fn, long a, long b, long c, long d, long e, long f)
{
	const long args[6] = { a, b, c, d, e, f };

	return has_room() ? call(fn, args) : call_elsewhere(fn, args);
}
