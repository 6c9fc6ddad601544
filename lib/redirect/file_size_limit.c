/*
 * file_size_limit.c -- how long a file may become: RLIMIT_FSIZE
 *
 * The kernel does not see writes to redirected files, so the limit is enforced here, as far as it is known.
 */
#include "redirect/redirect.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static _Atomic uint64_t most = RLIM_INFINITY;

void redirect_limit_init(void)
{
	struct rlimit limit;

	if (RAW(prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) == 0)
		atomic_store(&most, limit.rlim_cur);
}

static int exceeded(void)
{
	long pid = RAW(getpid), thread = RAW(gettid);

	RAW(tgkill, pid, thread, SIGXFSZ);
	return -EFBIG;
}

int redirect_limit_write(off_t off, size_t *len)
{
	uint64_t limit = atomic_load_explicit(&most, memory_order_relaxed);

	if (limit == RLIM_INFINITY || *len == 0 || off < 0)
		return 0;
	if ((uint64_t)off >= limit)
		return exceeded();
	if (*len > limit - (uint64_t)off)
		*len = (size_t)(limit - (uint64_t)off);
	return 0;
}

int redirect_limit_size(off_t size, off_t before)
{
	uint64_t limit = atomic_load_explicit(&most, memory_order_relaxed);

	return limit == RLIM_INFINITY || size <= before || (uint64_t)size <= limit ? 0 : exceeded();
}

bool redirect_limited(void)
{
	return atomic_load_explicit(&most, memory_order_relaxed) != RLIM_INFINITY;
}

/* a limit that a child of vfork sets is for the program that it executes */
static int changed(long rc, int resource)
{
	if (rc == 0 && resource == RLIMIT_FSIZE && redirect_on && redirect_ours())
		redirect_limit_init();
	return (int)raw_result(rc);
}

int redirect_setrlimit(int resource, const struct rlimit *limit);
int redirect_setrlimit(int resource, const struct rlimit *limit)
{
	return changed(RAW(prlimit64, 0, resource, limit, NULL), resource);
}
REDIRECT(setrlimit, redirect_setrlimit);
REDIRECT(setrlimit64, redirect_setrlimit);

int redirect_prlimit(pid_t pid, int resource, const struct rlimit *limit, struct rlimit *before);
int redirect_prlimit(pid_t pid, int resource, const struct rlimit *limit, struct rlimit *before)
{
	return changed(RAW(prlimit64, pid, resource, limit, before), resource);
}
REDIRECT(prlimit, redirect_prlimit);
REDIRECT(prlimit64, redirect_prlimit);
