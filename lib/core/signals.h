/*
 * signals.h -- chaining signal handlers: a handler passes a signal on to the previous one
 *
 * Async-signal-safe.
 */
#ifndef PMIO_CORE_SIGNALS_H
#define PMIO_CORE_SIGNALS_H

#include <signal.h>

/* before: the previous handler, as returned by sigaction(); the others: the handler's own arguments */
static inline void pmio_signal_pass_on(const struct sigaction *before, int sig, siginfo_t *info, void *context)
{
	if (before->sa_flags & SA_SIGINFO) {
		before->sa_sigaction(sig, info, context);
	} else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
		before->sa_handler(sig);
	} else {
		/* restore the default action, so that the signal ends the process: at the repeated access, or by this */
		signal(sig, SIG_DFL);
		if (info->si_code <= 0)
			raise(sig);
	}
}

#endif
