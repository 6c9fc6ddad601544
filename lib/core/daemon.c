#include "core/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/error.h"
#include "core/log.h"

/* ---- log ----------------------------------------------------------------------- */

static int log_fd = -1;

static void log_to_file(enum pmio_log_level level, const char *line)
{
	struct timespec now;
	struct tm tm;
	char stamp[32];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	dprintf(log_fd, "%s.%03d pmiod[%d]: %s: %s\n", stamp, (int)(now.tv_nsec / 1000000),
		(int)getpid(), pmio_log_level_name(level), line);
}

void pmio_daemon_log(int fd)
{
	log_fd = fd;
	pmio_log_set_handler(fd >= 0 ? log_to_file : NULL);
}

/* ---- detaching ------------------------------------------------------------------- */

void pmio_daemon_ready(struct pmio_daemon *d, int rc)
{
	int32_t status = rc;

	if (d->ready_fd < 0)
		return;
	if (write(d->ready_fd, &status, sizeof(status)) < 0)
		pmio_err("ready: %s", strerror(errno));
	if (rc == 0)
		close(d->ready_fd);
	d->ready_fd = -1;
}

/* nothing of the caller's may stay open: mpirun waits for the ends of its pipes */
static void close_inherited(int keep)
{
	if (keep > 3)
		close_range(3, (unsigned)keep - 1, 0);
	close_range((unsigned)(keep >= 3 ? keep + 1 : 3), ~0U, 0);
}

void pmio_daemon_leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close(null);
	if (chdir("/") < 0)
		pmio_warn("chdir: %s", strerror(errno));
}

int pmio_daemon_run(struct pmio_daemon *d, int (*serve)(struct pmio_daemon *d, void *arg), void *arg)
{
	int pipe_fd[2];
	int32_t status;
	ssize_t n;
	pid_t pid;

	close_inherited(d->ready_fd);
	if (d->foreground)
		return serve(d, arg);

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		setsid();
		close(pipe_fd[0]);
		if (d->ready_fd >= 0)
			close(d->ready_fd);
		d->ready_fd = pipe_fd[1];
		return serve(d, arg);
	}
	close(pipe_fd[1]);
	do
		n = read(pipe_fd[0], &status, sizeof(status));
	while (n < 0 && errno == EINTR);
	close(pipe_fd[0]);
	if (n != sizeof(status))
		return PMIO_EAGENT; /* it was killed; who waits sees the end of the pipe */
	pmio_daemon_ready(d, status);
	return status;
}
