/*
 * daemon.h -- what processes have in common that go on when their caller has ended
 */
#ifndef PMIO_CORE_DAEMON_H
#define PMIO_CORE_DAEMON_H

#include <stdbool.h>

struct pmio_daemon {
	bool foreground;	/* do not detach */
	int ready_fd;		/* -1, or: gets an int32_t when that is known: 0 or the error */
};

/*
 * pmio_daemon_run -- run serve() in a process of its own
 *
 * All descriptors but standard ones and ready_fd are closed.  Unless foreground is set, what the
 * caller's job is limited to is left behind: processors, priority, limits (those of a user up to
 * their hard values), stops by its terminal; and it returns twice: in the caller's process with
 * what serve() told by pmio_daemon_ready(), or PMIO_EAGENT if it ended without; and in the new
 * one, a session leader, with serve()'s result.  With a ready_fd a session leader needs no new
 * process: then it returns once.
 */
int pmio_daemon_run(struct pmio_daemon *d, int (*serve)(struct pmio_daemon *d, void *arg), void *arg);

/* say that it is up (0), or why not; for who waits, and once only */
void pmio_daemon_ready(struct pmio_daemon *d, int status);

/* it is up: standard streams are let go, the working directory is / */
void pmio_daemon_leave_terminal(void);

/* from now on the log goes to that descriptor, with time and process; -1: back to standard error */
void pmio_daemon_log(int fd);

#endif
