/*
 * fd_limit.c -- descriptors above the program's limit
 *
 * libpmio must be able to open descriptors even if the program has reached its limit: where the hard limit is higher,
 * the soft limit is raised for the duration of a call.
 */
#include "redirect/redirect.h"

#include <pthread.h>
#include <signal.h>

static pthread_mutex_t raising = PTHREAD_MUTEX_INITIALIZER;

bool redirect_was_raised;

void redirect_above_init(void)
{
	raising = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

static void lock(struct redirect_raised *r)
{
	uint64_t all = ~0ULL & ~(1ULL << (SIGSEGV - 1) | 1ULL << (SIGBUS - 1) | 1ULL << (SIGILL - 1) | 1ULL << (SIGFPE - 1));

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &r->cancel_state);
	RAW(rt_sigprocmask, SIG_BLOCK, &all, &r->mask, sizeof(all));
	pthread_mutex_lock(&raising); /* whenever this is unlocked the limit has its original value */
}

static void unlock(const struct redirect_raised *r)
{
	pthread_mutex_unlock(&raising);
	RAW(rt_sigprocmask, SIG_SETMASK, &r->mask, 0, sizeof(r->mask));
	pthread_setcancelstate(r->cancel_state, NULL);
}

bool redirect_raise(struct redirect_raised *r)
{
	struct rlimit more;

	lock(r);
	if (RAW(prlimit64, 0, RLIMIT_NOFILE, 0, &r->before) == 0 && r->before.rlim_cur < r->before.rlim_max) {
		more = r->before;
		more.rlim_cur = more.rlim_max < REDIRECT_FDS ? more.rlim_max : REDIRECT_FDS;
		RAW(prlimit64, 0, RLIMIT_NOFILE, &more, 0);
		__atomic_store_n(&redirect_was_raised, true, __ATOMIC_RELAXED);
		return true;
	}
	unlock(r);
	return false;
}

void redirect_lower(const struct redirect_raised *r)
{
	RAW(prlimit64, 0, RLIMIT_NOFILE, &r->before, 0);
	unlock(r);
}
