/* pm_guard.c -- unreadable memory is an error of the call, and does not kill the process */
#include "pm/pm_ops.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>

#include "core/log.h"
#include "core/signals.h"

/*
 * caught() blocks no signal, so there is no mask to restore, which would cost a system
 * call.  But ThreadSanitizer calls handlers with all signals blocked.
 */
#ifdef __SANITIZE_THREAD__
#define SAVE_MASK 1
#else
#define SAVE_MASK 0
#endif

struct pmio_pm_guard {
	struct pmio_pm_guard *outer;
	const struct pmio_pm *pm;
	volatile bool armed;
	sigjmp_buf env;
};

/* read by a signal handler, where it must not be allocated */
static _Thread_local struct pmio_pm_guard *current __attribute__((tls_model("initial-exec")));

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned nr_users;	/* under lock */
static struct sigaction before; /* under lock; the previous handler */

static void caught(int sig, siginfo_t *info, void *context)
{
	struct pmio_pm_guard *g = current;
	const uint8_t *at = info->si_addr;

	if (g && g->armed && info->si_code > 0 && at >= g->pm->base &&
	    (size_t)(at - g->pm->base) < g->pm->size)
		siglongjmp(g->env, 1);
	/* that handler may jump away, over the frame that g is in */
	current = NULL;
	pmio_signal_pass_on(&before, sig, info, context);
	current = g;
}

void pm_guard_get(void)
{
	struct sigaction ours = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };

	pthread_mutex_lock(&lock);
	sigemptyset(&ours.sa_mask);
	if (nr_users++ == 0 && sigaction(SIGBUS, &ours, &before) < 0)
		pmio_warn("no handler for SIGBUS: %s", strerror(errno));
	pthread_mutex_unlock(&lock);
}

/* the last user removes the handler: the library may be unloaded then */
void pm_guard_put(void)
{
	struct sigaction now;

	pthread_mutex_lock(&lock);
	if (--nr_users == 0 && sigaction(SIGBUS, NULL, &now) == 0 && now.sa_sigaction == caught)
		sigaction(SIGBUS, &before, NULL);
	pthread_mutex_unlock(&lock);
}

void pmio_pm_before_fork(void)
{
	pthread_mutex_lock(&lock);
}

void pmio_pm_after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

void pmio_pm_guard_arm(struct pmio_pm_guard *g, bool armed)
{
	g->armed = armed;
}

ssize_t pmio_pm_guarded(const struct pmio_pm *pm, ssize_t (*fn)(struct pmio_pm_guard *g, void *arg), void *arg)
{
	struct pmio_pm_guard g = { .outer = current, .pm = pm };
	ssize_t n;

	current = &g;
	n = sigsetjmp(g.env, SAVE_MASK) == 0 ? fn(&g, arg) : -EIO;
	current = g.outer;
	return n;
}
