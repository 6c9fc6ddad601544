/*
 * daemon.h -- detaching, log and signals of the daemons (agent, target, mount), which outlive their caller
 */
#ifndef PMIO_DAEMON_DAEMON_H
#define PMIO_DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

struct pmio_daemon {
	bool foreground;	/* do not detach */
	int ready_fd;		/* -1, or a descriptor that gets an int32_t: 0 when it is ready, or the error */
};

/*
 * pmio_daemon_run -- run serve() in a process of its own
 *
 * All descriptors except the standard ones and ready_fd are closed.  Unless foreground is set,
 * the process leaves the restrictions of the caller's job: processors, priority, limits (as an
 * ordinary user up to the hard limits), stops by its terminal; and this returns twice: in the
 * caller's process with the status that serve() gave to pmio_daemon_ready(), or PMIO_EAGENT if
 * it ended without one; and in the new process, a session leader, with serve()'s result.  With a
 * ready_fd a session leader needs no new process: then it returns once.
 */
int pmio_daemon_run(struct pmio_daemon *d, int (*serve)(struct pmio_daemon *d, void *arg), void *arg);

/* report to the waiting process that the daemon is ready (0), or its error; only once */
void pmio_daemon_ready(struct pmio_daemon *d, int status);

/*
 * pmio_daemon_is_up -- the daemon serves: from now on the log goes to log_fd, unless that is -1; and unless
 * foreground is set the standard streams go to /dev/null, and the working directory is /
 */
void pmio_daemon_is_up(bool foreground, int log_fd);

/*
 * pmio_daemon_open_log -- open the log file: path or, if that is NULL, `name` in the folder dir_fd; a long file is truncated
 *
 * Returns -1 for none: in the foreground without a path, or if it cannot be opened (logged, as "who: ...").
 */
int pmio_daemon_open_log(const char *who, const char *path, int dir_fd, const char *name, bool foreground);

/* block SIGTERM and SIGINT in all threads: returns a nonblocking descriptor to read a signalfd_siginfo from, or -errno */
int pmio_daemon_signals(void);

/* watch that descriptor; its events come with this id; 0 or -errno */
int pmio_daemon_watch(int epoll_fd, int fd, uint64_t id);

/* from now on the log goes to that descriptor, with time and process; -1: back to standard error */
void pmio_daemon_log(int fd);

#endif
