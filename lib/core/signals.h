/*
 * signals.h -- a handler passes a signal on to the one that was there before it
 *
 * Async-signal-safe.
 */
#ifndef PMIO_CORE_SIGNALS_H
#define PMIO_CORE_SIGNALS_H

#include <signal.h>

/* before: what sigaction() said of the previous handler; the others: as the handler got them */
static inline void pmio_signal_pass_on(const struct sigaction *before, int sig, siginfo_t *info, void *context)
{
	if (before->sa_flags & SA_SIGINFO) {
		before->sa_sigaction(sig, info, context);
	} else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
		before->sa_handler(sig);
	} else {
		/* let the signal kill the process, as without pmio: by the repeated access, or by this */
		signal(sig, SIG_DFL);
		if (info->si_code <= 0)
			raise(sig);
	}
}

#endif
